"""The tables of `python -m bench speed`."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report import duration, markdown, three_digits
from bench.speed_case import Row

GROUPS = {
    "calls": "Calls from Python, and networks",
    "kernels": "Kernels, against the same function under Numba without a gradient",
}
UNITS = ("handwritten", "primal")  # gradjit's time in units of these
OTHERS = ("jax", "torch", "autograd")  # and these in units of gradjit's time


def tables(rows: Sequence[Row]) -> str:
    """One for each group."""
    parts: list[str] = []
    for group, title in GROUPS.items():
        inside = [row for row in rows if row.case.group == group]
        if inside:
            parts += [f"**{title}**", table(inside)]
    return "\n\n".join(parts)


def table(rows: Sequence[Row]) -> str:
    """gradjit's time in units of the others', or theirs in units of gradjit's."""
    units = [name for name in UNITS if any(name in row.case.peers for row in rows)]
    others = [name for name in OTHERS if any(name in row.case.peers for row in rows)]
    head = ["workload", "size", "gradjit", *(f"/ {name}" for name in units)]
    lines = [[*head, *others, "target", "reached"]]
    for row in rows:
        own = row.seconds.get("gradjit")
        cells = [row.case.name, row.size, duration(own)]
        for name in units:
            unit = row.seconds.get(name)
            cells.append(f"{own / unit:.2f}" if own and unit else "-")
        for name in others:
            other = row.seconds.get(name)
            times = f" ({three_digits(other / own)}x)" if own and other else ""
            cells.append(duration(other) + times)
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


def failures(rows: Sequence[Row]) -> list[str]:
    return [
        f"failed: {row.case.name} with {name}: {why}"
        for row in rows
        for name, why in row.failed.items()
    ]
