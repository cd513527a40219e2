"""Vector math is right to 4 units in the last place, everywhere, and at the edges."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from gradjit.vectormath import ARITY, module
from gradjit.vectormath.coefficients import LONG, SHORT
from gradjit.vectormath.polynomial import evaluate
from tests.vectormath.loops import (
    NAMES,
    loop,
    run,
    run_in_vectors,
    run_singly,
    vector_math,
)
from tests.vectormath.oracle import exact, expected, places, special, units

DTYPES = pytest.mark.parametrize("dtype", [np.float64, np.float32])
KINDS = pytest.mark.parametrize("kind", ["libmvec", "polynomial"])
EACH = pytest.mark.parametrize("name", NAMES)
LIMIT = 4.0
# Of the polynomials, by themselves: units in float64 and float32.
CLOSE = {np.float64: 3.0, np.float32: 0.6}


def worst(name: str, dtype: Any, got: Any) -> tuple[float, str]:
    """The largest error, and where."""
    columns = zip(*places(name, dtype), strict=True)
    rows = zip(columns, got, expected(name, dtype), strict=True)
    return max((units(g, w), f"{name}{args}: {g}") for args, g, w in rows)


@KINDS
@DTYPES
@EACH
def test_the_whole_range(kind: str, name: str, dtype: Any) -> None:
    vector_math(kind)
    limit = CLOSE[dtype] if kind == "polynomial" else LIMIT
    args = places(name, dtype)
    compiled = loop(kind, name)
    for got in (run_in_vectors(compiled, *args), run_singly(compiled, *args)):
        assert got.dtype == dtype
        error, where = worst(name, dtype, got)
        assert error <= limit, f"{error} units at {where}"


@DTYPES
@EACH
def test_polynomials_without_fused_arithmetic(name: str, dtype: Any) -> None:
    args = [x.astype(float) for x in places(name, dtype)]
    tables = LONG if dtype is np.float64 else SHORT
    with np.errstate(all="ignore"):
        got = evaluate(name, *args, tables=tables).astype(dtype)
    error, where = worst(name, dtype, got)
    assert error <= CLOSE[dtype], f"{error} units at {where}"


@KINDS
@DTYPES
@EACH
def test_special_values(kind: str, name: str, dtype: Any) -> None:
    vector_math(kind)
    args = special(dtype, ARITY[name])
    compiled = loop(kind, name)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = getattr(module(kind), name)(*args)
    for got in (run_in_vectors(compiled, *args), run_singly(compiled, *args)):
        for g, w, *xs in zip(got, want, *args, strict=True):
            assert agrees(name, g, w, xs), f"{name}{xs}: {g}, not {w}"


def agrees(name: str, got: Any, want: Any, args: list[Any]) -> bool:
    """Whether a result is NumPy's where that is special, else as exact as any."""
    if np.isnan(want) or np.isnan(got):
        return bool(np.isnan(want) and np.isnan(got))
    if np.signbit(got) != np.signbit(want):
        return False
    if got == want or np.isinf([got, want, *args]).any():
        return bool(np.isclose(got, want, rtol=1e-6, atol=0))
    if name == "logaddexp":  # what cancels is as exact as the larger operand
        return abs(got - want) <= LIMIT * max(map(np.spacing, map(abs, args)))
    return units(got, exact(name, *map(float, args))) <= LIMIT


@EACH
def test_user_fastmath_does_not_reach_polynomials(name: str) -> None:
    args = places(name, np.float64)
    compiled = loop("polynomial", name, fastmath=True)
    keep = np.array([abs(w) < 1e300 for w in expected(name, np.float64)])
    got = np.where(keep, run(compiled, *args), 0.0)
    rows = zip(got, expected(name, np.float64), keep, strict=True)
    assert max(units(g, w) for g, w, inside in rows if inside) <= LIMIT
