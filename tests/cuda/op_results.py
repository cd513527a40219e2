"""What ops give inside of kernels, against what their records say.

For the simulator and for a GPU: the kernels are those that are compiled to PTX.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradjit.cuda import shim
from gradjit.cuda.shim import cuda
from gradjit.ir.op import Op
from tests.cuda.every_op import Every, every, given, kernel

Call = tuple[Any, Any, Any]
FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 0.1, 7.3, 1e30, 1e-30]
FLOATS += [math.inf, -math.inf, math.nan]
WHOLE = [0, 1, 2, 3, 5, 7, 31, 64, 127]


def operands(dtype: str, arity: int = 2) -> list[Call]:
    """Special values, or all pairs of them, with a truth value."""
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
    alone = zip(numbers, numbers, strict=True)
    pairs = itertools.product(numbers, numbers) if arity > 1 else alone
    return [(x, y, k % 2 == 0) for k, (x, y) in enumerate(pairs)]


def samples(op: Op, dtype: str, count: int = 5) -> list[Call]:
    """Numbers in the domain of an op."""
    rng = np.random.default_rng(len(op.name))
    numbers = [d for d in op.domain if op.name != "where" or d != op.domain[0]]
    columns = [rng.uniform(*d, count).astype(dtype) for d in (numbers * 2)[:2]]
    tests = rng.uniform(size=count) > 0.5
    return [(x, y, bool(t)) for x, y, t in zip(*columns, tests, strict=True)]


def arrays(found: Every, calls: Sequence[Call]) -> tuple[list[Any], list[Any]]:
    """What goes into a kernel: operands, and for each dtype a row for each of them."""
    x0, x1, test = zip(*calls, strict=True)
    columns = [np.array(x0, found.dtype), np.array(x1, found.dtype)]
    outs = [np.zeros((len(calls), len(found.calls)), d) for d in found.outs]
    return [*columns, np.array(test, bool)], outs


def launched(found: Every, calls: Sequence[Call]) -> list[Any]:
    """What a kernel writes for these operands."""
    columns, outs = arrays(found, calls)
    moved = [cuda.to_device(x) for x in (*columns, *outs)]
    grid = (1, 1) if shim.SIMULATED else (4, 64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy in the simulator, of a small grid
        kernel(found)[grid](*moved)
    return [x.copy_to_host() for x in moved[len(columns) :]]


def compare(
    names: Sequence[str], calls: Sequence[Call], dtype: str, rtol: float, atol: float
) -> int:
    """Check what a kernel gives for ops; how many numbers were compared."""
    found = every(dtype, only=names)
    return agree(found, launched(found, calls), calls, rtol, atol)


def agree(
    found: Every, outs: Sequence[Any], calls: Sequence[Call], rtol: float, atol: float
) -> int:
    """Check results of ops; how many numbers were compared."""
    count = 0
    for k, (op, params) in enumerate(found.calls):
        result = found.dtypes[k]
        for got, args in zip(outs[found.outs.index(result)], calls, strict=True):
            if raises(op, found.dtype.str[1:], args):
                continue
            want = expected(op, params, given(op, args), result)
            same = np.isclose(got[k], want, rtol=rtol, atol=atol, equal_nan=True)
            assert same, f"{op.name}{params or ''}{args}: {got[k]} for {want}"
            count += 1
    return count


def raises(op: Op, dtype: str, args: Any) -> bool:
    """Whether a result is not looked at: the simulator, being Python, may raise there.

    Other reasons: NumPy itself has two answers for -inf**0.5, which it takes as a root;
    and the least integer by -1 has no quotient, for which Numba has 0 on any target.
    """
    if op.name == "floordiv" and dtype[0] == "i":
        return args[1] == -1 and args[0] == np.iinfo(dtype).min
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
