"""Measure what gradjit claims about speed.

    python -m bench speed [--only NAME] [--quick] [--cores N] [--json FILE]
                          [--markdown FILE] [--compare FILE]

Value and gradient together, compiled before, from NumPy arrays to NumPy arrays. In each
row all ways to compute it are compared with each other before any is timed; then they
take turns, and the row has their medians. The process is bound to one core, or to
`--cores`, before any library is loaded: some take more than they are told to. The exit
status is 1 if a result was wrong, or if a row became slower than in `--compare FILE`; a
target that is missed is printed, and no failure.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradjit
from bench import speed_case, speed_report
from bench.report import machine
from bench.speed_case import Case, Row
from bench.speed_calls import CALLS
from bench.speed_programs import KERNELS

CASES: tuple[Case, ...] = (*CALLS, *KERNELS)
PEERS = ("handwritten", "primal", "jax", "torch", "autograd")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    results = Path(__file__).with_name("results")
    add = parser.add_argument
    add("--only", metavar="NAME", action="append", help="rows with NAME in their name")
    add("--peer", metavar="NAME", action="append", choices=PEERS)
    add("--quick", action="store_true", help="small arguments, few repeats")
    add("--cores", type=int, default=1, help="that the process may use")
    add("--json", type=Path, default=results / "speed.json")
    add("--markdown", type=Path, help="write the tables there")
    return parser.parse_args(arguments)


def versions() -> dict[str, str]:
    """Of what is there."""
    found = {"gradjit": gradjit.__version__}
    for name in ("numpy", "numba", "jax", "torch", "autograd"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def chosen(names: Sequence[str] | None) -> list[Case]:
    """The cases whose names begin with one of the words asked for, or contain it."""
    return [c for c in CASES if not names or any(n in c.name for n in names)]


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    cases = chosen(options.only)
    rows: list[Row] = []
    for case in cases:
        print(f"{case.name}: {case.note}", file=sys.stderr, flush=True)
        rows.append(
            speed_case.measure(case, options.peer, options.quick, options.cores)
        )
    where = machine(options.cores)
    text = speed_report.tables(rows)
    notes = footer(where)
    print(text, *notes, sep="\n\n")
    failures = speed_report.failures(rows)
    print(*failures, sep="\n")
    if options.markdown:
        options.markdown.parent.mkdir(parents=True, exist_ok=True)
        options.markdown.write_text("\n\n".join([text, *notes]) + "\n")
        print(f"wrote {options.markdown}")
    write_json(options.json, rows, where)
    print(f"wrote {options.json}")
    return 1 if failures else 0


def footer(where: dict[str, Any]) -> list[str]:
    found = ", ".join(f"{name} {v}" for name, v in versions().items())
    place = ", ".join(f"{key} {value}" for key, value in where.items())
    return [f"Versions: {found}.", f"Machine: {place}."]


def write_json(path: Path, rows: Sequence[Row], where: dict[str, Any]) -> None:
    """All numbers of the run, in seconds."""
    content = {
        "machine": where,
        "versions": versions(),
        "rows": [as_json(row) for row in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


def as_json(row: Row) -> dict[str, Any]:
    return {
        "workload": row.case.name,
        "size": row.size,
        "seconds": row.seconds,
        "quartiles": row.quartiles,
        "relative": row.relative,
        "targets": [
            {
                "text": str(target),
                "multiple": target.multiple(row.seconds),
                "reached": target.reached(row.seconds),
            }
            for target in row.case.targets
        ],
        "reached": row.reached,
        "difference": row.error,
        "failed": row.failed,
        "missing": row.missing,
        "flops": row.flops,
        "bytes": row.moved,
        "dtype": row.dtype,
    }
