"""Every function of the surface: value, type and gradient of its sample calls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradjit.ir.types import ScalarType, dims, is_float
from gradjit.ops.evaluate import evaluate
from gradjit.ops.surface import Function, surface_functions
from gradjit.passes.ad import value_and_grad, vjp
from gradjit.passes.jvp import jvp
from tests.ops.tracing import Traced, flat, numeric_gradient, weights

CALLS = [
    pytest.param(f, args, kwargs, id=f"{f.name}-{k}")
    for f in surface_functions()
    for k, (args, kwargs) in enumerate(f.samples)
]

# Python's own numbers are double.
NUMPY = [c for c in CALLS if c.values[0].name.startswith("np.")]  # type: ignore[union-attr]


def reference(function: Function, args: Any, kwargs: Any) -> list[Any]:
    """What NumPy, math or Python answer."""
    if function.targets:
        return flat(function.targets[0](*args, **kwargs))
    return flat(getattr(args[0], function.method)(*args[1:], **kwargs))


def float32(x: Any) -> Any:
    """Float arrays in single precision."""
    if isinstance(x, tuple | list):
        return type(x)(float32(item) for item in x)
    if isinstance(x, dict):
        return {k: float32(item) for k, item in x.items()}
    if isinstance(x, np.ndarray) and x.dtype == np.float64:
        return x.astype(np.float32)
    return x


@pytest.mark.parametrize("exact", [False, True], ids=["unknown", "known"])
@pytest.mark.parametrize(("function", "args", "kwargs"), CALLS)
def test_value_and_type(
    function: Function, args: Any, kwargs: Any, exact: bool
) -> None:
    wanted = reference(function, args, kwargs)
    traced = Traced(function, args, kwargs, exact)
    got = traced()
    assert len(got) == len(wanted)
    for value, type_, want in zip(got, traced.types, wanted, strict=True):
        assert type_.dtype == np.asarray(want).dtype
        assert len(dims(type_)) == np.ndim(want)
        for extent, known in zip(np.shape(want), dims(type_), strict=True):
            assert known in (None, extent)
        if isinstance(type_, ScalarType):
            assert type_.weak == (not isinstance(want, np.generic | np.ndarray))
        np.testing.assert_allclose(value, want, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("function", "args", "kwargs"), NUMPY)
def test_single_precision(function: Function, args: Any, kwargs: Any) -> None:
    args, kwargs = float32(args), float32(kwargs)
    wanted = reference(function, args, kwargs)
    traced = Traced(function, args, kwargs)
    for value, type_, want in zip(traced(), traced.types, wanted, strict=True):
        assert type_.dtype == np.asarray(want).dtype
        np.testing.assert_allclose(value, want, rtol=2e-5, atol=2e-5)


_TRIGAMMA = ("scipy.special.polygamma", "(1,)")


@pytest.mark.parametrize(("function", "args", "kwargs"), CALLS)
def test_gradient(function: Function, args: Any, kwargs: Any) -> None:
    traced = Traced(function, args, kwargs)
    block = traced.block
    wrt = [k for k, p in enumerate(block.params) if is_float(p.type)]
    floats = [k for k, r in enumerate(block.results) if is_float(r.type)]
    if not wrt or not floats or (function.name, str(args[:1])) == _TRIGAMMA:
        return
    if any(block.results[k].type.dtype == np.float32 for k in floats):
        return
    seeds = [weights(traced()[k]) for k in floats]
    pulled = evaluate(vjp(block, wrt), [*traced.inputs, *seeds])[len(block.results) :]

    def scalar(values: Any) -> float:
        outs = evaluate(block, values)
        return float(
            sum(np.sum(outs[k] * s) for k, s in zip(floats, seeds, strict=True))
        )

    for grad, k in zip(pulled, wrt, strict=True):
        numeric = numeric_gradient(scalar, traced.inputs, k)
        np.testing.assert_allclose(grad, numeric, rtol=1e-6, atol=1e-7)

    # Forward mode agrees with reverse mode to rounding.
    tangents = [weights(traced.inputs[k]) - 0.2 for k in wrt]
    outs = evaluate(jvp(block, wrt), [*traced.inputs, *tangents])
    pushed = outs[len(block.results) :]
    left = sum(np.sum(t * s) for t, s in zip(pushed, seeds, strict=True))
    right = sum(np.sum(t * g) for t, g in zip(tangents, pulled, strict=True))
    np.testing.assert_allclose(left, right, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("function", "args", "kwargs"), CALLS)
def test_second_order(function: Function, args: Any, kwargs: Any) -> None:
    traced = Traced(function, args, kwargs)
    block = traced.block
    wrt = [k for k, p in enumerate(block.params) if is_float(p.type)]
    floats = [k for k, r in enumerate(block.results) if is_float(r.type)]
    if not wrt or not floats or function.name in _ONCE:
        return
    count = len(block.results)
    seeds = [weights(traced()[k]) for k in floats]
    once = vjp(block, wrt)
    tangents = [weights(traced.inputs[k]) for k in wrt]
    inputs = [*traced.inputs, *seeds]
    twice = evaluate(jvp(once, wrt), [*inputs, *tangents])
    hessian_v = twice[len(once.results) + len(floats) :]

    def gradient(h: float) -> list[Any]:
        moved = list(inputs)
        for k, t in zip(wrt, tangents, strict=True):
            moved[k] = moved[k] + h * t
        return evaluate(once, moved)[count:]

    for got, up, down in zip(hessian_v, gradient(1e-5), gradient(-1e-5), strict=True):
        numeric = (np.asarray(up) - np.asarray(down)) / 2e-5
        np.testing.assert_allclose(got, numeric, rtol=1e-5, atol=1e-6)


# Not differentiable twice: trigamma has no derivative.
_ONCE = {"scipy.special.polygamma", "scipy.special.digamma"}


def test_gradient_of_a_sum_is_ones() -> None:
    (sum_,) = [f for f in surface_functions() if f.name == "np.sum"]
    traced = Traced(sum_, (np.arange(6.0).reshape(2, 3),), {})
    value, grad = evaluate(value_and_grad(traced.block, [0]), traced.inputs)
    assert value == 15.0
    np.testing.assert_array_equal(grad, np.ones((2, 3)))
