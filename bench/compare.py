"""Which rows became slower since an earlier JSON of the same benchmark.

Another machine, or the same one on another day, is faster or slower as a whole. So a
row is compared by its time in units of something measured in turns with it: the adjoint
by hand, the primal, and a calibration that has nothing of gradjit in it. Each may be
disturbed, or have changed, by itself: a row counts as slower if it is so in all of
these units, by more than a tenth and by more than the medians of both runs are sure of.

That is by the notches of box plots, 1.57 times the distance of the quartiles over the
root of the number of rounds (McGill, Tukey and Larsen, Variations of box plots, 1978).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import CALIBRATION
from bench.report import markdown

UNITS = ("handwritten", "primal", CALIBRATION)
LEAST = 0.1


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a row.

    Attributes:
        name: Of the row.
        ratio: New time over old time, in the unit in which that is least.
        unit: That unit.
        noise: How much of the ratio the notches of both medians explain.
    """

    name: str
    ratio: float
    unit: str
    noise: float

    @property
    def slower(self) -> bool:
        return self.ratio > 1.0 + max(LEAST, self.noise)

    @property
    def faster(self) -> bool:
        return self.ratio < 1.0 - max(LEAST, self.noise)


def notch(quartiles: Any) -> float:
    """How far off a median may be, in units of the median."""
    low, middle, high, rounds = quartiles
    return 1.57 * (high - low) / (middle * math.sqrt(rounds))


def change(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Change | None:
    """Compare a row's times in all units that both runs have."""
    units = [unit for unit in UNITS if unit in old and unit in new]
    if not units:
        return None
    ratio, unit = min((new[unit][1] / old[unit][1], unit) for unit in units)
    return Change(name, ratio, unit, notch(old[unit]) + notch(new[unit]))


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
    lines = [["row", "new / old", "in units of", "noise", ""]]
    for one in sorted(found, key=lambda c: -c.ratio):
        if one.slower or one.faster:
            word = "SLOWER" if one.slower else "faster"
            noise = f"{100.0 * one.noise:.0f} %"
            lines.append([one.name, f"{one.ratio:.2f}", one.unit, noise, word])
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
