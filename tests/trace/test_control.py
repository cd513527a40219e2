"""Branches and loops: the trace computes what Python computes."""

# The traced functions are written as users write them:
# ruff: noqa: B007, B905, SIM108

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.trace.run import same

X = np.array([0.5, -1.5, 2.5, 0.25, -0.75])
M = np.arange(12.0).reshape(3, 4) / 7 - 0.6


# ------------------------------------------------------------------------ branches


def if_else(x: float) -> float:
    if x > 0:
        y = x * 2
    else:
        y = -x
    return y + 1


def if_only(x: float) -> float:
    y = 1
    if x > 0:
        y = x * 2
    return y + x


def elif_chain(x: float) -> float:
    if x > 2:
        return 1.0
    elif x > 0:
        y = x**2
    elif x > -1:
        return math.sin(x)
    else:
        y = 3.0
    return y * x


def nested_returns(x: float, y: float) -> float:
    if x > 0:
        if y > 0:
            return x * y
        x = x + 1
    else:
        if y > 0:
            return y
    return x - y


def conditional_expression(x: float) -> float:
    return x if x > 0 else (-x if x > -1 else 0.0)


def chained(x: float) -> float:
    return 1.0 if -1 < x < 1 else x


def short_circuit(x: Any, i: int) -> float:
    if i < len(x) and x[i] > 0:
        return x[i]
    if i >= len(x) or not x[i] < -1:
        return -1.0
    return 2.0


def or_value(x: float, y: float) -> float:
    return (x and y) + (x or y)


def branch_int_float(x: float) -> float:
    if x > 0:
        k = 1
    else:
        k = 0.5
    return k * x


def branch_tuple(x: float) -> float:
    pair = (x, 1)
    if x > 0:
        pair = (2 * x, 3)
    a, b = pair
    return a * b


def walrus(x: float) -> float:
    if (y := x * 2) > 1:
        return y
    return y - 1


def inner_function(x: float) -> float:
    def shifted(v: float, by: float = 1.0) -> float:
        if v > 0:
            return v + by
        return v - scale

    scale = 3.0
    return shifted(x) + shifted(x - 1, by=0.5)


@pytest.mark.parametrize("x", [2.5, 0.5, -0.5, -2.5])
@pytest.mark.parametrize(
    "f",
    [
        if_else,
        if_only,
        elif_chain,
        conditional_expression,
        chained,
        branch_int_float,
        branch_tuple,
        walrus,
        inner_function,
    ],
)
def test_branches(f: Any, x: float) -> None:
    same(f, x)


@pytest.mark.parametrize("x", [1.5, -1.5, 0.0])
@pytest.mark.parametrize("y", [0.5, -0.5, 0.0])
@pytest.mark.parametrize("f", [nested_returns, or_value])
def test_two_conditions(f: Any, x: float, y: float) -> None:
    same(f, x, y)


@pytest.mark.parametrize("i", [0, 1, 4, 5, 100])
def test_short_circuit(i: int) -> None:
    same(short_circuit, X, i)


# --------------------------------------------------------------------------- loops


def sum_of(x: Any) -> float:
    s = 0
    for i in range(len(x)):
        s += x[i]
    return s


def over_array(x: Any) -> float:
    s = 0.0
    for v in x:
        s += v * v
    return s


def over_rows(m: Any) -> float:
    s = 0.0
    for row in m:
        for v in row:
            s = s * 0.5 + v
    return s


def steps(x: Any, n: int) -> float:
    s = 0.0
    for i in range(n - 1, -1, -2):
        s = 2 * s + x[i]
    for i in range(1, n, 3):
        s -= x[i] * i
    for i in range(5, 5):
        s += 1000.0
    return s


def traced_step(x: Any, k: int) -> float:
    s = 0.0
    for i in range(0, len(x), k):
        s += x[i]
    return s


def enumerated(x: Any) -> float:
    s = 0.0
    for i, v in enumerate(x, 3):
        s += i * v
    return s


def zipped(x: Any, y: Any) -> float:
    s = 0.0
    for i, (a, b) in enumerate(zip(x, y)):
        s += a * b + i
    return s


def backwards(x: Any) -> float:
    s = 0.0
    for v in reversed(x):
        s = s * 0.5 + v
    for i in reversed(range(1, len(x))):
        s = s * 0.5 + x[i] * i
    return s


def index_after(x: Any) -> float:
    for i in range(len(x)):
        v = x[i]
    return v * i


def break_else(x: Any, level: float) -> float:
    for i in range(len(x)):
        if x[i] > level:
            found = i
            break
    else:
        found = -1
    return found + 0.0


