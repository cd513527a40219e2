"""Derivatives called inside of kernels, against those of the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit.cuda import shim
from gradjit.cuda.shim import cuda
from tests.cuda import inside_programs as p

pytestmark = pytest.mark.skipif(not shim.SIMULATED, reason="for the simulator")


def test_numbers() -> None:
    p.check_numbers(rtol=1e-9)


def test_arrays() -> None:
    p.check_arrays(rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_made_for_the_types_of_the_call(dtype: Any) -> None:
    found: list[Any] = []
    slope = gradjit.device(p.energy)

    @cuda.jit
    def kernel(x: Any) -> None:
        found.append(slope(x[0]))

    kernel[1, 1](np.array([1.5], dtype))
    assert found[0].dtype == dtype
    rtol = 1e-5 if dtype == np.float32 else 1e-14
    np.testing.assert_allclose(found[0], gradjit.grad(p.energy)(1.5), rtol=rtol)


def test_extents_of_the_signature_are_looked_at() -> None:
    @cuda.jit
    def kernel(x: Any, d_x: Any) -> None:
        p.d_written(x, d_x)

    with pytest.raises(ValueError, match=r"x is not \[4\]"):
        kernel[1, 1](np.ones(5), np.ones(5))
    with pytest.raises(ValueError, match=r"d_x is not \[4\]"):
        kernel[1, 1](np.ones(4), np.ones(5))


def test_extents_of_gradients_are_looked_at() -> None:
    @cuda.jit
    def kernel(x: Any, d_x: Any) -> None:
        p.d_branches(x, d_x)

    with pytest.raises(ValueError, match="the gradient by x has another shape"):
        kernel[1, 1](np.ones(5), np.ones(4))
