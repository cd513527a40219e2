"""A fresh array takes the memory of one that is dead.

A loop that fills a new array may write into an old one of the same extents instead,
which nothing needs any more, or which only this loop reads, each element just before it
is overwritten. New memory has to be fetched from the system page by page: for large
arrays that takes longer than the arithmetic.

In the graph this is an update like any other, of a buffer that the block itself has
allocated; `place` proves once more that nobody sees it. Buffers that leave the block's
hands (results, carries, stacks, whatever a branch chooses) are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gradjit.ir.graph import Atom, Block, Const, Eqn, Graph, Value, values
from gradjit.ir.types import ArrayType
from gradjit.ops.region import Writer
from gradjit.passes.alias import is_array, is_view, overwritten
from gradjit.passes.columns import stored
from gradjit.passes.small import extents

Shapes = Mapping[Value, tuple[Atom, ...]]

_FRESH = frozenset({"empty", "full", "contract"})
# These read an array, or make a new version or a view of it that is followed.
_HARMLESS = frozenset({"index", "contract", "dim", "store", "add_at", "map_"})


def recycle(graph: Graph, shapes: Shapes) -> Graph:
    """The program with fewer arrays.

    Args:
        graph: A valid graph of the `program` stage, before `place`.
        shapes: The extents of arrays, equal ones as the same atoms.
    """
    return Graph(graph.name, _block(graph.block, shapes), graph.mutated)


def _block(block: Block, shapes: Shapes) -> Block:
    eqns = tuple(
        e.with_(regions=tuple(_block(r, shapes) for r in e.regions))
        if e.regions and e.op.name != "map_"
        else e
        for e in block.eqns
    )
    block = Block(block.params, eqns, block.results)
    return _Recycler(block, shapes).run()


@dataclass(slots=True, eq=False)
class _Buffer:
    """Memory that the block allocates.

    Attributes:
        versions: All values that are in it.
        name: What the user calls it.
        latest: The version that is in it now.
    """

    key: tuple[object, ...]
    latest: Value
    name: str = ""
    versions: list[Value] = field(default_factory=list[Value])


class _Recycler:
    """One block."""

    def __init__(self, block: Block, shapes: Shapes) -> None:
        self.block = block
        self.shapes = shapes
        self.last: dict[Value, int] = {}
        self.escaped = {v for v in values(block.results) if is_array(v)}
        for pos, eqn in enumerate(block.eqns):
            for value, harmless in _uses(eqn):
                self.last[value] = pos
                if not harmless:
                    self.escaped.add(value)
        self.home: dict[Value, _Buffer] = {}
        self.buffers: list[_Buffer] = []

    def run(self) -> Block:
        eqns: list[Eqn] = []
        for pos, eqn in enumerate(self.block.eqns):
            new = self.reused(eqn, pos) if eqn.op.name == "map_" else eqn
            self.note(new)
            eqns.append(new)
        return Block(self.block.params, tuple(eqns), self.block.results)

    # ------------------------------------------------------------------ buffers

    def note(self, eqn: Eqn) -> None:
        """Follow the memory of an equation's results."""
        name = eqn.op.name
        if name in ("store", "add_at") or is_view(eqn):
            self.follow(eqn.args[0], eqn.out, view=is_view(eqn))
        elif name in _FRESH:
            self.fresh(eqn.out)
        elif name == "map_":
            dests = eqn.args[eqn.params["ndim"] :]
            writers: tuple[Writer, ...] = eqn.params["writers"]
            for writer, out in zip(writers, eqn.outs, strict=True):
                if writer.dest >= 0:
                    self.follow(dests[writer.dest], out)
                elif is_array(out):
                    self.fresh(out)

    def fresh(self, value: Value) -> None:
        key = self.key(value)
        if key is not None:
            buffer = _Buffer(key, value, value.name, [value])
            self.buffers.append(buffer)
            self.home[value] = buffer

    def follow(self, base: Atom, value: Value, view: bool = False) -> None:
        buffer = self.home.get(base) if isinstance(base, Value) else None
        if buffer is None:
            return
        self.home[value] = buffer
        buffer.versions.append(value)
        if not view and self.key(value) != buffer.key:
            # Written through a reshaped view: the last version has other axes.
            self.buffers = [b for b in self.buffers if b is not buffer]
        elif not view:
            buffer.latest = value
            buffer.name = buffer.name or value.name

    def key(self, value: Value) -> tuple[object, ...] | None:
        """Element type and extents; None for arrays that may live in scalars."""
        shape = self.shapes.get(value)
        if shape is None or not isinstance(value.type, ArrayType):
            return None
        if extents(value.type) is not None:
            return None
        known = (e.value if isinstance(e, Const) else e for e in shape)
        return (value.type.dtype, *known)

    # -------------------------------------------------------------------- reuse

    def reused(self, eqn: Eqn, pos: int) -> Eqn:
        """The map with old memory for what it makes, where there is some."""
        writers: tuple[Writer, ...] = eqn.params["writers"]
        for k, (writer, out) in enumerate(zip(writers, eqn.outs, strict=True)):
            found = self.find(eqn, out, pos) if writer.kind == "new" else None
            if found is not None:
                self.buffers.remove(found)
                eqn = stored(eqn, k, found.latest)
        return eqn

    def find(self, eqn: Eqn, out: Value, pos: int) -> _Buffer | None:
        """Memory that the array may take: what the loop reads first."""
        key = self.key(out)
        fitting = [
            b
            for b in self.buffers
            if b.key == key
            and (not b.name or not out.name or b.name == out.name)
            and self.is_dead(b, eqn, pos)
        ]
        used = [b for b in fitting if self.last.get(b.latest, -1) == pos]
        return next(iter(used or fitting), None)

    def is_dead(self, buffer: _Buffer, eqn: Eqn, pos: int) -> bool:
        if any(v in self.escaped for v in buffer.versions):
            return False
        if any(self.last.get(v, -1) > pos for v in buffer.versions):
            return False
        now = {v for v in buffer.versions if self.last.get(v, -1) == pos}
        return not now or (now == {buffer.latest} and _reads_in_place(eqn, now))


def _reads_in_place(eqn: Eqn, arrays: set[Value]) -> bool:
    """Whether a map reads arrays only at the element of the iteration."""
    (body,) = eqn.regions
    if any(a in arrays for a in eqn.args):
        return False
    return all(
        inner.op.name == "index" and inner.args[1:] == body.params
        for inner in body.eqns
        if any(v in arrays for v in values(inner.args))
    )


def _uses(eqn: Eqn) -> Iterator[tuple[Value, bool]]:
    """The arrays that an equation uses, and whether it lets go of them again."""
    harmless = eqn.op.name in _HARMLESS or is_view(eqn)
    for value in values(eqn.args):
        if is_array(value):
            yield value, harmless
    for region in eqn.regions:
        for inner in region.eqns:
            moves = bool(overwritten(inner)) or is_view(inner)
            for value, good in _uses(inner):
                yield value, good and not moves
        yield from ((v, False) for v in values(region.results) if is_array(v))
