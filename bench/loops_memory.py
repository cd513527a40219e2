"""Time and memory of a long wave, without a limit of memory and with one.

    python -m bench.loops_memory peak|time N STEPS [LIMIT]

Peaks are those of resident memory, each measured in a process of its own, and in a
second call: the first one compiles what so many steps need.
"""

from __future__ import annotations

import ctypes
import gc
import inspect
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OVER, TIMES = 64.0, 3.0


@dataclass(frozen=True, slots=True)
class Memory:
    """What came out: megabytes that a call adds at its peak, seconds a call."""

    size: str
    limit: str
    primal: float
    unlimited: float
    limited: float
    seconds_unlimited: float
    seconds_limited: float

    @property
    def over(self) -> float:
        """Megabytes over the primal."""
        return self.limited - self.primal

    @property
    def ratio(self) -> float:
        return self.seconds_limited / self.seconds_unlimited

    @property
    def reached(self) -> bool:
        return self.over < OVER and self.ratio <= TIMES


def why_not() -> str:
    """Why there is nothing to measure; empty if there is."""
    import gradjit

    if "memory" in inspect.signature(gradjit.value_and_grad).parameters:
        return ""
    return "gradjit.value_and_grad takes no `memory` yet"


def measure(quick: bool) -> Memory:
    """Run the processes."""
    n, steps, limit = (24, 40, "1MB") if quick else (256, 2000, "64MB")
    kinds = {"primal": "primal", "unlimited": "", "limited": limit}
    peaks = {kind: _run("peak", n, steps, text) for kind, text in kinds.items()}
    times = _run("time", n, steps, limit)
    results = [report["value"] for report in (*peaks.values(), times)]
    if max(results) - min(results) > 1e-9 * max(map(abs, results)):
        raise AssertionError(f"the waves differ: {results}")
    grown = {kind: report["peak"] for kind, report in peaks.items()}
    return Memory(
        f"{steps} steps of {n} x {n}",
        limit,
        seconds_unlimited=times["unlimited"],
        seconds_limited=times["limited"],
        **grown,
    )


def _run(*args: object) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.loops_memory", *map(str, args)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


# ------------------------------------------------------------------- in such a process


def _resident(field: str) -> float:
    """`VmRSS`, or `VmHWM`, its peak, in megabytes."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) / 1e3
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _forget_peak() -> None:
    """Give back what is free, and let the peak begin here (Linux)."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _function(limit: str) -> Callable[..., Any]:
    import numba

    import gradjit
    from bench.loops_kernels import wave

    if limit == "primal":
        return numba.njit(wave)
    options: dict[str, Any] = {"memory": limit} if limit else {}
    return gradjit.value_and_grad(wave, (0, 1), **options)


def _value(result: Any) -> float:
    """A number by which to compare: with gradients, their sum with the value's."""
    return float(result[0] if isinstance(result, tuple) else result)


def _peak(n: int, steps: int, limit: str) -> dict[str, float]:
    from bench.loops_programs import waves

    call = _function(limit)
    args = waves(n, steps)()
    call(*args)
    _forget_peak()
    before = _resident("VmRSS")
    value = _value(call(*args))
    return {"peak": _resident("VmHWM") - before, "value": value}


def _time(n: int, steps: int, limit: str) -> dict[str, float]:
    import numpy as np

    from bench.loops_programs import waves

    args = waves(n, steps)()
    calls = {"unlimited": _function(""), "limited": _function(limit)}
    results = {name: call(*args) for name, call in calls.items()}
    for got, want in zip(results["limited"][1], results["unlimited"][1], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)
    value = _value(results["limited"])
    del results
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(3):
        for name, call in calls.items():
            start = time.perf_counter()
            call(*args)
            samples[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(s) for name, s in samples.items()}
    return {"value": value, **medians}


if __name__ == "__main__":
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    what, size, count, *rest = sys.argv[1:]
    run = {"peak": _peak, "time": _time}[what]
    print(json.dumps(run(int(size), int(count), rest[0] if rest else "")))
