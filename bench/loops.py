"""Measure gradients of kernels with loops and stores.

    python -m bench loops [--only NAME] [--peer NAME] [--quick] [--json FILE]
                          [--compare FILE]

For each program of `bench/loops_programs.py`: value and gradient by gradjit against an
adjoint written by hand in Numba or against the program itself in Numba (its primal),
and against JAX, if it is there. All results are checked before anything is timed. Then
what a first compilation takes, and what a limit of memory costs. The exit status is 1
if a result was wrong; a target that is missed is printed, and no failure.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numba
import numpy as np

import gradjit
from bench import (
    compare,
    loops_adjoints,
    loops_cold,
    loops_memory,
    loops_report,
    loops_stencils,
)
from bench.loops_kernels import logistic_map
from bench.loops_programs import PROGRAMS, Program
from bench.measure import (
    FULL,
    QUICK,
    TOLERANCE,
    Effort,
    Times,
    difference,
    interleaved,
)
from bench.peers import leaves
from bench.report import machine, write_json

Calls = dict[str, Callable[[], Any]]
PEERS = ("handwritten", "primal", "jax", "jax-literal")


@dataclass(slots=True)
class Row:
    """Seconds a call of each peer.

    Attributes:
        program: What was measured.
        size: With what arguments.
        literal_size: With what arguments the literal port was.
        seconds: With the program's arguments.
        literal: gradjit and the literal port to JAX, with arguments that suit that.
        error: The largest difference to the reference.
        times: Those of all rounds.
    """

    program: Program
    size: str
    literal_size: str
    seconds: dict[str, float] = field(default_factory=dict)
    literal: dict[str, float] = field(default_factory=dict)
    error: float = 0.0
    times: Times = field(default_factory=lambda: Times({}))

    def ratio(self, name: str) -> float | None:
        """gradjit's time in units of that of a peer."""
        other = self.seconds.get(name)
        return self.seconds["gradjit"] / other if other else None

    @property
    def reached(self) -> bool | None:
        """Whether the target was reached; None if it was not measured."""
        ratio = self.ratio(self.program.against)
        return None if ratio is None else ratio <= self.program.target


def handwritten(program: Program) -> Callable[..., Any] | None:
    """The adjoint by hand, if there is one."""
    name = program.name
    return getattr(loops_stencils, name, None) or getattr(loops_adjoints, name, None)


# --------------------------------------------------------------------------- checking


class WrongResultError(AssertionError):
    """A peer does not compute what the others compute."""


def slope(program: Program, args: Sequence[Any], h: float = 1e-5) -> tuple[Any, float]:
    """A direction in the space of arguments, and the primal's slope along it."""
    rng = np.random.default_rng(0)
    primal = numba.njit(program.function)
    direction = [rng.normal(size=np.shape(args[i])) for i in program.argnums]
    ends: list[float] = []
    for step in (h, -h):
        moved = list(args)
        for i, d in zip(program.argnums, direction, strict=True):
            moved[i] = moved[i] + step * (d if np.ndim(d) else float(d))
        ends.append(primal(*moved))
    return direction, (ends[0] - ends[1]) / (2.0 * h)


def check_slope(program: Program, args: Sequence[Any], result: Any) -> None:
    """Compare a gradient with finite differences of the primal."""
    direction, expected = slope(program, args)
    terms = [
        float(np.sum(g * d)) for g, d in zip(leaves(result[1]), direction, strict=True)
    ]
    scale = sum(map(abs, terms)) + abs(result[0])
    if not abs(sum(terms) - expected) <= 1e-5 * scale:
        raise WrongResultError(
            f"{program.name}: slope {sum(terms)}, by differences {expected}"
        )


def check(program: Program, calls: Calls, args: Sequence[Any]) -> float:
    """The largest difference between results; more than rounding is an error."""
    results = {name: call() for name, call in calls.items()}
    reference = results.get("handwritten", results["gradjit"])
    if "handwritten" not in results:
        check_slope(program, args, reference)
    worst = 0.0
    for name, result in results.items():
        expected = reference[0] if name == "primal" else reference
        error = difference(result, expected)
        worst = max(worst, error)
        if not error <= TOLERANCE:
            raise WrongResultError(f"{program.name}: {name} differs by {error:.1e}")
    return worst


# -------------------------------------------------------------------------- measuring


