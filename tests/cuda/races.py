"""What threads of the simulator read and write, to find what a device leaves to chance.

The simulator runs the threads of a block as Python threads, and a barrier that is
missing shows only by bad luck. So every access to an element is noted with its thread
and with the number of barriers before it: two threads of a block that touch the same
element between the same barriers, one of them to write, race, whoever comes first; so
do threads of two blocks in one launch. And all threads of a block have to come to the
same barriers.

As on a device, an array that a thread makes in a loop is in the same memory each time,
and new memory holds what nobody should read.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import numpy as np

from gradjit.cuda import views

_OURS = "gradjit/cuda/"  # what collectives do is theirs, and has tests of its own


@contextmanager
def watched() -> Generator[list[str]]:
    """What is wrong with the launches inside of the block, as text."""
    found: list[str] = []
    watch = _Watch(found)
    watch.start()
    try:
        yield found
    finally:
        watch.stop()


class _Watch:
    def __init__(self, found: list[str]) -> None:
        self.found = found
        self.kernel = importlib.import_module("numba.cuda.simulator.kernel")
        api = importlib.import_module("numba.cuda.simulator.kernelapi")
        arrays = importlib.import_module("numba.cuda.simulator.cudadrv.devicearray")
        self.places: list[tuple[Any, str, Callable[..., Any]]] = [
            (self.kernel.FakeCUDAKernel, "__call__", self.call),
            (self.kernel.BlockThread, "__init__", self.made),
            (self.kernel.BlockThread, "syncthreads", self.barrier),
            (arrays.FakeCUDAArray, "__getitem__", self.read),
            (arrays.FakeCUDAArray, "__setitem__", self.write),
            (api.FakeCUDAAtomic, "add", self.added),
            (api.FakeCUDALocal, "array", self.local),
            (views, "new", self.new),
        ]
        self.before: list[Callable[..., Any]] = []
        self.threads: list[Any] = []

    def start(self) -> None:
        for owner, name, method in self.places:
            self.before.append(old := getattr(owner, name))
            setattr(owner, name, _bound(method, old))

    def stop(self) -> None:
        for (owner, name, _), old in zip(self.places, self.before, strict=True):
            setattr(owner, name, old)

    # ------------------------------------------------------------- what is noted

    def call(self, old: Any, kernel: Any, *args: Any) -> Any:
        if self.kernel._get_kernel_context() is not None:
            return old(kernel, *args)
        self.threads = []
        result = old(kernel, *args)
        self.judge(kernel.fn.__name__)
        return result

    def made(self, old: Any, thread: Any, *args: Any) -> None:
        old(thread, *args)
        thread.log = []
        thread.barriers = []
        thread.adding = False
        self.threads.append(thread)

    def barrier(self, old: Any, thread: Any) -> None:
        thread.barriers.append(_line())
        old(thread)

    def read(self, old: Any, array: Any, at: Any) -> Any:
        self.note(array, at, "read")
        return old(array, at)

    def write(self, old: Any, array: Any, at: Any, value: Any) -> None:
        self.note(array, at, "write")
        old(array, at, value)

    def added(self, old: Any, atomic: Any, array: Any, at: Any, value: Any) -> Any:
        thread: Any = threading.current_thread()
        thread.adding = True
        try:
            return old(atomic, array, at, value)
        finally:
            thread.adding = False

    def local(self, old: Any, module: Any, shape: Any, dtype: Any) -> Any:
        thread: Any = threading.current_thread()
        made = thread.__dict__.setdefault("local", {})
        line = _line()
        if line not in made:
            made[line] = _spoilt(old(module, shape, dtype))
        return made[line]

    def new(self, old: Any, *args: Any) -> Any:
        return _spoilt(old(*args))

    def note(self, array: Any, at: Any, kind: str) -> None:
        thread: Any = threading.current_thread()
        if not hasattr(thread, "log") or not hasattr(array._ary, "strides"):
            return
        at = at if isinstance(at, tuple) else (at,)
        if len(at) != array._ary.ndim or any(isinstance(i, slice) for i in at):
            return
        if not thread.adding and _in_runtime():
            return
        pairs = zip(at, array._ary.strides, strict=True)
        address = array._ary.__array_interface__["data"][0]
        address += sum(int(i) * step for i, step in pairs)
        kind = "add" if thread.adding else kind
        thread.log.append((len(thread.barriers), address, kind))

    # ------------------------------------------------------------- what is wrong

    def judge(self, name: str) -> None:
        blocks: dict[tuple[int, ...], list[Any]] = {}
        for t in self.threads:
            blocks.setdefault((t.blockIdx.x, t.blockIdx.y), []).append(t)
        for threads in blocks.values():
            if any(t.barriers != threads[0].barriers for t in threads):
                self.found.append(f"{name}: threads come to different barriers")
        self.within(name, blocks)
        self.between(name, blocks)

    def within(self, name: str, blocks: dict[tuple[int, ...], list[Any]]) -> None:
        for threads in blocks.values():
            touched: dict[tuple[int, int], dict[str, set[int]]] = {}
            for t in threads:
                for epoch, address, kind in t.log:
                    kinds = touched.setdefault((epoch, address), {})
                    kinds.setdefault(kind, set()).add(t.thread_id)
            if any(map(_race, touched.values())):
                self.found.append(f"{name}: threads of a block race")

    def between(self, name: str, blocks: dict[tuple[int, ...], list[Any]]) -> None:
        touched: dict[int, dict[str, set[Any]]] = {}
        for block, threads in blocks.items():
            for t in threads:
                for _, address, kind in t.log:
                    kinds = touched.setdefault(address, {})
                    kinds.setdefault(kind, set()).add(block)
        if any(map(_race, touched.values())):
            self.found.append(f"{name}: blocks race")


def _race(kinds: dict[str, set[Any]]) -> bool:
    """Whether some write what others touch, or some add to what others read."""
    everyone: set[Any] = set().union(*kinds.values())
    if len(everyone) == 1:
        return False
    return "write" in kinds or ("add" in kinds and "read" in kinds)


def _spoilt(array: Any) -> Any:
    """An array full of what nobody should read."""
    array[...] = np.nan if array.dtype.kind == "f" else array.dtype.type(99)
    return array


def _bound(method: Callable[..., Any], old: Callable[..., Any]) -> Callable[..., Any]:
    def called(*args: Any) -> Any:
        return method(old, *args)

    return called


def _in_runtime() -> bool:
    """Whether a collective is at work, not the kernel itself."""
    return _OURS in _frame().f_code.co_filename


def _line() -> str:
    frame = _frame()
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _frame() -> Any:
    """The frame of the kernel, or of what of the runtime it called."""
    frame = sys._getframe(1)
    while "simulator" in frame.f_code.co_filename or frame.f_code.co_filename == (
        __file__
    ):
        frame = frame.f_back  # type: ignore[assignment]
    return frame
