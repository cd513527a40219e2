"""Reductions over the grid, in one launch, with the same bits each time.

Each block reduces its threads' values and writes its result into `parts`; the block
that finishes last (a counter says which) combines the results in the order of the
blocks' numbers, whoever was last, and writes `out[()]`. It sets the counter back to 0,
so that the next kernel of the stream finds it so. This is the scheme of the sample
threadFenceReduction of NVIDIA's CUDA.

    grid_sum_float64(value, parts, counters, k, out)
    grid_argmax_float64(value, index, parts, counters, k, out)

All threads of all blocks call them. `k` is the number of the reduction: two of a kernel
have different ones. `counters` holds an int32 for each k, and `parts` is float64, with
the same share for each k: `len(parts) // len(counters)`, at least `WORDS` times the
number of blocks. int64 goes through it in two halves, each exact as a float64.

Sums and products of float32 are float32 within a block and float64 over the blocks: the
error does not grow with the number of blocks, and only the last block pays for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradjit.cuda import block
from gradjit.cuda.block import thread_count, thread_number
from gradjit.cuda.shim import cuda

WORDS = 4
"""Most elements of `parts` that a block's result takes: an int64 and its index."""

_LOW = 0xFFFFFFFF
_LEAST = int(np.iinfo(np.int64).min)
_MOST = int(np.iinfo(np.int64).max)


@cuda.jit(device=True)
def _block_number() -> Any:
    row = cuda.blockIdx.z * cuda.gridDim.y + cuda.blockIdx.y
    return row * cuda.gridDim.x + cuda.blockIdx.x


@cuda.jit(device=True)
def _block_count() -> Any:
    return cuda.gridDim.x * cuda.gridDim.y * cuda.gridDim.z


