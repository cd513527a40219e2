"""Memory of device arrays: kept by size when an array is dropped, and given out again.

Allocating on a device takes long and waits for it, so that a call in its steady state
must not. Memory given back is at once given out again, to arrays of the same stream:
there, what is launched later runs later, and the earlier kernels may still be reading.

An array that another stream uses must live until that stream has done with it, as with
the pools of CuPy and PyTorch.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Protocol


class Memory(Protocol):
    """Memory on the device, freed when the object is dropped."""

    @property
    def device_pointer_value(self) -> int | None: ...


Source = Callable[[int], Memory]
"""Takes so many bytes from the driver; raises what it raises if there are none."""


class Block:
    """Memory of an array and its views; drop it to give it back.

    Attributes:
        address: Where it is on the device.
        size: How many bytes it has.
    """

    __slots__ = ("__weakref__", "_memory", "_pool", "address", "size")

    def __init__(self, pool: Pool, memory: Memory, size: int) -> None:
        self.address = memory.device_pointer_value or 0
        self.size = size
        self._pool = pool
        self._memory = memory

    def __del__(self) -> None:
        # At any point of any thread, even of one that holds the pool's lock.
        self._pool.given_back(self.size, self._memory)


class Pool:
    """The memory of one stream.

    Args:
        source: Where memory comes from.
        keep: Whether memory is kept; no if the source is a pool itself.
    """

    def __init__(self, source: Source, keep: bool = True) -> None:
        self._source = source
        self._keep = keep
        self._free: dict[int, list[Memory]] = {}
        self._returned: deque[tuple[int, Memory | None]] = deque()
        self._lock = threading.Lock()
        self._used = self._reserved = self._peak = 0
        with _pools_lock:
            _pools.add(self)

    def take(self, nbytes: int) -> Block:
        """Memory of at least so many bytes.

        Raises:
            MemoryError: The device has none left.
        """
        size = size_class(nbytes)
        with self._lock:
            self._settle()
            free = self._free.get(size)
            memory = free.pop() if free else None
        if memory is None:
            memory = self._new(size)
        with self._lock:
            self._used += size
            self._peak = max(self._peak, self._used)
        return Block(self, memory, size)

    def given_back(self, size: int, memory: Memory) -> None:
        """Takes memory back, without a lock."""
        self._returned.append((size, memory if self._keep else None))

    def _new(self, size: int) -> Memory:
        try:
            memory = self._source(size)
        except Exception:
            # What other streams keep may be enough; freeing it waits for the device.
            clear()
            try:
                memory = self._source(size)
            except Exception as error:
                what = f"the CUDA device has no {size} bytes left ({used()} are in use)"
                raise MemoryError(what) from error
        with self._lock:
            self._reserved += size
        return memory

    def _settle(self) -> None:
        """Takes in what was given back; the lock is held."""
        while self._returned:
            size, memory = self._returned.popleft()
            self._used -= size
            if memory is not None:
                self._free.setdefault(size, []).append(memory)
            else:
                self._reserved -= size

    def clear(self) -> None:
        """Gives what is kept to the driver."""
        with self._lock:
            self._settle()
            free, self._free = self._free, {}
            self._reserved -= sum(size * len(kept) for size, kept in free.items())

    def counts(self) -> tuple[int, int, int]:
        """Bytes in use, bytes reserved, and the most that were in use."""
        with self._lock:
            self._settle()
            return self._used, self._reserved, self._peak

    def reset_peak(self) -> None:
        """The most that were in use are what is in use now."""
        with self._lock:
            self._settle()
            self._peak = self._used


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()
_pools_lock = threading.Lock()


def _every() -> list[Pool]:
    with _pools_lock:
        return list(_pools)


def size_class(nbytes: int) -> int:
    """The size that a buffer of so many bytes has: at most an eighth more.

    >>> size_class(1), size_class(4097), size_class(10**6)
    (512, 4608, 1048576)
    """
    step = max(512, 1 << max(0, (nbytes - 1).bit_length() - 4))
    return max(step, -(-nbytes // step) * step)


def used() -> int:
    """Bytes of the device arrays that gradjit made and that are alive."""
    return sum(pool.counts()[0] for pool in _every())


def reserved() -> int:
    """Bytes taken from the driver: in use, or kept for the next call."""
    return sum(pool.counts()[1] for pool in _every())


def peak() -> int:
    """The most bytes that were in use at one time since `reset_peak`, by stream."""
    return sum(pool.counts()[2] for pool in _every())


def reset_peak() -> None:
    """Starts to count the peak anew."""
    for pool in _every():
        pool.reset_peak()


def clear() -> None:
    """Gives to the driver what is kept for the next call."""
    for pool in _every():
        pool.clear()
