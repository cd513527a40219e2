"""Joining, splitting, shifting and repeating arrays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from gradjit.ir.build import current
from gradjit.ops.array import new_axes
from gradjit.ops.numpy_make import array
from gradjit.ops.numpy_shape import (
    atleast_1d,
    atleast_2d,
    expand_dims,
    ravel,
    reshape,
)
from gradjit.ops.surface import (
    MATRIX,
    PLUS,
    SQUARE,
    TRIPLE,
    VECTOR,
    array_of,
    as_list,
    call,
    cast,
    function,
    known_dims,
    larger,
    listed,
    misfit,
    one_axis,
    require,
    smaller,
    some_axes,
    static,
    symbol,
    view_index,
)
from gradjit.ops.sym import Sym, apply, lift, require_equal

# ------------------------------------------------------------------------- joining


@function(
    np.concatenate,
    samples=(
        call((TRIPLE, PLUS, VECTOR)),
        call((MATRIX, SQUARE), axis=0),
        call((MATRIX, MATRIX), axis=1),
        call((MATRIX, MATRIX), axis=None),
    ),
)
def concatenate(arrays: Any, axis: Any = 0, dtype: Any = None) -> Any:
    """Arrays one after the other along an axis."""
    xs = [array_of(x, "np.concatenate") for x in arrays]
    if not xs:
        misfit("np.concatenate of no arrays")
    if axis is None:
        xs, axis = [ravel(x) for x in xs], 0
    if len({x.ndim for x in xs}) > 1:
        listed = ", ".join(str(x.type) for x in xs)
        misfit(f"np.concatenate of different numbers of axes: {listed}")
    at = one_axis(axis, xs[0].ndim)
    wanted = (
        np.result_type(*(x.dtype for x in xs)) if dtype is None else np.dtype(dtype)
    )
    return _joined([cast(x, wanted) for x in xs], at, "np.concatenate")


def _joined(xs: Sequence[Any], at: int, what: str) -> Any:
    """Arrays stored one after the other into a new one."""
    shape = list(xs[0].shape)
    for x in xs[1:]:
        for k in range(x.ndim):
            if k != at:
                message = f"{what}: extents differ along axis {k}"
                require_equal(current(), lift(shape[k]), lift(x.shape[k]), message)
    total = xs[0].shape[at]
    for x in xs[1:]:
        total = total + x.shape[at]
    shape[at] = total
    out = Sym(lift(apply("empty", *shape, dtype=xs[0].dtype, dims=known_dims(shape))))
    return current().wrap(lift(_stored(out, xs, at)))


def _stored(out: Any, xs: Sequence[Any], at: int) -> Any:
    spec = "".join("s" if k == at else ":" for k in range(out.ndim))
    start: Any = 0
    for x in xs:
        count = x.shape[at]
        place = (start, count, 1)
        out = Sym(lift(apply("store", out, x, *place, spec=spec, checked=False)))
        start = start + count
    return out


@function(
    np.stack,
    samples=(
        call([TRIPLE, PLUS]),
        call([TRIPLE, PLUS], axis=-1),
        call([MATRIX, MATRIX], axis=1),
        call([0.5, 1.5]),
    ),
)
def stack(arrays: Any, axis: Any = 0) -> Any:
    """Arrays side by side along a new axis."""
    xs = [symbol(x) for x in arrays]
    if not xs:
        misfit("np.stack of no arrays")
    if all(not x.ndim for x in xs):
        return array(xs)
    at = one_axis(axis, xs[0].ndim + 1)
    wanted = np.result_type(*(x.dtype for x in xs))
    return _joined([new_axes(cast(x, wanted), (at,)) for x in xs], at, "np.stack")


@function(np.hstack, samples=(call([TRIPLE, PLUS]), call([MATRIX, MATRIX])))
def hstack(tup: Any) -> Any:
    """Arrays one after the other along the second axis (vectors: the first)."""
    xs = [atleast_1d(x) for x in tup]
    return concatenate(xs, 0 if xs[0].ndim == 1 else 1)


@function(np.vstack, samples=(call([TRIPLE, PLUS]), call([MATRIX, SQUARE])))
def vstack(tup: Any) -> Any:
    """Arrays one below the other."""
    return concatenate([atleast_2d(x) for x in tup], 0)


@function(np.column_stack, samples=(call([TRIPLE, PLUS]), call([MATRIX, MATRIX])))
def column_stack(tup: Any) -> Any:
    """Vectors as the columns of a matrix."""
    xs = [symbol(x) for x in tup]
    return concatenate([expand_dims(x, 1) if x.ndim == 1 else x for x in xs], 1)


@function(np.append, samples=(call(TRIPLE, PLUS), call(MATRIX, SQUARE, axis=0)))
def append(arr: Any, values: Any, axis: Any = None) -> Any:
    """An array with more at its end."""
    if axis is None:
        arr, values = ravel(atleast_1d(arr)), ravel(atleast_1d(values))
        axis = 0
    return concatenate((arr, values), axis)


# ------------------------------------------------------------------------ splitting


def _part(x: Any, at: int, start: Any, count: Any) -> Any:
    spec = "".join("s" if k == at else ":" for k in range(x.ndim))
    return view_index(x, spec, start, count, 1)


@function(
    np.split, samples=(call(VECTOR, 2), call(MATRIX, 3, axis=1), call(VECTOR, [1, 3]))
)
def split(ary: Any, indices_or_sections: Any, axis: Any = 0) -> list[Any]:
    """Parts of equal extent, or between given places, as views."""
    x = array_of(ary, "np.split")
    at = one_axis(axis, x.ndim)
    n = x.shape[at]
    places = places_of(indices_or_sections)
    if places is not None:
        return _between(x, at, places)
    parts = static(indices_or_sections)
    require(n % parts == 0, "np.split: the extent does not divide into equal parts")
    count = n // parts
    return [_part(x, at, count * k, count) for k in range(parts)]


def places_of(x: Any) -> list[Any] | None:
    """The places at which to split, if they are given one by one."""
    return x.tolist() if isinstance(x, np.ndarray) else listed(x)


def _between(x: Any, at: int, places: list[Any]) -> list[Any]:
    n = x.shape[at]
    starts, stops = [0, *places], [*places, n]
    for stop in places:
        require(stop <= n, "np.split: a place lies outside of the array")
    return [_part(x, at, a, b - a) for a, b in zip(starts, stops, strict=True)]


@function(np.array_split, samples=(call(VECTOR, 3), call(MATRIX, 2, axis=1)))
def array_split(ary: Any, indices_or_sections: Any, axis: Any = 0) -> list[Any]:
    """Parts of nearly equal extent, as views."""
    if places_of(indices_or_sections) is not None:
        return split(ary, indices_or_sections, axis)
    x = array_of(ary, "np.array_split")
    at = one_axis(axis, x.ndim)
    n, parts = x.shape[at], static(indices_or_sections)
    size, extra = n // parts, n % parts
    bounds = [size * k + smaller(extra, k) for k in range(parts + 1)]
    return [_part(x, at, a, b - a) for a, b in pairwise(bounds)]


@function(np.hsplit, samples=(call(MATRIX, 3),))
def hsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Parts along the second axis."""
    x = symbol(ary)
    return split(x, indices_or_sections, 0 if x.ndim == 1 else 1)


