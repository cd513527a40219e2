"""Making arrays: zeros, ranges, arrays of scalars, copies."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gradjit.ir.types import FLOAT64, INT64, DType, dims, promote
from gradjit.ops.array import full as filled
from gradjit.ops.array import new_axes
from gradjit.ops.numpy_diagonal import count_up
from gradjit.ops.numpy_shape import stretch
from gradjit.ops.surface import (
    MATRIX,
    PLUS,
    TRIPLE,
    VECTOR,
    as_extent,
    call,
    cast,
    dtype_from,
    fresh,
    function,
    known,
    known_dims,
    larger,
    listed,
    misfit,
    shape_from,
    static,
    symbol,
    view_index,
)
from gradjit.ops.sym import Sym, apply, elementwise, lift

# ---------------------------------------------------------------------- one value


def _filled(value: Any, shape: Any, dtype: DType) -> Any:
    extents = shape_from(shape)
    if not extents:
        return cast(value, dtype)
    return filled(value, extents, dtype, known_dims(extents))


def _dtype_of(dtype: Any, default: DType = FLOAT64) -> DType:
    return default if dtype is None else dtype_from(dtype)


@function(np.zeros, samples=(call((2, 3)), call(4, int)), makes=True)
def zeros(shape: Any, dtype: Any = None) -> Any:
    """An array of zeros."""
    return _filled(0, shape, _dtype_of(dtype))


@function(np.ones, samples=(call((2, 3)), call(4, np.float32)), makes=True)
def ones(shape: Any, dtype: Any = None) -> Any:
    """An array of ones."""
    return _filled(1, shape, _dtype_of(dtype))


@function(np.full, samples=(call((2, 3), 0.5), call(4, 7)), makes=True)
def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """An array of one value."""
    x = symbol(fill_value)
    wanted = _dtype_of(dtype, x.dtype)
    if x.ndim:
        return stretch(cast(x, wanted), shape_from(shape))
    return _filled(cast(x, wanted), shape, wanted)


@function(np.empty, makes=True)
def empty(shape: Any, dtype: Any = None) -> Any:
    """An array whose elements are not set."""
    extents = shape_from(shape)
    wanted = _dtype_of(dtype)
    return apply("empty", *extents, dtype=wanted, dims=known_dims(extents))


def _like(value: Any, a: Any, dtype: Any, shape: Any) -> Any:
    x = symbol(a)
    extents = x.shape if shape is None else shape
    return _filled(value, extents, _dtype_of(dtype, x.dtype))


@function(np.zeros_like, samples=(call(MATRIX), call(MATRIX, int)), makes=True)
def zeros_like(a: Any, dtype: Any = None, shape: Any = None) -> Any:
    """Zeros of another array's extents and dtype."""
    return _like(0, a, dtype, shape)


@function(np.ones_like, samples=(call(MATRIX), call(MATRIX, np.float32)), makes=True)
def ones_like(a: Any, dtype: Any = None, shape: Any = None) -> Any:
    """Ones of another array's extents and dtype."""
    return _like(1, a, dtype, shape)


@function(np.full_like, samples=(call(MATRIX, 0.5),), makes=True)
def full_like(a: Any, fill_value: Any, dtype: Any = None, shape: Any = None) -> Any:
    """One value, at another array's extents and dtype."""
    x = symbol(a)
    wanted = _dtype_of(dtype, x.dtype)
    extents = x.shape if shape is None else shape
    return full(extents, fill_value, wanted) if x.ndim else cast(fill_value, wanted)


@function(np.empty_like, makes=True)
def empty_like(prototype: Any, dtype: Any = None, shape: Any = None) -> Any:
    """An array of another's extents and dtype whose elements are not set."""
    x = symbol(prototype)
    return empty(x.shape if shape is None else shape, _dtype_of(dtype, x.dtype))


@function(np.eye, samples=(call(3), call(2, 4, 1)), makes=True)
def eye(N: Any, M: Any = None, k: Any = 0, dtype: Any = None) -> Any:
    """Ones on a diagonal."""
    m, n = as_extent(N), as_extent(N if M is None else M)
    rows = new_axes(count_up(m), (1,))
    return cast(elementwise("eq", rows + k, count_up(n)), _dtype_of(dtype))


@function(np.identity, samples=(call(3),), makes=True)
def identity(n: Any, dtype: Any = None) -> Any:
    """The identity matrix."""
    return eye(n, dtype=dtype)


# -------------------------------------------------------------------------- ranges


@function(
    np.arange,
    samples=(call(5), call(2, 7), call(1.0, 3.2, 0.5), call(7, 1, -2), call(3.5)),
    makes=True,
)
def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Any:
    """Numbers from start to stop."""
    first, last = (0, start) if stop is None else (start, stop)
    plain = all(not isinstance(x, Sym) for x in (first, last, step))
    types = [lift(x).type for x in (first, last, step)]
    wanted = _dtype_of(dtype, promote(*types).dtype)  # type: ignore[arg-type]
    count: Any = _steps(first, last, step) if plain else _span(first, last, step)
    out = apply("iota", count, dtype=INT64, dims=(known(count),))
    if not _is(step, 1):
        out = out * step
    if not _is(first, 0):
        out = out + first
    return cast(out, wanted)


def _is(x: Any, value: int) -> bool:
    return isinstance(x, int) and x == value


def _steps(first: Any, last: Any, step: Any) -> int:
    return max(0, math.ceil((last - first) / step))


