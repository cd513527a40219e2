"""Calls reuse the memory that earlier ones have freed."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = """
import resource
import numpy as np
import gradjit

def f(x):
    y = np.zeros(len(x))
    z = np.zeros(len(x))
    for i in range(1, len(x)):
        y[i] = np.sin(x[i]) + y[i - 1]
        z[i] = y[i] * z[i - 1] + x[i]
    return np.sum(y * z)

gradient = gradjit.grad(f)
x = np.linspace(0.0, 1.0, 300_000)
for _ in range(3):
    gradient(x)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    gradient(x)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc learns from what is freed"
)
def test_the_pages_of_a_call_serve_the_next(tmp_path: Path) -> None:
    """Some megabytes of arrays a call; a page has four kilobytes."""
    path = tmp_path / "faults.py"
    path.write_text(FAULTS)
    done = subprocess.run(
        [sys.executable, str(path)],
        env={**os.environ, "GRADJIT_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 2000