@function(np.vsplit, samples=(call(MATRIX, 2),))
def vsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Parts along the first axis."""
    return split(ary, indices_or_sections, 0)


# ------------------------------------------------------------- turning and shifting


@function(np.flip, samples=(call(TRIPLE), call(MATRIX), call(MATRIX, axis=1)))
def flip(m: Any, axis: Any = None) -> Any:
    """The order of elements along axes reversed, as a view."""
    x = array_of(m, "np.flip")
    axes = some_axes(axis, x.ndim)
    spec = "".join("s" if k in axes else ":" for k in range(x.ndim))
    index: list[Any] = []
    for k in axes:
        n = x.shape[k]
        index += [n - 1, n, -1]
    return view_index(x, spec, *index)


@function(np.flipud, samples=(call(MATRIX),))
def flipud(m: Any) -> Any:
    """The order of rows reversed."""
    return flip(m, 0)


@function(np.fliplr, samples=(call(MATRIX),))
def fliplr(m: Any) -> Any:
    """The order of columns reversed."""
    return flip(m, 1)


@function(
    np.roll,
    samples=(
        call(VECTOR, 1),
        call(VECTOR, -2),
        call(MATRIX, 1),
        call(MATRIX, 4, axis=1),
        call(MATRIX, (1, 2), axis=(0, 1)),
    ),
)
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """Elements shifted along axes, those that leave come in at the other end."""
    x = array_of(a, "np.roll")
    if axis is None:
        return reshape(roll(ravel(x), shift, 0), x.shape)
    axes = as_list(axis)
    shifts = listed(shift) or [shift] * len(axes)
    for s, k in zip(shifts, axes, strict=True):
        x = _rolled(x, s, one_axis(k, x.ndim))
    return x


def _rolled(x: Any, shift: Any, at: int) -> Any:
    n = x.shape[at]
    if isinstance(shift, Sym):
        shift = cast(shift, np.dtype(np.int64), weak=True)
    moved = shift % larger(n, 1)
    return _joined(
        [_part(x, at, n - moved, moved), _part(x, at, 0, n - moved)], at, "np.roll"
    )
