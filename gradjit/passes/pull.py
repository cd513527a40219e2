"""Additions to neighbours, which would meet, as one addition for each element.

    for i in range(n):                     for p in range(n + 2):
        d_u[i] += f(i)                         d_u[p] += (f(p) if p < n else 0.0)
        d_u[i + 2] += g(i)                             + (g(p - 2) if p >= 2 else 0.0)

The adjoint of a stencil adds to the neighbours that the stencil has read. Threads would
do that at the same time, and the order of atomic additions is left to chance; so each
element pulls what would be added to it: reads in place of writes, the same bits each
time. What iterations add is computed once for each neighbour, which costs less on a
device than memory does. After Hückelheim et al., "Automatic Differentiation for Adjoint
Stencil Loops" (2019), without their split of the loop: the borders are branches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradjit.ir.bounds import Affine, Facts, gather_facts
from gradjit.ir.build import Builder, index, zero
from gradjit.ir.graph import Atom, Block, Eqn, Graph, Value, values
from gradjit.ir.op import lookup
from gradjit.ir.types import INDEX, ScalarType
from gradjit.ops.region import Writer
from gradjit.passes.alias import Memory
from gradjit.passes.blocks import inside_out
from gradjit.passes.columns import columns

# More neighbours than that are left to atomic additions.
_MOST = 32


def pull(graph: Graph) -> Graph:
    """The program with one addition for each element in place of those that meet.

    Args:
        graph: A valid graph of the `program` stage, before `place`.
    """
    facts = gather_facts(graph.block)
    block = _block(graph.block, facts)
    return Graph(graph.name, block, graph.mutated)


def _block(block: Block, facts: Facts) -> Block:
    block = inside_out(block, lambda region: _block(region, facts))
    memory = Memory(block)
    eqns: list[Eqn] = []
    for eqn in block.eqns:
        eqns += _pulled(eqn, facts, memory)
    return Block(block.params, tuple(eqns), block.results)


@dataclass(frozen=True, slots=True)
class _Term:
    """What an iteration adds, and how far from its own element along each axis."""

    value: Atom
    shifts: tuple[int, ...]


def _pulled(eqn: Eqn, facts: Facts, memory: Memory) -> list[Eqn]:
    """A nest, or what it becomes."""
    if eqn.op.name != "map_" or eqn.params["parallel"]:
        return [eqn]
    ndim: int = eqn.params["ndim"]
    for number in range(len(eqn.args) - ndim):
        found = _terms(eqn, number, facts)
        if found is None or _is_entangled(eqn, number, memory):
            continue
        rest = _without(eqn, number)
        pulled = _Pull(eqn, number, *found).run()
        return [*([] if rest is None else _pulled(rest, facts, memory)), *pulled]
    return [eqn]


def _terms(
    eqn: Eqn, number: int, facts: Facts
) -> tuple[list[_Term], list[Atom | int]] | None:
    """The additions to a destination, and the axis or the place along its axes."""
    writers: Sequence[Writer] = eqn.params["writers"]
    rows = [
        (w, row)
        for w, row in zip(writers, columns(eqn), strict=True)
        if w.dest == number
    ]
    if not 2 <= len(rows) <= _MOST or any(w.kind != "add" for w, _ in rows):
        return None
    axes = eqn.regions[0].params
    layout = _layout(rows[0][1][1:], axes, facts)
    if layout is None:
        return None
    terms: list[_Term] = []
    for _, row in rows:
        shifts = _shifts(row[1:], layout, axes, facts)
        if shifts is None:
            return None
        terms.append(_Term(row[0], shifts))
    return terms, layout


def _layout(
    at: Sequence[Atom], axes: Sequence[Value], facts: Facts
) -> list[Atom | int] | None:
    """For each axis of a destination the loop that runs along it, or a fixed place."""
    out: list[Atom | int] = []
    for atom in at:
        form = facts.affine(atom)
        loops = [v for v in form.terms if v in axes]
        if not loops:
            out.append(atom)
        elif len(form.terms) == 1 and form.terms[loops[0]] == 1:
            out.append(list(axes).index(loops[0]))
        else:
            return None
    found = [k for k in out if isinstance(k, int)]
    return out if sorted(found) == list(range(len(axes))) else None


def _shifts(
    at: Sequence[Atom],
    layout: Sequence[Atom | int],
    axes: Sequence[Value],
    facts: Facts,
) -> tuple[int, ...] | None:
    """How far each axis is shifted, in the order of the loops."""
    out: dict[int, int] = {}
    for atom, place in zip(at, layout, strict=True):
        if isinstance(place, int):
            gap = facts.affine(atom) - Affine(0, {axes[place]: 1})
            if gap.terms:
                return None
            out[place] = gap.constant
        else:
            gap = facts.affine(atom) - facts.affine(place)
            if gap.terms or gap.constant:
                return None
            if isinstance(atom, Value) and atom is not place:
                return None  # computed in the body, each its own
    return tuple(out[k] for k in range(len(axes)))


def _is_entangled(eqn: Eqn, number: int, memory: Memory) -> bool:
    """Whether the body reads what other writers of the nest write, or the reverse."""
    ndim: int = eqn.params["ndim"]
    dests = [memory.root(d) for d in eqn.args[ndim:]]
    (body,) = eqn.regions
    read = {memory.root(v) for e in body.eqns for v in values(e.args)}
    # A check would be lost with the nest that it is in.
    others = any(e.regions or e.op.kind == "effect" for e in body.eqns)
    return others or any(d in read for d in dests) or dests.count(dests[number]) > 1


def _without(eqn: Eqn, number: int) -> Eqn | None:
    """The nest without a destination; None if nothing is left."""
    ndim: int = eqn.params["ndim"]
    writers: list[Writer] = []
    results: list[Atom] = []
    outs: list[Value] = []
    for w, row, out in zip(eqn.params["writers"], columns(eqn), eqn.outs, strict=True):
        if w.dest == number:
            continue
        dest = w.dest - (w.dest > number)
        writers.append(Writer(w.kind, dest, w.axes, w.type))
        results += row
        outs.append(out)
    if not writers:
        return None
    (body,) = eqn.regions
    dests = [d for k, d in enumerate(eqn.args[ndim:]) if k != number]
    return eqn.with_(
        args=(*eqn.args[:ndim], *dests),
        outs=tuple(outs),
        params={**eqn.params, "writers": tuple(writers)},
        regions=(Block(body.params, body.eqns, tuple(results)),),
    )


class _Pull:
    """The nest over the elements that are added to."""

    def __init__(
        self, eqn: Eqn, number: int, terms: Sequence[_Term], layout: list[Atom | int]
    ) -> None:
        self.eqn = eqn
        self.number = number
        self.terms = terms
        self.layout = layout
        self.ndim: int = eqn.params["ndim"]
        rows = list(zip(*(t.shifts for t in terms), strict=True))
        self.low = [min(row) for row in rows]
        self.spans = [max(row) - min(row) for row in rows]
        self.b = Builder(checks=False)

    def run(self) -> list[Eqn]:
        """The equations: extents, and the nest."""
        b, eqn = self.b, self.eqn
        frame = b.open(())
        with b.at(eqn.loc):
            extents = list(map(self.extent, eqn.args[: self.ndim], self.spans))
            dest = eqn.args[self.ndim + self.number]
            axes = [Value(INDEX, p.name) for p in eqn.regions[0].params]
            b.open(axes)
            body = b.close(self.element(axes))
        b.frames.pop()
        pairs = zip(eqn.params["writers"], eqn.outs, strict=True)
        *_, out = [o for w, o in pairs if w.dest == self.number]
        params = {
            "ndim": self.ndim,
            "writers": (Writer("add", 0),),
            "parallel": True,
        }
        nest = Eqn(eqn.op, (*extents, dest), (out,), params, (body,), eqn.loc)
        return [*frame.eqns, nest]

    def extent(self, n: Atom, span: int) -> Atom:
        """How many elements iterations add to: none if there are no iterations."""
        if not span:
            return n
        b = self.b
        some = b.emit1("gt", n, index(0))
        return b.emit1("where", some, b.emit1("add", n, index(span)), index(0))

    def element(self, axes: Sequence[Value]) -> list[Atom]:
        """What is added to an element, and where it is."""
        b = self.b
        total: Atom | None = None
        for term in self.terms:
            part = self.part(term, axes)
            total = part if total is None else b.emit1("add", total, part)
        assert total is not None
        at: list[Atom] = []
        for place in self.layout:
            if isinstance(place, int):
                low = self.low[place]
                axis = axes[place]
                at.append(b.emit1("add", axis, index(low)) if low else axis)
            else:
                at.append(place)
        return [total, *at]

    def part(self, term: _Term, axes: Sequence[Value]) -> Atom:
        """What one neighbour adds, if there is one."""
        b = self.b
        there: list[Atom] = []
        tests: list[Atom] = []
        for k, axis in enumerate(axes):
            offset = term.shifts[k] - self.low[k]
            own = b.emit1("sub", axis, index(offset)) if offset else axis
            there.append(own)
            if offset:
                tests.append(b.emit1("ge", own, index(0)))
            if offset < self.spans[k]:
                tests.append(b.emit1("lt", own, self.eqn.args[k]))
        if not tests:
            return self.value(term, there)
        test = tests[0]
        for more in tests[1:]:
            test = b.emit1("logical_and", test, more)
        b.open(())
        then = b.close((self.value(term, there),))
        type_ = term.value.type
        assert isinstance(type_, ScalarType)
        out = Value(type_)
        orelse = Block((), (), (zero(type_),))
        b.append(Eqn(lookup("if_"), (test,), (out,), {}, (then, orelse), b.loc))
        return out

    def value(self, term: _Term, there: Sequence[Atom]) -> Atom:
        """What the iteration at these indices adds."""
        (body,) = self.eqn.regions
        mapping: dict[Value, Atom] = dict(zip(body.params, there, strict=True))
        for eqn in _needed(body, term.value):
            self.b.copy(eqn, mapping)
        value = term.value
        return mapping.get(value, value) if isinstance(value, Value) else value


def _needed(body: Block, value: Atom) -> list[Eqn]:
    """The equations of a body that a value is computed by."""
    wanted = {value}
    out: list[Eqn] = []
    for eqn in reversed(body.eqns):
        if any(o in wanted for o in eqn.outs):
            out.append(eqn)
            wanted.update(values(eqn.args))
    return out[::-1]
