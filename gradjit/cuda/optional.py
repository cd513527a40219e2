"""CuPy, where it is installed: its matrix products, its memory and its arrays.

CuPy is optional: with it, products of matrices are cuBLAS's, memory is CuPy's pool, and
results can be CuPy arrays. Without it, all of this is done here, the products slower.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from typing import Any

from gradjit.cuda.shim import SIMULATED


@functools.cache
def cupy() -> Any:
    """CuPy, or None if it is not installed or finds no device."""
    if SIMULATED or importlib.util.find_spec("cupy") is None:
        return None
    try:
        module: Any = importlib.import_module("cupy")
        return module if module.cuda.is_available() else None
    except Exception:  # a CuPy for another CUDA raises what its loader raises
        return None


@functools.cache
def cublas() -> Any:
    """CuPy's functions of cuBLAS, or None: `import cupy` does not load the library."""
    try:
        return None if cupy() is None else importlib.import_module("cupy.cublas")
    except Exception:  # CuPy is there, and the library is not
        return None


def cupy_stream(handle: int) -> Any:
    """CuPy's object for a stream, to be entered with `with`."""
    streams = cupy().cuda
    return streams.ExternalStream(handle) if handle else streams.Stream.null


def cupy_array(a: Any) -> Any:
    """A device array as a CuPy array on the same memory, which it keeps alive."""
    module = cupy()
    if a.size == 0:
        return module.empty(a.shape, a.dtype)
    described: dict[str, Any] = a.__cuda_array_interface__
    address = described["data"][0]
    low = sum(min(0, (n - 1) * s) for n, s in zip(a.shape, a.strides, strict=True))
    high = sum(max(0, (n - 1) * s) for n, s in zip(a.shape, a.strides, strict=True))
    size = high - low + a.dtype.itemsize
    device = int(a.gpu_data.context.device.id)
    memory = module.cuda.UnownedMemory(address + low, size, a, device)
    pointer = module.cuda.MemoryPointer(memory, -low)
    return module.ndarray(a.shape, a.dtype, pointer, a.strides)
