"""The GPU of `python -m bench cuda`, its clock and the limit that it sets.

Times are those of CUDA events: recorded when the device has done all that was asked of
it, so that what Python does meanwhile counts only where the device waits for it.
"""

from __future__ import annotations

import importlib.util
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.measure import Effort, Quartiles, quartiles

COPIED = 2**30  # bytes, of the copy that is the limit
FULL = Effort(rounds=25, block=0.02, limit=1.5)
QUICK = Effort(rounds=3, block=0.001, limit=0.1)


@dataclass(frozen=True, slots=True)
class Way:
    """A call that starts from arrays on the device and leaves its results there.

    Attributes:
        call: Gives the result, which need not be there yet.
        host: Brings a result to NumPy arrays and numbers.
        wait: Returns when a result is there, for those whose streams are their own.
    """

    call: Callable[[], Any]
    host: Callable[[Any], Any]
    wait: Callable[[Any], Any] = id


def missing_gpu() -> str | None:
    """Why nothing can be measured; None where there is a GPU."""
    if importlib.util.find_spec("gradjit.cuda") is None:
        return "this gradjit has no CUDA target"
    from gradjit.cuda import shim
    from gradjit.errors import GradjitError

    if shim.SIMULATED:
        return "Numba's simulator is in use"
    try:
        shim.require()
    except GradjitError as exc:
        return " ".join(str(exc).split())
    return None


def simulated() -> bool:
    if importlib.util.find_spec("gradjit.cuda") is None:
        return False
    from gradjit.cuda import shim

    return bool(shim.SIMULATED)


@dataclass(slots=True)
class Gpu:
    """The device, by Numba; arrays are CuPy's where that is installed.

    An instance is a clock, in seconds, that looks when all that was asked for is done.
    """

    cuda: Any
    arrays: Any = None
    last: Any = None
    seconds: float = field(default=0.0)

    def __call__(self) -> float:
        now = self.cuda.event(timing=True)
        now.record()
        now.synchronize()
        if self.last is not None:
            # The sum in double precision: one event gives milliseconds in single.
            self.seconds += self.cuda.event_elapsed_time(self.last, now) / 1e3
        self.last = now
        return self.seconds

    def put(self, array: Any) -> Any:
        """A copy of an array on the device; numbers stay what they are."""
        if not isinstance(array, np.ndarray):
            return array
        if self.arrays is not None:
            return self.arrays.asarray(array)
        return self.cuda.to_device(array)

    def host(self, x: Any) -> Any:
        if hasattr(x, "copy_to_host"):
            return x.copy_to_host()
        return x.get() if hasattr(x, "get") else x

    def synchronize(self) -> None:
        self.cuda.synchronize()

    def copy_rate(self, quick: bool) -> float:
        """Bytes a second of a copy on the device, read and written."""
        size = COPIED // 64 if quick else COPIED
        source = self.cuda.to_device(np.ones(size // 4, dtype=np.float32))
        target = self.cuda.device_array_like(source)
        way = Way(lambda: target.copy_to_device(source), lambda x: x)
        return 2.0 * size / sampled(way, self, FULL)[1]

    def free(self) -> None:
        """Give back what pools keep."""
        from gradjit.cuda import pool

        self.synchronize()
        pool.clear()
        if self.arrays is not None:
            self.arrays.get_default_memory_pool().free_all_blocks()

    def describe(self) -> dict[str, str]:
        device = self.cuda.get_current_device()
        name = device.name
        found = {"gpu": name.decode() if isinstance(name, bytes) else str(name)}
        found["compute capability"] = ".".join(map(str, device.compute_capability))
        driver = _driver()
        return found | ({"driver": driver} if driver else {})


def _driver() -> str:
    """The version of the driver, from its own tool."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ""
    words = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0].strip() if done.returncode == 0 else ""


def open_gpu() -> Gpu:
    from gradjit.cuda.shim import cuda

    cuda.current_context()
    try:
        import cupy
    except ImportError:
        cupy = None
    return Gpu(cuda, cupy)


# ------------------------------------------------------------------------------- timing


def block(way: Way, count: int, clock: Callable[[], float]) -> float:
    """Seconds a call, over a loop of `count` calls that do not wait for each other."""
    start = clock()
    result = None
    for _ in range(count):
        result = way.call()
    way.wait(result)
    return (clock() - start) / count


def sampled(way: Way, clock: Callable[[], float], effort: Effort) -> Quartiles:
    """Quartiles of the seconds a call, by blocks of calls, after a warm-up.

    Ways are timed one after the other, not in turns: the memory of one is given back
    before the next one starts, and nobody else uses the device.
    """
    once = statistics.median(block(way, 1, clock) for _ in range(3))
    count = max(1, round(effort.block / max(once, 1e-7)))
    times: list[float] = []
    spent = 0.0
    while len(times) < effort.rounds and (len(times) < 3 or spent < effort.limit):
        times.append(block(way, count, clock))
        spent += times[-1] * count
    return quartiles(times)


def first(way: Way, clock: Callable[[], float]) -> tuple[Any, float]:
    """The first result, and how many seconds passed until it was there."""
    start = time.perf_counter()
    result = way.call()
    way.wait(result)
    clock()
    return result, time.perf_counter() - start
