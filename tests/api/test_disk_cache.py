"""A second process finds what the first one compiled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
import numpy as np
import gradjit

TABLE = np.array([1.0, 2.0, 3.0])
SCALE = float(sys.argv[1])

def f(x, p):
    for w in p["w"]:
        x = np.tanh(w * x) + SCALE
    total = 0.0
    while np.sum(x) > total:
        total += 1.0
    return np.sum(x * TABLE) * total

g = gradjit.grad(f, (0, 1))
print(g(np.ones(3), {"w": [np.ones(3), 2.0]}))
print(g.source_path)
kernel = next(iter(g._compiled.values()))[0].kernel
print(sum(kernel.stats.cache_hits.values()))
"""


def run(folder: Path, script: Path, scale: str = "0.5") -> list[str]:
    environ = {
        **os.environ,
        "GRADJIT_CACHE_DIR": str(folder),
        "PYTHONHASHSEED": "random",
    }
    done = subprocess.run(
        [sys.executable, str(script), scale],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_second_process_does_not_compile(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    cache = tmp_path / "cache"
    first, second = run(cache, script), run(cache, script)
    assert first[-1] == "0"
    assert second[-1] == "1"
    assert first[:-1] == second[:-1]
    other = run(cache, script, "0.25")
    assert other[-1] == "0"
    assert other[-2] != first[-2]