def _span(first: Any, last: Any, step: Any) -> Any:
    """How many steps lie between two numbers."""
    types = [lift(x).type.dtype.kind for x in (first, last, step)]
    if "f" in types:
        length = elementwise("ceil", elementwise("div", last - first, step))
        return larger(cast(length, INT64, weak=True), 0)
    distance = last - first if not _is(first, 0) else last
    if not _is(step, 1):
        distance = -(-distance // step)
    return larger(cast(distance, INT64, weak=True), 0)


@function(
    np.linspace,
    samples=(call(0.5, 2.0, 5), call(0.0, 1.0, 4, endpoint=False), call(2.0, 3.0, 1)),
    makes=True,
)
def linspace(
    start: Any, stop: Any, num: Any = 50, endpoint: Any = True, dtype: Any = None
) -> Any:
    """Evenly spaced numbers."""
    n = as_extent(num)
    gaps = larger(n - 1, 1) if endpoint else n
    span = elementwise("sub", stop, start)
    i = count_up(n)
    out = i * (span / gaps) + start
    if endpoint and not _is(n, 1):
        last = (
            elementwise("logical_and", i == n - 1, i > 0)
            if known(n) is None
            else i == n - 1
        )
        out = elementwise("where", last, stop, out)
    return cast(out, _dtype_of(dtype))


@function(
    np.meshgrid, samples=(call(TRIPLE, VECTOR), call(TRIPLE, VECTOR, indexing="ij"))
)
def meshgrid(*xi: Any, indexing: str = "xy") -> Any:
    """Coordinate matrices of coordinate vectors."""
    xs = [symbol(x) for x in xi]
    places = list(range(len(xs)))
    if indexing == "xy" and len(xs) > 1:
        places[0], places[1] = 1, 0
    extents: list[Any] = [None] * len(xs)
    for x, place in zip(xs, places, strict=True):
        extents[place] = x.shape[0]
    return [
        stretch(new_axes(x, tuple(k for k in places if k != place)), tuple(extents))
        for x, place in zip(xs, places, strict=True)
    ]


# -------------------------------------------------------------- arrays of what is there


@function(
    np.array,
    method="array",
    samples=(
        call(MATRIX),
        call([0.5, 1.0, -2.0]),
        call([[0.5, 1.0], [2.0, 3.0]]),
        call([TRIPLE, PLUS]),
    ),
    makes=True,
)
def array(object: Any, dtype: Any = None, ndmin: Any = 0) -> Any:
    """An array of numbers or arrays in nested lists; a copy of an array."""
    items = listed(object)
    if items is not None:
        out = _nested(items, None if dtype is None else dtype_from(dtype))
    else:
        x = symbol(object)
        out = fresh(x if dtype is None else cast(x, dtype_from(dtype)))
    missing = static(ndmin) - getattr(out, "ndim", 0)
    if missing > 0:
        out = view_index(out, "n" * missing + ":" * out.ndim)
    return out


@function(np.asarray, np.ascontiguousarray, np.asanyarray, samples=(call(MATRIX),))
def asarray(a: Any, dtype: Any = None) -> Any:
    """The array itself, or an array of what is in lists."""
    if listed(a) is not None:
        return array(a, dtype)
    x = symbol(a)
    return x if dtype is None else cast(x, dtype_from(dtype))


@function(np.copy, method="copy", samples=(call(MATRIX),))
def copy(a: Any) -> Any:
    """A new array with the same elements."""
    return fresh(a)


def _nested(items: list[Any], dtype: DType | None) -> Any:
    """An array of nested lists, element by element."""
    shape: list[int] = []
    level: list[Any] | None = items
    while level is not None:
        shape.append(len(level))
        level = listed(level[0]) if level else None
    leaves = list(_leaves(items, shape, ()))
    atoms = [lift(leaf) for _, leaf in leaves]
    found = _common([a.type.dtype for a in atoms]) if dtype is None else dtype
    tails = {dims(a.type) for a in atoms}
    if len({len(t) for t in tails}) > 1:
        misfit("the items of the list have different numbers of axes")
    extents: list[Any] = list(shape)
    if leaves and symbol(leaves[0][1]).ndim:
        extents += symbol(leaves[0][1]).shape
    if not leaves:
        return filled(0, extents, found, known_dims(extents))
    return _stored(leaves, extents, found)


def _stored(
    leaves: list[tuple[tuple[int, ...], Any]], extents: list[Any], dtype: DType
) -> Any:
    """A new array with the leaves in their places."""
    out = apply("empty", *extents, dtype=dtype, dims=known_dims(extents))
    tail = len(extents) - len(leaves[0][0])
    for place, leaf in leaves:
        spec = "i" * len(place) + ":" * tail
        value = cast(leaf, dtype)
        if tail:
            value = stretch_like(value, tuple(extents[len(place) :]))
        base = Sym(lift(out))
        out = apply("store", base, value, *place, spec=spec, checked=False)
    return out


def stretch_like(x: Any, extents: tuple[Any, ...]) -> Any:
    """x, whose extents must be these (checked)."""
    if known_dims(x.shape) == known_dims(extents) and None not in known_dims(extents):
        return x
    if any(
        a == 1 and b != 1
        for a, b in zip(dims(x.type), known_dims(extents), strict=True)
    ):
        misfit("the items of the list have different extents")
    checked = stretch(x, extents)
    return x if dims(checked.type) == dims(x.type) else checked


def _leaves(
    items: Any, shape: Sequence[int], place: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], Any]]:
    depth, rows = len(place), listed(items)
    if depth == len(shape):
        if rows is not None:
            misfit("the lists have different depths")
        yield place, items
        return
    if rows is None or len(rows) != shape[depth]:
        misfit("the lists have different lengths")
    for k, item in enumerate(rows):
        yield from _leaves(item, shape, (*place, k))


def _common(dtypes: Sequence[DType]) -> DType:
    return np.result_type(*dtypes) if dtypes else FLOAT64
