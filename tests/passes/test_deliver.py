"""Results in the caller's arrays: made there where they are allocated once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit.config import override

N = 7


def elements(x):
    return np.sum(np.sin(x) * x)


def neighbours(x):
    total = 0.0
    for i in range(1, len(x)):
        total += (x[i] - x[i - 1] ** 2) ** 2
    return total


def sweep(x):
    u = x.copy()
    for i in range(1, len(u)):
        u[i] = 0.5 * (u[i] + np.tanh(u[i - 1]))
    return np.sum(u**2)


def square(x):
    return 0.5 * np.sum(x * x)


def nothing(x):
    return 3.0


def constant(x):
    return np.sum(2.0 * x)


def sides(x):
    if x[0] > 0.0:
        return np.sum(np.exp(x))
    return np.sum(x**3)


def columns(x):
    a = np.arange(4.0 * N).reshape(4, N)
    return np.sum(np.tanh(a * x))


def rows(x):
    a = np.arange(4.0 * N).reshape(N, 4)
    return np.sum(np.tanh(a * x[:, None]))


def product(x):
    a = np.arange(N * N).reshape(N, N) * 0.1
    return np.sum(a @ x)


IN_PLACE = [elements, neighbours, sweep, square, nothing, constant]
COPIED = [sides, columns, rows, product]


def source(f: Callable[..., Any], x: np.ndarray) -> str:
    derived = gradjit.value_and_grad(f)
    with override(jit=False):
        derived(x, out=np.empty_like(x))
    return derived.source


@pytest.mark.parametrize("f", IN_PLACE)
def test_no_array_is_made_for_the_gradient(f: Callable[..., Any]) -> None:
    x = np.linspace(0.5, 1.5, N)
    fresh = gradjit.value_and_grad(f).lower(x).source
    makes = [f"mem.{how}(" for how in ("empty", "zeros", "full")]
    was = sum(fresh.count(text) for text in makes)
    now = source(f, x)
    assert sum(now.count(text) for text in makes) == was - 1


@pytest.mark.parametrize("f", IN_PLACE + COPIED)
@pytest.mark.parametrize("shift", [0.0, -2.0])
def test_the_bits_are_those_of_a_fresh_gradient(
    f: Callable[..., Any], shift: float
) -> None:
    x = np.linspace(0.5, 1.5, N) + shift
    derived = gradjit.value_and_grad(f)
    value, want = derived(x)
    out = np.full(N, np.nan)
    got, same = derived(x, out=out)
    assert same is out
    assert got == value
    np.testing.assert_array_equal(out, want)


def test_extents_are_checked_before_anything_is_written() -> None:
    text = source(neighbours, np.ones(N))
    first = text.index("raise ValueError")
    assert first < text.index("d_x[i]")
    assert "d_x.shape[0] != n" in text


def test_rosenbrock_allocates_nothing() -> None:
    def rosenbrock(x):
        return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)

    text = source(rosenbrock, np.linspace(-1.0, 1.0, 10))
    for how in ("empty", "zeros", "full", "copy", "dot"):
        assert f"np.{how}" not in text
        assert f".{how}(" not in text
