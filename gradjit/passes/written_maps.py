"""Loops over the elements of small arrays, written out."""

from __future__ import annotations

from collections.abc import Sequence

from gradjit.ir.build import index
from gradjit.ir.graph import Atom, Eqn, Value
from gradjit.ir.types import BOOL, ScalarType
from gradjit.ops.region import Writer
from gradjit.passes.aggregates import Item, element_name
from gradjit.passes.carried import Carried
from gradjit.passes.columns import columns
from gradjit.passes.small import Small, extents, indices, inside, integers

_GATHER = {
    "sum": "add",
    "prod": "mul",
    "max": "maximum",
    "min": "minimum",
    "and": "logical_and",
    "or": "logical_or",
}

Column = Sequence[tuple[Atom, ...]]


class WrittenMaps(Carried):
    """Writes out loops over elements."""

    def write_map(self, eqn: Eqn, shape: Sequence[int]) -> None:
        """The iterations of a `map_` one after another."""
        (body,) = eqn.regions
        ndim, parts = eqn.params["ndim"], list(columns(eqn))
        points = indices(shape)
        rows: list[list[tuple[Atom, ...]]] = []
        for at in points:
            self.env.update(zip(body.params, map(index, at), strict=True))
            self.run(body)
            rows.append([tuple(map(self.scalar, part)) for part in parts])
        writers: tuple[Writer, ...] = eqn.params["writers"]
        dests = [self.look(a) for a in eqn.args[ndim:]]
        for k, (writer, out) in enumerate(zip(writers, eqn.outs, strict=True)):
            column = [row[k] for row in rows]
            if writer.dest >= 0:
                dest = dests[writer.dest]
                dests[writer.dest] = self.updated(writer, out, dest, column)
                self.env[out] = dests[writer.dest]
            else:
                self.env[out] = self.filled(writer, out, points, column)

    def updated(self, writer: Writer, out: Value, dest: Item, column: Column) -> Item:
        """A destination with what all iterations write."""
        for value, *at in column:
            ints = integers(at)
            if self.groups.dissolves(out):
                shape = extents(out.type)
                assert shape is not None
                if ints is not None and inside("i" * len(at), ints, shape):
                    array = self.exploded(dest, shape)
                    adds = writer.kind == "add"
                    dest = self.written(array, value, ints, out, adds)
                    continue
                self.groups.lose(out)
            if isinstance(dest, Small):
                dest = self.made(dest, out.type.dtype, out.name)
            name = "add_at" if writer.kind == "add" else "store"
            dest = self.stored(dest, value, at, out.name, name)
        return dest

    def written(
        self, array: Small, value: Atom, at: Sequence[int], out: Value, adds: bool
    ) -> Small:
        """The array with another element."""
        if adds:
            value = self.plus(array.item(at), value)
        name = element_name(out.name, at)
        return array.replaced(at, self.fitted(value, out.type.dtype, name))

    def plus(self, old: Atom, value: Atom) -> Atom:
        """old + value; a zero that begins a sum is left out, as in `settle`."""
        if not isinstance(old, Value) and old.value == 0:
            return value
        return self.b.emit1("add", old, value)

    def filled(
        self,
        writer: Writer,
        out: Value,
        points: Sequence[tuple[int, ...]],
        column: Column,
    ) -> Item:
        """A fresh array, or a reduction."""
        dtype = out.type.dtype
        found: dict[tuple[int, ...], Atom] = {}
        for point, (value,) in zip(points, column, strict=True):
            at = tuple(i for k, i in enumerate(point) if k not in writer.axes)
            if writer.kind in ("and", "or") and value.type.dtype != BOOL:
                value = self.b.emit1("cast", value, dtype=BOOL, weak=False)
            value = self.fitted(value, dtype)
            if at in found:
                value = self.b.emit1(_GATHER[writer.kind], found[at], value)
            found[at] = value
        if isinstance(out.type, ScalarType):
            return found[()]
        last = points[-1]
        shape = tuple(i + 1 for k, i in enumerate(last) if k not in writer.axes)
        items = [
            self.fitted(found[at], dtype, element_name(out.name, at))
            for at in indices(shape)
        ]
        whole = Small(shape, tuple(items))
        if self.groups.dissolves(out):
            return whole
        return self.made(whole, dtype, out.name)
