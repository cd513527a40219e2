"""The numba.cuda that was asked for is the one that runs."""

from __future__ import annotations

import os

import numpy as np

from gradjit.cuda import collective as co
from gradjit.cuda import shim
from gradjit.cuda.shim import cuda


def test_simulator_of_the_flavour() -> None:
    assert shim.SIMULATED
    assert os.environ.get("GRADJIT_TEST_FLAVOUR", shim.FLAVOUR) == shim.FLAVOUR


def test_kernel_runs() -> None:
    @cuda.jit
    def twice(x):
        for i in range(cuda.grid(1), x.shape[0], cuda.gridsize(1)):
            x[i] = 2.0 * x[i]

    x = np.arange(5.0)
    d_x = cuda.to_device(x)
    twice[2, 2](d_x)
    assert (d_x.copy_to_host() == 2.0 * x).all()


def test_device_functions_of_other_modules_run_side_by_side() -> None:
    """Numba's simulator swaps globals of modules under the feet of their threads."""
    block, total = co.block_max_float64, co.grid_sum_float64

    @cuda.jit
    def kernel(x, out, highs, parts, counters):
        i = cuda.grid(1)
        highs[i] = block(x[i])
        total(x[i] / highs[i], parts, counters, 1, out)

    for seed in range(5):
        x = np.random.default_rng(seed).uniform(1.0, 2.0, 4 * 33)
        highs, out = cuda.device_array(x.size), cuda.device_array(())
        parts, counters = np.empty(2 * 4 * 4), np.zeros(2, np.int32)
        kernel[4, 33](cuda.to_device(x), out, highs, parts, counters)
        most = np.repeat(x.reshape(4, 33).max(axis=1), 33)
        assert (highs.copy_to_host() == most).all()
        np.testing.assert_allclose(out.copy_to_host(), (x / most).sum(), rtol=1e-14)
