"""Warp shuffles for the simulator, stricter than a device; the modules of a device.

The simulator has no shuffles. Here they go through barriers of the whole block, so all
threads of a block must shuffle together, as the collectives do. What a device leaves
undefined is an error or a value that shows: a mask that names other lanes than the
block has, and a value from a lane that does not exist.
"""

from __future__ import annotations

import importlib
import sys
import threading
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import gradjit.cuda
from gradjit.cuda import shim

kernelapi: Any = importlib.import_module("numba.cuda.simulator.kernelapi")

WARP = 32
_board: dict[int, Any] = {}
_lock = threading.Lock()


def undefined(value: Any, thread: int) -> Any:
    """What a lane that does not exist sends: it spoils any reduction that uses it."""
    if isinstance(value, np.floating):
        return type(value)(np.nan)
    bounds = np.iinfo(type(value))
    return type(value)(bounds.max if thread % 2 else bounds.min)


def shuffle(fake: Any, mask: int, value: Any, source: int) -> Any:
    """The value of the lane `source` of this thread's warp."""
    assert type(value) in (np.float64, np.float32, np.int64, np.int32), type(value)
    current: Any = threading.current_thread()
    thread = current.thread_id
    first = thread - thread % WARP
    count = fake.blockDim.x * fake.blockDim.y * fake.blockDim.z
    live = min(count - first, WARP)
    assert mask == (1 << live) - 1, f"mask {mask:#x} of a warp with {live} lanes"
    _board[thread] = value
    current.syncthreads()
    if not 0 <= source < WARP:
        got = value
    elif source >= live:
        got = undefined(value, thread)
    else:
        got = _board[first + source]
        assert type(got) is type(value)
    current.syncthreads()
    return got


def shfl_sync(fake: Any, mask: int, value: Any, source: int) -> Any:
    return shuffle(fake, mask, value, source)


def shfl_down_sync(fake: Any, mask: int, value: Any, offset: int) -> Any:
    lane = threading.current_thread().thread_id % WARP  # pyright: ignore
    return shuffle(fake, mask, value, lane + offset)


class Watched:
    """A shared array that knows who used an element since which barrier.

    Two threads that use an element between the same two barriers, one of them writing,
    race on a device, whatever order the simulator runs them in.
    """

    def __init__(self, shape: Any, dtype: Any) -> None:
        self._array = np.empty(shape, dtype)
        self._used: dict[int, tuple[Any, set[int], set[int]]] = {}

    def __getitem__(self, index: int) -> Any:
        with _lock:
            readers, writers, thread = self._users(index)
            assert writers <= {thread}, f"a race: {thread} reads, {writers} write"
            readers.add(thread)
            return self._array[index]

    def __setitem__(self, index: int, value: Any) -> None:
        with _lock:
            readers, writers, thread = self._users(index)
            users = readers | writers
            assert users <= {thread}, f"a race: {thread} writes, {users} use"
            writers.add(thread)
            self._array[index] = value

    def _users(self, index: int) -> tuple[set[int], set[int], int]:
        current: Any = threading.current_thread()
        now = (tuple(current.blockIdx), getattr(current, "barriers", 0))
        if self._used.get(index, (None,))[0] != now:
            self._used[index] = (now, set(), set())
        _, readers, writers = self._used[index]
        return readers, writers, current.thread_id


def shared_array(fake: Any, shape: Any, dtype: Any) -> Any:
    """As the simulator's, but a line may serve several dtypes, and never two arrays."""
    frame = sys._getframe(1)
    key = (frame.f_code.co_filename, frame.f_lineno, np.dtype(dtype))
    with _lock:
        if key not in fake._allocations:
            fake._allocations[key] = Watched(shape, dtype)
        return fake._allocations[key]


def counted(barrier: Any) -> Any:
    """A barrier of the simulator that `Watched` knows of."""

    def synchronize(fake: Any, *values: Any) -> Any:
        result = barrier(fake, *values)
        current: Any = threading.current_thread()
        current.barriers = getattr(current, "barriers", 0) + 1
        return result

    return synchronize


def add_shuffles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives the simulator what the collectives of a device use."""
    fake = kernelapi.FakeCUDAModule
    monkeypatch.setattr(fake, "shfl_sync", shfl_sync, raising=False)
    monkeypatch.setattr(fake, "shfl_down_sync", shfl_down_sync, raising=False)
    monkeypatch.setattr(kernelapi.FakeCUDAShared, "array", shared_array)
    for name in ("syncthreads", "syncthreads_and", "syncthreads_or"):
        monkeypatch.setattr(fake, name, counted(getattr(fake, name)))


def device_collectives() -> ModuleType:
    """`gradjit.cuda.collective` as a device gets it, apart from the imported one."""
    names = [f"gradjit.cuda.{name}" for name in ("block", "grid", "collective")]
    kept = {name: importlib.import_module(name) for name in names}
    for name in names:
        del sys.modules[name]
    shim.SIMULATED = False
    try:
        return importlib.import_module("gradjit.cuda.collective")
    finally:
        shim.SIMULATED = True
        sys.modules.update(kept)
        for name, module in kept.items():
            setattr(gradjit.cuda, name.rpartition(".")[2], module)
