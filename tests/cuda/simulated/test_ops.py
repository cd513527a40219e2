"""Elementwise ops inside of kernels give what their records say."""

from __future__ import annotations

import pytest

from gradjit.cuda import shim
from gradjit.ir.op import Op
from tests.cuda.every_op import DTYPES, every
from tests.cuda.op_results import compare, operands, raises, samples

pytestmark = pytest.mark.skipif(not shim.SIMULATED, reason="for the simulator")
TOLERANCE = {"f4": (2e-5, 1e-6)}


def ops(dtype: str) -> list[Op]:
    return list(dict.fromkeys(op for op, _ in every(dtype).calls))


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_values(dtype: str) -> None:
    count, most = 0, 0
    for op in ops(dtype):
        calls = operands(dtype, len(op.domain))
        fine = [c for c in calls if not raises(op, dtype, c)]
        count += compare([op.name], fine, dtype, *TOLERANCE.get(dtype, (1e-13, 0.0)))
        most += len(calls)
    assert count > 0.9 * most


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_domains(dtype: str) -> None:
    tolerance = TOLERANCE.get(dtype, (1e-13, 0.0))
    for op in ops(dtype):
        assert compare([op.name], samples(op, dtype), dtype, *tolerance) >= 5
