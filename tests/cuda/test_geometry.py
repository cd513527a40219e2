"""Grids on paper: within CUDA's limits, and each element is somebody's, once."""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradjit.cuda import device as dev
from gradjit.cuda import geometry
from gradjit.cuda.shim import cuda
from tests.cuda import ptx

SIZES = (0, 1, 31, 32, 33, 255, 257, 1025, 10**6, 2**31 - 1, 2**31 + 1, 2**40)
SIDES = (0, 1, 33, 1025, 2**31 + 1, 2**40)
DEVICES = (1, 132, 1000)  # multiprocessors
STREAM = object()


@pytest.fixture(params=DEVICES, autouse=True)
def multiprocessors(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> int:
    place = SimpleNamespace(multiprocessors=request.param, stream=STREAM)
    monkeypatch.setattr(geometry, "current", lambda: place)
    return request.param


def extents(config: Any) -> tuple[int, int, int, int]:
    """Blocks along x and y, threads along x and y; all within the limits."""
    grid, block, stream = config
    assert stream is STREAM
    (grid_x, grid_y), (block_x, block_y) = (
        shape if isinstance(shape, tuple) else (shape, 1) for shape in (grid, block)
    )
    assert all(type(k) is int for k in (grid_x, grid_y, block_x, block_y))
    assert 1 <= grid_x < 2**31
    assert 1 <= grid_y <= 65535
    assert 1 <= block_x * block_y <= 1024
    assert min(block_x, block_y) >= 1
    assert grid_x * grid_y <= dev.MAX_BLOCKS
    return grid_x, grid_y, block_x, block_y


@functools.cache
def ids(blocks: int, threads: int) -> np.ndarray:
    """`cuda.grid(1)`, or what stands for it along an axis, of all threads."""
    numbers = np.arange(blocks, dtype=np.int64)[:, None] * threads + np.arange(threads)
    return numbers.ravel()


def covered(first: np.ndarray, n: int, step: int) -> bool:
    """Whether `range(first, n, step)` over all threads is each of 0..n-1 once.

    Threads that begin at different remainders share nothing; then it is all if it is
    enough.
    """
    starts = np.bincount(first % step, minlength=step)
    assert starts.max() == 1
    taken = np.maximum(-(-(n - first) // step), 0)
    return bool(int(taken.sum()) == n)


def test_what_covers_and_what_does_not() -> None:
    assert covered(np.arange(4), 9, 4)
    assert not covered(np.arange(4), 9, 5)
    assert not covered(np.arange(1, 5), 9, 4)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("config", [dev.elements, dev.items])
def test_elements(config: Any, n: int) -> None:
    blocks, _, threads, one = extents(config(n))
    assert one == 1
    assert covered(ids(blocks, threads), n, blocks * threads)


@pytest.mark.parametrize("rows", SIDES)
@pytest.mark.parametrize("cols", SIDES)
def test_grid2(rows: int, cols: int) -> None:
    grid_x, grid_y, block_x, block_y = extents(dev.grid2(rows, cols))
    assert covered(ids(grid_x, block_x), cols, grid_x * block_x)
    assert covered(ids(grid_y, block_y), rows, grid_y * block_y)


@pytest.mark.parametrize("n", SIDES)
@pytest.mark.parametrize("m", SIDES)
def test_rows(n: int, m: int) -> None:
    blocks, _, threads, _ = extents(dev.rows(n, m))
    assert threads % 32 == 0  # whole warps
    assert covered(np.arange(blocks), n, blocks)
    assert covered(np.arange(threads), m, threads)


def test_small_work_has_no_idle_blocks(multiprocessors: int) -> None:
    for n in (1, 31, 1025):
        blocks, _, threads, _ = extents(dev.elements(n))
        assert (blocks - 1) * threads < n
    assert extents(dev.grid2(3, 1)) == (1, 1, 1, 256)
    assert extents(dev.grid2(1, 3))[:2] == (1, 1)


def test_large_work_keeps_the_device_busy(multiprocessors: int) -> None:
    """A multiprocessor takes 2048 threads: some of each, for each."""
    for grid_x, grid_y, block_x, block_y in (
        extents(dev.elements(2**31)),
        extents(dev.grid2(2**16, 2**16)),
        extents(dev.grid2(2**31, 3)),
        extents(dev.grid2(3, 2**31)),
    ):
        blocks = min(2 * multiprocessors, dev.MAX_BLOCKS)
        assert grid_x * grid_y >= blocks
        assert block_x * block_y >= 128


@pytest.mark.parametrize("cc", ptx.CAPABILITIES, ids=str)
@pytest.mark.parametrize("multiprocessors", [1], indirect=True)
def test_indices_are_of_64_bits(cc: tuple[int, int], multiprocessors: int) -> None:
    def elements(n, x):
        for i in range(cuda.grid(1), n, cuda.gridsize(1)):
            x[i] = 1.0

    def rows(n, m, x):
        for i in range(cuda.blockIdx.x, n, cuda.gridDim.x):
            for j in range(cuda.threadIdx.x, m, cuda.blockDim.x):
                x[i * m + j] = 1.0

    def grid2(n, m, x):
        first_j, first_i = cuda.grid(2)
        step_j, step_i = cuda.gridsize(2)
        for i in range(first_i, n, step_i):
            for j in range(first_j, m, step_j):
                x[i * m + j] = 1.0

    for kernel, types in (
        (elements, "(int64, float64[::1])"),
        (rows, "(int64, int64, float64[::1])"),
        (grid2, "(int64, int64, float64[::1])"),
    ):
        code = ptx.code(ptx.compile_kernel(kernel, types, cc))
        assert "st.global.f64" in code or "st.global.u64" in code
        # No number of an element is formed in 32 bits; a division may be, if it can.
        assert "mul.wide.s32" in code or "cvt.s64.s32" in code
        for short in ("mad.lo.s32", "add.s32"):
            assert short not in code, (kernel.__name__, short)
