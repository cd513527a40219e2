"""Arrays on the device: new ones, copies, views, and what the host asks of them.

Emitted host code calls these; arrays are `numba.cuda`'s device arrays. Views are made
without copies. New arrays are C-contiguous and belong to the current place's stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from gradjit.cuda import status
from gradjit.cuda.place import current
from gradjit.cuda.shim import SIMULATED, cuda

Shape = int | Sequence[int]


def empty(shape: Shape, dtype: DTypeLike = np.float64) -> Any:
    """A new array; what it holds is undefined."""
    return cuda.device_array(_shape(shape), np.dtype(dtype), stream=current().stream)


def zeros(shape: Shape, dtype: DTypeLike = np.float64) -> Any:
    """A new array of zeros."""
    return full(shape, 0, dtype)


def ones(shape: Shape, dtype: DTypeLike = np.float64) -> Any:
    """A new array of ones."""
    return full(shape, 1, dtype)


def full(shape: Shape, value: Any, dtype: DTypeLike = np.float64) -> Any:
    """A new array of one value, a number or a 0-d device array."""
    out = empty(shape, dtype)
    if SIMULATED:
        out[...] = getattr(value, "_ary", value)
        return out
    raise NotImplementedError


def copy(a: Any) -> Any:
    """A new array with the elements of another one."""
    out = empty(a.shape, a.dtype)
    if SIMULATED:
        out[...] = a._ary
        return out
    raise NotImplementedError


def transpose(a: Any, axes: Sequence[int] | None = None) -> Any:
    """A view with the axes in another order, the reversed one by default."""
    order = tuple(axes) if axes is not None else tuple(reversed(range(a.ndim)))
    shape = tuple(a.shape[k] for k in order)
    return _view(a, shape, tuple(a.strides[k] for k in order))


def reshape(a: Any, shape: Shape) -> Any:
    """A view with another shape, or a copy where strides allow no view."""
    return a.reshape(_filled(_shape(shape), a.size))


def nonzero(mask: Any) -> tuple[Any, ...]:
    """Where a mask is not zero, as `np.nonzero`; waits for the device."""
    found = np.nonzero(to_host(mask))
    return tuple(cuda.to_device(k, stream=current().stream) for k in found)


def item(a: Any) -> Any:
    """The number in an array of one element; waits for the device."""
    return to_host(a).reshape(())[()]


def to_host(a: Any) -> np.ndarray[Any, Any]:
    """The array as a NumPy array; waits for the device, and raises what kernels found."""
    place = current()
    host = a.copy_to_host(stream=place.stream)
    status.check(place)
    return host


def _view(a: Any, shape: tuple[int, ...], strides: tuple[int, ...]) -> Any:
    if SIMULATED:
        view = np.lib.stride_tricks.as_strided(a._ary, shape, strides)
        return type(a)(view)
    raise NotImplementedError


def _shape(shape: Shape) -> tuple[int, ...]:
    if isinstance(shape, Sequence):
        return tuple(int(n) for n in shape)
    return (int(shape),)


def _filled(shape: tuple[int, ...], size: int) -> tuple[int, ...]:
    """The shape with its -1 filled in."""
    if -1 not in shape:
        return shape
    known = prod(n for n in shape if n != -1)
    return tuple(size // max(known, 1) if n == -1 else n for n in shape)
