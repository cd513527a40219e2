"""Elementwise records: meaning, types, slopes, and the text that is emitted."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numba
import numpy as np
import pytest

from gradjit.errors import DtypeError
from gradjit.ir.op import Op, all_ops, lookup
from gradjit.ir.types import (
    BOOL,
    FLOAT,
    FLOAT32,
    FLOAT64,
    INT,
    INT64,
    ArrayType,
    ScalarType,
    promote,
)
from gradjit.ops.evaluate import evaluate
from gradjit.ops.sym import elementwise
from gradjit.passes.ad import value_and_grad, vjp
from gradjit.passes.jvp import jvp
from tests.ops.tracing import Traced, numeric_gradient, weights

OPS = [
    op for op in all_ops() if op.kind == "elementwise" and not op.name.startswith("vm.")
]
CALLS = [
    pytest.param(op, params, id="-".join([op.name, *map(str, params.values())]))
    for op in OPS
    for _, params in (op.samples or (((), {}),))
]
SMOOTH = [c for c in CALLS if not c.values[0].flat and c.values[0].name != "cast"]  # type: ignore[union-attr]
FLOATS = [c for c in CALLS if c.values[0].dtypes == "float"]  # type: ignore[union-attr]
BITS = {"bitand", "bitor", "bitxor", "invert", "shl", "shr"}
TRUTHS = {"logical_and", "logical_or", "logical_xor", "logical_not"}


def samples(op: Op, count: int = 7) -> list[Any]:
    """Argument arrays inside of the op's domain."""
    rng = np.random.default_rng(len(op.name))
    columns = [rng.uniform(low, high, count) for low, high in op.domain]
    if op.name in BITS:
        return [c.astype(np.int64) for c in columns]
    if op.name in TRUTHS:
        return [c > 0.5 for c in columns]
    if op.name == "where":
        return [columns[0] > 0.5, *columns[1:]]
    return columns


def emit(op: Op, params: Any) -> Callable[..., Any]:
    """The call of an op on symbols."""
    return lambda *args: elementwise(op, *args, **params)


# ------------------------------------------------------------------ meaning and type


@pytest.mark.parametrize(("op", "params"), CALLS)
def test_type_rule_says_what_comes_out(op: Op, params: Any) -> None:
    args = samples(op)
    traced = Traced(emit(op, params), tuple(args), {})
    (got,), (type_,) = traced(), traced.types
    with np.errstate(all="ignore"):
        want = op.evaluate(*args, **params)  # type: ignore[misc]
    np.testing.assert_array_equal(got, want)
    assert type_ == ArrayType(np.asarray(want).dtype, (None,))


@pytest.mark.parametrize(("op", "params"), FLOATS)
def test_single_precision_stays(op: Op, params: Any) -> None:
    args = [x.astype(np.float32) for x in samples(op)]
    traced = Traced(emit(op, params), tuple(args), {})
    (got,), (type_,) = traced(), traced.types
    assert type_.dtype == got.dtype == FLOAT32


@pytest.mark.parametrize(
    ("op", "left", "right", "wanted"),
    [
        ("add", FLOAT, INT, FLOAT),
        ("add", INT, INT, INT),
        ("div", INT, INT, FLOAT),
        ("add", ScalarType(FLOAT32), FLOAT, ScalarType(FLOAT32)),
        ("add", ScalarType(INT64), FLOAT, ScalarType(FLOAT64)),
        ("mul", ScalarType(FLOAT32), ScalarType(INT64), ScalarType(FLOAT64)),
        ("lt", FLOAT, INT, ScalarType(BOOL, True)),
        ("lt", ScalarType(FLOAT64), INT, ScalarType(BOOL)),
        ("maximum", FLOAT, INT, FLOAT),
        ("hypot", FLOAT, FLOAT, ScalarType(FLOAT64)),
        ("add", ArrayType(FLOAT32, (None,)), FLOAT, ArrayType(FLOAT32, (None,))),
        (
            "add",
            ArrayType(FLOAT64, (None, 1)),
            ArrayType(FLOAT64, (3,)),
            ArrayType(FLOAT64, (None, 3)),
        ),
    ],
)
def test_promotion(op: str, left: Any, right: Any, wanted: Any) -> None:
    assert lookup(op).infer([left, right], {}) == (wanted,)


def test_promotion_is_that_of_numpy() -> None:
    dtypes = [np.dtype(t) for t in "?bhilBHILfd"]
    for a in dtypes:
        for b in dtypes:
            mixed = promote(ScalarType(a), ScalarType(b))
            assert mixed == ScalarType(np.result_type(a, b))


