"""More random programs than the tests run.

    python -m tests.random FIRST LAST [float32] [compiled]

Runs the programs with these seeds, in float64 unless float32 is asked for, and without
Numba unless `compiled` is asked for. Prints the seeds of those that are wrong, with the
first line of what was raised, and how many were refused because what a name stands for
depends on the path taken. The exit status is 1 if any is wrong.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from gradjit import config
from tests.random.check import Case, check


def main() -> int:
    first, last = (int(a) for a in sys.argv[1:3])
    dtype = np.float32 if "float32" in sys.argv else np.float64
    jit = "compiled" in sys.argv
    counts: Counter[str] = Counter()
    start = time.perf_counter()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder, config.override(jit=jit):
        for seed in range(first, last):
            try:
                counts[check(Case(seed, dtype), Path(folder), limit=not jit)] += 1
            except Exception as exc:
                counts["wrong"] += 1
                text = " ".join(str(exc).split())[:300]
                print(f"wrong {seed}: {type(exc).__name__}: {text}", flush=True)
    listed = ", ".join(f"{n} {kind}" for kind, n in counts.most_common())
    print(f"{first} to {last}: {listed} in {time.perf_counter() - start:.0f} s")
    return 1 if counts["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
