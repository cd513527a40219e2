"""`out=`: gradients in arrays of the caller."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import gradjit
from gradjit.errors import DtypeError, GradjitError, ShapeError, UnsupportedError

X = np.linspace(-1.0, 2.0, 6)


def cubes(x):
    return np.sum(x**3)


def weighted(x, w):
    return np.sum(w * x**2)


class Params(NamedTuple):
    w: Any
    b: Any


def test_the_array_is_written_and_returned() -> None:
    d_x = np.full(6, np.nan)
    assert gradjit.grad(cubes)(X, out=d_x) is d_x
    np.testing.assert_allclose(d_x, 3.0 * X**2, rtol=1e-15)


def test_again_and_again() -> None:
    f = gradjit.value_and_grad(cubes)
    d_x, other = np.empty(6), np.empty(4)
    for scale in (1.0, 2.0, -3.0):
        value, same = f(scale * X, out=d_x)
        assert same is d_x
        assert value == pytest.approx(np.sum((scale * X) ** 3))
        np.testing.assert_allclose(d_x, 3.0 * (scale * X) ** 2, rtol=1e-15)
        assert f(X[:4], out=other)[1] is other
        np.testing.assert_allclose(other, 3.0 * X[:4] ** 2, rtol=1e-15)
        fresh = f(X)[1]
        assert fresh is not d_x
        np.testing.assert_allclose(fresh, 3.0 * X**2, rtol=1e-15)
        assert f(X, out=None)[1] is not d_x


def test_several_arguments() -> None:
    w = np.arange(6.0)
    out = np.empty(6), np.empty(6)
    for _ in range(3):
        assert gradjit.grad(weighted, argnums=(0, 1))(X, w, out=out) is out
        np.testing.assert_allclose(out[0], 2.0 * w * X, rtol=1e-15)
        np.testing.assert_allclose(out[1], X**2, rtol=1e-15)
    single = np.empty(6)
    assert gradjit.grad(weighted, argnums=1)(X, w, out=single) is single
    np.testing.assert_allclose(single, X**2, rtol=1e-15)


@pytest.mark.parametrize("make", [Params, lambda w, b: {"w": w, "b": [b]}])
def test_containers(make: Any) -> None:
    def loss(p, x):
        w, b = (p.w, p.b) if isinstance(p, Params) else (p["w"], p["b"][0])
        return np.sum((x @ w + b) ** 2)

    rng = np.random.default_rng(3)
    p, x = make(rng.normal(size=(4, 2)), rng.normal(size=2)), rng.normal(size=(5, 4))
    f = gradjit.value_and_grad(loss)
    value, want = f(p, x)
    out = make(np.full((4, 2), np.nan), np.full(2, np.nan))
    for _ in range(3):
        got, same = f(p, x, out=out)
        assert same is out
        assert got == value
    for a, b in zip(leaves(out), leaves(want), strict=True):
        np.testing.assert_array_equal(a, b)


def leaves(p: Any) -> list[Any]:
    return [p.w, p.b] if isinstance(p, Params) else [p["w"], p["b"][0]]


def test_aux() -> None:
    def f(x):
        return np.sum(x**2), x + 1.0

    d_x = np.empty(6)
    (value, aux), same = gradjit.value_and_grad(f, has_aux=True)(X, out=d_x)
    assert same is d_x
    assert value == pytest.approx(np.sum(X**2))
    np.testing.assert_array_equal(aux, X + 1.0)
    same, aux = gradjit.grad(f, has_aux=True)(X, out=d_x)
    assert same is d_x
    np.testing.assert_array_equal(aux, X + 1.0)


def test_a_result_that_is_the_gradient_too() -> None:
    def f(x):
        y = 2.0 * x
        return np.sum(x**2), y

    d_x = np.empty(6)
    _, aux = gradjit.grad(f, has_aux=True)(X, out=d_x)
    aux += 1.0
    np.testing.assert_array_equal(d_x, 2.0 * X)


def test_two_gradients_that_are_the_same() -> None:
    def f(x, y):
        return np.sum(np.sin(x + y))

    out = np.empty(6), np.empty(6)
    gradjit.grad(f, argnums=(0, 1))(X, X + 1.0, out=out)
    for d in out:
        np.testing.assert_allclose(d, np.cos(2.0 * X + 1.0), rtol=1e-14)


@pytest.mark.parametrize("step", [2, -1])
def test_arrays_that_are_not_contiguous(step: int) -> None:
    memory = np.zeros(12)
    d_x = memory[::step][:6]
    f = gradjit.grad(cubes)
    for _ in range(3):
        d_x[:] = np.nan
        assert f(X, out=d_x) is d_x
        np.testing.assert_allclose(d_x, 3.0 * X**2, rtol=1e-15)
    assert np.count_nonzero(memory) <= 6
    columns = np.zeros((3, 2), order="F")
    x = np.arange(6.0).reshape(3, 2)
    assert f(x, out=columns) is columns
    np.testing.assert_array_equal(columns, 3.0 * x**2)


def test_parallel() -> None:
    x = np.linspace(-1.0, 1.0, 100_000)
    d_x = np.empty_like(x)
    gradjit.grad(cubes, parallel=True)(x, out=d_x)
    np.testing.assert_allclose(d_x, 3.0 * x**2, rtol=1e-14)

    def columns(w, a):
        return np.sum(np.sin(a * w))

    a, w, d_w = x.reshape(-1, 4), np.arange(4.0), np.empty(4)
    f = gradjit.grad(columns, parallel=True)
    assert f(w, a, out=d_w) is d_w
    np.testing.assert_allclose(d_w, np.sum(a * np.cos(a * w), axis=0), atol=1e-9)
    assert "parallel" in f.stages


def test_stars_and_keywords() -> None:
    def f(*xs, scale=1.0):
        return scale * np.sum(xs[0] * xs[1])

    d_x = np.empty(6)
    g = gradjit.grad(f)
    for _ in range(3):
        assert g(X, 2.0 * X, out=d_x, scale=3.0) is d_x
        np.testing.assert_allclose(d_x, 6.0 * X, rtol=1e-15)
        np.testing.assert_allclose(g(X, X), X, rtol=1e-15)
    g = gradjit.grad(lambda x, *, n: np.sum(x**2) * n)
    for _ in range(3):
        assert g(X, n=2.0, out=d_x) is d_x
        np.testing.assert_allclose(d_x, 4.0 * X, rtol=1e-15)


def test_a_parameter_of_that_name_is_the_users() -> None:
    def f(x, out):
        return np.sum(x * out)

    got = gradjit.grad(f)(X, out=2.0 * X)
    np.testing.assert_allclose(got, 2.0 * X, rtol=1e-15)

    def g(x, **rest):
        return np.sum(x * rest["out"])

    np.testing.assert_allclose(gradjit.grad(g)(X, out=X), X, rtol=1e-15)


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize("calls", [0, 2])
@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.zeros(5), ShapeError, "out for the gradient by x has another shape"),
        (np.zeros(1), ShapeError, r"out is float64\[1\], and x is float64\[:\]"),
        (np.zeros((6, 1)), ShapeError, r"out is float64\[:, 1\], and x is"),
        (np.zeros(6, np.float32), DtypeError, "out is float32, and x is float64"),
        (np.zeros(6, int), DtypeError, "out is int64, and x is float64"),
        ([np.zeros(6)], ShapeError, "out is another container than the gradient"),
        (3.0, ShapeError, "out is float, and x is"),
        ("d_x", ShapeError, "out is another container"),
        (np.broadcast_to(0.0, 6), ValueError, "read-only: out is written into"),
    ],
)
def test_arrays_that_do_not_fit(
    out: Any, error: type[Exception], message: str, calls: int
) -> None:
    f = gradjit.grad(cubes)
    for _ in range(calls):
        f(X, out=np.empty(6))
    before = np.copy(out)
    with pytest.raises(error, match=message):
        f(X, out=out)
    np.testing.assert_array_equal(out, before)


@pytest.mark.parametrize("calls", [0, 2])
def test_memory_of_an_argument_is_refused(calls: int) -> None:
    f = gradjit.value_and_grad(weighted, argnums=(0, 1))
    x, w, d = X.copy(), np.ones(6), np.empty((2, 6))
    for _ in range(calls):
        f(x, w, out=(d[0], d[1]))
    shared = np.empty(9)
    for out in ((x, d[0]), (d[0], w), (d[0], d[0]), (shared[:6], shared[3:])):
        with pytest.raises(GradjitError, match="shares memory with"):
            f(x, w, out=out)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(w, np.ones(6))
    f(x, w, out=(shared[:6], np.empty(6)))
    np.testing.assert_allclose(shared[:6], 2.0 * X, rtol=1e-15)


TABLE = np.array([1.0, 2.0, 3.0])


def test_memory_of_an_array_from_outside_is_refused() -> None:
    f = gradjit.grad(lambda x: np.sum(x * x * TABLE))
    x = np.ones(3)
    for _ in range(2):
        with pytest.raises(GradjitError, match="with an array from outside"):
            f(x, out=TABLE)
        np.testing.assert_array_equal(f(x, out=np.empty(3)), 2.0 * TABLE)
    np.testing.assert_array_equal(TABLE, [1.0, 2.0, 3.0])


def test_numbers_are_not_written() -> None:
    with pytest.raises(GradjitError, match="by x is a number"):
        gradjit.grad(lambda x: x * x)(2.0, out=np.zeros(()))
    f = gradjit.grad(lambda x: x * x)
    assert f(2.0) == 4.0
    with pytest.raises(TypeError, match="out"):
        f(2.0, out=np.zeros(()))


def test_not_inside_of_a_traced_function() -> None:
    g = gradjit.grad(cubes)

    def outer(x):
        d = np.zeros(6)
        return np.sum(g(x, out=d))

    with pytest.raises(UnsupportedError, match="out= is not supported"):
        gradjit.grad(outer)(X)


def test_only_gradients_take_it() -> None:
    with pytest.raises(TypeError, match="out"):
        gradjit.jit(cubes)(X, out=np.zeros(6))
    with pytest.raises(TypeError, match="out"):
        gradjit.jacobian(cubes)(X, out=np.zeros(6))
