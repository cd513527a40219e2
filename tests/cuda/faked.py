"""A CUDA device of host memory: the driver's functions, as far as they are called.

`numba.cuda` itself is the real one, with its device arrays, contexts and streams; what
it calls of the driver is done on host memory, at once. A launch runs the kernel's
Python function by Numba's simulator on arrays at the same addresses, after compiling it
to PTX for the types of its arguments, so that what a device would compile has been
compiled.

What is asynchronous on a device is not here: order and waiting are recorded in `log`.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import importlib
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradjit.cuda import place, shim
from tests.cuda import ptx

CC = (9, 0)
CONTEXT = 0xC0
FREE = 1 << 30


class Driver:
    """Functions of the driver on host memory, under their names.

    Attributes:
        memory: Buffers by address.
        log: Names of calls, with the stream of the asynchronous ones.
        limit: Bytes that can be allocated.
    """

    def __init__(self) -> None:
        self.memory: dict[int, Any] = {}
        self.log: list[Any] = []
        self.limit = FREE
        self.events = 0
        self.capturing: dict[int, list[Any]] = {}  # by stream, what was recorded

    def run(self, stream: Any, name: Any, work: Any) -> None:
        """Does what is launched on a stream, or records it."""
        handle = handle_of(stream)
        if handle in self.capturing:
            self.capturing[handle].append(work)
            return
        self.log.append((name, handle))
        work()

    def check(self, address: int, size: int) -> None:
        """Device memory is read and written only where there is some."""
        for start, buffer in self.memory.items():
            if start <= address and address + size <= start + len(buffer):
                return
        raise AssertionError(f"{size} bytes at {address:x} are not allocated")

    def allocated(self) -> int:
        return sum(len(buffer) for buffer in self.memory.values())

    def cuMemAlloc(self, size: int) -> int:
        self.log.append("alloc")
        if self.allocated() + size > self.limit:
            raise out_of_memory()
        buffer = (ctypes.c_char * size)()
        address = ctypes.addressof(buffer)
        self.memory[address] = buffer
        return address

    def cuMemFree(self, pointer: Any) -> None:
        self.log.append("free")
        del self.memory[address_of(pointer)]

    def cuMemGetInfo(self) -> tuple[int, int]:
        return FREE, FREE

    def cuCtxGetCurrent(self) -> int:
        return CONTEXT

    def cuCtxGetDevice(self) -> int:
        return 0

    def cuCtxPushCurrent(self, context: Any) -> None:
        pass

    def cuCtxPopCurrent(self) -> int:
        return CONTEXT

    def cuDeviceGetCount(self) -> int:
        return 1

    def cuStreamSynchronize(self, stream: Any) -> None:
        self.log.append(("synchronize", handle_of(stream)))

    def cuEventCreate(self, flags: int) -> int:
        self.events += 1
        return self.events

    def cuEventDestroy(self, event: Any) -> None:
        pass

    def cuEventRecord(self, event: Any, stream: Any) -> None:
        self.log.append(("record", handle_of(event), handle_of(stream)))

    def cuStreamWaitEvent(self, stream: Any, event: Any, flags: int) -> None:
        self.log.append(("wait", handle_of(event), handle_of(stream)))

    def _copy(self, to: Any, a: Any, size: int) -> None:
        ctypes.memmove(address_of(to), address_of(a), size)

    def cuMemcpyHtoD(self, to: Any, a: Any, size: int) -> None:
        self.log.append("synchronous copy")
        self._copy(to, a, size)

    cuMemcpyDtoH = cuMemcpyHtoD
    cuMemcpyDtoD = cuMemcpyHtoD

    def cuMemcpyHtoDAsync(self, to: Any, a: Any, size: int, stream: Any) -> None:
        self.log.append(("to device", handle_of(stream)))
        self._copy(to, a, size)

    def cuMemcpyDtoHAsync(self, to: Any, a: Any, size: int, stream: Any) -> None:
        self.log.append(("to host", handle_of(stream)))
        self._copy(to, a, size)

    def cuMemcpyDtoDAsync(self, to: Any, a: Any, size: int, stream: Any) -> None:
        target, source = address_of(to), address_of(a)

        def work() -> None:
            self.check(target, size)
            self.check(source, size)
            ctypes.memmove(target, source, size)

        self.run(stream, "copy", work)

    def cuMemsetD8Async(self, to: Any, value: int, size: int, stream: Any) -> None:
        target = address_of(to)

        def work() -> None:
            self.check(target, size)
            ctypes.memset(target, value, size)

        self.run(stream, "memset", work)


# Functions of which the ctypes binding passes the result by reference.
RESULTS = {
    "cuMemAlloc",
    "cuCtxGetCurrent",
    "cuCtxGetDevice",
    "cuCtxPopCurrent",
    "cuDeviceGetCount",
    "cuEventCreate",
}


def address_of(value: Any) -> int:
    return int(getattr(value, "value", value) or 0)


handle_of = address_of


def out_of_memory() -> Exception:
    driver = importlib.import_module("numba.cuda.cudadrv.driver")
    if shim.FLAVOUR == "numba" and not driver.USE_NV_BINDING:
        return driver.CudaAPIError(2, "out of memory")
    code = driver.binding.CUresult.CUDA_ERROR_OUT_OF_MEMORY
    return driver.CudaAPIError(code, "out of memory")


class Device:
    """Stands for the driver's device."""

    id = 0
    compute_capability = CC
    name = "host memory"
    MULTIPROCESSOR_COUNT = 4

    def __init__(self, module: Any) -> None:
        # The context holds its device by a weak reference only, as the driver's does.
        handle = self._handle(module)
        self.context = module.Context(weakref.proxy(self), handle)

    @staticmethod
    def _handle(module: Any) -> Any:
        if shim.FLAVOUR == "numba" and not module.USE_NV_BINDING:
            return module.drvapi.cu_context(CONTEXT)
        return CONTEXT

    def get_primary_context(self) -> Any:
        return self.context


