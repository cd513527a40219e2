"""Loop nests over the same rows become one loop over the rows.

A softmax is three passes over its scores: the largest of a row, the sum of
exponentials, the quotients; its gradient has three more. Each is a nest of its own,
since a row's sum is only there when the row is done, so a matrix travels through the
cache six times. One loop over the rows, with the six passes over a row inside, reads
the matrix once, and what a row leaves for its own later passes is a number or a buffer
of one row.

Nests may share their outer loop if each of them reads, of what the others write, only
the row of the iteration. What stands between them moves in front of the loop, or behind
it if it needs their results. This is the partial fusion of Gao, Olsen, Sarkar and
Thekkath, "Collective Loop Fusion for Array Contraction" (1992), on outer loops.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import prod

from gradjit.ir.graph import Atom, Block, Const, Eqn, Graph, Value, eqn_uses, values
from gradjit.ops.region import Writer
from gradjit.passes.alias import Memory, is_array, is_view
from gradjit.passes.columns import columns
from gradjit.passes.row_loop import row_loop

# Rows of so few elements, if that is known, are no work for a loop of their own.
_SHORT = 8
# How far behind the first nest others are looked for.
_REACH = 300


def share_rows(graph: Graph, parallel: bool = False) -> Graph:
    """The program with one loop over rows in place of nests over the same rows.

    Args:
        graph: A valid graph of the `program` stage, before `place`.
        parallel: Whether threads may share the loop.

    Returns:
        The graph with the same meaning, up to the order of sums.
    """
    memory = Memory(graph.block)
    return Graph(graph.name, _block(graph.block, memory, parallel), graph.mutated)


def _block(block: Block, memory: Memory, parallel: bool) -> Block:
    eqns = [
        e.with_(regions=tuple(_block(r, memory, parallel) for r in e.regions))
        if e.regions and e.op.name != "map_"
        else e
        for e in block.eqns
    ]
    if sum(e.op.name == "map_" for e in eqns) < 2:
        return Block(block.params, tuple(eqns), block.results)
    rows = _Rows(memory, parallel, set(values(block.results)))
    return Block(block.params, tuple(rows.shared(eqns)), block.results)


@dataclass(frozen=True, slots=True)
class _Access:
    """A load or a write: the version of the array, and whether it is of the row."""

    array: Value
    row: bool


@dataclass(frozen=True, slots=True)
class _Nest:
    """A nest that may share its outer loop."""

    eqn: Eqn
    loads: tuple[_Access, ...]
    writes: tuple[_Access, ...]


@dataclass(slots=True)
class _Group:
    """Nests that share a loop over rows.

    Attributes:
        heads: The last version of each buffer that the nests write into.
        apart: Buffers of which not only the row is used.
        closed: Results that are not there before the loop ends.
    """

    memory: Memory
    nests: list[_Nest] = field(default_factory=list[_Nest])
    touched: set[Atom] = field(default_factory=set[Atom])
    heads: dict[Atom, Value] = field(default_factory=dict[Atom, Value])
    apart: set[Atom] = field(default_factory=set[Atom])
    closed: set[Value] = field(default_factory=set[Value])

    @property
    def made(self) -> set[Value]:
        return {o for n in self.nests for o in n.eqn.outs}

    def add(self, nest: _Nest) -> bool:
        """Add a nest, if it may run row by row with the others."""
        if not self._fits(nest):
            return False
        self.nests.append(nest)
        root = self.memory.root
        for access in (*nest.loads, *nest.writes):
            self.touched.add(root(access.array))
            if not access.row:
                self.apart.add(root(access.array))
        writers: Sequence[Writer] = nest.eqn.params["writers"]
        for writer, out in zip(writers, nest.eqn.outs, strict=True):
            if 0 in writer.axes:
                self.closed.add(out)
            else:
                self.heads[root(out)] = out
                self.touched.add(root(out))
        return True

    def _fits(self, nest: _Nest) -> bool:
        if any(v in self.closed for v in eqn_uses(nest.eqn)):
            return False
        root = self.memory.root
        written = {root(w.array) for w in nest.writes}
        for access in nest.loads:
            place = root(access.array)
            head = self.heads.get(place)
            if (head is not None or place in written) and not access.row:
                return False
            if head is not None and (head is not access.array or place in self.apart):
                return False
        for access in nest.writes:
            place = root(access.array)
            if self.heads.get(place, access.array) is not access.array:
                return False
            if place in self.apart or (not access.row and self._is_used(place, nest)):
                return False
        touched = {root(a.array) for a in (*nest.loads, *nest.writes)}
        return not self.nests or not touched.isdisjoint(self.touched)

    def _is_used(self, place: Atom, nest: _Nest) -> bool:
        return place in self.touched or any(
            self.memory.root(a.array) is place for a in nest.loads
        )

    def pays(self) -> bool:
        """Whether rows are read again that one nest after the other would fetch."""
        return len(self.nests) > 1 and any(n.eqn.params["ndim"] > 1 for n in self.nests)


class _Rows:
    """The nests of one block."""

    def __init__(self, memory: Memory, parallel: bool, results: set[Value]) -> None:
        self.memory = memory
        self.parallel = parallel
        self.results = results

    def shared(self, eqns: list[Eqn]) -> list[Eqn]:
        """The equations with loops over rows, each at the place of its last nest."""
        out: list[Eqn] = []
        rest = eqns
        while rest:
            first, *rest = rest
            nest = _nest(first)
            found = self._found(nest, rest) if nest is not None else None
            if found is None:
                out.append(first)
                continue
            before, loop, rest = found
            out += [*self.shared(before), *loop]
        return out

    def _found(
        self, first: _Nest, rest: list[Eqn]
    ) -> tuple[list[Eqn], list[Eqn], list[Eqn]] | None:
        """What stands in front of a loop over rows, the loop, and what is left."""
        group = _Group(self.memory)
        if not group.add(first):
            return None
        before, after = self._gathered(group, rest)
        if not group.pays():
            return None
        used = self.results | {v for e in (*before, *after) for v in eqn_uses(e)}
        heads = set(group.heads.values())
        arrays = (v for v in group.made - group.closed if v in used)
        if any(v not in heads for v in arrays):
            return None  # an older version is needed later
        loop = row_loop([n.eqn for n in group.nests], used, self.parallel)
        return before, loop, after

    def _gathered(self, group: _Group, rest: list[Eqn]) -> tuple[list[Eqn], list[Eqn]]:
        """Fill a group; the other equations, those that move to the front first."""
        before: list[Eqn] = []
        after: list[Eqn] = []
        late: set[Value] = set()  # results of what stands behind the loop
        guard = False  # something behind the loop may raise
        first = group.nests[0].eqn
        for pos, eqn in enumerate(rest):
            if pos == _REACH:
                after += rest[pos:]
                break
            uses = set(eqn_uses(eqn))
            waits = guard or not uses.isdisjoint(late)
            nest = None if waits or not _same_rows(eqn, first) else _nest(eqn)
            if nest and not self._overwrites(nest, after) and group.add(nest):
                continue
            waits = waits or not uses.isdisjoint(group.made)
            if waits or self._changes(eqn, group, after):
                after.append(eqn)
                late.update(eqn.outs)
                guard = guard or not eqn.op.pure
            else:
                before.append(eqn)
        return before, after

    def _overwrites(self, nest: _Nest, after: Sequence[Eqn]) -> bool:
        """Whether a nest writes into what equations read that would come later."""
        places = {self.memory.root(w.array) for w in nest.writes}
        return bool(places) and any(
            self.memory.root(v) in places
            for e in after
            for v in eqn_uses(e)
            if is_array(v)
        )

    def _changes(self, eqn: Eqn, group: _Group, after: Sequence[Eqn]) -> bool:
        """Whether an equation may write into what nests read that come later then."""
        if not (is_view(eqn) or eqn.regions or eqn.op.name in ("store", "add_at")):
            return False
        touched = {self.memory.root(v) for v in values(eqn.args) if is_array(v)}
        others = {
            self.memory.root(v) for e in after for v in eqn_uses(e) if is_array(v)
        }
        return not touched.isdisjoint(group.touched | others)


# ---------------------------------------------------------------------------- nests


def _same_rows(eqn: Eqn, first: Eqn) -> bool:
    """Whether a nest has the rows of another one."""
    if eqn.op.name != "map_":
        return False
    a, b = eqn.args[0], first.args[0]
    if isinstance(a, Const) and isinstance(b, Const):
        return a.value == b.value
    return a is b


def _nest(eqn: Eqn) -> _Nest | None:
    """A nest whose outer loop may be shared."""
    if eqn.op.name != "map_" or _is_short(eqn):
        return None
    ndim: int = eqn.params["ndim"]
    writers: Sequence[Writer] = eqn.params["writers"]
    if not all(_is_simple(w, ndim) for w in writers):
        return None
    (body,) = eqn.regions
    loads: list[_Access] = []
    for inner in body.eqns:
        arrays = [a for a in values(inner.args) if is_array(a)]
        if inner.regions or (arrays and inner.op.name != "index"):
            return None
        loads += [_Access(a, inner.args[1] is body.params[0]) for a in arrays]
    return _Nest(eqn, tuple(loads), tuple(_writes(eqn, body.params[0])))


def _writes(eqn: Eqn, row: Value) -> Iterator[_Access]:
    ndim: int = eqn.params["ndim"]
    dests = eqn.args[ndim:]
    writers: Sequence[Writer] = eqn.params["writers"]
    for writer, column in zip(writers, columns(eqn), strict=True):
        if writer.dest >= 0:
            dest = dests[writer.dest]
            assert isinstance(dest, Value)
            yield _Access(dest, column[1] is row)


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
