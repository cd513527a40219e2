"""Diagonals and triangles."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradjit.ir.types import INT64, dims
from gradjit.ops.array import full
from gradjit.ops.elementwise import number
from gradjit.ops.surface import (
    CUBE,
    MATRIX,
    SQUARE,
    TRIPLE,
    array_of,
    call,
    function,
    known,
    known_dims,
    larger,
    misfit,
    one_axis,
    smaller,
    static,
    view_transpose,
)
from gradjit.ops.sym import apply, elementwise


def count_up(n: Any) -> Any:
    """0, 1, ..., n - 1."""
    return apply("iota", n, dtype=INT64, dims=(known(n),))


def diagonal_of(x: Any, offset: int, first: int, second: int) -> Any:
    """The diagonal of two axes; its axis comes last, as in NumPy."""
    rest = tuple(k for k in range(x.ndim) if k not in (first, second))
    x = view_transpose(x, (*rest, first, second))
    low, high = max(-offset, 0), max(offset, 0)
    m, n = x.shape[-2:]
    count = smaller(m - low, n - high) if low or high else smaller(m, n)
    if low or high:
        count = larger(count, 0)
    i = count_up(count)
    spec = ":" * len(rest) + "aa"
    return apply("gather", x, i + low, i + high, spec=spec, checked=False)


@function(
    np.diagonal,
    method="diagonal",
    samples=(call(SQUARE), call(MATRIX, 1), call(CUBE, 0, 0, 2)),
)
def diagonal(a: Any, offset: Any = 0, axis1: Any = 0, axis2: Any = 1) -> Any:
    """The diagonal of two axes."""
    x = array_of(a, "np.diagonal")
    first, second = one_axis(axis1, x.ndim), one_axis(axis2, x.ndim)
    return diagonal_of(x, static(offset), first, second)


@function(np.trace, method="trace", samples=(call(SQUARE), call(MATRIX, 1), call(CUBE)))
def trace(a: Any, offset: Any = 0, axis1: Any = 0, axis2: Any = 1) -> Any:
    """Sum of the diagonal."""
    found = diagonal(a, offset, axis1, axis2)
    return apply("reduce_sum", found, axes=(found.ndim - 1,))


@function(
    np.diag,
    samples=(call(SQUARE), call(MATRIX, -1), call(TRIPLE), call(TRIPLE, 1)),
)
def diag(v: Any, k: Any = 0) -> Any:
    """The diagonal of a matrix, or the matrix with a given diagonal."""
    x, offset = array_of(v, "np.diag"), static(k)
    if x.ndim == 2:
        return diagonal_of(x, offset, 0, 1)
    if x.ndim != 1:
        misfit(f"np.diag needs one or two axes, not {x.ndim}")
    n = x.shape[0] + abs(offset)
    blank = full(0, (n, n), x.dtype, known_dims((n, n)))
    i = count_up(x.shape[0])
    at = (i + max(-offset, 0), i + max(offset, 0))
    return apply("scatter_add", blank, x, *at, spec="aa", checked=False)


def _triangle(x: Any, k: Any, compare: str) -> Any:
    m, n = x.shape[-2:]
    rows = apply("index", count_up(m), spec=":n", dims=(known(m), 1), checked=False)
    inside = elementwise(compare, count_up(n), rows + static(k))
    return elementwise(
        "where", inside, x, False if x.dtype.kind == "b" else number(0.0, x)
    )


@function(np.tril, samples=(call(SQUARE), call(SQUARE, -1), call(CUBE)))
def tril(m: Any, k: Any = 0) -> Any:
    """The lower triangle."""
    return _triangle(_matrix(m, "np.tril"), k, "le")


@function(np.triu, samples=(call(SQUARE), call(MATRIX, 1), call(CUBE)))
def triu(m: Any, k: Any = 0) -> Any:
    """The upper triangle."""
    return _triangle(_matrix(m, "np.triu"), k, "ge")


def _matrix(m: Any, what: str) -> Any:
    x = array_of(m, what)
    if len(dims(x.type)) < 2:
        misfit(f"{what} needs two axes or more, not {x.type}")
    return x
