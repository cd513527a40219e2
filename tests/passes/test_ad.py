"""Reverse and forward mode on graphs, against finite differences of the graph.

The graphs run in the reference interpreter: nothing here depends on the tracer or on
generated code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from gradjit.ir.build import Builder, index
from gradjit.ir.graph import Block, Graph, Value, walk
from gradjit.ir.types import FLOAT64, INDEX, ArrayType, ScalarType
from gradjit.ir.verify import verify
from gradjit.ops import array
from gradjit.ops.evaluate import evaluate
from gradjit.ops.sym import Sym, apply, elementwise, lift
from gradjit.passes.ad import value_and_grad, vjp
from gradjit.passes.jvp import jvp

F = ScalarType(FLOAT64)
V = ArrayType(FLOAT64, (None,))
M = ArrayType(FLOAT64, (None, None))


def build(fn: Callable[..., Any], types: Sequence[Any]) -> Block:
    """The block of a function of symbols."""
    b = Builder()
    params = [Value(t, f"x{k}") for k, t in enumerate(types)]
    with b.active():
        b.open(params)
        out = fn(*(Sym(p) for p in params))
        out = out if isinstance(out, tuple) else (out,)
        return b.close([lift(o) for o in out])


def loop(
    stop: Any, inits: Sequence[Any], body: Callable[..., Sequence[Any]], **span: Any
) -> tuple[Any, ...]:
    """A `for_` over range(start, stop, step) written on symbols."""
    from gradjit.ir.build import current

    b = current()
    atoms = [lift(x) for x in inits]
    at = Value(INDEX, "i")
    params = [Value(a.type, f"c{k}") for k, a in enumerate(atoms)]
    start, step = index(span.get("start", 0)), index(span.get("step", 1))
    b.open((at, *params))
    b.facts.index_range(at, start, lift(stop), step)
    results = body(Sym(at), *(Sym(p) for p in params))
    block = b.close([lift(r) for r in results])
    outs = b.emit(
        "for_",
        start,
        lift(stop),
        step,
        *atoms,
        regions=(block,),
        exits=span.get("exits", False),
    )
    return tuple(Sym(o) for o in outs)


def while_loop(
    inits: Sequence[Any], cond: Callable[..., Any], body: Callable[..., Any]
) -> tuple[Any, ...]:
    from gradjit.ir.build import current

    b = current()
    atoms = [lift(x) for x in inits]
    blocks = []
    for fn in (lambda *c: [cond(*c)], body):
        params = [Value(a.type, f"c{k}") for k, a in enumerate(atoms)]
        b.open(params)
        results = fn(*(Sym(p) for p in params))
        blocks.append(b.close([lift(r) for r in results]))
    outs = b.emit("while_", *atoms, regions=tuple(blocks))
    return tuple(Sym(o) for o in outs)


def branch(pred: Any, then: Any, orelse: Any) -> tuple[Any, ...]:
    from gradjit.ir.build import current

    b = current()
    blocks = []
    for fn in (then, orelse):
        b.open(())
        blocks.append(b.close([lift(r) for r in fn()]))
    return tuple(Sym(o) for o in b.emit("if_", lift(pred), regions=tuple(blocks)))


def at(x: Any, *ints: Any) -> Any:
    return array.take(x, *ints, spec="i" * len(ints), checked=False)


def put(x: Any, v: Any, *ints: Any) -> Any:
    return array.store(x, v, *ints, spec="i" * len(ints), checked=False)


# ------------------------------------------------------------------- programs


def powers(x: Any, n: Any) -> Any:
    (s,) = loop(n, [x], lambda i, s: [s * s * 0.5 + x])
    return s


def ragged(x: Any, w: Any) -> Any:
    n = x.shape[0]

    def row(i: Any, total: Any) -> Any:
        (s,) = loop(i + 1, [Sym(lift(0.0))], lambda j, s: [s + at(x, j) * at(w, i)])
        return [total + s * s * s]

    (out,) = loop(n, [Sym(lift(0.0))], row)
    return out


def in_place(x: Any) -> Any:
    n = x.shape[0]

    def step(i: Any, a: Any) -> Any:
        def cell(j: Any, a: Any) -> Any:
            v = at(a, j) * at(a, j - 1) + at(a, j)
            return [put(a, v, j)]

        return loop(n, [a], cell, start=1)

    (a,) = loop(3, [x], step)
    return apply("reduce_sum", a * a, axes=(0,))


def newton(x: Any) -> Any:
    y, _ = while_loop(
        [x, Sym(lift(1.0))],
        lambda y, step: abs(step) > 1e-13,
        lambda y, step: [y - 0.5 * (y - x / y), 0.5 * (y - x / y)],
    )
    return y


def nested_while(x: Any, w: Any) -> Any:
    def row(i: Any, total: Any) -> Any:
        v, _ = while_loop(
            [at(x, i), Sym(lift(0))],
            lambda v, k: k < i + 2,
            lambda v, k: [v * at(w, i) + v * v * 0.1 + 0.5, k + 1],
        )
        return [total + v * v * at(x, i)]

    (out,) = loop(x.shape[0], [Sym(lift(0.0))], row)
    return out


def branches(x: Any, y: Any) -> Any:
    (u,) = branch(
        x > 0.5, lambda: [x * x * y], lambda: [elementwise("sub", x, y * y * y)]
    )
    return u * u


def branch_in_loop(x: Any) -> Any:
    def step(i: Any, s: Any, a: Any) -> Any:
        v = at(x, i)

        def high() -> Any:
            q = v * v / (v + 3.0)
            return [s + q * q, put(a, q * s, i)]

        return branch(v > 0.3, high, lambda: [s * v, a])

    s, a = loop(x.shape[0], [Sym(lift(1.0)), x], step)
    return s + apply("reduce_sum", a * a * x, axes=(0,))


def matvec_steps(m: Any, h: Any) -> Any:
    def step(i: Any, h: Any) -> Any:
        mh = apply("contract", m, h, a="ij", b="j", out="i")
        return [mh / (1.0 + mh * mh)]

    (h,) = loop(4, [h], step)
    return apply("reduce_sum", h * h, axes=(0,))


def early_exit(x: Any, level: Any) -> Any:
    def step(i: Any, done: Any, s: Any) -> Any:
        s = s + at(x, i) * at(x, i) * s * 0.1
        return [s > level, s]

    _, s = loop(x.shape[0], [Sym(lift(False)), Sym(lift(1.0))], step, exits=True)
    return s * s


def backwards(x: Any) -> Any:
    (s,) = loop(
        -1, [Sym(lift(1.0))], lambda i, s: [s * at(x, i) + 0.3], start=4, step=-2
    )
    return s * s


def slices(x: Any) -> Any:
    n = x.shape[0]

    def step(i: Any, a: Any) -> Any:
        part = array.take(a, 0, i + 1, 1, spec="s", checked=False)
        dot = apply("reduce_sum", part * part, axes=(0,))
        return [put(a, dot + at(x, i), i)]

    (a,) = loop(n, [x], step)
    return apply("reduce_sum", a, axes=(0,)) / 100.0


def swap(x: Any) -> Any:
    a, b = loop(3, [x, x * 2.0], lambda i, a, b: [b * a, a])
    return apply("reduce_sum", a + b * b, axes=(0,))


RNG = np.random.default_rng(7)
PROGRAMS: dict[str, tuple[Any, list[Any], list[Any], list[int]]] = {
    "powers": (powers, [F, INDEX], [0.7, 5], [0]),
    "powers_0": (powers, [F, INDEX], [0.7, 0], [0]),
    "ragged": (ragged, [V, V], [RNG.normal(size=4), RNG.normal(size=4)], [0, 1]),
    "in_place": (in_place, [V], [RNG.normal(size=5)], [0]),
    "newton": (newton, [F], [7.3], [0]),
    "nested_while": (
        nested_while,
        [V, V],
        [RNG.uniform(0.5, 1, 4), RNG.uniform(0.5, 1, 4)],
        [0, 1],
    ),
    "branch_then": (branches, [F, F], [0.8, 1.2], [0, 1]),
    "branch_else": (branches, [F, F], [0.2, 1.2], [0, 1]),
    "branch_in_loop": (branch_in_loop, [V], [np.array([0.9, 0.1, -0.4, 0.7])], [0]),
    "matvec": (
        matvec_steps,
        [M, V],
        [RNG.normal(size=(3, 3)), RNG.normal(size=3)],
        [0, 1],
    ),
    "early_exit": (early_exit, [V, F], [RNG.uniform(1, 2, 9), 1.9], [0]),
    "early_exit_none": (early_exit, [V, F], [RNG.uniform(1, 2, 3), 99.0], [0]),
    "backwards": (backwards, [V], [RNG.normal(size=5)], [0]),
    "slices": (slices, [V], [RNG.normal(size=4)], [0]),
    "swap": (swap, [V], [RNG.normal(size=3)], [0]),
}


def differences(block: Block, args: list[Any], k: int) -> Any:
    """Central differences of the first result, to fourth order."""

    def value(shift: Any) -> float:
        moved = list(args)
        moved[k] = args[k] + shift
        return float(evaluate(block, moved)[0])

    def slope(unit: Any) -> float:
        h = 1e-3
        near = value(h * unit) - value(-h * unit)
        far = value(2 * h * unit) - value(-2 * h * unit)
        return (8 * near - far) / (12 * h)

    x = np.asarray(args[k], dtype=float)
    out = np.empty_like(x)
    for where in np.ndindex(*x.shape):
        unit = np.zeros_like(x)
        unit[where] = 1.0
        out[where] = slope(unit if x.shape else 1.0)
    return out


@pytest.mark.parametrize("name", PROGRAMS)
def test_reverse_mode_agrees_with_differences(name: str) -> None:
    fn, types, args, wrt = PROGRAMS[name]
    block = build(fn, types)
    verify(Graph(name, block))
    joint = value_and_grad(block, wrt)
    verify(Graph(name, joint))
    value, *grads = evaluate(joint, args)
    np.testing.assert_allclose(value, evaluate(block, args)[0], rtol=1e-14)
    for k, grad in zip(wrt, grads, strict=True):
        want = differences(block, args, k)
        assert np.shape(grad) == want.shape
        np.testing.assert_allclose(grad, want, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", PROGRAMS)
def test_forward_mode_agrees_with_reverse_mode(name: str) -> None:
    fn, types, args, wrt = PROGRAMS[name]
    block = build(fn, types)
    _, *grads = evaluate(value_and_grad(block, wrt), args)
    rng = np.random.default_rng(3)
    tangents = [rng.normal(size=np.shape(args[k])) for k in wrt]
    forward = jvp(block, wrt)
    verify(Graph(name, forward))
    _, slope = evaluate(forward, [*args, *tangents])
    want = sum(np.sum(g * t) for g, t in zip(grads, tangents, strict=True))
    np.testing.assert_allclose(slope, want, rtol=1e-10)


@pytest.mark.parametrize("name", PROGRAMS)
def test_second_order_agrees_with_differences_of_the_gradient(name: str) -> None:
    fn, types, args, wrt = PROGRAMS[name]
    joint = value_and_grad(build(fn, types), wrt[:1])
    inner = Block(joint.params, joint.eqns, joint.results[1:])
    twice = vjp(inner, wrt[:1])
    verify(Graph(name, twice))
    k = wrt[0]
    rng = np.random.default_rng(5)
    v = rng.normal(size=np.shape(args[k]))
    _, product = evaluate(twice, [*args, v])
    h = 1e-4

    def gradient(shift: float) -> Any:
        moved = list(args)
        moved[k] = args[k] + shift * v
        return np.asarray(evaluate(inner, moved)[0])

    near, far = gradient(h) - gradient(-h), gradient(2 * h) - gradient(-2 * h)
    want = (8 * near - far) / (12 * h)
    np.testing.assert_allclose(product, want, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", PROGRAMS)
def test_forward_over_reverse_agrees_with_reverse_over_reverse(name: str) -> None:
    fn, types, args, wrt = PROGRAMS[name]
    joint = value_and_grad(build(fn, types), wrt[:1])
    inner = Block(joint.params, joint.eqns, joint.results[1:])
    v = np.random.default_rng(5).normal(size=np.shape(args[wrt[0]]))
    _, over = evaluate(vjp(inner, wrt[:1]), [*args, v])
    _, along = evaluate(jvp(inner, wrt[:1]), [*args, v])
    np.testing.assert_allclose(along, over, rtol=1e-9, atol=1e-11)


def test_array_that_passes_a_branch_costs_nothing_an_iteration() -> None:
    """The cotangent of an array that a branch may write into is never added or made."""
    joint = value_and_grad(build(branch_in_loop, [V]), [0])
    loops = [e for e in joint.eqns if e.op.name == "for_"]
    assert len(loops) == 2
    for eqn in walk(Block((), tuple(loops), ())):
        made = [o for o in eqn.outs if isinstance(o.type, ArrayType)]
        assert not made or eqn.op.name in ("for_", "if_", "store", "add_at")
