"""Dead code goes: equations, carries, branch results and writers that nothing needs.

Marked first is what the results of the graph and the equations with effects need,
through loops and branches however deep: a carry is needed if its result is, or if the
body computes something needed from it, so one that only feeds itself is not. Then one
walk over the graph builds what is left. Both take time in proportion to the graph.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gradjit.ir.graph import Atom, Block, Eqn, Graph, Value, values, walk
from gradjit.ops.region import Writer
from gradjit.passes.columns import columns


def eliminate(graph: Graph) -> Graph:
    """The graph without what its results and checks do not need."""
    marks = _Marks(graph.block)
    block = _swept(graph.block, marks, graph.block.params, graph.block.results)
    return Graph(graph.name, block, graph.mutated)


def acts(*blocks: Block) -> bool:
    """Whether a region has an effect."""
    return any(_acts_itself(e) for block in blocks for e in walk(block))


def _acts_itself(eqn: Eqn) -> bool:
    """Whether an equation is needed for more than its result: a subscript may raise.

    The derivative of `x[i]` writes to that place of the cotangent and relies on it.
    Once `fuse` has proven or checked the subscript, the equation can go.
    """
    return not eqn.op.pure or bool(eqn.params.get("checked"))


def _skip(eqn: Eqn) -> tuple[int, int]:
    """How many arguments, and parameters of the body, are before the carries."""
    return (3, 1) if eqn.op.name == "for_" else (0, 0)


_LOOPS = frozenset({"for_", "while_"})


class _Marks:
    """What is needed.

    Attributes:
        live: Values that are needed, of all blocks.
        kept: Equations that stay.
        results: Which results of an equation with regions stay.
    """

    def __init__(self, block: Block) -> None:
        self.live: set[Value] = set()
        self.kept: set[Eqn] = set()
        self.results: dict[Eqn, set[int]] = {}
        self.around: dict[Eqn, Eqn] = {}
        self.made: dict[Value, tuple[Eqn, int]] = {}
        self.carried: dict[Value, tuple[Eqn, int]] = {}
        self.work: list[Value] = []
        effects = list(self._read(block, None))
        self.need(block.results)
        for eqn in effects:
            self.keep(eqn)
        while self.work:
            value = self.work.pop()
            if value in self.made:
                self.of_result(*self.made[value])
            elif value in self.carried:
                self.carry(*self.carried[value])

    def _read(self, block: Block, owner: Eqn | None) -> Iterator[Eqn]:
        """Take note of where values come from; the equations with effects."""
        for eqn in block.eqns:
            self.made.update((out, (eqn, k)) for k, out in enumerate(eqn.outs))
            if owner is not None:
                self.around[eqn] = owner
            if eqn.op.name in _LOOPS:
                for region in eqn.regions:
                    skip = len(region.params) - len(eqn.outs)
                    carries = enumerate(region.params[skip:])
                    self.carried.update((p, (eqn, k)) for k, p in carries)
            if _acts_itself(eqn):
                yield eqn
            for region in eqn.regions:
                yield from self._read(region, eqn)

    def need(self, atoms: Sequence[Atom]) -> None:
        for value in values(atoms):
            if value not in self.live:
                self.live.add(value)
                self.work.append(value)

    def keep(self, eqn: Eqn) -> None:
        """An equation stays, whatever results it has, and so do those around it."""
        if eqn in self.kept:
            return
        self.kept.add(eqn)
        self.results[eqn] = set()
        name = eqn.op.name
        if name == "for_":
            self.need(eqn.args[:3])
            if eqn.params.get("exits"):
                self.carry(eqn, 0)
        elif name == "while_":
            self.need(eqn.regions[0].results)
        elif name == "map_":
            self.need(eqn.args[: eqn.params["ndim"]])
        else:
            self.need(eqn.args)
        if eqn in self.around:
            self.keep(self.around[eqn])

    def of_result(self, eqn: Eqn, k: int) -> None:
        """A result is needed."""
        self.keep(eqn)
        name = eqn.op.name
        if name in _LOOPS:
            self.carry(eqn, k)
        elif name == "if_":
            self.results[eqn].add(k)
            self.need([region.results[k] for region in eqn.regions])
        elif name == "map_":
            self.write(eqn, k)

    def carry(self, eqn: Eqn, k: int) -> None:
        """A carry of a loop is needed."""
        if k not in self.results[eqn]:
            self.results[eqn].add(k)
            self.need((eqn.args[_skip(eqn)[0] + k], eqn.regions[-1].results[k]))

    def write(self, eqn: Eqn, k: int) -> None:
        """What a writer of a map writes is needed; others may write there too."""
        writers: tuple[Writer, ...] = eqn.params["writers"]
        dest = writers[k].dest
        same = [j for j, w in enumerate(writers) if j == k or w.dest == dest >= 0]
        self.results[eqn].update(same)
        parts = list(columns(eqn))
        self.need([a for j in same for a in parts[j]])
        if dest >= 0:
            self.need(eqn.args[eqn.params["ndim"] + dest :][:1])


# ---------------------------------------------------------------------- what is left


def _swept(
    block: Block, marks: _Marks, params: Sequence[Value], results: Sequence[Atom]
) -> Block:
    """The block with these parameters and results, and what is needed."""
    eqns = [_narrowed(e, marks) for e in block.eqns if e in marks.kept]
    return Block(tuple(params), tuple(eqns), tuple(results))


def _pick(items: Sequence[Atom], which: Sequence[int]) -> tuple[Atom, ...]:
    return tuple(items[k] for k in which)


def _narrowed(eqn: Eqn, marks: _Marks) -> Eqn:
    """The equation with the results that count, and its regions swept."""
    rule = _RULES.get(eqn.op.name)
    return rule(eqn, sorted(marks.results[eqn]), marks) if rule else eqn


def _loop(eqn: Eqn, which: list[int], marks: _Marks) -> Eqn:
    first, skip = _skip(eqn)
    body = eqn.regions[-1]
    params = (*body.params[:skip], *(body.params[skip + k] for k in which))
    heads = (
        _swept(r, marks, tuple(r.params[k] for k in which), r.results)
        for r in eqn.regions[:-1]
    )
    return eqn.with_(
        args=(*eqn.args[:first], *(eqn.args[first + k] for k in which)),
        outs=tuple(eqn.outs[k] for k in which),
        regions=(*heads, _swept(body, marks, params, _pick(body.results, which))),
    )


def _branch(eqn: Eqn, which: list[int], marks: _Marks) -> Eqn:
    return eqn.with_(
        outs=tuple(eqn.outs[k] for k in which),
        regions=tuple(
            _swept(r, marks, r.params, _pick(r.results, which)) for r in eqn.regions
        ),
    )


def _map(eqn: Eqn, which: list[int], marks: _Marks) -> Eqn:
    writers: tuple[Writer, ...] = eqn.params["writers"]
    (body,) = eqn.regions
    ndim = eqn.params["ndim"]
    parts = list(columns(eqn))
    results = tuple(a for k in which for a in parts[k])
    dests = sorted({writers[k].dest for k in which if writers[k].dest >= 0})
    renamed = tuple(
        Writer(w.kind, dests.index(w.dest) if w.dest >= 0 else -1, w.axes, w.type)
        for w in (writers[k] for k in which)
    )
    return eqn.with_(
        args=(*eqn.args[:ndim], *(eqn.args[ndim + d] for d in dests)),
        outs=tuple(eqn.outs[k] for k in which),
        params={**eqn.params, "writers": renamed},
        regions=(_swept(body, marks, body.params, results),),
    )


_RULES = {"for_": _loop, "while_": _loop, "if_": _branch, "map_": _map}