def measure(program: Program, peers: set[str], quick: bool) -> Row:
    """Check and time one program: gradjit, and the wanted of its peers."""
    args = program.small() if quick else program.full()
    transformed = gradjit.value_and_grad(program.function, program.argnums)
    calls: Calls = {"gradjit": lambda: transformed(*args)}
    adjoint = handwritten(program)
    if adjoint and "handwritten" in peers:
        calls["handwritten"] = lambda: adjoint(*args)
    if "primal" in peers:
        primal = numba.njit(program.function)
        calls["primal"] = lambda: primal(*args)
    if "jax" in peers:
        from bench import loops_jax

        best = loops_jax.BEST[program.name]
        calls["jax"] = loops_jax.prepare(best, program, args)
    sizes = program.note, program.literal_note
    row = Row(program, *(("small",) * 2 if quick else sizes))
    row.error = check(program, calls, args)
    row.times = interleaved(calls, QUICK if quick else FULL)
    row.seconds = row.times.seconds
    if "jax-literal" in peers and program.literal:
        row.literal = measure_literal(program, quick)
    return row


def measure_literal(program: Program, quick: bool) -> dict[str, float]:
    """gradjit and the literal port to JAX, side by side."""
    from bench import loops_jax

    args = program.small() if quick or not program.literal else program.literal()
    transformed = gradjit.value_and_grad(program.function, program.argnums)
    port = loops_jax.LITERAL[program.name]
    calls: Calls = {
        "gradjit": lambda: transformed(*args),
        "jax-literal": loops_jax.prepare(port, program, args),
    }
    check(program, calls | {"handwritten": calls["gradjit"]}, args)
    effort = QUICK if quick else Effort(rounds=9, block=0.02, limit=6.0)
    return interleaved(calls, effort).seconds


def measure_cold(programs: Sequence[Program]) -> list[loops_cold.Cold]:
    """First compilations, and that of ten steps beside that of a million."""
    loops_cold.warm_up()
    rows = [
        loops_cold.compile_cold(p.name, p.function, p.argnums, p.small())
        for p in programs
    ]
    if any(p.function is logistic_map for p in programs):
        for steps in (10, 10**6):
            name = f"logistic_map, {steps} steps"
            args = 0.3, 3.2, steps
            rows.append(loops_cold.compile_cold(name, logistic_map, (0, 1), args))
    return rows


# ------------------------------------------------------------------------ command line


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench loops",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    results = Path(__file__).with_name("results")
    names = [*(p.name for p in PROGRAMS), "memory"]
    parser.add_argument("--only", metavar="NAME", action="append", choices=names)
    parser.add_argument("--peer", metavar="NAME", action="append", choices=PEERS)
    parser.add_argument(
        "--quick", action="store_true", help="small arguments, few repeats"
    )
    parser.add_argument("--json", type=Path, default=results / "loops.json")
    parser.add_argument("--compare", type=Path, help="an earlier JSON")
    return parser.parse_args(arguments)


def installed(wanted: Sequence[str]) -> tuple[set[str], dict[str, str]]:
    """Which peers there are, and the versions of what is measured."""
    peers = set(wanted)
    versions = {"gradjit": gradjit.__version__, "numba": numba.__version__}
    if peers & {"jax", "jax-literal"}:
        try:
            from bench import loops_jax

            versions["jax"] = loops_jax.VERSION
        except ImportError:
            peers -= {"jax", "jax-literal"}
    return peers, versions


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    before = compare.read(options.compare, "loops", options.quick, 1)
    programs = [p for p in PROGRAMS if not options.only or p.name in options.only]
    peers, versions = installed(options.peer or PEERS)
    cold = measure_cold(programs)
    rows: list[Row] = []
    failures: list[str] = []
    for program in programs:
        print(f"{program.name}: {program.note}", file=sys.stderr, flush=True)
        try:
            rows.append(measure(program, peers, options.quick))
        except WrongResultError as error:
            failures.append(str(error))
    memory: loops_memory.Memory | str = "not asked for"
    if not options.only or "memory" in options.only:
        memory = loops_memory.why_not() or loops_memory.measure(options.quick)
    where = machine(1)
    print(loops_report.text(rows, cold, memory, versions, where))
    for failure in failures:
        print("WRONG:", failure)
    content = as_json(rows, cold, memory, versions, where)
    content["quick"] = options.quick
    write_json(options.json, content)
    slower = compare.report(before, content)
    return 1 if failures or slower else 0


def as_json(
    rows: Sequence[Row], cold: Any, memory: Any, versions: Any, where: Any
) -> dict[str, Any]:
    """All numbers of the run, in seconds."""
    return {
        "benchmark": "loops",
        "machine": where,
        "versions": versions,
        "rows": [
            {
                "program": row.program.name,
                "size": row.size,
                "against": row.program.against,
                "target": row.program.target,
                "reached": row.reached,
                "seconds": row.seconds,
                "quartiles": row.times.quartiles,
                "relative": row.times.relative(),
                "literal": {"size": row.literal_size, "seconds": row.literal},
                "difference": row.error,
            }
            for row in rows
        ],
        "cold": [dataclasses.asdict(c) for c in cold],
        "memory": memory if isinstance(memory, str) else dataclasses.asdict(memory),
    }
