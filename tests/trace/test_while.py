"""`while`, and what loops carry: the trace computes what Python computes."""

# The traced functions are written as users write them:

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.trace.run import same

X = np.array([0.5, -1.5, 2.5, 0.25, -0.75])
M = np.arange(12.0).reshape(3, 4) / 7 - 0.6


# --------------------------------------------------------------------------- while


def newton(x: float) -> float:
    y = x
    while abs(y * y - x) > 1e-9:
        y = 0.5 * (y + x / y)
    return y


def forever(x: float) -> float:
    n = 0
    while True:
        if x > 100:
            break
        x = x * 2 + 1
        n += 1
    return x * n


def forever_return(x: float) -> float:
    while True:
        x = x * 2 + 1
        if x > 100:
            return x


def guarded_while(x: Any) -> float:
    i = 0
    s = 0.0
    while i < len(x) and x[i] < 2:
        s += x[i]
        i += 1
    return s * i


def counted(x: float) -> float:
    k = 0
    while k < 10:
        x = x * 1.1
        k += 1
    return x + k


def while_else(x: float) -> float:
    k = 0
    while k < 5:
        x = x * 2
        if x > 10:
            break
        k += 1
    else:
        x = -x
    return x


def while_continue(x: float) -> float:
    k = 0
    s = 0.0
    while k < 8:
        k += 1
        if k % 2 == 0:
            continue
        s += x * k
    return s


def while_array(x: Any) -> float:
    a = x.copy()
    while a[0] < 10:
        a[0] = a[0] * 2 + 1
        a[1] += a[0]
    return np.sum(a)


def walrus_while(x: float) -> float:
    n = 0
    while (y := x * 0.5) > 0.1:
        x = y
        n += 1
    return x + n + y


def nested_while(x: float) -> float:
    total = 0.0
    i = 0
    while i < 3:
        j = 0
        while j < i:
            total += x * j
            j += 1
        i += 1
    return total


@pytest.mark.parametrize("x", [2.0, 0.7, 200.0])
@pytest.mark.parametrize(
    "f",
    [
        newton,
        forever,
        forever_return,
        counted,
        while_else,
        while_continue,
        walrus_while,
        nested_while,
    ],
)
def test_while(f: Any, x: float) -> None:
    same(f, x)


def test_while_on_arrays() -> None:
    same(guarded_while, X)
    same(guarded_while, X[:2])
    same(guarded_while, X[:0])
    same(while_array, X)


# ------------------------------------------------------------------- types of carries


def int_to_float(x: float, n: int) -> float:
    s = 0
    for i in range(n):
        s = s + x * i
    return s


def late_float(x: float, n: int) -> float:
    a = 0
    b = 0
    c = 0
    for _ in range(n):
        c = b
        b = a
        a = x
    return a + b + c


@pytest.mark.parametrize("n", [1, 2, 4])
def test_types_settle(n: int) -> None:
    same(int_to_float, 0.5, n)
    same(late_float, 0.5, n)


def array_carry(x: Any, n: int) -> Any:
    h = x
    for _ in range(n):
        h = np.tanh(h) + 0.5 * x
    return h


def growing(x: Any, n: int) -> Any:
    h = x
    for _ in range(n):
        h = np.concatenate((h, x))
    return np.sum(h)


def array_from_zero(x: Any, n: int) -> Any:
    h = np.zeros(3)
    for _ in range(n):
        h = x[:3] * 2 + h
    return h


def list_of_states(x: Any, n: int) -> Any:
    state = [x, 0.0]
    for i in range(n):
        state[0] = state[0] * 0.5
        state[1] = state[1] + np.sum(state[0]) * i
    return state[0], state[1]


@pytest.mark.parametrize("n", [0, 1, 3])
def test_arrays_carried(n: int) -> None:
    same(array_carry, X, n)
    same(growing, X, n)
    same(array_from_zero, X, n)
    same(list_of_states, X, n)
