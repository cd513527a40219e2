"""Products of `gradjit.blas`, compiled and in plain Python, against NumPy's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
import pytest

from gradjit import blas as la

EXTENTS = [(3, 4, 5), (1, 7, 9), (8, 1, 9), (20, 30, 1), (20, 30, 25)]
EMPTY = [(0, 3, 4), (3, 0, 4), (3, 4, 0)]
TOLERANCE = {np.float64: 1e-12, np.float32: 3e-5}


def new(a: Any, b: Any) -> Any:
    return la.matmul(a, b)


def into(out: Any, a: Any, b: Any) -> None:
    la.matmul(a, b, out=out)


def onto(out: Any, a: Any, b: Any) -> None:
    la.add_matmul(out, a, b)


WAYS = [(new, into, onto), tuple(map(numba.njit, (new, into, onto)))]


def matrices(rows: int, columns: int, dtype: Any, seed: int) -> Iterator[Any]:
    """Matrices of all kinds of strides."""
    rng = np.random.default_rng(seed)

    def some(*shape: int) -> Any:
        return rng.normal(size=shape).astype(dtype)

    yield some(rows, columns)
    yield some(columns, rows).T
    yield some(rows, 3, columns)[:, 1]
    yield some(columns, 3, rows)[:, 1].T
    yield some(rows, 2 * columns)[:, ::2]
    yield some(rows, columns)[::-1]
    yield some(rows, columns)[:, ::-1]
    yield np.broadcast_to(some(columns), (rows, columns))
    yield np.broadcast_to(some(rows, 1), (rows, columns))


def vectors(n: int, dtype: Any) -> Iterator[Any]:
    x = np.random.default_rng(3).normal(size=(n, 3)).astype(dtype)
    yield x[:, 0].copy()
    yield x[:, 1]
    yield x[::-1, 2]


def targets(rows: int, columns: int, dtype: Any) -> Iterator[Any]:
    """Where a product may go; NaN, which must not get into it."""
    yield np.full((rows, columns), np.nan, dtype)
    yield np.full((rows, 3, columns), np.nan, dtype)[:, 1]
    yield np.full((columns, rows), np.nan, dtype).T
    yield np.full((rows, 2 * columns), np.nan, dtype)[:, ::2]


@pytest.mark.parametrize("way", WAYS, ids=["plain", "compiled"])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda d: d.__name__)
@pytest.mark.parametrize("extents", EXTENTS + EMPTY, ids=str)
def test_matrices(way: Any, dtype: Any, extents: tuple[int, int, int]) -> None:
    make, put, add = way
    m, k, n = extents
    same = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    for a in matrices(m, k, dtype, 0):
        for b in matrices(k, n, dtype, 1):
            want = a @ b
            got = make(a, b)
            assert got.dtype == dtype
            np.testing.assert_allclose(got, want, **same)
            for out in targets(m, n, dtype):
                put(out, a, b)
                np.testing.assert_allclose(out, want, **same)
                add(out, a, b)
                np.testing.assert_allclose(out, 2.0 * want, **same)


@pytest.mark.parametrize("way", WAYS, ids=["plain", "compiled"])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda d: d.__name__)
@pytest.mark.parametrize("extents", [(3, 4), (1, 1), (1, 50), (40, 30), (0, 3), (3, 0)])
def test_matrices_and_vectors(way: Any, dtype: Any, extents: tuple[int, int]) -> None:
    make, put, add = way
    m, k = extents
    same = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    for a in matrices(m, k, dtype, 0):
        pairs = [(a, v) for v in vectors(k, dtype)] + [
            (v, a) for v in vectors(m, dtype)
        ]
        for x, y in pairs:
            want = x @ y
            np.testing.assert_allclose(make(x, y), want, **same)
            for out in vectors(len(want), dtype):
                out[:] = np.nan
                put(out, x, y)
                np.testing.assert_allclose(out, want, **same)
                add(out, x, y)
                np.testing.assert_allclose(out, 2.0 * want, **same)


@pytest.mark.parametrize("way", WAYS, ids=["plain", "compiled"])
@pytest.mark.parametrize("n", [2, 20])
def test_nan_and_inf_go_where_numpy_lets_them_go(way: Any, n: int) -> None:
    make, _, add = way
    a, b = np.ones((n, n)), np.ones((n, n))
    a[0, 1], b[1, 0], a[1, 1] = np.nan, np.inf, 0.0
    out = np.full((n, n), 1.0)
    out[1, 1] = -np.inf
    with np.errstate(invalid="ignore"):
        want = a @ b
        expected = out + want
        np.testing.assert_array_equal(make(a, b), want)
        add(out, a, b)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("way", WAYS, ids=["plain", "compiled"])
def test_extents_that_do_not_fit_raise(way: Any) -> None:
    make, put, add = way
    x, y = np.ones((20, 30)), np.ones((30, 40))
    for a, b in ((x, y[:-1]), (x[:, 1:], y), (x, np.ones(29)), (np.ones(31), y)):
        with pytest.raises(ValueError, match=r"differ|mismatch"):
            make(a, b)
    for update in (put, add):
        for shape in ((20, 39), (19, 40), (40, 20)):
            with pytest.raises(ValueError, match=r"differ|match|broadcast"):
                update(np.zeros(shape), x, y)


def test_what_is_no_product_here_is_refused() -> None:
    compiled = numba.njit(new)
    v, x = np.ones(3), np.ones((3, 3))
    for a, b in ((v, v), (x, x.astype(np.float32)), (x > 0, x > 0), (x[None], x)):
        with pytest.raises(numba.errors.TypingError):
            compiled(a, b)
