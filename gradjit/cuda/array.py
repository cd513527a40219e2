"""Arrays in and out: NumPy's, and those of libraries with arrays on the device.

Arrays that are on the device are used where they are, with their strides, whatever
library made them: by `__cuda_array_interface__`, or by DLPack. Results are of the
caller's kind. NumPy arrays are moved, which a warning says once, and then results are
NumPy arrays. A call runs on the caller's current stream.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

import numpy as np

from gradjit.cuda import buffers, dlpack, graphs, optional, status, views
from gradjit.cuda.place import Place, at, current, using
from gradjit.cuda.shim import SIMULATED, cuda, require
from gradjit.errors import CudaTransferWarning, GradjitError, UnsupportedError

_LEGACY = 1  # the default stream, as DLPack and the array interface name it


class Kind(Enum):
    """Whose array it is."""

    NUMPY = "NumPy"
    NUMBA = "Numba"
    CUPY = "CuPy"
    TORCH = "PyTorch"
    JAX = "JAX"


_LIBRARIES = {
    "cupy": Kind.CUPY,
    "torch": Kind.TORCH,
    "jax": Kind.JAX,
    "jaxlib": Kind.JAX,
}


def is_array(value: Any) -> bool:
    """Whether a value is an array, NumPy's or one on the device."""
    return isinstance(value, np.ndarray) or on_device(value)


def on_device(value: Any) -> bool:
    """Whether a value is an array on a CUDA device."""
    if _is_ours(value):
        return True
    if isinstance(value, np.ndarray | np.generic | float | int):
        return False
    place = getattr(value, "__dlpack_device__", None)
    if place is not None:
        return int(place()[0]) in dlpack.CUDA
    return hasattr(value, "__cuda_array_interface__")


def kind_of(values: Sequence[Any]) -> Kind:
    """Of which kind the results of a call with some arguments are.

    The first array on the device decides. One of a library that is not known counts as
    CuPy's, or Numba's where there is no CuPy.
    """
    first = next((value for value in values if on_device(value)), None)
    if first is None:
        return Kind.NUMPY
    if _is_ours(first):
        return Kind.NUMBA
    other = Kind.NUMBA if optional.cupy() is None else Kind.CUPY
    return _LIBRARIES.get(type(first).__module__.split(".")[0], other)


def place_of(values: Sequence[Any]) -> Place:
    """Where a call with some arguments runs: on their device, on its current stream.

    Raises:
        GradjitError: The arguments are on several devices.
    """
    if SIMULATED:
        return at(0)
    devices = {_device(value) for value in values if on_device(value)} - {None}
    if len(devices) > 1:
        names = " and ".join(map(str, sorted(devices, key=str)))
        what = f"arguments are on the CUDA devices {names}"
        raise GradjitError(what, hint="Move them to one device.")
    device = next(iter(devices), None)
    return at(_stream(kind_of(values), device), device)


def _device(value: Any) -> int | None:
    """The number of an array's device, if the array says."""
    if _is_ours(value):
        return int(value.gpu_data.context.device.id)
    place = getattr(value, "__dlpack_device__", None)
    return None if place is None else int(place()[1])


def _stream(kind: Kind, device: int | None) -> int:
    """The address of the current stream of a library; 0 for the default stream."""
    if kind is Kind.TORCH:
        return int(sys.modules["torch"].cuda.current_stream(device).cuda_stream)
    if kind is Kind.CUPY:
        streams = optional.cupy().cuda
        return int(streams.get_current_stream(-1 if device is None else device).ptr)
    return 0


def called(
    function: Callable[..., Sequence[Any]],
    values: Sequence[Any],
    record: bool = False,
) -> list[Any]:
    """Calls a function of device arrays with arrays of any kind, and numbers.

    Args:
        function: Takes device arrays and numbers, and returns a sequence of them.
        values: The caller's arguments.
        record: Whether calls are recorded as CUDA graphs (`graphs.captured`).
    """
    with using(place_of(values)):
        arguments = [enter(value) if is_array(value) else value for value in values]
        run = graphs.captured(function, arguments) if record else function(*arguments)
        return leave_all(run, kind_of(values))


def copied(value: Any) -> Any:
    """An array on the device with the same elements, in memory of its own."""
    if kind_of([value]) is Kind.JAX:
        return value  # nobody can write into it
    with using(place_of([value])):
        return buffers.copy(enter(value))


def to_device(value: Any) -> Any:
    """Moves a NumPy array to the device, once, for calls that then find it there.

    Args:
        value: The array, or what `np.asarray` takes.

    Returns:
        Numba's device array, on the current device.

    Raises:
        GradjitError: There is no device, or something else is missing.
    """
    require()
    with using(current()):
        return buffers.to_device(np.asarray(value))


# ---------------------------------------------------------------------------------- in


def enter(value: Any) -> Any:
    """An array as a device array, without a copy if it is on the device.

    Raises:
        GradjitError: The array cannot be shared: a masked one, or a PyTorch tensor that
            requires a gradient.
    """
    if _is_ours(value):
        _wait_for(getattr(value, "stream", 0))
        return value
    if not on_device(value):
        return _moved(np.asarray(value))
    kind = kind_of([value])
    # JAX computes on streams of its own, and only DLPack makes ours wait for them.
    if kind is Kind.JAX or not _has_interface(value):
        stream = current().handle or _LEGACY
        return _placed(dlpack.taken(value, stream))
    return _interfaced(value)


