"""Compiling ahead: nothing is run, and a later process compiles nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gradjit
from gradjit.errors import DtypeError, GradjitError, UnsupportedError


def loss(w, x, scale):
    return scale * np.sum((x @ w) ** 2)


def check(f, dtype=np.float64) -> None:
    w, x = np.array([1.0, -2.0], dtype), np.array([[1.0, 2.0], [3.0, 4.0]], dtype)
    np.testing.assert_allclose(f(w, x, 0.5), x.T @ (x @ w), rtol=1e-6)


def kernels(f) -> int:
    return sum(map(len, f._compiled.values()))


def test_a_call_finds_what_examples_compiled() -> None:
    f = gradjit.grad(loss)
    assert gradjit.precompile(f, (np.ones(5), np.ones((7, 5)), 1.0)) is f
    assert kernels(f) == 1
    check(f)
    assert kernels(f) == 1


def test_a_call_finds_what_types_compiled() -> None:
    types = "float64[:], float64[:, :], float", "float32[:],float32[:,:],float"
    f = gradjit.precompile(gradjit.grad(loss), *types)
    assert kernels(f) == 2
    check(f)
    check(f, np.float32)
    assert kernels(f) == 2
    assert "def grad_loss(w, x, scale)" in f.source


def test_nothing_is_run() -> None:
    def fill(x):
        for i in range(len(x)):
            x[i] = 7.0

    x = np.zeros(3)
    f = gradjit.precompile(gradjit.jit(fill), (x,))
    assert not x.any()
    f(x)
    assert x.tolist() == [7.0, 7.0, 7.0]
    assert kernels(f) == 1


def test_numbers_of_numpy_and_extents_of_one() -> None:
    def f(x, y, n):
        return np.sum(x * y) * n

    g = gradjit.precompile(gradjit.grad(f), "float64[:, 1], float64[], int")
    assert g(np.ones((4, 1)), np.array(2.0), 3).tolist() == [[6.0]] * 4
    g = gradjit.precompile(g, "float64[:, 1], float64, int")
    assert g(np.ones((4, 1)), np.float64(2.0), 3).tolist() == [[6.0]] * 4
    assert kernels(g) == 2


def test_containers_are_given_as_examples() -> None:
    def f(p):
        return np.sum(p["w"] * p["b"])

    g = gradjit.precompile(gradjit.grad(f), ({"w": np.zeros(2), "b": 0.0},))
    assert g({"w": np.array([1.0, 3.0]), "b": 2.0})["b"] == 4.0
    assert kernels(g) == 1


PROGRAM = """
import sys
import numpy as np
import gradjit
from numba.core import event

def loss(w, x):
    return np.sum((x @ w) ** 2)

compiled = []

class Listener(event.Listener):
    def on_start(self, happened):
        compiled.append(happened.data["dispatcher"])

    def on_end(self, happened):
        pass

event.register("numba:compile", Listener())
f = gradjit.grad(loss)
if sys.argv[1] == "build":
    gradjit.precompile(f, "float64[:], float64[:, :]")
else:
    assert f(np.ones(2), np.eye(2)).tolist() == [2.0, 2.0]
print(len(compiled))
"""


def test_another_process_compiles_nothing(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    environ = {**os.environ, "GRADJIT_CACHE_DIR": str(tmp_path / "cache")}
    found = [
        subprocess.run(
            [sys.executable, str(script), step],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for step in ("build", "run")
    ]
    assert int(found[0]) > 0
    assert int(found[1]) == 0


@pytest.mark.parametrize("types", ["float99[:]", "float64[:", "x, float", "float64[n]"])
def test_what_is_no_type(types: str) -> None:
    with pytest.raises(DtypeError, match=r"no type of an argument|extents are"):
        gradjit.precompile(gradjit.grad(loss), types)


def test_what_is_no_signature() -> None:
    with pytest.raises(DtypeError, match=r"precompile\(f, \(x,\)\)"):
        gradjit.precompile(gradjit.grad(loss), np.ones(3))
    with pytest.raises(UnsupportedError, match=r"not f itself"):
        gradjit.precompile(loss, (np.ones(3),))


def test_a_value_that_is_part_of_the_program_needs_an_example() -> None:
    def f(x, n):
        parts = [x * k for k in range(3)]
        return np.sum(parts[n])

    with pytest.raises(GradjitError, match="of n more than the type counts"):
        gradjit.precompile(gradjit.grad(f), "float64[:], int")
    g = gradjit.precompile(gradjit.grad(f), (np.zeros(2), 2))
    assert g(np.ones(2), 2).tolist() == [2.0, 2.0]
    assert kernels(g) == 1


def test_extents_that_are_part_of_the_program_need_numbers() -> None:
    f = gradjit.grad(lambda x: np.sum(x**2), static="x")
    with pytest.raises(GradjitError, match="of x more than the type counts"):
        gradjit.precompile(f, "float64[:]")
    f = gradjit.precompile(
        gradjit.grad(lambda x: np.sum(x**2), static="x"), "float64[3]"
    )
    assert f(np.ones(3)).tolist() == [2.0, 2.0, 2.0]
    assert kernels(f) == 1
