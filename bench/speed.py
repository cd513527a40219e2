"""Measure what gradjit claims about speed.

    python -m bench speed [--only NAME] [--quick] [--cores N] [--cpu] [--json FILE]
                          [--markdown FILE] [--compare FILE]

Value and gradient together, compiled before, from NumPy arrays to NumPy arrays. In each
row all ways to compute it are compared with each other before any is timed; then they
take turns, and the row has their medians. The process is bound to one core, or to
`--cores`, before any library is loaded: some take more than they are told to. The exit
status is 1 if a result was wrong, or if a row became slower than in `--compare FILE`; a
target that is missed is printed, and no failure.

On a machine that others use too, `--cpu` counts the seconds of the processor that the
process has, on one core, instead of those that pass.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradjit
from bench import compare, roofline, speed_case, speed_report, speed_start
from bench.measure import Times
from bench.report import machine, write_json, write_markdown
from bench.speed_calls import CALLS
from bench.speed_case import Case, Row
from bench.speed_programs import KERNELS
from bench.speed_start import Start

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
    add("--cpu", action="store_true", help="count seconds of the processor")
    add("--markdown", type=Path, help="write the tables into that page")
    add("--compare", type=Path, metavar="FILE", help="an earlier JSON")
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


def starts(
    names: Sequence[str] | None, wanted: Sequence[str] | None, quick: bool
) -> list[Start]:
    """The rows of first results that were asked for."""
    repeats = 1 if quick else 3
    rows: list[Start] = []
    for workload in speed_start.FIRST:
        if asked(f"first call: {workload}", names):
            print(f"first call: {workload}", file=sys.stderr, flush=True)
            rows.append(speed_start.first_calls(workload, wanted, repeats))
    if asked("second process", names):
        print("second process", file=sys.stderr, flush=True)
        rows.append(speed_start.second_process(wanted, repeats))
    return rows


def asked(row: str, names: Sequence[str] | None) -> bool:
    return not names or any(name in row for name in names)


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    clock = "processor" if options.cpu else "wall"
    benchmark = f"speed, {clock}"
    before = compare.read(options.compare, benchmark, options.quick, options.cores)
    first = starts(options.only, options.peer, options.quick)
    for row in first:
        if options.cpu:
            row.samples = row.cpu
    effort = speed_case.effort(options.quick, options.cpu)
    limits = roofline.measure(options.quick, effort.clock)
    rows: list[Row] = []
    for case in CASES:
        if asked(case.name, options.only):
            print(f"{case.name}: {case.note}", file=sys.stderr, flush=True)
            wanted, cores = options.peer, options.cores
            how = options.quick, cores, effort
            rows.append(speed_case.measure(case, wanted, *how))
            if len(rows) % 8 == 0:
                limits = limits.or_better(roofline.measure(options.quick, effort.clock))
    where = machine(options.cores) | {"clock": clock}
    text = speed_report.tables(rows, first, limits)
    notes = footer(where)
    print(text, *notes, sep="\n\n")
    failures = speed_report.failures(rows)
    print("", *failures, sep="\n")
    if options.markdown:
        page = "\n\n".join([text, *notes])
        write_markdown(options.markdown, "python -m bench speed", page)
    content = {
        "benchmark": benchmark,
        "quick": options.quick,
        "machine": where,
        "versions": versions(),
        "limits": dataclasses.asdict(limits),
        "rows": [*map(as_json, rows), *map(start_as_json, first)],
    }
    write_json(options.json, content)
    slower = compare.report(before, content)
    return 1 if failures or slower else 0


def footer(where: dict[str, Any]) -> list[str]:
    found = ", ".join(f"{name} {v}" for name, v in versions().items())
    place = ", ".join(f"{key} {value}" for key, value in where.items())
    return [f"Versions: {found}.", f"Machine: {place}."]


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
                "multiple": target.multiple(row.relative),
                "reached": target.reached(row.relative),
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


def start_as_json(row: Start) -> dict[str, Any]:
    times = Times(row.samples)
    return {
        "workload": row.name,
        "size": row.note,
        "seconds": times.seconds,
        "quartiles": times.quartiles,
        "relative": times.relative(),
        "cpu seconds": Times(row.cpu).seconds,
        "target": row.target,
        "reached": times.seconds["gradjit"] <= row.target,
        "missing": row.missing,
    }
