"""Additions of many threads to one element of an array in global memory.

Their order is not known, nor is the last bit of a sum of floats: what is to be the same
each time goes through the reductions of `gradjit.cuda.block` and `gradjit.cuda.grid`.
Indices are a tuple of integers inside the array; negative ones do not wrap. For one
axis, Numba takes the integer alone; the branch that does not fit an array goes before
types are found, since the number of axes is known then.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradjit.cuda.shim import cuda


@cuda.jit(device=True)
def add_float64(array: Any, index: Any, value: Any) -> None:
    """`array[index] += value` as one step."""
    if array.ndim == 1:
        cuda.atomic.add(array, index[0], np.float64(value))
    else:
        cuda.atomic.add(array, index, np.float64(value))


@cuda.jit(device=True)
def add_float32(array: Any, index: Any, value: Any) -> None:
    """`array[index] += value` as one step."""
    if array.ndim == 1:
        cuda.atomic.add(array, index[0], np.float32(value))
    else:
        cuda.atomic.add(array, index, np.float32(value))


@cuda.jit(device=True)
def add_int64(array: Any, index: Any, value: Any) -> None:
    """`array[index] += value` as one step."""
    if array.ndim == 1:
        cuda.atomic.add(array, index[0], np.int64(value))
    else:
        cuda.atomic.add(array, index, np.int64(value))
