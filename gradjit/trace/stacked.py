"""What the iterations of a loop return, stacked along an axis.

The arrays are made before the loop. Of which types and extents they have to be is
found by tracing the body: an attempt that meets a result for which there is no array
gives up, and says what is needed. So a loop that is never run gives empty arrays of the
right shape. A loop that Python unrolls collects its results instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradjit.errors import InternalError, Loc, ShapeError, UnsupportedError
from gradjit.ir.graph import Atom, Const, Eqn
from gradjit.ir.tree import Tree, difference, flatten
from gradjit.ir.types import ArrayType, DType
from gradjit.ops.surface import lookup_function
from gradjit.ops.sym import Sym, lift
from gradjit.trace import loops
from gradjit.trace.builder import TraceBuilder, is_array, is_number
from gradjit.trace.handle import Handle
from gradjit.trace.iterate import Lazy, Traversal
from gradjit.trace.region import Body

ATTEMPTS = 10
Axes = Callable[[Tree, Sequence[int]], Sequence[int | None]]


@dataclass(frozen=True, slots=True)
class Row:
    """An array that is needed.

    Attributes:
        dtype: Of its elements.
        extents: Those of one result.
        axis: Where the axis of the iterations is; None where all results are one.
        value: Of the latter, the result.
    """

    dtype: DType
    extents: tuple[Atom, ...]
    axis: int | None = 0
    value: Atom | None = None


class _Needed(BaseException):
    """An attempt that lacks arrays for its results.

    Not an Exception: the user's `except Exception` must not catch it.
    """

    def __init__(self, tree: Tree, rows: list[Row]) -> None:
        self.tree = tree
        self.rows = rows


class Stacked:
    """The results of the iterations of a loop."""

    def __init__(
        self, builder: TraceBuilder, what: str, site: Loc, axes: Axes | None = None
    ) -> None:
        self.builder = builder
        self.what = what
        self.site = site
        self.axes = axes or _in_front
        self.depth = len(builder.frames)
        self.tree: Tree | None = None
        self.rows: list[Row] = []
        self.arrays: list[Any] = []
        self.items: list[list[Any]] = []

    def run(
        self, way: Traversal, count: Any, bind: Callable[[Any], None], body: Body
    ) -> Any:
        """Run the loop, which has `count` iterations; the stacked results."""
        start = body.get()
        for _ in range(ATTEMPTS):
            self.items = []
            self.arrays = [self._array(row, count) for row in self.rows]
            try:
                self.builder.loc = self.site
                loops.for_(self.builder, self._iterable(way, count), bind, body)
            except _Needed as needed:
                self.tree, self.rows = needed.tree, needed.rows
                body.put(start)
                continue
            return self._results()
        raise InternalError(f"the results of {self.what} do not settle", self.site)

    def _iterable(self, way: Traversal, count: Any) -> Any:
        """One iteration is left to Python; none is traced, for the shapes."""
        known = all(isinstance(x, int) for x in (way.start, way.stop, way.step))
        if known and count == 1:
            return range(way.start, way.stop, way.step)
        return Lazy(way)

    def _array(self, row: Row, count: Any) -> Any:
        """An array of all results of a kind."""
        if row.axis is None:
            return None
        builder = self.builder
        extents = list(row.extents)
        extents.insert(row.axis, lift(count))
        known = tuple(int(e.value) if isinstance(e, Const) else None for e in extents)
        made = builder.emit1("empty", *extents, dtype=row.dtype, dims=known)
        return builder.wrap(made)

    # ------------------------------------------------------------- in the body

    def part(self, result: Any, at: Any) -> Any:
        """Store the second of a pair (carry, y); the carry."""
        if not isinstance(result, tuple) or len(result) != 2:  # type: ignore
            raise ShapeError(
                f"{self.what}: the function has to return a pair (carry, y)",
                self.site,
                "Return (carry, None) if there is nothing to stack.",
            )
        carry, y = result  # type: ignore
        self.store(y, at)
        return carry  # type: ignore

    def store(self, result: Any, at: Any) -> None:
        """Keep what an iteration returns."""
        leaves, tree = flatten(result, _is_leaf)
        if self.tree is not None:
            found = difference(self.tree, tree, "the result")
            if found:
                raise ShapeError(f"{self.what}: {found} in turn", self.site)
        if len(self.builder.frames) == self.depth:
            self._collect(tree, leaves)
            return
        atoms = [lift(self.builder.outside(x) if is_array(x) else x) for x in leaves]
        axes = self.axes(tree, [len(_dims(a)) for a in atoms])
        rows = [self._row(a, k) for a, k in zip(atoms, axes, strict=True)]
        if self.tree is None or not all(map(_fits, self.rows, rows)):
            raise _Needed(tree, [*map(_joined, self.rows or rows, rows)])
        for row, array, atom in zip(self.rows, self.arrays, atoms, strict=True):
            if row.axis is not None:
                array[(*[slice(None)] * row.axis, at)] = Sym(atom)

    def _collect(self, tree: Tree, leaves: list[Any]) -> None:
        """Results of a loop that Python runs: values, as later stores change views."""
        self.tree = tree
        self.items.append([_value(self.builder, x) for x in leaves])

    def _row(self, atom: Atom, axis: int | None) -> Row:
        builder, where = self.builder, self.depth
        if axis is None:
            value = moved_out(builder, atom, where)
            if value is None:
                raise UnsupportedError(
                    f"{self.what}: out_axes is None for a result that differs from "
                    "item to item",
                    self.site,
                    "Give its axis in out_axes, or compute it outside.",
                )
            return Row(atom.type.dtype, (), None, value)
        extents: list[Atom] = []
        for extent in builder.extents(atom):
            found = moved_out(builder, extent, where)
            if found is None:
                raise UnsupportedError(
                    f"{self.what}: the extents of a result depend on the iteration, or "
                    "are not known before the loop",
                    self.site,
                    "Return an array of the same shape each time.",
                )
            extents.append(found)
        return Row(atom.type.dtype, tuple(extents), axis)

    # ----------------------------------------------------------- after the loop

    def _results(self) -> Any:
        if self.tree is None:
            raise UnsupportedError(
                f"{self.what} of length 0: the shape of its results is not known",
                self.site,
                "Its body needs Python values of the loop, so it was not traced.",
            )
        if self.items:
            return self.tree.unflatten(self._joined())
        pairs = zip(self.rows, self.arrays, strict=True)
        return self.tree.unflatten(
            a if row.value is None else self.builder.wrap(row.value) for row, a in pairs
        )

    def _joined(self) -> Iterator[Any]:
        """The collected results as arrays."""
        record = lookup_function(np.stack)
        assert record is not None
        assert self.tree is not None
        columns = list(zip(*self.items, strict=True))
        axes = self.axes(self.tree, [_rank(c[0]) for c in columns])
        for column, axis in zip(columns, axes, strict=True):
            if axis is None:
                self._refuse_different(column)
                yield column[0]
            else:
                yield record([Sym(lift(x)) for x in column], axis=axis)

    def _refuse_different(self, column: Sequence[Any]) -> None:
        """Several results where there can be one only."""
        first = lift(column[0])
        if len(column) > 1 and any(lift(x) is not first for x in column):
            raise UnsupportedError(
                f"{self.what}: out_axes is None for a result that differs from item to "
                "item",
                self.site,
                "Give its axis in out_axes, or compute it outside.",
            )


def _in_front(tree: Tree, ranks: Sequence[int]) -> Sequence[int | None]:
    """The axis of the iterations is the first one of all results."""
    return [0] * len(ranks)


def _is_leaf(x: Any) -> bool:
    return isinstance(x, Sym) or is_number(x) or is_array(x)


def _dims(atom: Atom) -> tuple[int | None, ...]:
    return atom.type.dims if isinstance(atom.type, ArrayType) else ()


def _rank(x: Any) -> int:
    return len(_dims(lift(x)))


def _value(builder: TraceBuilder, x: Any) -> Any:
    """A leaf as it is now."""
    x = builder.outside(x) if is_array(x) else x
    return Sym(x.atom) if isinstance(x, Handle) else x


def _fits(row: Row, new: Row) -> bool:
    """Whether an array can hold further results; extents are checked by the store."""
    same = len(row.extents) == len(new.extents) and row.axis == new.axis
    return same and np.promote_types(row.dtype, new.dtype) == row.dtype


def _joined(row: Row, new: Row) -> Row:
    """The row for both, of the larger dtype."""
    dtype = np.promote_types(row.dtype, new.dtype)
    return Row(dtype, new.extents, new.axis, new.value)


def moved_out(builder: TraceBuilder, atom: Atom, depth: int) -> Atom | None:
    """A number computed before the frames beyond a depth, if that can be."""
    if isinstance(atom, Const) or any(atom in f.values for f in builder.frames[:depth]):
        return atom
    eqn = builder.facts.defs.get(atom)
    if eqn is None or eqn.op.kind != "elementwise" or eqn.regions or _dims(atom):
        return None
    args = [moved_out(builder, a, depth) for a in eqn.args]
    known = [a for a in args if a is not None]
    return _emit_at(builder, eqn, known, depth) if len(known) == len(args) else None


def _emit_at(builder: TraceBuilder, eqn: Eqn, args: Sequence[Atom], depth: int) -> Atom:
    """The equation once more, in an outer frame."""
    rest = builder.frames[depth:]
    del builder.frames[depth:]
    try:
        return builder.emit1(eqn.op, *args, **eqn.params)
    finally:
        builder.frames.extend(rest)