@pytest.mark.parametrize("sign", ["+", "*", "&", "|", "^", "==", "<"])
def test_operators_on_bools_are_those_of_numpy(sign: str) -> None:
    a, b = np.array([True, True, False]), np.array([True, False, False])
    operate = eval(f"lambda x, y: x {sign} y")
    (got,), want = Traced(operate, (a, b), {})(), operate(a, b)
    np.testing.assert_array_equal(got, want)
    assert got.dtype == want.dtype


def test_bools_are_not_subtracted() -> None:
    a = np.array([True, False])
    with pytest.raises(DtypeError, match="bools cannot be subtracted"):
        Traced(lambda x, y: x - y, (a, a), {})


# ------------------------------------------------------------------------ derivatives


@pytest.mark.parametrize(("op", "params"), SMOOTH)
def test_slopes_against_differences(op: Op, params: Any) -> None:
    if op.why_not:
        assert op.partials is None
        return
    args = samples(op)
    traced = Traced(emit(op, params), tuple(args), {})
    wrt = [k for k, x in enumerate(args) if x.dtype == FLOAT64]
    seed = weights(traced()[0])
    grads = evaluate(vjp(traced.block, wrt), [*args, seed])[1:]

    def scalar(values: Sequence[Any]) -> float:
        return float(np.sum(evaluate(traced.block, values)[0] * seed))

    for k, grad in zip(wrt, grads, strict=True):
        numeric = numeric_gradient(scalar, args, k)
        np.testing.assert_allclose(grad, numeric, rtol=2e-6, atol=1e-7)
    tangents = [weights(x) - 0.1 for x in args if x.dtype == FLOAT64]
    pushed = evaluate(jvp(traced.block, wrt), [*args, *tangents])[1]
    right = sum(np.sum(t * g) for t, g in zip(tangents, grads, strict=True))
    np.testing.assert_allclose(np.sum(pushed * seed), right, rtol=1e-12)


@pytest.mark.parametrize(("op", "params"), SMOOTH)
def test_slopes_keep_single_precision(op: Op, params: Any) -> None:
    if op.why_not:
        return
    args = [x.astype(np.float32) if x.dtype == FLOAT64 else x for x in samples(op)]
    traced = Traced(emit(op, params), tuple(args), {})
    wrt = [k for k, x in enumerate(args) if x.dtype == FLOAT32]
    block = vjp(traced.block, wrt)
    wide = [e.op.name for e in block.eqns for o in e.outs if o.type.dtype == FLOAT64]
    assert not wide


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_record_says_how_it_is_differentiated(op: Op) -> None:
    smooth = op.partials is not None or op.vjp is not None
    assert sum([smooth, bool(op.why_not), op.flat]) == 1
    if op.partials is not None:
        assert len(op.partials) == len(op.domain)
    if op.vjp is not None:
        assert op.linear or op.jvp is not None or op.partials is not None


# --------------------------------------------------------- conventions at kinks (D1)


@pytest.mark.parametrize(
    ("op", "args", "slopes"),
    [
        ("abs", (0.0,), (0.0,)),
        ("sign", (0.0,), (0.0,)),
        ("maximum", (1.5, 1.5), (0.5, 0.5)),
        ("minimum", (1.5, 1.5), (0.5, 0.5)),
        ("pymax", (1.5, 1.5), (0.5, 0.5)),
        ("pymin", (1.5, 1.5), (0.5, 0.5)),
        ("maximum", (2.0, 1.5), (1.0, 0.0)),
        ("floor", (1.5,), (0.0,)),
        ("sqrt", (0.0,), (math.inf,)),
        ("cbrt", (0.0,), (math.inf,)),
        ("hypot", (0.0, 0.0), (math.nan, math.nan)),
        ("pow", (0.0, 2.5), (0.0, 0.0)),
        ("pow", (2.0, 0.0), (0.0, math.log(2.0))),
        ("pow", (0.0, 0.0), (0.0, 0.0)),
        ("pow", (-2.0, 3.0), (12.0, math.nan)),
        ("logaddexp", (-math.inf, 1.0), (0.0, 1.0)),
        ("logaddexp", (-math.inf, -math.inf), (1.0, 1.0)),
        ("copysign", (0.0, -1.0), (0.0, 0.0)),
        ("mod", (-1.5, 2.0), (1.0, 1.0)),
        ("fmod", (-5.0, 2.0), (1.0, 2.0)),
        ("arctan2", (0.0, -1.0), (-1.0, 0.0)),
        ("xlogy", (0.0, 2.0), (math.log(2.0), 0.0)),
    ],
)
def test_kinks(op: str, args: tuple[float, ...], slopes: tuple[float, ...]) -> None:
    inputs = [np.float64(x) for x in args]
    traced = Traced(lambda *x: elementwise(op, *x), inputs, {}, data=np.float64)
    wrt = list(range(len(args)))
    _, *grads = evaluate(value_and_grad(traced.block, wrt), traced.inputs)
    np.testing.assert_allclose(grads, slopes, rtol=1e-14)


