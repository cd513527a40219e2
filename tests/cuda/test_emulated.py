"""What kernels compute, by their PTX: run on a machine that is no GPU.

The simulator runs Python, so that it cannot see what Numba's CUDA target and libdevice
make of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import typeof

from gradjit.cuda import shim
from tests.cuda import inside_programs as p
from tests.cuda.emulator import Machine
from tests.cuda.every_op import OPS, every, kernel, signature
from tests.cuda.op_results import agree, arrays, operands
from tests.cuda.ptx import reason

pytestmark = pytest.mark.skipif(bool(reason()), reason=reason() or "PTX can be made")
TOLERANCE = {"f4": (2e-5, 1e-6)}


def run(made: Any, rows: int, *given: Any) -> None:
    """Run a kernel's first thread."""
    assert rows == 1
    text = shim.ptx(made, tuple(typeof(x) for x in given), (8, 0))
    Machine(text).launch(*given)


@pytest.mark.parametrize(
    ("dtype", "arity"),
    [*((d, n) for d in ("f8", "f4", "i8") for n in (1, 2)), ("i4", 2), ("b1", 2)],
)
def test_ops(dtype: str, arity: int) -> None:
    found = every(dtype, only=[op.name for op in OPS if len(op.domain) == arity])
    calls = operands(dtype, arity)
    if dtype[0] == "f":
        between = np.linspace(-2.9, 2.9, 13).astype(dtype)
        calls += [(x, y, True) for x, y in zip(between, between[::-1], strict=True)]
    columns, outs = arrays(found, calls)
    Machine(shim.ptx(kernel(found), signature(found), (8, 0))).launch(*columns, *outs)
    assert agree(found, outs, calls, *TOLERANCE.get(dtype, (1e-12, 1e-14))) > 20


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_choice(dtype: str) -> None:
    found, calls = every(dtype, only=["where"]), operands(dtype)
    columns, outs = arrays(found, calls)
    Machine(shim.ptx(kernel(found), signature(found), (8, 0))).launch(*columns, *outs)
    assert agree(found, outs, calls, 0.0, 0.0) == len(calls)


def test_derivatives_by_numbers() -> None:
    p.check_numbers(1e-9, 1, run)


def test_derivatives_by_arrays() -> None:
    p.check_arrays(1e-10, 1, run)
