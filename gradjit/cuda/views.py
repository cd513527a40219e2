"""Device arrays on memory that is there: new ones, views, other libraries' arrays.

`numba.cuda`'s array takes an address, a shape and strides, and keeps its owner alive.
The simulator's wraps a NumPy array, and knows no addresses.
"""

from __future__ import annotations

import functools
import inspect
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from gradjit.cuda.place import Place, current
from gradjit.cuda.shim import SIMULATED, cuda, device_array_class, pointer_class

Extents = tuple[int, ...]


def new(place: Place, shape: Extents, dtype: DTypeLike) -> Any:
    """A new C-contiguous array, not initialised, from the pool of a place."""
    kind = np.dtype(dtype)
    if SIMULATED:
        return cuda.device_array(shape, kind)
    strides = contiguous(shape, kind.itemsize)
    nbytes = prod(shape) * kind.itemsize
    if nbytes == 0:
        return _made(place, 0, None, 0, (shape, strides, kind))
    block = place.pool.take(nbytes)
    made = _made(place, block.address, block, nbytes, (shape, strides, kind))
    if _keeps_type():
        # What Numba works out for each array anew, longer than it takes to make it.
        made.__dict__["_numba_type_"] = _type_of(kind, len(shape))
    return made


@functools.cache
def _keeps_type() -> bool:
    """Whether an array keeps its Numba type, as numba-cuda's does, once it is asked."""
    found = inspect.getattr_static(device_array_class(), "_numba_type_", None)
    return isinstance(found, functools.cached_property)


@functools.cache
def _type_of(dtype: np.dtype[Any], ndim: int) -> Any:
    """The Numba type of a new array."""
    form = ((1,) * ndim, (dtype.itemsize,) * ndim, dtype)
    return _made(current(), 0, None, dtype.itemsize, form)._numba_type_


def placed(
    place: Place,
    address: int,
    owner: Any,
    shape: Extents,
    strides: Extents,
    dtype: np.dtype[Any],
) -> Any:
    """An array at an address of the device, which keeps `owner` alive."""
    size = prod(shape) and spanned(shape, strides, dtype.itemsize)[1]
    return _made(place, address, owner, size, (shape, strides, dtype))


def _made(place: Place, address: int, owner: Any, size: int, form: Any) -> Any:
    # An owner that is not Numba's memory is handed on to views of the array; those of
    # Numba's own memory hold a weak reference.
    memory = cuda.MemoryPointer(
        place.context, pointer_class()(address), size, owner=owner
    )
    shape, strides, dtype = form
    made = device_array_class()
    return made(shape, strides, dtype, stream=place.bound, gpu_data=memory)


def view(a: Any, shape: Extents, strides: Extents) -> Any:
    """The memory of an array with another shape and other strides, from its start."""
    if SIMULATED:
        return type(a)(np.lib.stride_tricks.as_strided(a._ary, shape, strides))
    return type(a)(shape, strides, a.dtype, stream=a.stream, gpu_data=a.gpu_data)


def contiguous(shape: Extents, itemsize: int) -> Extents:
    """C-contiguous strides.

    >>> contiguous((2, 3, 4), 8)
    (96, 32, 8)
    """
    strides: list[int] = []
    step = itemsize
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def spanned(shape: Extents, strides: Extents, itemsize: int) -> tuple[int, int]:
    """Of a non-empty array: bytes before its first element, and bytes in all.

    >>> spanned((3, 2), (-16, 8), 8)
    (32, 48)
    """
    steps = [(n - 1) * step for n, step in zip(shape, strides, strict=True)]
    before = -sum(min(0, step) for step in steps)
    return before, before + sum(max(0, step) for step in steps) + itemsize


def address_of(a: Any) -> int:
    """Where the first element of a device array is."""
    value: Any = a.device_ctypes_pointer  # of ctypes, or of the CUDA bindings
    return int(getattr(value, "value", value) or 0)
