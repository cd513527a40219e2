"""Which rows became slower since an earlier JSON of the same benchmark.

Another machine, or the same one on another day, is faster or slower as a whole. So a
row is compared by its time in units of something measured in turns with it: the adjoint
by hand, the primal, and a calibration that has nothing of gradjit in it. Each may be
disturbed, or have changed, by itself: a row counts as slower if it is so in all of
these units, its median by more than a tenth, and the lower quartile of the new times
above the upper quartile of the old ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import CALIBRATION
from bench.report import markdown

UNITS = ("handwritten", "primal", CALIBRATION)
TENTH = 0.1


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a row, in one unit: new time over old time.

    Attributes:
        name: Of the row.
        unit: What both times are divided by.
        ratio: Of the medians.
        least: Of the new lower quartile to the old upper one.
        most: Of the new upper quartile to the old lower one.
    """

    name: str
    unit: str
    ratio: float
    least: float
    most: float

    @property
    def slower(self) -> bool:
        return self.ratio > 1.0 + TENTH and self.least > 1.0

    @property
    def faster(self) -> bool:
        return self.ratio < 1.0 - TENTH and self.most < 1.0


def change(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Change | None:
    """The change of a row, in the unit in which it is the smallest."""
    found: list[Change] = []
    for unit in UNITS:
        if unit in old and unit in new:
            (low, middle, high), (bottom, mean, top) = old[unit], new[unit]
            bounds = mean / middle, bottom / high, top / low
            found.append(Change(name, unit, *bounds))
    unsure = [one for one in found if not one.slower and not one.faster]
    return min(unsure or found, key=lambda one: one.ratio, default=None)


def _rows(content: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {
        row.get("workload") or row["program"]: row.get("relative", {})
        for row in content["rows"]
    }


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Of all rows that both have."""
    before, after = _rows(old), _rows(new)
    found = [change(n, before[n], after[n]) for n in after if n in before]
    return [one for one in found if one is not None]


def text(found: list[Change]) -> str:
    """A table of what changed, and how many rows did not."""
    lines = [["row", "new / old", "between", "in units of", ""]]
    for one in sorted(found, key=lambda c: -c.ratio):
        if one.slower or one.faster:
            word = "SLOWER" if one.slower else "faster"
            between = f"{one.least:.2f} and {one.most:.2f}"
            lines.append([one.name, f"{one.ratio:.2f}", between, one.unit, word])
    same = len(found) - len(lines) + 1
    note = f"{same} of {len(found)} rows did not change beyond noise"
    return f"{markdown(lines)}\n\n{note}" if len(lines) > 1 else note


class DifferentRunsError(ValueError):
    """The earlier run did not measure the same."""


def read(path: Path | None, benchmark: str, quick: bool, threads: int) -> Any:
    """An earlier run of the same kind, read before a new one may be written over it."""
    if path is None:
        return None
    content = json.loads(path.read_text())
    wanted = {"benchmark": benchmark, "quick": quick, "threads": threads}
    found = {"threads": content.get("machine", {}).get("threads")} | content
    for key, value in wanted.items():
        if found.get(key) != value:
            message = f"{path}: {key} was {found.get(key)}, and is {value}"
            raise DifferentRunsError(message)
    return content


def report(old: Any, new: Mapping[str, Any]) -> bool:
    """Print the comparison; whether any row became slower. Nothing without `old`."""
    if old is None:
        return False
    found = changes(old, new)
    gone = sorted(set(_rows(old)) - set(_rows(new)))
    print(text(found))
    if gone:
        print("only in the earlier run:", ", ".join(gone))
    return any(one.slower for one in found)
