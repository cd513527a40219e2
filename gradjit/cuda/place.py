"""Where a call runs: a device and a stream, with the memory and scratch of that stream.

A kernel that reduces over its grid needs partial results of its blocks and counters of
finished blocks, and any kernel may leave a code in the status. Kernels of one stream
run one after the other and share these; streams do not.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradjit.cuda import optional
from gradjit.cuda.grid import WORDS
from gradjit.cuda.pool import Memory, Pool, Source
from gradjit.cuda.shim import SIMULATED, cuda, quiet

MAX_BLOCKS = 2048
"""No grid has more blocks: so many partial results has a reduction over a grid."""

REDUCTIONS = 64
"""So many slots of partial results, and counters, can one kernel use."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A device, a stream, and what belongs to that stream.

    Attributes:
        device: The device's number.
        stream: The stream, as `numba.cuda` takes it.
        handle: Its address; 0 for the default stream.
        context: The device's context; None in the simulator.
        multiprocessors: How many multiprocessors the device has.
        pool: The memory of the stream's arrays.
        parts: Partial results, `REDUCTIONS * WORDS * MAX_BLOCKS` float64.
        counters: Counters of finished blocks, `REDUCTIONS` int32, zero between kernels.
        status: One int32: 0, or the code of an error that a kernel found.
    """

    device: int
    stream: Any
    handle: int
    context: Any
    multiprocessors: int
    pool: Pool
    parts: Any
    counters: Any
    status: Any

    @property
    def bound(self) -> Any:
        """The stream to which arrays are bound: none for the default stream.

        An array that is bound to a stream comes to the host asynchronously.
        """
        return self.stream if self.handle else 0

    def synchronize(self) -> None:
        """Waits for what was launched here."""
        _current.waits += 1
        if not SIMULATED:
            self.stream.synchronize()

    def private(self) -> Place:
        """The same stream with memory of its own."""
        return replace(self, pool=Pool(_source(self.context)))


_places: dict[tuple[int, int], Place] = {}
_lock = threading.Lock()


class _Current(threading.local):
    place: Place | None = None
    waits = 0


_current = _Current()


def current() -> Place:
    """Where this thread's call runs; by default, on the default stream."""
    return _current.place or at(0)


def waits() -> int:
    """How often this thread has waited for the device."""
    return _current.waits


@contextmanager
def using(place: Place) -> Generator[Place]:
    """Makes a place that of this thread's calls."""
    before, _current.place = _current.place, place
    try:
        with quiet(), _active(place.device):
            yield place
    finally:
        _current.place = before


def _active(device: int) -> AbstractContextManager[Any]:
    """Makes a device the current one, if it is not."""
    if SIMULATED or cuda.current_context().device.id == device:
        return nullcontext()
    return cuda.gpus[device]


def at(handle: int, device: int | None = None) -> Place:
    """The place of a stream, by its address; by default on the current device."""
    if device is None:
        device = 0 if SIMULATED else int(cuda.current_context().device.id)
    key = (device, handle)
    place = _places.get(key)
    if place is None:
        with _lock:
            place = _places.get(key) or _places.setdefault(key, _made(device, handle))
    return place


def every() -> list[Place]:
    """The places that were used so far."""
    return list(_places.values())


def _made(device: int, handle: int) -> Place:
    if SIMULATED:
        scratch = _scratch(0)
        return Place(0, 0, handle, None, 1, Pool(_nothing), *scratch)
    with cuda.gpus[device]:
        context = cuda.current_context()
        # A stream object even for the default stream: with 0, Numba's copies and
        # memsets are the synchronous ones.
        stream = cuda.external_stream(handle) if handle else cuda.default_stream()
        multiprocessors = int(cuda.get_current_device().MULTIPROCESSOR_COUNT)
        pool = _pool(context, handle)
        scratch = _scratch(stream)
    return Place(device, stream, handle, context, multiprocessors, pool, *scratch)


def _scratch(stream: Any) -> tuple[Any, Any, Any]:
    parts = cuda.device_array(REDUCTIONS * WORDS * MAX_BLOCKS, np.float64)
    counters = cuda.to_device(np.zeros(REDUCTIONS, np.int32), stream=stream)
    status = cuda.to_device(np.zeros(1, np.int32), stream=stream)
    if not SIMULATED:
        stream.synchronize()  # the zeros on the host are dropped
    # Not bound to the stream: what asks them says which stream it is on.
    return parts, counters.bind(0), status.bind(0)


def _pool(context: Any, handle: int) -> Pool:
    """CuPy's pool if there is CuPy: two pools would keep memory from each other."""
    if optional.cupy() is None:
        return Pool(_source(context))

    def take(size: int) -> Memory:
        with optional.cupy_stream(handle):
            return _CupyMemory(optional.cupy().cuda.alloc(size))

    return Pool(take, keep=False)


def _source(context: Any) -> Source:
    return _nothing if SIMULATED else context.memalloc


def _nothing(size: int) -> Memory:
    raise MemoryError(f"the simulator's memory is NumPy's ({size} bytes)")


class _CupyMemory:
    """Memory of CuPy's pool, with the address under Numba's name."""

    __slots__ = ("_memory",)

    def __init__(self, memory: Any) -> None:
        self._memory = memory

    @property
    def device_pointer_value(self) -> int | None:
        return self._memory.ptr
