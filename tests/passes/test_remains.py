"""Values that are found again in arrays, in place of saved ones."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit import config
from tests.random.agree import agree

X = np.random.default_rng(11).uniform(0.5, 1.5, size=7)


def saved(f: Any, *args: Any) -> int:
    """How many values the gradient saves; it is compared with the complex step."""
    with config.override(jit=False):
        agree(f, *args)
        grad = gradjit.grad(f)
        grad(*args)
    return grad.source.count("_tape = ") + grad.source.count("tape = ")


# ------------------------------------------------------------ what need not be saved


def trajectory(x: Any) -> Any:
    y = np.zeros(9)
    y[0] = x[0]
    for t in range(8):
        y[t + 1] = np.sin(y[t]) + x[1]
    return np.sum(y)


def table(x: Any) -> Any:
    t = np.ones((6, 6))
    for i in range(1, 6):
        for j in range(1, 6):
            t[i, j] = t[i - 1, j] * x[i] + np.sin(t[i, j - 1] * x[j])
    return t[5, 5]


def backwards(x: Any) -> Any:
    y = x.copy()
    for i in range(len(x) - 2, -1, -1):
        y[i] = np.exp(-y[i + 1])
    return np.sum(y)


def factor(x: Any) -> Any:
    n = 5
    a = np.outer(x[:n], x[:n]) + 4.0 * np.eye(n)
    for j in range(n):
        for k in range(j):
            a[j, j] -= a[j, k] * a[j, k]
        a[j, j] = np.sqrt(a[j, j])
        for i in range(j + 1, n):
            a[i, j] = (a[i, j] - np.dot(a[i, :j], a[j, :j])) / a[j, j]
    return np.sum(np.tril(a))


def under_a_condition(x: Any) -> Any:
    y = x.copy()
    for i in range(2, len(x)):
        if x[i] > 1.0:
            y[i] = y[i - 1] * y[i - 1]
        elif i > 2:
            y[i] = np.cos(y[i - 2])
    return np.sum(y)


@pytest.mark.parametrize("f", [trajectory, table, backwards, factor, under_a_condition])
def test_what_stays_in_an_array_is_not_saved(f: Any) -> None:
    assert saved(f, X) == 0


# ----------------------------------------------------------------- what has to be


def overwritten_in_the_next_iteration(x: Any) -> Any:
    y = x.copy()
    for i in range(1, len(x)):
        y[i - 1] = np.sin(y[i]) * y[i - 1]
        y[i] = y[i] * x[0]
    return np.sum(y)


def overwritten_by_a_loop_around(x: Any) -> Any:
    y = x.copy()
    for _ in range(3):
        for i in range(1, len(x)):
            y[i] = np.sin(y[i - 1]) * y[i]
    return np.sum(y)


def overwritten_through_an_index_array(x: Any) -> Any:
    y, at = x.copy(), np.array([3, 1, 3, 0])
    for i in range(1, len(x) - 3):
        y[at[i]] = np.sin(y[i]) * y[i - 1]
    return np.sum(y)


def overwritten_from_the_end(x: Any) -> Any:
    y = x.copy()
    for i in range(1, len(x)):
        y[-i] = np.sin(y[i]) * y[i - 1]
    return np.sum(y)


def overwritten_while(x: Any) -> Any:
    y, i = x.copy(), 0
    while i < 5:
        y[i] = np.sin(y[i + 1]) * y[i]
        i += 1
    return np.sum(y)


def stored_under_a_condition(x: Any) -> Any:
    y = np.zeros(len(x))
    for i in range(1, len(x)):
        t = np.sin(x[i])
        if t * x[i - 1] > 0.8:
            y[i] = t
    return np.sum(y * x)


@pytest.mark.parametrize(
    "f",
    [
        stored_under_a_condition,
        overwritten_in_the_next_iteration,
        overwritten_by_a_loop_around,
        overwritten_through_an_index_array,
        overwritten_from_the_end,
        overwritten_while,
    ],
)
def test_what_is_overwritten_is_saved(f: Any) -> None:
    assert saved(f, X) > 0


# ---------------------------------------------------------------- random subscripts

SIZE, MIDDLE = 40, 18


def _subscript(rng: np.random.Generator) -> str:
    """An affine form of both loop indices that stays inside of the array."""
    a, b = rng.integers(-2, 3, size=2)
    c = MIDDLE + int(rng.integers(-3, 4))
    return f"{c} + {a} * i + {b} * j"


def _range(rng: np.random.Generator, outer: str = "") -> str:
    low, high = sorted(int(k) for k in rng.integers(0, 5, size=2))
    if outer and rng.random() < 0.4:
        return f"range({low}, {outer} + 1)"
    return (
        f"range({high}, {low - 1}, -1)"
        if rng.random() < 0.4
        else f"range({low}, {high})"
    )


def _statement(rng: np.random.Generator) -> str:
    write, *reads = (_subscript(rng) for _ in range(3))
    kind = rng.integers(4)
    if kind == 0:
        return f"a[{write}] += 0.3 * np.sin(a[{reads[0]}])"
    if kind == 1:
        return f"a[{write}:{write} + 3] = np.cos(a[{reads[0]}:{reads[0]} + 3])"
    return f"a[{write}] = np.sin(a[{reads[0]}]) * a[{reads[1]}]"


def kernel(seed: int) -> str:
    """Two loops over an array, with statements in and between them."""
    rng = np.random.default_rng(seed)
    lines = ["def kernel(x):", "    a = x.copy()", f"    for i in {_range(rng)}:"]
    lines += ["        j = 0", f"        {_statement(rng)}"] * int(rng.integers(2))
    lines += [f"        for j in {_range(rng, 'i')}:"]
    lines += [f"            {_statement(rng)}" for _ in range(int(rng.integers(1, 3)))]
    lines += ["        j = 1", f"        {_statement(rng)}"] * int(rng.integers(2))
    return "\n".join(["import numpy as np", *lines, "    return np.sum(a * a)", ""])


@pytest.mark.parametrize("seed", range(80))
def test_random_subscripts(seed: int, tmp_path: Path) -> None:
    path = tmp_path / f"kernel_{seed}.py"
    path.write_text(kernel(seed))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with config.override(jit=False):
        agree(module.kernel, np.random.default_rng(seed).normal(size=SIZE))
