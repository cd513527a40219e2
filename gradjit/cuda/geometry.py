"""Grids and blocks of kernels, by what they go through.

All grids are limited: to a few waves of the device's multiprocessors and to
`MAX_BLOCKS` blocks, so that a kernel's loops must step by the size of the grid. A grid
depends on the sizes and the device alone: a sum has the same parts, and the same bits,
each time.

Blocks have at most 256 threads, since a kernel may take 255 registers for each thread
and a multiprocessor has 65536: with more threads, a large kernel could not be launched.

The simulator starts a Python thread for each thread: there, blocks are a warp and grids
a few blocks, but never one block only where there is work for two.
"""

from __future__ import annotations

from typing import Any

from gradjit.cuda.place import MAX_BLOCKS, current
from gradjit.cuda.shim import SIMULATED

_THREADS = 32 if SIMULATED else 256
_ROW_THREADS = (8, 32) if SIMULATED else (32, 256)
_ITEM_THREADS = 32 if SIMULATED else 128
_PARTS = 256  # threads along y, of sums down columns
_MOST_Y = 65535  # of a grid; x goes to 2**31 - 1

Config = tuple[Any, Any, Any]
"""Grid, block and stream: what stands in the brackets of a launch."""


def elements(n: int) -> Config:
    """For `for i in range(cuda.grid(1), n, cuda.gridsize(1))`."""
    return _limited(-(-n // _THREADS)), _THREADS, current().stream


def grid2(rows: int, cols: int) -> Config:
    """For two loops, `cols` along x and `rows` along y, each by `cuda.gridsize(2)`."""
    x = min(_power(cols), _THREADS)
    y = _THREADS // x
    across = _limited(-(-cols // x))
    down = min(-(-rows // y), max(1, _most() // across), _MOST_Y)
    return (across, max(1, down)), (x, y), current().stream


def rows(n: int, m: int) -> Config:
    """For rows by blocks and the columns of a row by the threads of its block.

    `for i in range(cuda.blockIdx.x, n, cuda.gridDim.x)`, and within it
    `for j in range(cuda.threadIdx.x, m, cuda.blockDim.x)`.
    """
    least, most = _ROW_THREADS
    # A few columns for each thread: fewer barriers, more loads on their way. Where
    # there are fewer rows than multiprocessors, threads are what keeps the device busy.
    columns = 4 if n > 2 * current().multiprocessors else 1
    threads = min(max(_power(-(-m // columns)), least), most)
    return _limited(n), threads, current().stream


def columns(rows: int, cols: int) -> Config:
    """As `grid2`, for sums down the columns: each y of the grid has a part of them.

    The parts are summed by a second kernel, so there are few of them.
    """
    (across, down), (x, y), stream = grid2(rows, cols)
    return (across, min(down, max(1, _PARTS // y))), (x, y), stream


def count_height(rows: int, cols: int) -> int:
    """How many threads `columns` has along y."""
    (_, down), (_, y), _ = columns(rows, cols)
    return down * y


def count_blocks(n: int, m: int) -> int:
    """How many blocks `rows` has."""
    return rows(n, m)[0]


def count_items(n: int) -> int:
    """How many threads `items` has."""
    blocks, threads, _ = items(n)
    return blocks * threads


def items(n: int) -> Config:
    """For independent scalar programs, a thread each; loops as for `elements`."""
    return _limited(-(-n // _ITEM_THREADS)), _ITEM_THREADS, current().stream


def one() -> Config:
    """One block of one thread."""
    return 1, 1, current().stream


def _limited(blocks: int) -> int:
    return max(1, min(blocks, _most()))


def _most() -> int:
    """Most blocks of a grid: two waves of full multiprocessors."""
    return 3 if SIMULATED else min(16 * current().multiprocessors, MAX_BLOCKS)


def _power(n: int) -> int:
    """The smallest power of two that is at least n."""
    return 1 << max(0, int(n) - 1).bit_length()
