"""Which buffers a value may be in, and which buffers a block may write into.

A first look at a loop body, before any copy is placed: `place` needs to know on entry
which carries are written, so that their initial values can be made safe. And a look at
the placed program: which of its arrays may be in the same memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gradjit.ir.graph import Atom, Block, Eqn, Value, values, walk
from gradjit.ir.types import ArrayType
from gradjit.ops.region import Writer

Roots = frozenset[int]
NONE: Roots = frozenset()

VIEWS = frozenset({"index", "transpose", "reshape"})
_UPDATES = frozenset({"store", "add_at", "scatter", "scatter_add"})


def is_array(atom: Atom) -> bool:
    return isinstance(atom.type, ArrayType)


def is_view(eqn: Eqn) -> bool:
    """Whether the result shares the memory of the first argument."""
    return eqn.op.name in VIEWS and len(eqn.outs) == 1 and is_array(eqn.outs[0])


def overwritten(eqn: Eqn) -> tuple[Value, ...]:
    """The arrays that an equation without control flow writes into."""
    if eqn.op.name in ("store", "add_at"):
        dests = eqn.args[:1]
    elif eqn.op.name == "map_":
        dests = eqn.args[eqn.params["ndim"] :]
    else:
        return ()
    return tuple(values(dests))


def is_home(block: Block, atom: Atom, param: Value) -> bool:
    """Whether an array is a parameter of a block with some elements written.

    A loop may also bind another array to the name: then it is not.
    """
    return origin(block, atom) is param


def origin(block: Block, atom: Atom) -> Atom:
    """The parameter, or the outer value, in whose memory a value is."""
    made = {out: eqn for eqn in block.eqns for out in eqn.outs}
    while isinstance(atom, Value) and atom in made:
        before = _before(made[atom], atom)
        if before is None:
            return atom
        atom = before
    return atom


def _before(eqn: Eqn, out: Value) -> Atom | None:
    """The value of the same block whose memory a result has, if there is one."""
    name, k = eqn.op.name, eqn.outs.index(out)
    if name in _UPDATES:
        return eqn.args[0]
    if name == "map_":
        dest: int = eqn.params["writers"][k].dest
        ndim: int = eqn.params["ndim"]
        return eqn.args[ndim + dest] if dest >= 0 else None
    if name in ("for_", "while_"):
        body = eqn.regions[-1]
        param = body.params[len(body.params) - len(eqn.outs) + k]
        kept = is_home(body, body.results[k], param)
        return eqn.args[len(eqn.args) - len(eqn.outs) + k] if kept else None
    if name == "if_":
        then, orelse = (origin(r, r.results[k]) for r in eqn.regions)
        return then if then is orelse else None
    return None


def carried(eqn: Eqn) -> Iterator[tuple[int, Atom, Value, Atom]]:
    """Number, initial value, parameter and result of each array carry of a loop."""
    counted = eqn.op.name == "for_"
    body = eqn.regions[-1]
    inits = eqn.args[3:] if counted else eqn.args
    params = body.params[1:] if counted else body.params
    triples = zip(inits, params, body.results, strict=True)
    for k, (init, param, result) in enumerate(triples):
        if is_array(param):
            yield k, init, param, result


def written_carries(eqn: Eqn) -> set[int]:
    """The carries of a loop whose buffers the body may write into.

    A carry is written if a version of its parameter is, or if its buffer moves to a
    carry that is: a fixed point.
    """
    carries = list(carried(eqn))
    look = _Look()
    for k, _, param, _ in carries:
        look.roots[param] = frozenset((-1 - k,))
    look.block(eqn.regions[-1])
    out = {k for k, *_ in carries if -1 - k in look.written}
    while True:
        moved = {
            -1 - root
            for k, _, _, result in carries
            if k in out and isinstance(result, Value)
            for root in look.roots.get(result, NONE)
            if root < 0
        }
        if moved <= out:
            return out
        out |= moved


class _Look:
    """Buffers by number: negative for carries of the loop, the rest is not told apart.

    Only what may be in a buffer of a carry matters here; fresh arrays have no roots.
    """

    def __init__(self) -> None:
        self.roots: dict[Value, Roots] = {}
        self.written: set[int] = set()

    def of(self, atom: Atom) -> Roots:
        return self.roots.get(atom, NONE) if isinstance(atom, Value) else NONE

    def block(self, block: Block) -> None:
        for eqn in block.eqns:
            self.eqn(eqn)

    def eqn(self, eqn: Eqn) -> None:
        name = eqn.op.name
        if name in ("for_", "while_"):
            self.loop(eqn)
        elif name == "if_":
            for region in eqn.regions:
                self.block(region)
            for k, out in enumerate(eqn.outs):
                branches = (self.of(r.results[k]) for r in eqn.regions)
                self.roots[out] = NONE.union(*branches)
        elif is_view(eqn) or name in ("store", "add_at"):
            self.roots[eqn.out] = self.of(eqn.args[0])
        elif name == "map_":
            dests = eqn.args[eqn.params["ndim"] :]
            writers: tuple[Writer, ...] = eqn.params["writers"]
            for writer, out in zip(writers, eqn.outs, strict=True):
                if writer.dest >= 0:
                    self.roots[out] = self.of(dests[writer.dest])
        for value in overwritten(eqn):
            self.written |= self.of(value)

    def loop(self, eqn: Eqn) -> None:
        carries = list(carried(eqn))
        now: Mapping[int, Roots] = {k: self.of(init) for k, init, _, _ in carries}
        while True:
            for k, _, param, _ in carries:
                self.roots[param] = now[k]
            for region in eqn.regions[:-1]:
                for (k, *_), param in zip(
                    carries, (p for p in region.params if is_array(p)), strict=True
                ):
                    self.roots[param] = now[k]
            for region in eqn.regions:
                self.block(region)
            new = {k: now[k] | self.of(result) for k, _, _, result in carries}
            if new == now:
                break
            now = new
        for k, *_ in carries:
            self.roots[eqn.outs[k]] = now[k]


class Memory:
    """Arrays of a placed program that may be in the same memory, as classes.

    A branch may return either of two arrays, and a loop may exchange its buffers: what
    is written through one of the names is seen through the others.
    """

    def __init__(self, block: Block) -> None:
        self.parents: dict[Atom, Atom] = {}
        for eqn in walk(block):
            for k, out in enumerate(eqn.outs):
                if is_array(out):
                    for source in _sources(eqn, k):
                        self._join(out, source)

    def root(self, array: Atom) -> Atom:
        """One array of the class, the same for all of them."""
        while array in self.parents:
            array = self.parents[array]
        return array

    def _join(self, a: Atom, b: Atom) -> None:
        x, y = self.root(a), self.root(b)
        if x is not y:
            self.parents[x] = y


_FRESH = frozenset({"empty", "full", "copy", "contract"})


def apart(
    memory: Memory,
    defs: Mapping[Value, Eqn],
    counts: Mapping[Value, int],
    base: Atom,
    eqn: Eqn,
) -> bool:
    """Whether an equation surely reads nothing of the memory that `base` is in.

    Args:
        memory: Which arrays may share memory.
        defs: The equations of the program by their results.
        counts: How often a value is used.
        base: An array that is about to be overwritten.
        eqn: An equation without regions, between which and `base` nothing happens.
    """
    mine = memory.root(base)
    if all(memory.root(a) is not mine for a in eqn.args):
        return True
    made = defs.get(base) if isinstance(base, Value) else None
    # New memory of which nobody has heard yet, whatever comes to be in it later.
    return made is not None and made.op.name in _FRESH and counts[base] == 1  # type: ignore[index]


def _sources(eqn: Eqn, k: int) -> Iterator[Atom]:
    """The arrays whose memory result `k` of an equation may be in."""
    if is_view(eqn) or eqn.op.name in ("store", "add_at"):
        yield eqn.args[0]
    elif eqn.op.name == "map_":
        writer: Writer = eqn.params["writers"][k]
        if writer.dest >= 0:
            yield eqn.args[eqn.params["ndim"] + writer.dest]
    elif eqn.op.name == "if_":
        yield from (region.results[k] for region in eqn.regions)
    elif eqn.regions:
        back = k - len(eqn.outs)
        yield eqn.args[back]
        yield eqn.regions[-1].results[back]
        yield from (region.params[back] for region in eqn.regions)