def break_middle(x: Any, level: float) -> float:
    s = 0.0
    for v in x:
        s += 1
        if v > level:
            break
        s += v
    return s


def continue_middle(x: Any) -> float:
    s = 0.0
    for v in x:
        if v < 0:
            continue
        s += v
        if v > 1:
            s *= 2
            continue
        s -= 0.125
    return s


def return_nested(m: Any, level: float) -> float:
    s = 0.0
    for i in range(m.shape[0]):
        for j in range(m.shape[1]):
            if m[i, j] > level:
                return s + m[i, j]
            s += m[i, j] ** 2
        if s > 2 * level:
            return -s
    return s


def break_and_return(x: Any, a: float, b: float) -> float:
    s = 0.0
    for v in x:
        if v > a:
            return s * 10
        if v < b:
            break
        s += v
    return s


def ragged(m: Any) -> float:
    s = 0.0
    for i in range(m.shape[0]):
        for j in range(i + 1):
            s += m[i, j] * (i - j)
    return s


def conditional_update(x: Any) -> float:
    best = -math.inf
    where = 0
    for i in range(len(x)):
        if x[i] > best:
            best = x[i]
            where = i
    return best * where


def swap(a: float, b: float, n: int) -> float:
    for _ in range(n):
        a, b = b, a + b
    return a


def carried_tuple(x: Any) -> float:
    state = (0.0, 1)
    for v in x:
        total, count = state
        state = (total + v, count + 1)
    return state[0] / state[1]


def carried_dict(x: Any) -> float:
    state = {"sum": 0.0, "product": 1.0}
    for v in x:
        state = {"sum": state["sum"] + v, "product": state["product"] * v}
    return state["sum"] + state["product"]


def mutated_dict(x: Any) -> float:
    state = {"sum": 0, "n": 0}
    for v in x:
        state["sum"] = state["sum"] + v
        if v > 0:
            state["n"] += 1
    return state["sum"] * state["n"]


def constant_range(x: Any) -> float:
    s = 0.0
    for i in range(3):
        s += x[i] * i
    return s


def loop_in_branch(x: Any, c: float) -> float:
    s = 0.0
    if c > 0:
        for v in x:
            s += v
    else:
        for v in x:
            s -= v * v
    return s


def unused_names(x: Any) -> float:
    s = 0.0
    for v in x:
        t = v * 2
        s += t
    t = s
    for v in x:
        t = v * 3
        s += t
    return s


def returns_in_loop_only(x: Any) -> float:
    for v in x:
        if v > 1e9:
            return v
    return 0.0


@pytest.mark.parametrize(
    "f",
    [
        sum_of,
        over_array,
        enumerated,
        backwards,
        index_after,
        continue_middle,
        conditional_update,
        carried_tuple,
        carried_dict,
        mutated_dict,
        constant_range,
        unused_names,
        returns_in_loop_only,
    ],
)
def test_loops_over_a_vector(f: Any) -> None:
    same(f, X)
    same(f, X.astype(np.float32))


@pytest.mark.parametrize("level", [0.4, 1.0, 9.0, -9.0])
@pytest.mark.parametrize("f", [break_else, break_middle, loop_in_branch])
def test_exits(f: Any, level: float) -> None:
    same(f, X, level)


@pytest.mark.parametrize("level", [0.4, 0.1, 9.0, -9.0])
def test_return_from_a_nest(level: float) -> None:
    same(return_nested, M, level)


@pytest.mark.parametrize(("a", "b"), [(2.0, -9.0), (9.0, -1.0), (9.0, -9.0)])
def test_break_and_return(a: float, b: float) -> None:
    same(break_and_return, X, a, b)


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_counts(n: int) -> None:
    same(steps, X, n)
    same(swap, 1.0, 2.0, n)
    same(sum_of, X[:n])
    same(break_middle, X[:n], 0.4)


def test_other_loops() -> None:
    same(over_rows, M)
    same(ragged, M)
    same(zipped, X, X[::-1].copy())
    same(traced_step, X, 2)


def strong_after_weak(x: Any) -> Any:
    s = 0.0
    for i in range(len(x)):
        s = x[i] + s
    return s


def test_a_float32_accumulator() -> None:
    same(strong_after_weak, X.astype(np.float32))
    found = same(sum_of, X.astype(np.float32))
    assert found.graph.block.results[0].type.dtype == np.float32


def test_one_copy_of_the_body() -> None:
    found = same(constant_range, X)
    assert [e.op.name for e in found.graph.block.eqns].count("for_") == 1