def _passed(name: str, function: Any) -> Any:
    """A driver's function as Numba calls it: by value, or by reference with ctypes."""
    module = importlib.import_module("numba.cuda.cudadrv.driver")
    if shim.FLAVOUR == "numba-cuda" or module.USE_NV_BINDING:
        return function
    if name == "cuMemGetInfo":

        def pair(free: Any, total: Any) -> None:
            free._obj.value, total._obj.value = function()

        return pair
    if name not in RESULTS:
        return function

    def by_reference(out: Any, *args: Any) -> None:
        out._obj.value = function(*args)

    return by_reference


_compiled: set[Any] = set()  # kernels with types of arguments


class Launches:
    """Runs kernels by the simulator, or records them, after compiling them."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver

    def call(
        self, dispatcher: Any, args: Any, grid: Any, block: Any, stream: Any
    ) -> None:
        name = dispatcher.py_func.__name__
        assert min(grid) > 0, f"{name}: grid {grid}"
        assert max(grid[1:]) <= 65535, f"{name}: grid {grid}"
        assert np.prod(block) <= 1024, f"{name}: block {block}"
        self._compile(dispatcher, args)
        given = [described(a) for a in args]

        def work() -> None:
            for a in given:
                if isinstance(a, Described) and a.size:
                    self.driver.check(a.low, a.size)
            _simulate(dispatcher.py_func, grid, block, given)

        self.driver.run(stream, ("launch", name), work)

    def _compile(self, dispatcher: Any, args: Any) -> None:
        types = tuple(dispatcher.typeof_pyval(a) for a in args)
        if ptx.reason() == "" and (dispatcher, types) not in _compiled:
            shim.ptx(dispatcher, types, CC)
            _compiled.add((dispatcher, types))


@dataclass(frozen=True)
class Described:
    """An array at an address, as a kernel gets it: it keeps nothing alive."""

    low: int
    size: int
    before: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: Any

    def seen(self) -> Any:
        if self.size == 0:
            return np.empty(self.shape, self.dtype)
        buffer = (ctypes.c_char * self.size).from_address(self.low)
        return np.ndarray(self.shape, self.dtype, buffer, self.before, self.strides)


def described(a: Any) -> Any:
    """Where a device array is; other values as they are."""
    if not getattr(a, "__cuda_ndarray__", False):
        return a
    shape, strides = tuple(a.shape), tuple(a.strides)
    if a.size == 0:
        return Described(0, 0, 0, shape, strides, a.dtype)
    steps = [(n - 1) * s for n, s in zip(shape, strides, strict=True)]
    before = -sum(min(0, step) for step in steps)
    size = before + sum(max(0, step) for step in steps) + a.dtype.itemsize
    low = address_of(a.device_ctypes_pointer) - before
    return Described(low, size, before, shape, strides, a.dtype)


def seen(a: Any) -> Any:
    """The memory of a device array, as a NumPy array."""
    return described(a).seen()


def _simulate(function: Any, grid: Any, block: Any, args: Any) -> None:
    """Runs a kernel's function by Numba's simulator."""
    kernels = importlib.import_module("numba.cuda.simulator.kernel")
    arrays = importlib.import_module("numba.cuda.simulator.cudadrv.devicearray")
    given = [
        arrays.FakeCUDAArray(a.seen()) if isinstance(a, Described) else a for a in args
    ]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)  # the simulator waits for its threads in a loop
    try:
        kernels.FakeCUDAKernel(function, device=False)[grid, block](*given)
    finally:
        sys.setswitchinterval(interval)


class Bindings:
    """`cuda.bindings.driver` as far as graphs need it: codes before results.

    Attributes:
        fails: The name of a function that fails.
        alive: Graphs that are not destroyed.
    """

    CUstream_flags = SimpleNamespace(CU_STREAM_NON_BLOCKING=1)
    CUstreamCaptureMode = SimpleNamespace(CU_STREAM_CAPTURE_MODE_RELAXED=2)

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.fails = ""
        self.alive: set[Any] = set()
        self.streams: set[int] = set()

    def _returned(self, name: str, value: Any = None) -> tuple[Any, ...]:
        if name == self.fails:
            return (900,) if value is None else (900, None)
        return (0,) if value is None else (0, value)

    def cuStreamCreate(self, flags: int) -> Any:
        assert flags == 1
        self.streams.add(0x5C)
        return self._returned("cuStreamCreate", 0x5C)

    def cuStreamDestroy(self, stream: int) -> Any:
        self.streams.remove(stream)
        return self._returned("cuStreamDestroy")

    def cuStreamBeginCapture(self, stream: int, mode: int) -> Any:
        assert mode == 2
        if self.fails != "cuStreamBeginCapture":
            self.driver.capturing[stream] = []
        return self._returned("cuStreamBeginCapture")

    def cuStreamEndCapture(self, stream: int) -> Any:
        graph = tuple(self.driver.capturing.pop(stream, ()))
        self.alive.add(("graph", graph))
        return self._returned("cuStreamEndCapture", graph)

    def cuGraphInstantiate(self, graph: Any, flags: int) -> Any:
        assert flags == 0
        self.alive.add(("executable", graph))
        return self._returned("cuGraphInstantiate", graph)

    def cuGraphDestroy(self, graph: Any) -> Any:
        self.alive.discard(("graph", graph))
        return self._returned("cuGraphDestroy")

    def cuGraphExecDestroy(self, graph: Any) -> Any:
        self.alive.discard(("executable", graph))
        return self._returned("cuGraphExecDestroy")

    def cuGraphLaunch(self, graph: Any, stream: int) -> Any:
        assert ("executable", graph) in self.alive
        self.driver.log.append(("graph", stream))
        for work in graph:
            work()
        return self._returned("cuGraphLaunch")


@functools.cache
def _installed() -> tuple[Driver, Device]:
    """The device, in place of the driver's functions: once, since Numba keeps devices.

    They stay: what is dropped after a test is freed by them.
    """
    module = importlib.import_module("numba.cuda.cudadrv.driver")
    module._logger = module.make_logger()
    driver = Driver()
    for name in dir(Driver):
        if name.startswith("cu"):
            module.driver.__dict__[name] = _passed(name, getattr(driver, name))
    made = Device(module)
    module.driver.devices[0] = made
    return driver, made


@contextmanager
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    """Numba's driver on host memory, and no place of another device."""
    if shim.SIMULATED or shim.cuda.is_available():
        pytest.skip("there is a device, or the simulator: none is faked")
    module = importlib.import_module("numba.cuda.cudadrv.driver")
    dispatchers = importlib.import_module("numba.cuda.dispatcher")
    monkeypatch.setattr(module.driver, "is_initialized", True)
    monkeypatch.setattr(module.driver, "initialization_error", None)
    driver, here = _installed()
    driver.limit = FREE
    driver.log.clear()
    launches = Launches(driver)

    def call(self: Any, args: Any, first: Any, *rest: Any) -> None:
        if rest:  # Numba's own passes the parts of the configuration
            launches.call(self, args, first, rest[0], rest[1])
        else:
            launches.call(
                self, args, first.griddim, first.blockdim, first.stream.handle
            )

    monkeypatch.setattr(dispatchers.CUDADispatcher, "call", call)
    places: dict[Any, Any] = {}
    monkeypatch.setattr(place, "_places", places)
    yield driver
    places.clear()
    gc.collect()
    here.context.memory_manager.deallocations.clear()
