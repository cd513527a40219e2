"""Zeros that are added to everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit import config
from tests.random.agree import agree

X = np.random.default_rng(8).normal(size=(4, 9))
P = np.array([3, 0, 8, 3])


def picked(x: Any, p: Any) -> Any:
    total = np.log(np.sum(np.exp(x), axis=1))
    return np.sum(total * total - x[np.arange(len(p)), p])


def picked_twice(x: Any, p: Any) -> Any:
    total = np.sum(np.exp(x), axis=1)
    rows = np.arange(len(p))
    return np.sum(np.log(total) * x[rows, p] + x[rows, p[::-1].copy()])


@pytest.mark.parametrize("f", [picked, picked_twice])
def test_an_addition_to_all_of_a_row_is_a_store(f: Any) -> None:
    with config.override(jit=False):
        agree(f, X, P)
        grad = gradjit.grad(f)
        grad(X, P)
    assert "zeros(" not in grad.source


def not_all(x: Any, p: Any) -> Any:
    total = np.sum(np.exp(x[:, 1:]), axis=1)
    return np.sum(np.log(total) - x[np.arange(len(p)), p])


def read_between(x: Any, p: Any) -> Any:
    a = np.zeros((4, 9))
    for i in range(4):
        a[i, p[i]] += x[i, 0]
        s = np.sin(a[i, 3])
        for j in range(9):
            a[i, j] += s * x[i, j]
    return np.sum(a * a)


@pytest.mark.parametrize("f", [not_all, read_between])
def test_zeros_that_are_seen_stay(f: Any) -> None:
    with config.override(jit=False):
        agree(f, X, P)
        grad = gradjit.value_and_grad(f)
        grad(X, P)
    assert "zeros(" in grad.source
