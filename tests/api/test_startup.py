"""What a process imports before it calls anything, and for code that is on disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

NAMING = """
import sys
import gradjit

@gradjit.grad
def square(x):
    return x * x

@gradjit.jit(fastmath=True)
def twice(x):
    return x + x

gradjit.hessian(square.__wrapped__), gradjit.hvp(square.__wrapped__)
gradjit.jacobian(twice.__wrapped__), gradjit.value_and_grad(twice.__wrapped__)
parts = ("numba", "scipy", "gradjit.trace", "gradjit.ops", "gradjit.lowered")
print([name for name in parts if name in sys.modules])
"""

CALLING = """
import sys
import numpy as np
import gradjit

def loss(x, w):
    total = 0.0
    for i in range(len(x)):
        if x[i] > 100.0:
            raise ValueError("too large")
        total += np.exp(w[i] * x[i])
    return total + np.sum(np.log1p(x * x))

x, w = np.array([0.3, -0.2, 0.9]), np.array([1.0, 0.5, -0.7])
value, (d_x, d_w) = gradjit.value_and_grad(loss, (0, 1))(x, w)
assert abs(value - np.sum(np.exp(w * x) + np.log1p(x * x))) < 1e-12
assert np.max(np.abs(d_x - (w * np.exp(w * x) + 2 * x / (1 + x * x)))) < 1e-12
assert np.max(np.abs(d_w - x * np.exp(w * x))) < 1e-12
print([name for name in ("numba.np.arraymath", "scipy.linalg") if name in sys.modules])
"""

SPECIAL = """
import math
import gradjit

def local(x):
    from scipy.special import erf
    return erf(x)

got = gradjit.grad(local)(0.5)
assert abs(got - 2 / math.sqrt(math.pi) * math.exp(-0.25)) < 1e-15
from scipy import special
got = gradjit.grad(lambda x: special.expit(x))(0.0)
assert abs(got - 0.25) < 1e-15
"""


def run(program: str, folder: Path) -> str:
    script = folder / "program.py"
    script.write_text(program)
    environ = {**os.environ, "GRADJIT_CACHE_DIR": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, str(script)],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_naming_gradients_imports_no_compiler(tmp_path: Path) -> None:
    assert run(NAMING, tmp_path) == "[]"


def test_code_on_disk_runs_without_numbas_implementations_of_numpy(
    tmp_path: Path,
) -> None:
    assert run(CALLING, tmp_path) != "[]"
    assert run(CALLING, tmp_path) == "[]"


def test_functions_of_scipy_are_known_once_it_is_imported(tmp_path: Path) -> None:
    run(SPECIAL, tmp_path)
