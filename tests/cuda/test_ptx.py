"""The harness for PTX itself."""

from __future__ import annotations

import pytest

from gradjit.cuda.shim import cuda
from tests.cuda import ptx


@pytest.mark.parametrize("cc", ptx.CAPABILITIES)
def test_nested_device_functions_compile_without_a_device(cc: tuple[int, int]) -> None:
    @cuda.jit(device=True)
    def half(v):
        return 0.5 * v

    @cuda.jit(device=True)
    def quarter(v):
        return half(half(v))

    @cuda.jit
    def kernel(x):
        i = cuda.grid(1)
        if i < x.shape[0]:
            x[i] = quarter(x[i])

    text = ptx.compile_kernel(kernel, "(float64[::1],)", cc)
    assert "mul.f64" in ptx.code(text) or "mul.rn.f64" in ptx.code(text)
