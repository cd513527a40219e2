"""More random programs than the tests run.

    python -m tests.random FIRST LAST

Prints the seeds whose gradients are wrong, or that are refused, with the first line of
what was raised. The exit status is 1 if any is wrong.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import gradjit
from gradjit import config
from tests.random.test_random import check


def main() -> int:
    first, last = (int(a) for a in sys.argv[1:3])
    counts: Counter[str] = Counter()
    start = time.perf_counter()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder, config.override(jit=False):
        for seed in range(first, last):
            try:
                check(seed, Path(folder))
                counts["ok"] += 1
            except Exception as exc:
                kind = "refused" if isinstance(exc, gradjit.GradjitError) else "wrong"
                counts[kind] += 1
                text = str(exc).strip().partition("\n")[0]
                print(f"{kind} {seed}: {type(exc).__name__}: {text}", flush=True)
    listed = ", ".join(f"{n} {kind}" for kind, n in counts.most_common())
    print(f"{listed} in {time.perf_counter() - start:.0f} s")
    return 1 if counts["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
