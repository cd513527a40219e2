"""Additions to neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

import gradjit
from gradjit import config
from tests.random.agree import agree

X = np.random.default_rng(11).uniform(0.5, 1.5, size=40)
Y = np.random.default_rng(12).uniform(0.5, 1.5, size=39)


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def length(x, y):
    return np.sum(y * np.sqrt((x[1:] - x[:-1]) ** 2 + y * y))


def trapezes(x, y):
    return np.sum(np.sin(x[:-1] + x[1:]) * y)


def test_rosenbrock_is_that_of_scipy() -> None:
    for n in (2, 3, 40, 1000):
        x = np.random.default_rng(n).normal(size=n)
        value, d_x = gradjit.value_and_grad(rosenbrock)(x)
        assert value == pytest.approx(rosen(x), rel=1e-12)
        np.testing.assert_allclose(d_x, rosen_der(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n", [0, 1])
def test_nothing_to_add(n: int) -> None:
    value, d_x = gradjit.value_and_grad(rosenbrock)(np.ones(n))
    assert value == 0.0
    np.testing.assert_array_equal(d_x, np.zeros(n))


@pytest.mark.parametrize("static", [(), "x"])
@pytest.mark.parametrize(
    ("f", "args"), [(rosenbrock, (X,)), (length, (X, Y)), (trapezes, (X, Y))]
)
def test_an_element_is_stored_once(f: Any, args: Any, static: Any) -> None:
    with config.override(jit=False, check=True):
        gradient = gradjit.grad(f, static=static)
        gradient(*args)
        agree(f, *args)
    assert "zeros(" not in gradient.source
    assert "+= " not in gradient.source.split("for i in")[1].replace("t += ", "")


def apart(x):
    return np.sum(np.sin(x[2:] * x[:-2]))


def three(x):
    return np.sum(np.sin(x[2:] + x[1:-1] * x[:-2]))


def every_second(x):
    return np.sum(x[1::2] * np.sin(x[:-1:2]))


def twice(x):
    return np.sum(np.sin(x[1:] - x[:-1])) * np.sum(np.exp(x[1:] * x[:-1]))


@pytest.mark.parametrize("f", [apart, three, every_second, twice])
def test_other_neighbours(f: Any) -> None:
    with config.override(jit=False, check=True):
        agree(f, X)
