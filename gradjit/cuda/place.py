"""Where a call runs: a device and a stream, with the scratch memory of that stream.

A kernel that reduces over its grid needs partial results of its blocks and counters of
finished blocks, and any kernel may leave a code in the status. Kernels of one stream run
one after the other and share these; streams do not.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradjit.cuda.shim import SIMULATED, cuda

MAX_BLOCKS = 2048
"""No grid has more blocks: so many partial results has a reduction over a grid."""

REDUCTIONS = 64
"""So many slots of partial results, and counters, can one kernel use."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A device, a stream, and the scratch memory of that stream.

    Attributes:
        device: The device's number.
        stream: The stream as `numba.cuda` takes it: 0 for the default stream.
        multiprocessors: How many multiprocessors the device has.
        parts: Partial results, `REDUCTIONS * MAX_BLOCKS` float64.
        counters: Counters of finished blocks, `REDUCTIONS` int32, zero between kernels.
        status: One int32: 0, or the code of an error that a kernel found.
    """

    device: int
    stream: Any
    multiprocessors: int
    parts: Any
    counters: Any
    status: Any

    def synchronize(self) -> None:
        """Waits for what was launched here."""
        if self.stream:
            self.stream.synchronize()
        elif not SIMULATED:
            cuda.default_stream().synchronize()


_places: dict[tuple[int, int], Place] = {}
_lock = threading.Lock()


class _Current(threading.local):
    place: Place | None = None


_current = _Current()


def current() -> Place:
    """Where this thread's call runs: the current device's default stream by default."""
    return _current.place or at(0)


@contextmanager
def using(place: Place) -> Generator[Place]:
    """Makes a place that of this thread's calls."""
    before, _current.place = _current.place, place
    try:
        yield place
    finally:
        _current.place = before


def at(stream: Any) -> Place:
    """The place of a stream on the current device."""
    device = 0 if SIMULATED else int(cuda.current_context().device.id)
    key = (device, int(stream) if stream else 0)
    place = _places.get(key)
    if place is None:
        with _lock:
            place = _places.setdefault(key, _made(device, stream))
    return place


def every() -> list[Place]:
    """The places that were used so far."""
    return list(_places.values())


def _made(device: int, stream: Any) -> Place:
    if SIMULATED:
        multiprocessors = 1
    else:
        multiprocessors = int(cuda.get_current_device().MULTIPROCESSOR_COUNT)
    parts = cuda.device_array(REDUCTIONS * MAX_BLOCKS, np.float64)
    counters = cuda.to_device(np.zeros(REDUCTIONS, np.int32))
    status = cuda.to_device(np.zeros(1, np.int32))
    return Place(device, stream, multiprocessors, parts, counters, status)
