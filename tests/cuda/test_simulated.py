"""Runs the files of `simulated/` in processes of their own, with the CUDA simulator.

By hand: `NUMBA_ENABLE_CUDASIM=1 pytest tests/cuda/simulated`, with
`GRADJIT_TEST_FLAVOUR=numba` for the simulator that Numba ships.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path.name for path in (Path(__file__).parent / "simulated").glob("test_*")
)

# What depends on the simulator itself: these run on both flavours where both are there.
BOTH = {"test_flavour.py", "test_geometry.py"}
LIMIT = 500  # seconds; a thread that misses a barrier would wait for ever


def cases() -> list[tuple[str, str]]:
    if importlib.util.find_spec("numba_cuda") is None:
        return [("numba", file) for file in FILES]
    return [("numba-cuda", file) for file in FILES] + [
        ("numba", file) for file in FILES if file in BOTH
    ]


def environment(flavour: str) -> dict[str, str]:
    """This process's, without what pytest and xdist left for their own processes."""
    kept = {key: text for key, text in os.environ.items() if "PYTEST" not in key}
    return kept | {"NUMBA_ENABLE_CUDASIM": "1", "GRADJIT_TEST_FLAVOUR": flavour}


@pytest.mark.parametrize(("flavour", "file"), cases())
def test_simulated(flavour: str, file: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider"]
    child = subprocess.run(
        [*command, f"tests/cuda/simulated/{file}"],
        cwd=ROOT,
        env=environment(flavour),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
    )
    print(child.stdout)
    assert child.returncode == 0, f"{file} failed on {flavour}: see its output"
    assert re.search(r"\d+ passed", child.stdout), f"{file} ran no test on {flavour}"


def test_both_are_files() -> None:
    assert set(FILES) >= BOTH
