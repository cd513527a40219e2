"""Measure gradjit against the tape, Numba by hand, autograd, JAX and PyTorch.

    python -m bench [--only NAME] [--quick] [--json FILE] [--png FILE]
    python -m bench loops [--only NAME] [--quick] [--json FILE]
    python -m bench speed [--only NAME] [--quick] [--cores N] [--json FILE]
    python -m bench cuda [--only NAME] [--quick] [--json FILE]

The second measures kernels with loops and stores (`bench/loops.py`), the third what
gradjit claims about speed (`bench/speed.py`), the fourth the CUDA target, on a GPU
(`bench/cuda.py`).

All gradients are compared with each other before anything is timed. The time is that
of a call that gives value and gradient, from NumPy arrays to NumPy arrays, compiled
before; in parentheses its multiple of gradjit's time. The process is bound to one core,
or `--threads`. With `--compare FILE`, an earlier JSON, each of the three says which
rows became slower. The exit status is 1 if there are any, or a peer failed or
disagreed.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from pathlib import Path


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    results = Path(__file__).with_name("results")
    parser.add_argument(
        "--only", metavar="NAME", action="append", help="a workload, repeatable"
    )
    parser.add_argument(
        "--peer", metavar="NAME", action="append", help="a peer, repeatable"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small arguments, few repeats"
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="of BLAS and of each library"
    )
    parser.add_argument("--json", type=Path, default=results / "bench.json")
    parser.add_argument("--compare", type=Path, help="an earlier JSON")
    parser.add_argument("--png", type=Path, default=results / "bench.png")
    return parser.parse_args()


def limit_threads(count: int) -> None:
    """Set what the libraries read when they are imported, and bind the process.

    The settings alone do not do it: JAX 0.10 multiplies matrices on two threads with
    all of them. A process bound to one core has no second one, whatever they do.
    """
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[:count])
    for name in ("OMP", "OPENBLAS", "MKL", "NUMBA", "VECLIB_MAXIMUM"):
        os.environ[f"{name}_NUM_THREADS"] = str(count)
    if count == 1:
        os.environ["XLA_FLAGS"] = (
            "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        )


def cores(arguments: list[str]) -> int:
    """What `--cores` says, which has to be known before anything is imported."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--cores", type=int, default=1)
    return max(1, parser.parse_known_args(arguments)[0].cores)


def main() -> int:
    if sys.argv[1:2] == ["loops"]:
        limit_threads(1)
        from bench import loops

        return loops.main(sys.argv[2:])
    if sys.argv[1:2] == ["speed"]:
        limit_threads(cores(sys.argv[2:]))
        from bench import speed

        return speed.main(sys.argv[2:])
    if sys.argv[1:2] == ["cuda"]:
        from bench import cuda

        return cuda.main(sys.argv[2:])
    options = parse()
    limit_threads(options.threads)

    from bench import compare, measure, report
    from bench.peers import PEERS, Peer
    from bench.workloads import WORKLOADS

    before = compare.read(options.compare, "bench", options.quick, options.threads)
    known = [w.name for w in WORKLOADS]
    for name in options.only or ():
        if name not in known:
            sys.exit(f"no workload {name!r}; there are {', '.join(known)}")
    for name in options.peer or ():
        if name not in PEERS:
            sys.exit(f"no peer {name!r}; there are {', '.join(PEERS)}")

    wanted = {"gradjit", measure.REFERENCE, *(options.peer or PEERS)}
    peers: list[Peer] = []
    missing: list[str] = []
    for name, build in PEERS.items():
        if name in wanted:
            try:
                peers.append(build())
            except ImportError:
                missing.append(name)

    effort = measure.QUICK if options.quick else measure.FULL
    rows: list[measure.Row] = []
    for workload in WORKLOADS:
        if options.only and workload.name not in options.only:
            continue
        print(f"{workload.name}: {workload.note}", file=sys.stderr, flush=True)
        args = workload.small() if options.quick else workload.full()
        rows.append(measure.measure(workload, peers, args, effort))

    names = [peer.name for peer in peers]
    versions = {peer.name: peer.version for peer in peers}
    where = report.machine(options.threads)
    print(report.table(rows, names))
    print()
    print("versions:", ", ".join(f"{name} {v}" for name, v in versions.items()))
    print("machine:", ", ".join(f"{key} {value}" for key, value in where.items()))
    if missing:
        print("not installed:", ", ".join(missing))
    worst = max((e for row in rows for e in row.error.values()), default=0.0)
    print(f"largest difference of a gradient: {worst:.1e}")
    failures = [(row, name) for row in rows for name in row.failed]
    for row, name in failures:
        print(f"failed: {row.workload} with {name}: {row.failed[name]}")

    content = {
        "benchmark": "bench",
        "quick": options.quick,
        "machine": where,
        "versions": versions,
        "rows": [dataclasses.asdict(row) for row in rows],
    }
    report.write_json(options.json, content)
    if report.write_png(options.png, rows, names):
        print(f"wrote {options.png}")
    else:
        print("no chart: matplotlib is not installed")
    slower = compare.report(before, content)
    return 1 if failures or slower else 0


if __name__ == "__main__":
    sys.exit(main())
