"""Kernels that reach a device function by several ways."""

import pytest
from numba import types

from gradjit.cuda import collective as co
from gradjit.cuda.shim import cuda
from tests.cuda import ptx

SIGNATURE = (
    types.float32[::1],
    types.float64[::1],
    types.int32[::1],
    types.Array(types.float32, 0, "C"),
    types.Array(types.float64, 0, "C"),
)


@pytest.mark.parametrize("cc", ptx.CAPABILITIES)
def test_a_kernel_reduces_over_blocks_and_grids_in_two_types(cc):
    @cuda.jit
    def kernel(x, parts, counters, single, double):
        t = co.block_sum_float32(x[0])
        co.grid_sum_float32(t, parts, counters, 0, single)
        co.grid_sum_float32(t * t, parts, counters, 1, single)
        co.grid_sum_float64(2.0 * t, parts, counters, 2, double)

    assert "shfl.sync.down" in ptx.compile_kernel(kernel, SIGNATURE, cc)