@cuda.jit(device=True)
def _first_part(parts: Any, counters: Any, k: Any) -> Any:
    return k * (parts.shape[0] // counters.shape[0])


@cuda.jit(device=True)
def _is_last(counters: Any, k: Any) -> Any:
    """Whether this block is the last to come here; also a barrier.

    The first fence puts the block's part before the count, the second what the block
    reads of others' parts behind it.
    """
    last = 0
    if thread_number() == 0:
        cuda.threadfence()
        done = cuda.atomic.add(counters, k, 1)
        cuda.threadfence()
        last = 1 if done == _block_count() - 1 else 0
    return cuda.syncthreads_or(last) != 0


@cuda.jit(device=True)
def _put_float(parts: Any, at: Any, value: Any) -> None:
    parts[at] = value


@cuda.jit(device=True)
def _get_float64(parts: Any, at: Any) -> Any:
    return parts[at]


@cuda.jit(device=True)
def _get_float32(parts: Any, at: Any) -> Any:
    return np.float32(parts[at])


@cuda.jit(device=True)
def _put_int64(parts: Any, at: Any, value: Any) -> None:
    parts[at] = float(value >> 32)
    parts[at + _block_count()] = float(value & _LOW)


@cuda.jit(device=True)
def _get_int64(parts: Any, at: Any) -> Any:
    return (np.int64(parts[at]) << 32) + np.int64(parts[at + _block_count()])


@cuda.jit(device=True)
def _put_bool(parts: Any, at: Any, value: Any) -> None:
    parts[at] = 1.0 if value else 0.0


@cuda.jit(device=True)
def _get_bool(parts: Any, at: Any) -> Any:
    return parts[at] != 0.0


@dataclass(frozen=True, slots=True)
class _Kind:
    """How values of a dtype go through `parts`.

    Attributes:
        dtype: What makes the result of the combined values.
        put: Writes a value.
        get: Reads it, as what the values of blocks are combined in.
        words: How many elements it takes.
    """

    dtype: Any
    put: Any
    get: Any
    words: int


_FLOAT64 = _Kind(np.float64, _put_float, _get_float64, 1)
_FLOAT32 = _Kind(np.float32, _put_float, _get_float32, 1)
_FLOAT32_WIDE = _Kind(np.float32, _put_float, _get_float64, 1)
_INT64 = _Kind(np.int64, _put_int64, _get_int64, 2)
_BOOL = _Kind(bool, _put_bool, _get_bool, 1)


def _reduction(inner: Any, kind: _Kind, combine: Any, start: Any, outer: Any) -> Any:
    """A reduction of values.

    Args:
        inner: The reduction of a block's values.
        kind: How its result goes through `parts`.
        combine: Combines two results.
        start: The identity, of the results' type.
        outer: The reduction of a block's combined results.
    """
    dtype, put, get = kind.dtype, kind.put, kind.get
    joined = cuda.jit(device=True)(combine)

    @cuda.jit(device=True)
    def reduce(value: Any, parts: Any, counters: Any, k: Any, out: Any) -> None:
        value = inner(value)
        first = _first_part(parts, counters, k)
        if thread_number() == 0:
            put(parts, first + _block_number(), value)
        if _is_last(counters, k):
            total = start
            number = thread_number()
            while number < _block_count():
                total = joined(total, get(parts, first + number))
                number += thread_count()
            total = outer(total)
            if thread_number() == 0:
                out[()] = dtype(total)
                counters[k] = 0

    return reduce


def _place(pair: Any, kind: _Kind, better: Any, start: Any) -> Any:
    """A reduction of values with their indices, to the index.

    Args:
        pair: The reduction of a block's values and indices.
        kind: How a value goes through `parts`.
        better: Whether the second value and index win over the first.
        start: A value over which each other one wins, or it has the smaller index.
    """
    put, get, words, start = kind.put, kind.get, kind.words, kind.dtype(start)
    wins = cuda.jit(device=True)(better)

    @cuda.jit(device=True)
    def reduce(
        value: Any, index: Any, parts: Any, counters: Any, k: Any, out: Any
    ) -> None:
        value, index = pair(value, index)
        first = _first_part(parts, counters, k)
        places = first + words * _block_count()
        if thread_number() == 0:
            put(parts, first + _block_number(), value)
            _put_int64(parts, places + _block_number(), index)
        if _is_last(counters, k):
            most, place = start, _MOST
            number = thread_number()
            while number < _block_count():
                other = get(parts, first + number)
                other_place = _get_int64(parts, places + number)
                if wins(most, place, other, other_place):
                    most, place = other, other_place
                number += thread_count()
            most, place = pair(most, place)
            if thread_number() == 0:
                out[()] = place
                counters[k] = 0

    return reduce


_INF = float("inf")
_LARGER, _SMALLER = block.larger, block.smaller


def _both(a: Any, b: Any) -> Any:
    return a and b


def _either(a: Any, b: Any) -> Any:
    return a or b


def _widened(reduce32: Any, combine: Any, start: float, reduce64: Any) -> Any:
    return _reduction(reduce32, _FLOAT32_WIDE, combine, start, reduce64)


def _same(reduce: Any, kind: _Kind, combine: Any, start: Any) -> Any:
    return _reduction(reduce, kind, combine, kind.dtype(start), reduce)


grid_sum_float64 = _same(block.block_sum_float64, _FLOAT64, block.add, 0.0)
grid_sum_float32 = _widened(
    block.block_sum_float32, block.add, 0.0, block.block_sum_float64
)
grid_sum_int64 = _same(block.block_sum_int64, _INT64, block.add, 0)
grid_prod_float64 = _same(block.block_prod_float64, _FLOAT64, block.multiply, 1.0)
grid_prod_float32 = _widened(
    block.block_prod_float32, block.multiply, 1.0, block.block_prod_float64
)
grid_prod_int64 = _same(block.block_prod_int64, _INT64, block.multiply, 1)
grid_max_float64 = _same(block.block_max_float64, _FLOAT64, _LARGER, -_INF)
grid_max_float32 = _same(block.block_max_float32, _FLOAT32, _LARGER, -_INF)
grid_max_int64 = _same(block.block_max_int64, _INT64, _LARGER, _LEAST)
grid_min_float64 = _same(block.block_min_float64, _FLOAT64, _SMALLER, _INF)
grid_min_float32 = _same(block.block_min_float32, _FLOAT32, _SMALLER, _INF)
grid_min_int64 = _same(block.block_min_int64, _INT64, _SMALLER, _MOST)
grid_and = _same(block.block_and, _BOOL, _both, True)
grid_or = _same(block.block_or, _BOOL, _either, False)

_AS_LARGER, _AS_SMALLER = block.before_as_larger, block.before_as_smaller

grid_argmax_float64 = _place(block.block_first_max_float64, _FLOAT64, _AS_LARGER, -_INF)
grid_argmax_float32 = _place(block.block_first_max_float32, _FLOAT32, _AS_LARGER, -_INF)
grid_argmax_int64 = _place(block.block_first_max_int64, _INT64, _AS_LARGER, _LEAST)
grid_argmin_float64 = _place(block.block_first_min_float64, _FLOAT64, _AS_SMALLER, _INF)
grid_argmin_float32 = _place(block.block_first_min_float32, _FLOAT32, _AS_SMALLER, _INF)
grid_argmin_int64 = _place(block.block_first_min_int64, _INT64, _AS_SMALLER, _MOST)
