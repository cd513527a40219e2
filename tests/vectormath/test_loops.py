"""Loops take the vector versions, and what is chosen is in what is emitted."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest

import gradjit
from gradjit.config import override, show
from gradjit.errors import UnsupportedError
from gradjit.vectormath import choice, chosen
from gradjit.vectormath.composed import PARTS
from tests.vectormath.loops import NAMES, assembly, loop, run, vector_math
from tests.vectormath.oracle import places

DTYPES = pytest.mark.parametrize("dtype", [np.float64, np.float32])
CALL = r"(?:call\w*\s+|movabsq\s+\$)\"?([\w.]+)"
# Products of several numbers at once.
PACKED = {
    "x86_64": r"v?(?:mul|fn?m(?:add|sub)\d+)pd",
    "aarch64": r"fm(?:ul|la)\S*\s+v\d+\.2d",
    "arm64": r"fm(?:ul|la)\.2d",
}


def called(text: str) -> set[str]:
    """What machine code calls."""
    return set(re.findall(CALL, text))


# ------------------------------------------------------------------ what LLVM makes


@DTYPES
@pytest.mark.parametrize("name", [n for n in NAMES if n not in PARTS])
def test_loops_call_libmvec(name: str, dtype: Any) -> None:
    symbol = vector_math("libmvec").symbol
    compiled = loop("libmvec", name)
    run(compiled, *places(name, dtype))
    single = dtype is np.float32
    sets = (("b", 2), ("d", 4), ("e", 8))
    versions = {symbol(letter, lanes, name, single) for letter, lanes in sets}
    assert versions & called(assembly(compiled, dtype))


@DTYPES
@pytest.mark.parametrize("name", NAMES)
def test_polynomials_are_vectorised_and_call_nothing(name: str, dtype: Any) -> None:
    machine = llvm.get_process_triple().split("-")[0]
    if machine not in PACKED:
        pytest.skip(f"no pattern for the vector instructions of {machine}")
    compiled = loop("polynomial", name)
    run(compiled, *places(name, dtype))
    text = assembly(compiled, dtype)
    assert re.search(PACKED[machine], text)
    libm = {name, name.replace("arc", "a"), "exp", "log", "log1p", "fma", "floor"}
    calls = called(text)
    if name in ("sin", "cos", "tan"):
        assert any(re.fullmatch(f"gradjit_{name}_beyond_[248]", c) for c in calls)
        libm.remove(name)
    assert not calls & {f"{n}{f}" for n in libm for f in ("", "f")}


# ------------------------------------------------------------------- what is emitted


def loss(x, y):
    return np.sum(np.logaddexp(0.0, x) * np.arctan2(y, x) + x**y)


X = np.array([0.3, 1.2, 2.5, 0.9, 1.7])
Y = np.array([1.1, -0.2, 0.7, 2.0, 0.4])


@pytest.mark.parametrize("kind", ["libmvec", "polynomial", "none"])
def test_source_says_which_is_used(kind: str) -> None:
    if kind != "none":
        vector_math(kind)
    with override(vector_math=kind):
        f = gradjit.jit(loss)
        np.testing.assert_allclose(f(X, Y), loss(X, Y), rtol=1e-14)
        source = f.source
    assert ("vm.pow(" in source) == (kind != "none")
    line = f"from gradjit.vectormath import {kind} as vm"
    assert (line in source.splitlines()) == (kind != "none")


@pytest.mark.parametrize("kind", ["libmvec", "polynomial"])
def test_plain_python_computes_with_numpy(kind: str) -> None:
    if kind == "libmvec":
        vector_math(kind)
    with override(vector_math=kind, jit=False):
        f = gradjit.jit(loss)
        np.testing.assert_allclose(f(X, Y), loss(X, Y), rtol=1e-14)
    assert "vm.pow(" in f.source


def test_numbers_are_for_libm() -> None:
    with override(vector_math="polynomial"):
        f = gradjit.grad(lambda x: np.exp(x) * np.sin(x))
        assert f(0.5) == pytest.approx(np.exp(0.5) * (np.sin(0.5) + np.cos(0.5)))
    assert "vm." not in f.source


def test_recurrences_are_for_libm() -> None:
    def both(x):
        s = 0.0
        for i in range(x.shape[0]):
            s = np.tanh(s) + np.exp(x[i])
        return s

    with override(vector_math="polynomial"):
        f = gradjit.jit(both)
        np.testing.assert_allclose(f(X), both(X), rtol=1e-14)
    assert "np.tanh(" in f.source
    assert "vm.exp(" in f.source


def test_integers_and_roots_keep_their_operator() -> None:
    def f(n, x):
        return np.sum(n**n) + np.sum(x**0.5)

    with override(vector_math="polynomial"):
        compiled = gradjit.jit(f)
        assert compiled(np.arange(4), X) == pytest.approx(f(np.arange(4), X))
    assert "vm." not in compiled.source


# ---------------------------------------------------------------------- what is chosen


def test_without_libmvec_there_are_polynomials(monkeypatch: Any) -> None:
    monkeypatch.setattr(choice, "_has_libmvec", lambda: False)
    with override(vector_math="auto"):
        assert chosen() == "polynomial"
        assert "in use: polynomials" in show()
    message = r"this machine has no libmvec with all functions\n  It comes with glibc"
    with (
        override(vector_math="libmvec"),
        pytest.raises(UnsupportedError, match=message),
    ):
        chosen()


def test_libmvec_is_shown_with_its_widths() -> None:
    vector_math("libmvec")
    with override(vector_math="libmvec"):
        assert re.search(r"in use: libmvec, 2( or 4)?( or 8)? float64 at once$", show())


@pytest.mark.parametrize(
    ("features", "lanes"),
    [
        ("+sse2,+sse3", [2]),
        ("+avx,+avx2,+sse2", [2, 4]),
        ("+avx2,-avx512f,+sse2", [2, 4]),
        ("+avx2,+avx512f,+sse2", [2, 4, 8]),
    ],
)
def test_widths_are_those_of_the_machine(features: str, lanes: list[int]) -> None:
    assert list(vector_math("libmvec").widths(features).values()) == lanes


def test_import_probes_nothing() -> None:
    program = (
        "import sys, gradjit; print(*[m for m in sys.modules if 'vectormath' in m])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = done.stdout.split()
    assert "gradjit.vectormath.libmvec" not in loaded
    assert "gradjit.vectormath.polynomial" not in loaded
