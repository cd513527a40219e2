"""Reductions over the threads of a block; the result is in all threads.

All threads of the block call them, the same number of times, and as often as they
like. A thread without an element passes the identity (0 for a sum, -inf for a maximum).
Blocks may have one, two or three dimensions and any number of threads from 1 to 1024;
threads are numbered as CUDA does, x first, and lanes and warps follow from that number.

On a device, each warp reduces by shuffles, by halves of what is left; its first lane
puts the result into shared memory, and every thread goes through these results, 32 at
most. A lane takes part only if it exists: the mask names the lanes that the block has,
and what comes from beyond them is not used. The barrier before the store lets the
readers of the reduction before finish, so no barrier is needed at the end. Loops are
`while` loops: for a `range` with an unknown step Numba divides.

The simulator has no shuffles. There, thread 0 combines what all threads put into shared
memory, in the order of the device: both give the same bits.

Sums and products of float32 stay in float32 within a block: the result is at most
5 + 31 roundings away from the values that the threads bring.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradjit.cuda.shim import SIMULATED, cuda

WARP = 32
_SHIFT = 5
_MOST_THREADS = 1024

Combine = Callable[[Any, Any], Any]
Better = Callable[[Any, Any, Any, Any], Any]


def add(a: Any, b: Any) -> Any:
    """The sum."""
    return a + b


def multiply(a: Any, b: Any) -> Any:
    """The product."""
    return a * b


def larger(a: Any, b: Any) -> Any:
    """As `np.maximum`: NaN if one is."""
    return a if a > b or a != a else b


def smaller(a: Any, b: Any) -> Any:
    """As `np.minimum`: NaN if one is."""
    return a if a < b or a != a else b


def before_as_larger(v: Any, i: Any, w: Any, j: Any) -> Any:
    """Whether `np.argmax` takes w at j rather than v at i."""
    if v != v:
        return w != w and j < i
    return w != w or w > v or (w == v and j < i)


def before_as_smaller(v: Any, i: Any, w: Any, j: Any) -> Any:
    """Whether `np.argmin` takes w at j rather than v at i."""
    if v != v:
        return w != w and j < i
    return w != w or w < v or (w == v and j < i)


def _thread_number() -> Any:
    """The number of this thread in its block."""
    row = cuda.threadIdx.z * cuda.blockDim.y + cuda.threadIdx.y
    return row * cuda.blockDim.x + cuda.threadIdx.x


def _thread_count() -> Any:
    """How many threads a block has."""
    return cuda.blockDim.x * cuda.blockDim.y * cuda.blockDim.z


thread_number = cuda.jit(device=True)(_thread_number)
thread_count = cuda.jit(device=True)(_thread_count)


def _shuffled(combine: Combine, dtype: Any) -> Any:
    """A reduction with warp shuffles."""
    joined = cuda.jit(device=True)(combine)

    @cuda.jit(device=True)
    def reduce(value: Any) -> Any:
        value = dtype(value)
        count = thread_count()
        thread = thread_number()
        lane = thread & (WARP - 1)
        # Numba's own numba.cuda does not compile `min` of two integers.
        live = count - (thread - lane)
        live = live if live < WARP else WARP
        mask = (1 << live) - 1
        offset = WARP // 2
        while offset > 0:
            other = cuda.shfl_down_sync(mask, value, offset)
            if lane + offset < live:
                value = joined(value, other)
            offset //= 2
        if count <= WARP:
            return cuda.shfl_sync(mask, value, 0)
        partial = cuda.shared.array(WARP, dtype)
        cuda.syncthreads()
        if lane == 0:
            partial[thread >> _SHIFT] = value
        cuda.syncthreads()
        value = partial[0]
        warp = 1
        while warp << _SHIFT < count:
            value = joined(value, partial[warp])
            warp += 1
        return value

    return reduce


def _shuffled_place(better: Better, dtype: Any) -> Any:
    """As `_shuffled`, for a value and its index."""
    wins = cuda.jit(device=True)(better)

    @cuda.jit(device=True)
    def reduce(value: Any, index: Any) -> Any:
        value = dtype(value)
        index = np.int64(index)
        count = thread_count()
        thread = thread_number()
        lane = thread & (WARP - 1)
        # Numba's own numba.cuda does not compile `min` of two integers.
        live = count - (thread - lane)
        live = live if live < WARP else WARP
        mask = (1 << live) - 1
        offset = WARP // 2
        while offset > 0:
            other = cuda.shfl_down_sync(mask, value, offset)
            place = cuda.shfl_down_sync(mask, index, offset)
            if lane + offset < live and wins(value, index, other, place):
                value = other
                index = place
            offset //= 2
        if count <= WARP:
            return cuda.shfl_sync(mask, value, 0), cuda.shfl_sync(mask, index, 0)
        values = cuda.shared.array(WARP, dtype)
        places = cuda.shared.array(WARP, np.int64)
        cuda.syncthreads()
        if lane == 0:
            values[thread >> _SHIFT] = value
            places[thread >> _SHIFT] = index
        cuda.syncthreads()
        value = values[0]
        index = places[0]
        warp = 1
        while warp << _SHIFT < count:
            if wins(value, index, values[warp], places[warp]):
                value = values[warp]
                index = places[warp]
            warp += 1
        return value, index

    return reduce


# The simulator runs one block after another, so these hold the values of a block. Its
# shared arrays would not do: threads that ask for one at the same time can get two.


def _simulated(combine: Combine, dtype: Any) -> Any:
    """A reduction without shuffles; Python only."""
    held = np.empty(_MOST_THREADS, dtype)
    result = np.empty(1, dtype)

    @cuda.jit(device=True)
    def reduce(value: Any) -> Any:
        number = _thread_number()
        held[number] = value
        cuda.syncthreads()
        if number == 0:
            with np.errstate(all="ignore"):
                result[0] = _in_order(combine, list(held[: _thread_count()]))
        cuda.syncthreads()
        return result[0]

    return reduce


def _simulated_place(better: Better, dtype: Any) -> Any:
    """As `_simulated`, for a value and its index."""
    held, places = np.empty(_MOST_THREADS, dtype), np.empty(_MOST_THREADS, np.int64)
    most, place = np.empty(1, dtype), np.empty(1, np.int64)

    def combine(a: tuple[Any, Any], b: tuple[Any, Any]) -> tuple[Any, Any]:
        return b if better(*a, *b) else a

    @cuda.jit(device=True)
    def reduce(value: Any, index: Any) -> Any:
        number = _thread_number()
        held[number], places[number] = value, index
        cuda.syncthreads()
        if number == 0:
            count = _thread_count()
            pairs = list(zip(held[:count], places[:count], strict=True))
            most[0], place[0] = _in_order(combine, pairs)
        cuda.syncthreads()
        return most[0], place[0]

    return reduce


def _in_order(combine: Combine, values: list[Any]) -> Any:
    """What the shuffles give: each warp by halves, then the warps one after another."""
    warps: list[Any] = []
    for first in range(0, len(values), WARP):
        warp = values[first : first + WARP]
        offset = WARP // 2
        while offset > 0:
            # As in lockstep: all lanes read before one writes.
            others = warp[offset:]
            for lane, other in enumerate(others):
                warp[lane] = combine(warp[lane], other)
            offset //= 2
        warps.append(warp[0])
    result = warps[0]
    for value in warps[1:]:
        result = combine(result, value)
    return result


_reduction = _simulated if SIMULATED else _shuffled
_place = _simulated_place if SIMULATED else _shuffled_place


def _index_of(pair: Any) -> Any:
    @cuda.jit(device=True)
    def reduce(value: Any, index: Any) -> Any:
        return pair(value, index)[1]

    return reduce


block_sum_float64 = _reduction(add, np.float64)
block_sum_float32 = _reduction(add, np.float32)
block_sum_int64 = _reduction(add, np.int64)
block_prod_float64 = _reduction(multiply, np.float64)
block_prod_float32 = _reduction(multiply, np.float32)
block_prod_int64 = _reduction(multiply, np.int64)
block_max_float64 = _reduction(larger, np.float64)
block_max_float32 = _reduction(larger, np.float32)
block_max_int64 = _reduction(larger, np.int64)
block_min_float64 = _reduction(smaller, np.float64)
block_min_float32 = _reduction(smaller, np.float32)
block_min_int64 = _reduction(smaller, np.int64)

# The value and the index.
block_first_max_float64 = _place(before_as_larger, np.float64)
block_first_max_float32 = _place(before_as_larger, np.float32)
block_first_max_int64 = _place(before_as_larger, np.int64)
block_first_min_float64 = _place(before_as_smaller, np.float64)
block_first_min_float32 = _place(before_as_smaller, np.float32)
block_first_min_int64 = _place(before_as_smaller, np.int64)

# The index alone.
block_argmax_float64 = _index_of(block_first_max_float64)
block_argmax_float32 = _index_of(block_first_max_float32)
block_argmax_int64 = _index_of(block_first_max_int64)
block_argmin_float64 = _index_of(block_first_min_float64)
block_argmin_float32 = _index_of(block_first_min_float32)
block_argmin_int64 = _index_of(block_first_min_int64)


@cuda.jit(device=True)
def block_and(value: Any) -> Any:
    """Whether the value of all threads is true."""
    return cuda.syncthreads_and(1 if value else 0) != 0


@cuda.jit(device=True)
def block_or(value: Any) -> Any:
    """Whether the value of a thread is true."""
    return cuda.syncthreads_or(1 if value else 0) != 0
