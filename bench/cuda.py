"""Measure gradjit's CUDA target.

    python -m bench cuda [--only NAME] [--peer NAME] [--quick] [--seconds N]
                         [--json FILE] [--markdown FILE]

Value and gradient, from arrays on the device to arrays on the device; medians, by CUDA
events, of calls that follow each other. Results are compared with those of the CPU
target in double precision first, and those of the peers with the same. Peers that are
not installed are named. After `--seconds` no more peers are started, so that a whole
run is meant to end within eight minutes.

Without a GPU nothing is measured: `--quick` then runs the programs at small sizes, on
Numba's simulator (NUMBA_ENABLE_CUDASIM=1) or on the CPU, and compares the results.

The exit status is 1 if a result of gradjit's was wrong, or if there was no GPU to
measure without `--quick`.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradjit
from bench import cuda_device, cuda_report, cuda_worker
from bench.cuda_case import DTYPES, Program, Row, cast
from bench.cuda_programs import PROGRAMS
from bench.measure import difference
from bench.report import machine, write_json, write_markdown

Work = list[tuple[Program, str]]
# What compiled code is kept in: a fresh folder for each, so that first calls compile.
CACHES = {
    "GRADJIT_CACHE_DIR": "gradjit",
    "NUMBA_CACHE_DIR": "numba",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRITON_CACHE_DIR": "triton",
    "WARP_CACHE_PATH": "warp",
    "CUPY_CACHE_DIR": "cupy",
}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench cuda",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    results = Path(__file__).with_name("results")
    add = parser.add_argument
    add("--only", metavar="NAME", action="append", help="rows with NAME in their name")
    add("--peer", metavar="NAME", action="append", choices=(*cuda_worker.PEERS, "none"))
    add("--quick", action="store_true", help="small arguments, few repeats")
    add("--seconds", type=float, default=400.0, help="no peer is started after these")
    add("--target", choices=("cpu", "cuda"), help="of a run without a GPU")
    add("--json", type=Path, default=results / "cuda.json")
    add("--markdown", type=Path, help="write the tables into that page")
    add("--worker", type=Path, help=argparse.SUPPRESS)
    add("--row", action="append", help=argparse.SUPPRESS)
    add("--until", type=float, default=0.0, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def work(names: Sequence[str] | None) -> Work:
    """Programs and types; single precision first."""
    rows = [(program, dtype) for dtype in DTYPES for program in PROGRAMS]
    return [
        (program, dtype)
        for program, dtype in rows
        if not names or any(name in f"{program.name}, {dtype}" for name in names)
    ]


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    if options.worker is not None:
        chosen = [(p, d) for p, d in work(None) if f"{p.name}, {d}" in options.row]
        run = options.worker, chosen, options.quick, options.peer, options.until
        cuda_worker.run(*run)
        return 0
    rows = work(options.only)
    if not rows:
        names = ", ".join(program.name for program in PROGRAMS)
        print(f"no such rows; there are {names}, each in {' and '.join(DTYPES)}")
        return 1
    reason = cuda_device.missing_gpu()
    if reason is None and options.target != "cpu":
        return measured(rows, options)
    return unmeasured(rows, options, reason or "--target cpu")


# ---------------------------------------------------------------------- without a GPU


def unmeasured(rows: Work, options: argparse.Namespace, reason: str) -> int:
    """Compare results at small sizes; say that there are no times."""
    print(f"{cuda_report.NOTHING} ({reason})")
    if not options.quick:
        print("--quick compares the results of all programs without one")
        return 1
    target = options.target or ("cuda" if cuda_device.simulated() else "cpu")
    found = [compared(program, dtype, target) for program, dtype in rows]
    print(f'target="{target}" at small sizes, against the CPU in double precision:\n')
    print(cuda_report.differences(found))
    failures = cuda_report.failures(found)
    print("", *failures, sep="\n")
    write_json(options.json, content(found, {"target": target}, options.quick))
    return 1 if failures else 0


def compared(program: Program, dtype: str, target: str) -> Row:
    """A row without times."""
    row = Row(program.name, dtype, "small", program.wanted)
    args = cast(program.small(), dtype)
    try:
        result = program.ours(target)(*args)
        expected = program.ours("cpu")(*cast(args, "float64"))
        row.error["gradjit"] = difference(result, expected)
    except Exception as exc:
        row.failed["gradjit"] = f"{type(exc).__name__}: {exc}".splitlines()[0]
        return row
    if not row.error["gradjit"] <= program.most(dtype):
        row.failed["gradjit"] = f"differs by {row.error['gradjit']:.1e}"
    return row


# ------------------------------------------------------------------------- with a GPU


def measured(rows: Work, options: argparse.Namespace) -> int:
    """Measure in child processes, print and write what came out."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "rows.jsonl")
        found, head = children(rows, options, log, Path(folder))
    copy = float(head.get("copy", 0.0))
    where = machine(os.cpu_count() or 1) | head.get("gpu", {})
    text = cuda_report.tables(found, copy)
    notes = footer(where, head.get("peers", {}))
    print(text, *notes, sep="\n\n")
    print("", *cuda_report.skips(found, head.get("absent", {})), sep="\n")
    print("", *cuda_report.failures(found), sep="\n")
    if options.markdown:
        page = "\n\n".join([text, *notes])
        write_markdown(options.markdown, "python -m bench cuda", page)
    write_json(options.json, content(found, where | head, options.quick))
    return 1 if any("gradjit" in row.failed for row in found) else 0


