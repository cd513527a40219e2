"""Calls: helpers, closures, methods, builtins, containers, what is pinned."""

# The traced functions are written as users write them:
# ruff: noqa: B905

from __future__ import annotations

import dataclasses
import functools
import math
import operator
from collections import namedtuple
from typing import Any, NamedTuple

import numba
import numpy as np
import pytest

from tests.trace.run import equal, input_of, run, same, traced

X = np.array([0.5, -1.5, 2.5, 0.25])
W = [np.array([[0.5, -1.0], [0.25, 2.0]]), np.array([[1.0, 0.5], [-0.5, 0.25]])]
SCALE = 3.0
TABLE = np.array([1.0, 2.0, 3.0, 4.0])


@numba.njit
def jitted(x: Any) -> Any:
    s = 0.0
    for i in numba.prange(x.shape[0]):
        s += x[i] ** 2
    return s


def square(x: Any) -> Any:
    return x * x


def fib(n: int, x: float) -> float:
    if n < 2:
        return x
    return fib(n - 1, x) + fib(n - 2, x * 0.5)


class Layer:
    def __init__(self, w: Any, slope: float) -> None:
        self.w = w
        self.__slope = slope

    def relu(self, x: Any) -> Any:
        if np.sum(x) > 0:
            return np.maximum(x, 0)
        return self.__slope * x

    def __call__(self, x: Any) -> Any:
        return self.relu(self.w @ x)

    @property
    def size(self) -> int:
        return self.w.shape[0]

    @staticmethod
    def twice(x: Any) -> Any:
        return 2 * x


class Leaky(Layer):
    def relu(self, x: Any) -> Any:
        return super().relu(x) + 1.0


class Point(NamedTuple):
    x: float
    y: float


@dataclasses.dataclass
class Params:
    w: Any
    b: float = 0.5

    def apply(self, x: Any) -> Any:
        return self.w * x + self.b


LAYER = Layer(W[0], 0.1)
LEAKY = Leaky(W[1], 0.1)
Pair = namedtuple("Pair", "a b")


def calls(x: Any) -> Any:
    return square(x) + jitted(x) * SCALE, TABLE * x, math.sqrt(square(x[0]))


def closures(x: Any) -> Any:
    k = 2.0

    def times(v: Any, factor: float = k) -> Any:
        return v * factor

    fs = [lambda v, p=p: v**p for p in range(1, 4)]
    return sum(f(times(x)) for f in fs)


def objects(x: Any) -> Any:
    own = Layer(W[1] * 2, 0.2)
    return LAYER(x[:2]) + LEAKY(x[:2]) + own(x[2:]) * own.size, Layer.twice(x)


def containers(x: Any) -> Any:
    params = Params(x, 2.0)
    p = Point(x[0], y=x[1])
    pair = Pair(p, {"z": [x[2], 1.0]})
    first, *rest = [*pair.b["z"], p.x]
    return params.apply(x), p, pair, {**pair.b, "first": first}, rest


def partials(x: Any) -> Any:
    cube = functools.partial(pow, exp=3)
    add = functools.partial(operator.add, x)
    return (
        cube(x[0]),
        add(1.0),
        functools.reduce(lambda a, b: a * b + 1, [x[0], x[1], 2.0]),
    )


def layers(ws: list[Any], x: Any) -> Any:
    h = x
    outs = [None] * (len(ws) + 1)
    outs[0] = x
    for i in range(len(ws)):
        h = np.tanh(ws[i] @ h)
        outs[i + 1] = h
    for w, out in zip(ws, outs):
        h = h + w @ out
    for i, w in enumerate(ws):
        h = h * i + w[0]
    return h, outs


def comprehension(ws: list[Any], x: Any) -> Any:
    hs = [w @ x for w in ws if w.shape[0] == 2]
    table = {k: h for k, h in enumerate(hs)}
    return sum(hs), [a + b for a, b in zip(hs, reversed(hs))], table[1]


def appended(x: Any, n: int) -> Any:
    out = []
    for i in range(n):
        out.append(x * i)
    return out


def stacked(x: Any, n: int) -> Any:
    rows = [x * k for k in range(n)]
    return np.array([rows[k][0] for k in range(n)])


def builtins_(x: Any) -> Any:
    return (
        max(x[0], x[1], 0.0),
        min(x[0], 1),
        abs(x[1]),
        round(x[2]),
        int(x[2]),
        float(x[0]),
        len(x),
        isinstance(x, np.ndarray),
        isinstance(x[0], float),
        pow(x[0], 2),
        sum([x[0], x[1]]),
        any([x[0] > 1, x[1] > 1]),
        all([x[0] > -1, x[1] > -9]),
    )


