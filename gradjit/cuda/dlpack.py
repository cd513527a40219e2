"""DLPack, the exchange of arrays between libraries, as far as `numba.cuda` lacks it.

A library hands out a capsule with a pointer to a description: address, shape, strides,
device. Who takes it renames the capsule, and calls the deleter when done. The
structures are those of dlpack.h, in its form without a version, which all libraries
know.
"""

from __future__ import annotations

import ctypes
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradjit.errors import DtypeError

CPU = 1
CUDA = (2, 13)  # device memory, managed memory

_TENSOR, _USED = b"dltensor", b"used_dltensor"
_CODES = {0: "i", 1: "u", 2: "f", 6: "b"}
_BITS = 8


class _Device(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int32), ("number", ctypes.c_int32))


class _Type(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
    )


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("ndim", ctypes.c_int32),
        ("dtype", _Type),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("offset", ctypes.c_uint64),
    )


class _Managed(ctypes.Structure):
    pass


_Deleter = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Managed))
_Managed._fields_ = (  # pyright: ignore
    ("tensor", _Tensor),
    ("context", ctypes.c_void_p),
    ("deleter", _Deleter),
)

_get = ctypes.pythonapi.PyCapsule_GetPointer
_get.restype, _get.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
_name = ctypes.pythonapi.PyCapsule_SetName
_name.restype, _name.argtypes = ctypes.c_int, (ctypes.py_object, ctypes.c_char_p)
_new = ctypes.pythonapi.PyCapsule_New
_new.restype = ctypes.py_object
_new.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)


@dataclass(frozen=True, slots=True)
class Described:
    """Memory with a shape, and who keeps it alive.

    Attributes:
        address: Of the first element.
        shape: Its extents.
        strides: In bytes.
        dtype: Of its elements.
        device: Kind and number of the device, as DLPack counts them.
        owner: Keeps the memory.
    """

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[Any]
    device: tuple[int, int]
    owner: Any


class _Owner:
    """Calls the deleter of a capsule that was taken, when it is dropped."""


def taken(value: Any, stream: int | None) -> Described:
    """What another library's array describes; the memory is shared.

    Args:
        value: Anything with `__dlpack__`.
        stream: The stream that is going to read it, by DLPack's numbers: 1 for the
            default stream. The library makes that stream wait for what writes the
            array.
    """
    capsule = value.__dlpack__(stream=stream) if stream else value.__dlpack__()
    managed = ctypes.cast(_get(capsule, _TENSOR), ctypes.POINTER(_Managed))
    _name(capsule, _USED)
    owner = _Owner()
    end = managed.contents.deleter
    if end:
        weakref.finalize(owner, end, managed).atexit = False
    tensor = managed.contents.tensor
    shape = tuple(tensor.shape[k] for k in range(tensor.ndim))
    dtype = _dtype(tensor.dtype)
    if tensor.strides:
        strides = tuple(tensor.strides[k] * dtype.itemsize for k in range(tensor.ndim))
    else:
        strides = _contiguous(shape, dtype.itemsize)
    address = (tensor.data or 0) + tensor.offset
    device = (tensor.device.kind, tensor.device.number)
    return Described(address, shape, strides, dtype, device, owner)


def _dtype(kind: _Type) -> np.dtype[Any]:
    if kind.code not in _CODES or kind.lanes != 1:
        what = f"a DLPack array with elements of code {kind.code}, {kind.bits} bits"
        raise DtypeError(what, hint="Use float64, float32, an integer dtype or bool.")
    return np.dtype(f"{_CODES[kind.code]}{kind.bits // _BITS}")


def _contiguous(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    strides: list[int] = []
    step = itemsize
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


class Shared:
    """Hands memory to another library: `library.from_dlpack(Shared(described))`.

    Args:
        described: The memory.
        ready: Called with the stream that is going to read it, if one is given; has to
            make that stream wait.
    """

    def __init__(self, described: Described, ready: Any = None) -> None:
        self._described = described
        self._ready = ready

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._described.device

    def __dlpack__(self, *, stream: int | None = None, **options: Any) -> Any:
        if self._ready is not None:
            self._ready(stream)
        return _capsule(self._described)


# What was handed out, by its address, until the deleter of the other library is called.
_handed: dict[int, tuple[Any, ...]] = {}


@_Deleter
def _drop(managed: Any) -> None:
    _handed.pop(ctypes.addressof(managed.contents), None)


def _capsule(described: Described) -> Any:
    itemsize = described.dtype.itemsize
    axes = ctypes.c_int64 * max(1, len(described.shape))
    shape = axes(*described.shape)
    strides = axes(*(step // itemsize for step in described.strides))
    managed = _Managed()
    tensor = managed.tensor
    tensor.data = described.address
    tensor.device = _Device(*described.device)
    tensor.ndim = len(described.shape)
    code = next(k for k, name in _CODES.items() if name == described.dtype.kind)
    tensor.dtype = _Type(code, itemsize * _BITS, 1)
    pointer = ctypes.POINTER(ctypes.c_int64)
    tensor.shape = ctypes.cast(shape, pointer)
    tensor.strides = ctypes.cast(strides, pointer)
    managed.deleter = _drop
    address = ctypes.addressof(managed)
    _handed[address] = (managed, shape, strides, described)
    # No destructor: a capsule that nobody takes would keep the memory, but it is made
    # where it is taken at once.
    return _new(address, _TENSOR, None)