def children(
    rows: Work, options: argparse.Namespace, log: Path, folder: Path
) -> tuple[list[Row], dict[str, Any]]:
    """Rows, by as many processes as it takes, and what is known of the GPU."""
    until = time.time() + options.seconds
    names = [f"{program.name}, {dtype}" for program, dtype in rows]
    found: dict[str, Row] = {}
    head: dict[str, Any] = {}
    while len(found) < len(names):
        left = [name for name in names if name not in found]
        status = child(left, options, log, folder, until)
        known, head = read(log)
        fresh = {name: row for name, row in known.items() if name not in found}
        if not fresh:
            sys.exit(f"the process that measures ended with {status} before any row")
        for row in fresh.values():
            if row.running:
                why = f"the process ended with {status}"
                row.failed.setdefault(row.running, why)
                row.seconds.pop(row.running, None)
        found |= fresh
        write_json(options.json, content(list(found.values()), head, options.quick))
    return [found[name] for name in names], head


def child(
    names: Sequence[str],
    options: argparse.Namespace,
    log: Path,
    folder: Path,
    until: float,
) -> int:
    """One process over these rows; its exit status."""
    words = [sys.executable, "-m", "bench", "cuda", "--worker", str(log)]
    words += ["--until", str(until), *["--quick"] * options.quick]
    for name in names:
        words += ["--row", name]
    for name in options.peer or ():
        words += ["--peer", name]
    caches = {name: str(folder / sub) for name, sub in CACHES.items()}
    environment = os.environ | caches | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    root = Path(__file__).parents[1]
    return subprocess.run(
        words, cwd=root, env=environment, stdout=sys.stderr, check=False
    ).returncode


def read(log: Path) -> tuple[dict[str, Row], dict[str, Any]]:
    """The last state of each row, and of the GPU."""
    rows: dict[str, Row] = {}
    head: dict[str, Any] = {}
    for line in log.read_text().splitlines() if log.exists() else ():
        record = json.loads(line)
        if "row" in record:
            row = Row(**record["row"])
            rows[row.name] = row
        else:
            head = record
    return rows, head


# ------------------------------------------------------------------------- what it was


def versions() -> dict[str, str]:
    """Of what gradjit runs on."""
    found = {"gradjit": gradjit.__version__}
    for name in ("numpy", "numba", "numba-cuda", "cupy-cuda13x", "cupy-cuda12x"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def footer(where: dict[str, Any], peers: dict[str, str]) -> list[str]:
    # Two ways to run one peer are one version.
    others = {name.split(".")[0].split()[0]: v for name, v in peers.items()}
    found = ", ".join(f"{name} {v}" for name, v in (versions() | others).items())
    place = ", ".join(f"{key} {value}" for key, value in where.items())
    return [f"Versions: {found}.", f"Machine: {place}."]


def content(rows: Sequence[Row], where: dict[str, Any], quick: bool) -> dict[str, Any]:
    return {
        "benchmark": "cuda",
        "quick": quick,
        "machine": where,
        "versions": versions(),
        "rows": [dataclasses.asdict(row) for row in rows],
    }
