"""Loops and branches as functions: plain, compiled and differentiated."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

import gradjit
from gradjit import DtypeError, GradjitError, ShapeError, UnsupportedError
from gradjit.ir.tree import flatten

X = np.array([0.3, -0.7, 1.1])


def slopes(f: Callable[..., Any], x: Any) -> Any:
    """Central differences of a scalar function."""
    x = np.asarray(x, float)
    out = np.zeros_like(x)
    for at in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[at] = 1e-6
        out[at] = (f(x + step) - f(x - step)) / 2e-6
    return out


def same(got: Any, want: Any) -> None:
    """The same containers of the same numbers."""
    mine, tree = flatten(got)
    other, expected = flatten(want)
    assert tree == expected
    for a, b in zip(mine, other, strict=True):
        assert np.shape(a) == np.shape(b)
        np.testing.assert_allclose(a, b, rtol=1e-12)


def checked(f: Callable[..., Any], x: Any) -> None:
    """Compiled value and both modes of differentiation, against plain Python."""
    same(gradjit.jit(f)(x), f(x))
    value, grad = gradjit.value_and_grad(f)(x)
    np.testing.assert_allclose(value, f(x), rtol=1e-12)
    np.testing.assert_allclose(grad, slopes(f, x), rtol=1e-5, atol=1e-7)
    v = np.cos(np.arange(np.size(x)) + 1.0).reshape(np.shape(x))
    _, tangent = gradjit.jvp(f, (x,), (v if np.shape(x) else float(v),))
    np.testing.assert_allclose(tangent, np.sum(grad * v), rtol=1e-10)


class Pair(NamedTuple):
    a: Any
    b: Any


@dataclass
class Two:
    a: Any
    b: Any


# ------------------------------------------------------------------------- fori_loop


def test_fori_loop_carries_containers() -> None:
    def f(x: Any) -> Any:
        def body(i: Any, c: Any) -> Any:
            a, d = c
            inner = {"u": np.sin(d["u"] * x), "k": d["k"] + 1}
            return a * 0.9 + np.sum(x) * i, inner

        a, d = gradjit.fori_loop(0, 5, body, (0, {"u": x * 2, "k": 0}))
        return a * a + np.sum(d["u"]) * d["k"]

    checked(f, X)


@pytest.mark.parametrize("kind", [Pair, Two])
def test_fori_loop_carries_named_containers(kind: Any) -> None:
    def f(x: Any) -> Any:
        def body(i: Any, c: Any) -> Any:
            return kind(c.b, c.a * x[i] + c.b)

        out = gradjit.fori_loop(0, 3, body, kind(1.0, x[0]))
        return out.a * out.b

    checked(f, X)


@pytest.mark.parametrize("bounds", [(0, 0), (2, 1), (0, 1), (1, 4), (-2, 3)])
def test_fori_loop_bounds(bounds: tuple[int, int]) -> None:
    def f(x: Any, lower: Any, upper: Any) -> Any:
        return gradjit.fori_loop(lower, upper, lambda i, c: c * x + i, x)

    want = f(1.5, *bounds)
    assert gradjit.jit(f)(1.5, *bounds) == pytest.approx(want)
    step = (f(1.5 + 1e-6, *bounds) - f(1.5 - 1e-6, *bounds)) / 2e-6
    assert gradjit.grad(f)(1.5, *bounds) == pytest.approx(step, rel=1e-6)

    def fixed(x: Any) -> Any:
        return f(x, *bounds)

    assert gradjit.grad(fixed)(1.5) == pytest.approx(step, rel=1e-6)


def test_fori_loop_bound_from_an_extent_compiles_once() -> None:
    f = gradjit.grad(
        lambda x: gradjit.fori_loop(0, len(x), lambda i, c: c + x[i] ** 2, 0.0)
    )
    np.testing.assert_allclose(f(X), 2 * X)
    longer = np.linspace(0.0, 1.0, 9)
    np.testing.assert_allclose(f(longer), 2 * longer)
    assert sum(map(len, f._compiled.values())) == 1


def test_an_integer_carry_becomes_a_float_as_in_a_loop() -> None:
    def f(x: Any) -> Any:
        return gradjit.fori_loop(0, 3, lambda i, c: c + x, 0)

    assert gradjit.jit(f)(0.5) == 1.5
    assert gradjit.grad(f)(0.5) == 3.0


def test_fori_loop_needs_integers() -> None:
    def f(x: Any) -> Any:
        return gradjit.fori_loop(0, x, lambda i, c: c, x)

    with pytest.raises(DtypeError, match="a loop bound is float64"):
        gradjit.jit(f)(2.0)
    with pytest.raises(DtypeError, match="a loop bound is float, not an integer"):
        f(2.0)


def test_the_carry_keeps_its_structure() -> None:
    def f(x: Any) -> Any:
        return gradjit.fori_loop(0, 3, lambda i, c: (c[0], (c[1], x)), (x, x))[0]

    message = r"fori_loop: the carry\[1\] is a value and a tuple of 2"
    with pytest.raises(ShapeError, match=message):
        f(1.0)
    with pytest.raises(ShapeError, match=message) as error:
        gradjit.grad(f)(1.0)
    assert error.value.loc is not None
    assert "gradjit.fori_loop(0, 3" in error.value.loc.text


def test_the_carry_keeps_its_number_of_axes() -> None:
    def f(x: Any) -> Any:
        return np.sum(gradjit.fori_loop(0, 3, lambda i, c: c * x, 1.0))

    with pytest.raises(ShapeError, match="changes its number of axes"):
        f(X)
    with pytest.raises(ShapeError, match="the carry has 0 axes in init, and 1"):
        gradjit.grad(f)(X)


def test_arrays_of_the_caller_are_not_written() -> None:
    def f(x: Any) -> Any:
        def body(i: Any, u: Any) -> Any:
            u[i] = u[i - 1] * u[i]
            return u

        return np.sum(gradjit.fori_loop(1, len(x), body, x))

    x = X.copy()
    grad = gradjit.grad(f)(x)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_allclose(grad, slopes(lambda x: f(x.copy()), X), rtol=1e-6)


# ------------------------------------------------------------------------ while_loop


def test_while_loop() -> None:
    def f(x: Any) -> Any:
        def go_on(c: Any) -> Any:
            return c["y"] < 10.0

        def body(c: Any) -> Any:
            return {"y": c["y"] * 1.5 + x[0] ** 2, "z": c["z"] * np.cos(x)}

        out = gradjit.while_loop(go_on, body, {"y": 1.0, "z": x})
        return out["y"] * np.sum(out["z"])

    checked(f, X)


def test_while_loop_that_is_not_entered() -> None:
    checked(lambda x: gradjit.while_loop(lambda c: c < 0.0, lambda c: -c, x * x), 3.0)


def test_while_loop_keeps_its_structure() -> None:
    def f(x: Any) -> Any:
        return gradjit.while_loop(lambda c: c[0] < 2, lambda c: [*c], (x, x))[0]

    for run in (f, gradjit.jit(f)):
        with pytest.raises(ShapeError, match="while_loop: the carry is a tuple of 2"):
            run(1.0)


# ------------------------------------------------------------------------------ scan


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_scan(n: int, reverse: bool) -> None:
    def f(x: Any, a: Any) -> Any:
        def step(h: Any, item: Any) -> Any:
            p, q = item["p"], item["q"]
            new = np.tanh(h * p + q)
            return new, (new, {"s": np.sum(h), "k": 3})

        xs = {"p": a, "q": np.outer(a, x)}
        return gradjit.scan(step, x, xs, reverse=reverse)

    def loss(x: Any, a: Any) -> Any:
        h, (hs, more) = f(x, a)
        return np.sum(h) + np.sum(hs**2) * 0.5 + np.sum(more["s"] * more["k"])

    a = np.linspace(0.5, 1.5, n)
    same(gradjit.jit(f)(X, a), f(X, a))
    for got in (f(X, a), gradjit.jit(f)(X, a)):
        assert got[1][0].shape == (n, 3)
        assert got[1][1]["k"].dtype == np.int64
    dx, da = gradjit.grad(loss, (0, 1))(X, a)
    np.testing.assert_allclose(dx, slopes(lambda x: loss(x, a), X), rtol=1e-6)
    np.testing.assert_allclose(da, slopes(lambda a: loss(X, a), a), rtol=1e-6)


def test_scan_with_a_known_length() -> None:
    def f(x: Any) -> Any:
        step: Any = lambda c, _: (c * x, np.array([c, 2 * c]))  # noqa: E731
        last, all_ = gradjit.scan(step, x, None, length=4)
        return last + np.sum(all_[:, 0] * all_[:, 1])

    checked(f, 1.1)
    for n in (0, 1):
        got = gradjit.jit(
            lambda x, n=n: gradjit.scan(lambda c, _: (c, [c, 1]), x, length=n)
        )
        same(got(2.0), (2.0, [np.full(n, 2.0), np.full(n, 1)]))


def test_scan_without_results() -> None:
    def f(x: Any) -> Any:
        return gradjit.scan(lambda c, a: (c * a, None), 1.0, x)[0]

    checked(f, X)
    assert gradjit.jit(lambda x: gradjit.scan(lambda c, a: (c, None), 1.0, x)[1])(
        X
    ) is (None)


def test_scan_keeps_dtypes() -> None:
    x = np.arange(3, dtype=np.float32)

    def f(x: Any) -> Any:
        return gradjit.scan(lambda c, a: (c + a, (a, a > 1, 2.0 * a)), x[0], x)

    want, got = f(x), gradjit.jit(f)(x)
    same(got, want)
    for a, b in zip(flatten(got)[0], flatten(want)[0], strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype


def test_scan_of_a_carry_that_becomes_a_float() -> None:
    def f(x: Any) -> Any:
        return gradjit.scan(lambda c, a: (c + a, c), 0, x)

    last, all_ = gradjit.jit(f)(X)
    assert last == pytest.approx(np.sum(X))
    np.testing.assert_allclose(all_, [0.0, X[0], X[0] + X[1]])


def test_scan_stores_values_not_views() -> None:
    def f(x: Any) -> Any:
        def step(u: Any, a: Any) -> Any:
            u[0] = u[0] * a
            return u, u

        return np.sum(gradjit.scan(step, np.ones(2), x)[1] ** 2)

    checked(f, X)


def test_scan_in_a_loop_in_a_scan() -> None:
    def f(x: Any) -> Any:
        def outer(c: Any, row: Any) -> Any:
            d, ys = gradjit.scan(lambda h, a: (h * a + c, h), c, row)
            for y in ys:
                d = d + np.sin(y)
            return d, ys

        last, all_ = gradjit.scan(outer, x[0, 0], x)
        return last + np.sum(all_ * x)

    checked(f, np.linspace(-1.0, 0.8, 6).reshape(2, 3))


def test_scan_refusals() -> None:
    def run(f: Any, *args: Any, **kwargs: Any) -> list[str]:
        out = []
        for call in (gradjit.scan, gradjit.jit(lambda *a: gradjit.scan(f, *a))):
            with pytest.raises((ShapeError, UnsupportedError)) as error:
                call(*([f] if call is gradjit.scan else []), *args)
            out.append(str(error.value))
        return out

    for text in run(lambda c, a: (c, a), 0.0, (X, X[:2])):
        assert "differ" in text
    for text in run(lambda c, a: (c, a), 0.0, 2.0):
        assert "xs is a number: it has no items" in text
    for text in run(lambda c, a: (c, a), 0.0, None):
        assert "needs xs with arrays in it, or a length" in text
    for text in run(lambda c, a: c + a, 0.0, X):
        assert "has to return a pair (carry, y)" in text
    for text in run(lambda c, a: (c, a), 0.0, X, 2):
        assert "differ" in text

    def ragged(x: Any) -> Any:
        return gradjit.scan(lambda c, n: (c, np.ones(n)), 0.0, x)

    with pytest.raises(UnsupportedError, match="extents of a result depend on"):
        gradjit.jit(ragged)(np.arange(3))


# ------------------------------------------------------------------- cond and switch


@pytest.mark.parametrize("x", [-1.5, 0.5])
def test_cond(x: float) -> None:
    def f(x: Any) -> Any:
        a, b = gradjit.cond(
            x > 0.0, lambda x, y: (x * y, y), lambda x, y: (-x, x), x, 3.0
        )
        return a * b

    checked(f, x)
    assert gradjit.cond(np.bool_(True), math.sin, math.cos, x) == math.sin(x)


def test_cond_with_different_structures() -> None:
    def f(x: Any) -> Any:
        return gradjit.cond(x > 0.0, lambda x: (x, x), lambda x: [x, x], x)[0]

    with pytest.raises(ShapeError, match="cond: the result is a tuple of 2 and a list"):
        gradjit.jit(f)(1.0)


@pytest.mark.parametrize("k", [-3, 0, 1, 2, 9])
def test_switch(k: int) -> None:
    def f(x: Any, k: Any) -> Any:
        branches: list[Any] = [np.sin, lambda x: x * x, lambda x: np.exp(x) * x]
        return gradjit.switch(k, branches, x)

    want = [math.sin(0.7), 0.7**2, math.exp(0.7) * 0.7][min(max(k, 0), 2)]
    slope = [math.cos(0.7), 1.4, math.exp(0.7) * 1.7][min(max(k, 0), 2)]
    assert f(0.7, k) == pytest.approx(want)
    compiled = gradjit.value_and_grad(f)
    assert compiled(0.7, k) == pytest.approx((want, slope))
    inside = gradjit.value_and_grad(lambda x, ks: f(x, ks[0]))
    assert inside(0.7, np.array([k])) == pytest.approx((want, slope))
    fixed = gradjit.value_and_grad(lambda x: f(x, k))
    assert fixed(0.7) == pytest.approx((want, slope))


def test_switch_refusals() -> None:
    with pytest.raises(GradjitError, match="at least one branch"):
        gradjit.switch(0, [], 1.0)
    f = gradjit.jit(lambda x: gradjit.switch(x, [lambda: 1.0, lambda: 2.0]))
    with pytest.raises(DtypeError, match="the index is float64"):
        f(0.5)
    with pytest.raises(TypeError):
        gradjit.switch(0.5, [lambda: 1.0])  # type: ignore[arg-type]


# ---------------------------------------------------------------------- composition


def test_second_derivatives() -> None:
    def f(x: Any) -> Any:
        c, ys = gradjit.scan(lambda c, a: (c * np.sin(a), c * a), 1.0, x)
        d = gradjit.while_loop(lambda d: d < 5.0, lambda d: d * 1.7 + x[0] ** 2, 1.0)
        return np.sum(ys**2) + c * d

    def gradient(x: Any) -> Any:
        return gradjit.grad(f)(x)

    want = np.array([slopes(lambda x, k=k: gradient(x)[k], X) for k in range(3)])
    np.testing.assert_allclose(gradjit.hessian(f)(X), want, rtol=1e-6, atol=1e-8)
    v = np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(gradjit.hvp(f)(X, v), want @ v, rtol=1e-6)


def test_a_gradient_inside_a_body() -> None:
    def f(x: Any) -> Any:
        def step(i: Any, y: Any) -> Any:
            return y - 0.1 * gradjit.grad(lambda y: np.sum((y * x - 1.0) ** 2))(y)

        return np.sum(gradjit.fori_loop(0, 3, step, np.zeros(3)) ** 2)

    checked(f, X)


def test_captured_arrays_and_containers() -> None:
    weights = [np.array([1.0, 2.0]), np.array([3.0, 4.0])]
    table = np.arange(6.0).reshape(3, 2)

    def f(x: Any) -> Any:
        def step(c: Any, row: Any) -> Any:
            return [w + x * row for w in c], c[0] * row

        last, ys = gradjit.scan(step, weights, table)
        return np.sum(last[0] * last[1]) + np.sum(ys)

    checked(f, 0.3)
    compiled = gradjit.grad(f)
    first = compiled(0.3)
    table[0, 0] = 5.0
    assert compiled(0.3) != first
    step = (f(0.3 + 1e-6) - f(0.3 - 1e-6)) / 2e-6
    assert compiled(0.3) == pytest.approx(step, rel=1e-6)
