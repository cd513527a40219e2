"""`vmap` against a loop over the items in Python."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit import GradjitError, ShapeError, UnsupportedError, vmap

X = np.linspace(-1.0, 2.0, 5)
M = np.arange(12.0).reshape(3, 4) / 7 - 0.5


def newton(a: Any) -> Any:
    """The root of a * a + 1: a loop of another length, and a branch, for each a."""
    x = 1.0 + a * 0.1
    while abs(x * x - a * a - 1) > 1e-12:
        x = 0.5 * (x + (a * a + 1) / x)
    if a > 0:
        return x
    return -x


def double(x: Any) -> Any:
    return 2.0 * x


def test_items_take_ways_of_their_own() -> None:
    want = np.where(X > 0, 1, -1) * np.sqrt(X * X + 1)
    np.testing.assert_allclose(vmap(newton)(X), want)
    np.testing.assert_allclose(vmap(gradjit.grad(newton))(X), X / want, atol=1e-9)

    def total(x: Any) -> Any:
        return np.sum(vmap(newton)(x) ** 3)

    np.testing.assert_allclose(gradjit.grad(total)(X), 3 * want * X, atol=1e-8)
    np.testing.assert_allclose(gradjit.jit(vmap(newton))(X), want)


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_any_number_of_items(n: int) -> None:
    x = np.linspace(0.0, 1.0, 3 * n).reshape(n, 3)
    got = vmap(lambda row: (np.sum(row), row * 2, 1, True))(x)
    want = x.sum(axis=1), x * 2, np.ones(n, int), np.ones(n, bool)
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
@pytest.mark.parametrize("out", [0, 1, 2, -1, -2])
def test_axes(axis: int, out: int) -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    got = vmap(lambda u: u * 2.0, in_axes=axis, out_axes=out)(x)
    np.testing.assert_array_equal(got, np.moveaxis(2 * x, axis, out))


def test_axes_of_containers() -> None:
    def f(p: Any, x: Any, s: Any = 2.0) -> Any:
        return {"y": p["w"] * x + p["b"][0] * s, "z": (p["b"][1], 3.0)}

    p = {"w": np.array([1.0, 2.0, 3.0, 4.0]), "b": [np.array([0.5, 1.0, 2.0]), M[0]]}
    axes = ({"w": 0, "b": [None, 0]}, 1)
    got = vmap(f, in_axes=axes, out_axes={"y": 1, "z": (0, None)})(p, M)
    want = p["w"] * M + p["b"][0][:, None] * 2.0
    np.testing.assert_allclose(got["y"], want)
    np.testing.assert_allclose(got["z"][0], M[0])
    assert got["z"][1] == 3.0


def test_a_list_as_in_axes_and_one_for_a_container() -> None:
    got = vmap(lambda p, k: p[0] * p[1] + k, in_axes=[0, None])((X, 2 * X), 3.0)
    np.testing.assert_allclose(got, 2 * X * X + 3)


def test_keyword_arguments_are_mapped_over_the_first_axis() -> None:
    def f(x: Any, *, k: Any, s: Any = 3.0) -> Any:
        return x + k * s

    np.testing.assert_allclose(vmap(f)(X, k=X), 4 * X)
    np.testing.assert_allclose(vmap(f)(X, k=X, s=X), X + X * X)


def test_defaults_are_not_mapped() -> None:
    f = vmap(lambda x, y=2.0: x * y)
    np.testing.assert_allclose(f(X), 2 * X)
    np.testing.assert_allclose(f(X, X), X * X)
    np.testing.assert_allclose(f(X, y=X), X * X)


def test_as_a_decorator() -> None:
    @vmap
    def f(x: Any) -> Any:
        """Twice."""
        return 2 * x

    @vmap(in_axes=(None, 0))
    def g(w: Any, x: Any) -> Any:
        return w * x

    assert f.__doc__ == "Twice."
    np.testing.assert_allclose(f(X), 2 * X)
    np.testing.assert_allclose(g(3.0, X), 3 * X)
    assert "def vmap_f(x):" in f.source


def test_nested() -> None:
    outer = vmap(vmap(lambda x, y: x * y + 1.0, (None, 0)), (0, None))
    np.testing.assert_allclose(outer(X, M[0]), np.outer(X, M[0]) + 1)


def test_gradients_through_shared_and_mapped_arguments() -> None:
    def loss(w: Any, x: Any) -> Any:
        return np.sum(vmap(lambda v: np.tanh(w @ v), in_axes=1, out_axes=1)(x) ** 2)

    def plain(w: Any, x: Any) -> Any:
        return np.sum(np.tanh(w @ x) ** 2)

    w, x = M[:2, :3], M
    got = gradjit.grad(loss, (0, 1))(w, x)
    want = gradjit.grad(plain, (0, 1))(w, x)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    gradjit.check_grads(loss, (w, x), order=2)


def test_rows_of_a_jacobian() -> None:
    def f(x: Any) -> Any:
        return np.array([x[0] * x[1], np.sin(x[2]), x[0] ** 2])

    x = np.array([0.5, -1.0, 2.0])

    def row(v: Any) -> Any:
        return gradjit.grad(lambda x: np.sum(f(x) * v))(x)

    np.testing.assert_allclose(vmap(row)(np.eye(3)), gradjit.jacobian(f)(x))


def test_second_order() -> None:
    def f(x: Any) -> Any:
        return np.sum(vmap(lambda a: np.sin(a) * a)(x) ** 2)

    hess = gradjit.hessian(f)(X)
    g = gradjit.grad(lambda a: (np.sin(a) * a) ** 2)
    want = [(g(a + 1e-6) - g(a - 1e-6)) / 2e-6 for a in X]
    np.testing.assert_allclose(hess, np.diag(want), rtol=1e-6, atol=1e-7)


def test_of_a_scan_and_a_compiled_function() -> None:
    @gradjit.jit
    def running(x: Any) -> Any:
        return gradjit.scan(lambda c, a: (c + a, c * a), 0.0, x)[1]

    want = np.stack([running(row) for row in M])
    np.testing.assert_allclose(vmap(running)(M), want)


def test_a_loop_that_python_runs() -> None:
    def f(x: Any) -> Any:
        made = [np.sin(x)]
        for k in range(3):
            made.append(made[-1] * (k + 1))
        return made[-1]

    np.testing.assert_allclose(vmap(f)(X), 6 * np.sin(X))


def test_float32_stays() -> None:
    x = X.astype(np.float32)
    got = vmap(lambda a: 2.0 * a)(x)
    assert got.dtype == np.float32


def test_pickle() -> None:
    f = pickle.loads(pickle.dumps(vmap(double)))
    np.testing.assert_allclose(f(X), 2 * X)


def test_a_jit_of_it_writes_into_items() -> None:
    def f(row: Any) -> Any:
        row[0] = -1.0
        return np.sum(row)

    m = M.copy()
    got = vmap(f)(m)
    want = M.copy()
    want[:, 0] = -1.0
    np.testing.assert_array_equal(m, want)
    np.testing.assert_allclose(got, want.sum(axis=1))
    m = M.copy()
    grad = gradjit.grad(lambda m: np.sum(vmap(f)(m) ** 2))(m)
    np.testing.assert_array_equal(m, M)
    np.testing.assert_allclose(grad[:, 0], 0.0)
    np.testing.assert_allclose(
        grad[:, 1:], np.repeat(2 * want.sum(axis=1), 3).reshape(3, 3)
    )


@pytest.mark.parametrize(
    ("run", "kind", "message"),
    [
        (
            lambda: vmap(lambda x, y: x + y)(np.ones(3), np.ones(4)),
            ShapeError,
            r"vmap: x.shape\[0\] and y.shape\[0\] differ",
        ),
        (
            lambda: vmap(lambda x, y: x + y)(np.ones(1), np.ones(4)),
            ShapeError,
            r"vmap: x.shape\[0\] and y.shape\[0\] differ",
        ),
        (
            lambda: vmap(lambda x, y: x + y, (0,))(X, X),
            ShapeError,
            "in_axes has 1 entries, and the function was called with 2",
        ),
        (lambda: vmap(double)(1.0), ShapeError, "x is mapped along axis 0, and is a"),
        (lambda: vmap(double, 2)(X), ShapeError, "x is mapped along axis 2 of 1"),
        (lambda: vmap(double, (None,))(X), ShapeError, "in_axes maps no array"),
        (lambda: vmap(double, ({"a": 0},))(X), ShapeError, "in_axes for x is"),
        (lambda: vmap(double, 0, 3)(X), ShapeError, "out_axes has 3 for a result of 0"),
        (lambda: vmap(double, 0, (0, 0))(X), ShapeError, "out_axes is"),
        (lambda: vmap(double, 0, None)(X), UnsupportedError, "out_axes is None"),
        (lambda: vmap(double, "a"), GradjitError, "in_axes takes ints and None"),
        (lambda: vmap(double, 1.5), GradjitError, "in_axes takes ints and None"),
        (lambda: vmap(3.0), GradjitError, "vmap takes a function"),  # type: ignore
        (
            lambda: vmap(np.ones)(np.arange(3)),
            UnsupportedError,
            "extents of a result depend on the iteration",
        ),
    ],
)
def test_refusals(run: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        run()


def test_gradients_of_items_are_of_their_shape() -> None:
    """However the extents of a gradient are computed, they are those of the item."""

    def transport(cost: Any, a: Any, b: Any) -> Any:
        k = np.exp(-2.0 * cost)
        u, v = np.ones(len(a)), np.ones(len(b))
        for _ in range(50):
            old = u
            u = a / (k @ v)
            v = b / (k.T @ u)
            if np.max(np.abs(u - old)) < 1e-3:
                break
        return np.sum(u[:, None] * k * v[None, :] * cost)

    costs = np.random.default_rng(2).uniform(0.0, 1.0, (3, 4, 5))
    a, b = np.full(4, 0.25), np.full(5, 0.2)
    slope = gradjit.grad(transport)
    want = np.stack([slope(c, a, b) for c in costs])
    np.testing.assert_allclose(vmap(slope, (0, None, None))(costs, a, b), want)
    gradjit.check_grads(transport, (costs[0], a, b))
