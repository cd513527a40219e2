"""Running sums and products, differences, integrals."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from gradjit.ops.numpy_reduce import at_dtype, reduce_sum
from gradjit.ops.products import running
from gradjit.ops.reduce import restore_axes
from gradjit.ops.surface import (
    MATRIX,
    PLUS,
    TRIPLE,
    call,
    cast,
    function,
    one_axis,
    product,
    static,
    symbol,
    view_index,
    view_reshape,
)


def _running(op: str, a: Any, axis: Any, dtype: Any) -> Any:
    x = at_dtype(symbol(a), dtype)
    if dtype is None and x.dtype.kind in "biu":
        x = cast(x, np.sum(np.zeros(1, x.dtype)).dtype)
    if axis is None:
        x = view_reshape(x, (product(x.shape),)) if x.ndim != 1 else x
        axis = 0
    return running(x, one_axis(axis, x.ndim), op)


@function(
    np.cumsum,
    method="cumsum",
    samples=(call(TRIPLE), call(MATRIX), call(MATRIX, axis=0)),
)
def cumsum(a: Any, axis: Any = None, dtype: Any = None) -> Any:
    """Running sums."""
    return _running("add", a, axis, dtype)


@function(
    np.cumprod,
    method="cumprod",
    samples=(call(TRIPLE), call(MATRIX), call(MATRIX, axis=1)),
)
def cumprod(a: Any, axis: Any = None, dtype: Any = None) -> Any:
    """Running products."""
    return _running("mul", a, axis, dtype)


@function(np.diff, samples=(call(TRIPLE), call(TRIPLE, 2), call(MATRIX, axis=0)))
def diff(a: Any, n: Any = 1, axis: Any = -1) -> Any:
    """Differences of neighbours."""
    x = symbol(a)
    at = one_axis(axis, x.ndim)
    for _ in range(static(n)):
        x = neighbours(x, at, _rise)
    return x


def _rise(low: Any, high: Any) -> Any:
    return high - low


def _middle(low: Any, high: Any) -> Any:
    return (low + high) * 0.5


def neighbours(x: Any, axis: int, combine: Any) -> Any:
    """Something of all elements but the last and all but the first."""
    count = x.shape[axis] - 1
    count = builtins.max(count, 0) if isinstance(count, int) else count
    spec = "".join("s" if k == axis else ":" for k in range(x.ndim))
    low = view_index(x, spec, 0, count, 1)
    return combine(low, view_index(x, spec, 1, count, 1))


@function(
    np.trapezoid, samples=(call(TRIPLE), call(TRIPLE, PLUS), call(MATRIX, dx=0.5))
)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: Any = -1) -> Any:
    """Integral by the trapezoidal rule."""
    y = symbol(y)
    at = one_axis(axis, y.ndim)
    means = neighbours(y, at, _middle)
    if x is None:
        return reduce_sum(means * dx, at)
    x = symbol(x)
    steps = diff(x, axis=at if x.ndim > 1 else -1)
    if steps.ndim == 1 and y.ndim > 1:
        steps = restore_axes(steps, tuple(k for k in range(y.ndim) if k != at))
    return reduce_sum(means * steps, at)
