"""Exported files run without gradjit, compiled and as plain Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gradjit
from gradjit.errors import UnsupportedError


def loss(x, w):
    total = 0.0
    for i in range(x.shape[0]):
        total += np.exp(w[i] * x[i])
    return total + np.sum(np.log1p(x * x))


PROGRAM = """
import sys
import numpy as np
from exported import value_and_grad_loss as compiled
x = np.array([0.3, -0.2, 0.9])
w = np.array([1.0, 0.5, -0.7])
for function in (compiled, compiled.py_func):
    value, d_x = function(x, w)
    assert abs(value - np.sum(np.exp(w * x) + np.log1p(x * x))) < 1e-12
    want = w * np.exp(w * x) + 2 * x / (1 + x * x)
    assert np.max(np.abs(d_x - want)) < 1e-12
assert "gradjit" not in sys.modules
"""


def test_exported_file_needs_only_numba(tmp_path: Path) -> None:
    args = (np.ones(3), np.ones(3))
    file = gradjit.export(gradjit.value_and_grad(loss), args, tmp_path / "exported.py")
    assert "import gradjit" not in file.read_text()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_only_transformed_functions_are_exported(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"not f itself"):
        gradjit.export(loss, (np.ones(3), np.ones(3)), tmp_path / "no.py")


def test_code_for_a_device_is_refused(tmp_path):
    on_device = gradjit.grad(lambda x: np.sum(x * x), target="cuda")
    with pytest.raises(gradjit.UnsupportedError) as caught:
        gradjit.export(on_device, (np.ones(3),), tmp_path / "out.py")
    assert str(caught.value) == (
        "export writes code for the CPU: kernels need gradjit.cuda at run time\n"
        "  Vendor f.source with gradjit installed, or export the function without"
        ' target="cuda".'
    )
    assert not (tmp_path / "out.py").exists()
