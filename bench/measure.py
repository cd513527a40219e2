"""Checking that all peers agree, and timing them side by side.

The peers of a workload are interleaved: each round times one block of calls of each of
them, so that a change in the machine's speed meets all alike. The time of a peer is the
median over the rounds. A block of a fast call is a loop of many calls. As in `timeit`,
the garbage collector rests meanwhile; tapes, which make many objects, gain most by it.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.peers import Peer, leaves
from bench.workloads import Workload

Quartiles = tuple[float, float, float]

REFERENCE = "handwritten"
CALIBRATION = "calibration"
TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure: rounds, seconds a block and a peer; and by which clock."""

    rounds: int
    block: float
    limit: float
    clock: Callable[[], float] = time.perf_counter


FULL = Effort(rounds=25, block=0.02, limit=6.0)
QUICK = Effort(rounds=3, block=0.002, limit=0.5)


@dataclass(slots=True)
class Row:
    """What came out for one workload; times in seconds a call, first calls included."""

    workload: str
    note: str
    seconds: dict[str, float] = field(default_factory=dict)
    quartiles: dict[str, Quartiles] = field(default_factory=dict)
    relative: dict[str, Quartiles] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    error: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def difference(result: Any, expected: Any) -> float:
    """Largest difference, relative to the largest entry of each expected array."""
    got, want = leaves(result), leaves(expected)
    if len(got) != len(want):
        return math.inf
    worst = 0.0
    for x, y in zip(got, want, strict=True):
        if np.shape(x) != np.shape(y):
            return math.inf
        scale = float(np.max(np.abs(y))) or 1.0
        error = float(np.max(np.abs(np.asarray(x) - y))) / scale
        worst = max(worst, math.inf if math.isnan(error) else error)
    return worst


def timed(
    call: Callable[[], Any],
    count: int,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Seconds a call, over a loop of `count` calls."""
    start = clock()
    for _ in range(count):
        call()
    return (clock() - start) / count


def measure(workload: Workload, peers: list[Peer], args: Any, effort: Effort) -> Row:
    """Check and time one workload.

    All must equal the peer named `REFERENCE`. One that raises or disagrees is reported
    as failed and is not timed.
    """
    row = Row(workload.name, workload.note)
    calls: dict[str, Callable[[], Any]] = {}
    results: dict[str, Any] = {}
    for peer in peers:
        start = time.perf_counter()
        try:
            call = peer.prepare(workload, args)
            results[peer.name] = call()
        except Exception as exc:
            row.failed[peer.name] = f"{type(exc).__name__}: {exc}"
            continue
        row.first[peer.name] = time.perf_counter() - start
        calls[peer.name] = call
    for name, result in results.items():
        row.error[name] = difference(result, results[REFERENCE])
        if row.error[name] > TOLERANCE:
            row.failed[name] = f"differs by {row.error[name]:.1e} from {REFERENCE}"
            del calls[name]
    times = interleaved(calls, effort)
    row.seconds = times.seconds
    row.quartiles = times.quartiles
    row.relative = times.relative()
    return row


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds a call: of each call in each round, and of a calibration beside them."""

    samples: dict[str, list[float]]

    @property
    def seconds(self) -> dict[str, float]:
        """Medians."""
        return {
            name: statistics.median(times)
            for name, times in self.samples.items()
            if name != CALIBRATION
        }

    @property
    def quartiles(self) -> dict[str, Quartiles]:
        return {
            name: quartiles(times)
            for name, times in self.samples.items()
            if name != CALIBRATION
        }

    def relative(self, of: str = "gradjit") -> dict[str, Quartiles]:
        """The time of one call in units of each other one, round by round.

        What slows the machine down for a round slows both down, so these vary less than
        the times do; a later run is compared with them.
        """
        own = self.samples.get(of, [])
        return {
            name: quartiles([x / y for x, y in zip(own, times, strict=False)])
            for name, times in self.samples.items()
            if name != of and own
        }


def quartiles(times: Sequence[float]) -> Quartiles:
    low, middle, high = np.percentile(times, (25, 50, 75))
    return float(low), float(middle), float(high)


def calibration() -> Callable[[], Any]:
    """A call that depends on the machine alone: NumPy's products, exp and copies."""
    a = np.linspace(0.1, 1.0, 64 * 64).reshape(64, 64)
    x = np.linspace(-1.0, 1.0, 20_000)
    product, out = np.empty_like(a), np.empty_like(x)

    def run() -> None:
        np.matmul(a, a, out=product)
        np.exp(x, out=out)
        np.add(x, out, out=out)

    return run


def interleaved(calls: Mapping[str, Callable[[], Any]], effort: Effort) -> Times:
    """The times of each call, in rounds of one block of each."""
    calls = {**calls, CALIBRATION: calibration()}
    counts = {name: _block(call, effort) for name, call in calls.items()}
    samples: dict[str, list[float]] = {name: [] for name in calls}
    spent = dict.fromkeys(calls, 0.0)
    gc.collect()
    gc.disable()
    try:
        for _ in range(effort.rounds):
            for name, call in calls.items():
                if len(samples[name]) >= 3 and spent[name] > effort.limit:
                    continue
                seconds = timed(call, counts[name], effort.clock)
                spent[name] += seconds * counts[name]
                samples[name].append(seconds)
    finally:
        gc.enable()
    return Times(samples)


def _block(call: Callable[[], Any], effort: Effort) -> int:
    """How many calls make a block."""
    once = min(timed(call, 1, effort.clock) for _ in range(2))
    return max(1, round(effort.block / max(once, 1e-8)))
