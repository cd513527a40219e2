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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.peers import Peer, leaves
from bench.workloads import Workload

REFERENCE = "handwritten"
TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure: rounds, and seconds a block and a peer."""

    rounds: int
    block: float
    limit: float


FULL = Effort(rounds=25, block=0.02, limit=6.0)
QUICK = Effort(rounds=3, block=0.002, limit=0.5)


@dataclass(slots=True)
class Row:
    """What came out for one workload; times in seconds a call, first calls included."""

    workload: str
    note: str
    seconds: dict[str, float] = field(default_factory=dict)
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


def timed(call: Callable[[], Any], count: int) -> float:
    """Seconds a call, over a loop of `count` calls."""
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count


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
    row.seconds = interleaved(calls, effort)
    return row


def interleaved(
    calls: Mapping[str, Callable[[], Any]], effort: Effort
) -> dict[str, float]:
    """The median time of each call, in rounds of one block of each."""
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
                seconds = timed(call, counts[name])
                spent[name] += seconds * counts[name]
                samples[name].append(seconds)
    finally:
        gc.enable()
    return {name: statistics.median(times) for name, times in samples.items()}


def _block(call: Callable[[], Any], effort: Effort) -> int:
    """How many calls make a block."""
    once = min(timed(call, 1) for _ in range(2))
    return max(1, round(effort.block / max(once, 1e-8)))
