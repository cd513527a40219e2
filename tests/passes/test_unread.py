"""Stores that nobody reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit import config
from tests.random.agree import agree

X = np.random.default_rng(12).uniform(0.5, 1.5, size=8)


def zeros_stored(f: Any) -> int:
    """How often the gradient stores a zero; it is compared with differences."""
    with config.override(jit=False):
        agree(f, X)
        grad = gradjit.grad(f)
        grad(X)
    return grad.source.count("] = 0.0")


def filled_once(x: Any) -> Any:
    y = np.empty(len(x))
    for i in range(len(x)):
        y[i] = x[i] * x[i]
    return np.sum(y * x)


def filled_backwards(x: Any) -> Any:
    y = np.empty(len(x))
    for i in range(len(x) - 1, -1, -1):
        y[i] = np.sin(x[i])
    return np.sum(y * x)


def filled_in_a_nest(x: Any) -> Any:
    y = np.zeros((4, 8))
    for i in range(4):
        for j in range(8):
            if x[j] > 0.9:
                y[i, j] = x[j] * x[i]
    return np.sum(y)


def filled_row_by_row(x: Any) -> Any:
    y = np.zeros((4, 8))
    for i in range(4):
        y[i, :] = x * x[i]
    return np.sum(y * y)


@pytest.mark.parametrize(
    "f", [filled_once, filled_backwards, filled_in_a_nest, filled_row_by_row]
)
def test_no_zero_is_stored_where_the_program_does_not_come_back(f: Any) -> None:
    assert zeros_stored(f) == 0


def filled_twice(x: Any) -> Any:
    y = np.zeros(len(x))
    for k in range(2):
        for i in range(len(x)):
            y[i] = x[i] * (k + x[i])
    return np.sum(y * x)


def moved_on(x: Any) -> Any:
    y = x.copy()
    for i in range(len(x) - 1):
        y[i] = y[i + 1] * x[i]
        y[i + 1] = x[i]
    return np.sum(y * y)


def read_in_a_branch(x: Any) -> Any:
    y = x.copy()
    for k in range(3):
        for i in range(len(x)):
            if x[i] > 0.8 + 0.1 * k:
                y[i] = np.sin(x[i]) * k
    return np.sum(y * x)


def read_while(x: Any) -> Any:
    y, n = x.copy(), 0
    while y[0] < 3.0 and n < 5:
        y[0] = x[0] + n
        y[1] = y[0] * x[1]
        n += 1
    return np.sum(y * x)


def copied(x: Any) -> Any:
    y = x.copy()
    z = np.zeros(len(x))
    for i in range(len(x)):
        y[i] = x[i] * 2.0
        z[:] = z + y
    return np.sum(z * x)


@pytest.mark.parametrize(
    "f", [filled_twice, moved_on, read_in_a_branch, read_while, copied]
)
def test_zeros_that_are_read_stay(f: Any) -> None:
    assert zeros_stored(f) > 0


def test_stores_of_the_program_go_too() -> None:
    """`jit` does not fill a work array that is not used, and leaves arguments alone."""

    def f(x: Any, out: Any) -> Any:
        work = np.zeros(len(x))
        total = 0.0
        for i in range(len(x)):
            work[i] = x[i] * 3.0
            out[i] = x[i] + 1.0
            total += x[i]
        return total

    out = np.zeros(8)
    jitted = gradjit.jit(f)
    np.testing.assert_allclose(jitted(X, out), np.sum(X))
    np.testing.assert_allclose(out, X + 1.0)
    assert "work" not in jitted.source
