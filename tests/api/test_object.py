"""The object that a transform gives: what it shows, from how many threads it runs."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit import GradjitError, config

X = np.array([0.5, -1.25, 2.0, 3.5])


def square(x: Any) -> Any:
    return np.sum(x * x)


def count(f: Any) -> int:
    """How often a function has been compiled."""
    return sum(len(found) for found in f._compiled.values())


def is_fast(f: Any) -> bool:
    return f.__call__.__name__ == "call"


def test_before_the_first_call() -> None:
    with pytest.raises(GradjitError, match="has not been compiled yet"):
        _ = gradjit.grad(square).source


def test_lower() -> None:
    f = gradjit.grad(square)
    assert "def grad_square(x):" in f.lower(X).source
    assert count(f) == 0
    assert next(iter(f.stages)) == "trace"
    assert "x" in str(f.graph)
    assert "loops" in f.explain()


def test_source_path_has_the_source() -> None:
    f = gradjit.grad(square)
    f(X)
    with open(f.source_path) as file:
        assert file.read() == f.source


def test_same_source_again() -> None:
    one, two = gradjit.grad(square).lower(X), gradjit.grad(square).lower(X[:2])
    assert one.source == two.source


def test_not_a_function() -> None:
    with pytest.raises(TypeError, match="grad takes a function, not 3"):
        gradjit.grad(3)


def test_fast_after_the_first_call() -> None:
    f = gradjit.grad(square)
    assert not is_fast(f)
    f(X)
    assert is_fast(f)


def test_without_numba() -> None:
    with config.override(jit=False):
        f = gradjit.value_and_grad(lambda x: np.sum(np.sin(x)))
        value, grad = f(X)
        assert value == pytest.approx(np.sum(np.sin(X)))
        np.testing.assert_allclose(grad, np.cos(X))


def test_threads() -> None:
    f = gradjit.grad(lambda x, y: np.sum(x * x * y))
    wrong: list[int] = []

    def work(k: int) -> None:
        x = np.full(k % 3 + 1, float(k), np.float32 if k % 2 else np.float64)
        for _ in range(50):
            if not np.array_equal(f(x, 2.0), 4 * x):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_debug_tells_of_compilation(capsys: Any) -> None:
    with config.override(debug=2):
        gradjit.grad(square)(X)
    err = capsys.readouterr().err
    assert "compiled <gradjit.grad of square> for (float64[:])" in err
    assert "def grad_square(x):" in err


def test_debug_tells_why(capsys: Any) -> None:
    f = gradjit.grad(lambda x, n: x * sum([1.0] * n))
    f(2.0, 3)
    with config.override(debug=1):
        f(2.0, 4)
        f(np.float32(2.0), 4)
    err = capsys.readouterr().err
    assert "because n is 4, and was 3" in err
    assert "because x is float32, and was float" in err
    assert "n = 4 is part of the program: " in err
