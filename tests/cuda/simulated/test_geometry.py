"""The simulator's grids, launched: each element is written once."""

from __future__ import annotations

import numpy as np
import pytest

from gradjit.cuda import device as dev
from gradjit.cuda.grid import WORDS
from gradjit.cuda.shim import cuda


@cuda.jit
def count(n, x):
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        x[i] += 1.0


@cuda.jit
def count_rows(n, m, x):
    for i in range(cuda.blockIdx.x, n, cuda.gridDim.x):
        for j in range(cuda.threadIdx.x, m, cuda.blockDim.x):
            x[i, j] += 1.0


@cuda.jit
def count_grid(n, m, x):
    first_j, first_i = cuda.grid(2)
    step_j, step_i = cuda.gridsize(2)
    for i in range(first_i, n, step_i):
        for j in range(first_j, m, step_j):
            x[i, j] += 1.0


@pytest.mark.parametrize("n", [0, 1, 31, 33, 1025])
def test_elements(n: int) -> None:
    for config in (dev.elements, dev.items):
        x = dev.zeros(n)
        count[config(n)](n, x)
        assert (x.copy_to_host() == np.ones(n)).all()


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (1, 70), (70, 1), (7, 33)])
def test_rows_and_grids(shape: tuple[int, int]) -> None:
    x = dev.zeros(shape)
    count_rows[dev.rows(*shape)](*shape, x)
    count_grid[dev.grid2(*shape)](*shape, x)
    assert (x.copy_to_host() == np.full(shape, 2.0)).all()


def test_more_than_one_block_where_there_is_work_for_two() -> None:
    assert dev.elements(33)[0] == 2
    assert dev.elements(32)[0] == 1


def test_scratch_is_enough_for_the_largest_grid() -> None:
    """A block's part takes up to `WORDS` elements, of each reduction's share."""
    share = dev.parts().shape[0] // dev.counters().shape[0]
    assert share >= WORDS * dev.MAX_BLOCKS
    assert not dev.counters().copy_to_host().any()
