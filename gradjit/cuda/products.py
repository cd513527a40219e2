"""Products of matrices and vectors on the device.

`matmul` and `add_matmul` are what `gradjit.blas` has for the CPU: operands of one or
two axes, or stacks of matrices. With CuPy they are cuBLAS's, which takes a transposed
view as it is; without, a kernel of our own that works on any strides, and is slower.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradjit.cuda import kernels, optional, views
from gradjit.cuda.buffers import copy, empty, flat, reshape
from gradjit.cuda.geometry import elements
from gradjit.cuda.place import current
from gradjit.cuda.shim import SIMULATED

_MOST_Y = 65535  # blocks of a grid along y and z
_LARGEST = 2**31 - 1  # extent that cuBLAS takes

Extents = tuple[int, ...]


def matmul(a: Any, b: Any, out: Any = None) -> Any:
    """a @ b, in `out` if there is one."""
    if out is None:
        out = empty(_shape_of(a, b), np.result_type(a.dtype, b.dtype))
    _product(out, a, b, keep=False)
    return out


def add_matmul(out: Any, a: Any, b: Any) -> None:
    """out += a @ b."""
    _product(out, a, b, keep=True)


def _product(out: Any, a: Any, b: Any, keep: bool) -> None:
    if out.size == 0:
        return
    if SIMULATED:
        product = np.matmul(a._ary, b._ary)
        out[...] = out._ary + product if keep else product
    elif _is_cublas(out, a, b):
        with optional.cupy_stream(current().handle):
            _cublas(out, a, b, keep)
    else:
        tiled(out, a, b, keep)


def _shape_of(a: Any, b: Any) -> Extents:
    left, right = tuple(a.shape), tuple(b.shape)
    down = left[-2:-1]
    across = right[-1:] if len(right) > 1 else ()
    return (*np.broadcast_shapes(left[:-2], right[:-2]), *down, *across)


# ------------------------------------------------------------------------------ cuBLAS


def _is_cublas(out: Any, a: Any, b: Any) -> bool:
    """Whether CuPy's products can do it: floats of one type, on extents that fit."""
    if optional.cublas() is None or out.dtype.char not in "fd":
        return False
    if not (a.dtype == b.dtype == out.dtype and a.size and b.size):
        return False
    fits = all(n <= _LARGEST for x in (a, b, out) for n in x.shape)
    turned = a.ndim == b.ndim == 2 and out.is_f_contiguous()
    return fits and (turned or out.is_c_contiguous())


def _cublas(out: Any, a: Any, b: Any, keep: bool) -> None:
    if max(a.ndim, b.ndim) > 2:
        _stacked(out, a, b, keep)
        return
    cublas = optional.cublas()
    beta = 1.0 if keep else 0.0
    if max(a.ndim, b.ndim) == 1:
        a, out = reshape(a, (1, -1)), flat(out)
    to, left, right = (optional.cupy_array(_dense(x)) for x in (out, a, b))
    if b.ndim == 1:
        cublas.gemv("N", 1.0, left, right, beta, to)
    elif a.ndim == 1:
        cublas.gemv("T", 1.0, right, left, beta, to)
    else:
        cublas.gemm("N", "N", left, right, out=to, alpha=1.0, beta=beta)


def _stacked(out: Any, a: Any, b: Any, keep: bool) -> None:
    """A stack of products; CuPy has no accumulating one, so the sum is ours."""
    target = empty(tuple(out.shape), out.dtype) if keep else out
    arrays = [optional.cupy_array(x) for x in (a, b, target)]
    optional.cupy().matmul(arrays[0], arrays[1], out=arrays[2])
    if keep:
        launch = kernels.add_to[elements(out.size)]
        launch(out.size, flat(target), flat(out))


def _dense(x: Any) -> Any:
    """The array if cuBLAS can take it, or a copy: CuPy's gemv ignores strides."""
    return x if x.is_c_contiguous() or x.is_f_contiguous() else copy(x)


# ----------------------------------------------------------------------- without cuBLAS


def tiled(out: Any, a: Any, b: Any, keep: bool) -> None:
    """The product by our own kernel, on any strides and dtypes."""
    axes = max(a.ndim, b.ndim, 2) - 2
    if axes > 1:
        for k in range(int(out.shape[0])):
            tiled(out[k], _at(a, k, axes), _at(b, k, axes), keep)
        return
    stack = tuple(out.shape)[:axes] or (1,)
    shape = (*stack, _rows(a), _columns(b))
    left, right = _stack_of(a, stack, row=True), _stack_of(b, stack, row=False)
    result = views.view(out, shape, _strides(out, a.ndim > 1, b.ndim > 1))
    tile = kernels.TILE
    across, down = -(-shape[2] // tile), min(-(-shape[1] // tile), _MOST_Y)
    grid = (across, down, min(shape[0], _MOST_Y))
    multiply = kernels.product(out.dtype)
    multiply[grid, (tile, tile), current().stream](left, right, result, keep)


def _at(x: Any, k: int, axes: int) -> Any:
    """Item k of a stack of `axes` axes; of an operand with fewer, or one of 1, all."""
    if x.ndim - 2 < axes:
        return x
    return x[k if x.shape[0] > 1 else 0]


def _stack_of(x: Any, stack: Extents, row: bool) -> Any:
    """An operand as a stack of matrices; a vector is a row or a column."""
    shape, strides = tuple(x.shape), tuple(x.strides)
    if x.ndim == 1:
        length, step = shape[0], strides[0]
        shape, strides = ((1, length), (0, step)) if row else ((length, 1), (step, 0))
    if len(shape) == 2:
        return views.view(x, (*stack, *shape), (0, *strides))
    step = strides[0] if shape[0] > 1 else 0
    return views.view(x, (*stack, *shape[1:]), (step, *strides[1:]))


def _strides(out: Any, has_rows: bool, has_columns: bool) -> Extents:
    """The result's strides as a stack of matrices: 0 for an axis that it has not."""
    strides = list(out.strides)
    across = strides.pop() if has_columns else 0
    down = strides.pop() if has_rows else 0
    return (strides.pop() if strides else 0, down, across)


def _rows(a: Any) -> int:
    return tuple(a.shape)[-2] if a.ndim > 1 else 1


def _columns(b: Any) -> int:
    return tuple(b.shape)[-1] if b.ndim > 1 else 1
