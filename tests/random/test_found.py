"""Programs that were wrong once: each stands for a mechanism that was repaired."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit import config
from gradjit.ops.evaluate import evaluate
from tests.random.agree import agree

RNG = np.random.default_rng(7)
X = RNG.uniform(-1.0, 1.0, 6)
Y = RNG.uniform(-1.0, 1.0, 6)
M = RNG.uniform(-1.0, 1.0, (6, 6))
AT = np.array([0, 1, 1, 3, 5, 0])


# An equality of extents that holds in a loop was believed after it.


def diagonal_added_in_a_loop(m: Any, at: Any, s: float) -> Any:
    b = np.ones(m.shape[0])
    for row in m:
        np.add.at(b, at, np.diag(m) * b * s)
        row[0] = b[1]
    return np.sum(b * b)


# A view that is written into was printed inside of its consumer, and had no name.


def stride_of_a_matrix_written_in_a_loop(m: Any, n: int) -> Any:
    a = m[0]
    a[1:] = a[:-1]
    b = m.reshape(-1)[::6]
    a[[0, 0, 2]] += b[2:5]
    for _ in range(n, 0, -1):
        b[1:] = a[:-1]
    return np.sum(m * m) + np.sum(np.sin(a)) + np.sum(b)


# A name that is bound on some paths only, joined twice.


def bound_in_an_inner_loop(x: Any, s: float) -> Any:
    t = 0.0
    if s > 0:
        for i in range(len(x)):
            v = x[i]
            while v * v > 0.01:
                v = v * 0.5 * math.cos(v)
                t += v * s
                if t > 2:
                    return t * x[0]
    else:
        v = s
        t = x[1]
    return t + v * s


# Lists that operators, stars and keywords make were taken for lists from outside.


def joined_lists(x: Any, n: int) -> Any:
    items = [x[0]] * 2 + [x[1]]
    for i in range(n):
        items = items * 1
        items[1] = items[1] * x[i] + items[2]
    return items[0] * items[1]


def starred_list(x: Any, n: int) -> Any:
    first, *items = x[0], x[1], x[2]
    for i in range(n):
        items[0] = items[1] * x[i]
        items[1] = items[0] + first
    return items[0] * items[1]


def _keywords(n: int, **values: Any) -> Any:
    for _ in range(n):
        values["a"] = values["a"] * values["b"]
    return values["a"]


def keyword_dict(x: Any, n: int) -> Any:
    return _keywords(n, a=x[0], b=x[1]) + _keywords(n, a=x[2], b=x[3])


def joined_dicts(x: Any, n: int) -> Any:
    d = {"a": x[0]} | {"b": x[1]}
    for i in range(n):
        d = d | {"a": d["b"] * x[i]}
        d["b"] = d["a"] ** 2
    return d["b"]


# The test of an exit was printed after the assignment to a name that it reads.


def until_it_moves_no_more(x: Any, s: float) -> Any:
    t = 0.5
    for _ in range(9):
        old = t
        t = 0.3 * np.cos(t + x[0])
        if (t - old) ** 2 < 1e-3:
            break
    return s * t


def newton_with_a_tolerance(x: Any, s: float) -> Any:
    y = 1.0 + s
    for _ in range(20):
        new = y - (y**3 - 2.0 - x[0]) / (3 * y**2)
        if abs(new - y) < 1e-3:
            break
        y = new
    return y


# Memory for residuals was sized by an extent that only dead code had asked for.


def rows_by_a_vector_under_a_condition(x: Any, n: int) -> Any:
    m = np.zeros((n, 3))
    b = np.zeros(n)
    if x[0] > 2.0 and m[-1, 0] <= x[1]:
        x[1:] = np.sin(x[:-1])
    elif x[0] < 2.0:
        m[2] = np.sin(x[-1])
    if x[0] < 2.0:
        for _ in range(3):
            b = np.sin(m @ x[:3])
        m[1:-1, 0] += np.sin(x[2:])
    return np.sum(b * b) + np.sum(np.sin(m))


# A sum over an axis of extent one, inside of a nest, had no start.


def filter_of_one_sensor(z: Any, q: float, r: float) -> Any:
    x, p = np.zeros(2), np.eye(2)
    f, h = np.array([[1.0, 0.1], [0.0, 1.0]]), np.array([[1.0, 0.0]])
    total = 0.0
    for t in range(len(z)):
        x, p = f @ x, f @ p @ f.T + q * np.eye(2)
        y = z[t] - (h @ x)[0]
        s = (h @ p @ h.T)[0, 0] + r
        gain = (p @ h.T)[:, 0] / s
        x, p = x + gain * y, p - np.outer(gain, h @ p)
        total += 0.5 * (np.log(s) + y * y / s)
    return total


# Products of matrices of one element were sums over nothing.


def one_head_of_one_number(q: Any, k: Any) -> Any:
    s = q @ k.T
    p = np.exp(s - np.max(s, axis=1, keepdims=True))
    p = p / np.sum(p, axis=1, keepdims=True)
    return np.sum((p @ k).T @ (p @ k) * q) + np.trace(q.T @ q)


# A load was printed behind a write to its memory that went by another name.


def two_names_for_an_array(x: Any, w: Any, n: int) -> Any:
    x = x.copy()
    a, b = x, np.zeros(len(x))
    if w[1] < 5.0:
        a[n] = np.tanh(w[n])
    else:
        a, b = b, a
    return np.sum(a * w) + np.sum(b) + 0.3 * x[n]


# The interpreter read an empty slice that runs backwards as all of the array.


def test_an_empty_slice_backwards_is_empty() -> None:
    def f(a: Any, n: int) -> Any:
        for i in range(n):
            a[:i] += 0.3 * a[:i][::-1]
        return np.sum(a)

    stages = gradjit.jit(f).lower(X, 3).stages
    want = X.copy()
    total, after = evaluate(stages["trace"], [X, 3])
    np.testing.assert_allclose(total, f(want, 3))
    np.testing.assert_allclose(after, want)


CASES: list[tuple[Any, ...]] = [
    (diagonal_added_in_a_loop, M, AT, 0.7),
    (stride_of_a_matrix_written_in_a_loop, M, 3),
    (bound_in_an_inner_loop, X, 0.7),
    (joined_lists, X, 3),
    (starred_list, X, 3),
    (keyword_dict, X, 3),
    (joined_dicts, X, 2),
    (until_it_moves_no_more, X, 0.7),
    (newton_with_a_tolerance, X, 0.7),
    (rows_by_a_vector_under_a_condition, X, 6),
    (filter_of_one_sensor, X, 0.1, 0.5),
    (two_names_for_an_array, X, Y, 2),
    (one_head_of_one_number, np.array([[0.4]]), np.array([[1.3]])),
    (one_head_of_one_number, Y[:1, None], X[:4, None]),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c[0].__name__)
def test_programs_that_were_wrong(case: tuple[Any, ...]) -> None:
    function, *args = case
    with config.override(jit=False, check=True):
        agree(function, *args)


def test_an_unknown_attribute_of_an_array_is_refused_with_its_line() -> None:
    def f(x: Any) -> Any:
        x = x * 2
        x.setfield(1.0, np.float64)
        return x[0]

    with pytest.raises(gradjit.UnsupportedError, match=r"(?s)test_found.py.*setfield"):
        gradjit.grad(f)(X)


def test_the_second_derivative_of_a_loop_that_only_compares_what_it_saved() -> None:
    """The stacks of the first derivative had no cotangents, and were read anyway."""

    def highest(s: float, z: Any) -> Any:
        total = 0.0
        for i in range(z.shape[0]):
            t = s
            m = s
            for k in range(z.shape[1]):
                t *= z[i, k]
                m = max(m, t)
                if t < 0.2:
                    break
            if t > 0.7:
                total += m - s
        return total

    z = np.random.default_rng(6).uniform(0.4, 1.4, (5, 4))
    slope = gradjit.grad(highest)
    with config.override(jit=False):
        second = gradjit.grad(lambda s: slope(s, z))(1.0)
        above, below = slope(1.0 + 1e-5, z), slope(1.0 - 1e-5, z)
    np.testing.assert_allclose(second, (above - below) / 2e-5, rtol=1e-6)
