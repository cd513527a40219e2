"""The table, the JSON file and the chart of a benchmark run."""

from __future__ import annotations

import json
import math
import os
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.measure import Row


def table(rows: Sequence[Row], names: Sequence[str]) -> str:
    """A Markdown table: the time of a call, and its multiple of gradjit's time.

    The last column is gradjit's time in units of the adjoint written by hand.
    """
    others = [name for name in names if name != "gradjit"]
    lines = [["workload", "gradjit", *others, "gradjit / handwritten"]]
    for row in rows:
        base = row.seconds.get("gradjit")
        hand = row.seconds.get("handwritten")
        cells = [row.workload, duration(base)]
        for name in others:
            seconds = row.seconds.get(name)
            multiple = f" ({three_digits(seconds / base)}x)" if seconds and base else ""
            cells.append(duration(seconds) + multiple)
        cells.append(f"{base / hand:.2f}" if base and hand else "-")
        lines.append(cells)
    return markdown(lines)


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table of a header and rows; all but the first cells to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    aligned = [
        [line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]
        for line in lines
    ]
    aligned.insert(1, rule)
    return "\n".join(f"| {' | '.join(line)} |" for line in aligned)


def duration(seconds: float | None) -> str:
    """Three digits and a unit."""
    if seconds is None:
        return "-"
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1.0:
            return f"{three_digits(seconds * factor)} {unit}"
    return f"{three_digits(seconds * 1e9)} ns"


def three_digits(x: float) -> str:
    """A positive number with three significant digits and no exponent."""
    places = 2 - math.floor(math.log10(x))
    return f"{round(x, places):.{max(places, 0)}f}"


def machine(threads: int) -> dict[str, Any]:
    """Where the numbers come from."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """All numbers of a run, in seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")
    print(f"wrote {path}")


def write_markdown(path: Path, command: str, text: str) -> None:
    """Write the tables, into a page between its marks if it has them.

    Args:
        path: A page, or a new file.
        command: The mark: `<!-- command ... -->`, and later `<!-- end -->`.
        text: What goes between.
    """
    page = path.read_text() if path.exists() else ""
    marks = re.compile(
        rf"(<!-- {re.escape(command)}\b[^\n]*-->\n).*?(<!-- end -->)", re.DOTALL
    )
    found = marks.search(page)
    if found:
        text = page[: found.end(1)] + f"\n{text}\n\n" + page[found.start(2) :]
    else:
        text += "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    print(f"wrote {path}")


def write_png(path: Path, rows: Sequence[Row], names: Sequence[str]) -> bool:
    """A bar chart of multiples of gradjit's time; False without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [row for row in rows if "gradjit" in row.seconds]
    others = [name for name in names if name != "gradjit"]
    width = 0.8 / max(len(others), 1)
    figure, axes = pyplot.subplots(figsize=(11, 4.5), layout="constrained")
    for k, name in enumerate(others):
        bars = [
            (i + (k + 0.5) * width - 0.4, row.seconds[name] / row.seconds["gradjit"])
            for i, row in enumerate(rows)
            if name in row.seconds
        ]
        axes.bar([x for x, _ in bars], [y for _, y in bars], width, label=name)
    axes.axhline(1.0, color="black", linewidth=1)
    axes.set_yscale("log")
    axes.set_ylabel("time of a call, gradjit = 1")
    axes.set_xticks(range(len(rows)), [row.workload for row in rows])
    figure.legend(loc="outside upper center", ncols=len(others) or 1)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
    return True
