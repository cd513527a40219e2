"""How long the first result takes: in a process with no cache, and in a second one.

    python -m bench.speed_start PEER WORKLOAD STARTED

prints, in a process of its own, the seconds of the first call, and those since STARTED,
a time of `time.time()`, and those of the processor. The imports of all that is needed
come before the first call, so they are in the second number alone.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# A process that is given this imports what it will need before it is timed.
IMPORTS = "--imports"
CALIBRATION = "calibration"
FIRST = {"rosenbrock": 0.5, "digits": 1.0, "gmm": 1.3, "gated": 1.5}
NOTES = {
    "rosenbrock": "10 variables",
    "digits": "64-64-10 network",
    "gmm": "mixture of Gaussians, loops",
    "gated": "recurrent network, loops",
}
SECOND = 0.5


@dataclass(slots=True)
class Start:
    """Seconds to a first result.

    Attributes:
        name: Of the row.
        note: What is computed.
        target: The seconds that gradjit may take.
        samples: Of each peer and of the calibration, in turns.
        missing: Peers that are not installed.
        cpu: The seconds of the processor in these; other programs add none to them.
    """

    name: str
    note: str
    target: float
    samples: dict[str, list[float]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    cpu: dict[str, list[float]] = field(default_factory=dict)


# ------------------------------------------------------------------ in such a process


def _workload(peer: str, workload: str) -> tuple[Callable[[Any], Any], Any]:
    """What takes arguments to a call, with everything imported, and the arguments."""
    if workload in ("rosenbrock", "digits"):
        from bench.peers import PEERS
        from bench.workloads import WORKLOADS

        name = "rosenbrock-10" if workload == "rosenbrock" else workload
        found = next(w for w in WORKLOADS if w.name == name)
        prepare = PEERS[peer]().prepare
        return lambda args: prepare(found, args), found.full()
    from bench import loops_adjoints, loops_programs, speed_programs

    cases = {case.name: case for case in speed_programs.KERNELS}
    if workload == "gmm":
        case = cases["gmm"]
        args = case.full()
        if peer == "jax":
            return case.peers["jax"], args
        return lambda args: lambda: case.ours()(*args), args
    program = next(p for p in loops_programs.PROGRAMS if p.name == workload)
    args = program.full()
    if peer == "handwritten":
        adjoint = getattr(loops_adjoints, workload)
        return lambda args: lambda: adjoint(*args), args
    if peer == "jax":
        from bench import loops_jax

        port = loops_jax.BEST[workload]
        return lambda args: loops_jax.prepare(port, program, args), args
    import gradjit

    joint = gradjit.value_and_grad(program.function, program.argnums)
    return lambda args: lambda: joint(*args), args


def _calibration() -> tuple[Callable[[Any], Any], Any]:
    """Numba compiles a kernel: what the machine and Numba take, without gradjit."""
    import numba

    from bench.loops_programs import PROGRAMS

    program = next(p for p in PROGRAMS if p.name == "nbody")
    compiled = numba.njit(program.function)
    return lambda args: lambda: compiled(*args), program.small()


def run(
    peer: str, workload: str, started: float, imports: bool = False
) -> dict[str, float]:
    prepare, args = _calibration() if peer == CALIBRATION else _workload(peer, workload)
    if imports:
        # gradjit imports what it needs when it needs it: here, before the clock starts.
        importlib.import_module("numba")
        importlib.import_module("scipy.linalg")
    start, cpu = time.perf_counter(), time.process_time()
    prepare(args)()
    return {
        "call": time.perf_counter() - start,
        "call cpu": time.process_time() - cpu,
        "process": time.time() - started,
        "process cpu": time.process_time(),
    }


# ------------------------------------------------------------------- starting processes


def spawn(
    peer: str, workload: str, folder: str, *flags: str
) -> dict[str, float] | None:
    """The report of such a process, its caches in `folder`; None without the peer."""
    started = repr(time.time())
    done = subprocess.run(
        [sys.executable, "-m", "bench.speed_start", peer, workload, started, *flags],
        cwd=Path(__file__).parents[1],
        env={**_environment(), "GRADJIT_CACHE_DIR": folder, "NUMBA_CACHE_DIR": folder},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        if "ModuleNotFoundError" in done.stderr:
            return None
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def _environment() -> dict[str, str]:
    """Where Python keeps the bytecode of modules, as it does if nobody forbids it."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def peers(workload: str, wanted: Sequence[str] | None) -> list[str]:
    """gradjit, the calibration, and who else has that workload."""
    others = ["jax"] if workload == "gmm" else ["handwritten", "jax"]
    kept = [name for name in others if wanted is None or name in wanted]
    return ["gradjit", CALIBRATION, *kept]


def first_calls(workload: str, wanted: Sequence[str] | None, repeats: int) -> Start:
    """In fresh processes, nothing cached, imports excluded."""
    row = Start(f"first call: {workload}", NOTES[workload], FIRST[workload])
    for _ in range(repeats):
        for peer in peers(workload, wanted):
            with tempfile.TemporaryDirectory(prefix="gradjit-bench-") as folder:
                _add(row, peer, spawn(peer, workload, folder, IMPORTS), "call")
    return row


def second_process(wanted: Sequence[str] | None, repeats: int) -> Start:
    """From its start to the result, imports included, after a first process."""
    row = Start("second process", "rosenbrock, 10 variables", SECOND)
    with tempfile.TemporaryDirectory(prefix="gradjit-bench-") as folder:
        for peer in peers("rosenbrock", wanted):
            spawn(peer, "rosenbrock", folder)
        for _ in range(repeats):
            for peer in peers("rosenbrock", wanted):
                _add(row, peer, spawn(peer, "rosenbrock", folder), "process")
    return row


def _add(row: Start, peer: str, report: dict[str, float] | None, key: str) -> None:
    if report is None:
        row.missing = sorted({*row.missing, peer})
    else:
        row.samples.setdefault(peer, []).append(report[key])
        row.cpu.setdefault(peer, []).append(report[f"{key} cpu"])


if __name__ == "__main__":
    name, task, clock, *rest = sys.argv[1:]
    print(json.dumps(run(name, task, float(clock), IMPORTS in rest)))
