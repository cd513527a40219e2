"""Arrays on the device: new ones, copies, views, and what the host asks of them.

Emitted host code calls these; arrays are `numba.cuda`'s device arrays. Views are made
without copies. New arrays are C-contiguous and belong to the current place.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from gradjit.cuda import kernels, optional, status, views
from gradjit.cuda.geometry import elements
from gradjit.cuda.place import current
from gradjit.cuda.shim import SIMULATED, cuda, device_memset, device_to_device
from gradjit.errors import UnsupportedError

Shape = int | Sequence[int]


def empty(shape: Shape, dtype: DTypeLike = np.float64) -> Any:
    """A new array; what it holds is undefined."""
    return views.new(current(), _extents(shape), dtype)


def zeros(shape: Shape, dtype: DTypeLike = np.float64) -> Any:
    """A new array of zeros."""
    out = empty(shape, dtype)
    if SIMULATED:
        out[...] = 0
    elif out.size:
        device_memset(out, 0, out.nbytes, current().stream)
    return out


def ones(shape: Shape, dtype: DTypeLike = np.float64) -> Any:
    """A new array of ones."""
    return full(shape, 1, dtype)


def full(shape: Shape, value: Any, dtype: DTypeLike = np.float64) -> Any:
    """A new array of one value, a number or a 0-d device array."""
    out = empty(shape, dtype)
    on_device = hasattr(value, "copy_to_host")
    if SIMULATED:
        out[...] = value[()] if on_device else value
    elif out.size and on_device:
        kernels.fill_from[elements(out.size)](out.size, value, flat(out))
    elif out.size:
        number = out.dtype.type(value).item()  # as what the array holds: nan is no int
        kernels.fill[elements(out.size)](out.size, number, flat(out))
    return out


def copy(a: Any) -> Any:
    """A new C-contiguous array with the elements of another one."""
    out = empty(tuple(a.shape), a.dtype)
    if out.size:
        copy_into(out, a)
    return out


def copy_into(out: Any, a: Any) -> None:
    """Copies elements into a C-contiguous array of the same shape and dtype."""
    if a.is_c_contiguous():
        if SIMULATED:
            out[...] = a._ary
        else:
            device_to_device(out, a, out.nbytes, current().stream)
        return
    base, first, steps = _memory(a)
    launch = kernels.gather[elements(a.size)]
    launch(a.size, base, first, tuple(a.shape), steps, flat(out))


def _memory(a: Any) -> tuple[Any, int, tuple[int, ...]]:
    """All elements that an array spans, where it begins in them, and its steps."""
    shape, strides, itemsize = tuple(a.shape), tuple(a.strides), a.dtype.itemsize
    if any(step % itemsize for step in strides):
        what = f"an array of {a.dtype} with strides of {strides} bytes"
        raise UnsupportedError(what, hint="copy it before the call")
    before, size = views.spanned(shape, strides, itemsize)
    steps = tuple(step // itemsize for step in strides)
    count = (size // itemsize,)
    if SIMULATED:
        low = a._ary[tuple(slice(None, None, -1 if s < 0 else 1) for s in strides)]
        base = type(a)(np.lib.stride_tricks.as_strided(low, count, (itemsize,)))
    else:
        address = views.address_of(a) - before
        base = views.placed(current(), address, a, count, (itemsize,), a.dtype)
    return base, before // itemsize, steps


def transpose(a: Any, axes: Sequence[int] | None = None) -> Any:
    """A view with the axes in another order, the reversed one by default."""
    order = tuple(axes) if axes is not None else tuple(reversed(range(a.ndim)))
    shape, strides = tuple(a.shape), tuple(a.strides)
    return views.view(
        a, tuple(shape[k] for k in order), tuple(strides[k] for k in order)
    )


def reshape(a: Any, shape: Shape) -> Any:
    """A view with another shape; of a copy if the array is not C-contiguous."""
    extents = _extents(shape)
    if -1 in extents:
        known = prod(n for n in extents if n != -1)
        extents = tuple(a.size // max(known, 1) if n == -1 else n for n in extents)
    if prod(extents) != a.size:
        what = f"cannot reshape an array of {a.size} elements into {extents}"
        raise ValueError(what)
    whole = a if a.is_c_contiguous() else copy(a)
    return views.view(whole, extents, views.contiguous(extents, a.dtype.itemsize))


def flat(a: Any) -> Any:
    """A C-contiguous array as one axis."""
    return views.view(a, (a.size,), (a.dtype.itemsize,))


def nonzero(mask: Any) -> tuple[Any, ...]:
    """Where a mask is not zero, as `np.nonzero`; waits for the device."""
    place = current()
    if optional.cupy() is None:
        found = np.nonzero(to_host(mask))
        return tuple(to_device(k) for k in found)
    with optional.cupy_stream(place.handle):
        status.check(place)
        found = optional.cupy().nonzero(optional.cupy_array(mask))
        return tuple(copy(cuda.as_cuda_array(k, sync=False)) for k in found)


def item(a: Any) -> Any:
    """The number in an array of one element; waits for the device."""
    return to_host(a).reshape(())[()]


def to_host(a: Any) -> np.ndarray[Any, Any]:
    """The array as a NumPy array.

    Waits for the device, and raises what kernels found.
    """
    host = copied_to_host(a)
    status.check(current())
    return host


def copied_to_host(a: Any) -> np.ndarray[Any, Any]:
    """A NumPy array that is filled when the place has been waited for."""
    whole = a if a.size == 0 or a.is_c_contiguous() else copy(a)
    return whole.copy_to_host(stream=current().stream)


def to_device(a: np.ndarray[Any, Any]) -> Any:
    """A NumPy array as a new C-contiguous array on the device."""
    out = empty(a.shape, a.dtype)
    if a.size:
        out.copy_to_device(np.ascontiguousarray(a), stream=current().stream)
        current().synchronize()  # of pinned memory, the copy would still be on its way
    return out


def _extents(shape: Shape) -> tuple[int, ...]:
    if isinstance(shape, Sequence):
        return tuple(int(n) for n in shape)
    return (int(shape),)
