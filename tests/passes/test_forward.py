"""Loads of what was just stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit import config
from tests.passes.lowering import eqns, grad_stages
from tests.random.agree import agree

X = np.random.default_rng(7).uniform(0.5, 1.5, size=6)


def centred(x: Any) -> Any:
    a, b = np.empty(6), np.empty(6)
    for i in range(6):
        a[i] = x[i] * x[i] - 0.5
        b[i] = a[i] * np.sin(a[i])
    return np.sum(b)


def beside(x: Any) -> Any:
    a = np.zeros(7)
    for i in range(6):
        a[i] = np.sin(x[i])
        a[i + 1] = x[i]
        a[i + 1] += a[i] * a[i]
    return np.sum(a * a)


@pytest.mark.parametrize("f", [centred, beside])
def test_a_number_is_not_loaded_from_where_it_was_stored(f: Any) -> None:
    loads = {
        id(load)
        for loop in eqns(grad_stages(f, X)["value_and_grad"], "for_")[:1]
        for load in loop.regions[0].eqns
        if load.op.name == "index" and load.args[0].name == "a"
    }
    assert not loads
    with config.override(jit=False):
        agree(f, X)


def perhaps_the_same(x: Any) -> Any:
    a, p = x.copy(), np.array([0, 1, 1, 3, 2, 5])
    for i in range(6):
        a[i] = np.sin(x[i])
        a[p[i]] = x[i] * x[i]
        a[i] *= a[i]
    return np.sum(a)


def negative(x: Any) -> Any:
    a = x.copy()
    for i in range(1, 6):
        a[-i] = np.sin(x[i])
        a[6 - i] *= 2.0
        a[-i] += a[6 - i] * a[-i]
    return np.sum(a * a)


@pytest.mark.parametrize("f", [perhaps_the_same, negative])
def test_writes_that_may_be_to_the_same_place_stand_between(f: Any) -> None:
    with config.override(jit=False):
        agree(f, X)


def test_an_array_rounds_what_it_takes() -> None:
    def f(x: Any) -> Any:
        a = np.empty(6, np.float32)
        total = 0.0
        for i in range(6):
            a[i] = x[i] / 3.0
            total += float(a[i])
        return total

    assert gradjit.jit(f)(X) == f(X) != np.sum(X / 3.0)
