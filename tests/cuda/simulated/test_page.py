"""The page about device functions shows what its code prints."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from gradjit.cuda import shim

pytestmark = pytest.mark.skipif(not shim.SIMULATED, reason="for the simulator")
ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/cuda-device.md"


def test_page_shows_what_its_code_prints() -> None:
    spec = importlib.util.spec_from_file_location("execute", ROOT / "docs/execute.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = PAGE.read_text()
    again = f"run: NUMBA_ENABLE_CUDASIM=1 python docs/execute.py {PAGE.name}"
    assert module.executed(text) == text, again
