"""Margins and repetition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradjit.ops.array import full as filled
from gradjit.ops.array import new_axes
from gradjit.ops.numpy_diagonal import count_up
from gradjit.ops.numpy_join import places_of
from gradjit.ops.numpy_shape import atleast_1d, ravel, reshape, stretch
from gradjit.ops.surface import (
    CUBE,
    MATRIX,
    TRIPLE,
    VECTOR,
    array_of,
    as_extent,
    as_list,
    call,
    fresh,
    function,
    known_dims,
    listed,
    misfit,
    one_axis,
    refuse,
    require,
    symbol,
    view_index,
)
from gradjit.ops.sym import apply, elementwise


@function(
    np.pad,
    samples=(
        call(TRIPLE, 1),
        call(TRIPLE, (1, 2)),
        call(MATRIX, ((1, 0), (0, 2))),
        call(MATRIX, 1, constant_values=0.5),
        call(TRIPLE, 2, mode="edge"),
        call(TRIPLE, 2, mode="wrap"),
        call(TRIPLE, 2, mode="reflect"),
    ),
)
def pad(
    array: Any, pad_width: Any, mode: Any = "constant", constant_values: Any = 0
) -> Any:
    """An array with a margin."""
    x = array_of(array, "np.pad")
    widths = _widths(pad_width, x.ndim)
    if mode in _SOURCES:
        for k, (low, high) in enumerate(widths):
            x = _margin(x, k, low, high, _SOURCES[mode])
        return fresh(x)
    if mode != "constant":
        refuse(
            f"np.pad with mode={mode!r}",
            "The modes 'constant', 'edge', 'wrap' and 'reflect' are supported.",
        )
    if listed(constant_values) is not None:
        refuse("np.pad with several constant values", "Give one number.")
    shape = [low + n + high for n, (low, high) in zip(x.shape, widths, strict=True)]
    frame = filled(constant_values, shape, x.dtype, known_dims(shape))
    index: list[Any] = []
    for n, (low, _) in zip(x.shape, widths, strict=True):
        index += [low, n, 1]
    return apply("store", frame, x, *index, spec="s" * x.ndim, checked=False)


def _widths(width: Any, ndim: int) -> list[tuple[Any, Any]]:
    """(before, after) for each axis, from any of the ways to give it."""
    if isinstance(width, np.ndarray):
        width = width.tolist()
    items = listed(width)
    if items is None:
        return [(as_extent(width), as_extent(width))] * ndim
    if all(listed(w) is None for w in items):
        if len(items) == 1:
            items = items * 2
        return [(as_extent(items[0]), as_extent(items[1]))] * ndim
    pairs = [_pair([as_extent(e) for e in as_list(w)]) for w in items]
    pairs = pairs * ndim if len(pairs) == 1 else pairs
    if len(pairs) != ndim:
        misfit(f"np.pad: {len(pairs)} widths for {ndim} axes")
    return pairs


def _pair(width: list[Any]) -> tuple[Any, Any]:
    return width[0], width[-1]


def _clamped(i: Any, n: Any) -> Any:
    return elementwise("minimum", elementwise("maximum", i, 0), n - 1)


def _reflected(i: Any, n: Any) -> Any:
    period = 2 * (n - 1)
    place = i % period
    return n - 1 - abs(place - (n - 1))


_SOURCES: dict[str, Callable[[Any, Any], Any]] = {
    "edge": _clamped,
    "wrap": lambda i, n: i % n,
    "reflect": _reflected,
}


def _margin(x: Any, at: int, low: Any, high: Any, source: Callable[..., Any]) -> Any:
    """x with a margin along an axis, taken from inside of it."""
    n = x.shape[at]
    require(n > 0, "np.pad: an empty axis has nothing to fill the margin with")
    places = source(count_up(n + low + high) - low, n)
    spec = "".join("a" if k == at else ":" for k in range(x.ndim))
    return apply("gather", x, places, spec=spec, checked=False)


@function(
    np.tile, samples=(call(TRIPLE, 2), call(TRIPLE, (2, 2)), call(MATRIX, (1, 2)))
)
def tile(A: Any, reps: Any) -> Any:
    """The whole array repeated."""
    x = atleast_1d(A)
    counts = as_list(reps)
    counts = [1] * (x.ndim - len(counts)) + [as_extent(c) for c in counts]
    x = view_index(x, "n" * (len(counts) - x.ndim) + ":" * x.ndim)
    shape = x.shape
    wide = new_axes(x, tuple(range(0, 2 * x.ndim, 2)))
    both = [e for pair in zip(counts, shape, strict=True) for e in pair]
    total = tuple(c * n for c, n in zip(counts, shape, strict=True))
    return fresh(reshape(stretch(wide, tuple(both)), total))


@function(
    np.repeat,
    method="repeat",
    samples=(call(TRIPLE, 2), call(MATRIX, 2), call(MATRIX, 3, axis=1)),
)
def repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    """Each element repeated."""
    x = atleast_1d(a)
    if places_of(repeats) is not None or getattr(repeats, "ndim", 0):
        refuse(
            "np.repeat with a count for each element",
            "Use an index array: x[np.repeat(np.arange(n), counts)] with plain counts.",
        )
    if axis is None:
        x, axis = ravel(x), 0
    at, count = one_axis(axis, x.ndim), as_extent(repeats)
    shape = list(x.shape)
    wide = new_axes(x, (at + 1,))
    both = (*shape[: at + 1], count, *shape[at + 1 :])
    total = (*shape[:at], shape[at] * count, *shape[at + 1 :])
    return fresh(reshape(stretch(wide, both), total))


@function(
    np.take,
    method="take",
    samples=(call(VECTOR, np.array([2, 0])), call(CUBE, 1, axis=1)),
)
def take(a: Any, indices: Any, axis: Any = None) -> Any:
    """Elements at places along an axis."""
    x = array_of(a, "np.take")
    if axis is None:
        x, axis = ravel(x), 0
    at = one_axis(axis, x.ndim)
    key = (slice(None),) * at + (symbol(indices),)
    return x[key]
