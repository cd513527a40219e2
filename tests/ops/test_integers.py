"""Integers and bools: NumPy's dtypes, also of small ones; shifts, powers, limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradjit

DTYPES = ("bool", "int8", "uint8", "int16", "uint32", "int64")
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "quotient": lambda a: a / a[:1],
    "quotient of floor": lambda a: a // a[:1],
    "remainder": lambda a: a % a[:1],
    "power": lambda a: a**2,
    "powers": lambda a: a ** a[:1],
    "running sums": lambda a: np.cumsum(a, axis=1),
    "running products": lambda a: np.cumprod(a),
    "matrix product": lambda a: a @ a.T,
    "einsum": lambda a: np.einsum("ij,ij->i", a, a),
    "einsum of one": lambda a: np.einsum("ij->i", a),
    "sum": lambda a: a.sum(axis=0),
    "below": lambda a: a > -1,
    "above": lambda a: a < 300,
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_dtype_and_value(name: str, dtype: str) -> None:
    a = np.array([[1, 1, 3], [100, 2, 101]]).astype(dtype)
    want = FUNCTIONS[name](a)
    got = gradjit.jit(FUNCTIONS[name])(a)
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64"])
def test_shifts_by_more_than_all_bits(dtype: str) -> None:
    a = np.array([5, 3, 100, 7]).astype(dtype)
    a = -a if dtype.startswith("i") else a
    by = np.array([0, 7, 8, 65]).astype(dtype)
    for f in (np.left_shift, np.right_shift):
        got = gradjit.jit(lambda a, b, f=f: f(a, b))(a, by)
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, f(a, by))


def test_integer_to_a_negative_power_is_refused() -> None:
    f = gradjit.jit(lambda n: 2**n)
    assert f(5) == 32
    with pytest.raises(gradjit.ShapeError, match="negative power is not an integer"):
        f(-2)


def test_integer_that_does_not_fit_is_refused() -> None:
    with pytest.raises(gradjit.DtypeError, match="300 does not fit into uint8"):
        gradjit.jit(lambda a: a + 300)(np.ones(2, np.uint8))


def test_trapezoid_along_the_axis_of_both() -> None:
    rng = np.random.default_rng(0)
    y, x = rng.random((3, 4)), np.cumsum(rng.random((3, 4)), axis=0)
    got = gradjit.jit(lambda y, x: np.trapezoid(y, x, axis=0))(y, x)
    np.testing.assert_allclose(got, np.trapezoid(y, x, axis=0))
