"""Array, reduction and contraction records, from the samples that they carry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from gradjit.ir.build import current
from gradjit.ir.op import Op, all_ops
from gradjit.ir.types import FLOAT64, dims, is_float
from gradjit.ops.evaluate import evaluate
from gradjit.ops.sym import Sym, apply
from gradjit.passes.ad import vjp
from gradjit.passes.jvp import jvp
from tests.ops.tracing import Traced, numeric_gradient, weights

CALLS = [
    pytest.param(op, args, params, id=f"{op.name}-{k}")
    for op in all_ops()
    if op.kind in ("array", "reduce")
    for k, (args, params) in enumerate(op.samples)
]
SMOOTH = [c for c in CALLS if not c.values[0].flat]  # type: ignore[union-attr]


def trace(op: Op, args: Any, params: Any) -> Traced:
    return Traced(lambda *x: apply(op, *x, **params), args, {})


@pytest.mark.parametrize(("op", "args", "params"), CALLS)
def test_type_and_extents(op: Op, args: Any, params: Any) -> None:
    """The type rule and the extent rule say what comes out."""

    def with_extents(*x: Any) -> Any:
        out = apply(op, *x, **params)
        builder = current()
        return [out, *(Sym(e) for e in builder.extents(out.atom))]

    (got, *extents), types = (t := Traced(with_extents, args, {}))(), t.types
    want = op.evaluate(*args, **params)  # type: ignore[misc]
    np.testing.assert_array_equal(got, want)
    assert types[0].dtype == np.asarray(want).dtype
    assert len(dims(types[0])) == np.ndim(want)
    assert tuple(map(int, extents)) == np.shape(want)
    for known, extent in zip(dims(types[0]), np.shape(want), strict=True):
        assert known in (None, extent)


@pytest.mark.parametrize(("op", "args", "params"), SMOOTH)
def test_reverse_against_differences_and_forward(
    op: Op, args: Any, params: Any
) -> None:
    traced = trace(op, args, params)
    block, inputs = traced.block, traced.inputs
    wrt = [k for k, p in enumerate(block.params) if is_float(p.type)]
    seed = weights(traced()[0])
    grads = evaluate(vjp(block, wrt), [*inputs, seed])[1:]

    def scalar(values: Sequence[Any]) -> float:
        return float(np.sum(evaluate(block, values)[0] * seed))

    ties = op.name in ("reduce_max", "reduce_min") and params == {"axes": (1,)}
    for k, grad in zip(wrt, grads, strict=True):
        if not ties:
            numeric = numeric_gradient(scalar, inputs, k)
            np.testing.assert_allclose(grad, numeric, rtol=1e-6, atol=1e-8)
    tangents = [weights(inputs[k]) - 0.1 for k in wrt]
    pushed = evaluate(jvp(block, wrt), [*inputs, *tangents])[1]
    right = sum(np.sum(t * g) for t, g in zip(tangents, grads, strict=True))
    np.testing.assert_allclose(np.sum(pushed * seed), right, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("op", "args", "params"), SMOOTH)
def test_second_order(op: Op, args: Any, params: Any) -> None:
    """Derivatives of the rules, with cubes in front so that they do not vanish."""

    def cubed(*xs: Any) -> Any:
        floats = [x**3 if isinstance(x, Sym) and x.dtype == FLOAT64 else x for x in xs]
        return apply(op, *floats, **params)

    traced = Traced(cubed, args, {})
    block, inputs = traced.block, list(traced.inputs)
    wrt = [k for k, p in enumerate(block.params) if is_float(p.type)]
    inputs.append(weights(traced()[0]))
    once = vjp(block, wrt)
    tangents = [weights(inputs[k]) for k in wrt]
    hessian_v = evaluate(jvp(once, wrt), [*inputs, *tangents])[len(once.results) + 1 :]
    ends = []
    for h in (1e-5, -1e-5):
        moved = list(inputs)
        for k, t in zip(wrt, tangents, strict=True):
            moved[k] = moved[k] + h * t
        ends.append(evaluate(once, moved)[1:])
    if op.name in ("reduce_max", "reduce_min"):
        return  # where ties are shared, differences say nothing
    for got, up, down in zip(hessian_v, *ends, strict=True):
        np.testing.assert_allclose(got, (up - down) / 2e-5, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("op", ["reduce_max", "reduce_min"])
def test_ties_share_equally(op: str) -> None:
    x = np.array([[1.0, 1.0, 1.0, 1.0], [0.0, 2.0, 0.0, 2.0]])
    traced = Traced(lambda v: apply(op, v, axes=(1,)), (x,), {})
    (grad,) = evaluate(vjp(traced.block, [0]), [x, np.ones(2)])[1:]
    np.testing.assert_array_equal(grad, [[0.25] * 4, (0.5 * (x[1] == traced()[0][1]))])


@pytest.mark.parametrize(
    ("x", "wanted"),
    [
        ([2.0, 3.0, 4.0], [12.0, 8.0, 6.0]),
        ([2.0, 0.0, 4.0], [0.0, 8.0, 0.0]),
        ([2.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
        ([], []),
        ([5.0], [1.0]),
    ],
)
def test_slope_of_a_product_with_zeros(x: list[float], wanted: list[float]) -> None:
    array = np.array(x)
    traced = Traced(lambda v: apply("reduce_prod", v, axes=(0,)), (array,), {})
    (grad,) = evaluate(vjp(traced.block, [0]), [array, np.float64(1.0)])[1:]
    np.testing.assert_array_equal(grad, wanted)


def test_second_order_of_a_product_with_zeros() -> None:
    x = np.array([2.0, 0.0, 4.0])
    traced = Traced(lambda v: apply("reduce_prod", v, axes=(0,)), (x,), {})
    once = vjp(traced.block, [0])
    rows = [evaluate(jvp(once, [0]), [x, np.float64(1.0), e])[-1] for e in np.eye(3)]
    np.testing.assert_array_equal(rows, [[0, 4, 0], [4, 0, 2], [0, 2, 0]])


@pytest.mark.parametrize(
    "op", [o for o in all_ops() if o.kind in ("array", "reduce")], ids=lambda o: o.name
)
def test_record_is_complete(op: Op) -> None:
    assert op.doc.endswith(".")
    assert op.infer is not None
    assert op.vjp is not None or op.flat or op.why_not
    if op.vjp is not None:
        assert op.linear or op.jvp is not None