# -------------------------------------------------------------------- accuracy


def test_gamma_family_against_scipy() -> None:
    special = pytest.importorskip("scipy.special")
    x = np.concatenate(
        [np.linspace(0.01, 30, 400), [1e-8, 1e3, 1e8], -np.arange(20) - 0.3]
    )
    for name, exact in (
        ("digamma", special.digamma(x)),
        ("trigamma", special.polygamma(1, x)),
    ):
        got = lookup(name).evaluate(x)  # type: ignore[misc]
        assert np.max(np.abs(got - exact) / (1 + np.abs(exact))) < 2e-14, name


# ------------------------------------------------ the text, with and without Numba

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, np.inf, -np.inf, np.nan, 1e300, 1e-300]
# Python's own math functions raise at poles, where NumPy and Numba have inf or nan.
RAISES = {"lgamma", "gamma", "digamma", "trigamma"}


@cache
def texts(arity: int, single: bool) -> tuple[list[tuple[Op, dict[str, Any]]], Any, Any]:
    """All ops of an arity in one function: as Python, and compiled."""
    found: list[tuple[Op, dict[str, Any]]] = []
    space: dict[str, Any] = {"np": np, "math": math}
    lines: list[str] = []
    names = [f"x{k}" for k in range(arity)]
    for call in CALLS:
        op, params = call.values
        skip = BITS | TRUTHS | {"cast", "where"}
        if len(op.domain) != arity or op.name in skip:  # type: ignore[union-attr]
            continue
        assert isinstance(op, Op)
        assert isinstance(params, dict)
        if op.helper:
            exec(op.helper, space)
        text = (op.text32 if single else "") or op.text
        found.append((op, params))
        lines.append(text.format(*names, **params))
    body = ",\n        ".join(lines)
    source = f"def every({', '.join(names)}):\n    return (\n        {body},\n    )\n"
    exec(source, space)
    plain = dict(space)
    for name, value in list(space.items()):
        if callable(value) and name != "every" and hasattr(value, "__code__"):
            space[name] = numba.njit(error_model="numpy")(value)
    exec(source, space)
    compiled = numba.njit(error_model="numpy")(space["every"])
    exec(source, plain)
    return found, plain["every"], compiled


def grid(arity: int, dtype: Any) -> list[tuple[Any, ...]]:
    values = [dtype(v) for v in SPECIAL]
    if arity == 1:
        return [(v,) for v in values]
    return [(a, b) for a in values for b in values]


@pytest.mark.parametrize("single", [False, True], ids=["double", "single"])
@pytest.mark.parametrize("arity", [1, 2])
def test_compiled_text_means_what_the_record_says(arity: int, single: bool) -> None:
    dtype = np.float32 if single else np.float64
    found, _, compiled = texts(arity, single)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for args in grid(arity, dtype):
            for (op, params), got in zip(found, compiled(*args), strict=True):
                if skipped(op.name, args):
                    continue
                want = op.evaluate(*args, **params)  # type: ignore[misc]
                check(op, params, args, got, want, 1e-5 if single else 1e-13)
        (result,) = compiled.nopython_signatures
    for (op, _), type_ in zip(found, result.return_type, strict=True):
        if op.dtypes == "float":
            assert type_ == (numba.float32 if single else numba.float64), op


@pytest.mark.parametrize("arity", [1, 2])
def test_text_as_plain_python(arity: int) -> None:
    found, _, _ = texts(arity, False)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for args in grid(arity, np.float64):
            for op, params in found:
                if op.name in RAISES or skipped(op.name, args):
                    continue
                space: dict[str, Any] = {"np": np, "math": math}
                exec(op.helper, space)
                names = dict(zip(("x0", "x1"), args, strict=False))
                text = op.text.format("x0", "x1", **params)
                got = eval(text, space, names)
                want = op.evaluate(*args, **params)  # type: ignore[misc]
                check(op, params, args, got, want, 1e-14)


def skipped(name: str, args: tuple[Any, ...]) -> bool:
    """NumPy takes x**0.5 as sqrt(x), which differs from pow at -inf."""
    return name == "pow" and args[0] == -np.inf and args[1] == 0.5


def check(op: Op, params: Any, args: Any, got: Any, want: Any, rtol: float) -> None:
    message = f"{op.name}{params or ''}{tuple(map(float, args))}: {got} for {want}"
    same = np.isclose(got, want, rtol=rtol, atol=0.0, equal_nan=True)
    assert same, message
