"""CUDA graphs: the launches of a whole call, recorded once and replayed as one.

A launch from Python takes longer than many kernels. Where the host code of a call does
not wait for the device, it launches the same kernels whenever shapes, dtypes and
numbers are the same: the second call of a kind is recorded on a stream of its own, and
those after it copy their arguments to where the recorded ones were, replay, and copy
the results out.

A recorded call has memory of its own, which stays its own: what it used for temporaries
must not be in an array that is alive when it is replayed. What cannot be recorded is
called plainly, each time. A function that writes into its arguments must not come here:
it would write into copies.

This has been tested on a stand-in for the driver only.
"""

from __future__ import annotations

import functools
import importlib
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from gradjit.cuda import buffers, optional, place
from gradjit.cuda.place import Place
from gradjit.cuda.pool import Pool
from gradjit.cuda.shim import SIMULATED, cuda

Function = Callable[..., Sequence[Any]]

MOST = 8
"""So many kinds of calls of one function are recorded; others are called plainly."""


class _Failed(Exception):
    """The driver could not do it."""


@functools.cache
def bindings() -> Any:
    """The driver's functions, from `cuda.bindings`; None where there are none."""
    try:
        return None if SIMULATED else importlib.import_module("cuda.bindings.driver")
    except ImportError:
        return None


@dataclass(slots=True, weakref_slot=True)
class _Graph:
    """A recorded call: what is launched, and the memory that it works in."""

    executable: Any
    arguments: list[Any]
    results: list[Any]
    memory: Pool
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(slots=True)
class _Calls:
    """What is known of the calls of a function.

    Attributes:
        seen: Kinds that were called once.
        graphs: Kinds that were recorded; None where that cannot be.
    """

    seen: deque[Any] = field(default_factory=lambda: deque(maxlen=MOST))
    graphs: dict[Any, _Graph | None] = field(default_factory=dict[Any, Any])


_calls: weakref.WeakKeyDictionary[Function, _Calls] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def captured(function: Function, arguments: Sequence[Any]) -> Sequence[Any]:
    """The results of a call, replayed if this kind of call was recorded.

    Args:
        function: Takes device arrays and numbers, returns a sequence of them, and
            writes into none of its arguments.
        arguments: Its arguments.
    """
    here = place.current()
    if bindings() is None:
        return function(*arguments)
    key = (here.device, here.handle, *map(_kind, arguments))
    with _lock:
        calls = _calls.setdefault(function, _Calls())
        known, again = key in calls.graphs, key in calls.seen
        graph = calls.graphs.get(key)
    if not known and not again:
        return _first(function, arguments, calls, key)
    if not known and len(calls.graphs) < MOST:
        try:
            graph = _record(function, arguments, here)
        except Exception:  # whatever it was, a plain call says it, or does without
            graph = None
        calls.graphs[key] = graph
    return function(*arguments) if graph is None else _replay(graph, arguments, here)


def _first(
    function: Function, arguments: Sequence[Any], calls: _Calls, key: Any
) -> Sequence[Any]:
    """The first call of a kind compiles kernels, and shows whether the host waits."""
    before = place.waits()
    results = function(*arguments)
    if place.waits() == before:
        calls.seen.append(key)
    return results


def _kind(argument: Any) -> Any:
    if hasattr(argument, "copy_to_host"):
        return (tuple(argument.shape), tuple(argument.strides), argument.dtype.str)
    return (type(argument), repr(argument))  # repr tells 0.0 from -0.0, and finds nan


# -----------------------------------------------------------------------------
# recording


def _record(function: Function, arguments: Sequence[Any], here: Place) -> _Graph:
    own = here.private()
    with place.using(own), _allocating(own):
        staged = [_staged(argument) for argument in arguments]
        # Once without recording: nothing is compiled or loaded while it is recorded,
        # and all the memory that it takes is there.
        function(*staged)
    driver = bindings()
    flags = driver.CUstream_flags.CU_STREAM_NON_BLOCKING
    stream = _checked(driver.cuStreamCreate(int(flags)))
    handle = int(stream)
    # The scratch memory is that of the caller's stream, where the call is replayed.
    there = replace(own, stream=cuda.external_stream(handle), handle=handle)
    try:
        with place.using(there), _allocating(there):
            executable, results = _launches(function, staged, stream)
    finally:
        _checked(driver.cuStreamDestroy(stream))
    graph = _Graph(executable, staged, list(results), own.pool)
    weakref.finalize(graph, driver.cuGraphExecDestroy, executable).atexit = False
    return graph


def _launches(function: Function, staged: list[Any], stream: Any) -> tuple[Any, Any]:
    """What a call launches on a stream, ready to be replayed, and its results."""
    driver = bindings()
    mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
    _checked(driver.cuStreamBeginCapture(stream, mode))
    before = place.waits()
    results = None
    try:
        results = function(*staged)
    finally:
        graph = _checked(driver.cuStreamEndCapture(stream))
        try:
            if results is None or place.waits() != before:
                raise _Failed("the host waited for the device")
            executable = _checked(driver.cuGraphInstantiate(graph, 0))
        finally:
            _checked(driver.cuGraphDestroy(graph))
    return executable, results


def _staged(argument: Any) -> Any:
    return buffers.copy(argument) if hasattr(argument, "copy_to_host") else argument


def _allocating(here: Place) -> AbstractContextManager[Any]:
    """CuPy's own temporaries come from the memory of the recorded call, too."""
    cupy = optional.cupy()
    if cupy is None:
        return nullcontext()

    def allocate(size: int) -> Any:
        block = here.pool.take(size)
        memory = cupy.cuda.UnownedMemory(block.address, size, block, here.device)
        return cupy.cuda.MemoryPointer(memory, 0)

    return cupy.cuda.using_allocator(allocate)


def _checked(returned: tuple[Any, ...]) -> Any:
    """What a function of the driver returns behind its code."""
    code, *values = returned
    if int(code) != 0:
        raise _Failed(str(code))
    return values[0] if values else None


# -----------------------------------------------------------------------------
# replaying


def _replay(graph: _Graph, arguments: Sequence[Any], here: Place) -> list[Any]:
    with graph.lock:
        for staged, argument in zip(graph.arguments, arguments, strict=True):
            if hasattr(argument, "copy_to_host") and argument.size:
                buffers.copy_into(staged, argument)
        _checked(bindings().cuGraphLaunch(graph.executable, here.handle))
        return [_staged(result) for result in graph.results]
