"""Elementwise ops inside of kernels give what their records say."""

from __future__ import annotations

import itertools
import math
import warnings
from typing import Any

import numpy as np
import pytest

from gradjit.cuda import shim
from gradjit.ir.op import Op
from tests.cuda.every_op import DTYPES, OPS, Every, every, given

pytestmark = pytest.mark.skipif(not shim.SIMULATED, reason="for the simulator")

FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 0.1, 7.3, 1e30, 1e-30]
FLOATS += [math.inf, -math.inf, math.nan]
WHOLE = [0, 1, 2, 3, 5, 7, 31, 64, 127]


def operands(dtype: str) -> list[tuple[Any, Any, bool]]:
    """Pairs of special values, with a truth value."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        values: list[Any] = FLOATS
    elif kind.kind == "b":
        values = [False, True]
    else:
        limits = np.iinfo(kind)
        values = [*WHOLE, int(limits.max)]
        values += [-1, -2, -7, int(limits.min)] if kind.kind == "i" else []
    numbers = [kind.type(v) for v in values]
    pairs = itertools.product(numbers, numbers)
    return [(x, y, k % 2 == 0) for k, (x, y) in enumerate(pairs)]


def samples(op: Op, dtype: str, count: int = 5) -> list[tuple[Any, Any, bool]]:
    """Numbers in the domain of an op."""
    rng = np.random.default_rng(len(op.name))
    numbers = [d for d in op.domain if op.name != "where" or d != op.domain[0]]
    columns = [rng.uniform(*d, count).astype(dtype) for d in (numbers * 2)[:2]]
    tests = rng.uniform(size=count) > 0.5
    return [(x, y, bool(t)) for x, y, t in zip(*columns, tests, strict=True)]


# The simulator takes any Python object for an argument.
KERNEL = """
@cuda.jit
def kernel(calls):
    for call in calls:
        every(*call)
"""


def run(found: Every, calls: list[Any]) -> list[dict[Any, Any]]:
    """What a kernel writes, for each of the operands."""
    space: dict[str, Any] = {}
    exec(f"{found.source}\n{KERNEL}", space)
    rows = [{d: np.zeros(len(found.calls), d) for d in found.outs} for _ in calls]
    flat = [(*call, *row.values()) for call, row in zip(calls, rows, strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy, in the kernel's threads
        space["kernel"][1, 1](flat)
    return rows


def compare(op: Op, calls: list[Any], dtype: str) -> int:
    """Check what a kernel gives for an op; how many numbers were compared."""
    found = every(dtype, only=[op.name])
    rtol, atol = (2e-5, 1e-6) if dtype == "f4" else (1e-13, 0.0)
    calls = [c for c in calls if not raises(op, dtype, c)]
    count = 0
    for args, row in zip(calls, run(found, calls), strict=True):
        for k, (_, params) in enumerate(found.calls):
            result = found.dtypes[k]
            got = row[result][k]
            want = expected(op, params, given(op, args), result)
            same = np.isclose(got, want, rtol=rtol, atol=atol, equal_nan=True)
            assert same, f"{op.name}{params or ''}{args}: {got} for {want}"
            count += 1
    return count


def raises(op: Op, dtype: str, args: Any) -> bool:
    """Whether the simulator raises, being Python, where there is a result.

    And for the power where NumPy itself has two answers: it takes x**0.5 as sqrt(x).
    """
    if op.name == "pow":
        return args[1] < 0 if dtype[0] == "i" else args[:2] == (-np.inf, 0.5)
    if op.name == "cast":  # to an integer that there is not
        return not abs(float(args[0])) < 2**63
    return op.name == "div" and dtype == "b1" and not args[1]


def expected(op: Op, params: Any, args: list[Any], dtype: Any) -> Any:
    """What the record says."""
    assert op.evaluate is not None
    if op.dtypes == "float":
        args = [np.float64(x) if x.dtype.kind in "iub" else x for x in args]
    with np.errstate(all="ignore"):
        return np.asarray(op.evaluate(*args, **params)).astype(dtype)[()]


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_values(dtype: str) -> None:
    ops = [op for op, _ in every(dtype).calls]
    calls = operands(dtype)
    counts = [compare(op, calls, dtype) for op in OPS if op in ops]
    assert sum(counts) > 0.9 * len(calls) * len(ops)


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_domains(dtype: str) -> None:
    ops = [op for op, _ in every(dtype).calls]
    counts = [compare(op, samples(op, dtype), dtype) for op in OPS if op in ops]
    assert sum(counts) > 0.9 * 5 * len(ops)