def unpacked(m: Any) -> Any:
    a, b = m
    n, k = m.shape
    return a * b, n * k


def strings(x: Any, mode: str) -> Any:
    if mode == "sum":
        return np.sum(x)
    message = f"mode {mode}"
    assert message.startswith("mode")
    return x[0]


def with_errstate(x: Any) -> Any:
    with np.errstate(divide="ignore"):
        return np.log(x * x)


def attempt(x: Any) -> Any:
    try:
        import not_a_module
    except ImportError:
        not_a_module = None
    return x if not_a_module is None else 0.0


def asserts(x: float) -> float:
    assert x > 0, f"x is {x}"
    if x > 100:
        raise ValueError("too large")
    return math.log(x)


def keyword_only(x: Any, *, power: int = 2) -> Any:
    return x**power


def with_keywords(x: Any) -> Any:
    options = {"power": 3}
    return keyword_only(x, **options) + keyword_only(*[x])


def matched(x: Any, kind: Any) -> Any:
    match kind:
        case "a":
            return x[0]
        case (k, "b"):
            y = x[1] * k
        case _:
            y = 0.0
    return y


@pytest.mark.parametrize(
    "f",
    [
        calls,
        closures,
        objects,
        containers,
        partials,
        builtins_,
        with_errstate,
        attempt,
        with_keywords,
    ],
)
def test_calls(f: Any) -> None:
    same(f, X)


def test_lists_of_layers() -> None:
    x = X[:2].copy()
    same(layers, W, x)
    same(comprehension, W, x)
    same(unpacked, W[0])


def test_structure() -> None:
    same(strings, X, "sum")
    same(strings, X, "other")
    same(matched, X, "a")
    same(matched, X, (2.0, "b"))
    same(matched, X, None)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_integers_are_pinned_where_python_needs_them(n: int) -> None:
    assert set(same(appended, X, n).pinned) == {1}
    assert set(same(stacked, X, n).pinned) == {1}
    assert set(same(fib, n, 1.5).pinned) == {0}
    assert not traced(lambda x, n: sum_to(x, n), X, n).pinned


def sum_to(x: Any, n: int) -> Any:
    s = 0.0
    for i in range(n):
        s += x[i]
    return s


def test_a_shape_is_pinned() -> None:
    found = same(lambda m: [row * 2 for row in m], W[0])
    assert found.shaped[0][0] == (2, 2)
    assert not found.pinned


def test_assertions_become_checks() -> None:
    found = traced(asserts, 2.0)
    equal(run(found, 2.0)[1], math.log(2.0))
    for value, error, message in (
        (-1.0, AssertionError, "x is"),
        (200.0, ValueError, "too large"),
    ):
        with pytest.raises(error, match=message):
            run(found, value)


def test_captured_arrays_and_guards() -> None:
    found = traced(calls, X)
    (capture,) = found.captures
    assert capture.array is TABLE
    assert capture.guard is not None
    assert capture.guard.key == "TABLE"
    names = {g.key: g for g in found.guards}
    assert names["SCALE"].value == 3.0
    assert all(g.holds() for g in found.guards)


def test_guards_notice_changes() -> None:
    state = {"k": 2.0}

    class Holder:
        factor = 3.0

    holder = Holder()

    def f(x: float) -> float:
        return x * state["k"] * holder.factor

    found = same(f, 1.5)
    assert all(g.holds() for g in found.guards)
    state["k"] = 5.0
    assert not all(g.holds() for g in found.guards)
    state["k"] = 2.0
    holder.factor = 1.0
    assert not all(g.holds() for g in found.guards)


def test_names_are_those_of_the_program() -> None:
    def f(x: float) -> float:
        y = x * 2
        z = y + 1
        return z * y

    names = [o.name for e in traced(f, 1.0).graph.block.eqns for o in e.outs]
    assert names == ["y", "z", ""]


def test_places_are_those_of_the_program() -> None:
    def f(x: float) -> float:
        y = x * 2
        return square(y)

    line = f.__code__.co_firstlineno
    inner = square.__code__.co_firstlineno + 1
    lines = [e.loc.line for e in traced(f, 1.0).graph.block.eqns if e.loc]
    assert lines == [line + 1, inner]


def test_lambdas_on_one_line() -> None:
    f, g = (lambda x: x * 2, lambda x: x * 3)
    same(f, 1.5)
    same(g, 1.5)


def test_methods() -> None:
    same(LAYER.relu, X)
    same(LEAKY.relu, -X)
    same(LAYER, X[:2].copy())


def test_inputs() -> None:
    assert input_of(1, "n").value == 1
    assert input_of(X, "x").shape == (4,)
