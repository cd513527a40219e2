"""Where the simulator's tests are collected, and a device for the others.

`tests/cuda/simulated` needs Numba's CUDA simulator, which is chosen by an environment
variable before numba is imported: `test_simulated.py` starts a process for each file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from gradjit.cuda import geometry, place
from gradjit.cuda.place import Place
from tests.cuda import faked

collect_ignore: list[str] = []
if os.environ.get("NUMBA_ENABLE_CUDASIM") != "1":
    collect_ignore.append("simulated")


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[faked.Driver]:
    """A CUDA device of host memory."""
    with faked.device(monkeypatch) as made:
        yield made


@pytest.fixture
def here(driver: faked.Driver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """The default stream of that device, as the place of the test's calls."""
    monkeypatch.setattr(geometry, "_THREADS", 32)  # a Python thread for each
    with place.using(place.at(0)) as made:
        driver.log.clear()
        yield made
