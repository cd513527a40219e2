"""Arrays made by `gradjit.memory`, compiled and in plain Python, against NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

from gradjit import memory as mem

DTYPES = [np.float64, np.float32, np.int64, np.int32, np.uint8, np.bool_]
X = np.arange(120.0).reshape(2, 3, 4, 5)


def both(function: Callable[..., Any]) -> list[Callable[..., Any]]:
    return [function, numba.njit(function)]


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
def test_arrays_are_numpys(dtype: Any) -> None:
    def made(n: int, m: int) -> Any:
        a = mem.empty((n, m), dtype)
        a[:] = 1
        return (
            a,
            mem.zeros(n, dtype),
            mem.ones((m, n, 2), dtype),
            mem.full((n, m), 1, dtype),
        )

    for f in both(made):
        for n, m in ((2, 3), (0, 4), (1, 0)):
            want = (
                np.ones((n, m), dtype),
                np.zeros(n, dtype),
                np.ones((m, n, 2), dtype),
                np.full((n, m), 1, dtype),
            )
            for got, expected in zip(f(n, m), want, strict=True):
                assert got.dtype == expected.dtype
                assert got.flags.c_contiguous
                assert got.strides == expected.strides or not got.size
                np.testing.assert_array_equal(got, expected, strict=True)


def test_float64_is_the_default_and_values_are_converted() -> None:
    def made(n: int, value: float) -> Any:
        return mem.zeros((n, 3)), mem.full(n, value), mem.full((2, n), n), mem.ones(())

    for f in both(made):
        a, b, c, d = f(4, 0.25)
        np.testing.assert_array_equal(a, np.zeros((4, 3)), strict=True)
        np.testing.assert_array_equal(b, np.full(4, 0.25), strict=True)
        np.testing.assert_array_equal(c, np.full((2, 4), 4.0), strict=True)
        np.testing.assert_array_equal(d, np.ones(()), strict=True)


@pytest.mark.parametrize(
    "view",
    [
        X,
        X[:, 1],
        X[0, :, 2],
        X[..., 3],
        X[::-1, :, ::2],
        X[:, :0],
        np.asfortranarray(X),
        X.astype(np.float32)[:, 1],
        np.broadcast_to(X[0], (3, 3, 4, 5)),
        X > 7.0,
    ],
)
def test_copies_are_contiguous_and_apart(view: Any) -> None:
    for f in both(lambda x: mem.copy(x)):
        got = f(view)
        np.testing.assert_array_equal(got, view, strict=True)
        assert got.flags.c_contiguous
        assert got.flags.writeable
        assert not np.shares_memory(got, view)


def test_extents_that_are_none_raise() -> None:
    f = numba.njit(lambda n, m: mem.zeros((n, m)))
    for n, m in ((-1, 2), (3, -4), (0, -1), (2**62, 3), (2**32, 2**32)):
        with pytest.raises(ValueError, match=r"negative|too big"):
            f(n, m)
    with pytest.raises(MemoryError):
        f(2**40, 2**18)
