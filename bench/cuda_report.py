"""The tables of `python -m bench cuda`."""

from __future__ import annotations

from collections.abc import Sequence

from bench.cuda_case import Row
from bench.cuda_worker import PEERS
from bench.report import duration, markdown, three_digits

NOTHING = "no GPU: nothing measured"


def tables(rows: Sequence[Row], copy: float) -> str:
    parts = ["**Times of a call**", times(rows, copy)]
    parts += ["**Seconds that the first call takes longer**", first_calls(rows)]
    parts.append(
        f"A copy on the device moves {copy / 1e9:.0f} GB/s, read and written. In "
        "parentheses: multiples of gradjit's time."
    )
    return "\n\n".join(parts)


def there(rows: Sequence[Row]) -> list[str]:
    """The peers that have a time, or would have, somewhere."""
    return [
        name
        for name in PEERS
        if any(name in row.seconds or name in row.failed for row in rows)
    ]


def times(rows: Sequence[Row], copy: float) -> str:
    """Medians; ours as a share of the bandwidth of a copy; the others' multiples."""
    peers = there(rows)
    lines = [["workload", "type", "size", "gradjit", "of copy", *peers]]
    for row in rows:
        base = row.seconds.get("gradjit")
        cells = [row.workload, row.dtype, row.size, cell(row, "gradjit")]
        cells.append(share(row, copy))
        for name in peers:
            seconds = row.seconds.get(name)
            ratio = f" ({three_digits(seconds / base)}x)" if seconds and base else ""
            cells.append(cell(row, name) + ratio)
        lines.append(cells)
    return markdown(lines)


def cell(row: Row, name: str) -> str:
    return "FAILED" if name in row.failed else duration(row.seconds.get(name))


def share(row: Row, copy: float) -> str:
    found = row.share(copy)
    if found is None:
        return "-"
    text = f"{100.0 * found:.0f} %"
    if row.wanted is None or row.size == "small":
        return text
    verdict = "reached" if found >= row.wanted else "NOT reached"
    return f"{text} ({100.0 * row.wanted:.0f} % {verdict})"


def first_calls(rows: Sequence[Row]) -> str:
    """What compiling takes: the first call in a process, less a later one."""
    names = ["gradjit", *there(rows)]
    lines = [["workload", "type", *names]]
    for row in rows:
        seconds = [row.compile.get(name) for name in names]
        cells = ["-" if s is None else f"{s:.2f} s" for s in seconds]
        lines.append([row.workload, row.dtype, *cells])
    return markdown(lines)


def differences(rows: Sequence[Row]) -> str:
    """The table of a run without a GPU: what was compared, and no time."""
    lines = [["workload", "type", "difference", "verdict"]]
    for row in rows:
        error = row.error.get("gradjit")
        shown = "-" if error is None else f"{error:.1e}"
        verdict = "FAILED" if "gradjit" in row.failed else "right"
        lines.append([row.workload, row.dtype, shown, verdict])
    return markdown(lines)


def failures(rows: Sequence[Row]) -> list[str]:
    return [
        f"failed: {row.name} with {name}: {why}"
        for row in rows
        for name, why in row.failed.items()
    ]


def skips(rows: Sequence[Row], absent: dict[str, str]) -> list[str]:
    """Why peers have no time: reasons that hold for several rows once."""
    found = {f"skipped: {name}: {why}" for name, why in absent.items()}
    for row in rows:
        for name, why in row.missing.items():
            if name in absent or why == "no version of it":
                continue
            found.add(f"skipped: {name}, {row.dtype}: {why}")
    return sorted(found)
