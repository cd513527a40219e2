"""What can be run on a GPU only: ops and device functions as it computes them."""

from __future__ import annotations

import pytest

from gradjit.cuda import shim
from gradjit.cuda.shim import cuda
from tests.cuda import inside_programs as p
from tests.cuda.every_op import DTYPES, OPS
from tests.cuda.op_results import compare, operands, samples

HAS_DEVICE = shim.IMPORTED and not shim.SIMULATED and bool(cuda.is_available())
pytestmark = [
    pytest.mark.skipif(not HAS_DEVICE, reason="there is no CUDA device"),
    # Of launches with few threads.
    pytest.mark.filterwarnings("ignore::Warning"),
]
TOLERANCE = {"f4": (2e-5, 1e-6)}


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_values(dtype: str) -> None:
    names = [op.name for op in OPS]
    tolerance = TOLERANCE.get(dtype, (1e-12, 1e-14))
    assert compare(names, operands(dtype), dtype, *tolerance) > 200


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_domains(dtype: str) -> None:
    tolerance = TOLERANCE.get(dtype, (1e-12, 1e-14))
    for op in OPS:
        if not op.name.startswith(("logical", "bit", "sh", "invert")):
            assert compare([op.name], samples(op, dtype), dtype, *tolerance) >= 5


def test_numbers() -> None:
    p.check_numbers(rtol=1e-9)


def test_arrays() -> None:
    p.check_arrays(rtol=1e-10)
