"""The tables of `python -m bench speed`."""

from __future__ import annotations

from collections.abc import Sequence

from bench import roofline
from bench.measure import Times
from bench.report import duration, markdown, three_digits
from bench.speed_case import Row
from bench.speed_start import Start

GROUPS = {
    "calls": "Calls from Python, and networks",
    "kernels": "Kernels, against the same function under Numba without a gradient",
}
UNITS = ("handwritten", "primal")  # gradjit's time in units of these
OTHERS = ("jax", "torch", "autograd")  # and these in units of gradjit's time


def tables(
    rows: Sequence[Row], starts: Sequence[Start], limits: roofline.Limits
) -> str:
    """One for each group, one of first results, and one of shares of the limits."""
    parts: list[str] = []
    for group, title in GROUPS.items():
        inside = [row for row in rows if row.case.group == group]
        if inside:
            parts += [f"**{title}**", table(inside)]
    if starts:
        parts += ["**The first result**", start_table(starts)]
    if rows:
        parts += ["**Shares of what the machine can do**", roofline.table(rows, limits)]
        parts.append(str(limits))
    return "\n\n".join(parts)


def table(rows: Sequence[Row]) -> str:
    """gradjit's time in units of the others', or theirs in units of gradjit's."""
    units = [name for name in UNITS if any(name in row.case.peers for row in rows)]
    others = [name for name in OTHERS if any(name in row.case.peers for row in rows)]
    head = ["workload", "size", "gradjit", *(f"/ {name}" for name in units)]
    lines = [[*head, *others, "target", "reached"]]
    for row in rows:
        cells = [row.case.name, row.size, duration(row.seconds.get("gradjit"))]
        for name in units:
            ratio = row.relative.get(name)
            cells.append(f"{ratio[1]:.2f}" if ratio else "-")
        for name in others:
            ratio = row.relative.get(name)
            times = f" ({three_digits(1.0 / ratio[1])}x)" if ratio else ""
            cells.append(duration(row.seconds.get(name)) + times)
        targets = "; ".join(map(str, row.case.targets))
        lines.append([*cells, targets, verdict(row)])
    return markdown(lines)


def verdict(row: Row) -> str:
    if "gradjit" in row.failed:
        return "FAILED"
    if row.quick:
        return "-"
    missed = row.missed()
    if missed and len(row.case.targets) > 1:
        return "NO: " + "; ".join(missed)
    return "NO" if missed else "-" if row.reached is None else "yes"


def start_table(starts: Sequence[Start]) -> str:
    """Seconds that pass, and of gradjit those of the processor too."""
    peers = "gradjit", "handwritten", "jax"
    lines = [["", "workload", *peers, "gradjit's CPU", "target", "reached"]]
    for row in starts:
        seconds = Times(row.samples).seconds
        times = [duration(seconds.get(name)) for name in peers]
        times.append(duration(Times(row.cpu).seconds.get("gradjit")))
        met = "yes" if seconds["gradjit"] <= row.target else "NO"
        lines.append([row.name, row.note, *times, duration(row.target), met])
    return markdown(lines)


def failures(rows: Sequence[Row]) -> list[str]:
    return [
        f"failed: {row.case.name} with {name}: {why}"
        for row in rows
        for name, why in row.failed.items()
    ]
