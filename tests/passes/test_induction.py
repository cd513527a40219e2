"""Counters become expressions of the loop's index."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit import config
from tests.passes.lowering import eqns, grad_stages
from tests.random.agree import agree

X = np.random.default_rng(5).uniform(0.5, 1.5, size=15)
M = np.random.default_rng(6).normal(size=(5, 6))


def triangle(x: Any) -> Any:
    at = 0
    total = 0.0
    for col in range(5):
        for row in range(col + 1, 6):
            total += x[at] * np.sin(M[col, row] * x[at])
            at += 1
    return total * at


def backwards(x: Any) -> Any:
    at = 14
    total = 0.0
    for i in range(14, -1, -1):
        total = total * 0.9 + np.sin(x[at]) * x[i]
        at -= 1
    return total - at


def growing(x: Any) -> Any:
    at, total = 0, 0.0
    for i in range(5):
        at += i
        total += np.sin(x[at]) * (1 + at)
    return total


def nothing(x: Any, n: int) -> Any:
    at = 3
    for _ in range(n):
        at += 2
    return x[at] ** 2 * at


@pytest.mark.parametrize("f", [triangle, backwards, growing])
def test_a_counter_is_not_carried(f: Any) -> None:
    graph = grad_stages(f, X)["value_and_grad"]
    for loop in eqns(graph, "for_"):
        carries = loop.regions[0].params[1:]
        assert all(p.type.dtype.kind == "f" for p in carries)
    with config.override(jit=False):
        agree(f, X)


@pytest.mark.parametrize("n", [-3, 0, 1, 4])
def test_a_counter_behind_its_loop(n: int) -> None:
    value, d_x = gradjit.value_and_grad(nothing)(X, n)
    at = 3 + 2 * max(n, 0)
    assert value == pytest.approx(X[at] ** 2 * at)
    want = np.zeros(15)
    want[at] = 2 * X[at] * at
    np.testing.assert_allclose(d_x, want)


def stopped(x: Any) -> Any:
    at = 0
    for i in range(len(x)):
        if x[i] > 1.3:
            break
        at += 1
    return x[at] * at


def doubled(x: Any) -> Any:
    at, total = 1, 0.0
    for _ in range(4):
        total += x[at] * at
        at *= 2
    return total


def some(x: Any) -> Any:
    at, total = 0, 0.0
    for i in range(len(x)):
        if x[i] > 1.0:
            total += np.sin(x[i]) * x[at]
            at += 1
    return total


@pytest.mark.parametrize("f", [stopped, doubled, some])
def test_what_has_no_closed_form_is_carried(f: Any) -> None:
    with config.override(jit=False):
        agree(f, X)


def test_an_index_that_leaves_the_array_is_found() -> None:
    def f(x: Any) -> Any:
        at, total = 10, 0.0
        for _ in range(6):
            total += x[at]
            at += 1
        return total

    with pytest.raises(IndexError, match="total \\+= x\\[at\\]"):
        gradjit.grad(f)(X)
