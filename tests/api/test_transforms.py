"""The transforms against closed forms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

import gradjit
from gradjit import DtypeError, GradjitError, ShapeError

X = np.array([0.5, -1.25, 2.0, 3.5])
Y = np.array([1.5, 0.25, -2.0, 0.75])


def circuit(x: Any, y: Any) -> Any:
    sigy = 1.0 / (1 + math.exp(-y))
    num = x + sigy
    sigx = 1.0 / (1 + math.exp(-x))
    xpy = x + y
    xpysqr = xpy**2
    den = sigx + xpysqr
    invden = 1.0 / den
    return num * invden


def test_circuit() -> None:
    value, grads = gradjit.value_and_grad(circuit, (0, 1))(3.0, -4.0)
    assert value == pytest.approx(1.5456448841066441, rel=1e-15)
    assert grads == pytest.approx((2.0595697955721652, 1.5922327514838093), rel=1e-14)


def test_decorators_bare_and_with_options() -> None:
    @gradjit.grad
    def f(x: Any) -> Any:
        """Three x squared."""
        return 3.0 * x * x

    @gradjit.grad(argnums=(0, 1))
    def g(x: Any, y: Any = 2.0) -> Any:
        return x * x * y

    assert f(2.0) == 12.0
    assert g(3.0) == (12.0, 9.0)
    assert g(3.0, y=1.0) == (6.0, 9.0)
    assert f.__name__ == "f"
    assert f.__doc__ == "Three x squared."


def test_argnums_by_position_and_from_the_end() -> None:
    def f(x: Any, y: Any, z: Any) -> Any:
        return x * y + z * z

    assert gradjit.grad(f, 1)(2.0, 3.0, 4.0) == 2.0
    assert gradjit.grad(f, -1)(2.0, 3.0, 4.0) == 8.0
    assert gradjit.grad(f, (2, 0))(2.0, 3.0, 4.0) == (8.0, 3.0)


def test_has_aux() -> None:
    def f(x: Any) -> Any:
        y = np.sin(x)
        return np.sum(y), {"y": y, "name": "sine"}

    grad, aux = gradjit.grad(f, has_aux=True)(X)
    np.testing.assert_allclose(grad, np.cos(X))
    np.testing.assert_allclose(aux["y"], np.sin(X))
    assert aux["name"] == "sine"
    (value, aux), grad = gradjit.value_and_grad(f, has_aux=True)(X)
    assert value == pytest.approx(np.sum(np.sin(X)))
    np.testing.assert_allclose(grad, np.cos(X))


def test_higher_derivatives_to_any_order() -> None:
    f: Any = np.sin
    expected = [np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x), np.sin]

    def sine(x: Any) -> Any:
        return np.sin(x)

    f = sine
    for want in expected:
        f = gradjit.grad(f)
        assert f(0.7) == pytest.approx(float(want(0.7)), rel=1e-12)


def test_gradient_inside_of_a_loss_and_of_a_loop() -> None:
    def inner(x: Any) -> Any:
        return x**3

    def f(x: Any) -> Any:
        total = 0.0
        while total < 10.0:
            total += gradjit.grad(inner)(x) * x
        return total

    def g(x: Any) -> Any:
        return gradjit.grad(inner)(x) ** 2

    steps = math.ceil(10.0 / (3 * 1.1**3))
    assert gradjit.grad(f)(1.1) == pytest.approx(steps * 9 * 1.1**2)
    assert gradjit.jit(f)(1.1) == pytest.approx(steps * 3 * 1.1**3)
    assert gradjit.grad(g)(2.0) == pytest.approx(36 * 2.0**3)


def test_value_and_grad_inside() -> None:
    def inner(x: Any, y: Any) -> Any:
        return np.sum(x * x * y)

    def f(x: Any, y: Any) -> Any:
        value, (dx, dy) = gradjit.value_and_grad(inner, (0, 1))(x, y)
        return value + np.sum(dx * dy)

    # x^2 y + 2 x y x^2
    dx, dy = gradjit.grad(f, (0, 1))(X, Y)
    np.testing.assert_allclose(dx, 2 * X * Y + 6 * X**2 * Y)
    np.testing.assert_allclose(dy, X**2 + 2 * X**3)


def test_vjp_of_containers() -> None:
    def f(x: Any, p: Any) -> Any:
        return {"prod": x * p["w"], "sum": (np.sum(x), p["k"])}

    out, pullback = gradjit.vjp(f, X, {"w": Y, "k": 2.0})
    np.testing.assert_allclose(out["prod"], X * Y)
    ones = np.ones(4)
    dx, dp = pullback({"prod": ones, "sum": (3.0, 5.0)})
    np.testing.assert_allclose(dx, Y + 3.0)
    np.testing.assert_allclose(dp["w"], X)
    assert dp["k"] == 5.0


def test_vjp_gives_none_for_what_is_no_float() -> None:
    def f(x: Any, n: Any) -> Any:
        return x * n

    _, pullback = gradjit.vjp(f, 3.0, 4)
    assert pullback(1.0) == (4.0, None)


def test_jvp() -> None:
    out, tangent = gradjit.jvp(lambda x, y: x * np.sin(y), (X, Y), (Y, X))
    np.testing.assert_allclose(out, X * np.sin(Y))
    np.testing.assert_allclose(tangent, Y * np.sin(Y) + X * np.cos(Y) * X)


def test_hvp_of_a_tuple_of_arguments() -> None:
    def f(x: Any, y: Any) -> Any:
        return np.sum(x * x * y)

    got = gradjit.hvp(f, (0, 1))(X, Y, (Y, X))
    np.testing.assert_allclose(got[0], 2 * Y * Y + 2 * X * X)
    np.testing.assert_allclose(got[1], 2 * X * Y)


def test_jacobian_shapes() -> None:
    a = np.arange(6.0).reshape(2, 3)

    def f(x: Any) -> Any:
        return (a @ x) ** 2

    x = np.array([1.0, -2.0, 0.5])
    got = gradjit.jacobian(f)(x)
    np.testing.assert_allclose(got, 2 * (a @ x)[:, None] * a)

    def g(m: Any) -> Any:
        return m * m

    m = np.arange(1.0, 7.0).reshape(2, 3)
    want = np.zeros((2, 3, 2, 3))
    for i in range(2):
        for j in range(3):
            want[i, j, i, j] = 2 * m[i, j]
    np.testing.assert_allclose(gradjit.jacobian(g)(m), want)


def test_jacobian_by_scalars_and_of_containers() -> None:
    def f(t: Any, x: Any) -> Any:
        return {"a": t * x, "b": t * t}

    got = gradjit.jacobian(f, (0, 1))(3.0, X)
    np.testing.assert_allclose(got["a"][0], X)
    np.testing.assert_allclose(got["a"][1], 3.0 * np.eye(4))
    assert got["b"][0] == 6.0
    np.testing.assert_allclose(got["b"][1], np.zeros(4))
    only = gradjit.jacobian(f)(3.0, X)
    np.testing.assert_allclose(only["a"], X)
    assert only["b"] == 6.0


def test_hessian() -> None:
    def f(x: Any) -> Any:
        total = 0.0
        for i in range(x.shape[0] - 1):
            total += 100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2
        return total

    x = np.array([0.3, -0.2, 0.9])
    want = np.zeros((3, 3))
    for i in range(2):
        want[i, i] += 1200 * x[i] ** 2 - 400 * x[i + 1] + 2
        want[i, i + 1] -= 400 * x[i]
        want[i + 1, i] -= 400 * x[i]
        want[i + 1, i + 1] += 200
    np.testing.assert_allclose(gradjit.hessian(f)(x), want)


class Params(NamedTuple):
    w: Any
    b: Any


@dataclass
class Net:
    layers: list[Params]
    scale: float
    kind: str = "tanh"


def test_gradients_come_in_the_container_of_the_argument() -> None:
    def f(net: Net, x: Any) -> Any:
        for layer in net.layers:
            x = np.tanh(layer.w * x + layer.b)
        return net.scale * np.sum(x)

    net = Net([Params(X, 0.5), Params(Y, np.array(0.25))], 2.0)
    grad = gradjit.grad(f)(net, X)
    assert type(grad) is Net
    assert [type(p) for p in grad.layers] == [Params, Params]
    assert grad.kind == "tanh"
    assert type(grad.scale) is float
    assert type(grad.layers[0].b) is float
    assert type(grad.layers[1].b) is np.ndarray
    assert grad.layers[1].b.shape == ()
    assert grad.layers[0].w.shape == X.shape
    step = 1e-6
    more = f(Net([Params(X, 0.5 + step), net.layers[1]], 2.0), X)
    less = f(Net([Params(X, 0.5 - step), net.layers[1]], 2.0), X)
    assert grad.layers[0].b == pytest.approx((more - less) / (2 * step), rel=1e-7)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_kinds_of_leaves(dtype: Any) -> None:
    f = gradjit.grad(lambda x: np.sum(x * x))
    array = f(X.astype(dtype))
    assert array.dtype == dtype
    zero = f(np.array(3.0, dtype))
    assert type(zero) is np.ndarray
    assert (zero.shape, zero.dtype) == ((), dtype)
    scalar = f(dtype(3.0))
    assert type(scalar) is dtype
    assert scalar == 6.0


def test_an_unused_argument_has_a_zero_gradient() -> None:
    dx, dy = gradjit.grad(lambda x, y: np.sum(x), (0, 1))(X, Y)
    np.testing.assert_array_equal(dx, np.ones(4))
    np.testing.assert_array_equal(dy, np.zeros(4))


def test_a_constant_function_has_a_zero_gradient() -> None:
    assert gradjit.value_and_grad(lambda x: 3.0)(2.0) == (3.0, 0.0)


def test_gradients_do_not_share_memory() -> None:
    dx, dy = gradjit.grad(lambda x, y: np.sum(x + y), (0, 1))(X, Y)
    assert not np.shares_memory(dx, dy)
    _, pullback = gradjit.vjp(lambda x: x, X)
    cotangent = np.ones(4)
    (dx,) = pullback(cotangent)
    assert not np.shares_memory(dx, cotangent)


def test_stop_gradient() -> None:
    def f(x: Any) -> Any:
        return np.sum(x * gradjit.stop_gradient(x * x))

    np.testing.assert_allclose(gradjit.grad(f)(X), X * X)


class TestRefusals:
    def test_an_integer(self) -> None:
        with pytest.raises(DtypeError) as caught:
            gradjit.grad(lambda x: x * x)(3)
        assert str(caught.value) == (
            "grad of <lambda> with respect to x, which is int64: only floats have a "
            "derivative\n"
            "  Pass a float (x as 1.0 and not 1), or leave it out of argnums."
        )

    def test_an_integer_inside_of_a_container(self) -> None:
        with pytest.raises(DtypeError, match=r"with respect to p\['n'\], which is int"):
            gradjit.grad(lambda p: p["w"] * p["n"])({"w": 2.0, "n": 3})

    def test_an_argument_without_floats(self) -> None:
        with pytest.raises(DtypeError, match="argument 1 of <lambda> has no float"):
            gradjit.grad(lambda x, name: x * x, 1)(2.0, "relu")

    def test_argnums_out_of_range(self) -> None:
        with pytest.raises(
            GradjitError, match="argnums has 2, and <lambda> was called"
        ):
            gradjit.grad(lambda x: x, 2)(1.0)

    def test_an_array_result(self) -> None:
        with pytest.raises(ShapeError, match="returned an array float64") as caught:
            gradjit.grad(lambda x: x * x)(X)
        assert "jacobian" in str(caught.value)

    def test_a_tuple_result(self) -> None:
        with pytest.raises(ShapeError, match="returned a tuple of 2"):
            gradjit.grad(lambda x: (x, x))(1.0)

    def test_an_integer_result(self) -> None:
        with pytest.raises(
            DtypeError, match="needs a float result; <lambda> returned int"
        ):
            gradjit.grad(lambda x: np.argmax(x))(X)

    def test_a_cotangent_of_another_shape(self) -> None:
        _, pullback = gradjit.vjp(lambda x: x * x, X)
        with pytest.raises(ShapeError, match="cotangent"):
            pullback(np.ones(3))
        with pytest.raises(ShapeError, match="cotangent"):
            pullback(np.ones((4, 4)))

    def test_a_tangent_of_another_shape(self) -> None:
        with pytest.raises(ShapeError, match="tangent"):
            gradjit.jvp(lambda x: x * x, (X,), (np.ones(3),))
        with pytest.raises(ShapeError, match="tangent"):
            gradjit.jvp(lambda x: x * x, (X,), (np.ones(1),))

    def test_complex_numbers(self) -> None:
        with pytest.raises(DtypeError, match="complex"):
            gradjit.grad(lambda x: x * x)(1j)
        with pytest.raises(DtypeError, match="complex128 arrays are not supported"):
            gradjit.grad(lambda x: x * x)(np.ones(2, complex))