def _has_interface(value: Any) -> bool:
    try:
        return hasattr(value, "__cuda_array_interface__")
    except RuntimeError as error:  # PyTorch, where a gradient is required
        what = f"a {type(value).__name__} does not share its memory: {error}"
        raise UnsupportedError(what, hint="Pass value.detach().") from error


def _interfaced(value: Any) -> Any:
    described: dict[str, Any] = value.__cuda_array_interface__
    if described.get("mask") is not None:
        raise UnsupportedError("masked arrays are not supported on CUDA")
    dtype = np.dtype(described["typestr"])
    shape = tuple(int(n) for n in described["shape"])
    strides = described.get("strides") or views.contiguous(shape, dtype.itemsize)
    _wait_for(described.get("stream") or 0)
    place = current()
    address = int(described["data"][0] or 0)
    return views.placed(place, address, value, shape, tuple(strides), dtype)


def _placed(given: dlpack.Described) -> Any:
    place = current()
    owner, address = given.owner, given.address
    return views.placed(place, address, owner, given.shape, given.strides, given.dtype)


def _wait_for(stream: Any) -> None:
    """Makes the current place's stream wait for another one; the host does not wait."""
    place = current()
    named = getattr(stream, "handle", stream)  # Numba's object, or an address
    handle = int(getattr(named, "value", named) or 0)
    if SIMULATED or _same_stream(handle, place.handle):
        return
    event = cuda.event(timing=False)
    event.record(_stream_at(handle))
    event.wait(place.stream)


def _same_stream(one: int, other: int) -> bool:
    return one == other or {one, other} <= {0, _LEGACY}


def _stream_at(handle: int) -> Any:
    return cuda.external_stream(handle) if handle else cuda.default_stream()


def is_writable(value: Any) -> bool:
    """Whether an argument may be written into: JAX's arrays may not."""
    if isinstance(value, np.ndarray):
        return bool(value.flags.writeable)
    if kind_of([value]) is Kind.JAX:
        return False
    described: Any = getattr(value, "__cuda_array_interface__", None)
    return described is None or not described["data"][1]


_warned = threading.Event()


def _moved(value: np.ndarray[Any, Any]) -> Any:
    if not _warned.is_set() and not SIMULATED:
        _warned.set()
        warnings.warn(
            f'target="cuda" was called with a NumPy array of {value.nbytes} bytes: '
            "NumPy arrays are copied to the device, and results back, at every call. "
            "Pass arrays that are on the device (CuPy, PyTorch, JAX, Numba, or "
            "gradjit.cuda.to_device(x)), and results stay there. This is said once.",
            CudaTransferWarning,
            stacklevel=2,
        )
    return buffers.to_device(value)


# --------------------------------------------------------------------------------- out


def leave(array: Any, kind: Kind) -> Any:
    """A device array as an array of the caller's kind.

    To NumPy, waits for the device, and raises what kernels found.
    """
    return leave_all([array], kind)[0]


def leave_all(arrays: Sequence[Any], kind: Kind) -> list[Any]:
    """Device arrays as arrays of the caller's kind; waits once, and only for NumPy.

    What is no device array is left as it is.
    """
    out = buffers.copied_to_host if kind is Kind.NUMPY else _OUT[kind]
    results = [out(array) if _is_ours(array) else array for array in arrays]
    if kind is Kind.NUMPY:
        status.check(current())
    return results


def _is_ours(value: Any) -> bool:
    return bool(getattr(value, "__cuda_ndarray__", False))


def _same(array: Any) -> Any:
    return array


def _to_torch(array: Any) -> Any:
    return sys.modules["torch"].from_dlpack(_shared(array))


def _to_jax(array: Any) -> Any:
    from_dlpack: Callable[[Any], Any] = sys.modules["jax"].dlpack.from_dlpack
    whole = array if array.is_c_contiguous() else buffers.copy(array)
    return from_dlpack(_shared(whole))


def _shared(array: Any) -> dlpack.Shared:
    """A device array for `from_dlpack` of another library."""
    place = current()
    device = (dlpack.CUDA[0], place.device)
    described = dlpack.Described(
        views.address_of(array),
        tuple(array.shape),
        tuple(array.strides),
        array.dtype,
        device,
        array,
    )

    def ready(stream: int | None) -> None:
        """Makes the reader's stream wait; -1 says that it does so itself."""
        handle = stream or 0
        if handle == -1 or _same_stream(handle, place.handle):
            return
        event = cuda.event(timing=False)
        event.record(place.stream)
        event.wait(_stream_at(handle))

    return dlpack.Shared(described, ready)


_OUT: dict[Kind, Callable[[Any], Any]] = {
    Kind.NUMBA: _same,
    Kind.CUPY: optional.cupy_array,
    Kind.TORCH: _to_torch,
    Kind.JAX: _to_jax,
}
