"""How near a workload comes to what the machine can do.

The limits are measured: the bandwidth of copying 256 MB, counted as read once and
written once, and the rate of a large matrix product, for each type. The bytes of a
workload are those of its arguments and results, each moved once, and its operations are
counted by formula. Intermediate arrays are not counted: a share far below 1 says that a
program does more than it has to, or waits for one operation after another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.measure import timed
from bench.report import duration, markdown, three_digits
from bench.speed_case import Row

LEAST_BYTES, LEAST_FLOPS = 1e5, 1e6


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes a second of a copy, and operations a second of a product, by type."""

    copy: float
    gemm: dict[str, float]

    def or_better(self, other: Limits) -> Limits:
        """The higher of both rates: what else runs on a machine only lowers them."""
        gemm = {name: max(rate, other.gemm[name]) for name, rate in self.gemm.items()}
        return Limits(max(self.copy, other.copy), gemm)

    def __str__(self) -> str:
        rates = ", ".join(f"{k} {v / 1e9:.1f} Gflop/s" for k, v in self.gemm.items())
        return f"Limits: copy {self.copy / 1e9:.1f} GB/s; products {rates}."


def measure(quick: bool, clock: Callable[[], float]) -> Limits:
    count, n = (10**6, 200) if quick else (32 * 10**6, 1500)
    source = np.ones(count)
    target = np.zeros(count)
    copy = 2.0 * source.nbytes / best(lambda: np.copyto(target, source), clock)
    rates: dict[str, float] = {}
    for dtype in ("float64", "float32"):
        a = np.random.default_rng(0).normal(size=(n, n)).astype(dtype)
        out = np.empty_like(a)
        seconds = best(lambda a=a, o=out: np.matmul(a, a, out=o), clock)
        rates[dtype] = 2.0 * n**3 / seconds
    return Limits(copy, rates)


def best(call: Callable[[], object], clock: Callable[[], float]) -> float:
    """The least seconds of a few calls."""
    return min(timed(call, 1, clock) for _ in range(5))


def table(rows: Sequence[Row], limits: Limits) -> str:
    """The shares of both limits; rows that are too small for either are left out."""
    head = ["workload", "gradjit", "bytes", "of copy", "operations", "of product"]
    lines = [head]
    for row in rows:
        seconds = row.seconds.get("gradjit")
        if not seconds or (row.moved < LEAST_BYTES and row.flops < LEAST_FLOPS):
            continue
        copied = row.moved / seconds / limits.copy
        computed = row.flops / seconds / limits.gemm[row.dtype]
        lines.append(
            [
                row.case.name,
                duration(seconds),
                f"{three_digits(row.moved / 1e6)} MB",
                f"{100.0 * copied:.0f} %",
                f"{three_digits(row.flops / 1e6)} M",
                f"{100.0 * computed:.0f} %",
            ]
        )
    return markdown(lines)
