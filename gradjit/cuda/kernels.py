"""Kernels of the runtime itself: filling, copying, adding, products without cuBLAS."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from gradjit.cuda.shim import SIMULATED, cuda

TILE = 4 if SIMULATED else 16


@cuda.jit
def fill(n: int, value: Any, out: Any) -> None:
    """out[i] = value."""
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        out[i] = value


@cuda.jit
def fill_from(n: int, value: Any, out: Any) -> None:
    """out[i] = value, which is a number on the device."""
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        out[i] = value[()]


@cuda.jit
def add_to(n: int, a: Any, out: Any) -> None:
    """out[i] += a[i]."""
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        out[i] += a[i]


@cuda.jit
def gather(n: int, base: Any, first: int, shape: Any, steps: Any, out: Any) -> None:
    """Copies strided elements: those of `base`, from `first` on, by `steps`."""
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        rest = i
        at = first
        for axis in range(len(shape) - 1, -1, -1):
            at += rest % shape[axis] * steps[axis]
            rest //= shape[axis]
        out[i] = base[at]


@functools.cache
def product(dtype: np.dtype[Any]) -> Any:
    """The kernel of c = a @ b + keep * c, for stacks of matrices.

    A block computes a tile of the result; tiles of the operands pass through shared
    memory side by side, so that each number is loaded once for a row or a column of
    threads.
    """
    zero = dtype.type(0)
    numba_type = cuda_type(dtype)

    @cuda.jit
    def multiply(a: Any, b: Any, c: Any, keep: bool) -> None:
        left = cuda.shared.array((TILE, TILE), numba_type)
        right = cuda.shared.array((TILE, TILE), numba_type)
        x, y = cuda.threadIdx.x, cuda.threadIdx.y
        stack, m, n = c.shape
        inner = a.shape[2]
        for s in range(cuda.blockIdx.z, stack, cuda.gridDim.z):
            for top in range(cuda.blockIdx.y * TILE, m, cuda.gridDim.y * TILE):
                for side in range(cuda.blockIdx.x * TILE, n, cuda.gridDim.x * TILE):
                    i, j = top + y, side + x
                    total = zero
                    for k in range(0, inner, TILE):
                        inside = i < m and k + x < inner
                        left[y, x] = a[s, i, k + x] if inside else zero
                        inside = k + y < inner and j < n
                        right[y, x] = b[s, k + y, j] if inside else zero
                        cuda.syncthreads()
                        for p in range(TILE):
                            total += left[y, p] * right[p, x]
                        cuda.syncthreads()
                    if i < m and j < n:
                        c[s, i, j] = c[s, i, j] + total if keep else total

    return multiply


def cuda_type(dtype: np.dtype[Any]) -> Any:
    """Numba's type of a dtype."""
    from numba import from_dtype  # pyright: ignore

    convert: Any = from_dtype
    return convert(dtype)
