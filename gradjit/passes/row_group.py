"""Which loops may share the loop over their rows.

Loops that count from zero to the same end run row by row if each of them reads, of what
the others write, only the row of the iteration. Their own dependences from one row to
the next stay: the rows come in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import prod

from gradjit.ir.graph import (
    Atom,
    Block,
    Const,
    Eqn,
    Value,
    eqn_uses,
    free,
    values,
    walk,
)
from gradjit.ops.region import Writer
from gradjit.passes.alias import Memory, carried, is_array, is_home, is_view
from gradjit.passes.columns import columns

# Rows of so few elements, if that is known, are no work for a loop of their own.
_SHORT = 8
_FIRST = {"index": 1, "store": 2, "add_at": 2}


@dataclass(frozen=True, slots=True)
class Access:
    """A version of an array that is read or written, and whether only its row is."""

    array: Value
    row: bool


@dataclass(frozen=True, slots=True)
class Nest:
    """A loop that may share its rows.

    Attributes:
        closed: Results that are not there before the loop ends.
    """

    eqn: Eqn
    loads: tuple[Access, ...]
    writes: tuple[Access, ...]
    closed: frozenset[Value]

    @property
    def stop(self) -> Atom:
        """How many rows there are."""
        return self.eqn.args[1 if self.eqn.op.name == "for_" else 0]

    @property
    def is_deep(self) -> bool:
        """Whether there are loops or branches in a row."""
        if self.eqn.op.name == "map_":
            return self.eqn.params["ndim"] > 1
        return any(e.regions for e in self.eqn.regions[0].eqns)


@dataclass(slots=True)
class Group:
    """Loops that share their rows.

    Attributes:
        flat: Whether it pays for loops without loops inside, too: what an iteration
            leaves for the next loop then stays in registers.
        touched: The buffers that they read or write.
        written: The buffers from outside that they write into.
        heads: The last version of each buffer that is written row by row.
        apart: Buffers of which not only the row is used.
        closed: Results that are not there before the loop ends.
    """

    memory: Memory
    flat: bool = False
    nests: list[Nest] = field(default_factory=list[Nest])
    touched: set[Atom] = field(default_factory=set[Atom])
    written: set[Atom] = field(default_factory=set[Atom])
    heads: dict[Atom, Value] = field(default_factory=dict[Atom, Value])
    apart: set[Atom] = field(default_factory=set[Atom])
    closed: set[Value] = field(default_factory=set[Value])

    @property
    def made(self) -> set[Value]:
        return {o for n in self.nests for o in n.eqn.outs}

    @property
    def acts(self) -> bool:
        """Whether one of the loops may raise."""
        return any(not e.op.pure for n in self.nests for e in _inside(n.eqn))

    def add(self, nest: Nest) -> bool:
        """Add a loop, if it may run row by row with the others."""
        if not self._fits(nest):
            return False
        self.nests.append(nest)
        root = self.memory.root
        for access in (*nest.loads, *nest.writes):
            self.touched.add(root(access.array))
            if not access.row:
                self.apart.add(root(access.array))
        self.written.update(root(w.array) for w in nest.writes)
        self.closed |= nest.closed
        for out in nest.eqn.outs:
            if out not in nest.closed:
                self.heads[root(out)] = out
                self.touched.add(root(out))
        return True

    def _fits(self, nest: Nest) -> bool:
        if any(v in self.closed for v in eqn_uses(nest.eqn)):
            return False
        root = self.memory.root
        written = {root(w.array) for w in nest.writes}
        for access in nest.loads:
            place = root(access.array)
            head = self.heads.get(place)
            if (head is not None or place in written) and not access.row:
                return False
            if head is None and place not in self.written:
                continue
            if head is not access.array or place in self.apart:
                return False
        for access in nest.writes:
            place = root(access.array)
            if self.heads.get(place, access.array) is not access.array:
                return False
            if place in self.apart or (not access.row and self._is_used(place, nest)):
                return False
        return not self.nests or self._shares(nest)

    def _is_used(self, place: Atom, nest: Nest) -> bool:
        return place in self.touched or any(
            self.memory.root(a.array) is place for a in nest.loads
        )

    def _shares(self, nest: Nest) -> bool:
        """Whether rows that are in the cache are used: for loops, rows made here."""
        loops = [n for n in (*self.nests, nest) if n.eqn.op.name == "for_"]
        there = self.heads if loops and not self.flat else self.touched
        if loops and any(not e.op.pure for e in _inside(nest.eqn)) and self.acts:
            return False  # the first of two errors has to stay the first
        root = self.memory.root
        return any(root(a.array) in there for a in (*nest.loads, *nest.writes))

    def pays(self) -> bool:
        """Whether rows are read again that one loop after the other would fetch."""
        deep = self.flat or any(n.is_deep for n in self.nests)
        return len(self.nests) > 1 and deep


def _inside(eqn: Eqn) -> Iterator[Eqn]:
    for region in eqn.regions:
        yield from walk(region)


# -------------------------------------------------------------------------- analysis


def nest_of(eqn: Eqn, memory: Memory, loops: bool) -> Nest | None:
    """What an equation reads and writes, if it is a loop over rows.

    Args:
        eqn: An equation of the block.
        memory: Of the block.
        loops: Whether loops of the program count, besides nests over elements.
    """
    if eqn.op.name == "map_":
        return _map(eqn, memory)
    return _for(eqn, memory) if loops and eqn.op.name == "for_" else None


def _map(eqn: Eqn, memory: Memory) -> Nest | None:
    if _is_short(eqn):
        return None
    ndim: int = eqn.params["ndim"]
    writers: Sequence[Writer] = eqn.params["writers"]
    if not all(_is_simple(w, ndim) for w in writers):
        return None
    (body,) = eqn.regions
    loads: list[Access] = []
    for inner in body.eqns:
        arrays = [a for a in values(inner.args) if is_array(a)]
        if inner.regions or (arrays and inner.op.name != "index"):
            return None
        loads += [Access(a, inner.args[1] is body.params[0]) for a in arrays]
    closed = (o for w, o in zip(writers, eqn.outs, strict=True) if 0 in w.axes)
    writes = tuple(_writes(eqn, body.params[0]))
    if len({memory.root(a) for a in eqn.args[ndim:]}) < len(eqn.args) - ndim:
        return None  # two arrays start as one
    return Nest(eqn, tuple(loads), writes, frozenset(closed))


def _writes(eqn: Eqn, row: Value) -> Iterator[Access]:
    ndim: int = eqn.params["ndim"]
    dests = eqn.args[ndim:]
    writers: Sequence[Writer] = eqn.params["writers"]
    for writer, column in zip(writers, columns(eqn), strict=True):
        if writer.dest >= 0:
            dest = dests[writer.dest]
            assert isinstance(dest, Value)
            yield Access(dest, column[1] is row)


def _is_short(eqn: Eqn) -> bool:
    inner = eqn.args[1 : eqn.params["ndim"]]
    known = [int(e.value) for e in inner if isinstance(e, Const)]
    return bool(inner) and len(known) == len(inner) and prod(known) <= _SHORT


def _is_simple(writer: Writer, ndim: int) -> bool:
    """Whether a writer can do its work row by row."""
    if writer.kind in ("argmax", "argmin"):
        return False
    if 0 not in writer.axes:
        return True
    if len(writer.axes) == ndim:
        return writer.kind in ("sum", "and", "or")
    return writer.kind == "sum" and writer.axes == (0,)


def _for(eqn: Eqn, memory: Memory) -> Nest | None:
    start, _, step = eqn.args[:3]
    if eqn.params.get("exits") or eqn.params.get("parallel"):
        return None
    if not (isinstance(start, Const) and isinstance(step, Const)):
        return None
    if (start.value, step.value) != (0, 1):
        return None
    (body,) = eqn.regions
    rows = RowUses(body, memory)
    kept = {
        eqn.outs[k]: init
        for k, init, param, result in carried(eqn)
        if is_home(body, result, param) and rows.only(param)
    }
    # An initial value that is read as well stays as it was: it is not the row.
    inits = [memory.root(init) for _, init, _, _ in carried(eqn)]
    written = set(inits)
    if len(written) < len(inits):
        return None  # two arrays start as one
    loads = tuple(
        Access(v, rows.only(v) and memory.root(v) not in written)
        for v in free(body)
        if is_array(v) and rows.touches(v)
    )
    writes = tuple(
        Access(init, eqn.outs[k] in kept)
        for k, init, _, _ in carried(eqn)
        if isinstance(init, Value)
    )
    closed = frozenset(o for o in eqn.outs if o not in kept)
    return Nest(eqn, loads, writes, closed)


class RowUses:
    """Of which buffers a loop body uses only the row of the iteration."""

    def __init__(self, body: Block, memory: Memory) -> None:
        self.row = body.params[0]
        self.memory = memory
        self.used: set[Atom] = set()
        self.whole: set[Atom] = set()
        self.views: set[Atom] = set()  # of one row
        for eqn in walk(body):
            self._note(eqn)

    def touches(self, array: Value) -> bool:
        return self.memory.root(array) in self.used

    def only(self, array: Value) -> bool:
        """Whether nothing but the row of an array is used."""
        return self.memory.root(array) not in self.whole

    def _note(self, eqn: Eqn) -> None:
        name = eqn.op.name
        if name in ("dim", "for_", "while_", "if_"):
            return
        self.whole.update(self.memory.root(o) for o in _fresh(eqn))
        if name == "map_":
            for access in _writes(eqn, self.row):
                self._use(access.array, access.row)
            return
        arrays = [a for a in values(eqn.args) if is_array(a)]
        for array in arrays:
            self._use(array, array is eqn.args[0] and self._is_row(eqn))
        if is_view(eqn) and (self._is_row(eqn) or eqn.args[0] in self.views):
            self.views.add(eqn.out)

    def _is_row(self, eqn: Eqn) -> bool:
        first = _FIRST.get(eqn.op.name)
        if first is None or not eqn.params["spec"].startswith("i"):
            return False
        return eqn.args[first] is self.row

    def _use(self, array: Value, row: bool) -> None:
        root = self.memory.root(array)
        self.used.add(root)
        if not row and array not in self.views:
            self.whole.add(root)


def _fresh(eqn: Eqn) -> Iterator[Value]:
    """New arrays among the results: all of their rows are new."""
    if eqn.op.name == "map_":
        writers: Sequence[Writer] = eqn.params["writers"]
        pairs = zip(writers, eqn.outs, strict=True)
        yield from (o for w, o in pairs if w.dest < 0 and is_array(o))
    elif not is_view(eqn) and eqn.op.name not in ("store", "add_at"):
        yield from filter(is_array, eqn.outs)
