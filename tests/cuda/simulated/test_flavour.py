"""The numba.cuda that was asked for is the one that runs."""

from __future__ import annotations

import os

import numpy as np

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
