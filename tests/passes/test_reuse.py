"""Branches and loops that a program would compute twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit import config

X = np.array([0.5, -0.3, 1.2])


def length(x: Any) -> Any:
    squares = np.sum(x * x)
    if squares > 0.0:
        size = np.sqrt(squares)
        return np.array([np.sin(size) * x[0], size])
    return np.array([x[0], x[1]])


def recurrence(x: Any) -> Any:
    a, b = 1.0, 0.0
    for i in range(len(x)):
        a, b = np.sin(a * x[i]), b + a * a
    return np.array([a, b])


def halved(x: Any) -> Any:
    a, b = np.sum(x * x), 1.0
    while a > 0.1:
        a, b = 0.5 * a, b + np.sin(a) * a
    return np.array([a, b])


def rows_of(f: Any) -> Any:
    def jacobian(x: Any) -> Any:
        out, pullback = gradjit.vjp(f, x)
        (first,) = pullback(np.array([1.0, 0.0]))
        (second,) = pullback(np.array([0.0, 1.0]))
        return out, first, second

    return gradjit.jit(jacobian)


def agrees(f: Any, g: Any, x: Any) -> None:
    """Value and rows, against the function and central differences."""
    out, *rows = g(x)
    np.testing.assert_allclose(out, f(x), rtol=1e-12)
    steps = 1e-6 * np.eye(len(x))
    want = np.array([(f(x + h) - f(x - h)) / 2e-6 for h in steps]).T
    np.testing.assert_allclose(rows, want, rtol=1e-6, atol=1e-8)


def count(text: str, g: Any) -> int:
    """How often a text stands in the code, comments aside."""
    return sum(line.split("#")[0].count(text) for line in g.source.splitlines())


def test_two_pullbacks_share_a_branch() -> None:
    g = rows_of(length)
    agrees(length, g, X)
    agrees(length, g, np.array([0.2, 0.0, 0.1]))
    assert count("np.sqrt(", g) == 1


def test_two_pullbacks_share_a_loop() -> None:
    g = rows_of(recurrence)
    agrees(recurrence, g, X)
    assert count("sin(", g) == 2, "once for the value, once for both pullbacks"


def test_stacks_belong_to_one_loop() -> None:
    g = rows_of(halved)
    agrees(halved, g, X)


def test_arrays_that_are_written_later_are_apart() -> None:
    def f(x: Any, n: int) -> Any:
        a, b = x, x
        if n > 2:
            a = x * 2.0
        if n > 2:
            b = x * 2.0
        a, b = a + 0.0, b + 0.0
        a[0] = 7.0
        b[1] += a[0]
        return a, b

    g = gradjit.jit(f)
    for n in (2, 3):
        for got, want in zip(g(X, n), f(X, n), strict=True):
            np.testing.assert_array_equal(got, want)


def test_a_branch_that_needs_what_comes_in_between_stays() -> None:
    def f(x: Any, n: int) -> Any:
        a = 0.0
        if n > 2:
            a = np.sin(x[0])
        b = a * x[1]
        if n > 2:
            b = b + np.sin(x[0]) * b
        return a, b

    g = gradjit.jit(f)
    for n in (2, 3):
        np.testing.assert_allclose(g(X, n), f(X, n))


def test_a_branch_that_may_raise_stays_behind_what_raises_first() -> None:
    def f(x: Any, k: int) -> Any:
        a = 0.0
        if k > 1:
            a = x[0]
        assert x[0] > 0.0, "first"
        if k > 1:
            a = a + x[k]
        return a

    with config.override(jit=False):
        g = gradjit.jit(f)
        with pytest.raises(AssertionError, match="first"):
            g(-X, 9)
        assert g(X, 2) == X[0] + X[2]
