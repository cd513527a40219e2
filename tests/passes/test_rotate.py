"""Scalars in place of loads, against the reference interpreter and emitted Python."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from gradjit.ir.graph import Const, Graph, Value, walk
from gradjit.ir.types import FLOAT32, FLOAT64, INDEX, INT64, ArrayType, ScalarType
from gradjit.ir.verify import verify
from gradjit.ops.evaluate import evaluate
from gradjit.passes.dce import eliminate
from gradjit.passes.place import place
from gradjit.passes.placed import verify_placed
from gradjit.passes.rotate import rotate
from gradjit.passes.settle import settle
from tests.codegen.build import FLOAT, Program, matrix, run, vector

Body = Callable[..., Sequence[Any]]


def program(
    write_body: Callable[[Program, Value, Value], Any],
    bounds: tuple[Any, Any, int] | None = None,
    dtype: Any = FLOAT64,
) -> Graph:
    """A loop over x that carries it; `write_body(p, i, x)` gives its last version."""
    x = Value(ArrayType(dtype, (None,)), "x")
    lo, hi = Value(INDEX, "lo"), Value(INDEX, "hi")
    p = Program(x, lo, hi)
    start, stop, step = bounds or (lo, hi, 1)
    span = [{"lo": lo, "hi": hi}.get(b, b) for b in (start, stop)]
    out = p.loop((*span, step), [x], "x", lambda i, x: [write_body(p, i, x)])
    return p.graph(out)


def count(graph: Graph, name: str) -> int:
    """The equations of an op in the bodies of loops."""
    loops = [e for e in walk(graph.block) if e.op.name == "for_"]
    return sum(e.op.name == name for e in loops[-1].regions[0].eqns)


def changed(graph: Graph) -> Graph:
    """The graph after both passes, valid."""
    verify(graph, "program")
    out = eliminate(rotate(settle(graph)))
    verify(out, "program")
    return out


def same(before: Graph, after: Graph, *args: Any) -> None:
    """Both graphs, and the emitted Python of the second one, give the same bits."""
    expected = evaluate(before, [np.copy(a) if np.ndim(a) else a for a in args])
    got = evaluate(after, [np.copy(a) if np.ndim(a) else a for a in args])
    placed = place(after)
    verify_placed(placed)
    emitted = run(placed, *(np.copy(a) if np.ndim(a) else a for a in args))
    emitted = emitted if isinstance(emitted, tuple) else (emitted,)
    for e, g, t in zip(expected, got, emitted, strict=True):
        np.testing.assert_array_equal(g, e)
        np.testing.assert_array_equal(t, e)


def at(p: Program, i: Value, offset: int) -> Any:
    return p("add", i, offset)


def forward(p: Program, i: Value, x: Value) -> Any:
    """x[i] = 0.5 * x[i - 1] + x[i]"""
    left = p.load(x, at(p, i, -1))
    new = p("add", p("mul", left, 0.5), p.load(x, i))
    return p.write("store", x, new, i)


def backward(p: Program, i: Value, x: Value) -> Any:
    """The adjoint of `forward`, for an index that runs down."""
    t = p.load(x, i)
    x = p.write("store", x, 0.0, i)
    x = p.write("add_at", x, p("mul", t, 0.5), at(p, i, -1))
    return p.write("add_at", x, t, i)


# ------------------------------------------------------------------ what it does


def test_forward_sweep_keeps_the_last_element() -> None:
    before = program(forward)
    after = changed(before)
    assert count(before, "index") == 2
    assert count(after, "index") == 1
    assert count(after, "store") == 1
    for lo, hi in ((1, 9), (1, 2), (1, 1), (3, 1), (0, 9)):
        same(before, after, np.arange(1.0, 10.0), lo, hi)


def test_a_loop_that_does_not_run_reads_nothing() -> None:
    before = program(forward)
    same(before, changed(before), np.zeros(0), 1, 1)
    same(before, changed(before), np.zeros(0), 7, 7)
    down = program(backward, ("hi", "lo", -1))
    same(down, changed(down), np.zeros(0), 0, 0)
    same(down, changed(down), np.zeros(0), 9, 4)


def test_backward_sweep_has_one_store_for_zero_and_sum() -> None:
    before = program(backward, ("hi", 0, -1))
    after = changed(before)
    assert count(after, "store") == 2
    assert count(after, "add_at") == 0
    assert count(after, "index") == 1
    for hi in (8, 3, 1, 0):
        same(before, after, np.arange(1.0, 10.0), 0, hi)


def test_a_bound_that_says_that_the_loop_runs_needs_no_branch() -> None:
    before = program(forward, (1, 5, 1))
    after = changed(before)
    assert all(e.op.name != "if_" for e in walk(after.block))
    same(before, after, np.arange(1.0, 7.0), 0, 0)


@pytest.mark.parametrize("step", [1, 2, 3, -1, -2])
def test_steps(step: int) -> None:
    def body(p: Program, i: Value, x: Value) -> Any:
        old = p.load(x, at(p, i, -step))
        return p.write("store", x, p("mul", old, 1.5), i)

    before = program(body, ("lo", "hi", step))
    after = changed(before)
    assert count(after, "index") == 0
    spans = ((4, 9), (4, 5), (4, 4)) if step > 0 else ((7, 2), (7, 6), (7, 7))
    for lo, hi in spans:
        same(before, after, np.arange(1.0, 12.0), lo, hi)


def test_an_accumulator_stays_in_a_scalar() -> None:
    def body(p: Program, i: Value, x: Value) -> Any:
        return p.write("add_at", x, p("cast", i, dtype=FLOAT.dtype), 2)

    before = program(body)
    after = changed(before)
    assert count(after, "index") == 0
    same(before, after, np.ones(4), 0, 6)


def test_rows_of_a_matrix() -> None:
    x, n, m = matrix("x"), Value(INDEX, "n"), Value(INDEX, "m")
    p = Program(x, n, m)

    def inner(i: Value, j: Value, x: Value) -> list[Any]:
        up = p.load(x, at(p, i, -1), j)
        left = p.load(x, i, at(p, j, -1))
        right = p.load(x, i, at(p, j, 1))
        total = p("add", p("add", up, left), p("add", right, p.load(x, i, j)))
        return [p.write("store", x, p("mul", total, 0.25), i, j)]

    def outer(i: Value, x: Value) -> list[Any]:
        return [p.loop((1, m, 1), [x], "x", lambda j, x: inner(i, j, x))]

    before = p.graph(p.loop((1, n, 1), [x], "x", outer))
    after = changed(before)
    assert count(before, "index") - count(after, "index") == 1
    same(before, after, np.random.default_rng(0).random((5, 6)), 5, 5)
    same(before, after, np.random.default_rng(0).random((5, 6)), 5, 1)


def test_two_arrays_that_become_one_start_as_two() -> None:
    x, y, n = vector("x"), vector("y"), Value(INDEX, "n")
    p = Program(x, y, n)

    def body(i: Value, x: Value, y: Value) -> list[Any]:
        both = p("add", p.load(x, at(p, i, -1)), p.load(y, at(p, i, -1)))
        new = p.write("store", x, both, i)
        return [new, new]

    before = p.graph(*p.loop((1, n, 1), [x, y], "x y", body))
    after = changed(before)
    assert count(after, "index") == 0
    for n_at in (0, 1, 2, 5):
        same(before, after, np.arange(6.0), np.arange(6.0) * 10.0 + 1.0, n_at)


# --------------------------------------------------------------- what it leaves


def keeps(before: Graph) -> None:
    assert count(changed(before), "index") == count(before, "index")


def test_a_write_that_may_be_to_the_element_stops_it() -> None:
    x, k, hi = vector("x"), Value(INDEX, "k"), Value(INDEX, "hi")
    p = Program(x, k, hi)

    def body(i: Value, x: Value) -> list[Any]:
        left = p.load(x, at(p, i, -1))
        x = p.write("store", x, p("mul", left, 2.0), i)
        return [p.write("store", x, 7.0, k)]

    before = p.graph(p.loop((1, hi, 1), [x], "x", body))
    keeps(before)
    for k_at in range(6):
        same(before, changed(before), np.arange(6.0), k_at, 6)


def test_an_index_that_may_count_from_the_end_stops_it() -> None:
    def body(p: Program, i: Value, x: Value) -> Any:
        x = p.write("store", x, p.load(x, at(p, i, -1)), i)
        return p.write("add_at", x, 1.0, at(p, i, -2))

    free = program(body)
    keeps(free)
    same(free, changed(free), np.arange(6.0), 0, 6)
    # From 2 on, i - 2 is another element than i, from the front.
    bounded = program(body, (2, "hi", 1))
    assert count(changed(bounded), "index") == 0
    same(bounded, changed(bounded), np.arange(6.0), 0, 6)


def test_other_things_on_the_way_stop_it() -> None:
    def branch(p: Program, i: Value, x: Value) -> Any:
        x = forward(p, i, x)
        return p.choose(
            p("gt", i, 3),
            lambda: [p.write("store", x, 7.0, i)],
            lambda: [x],
        )

    def slices(p: Program, i: Value, x: Value) -> Any:
        x = forward(p, i, x)
        return p("store", x, 1.0, 0, 2, 1, spec="s", checked=False)

    def checks(p: Program, i: Value, x: Value) -> Any:
        p("check", p("lt", i, 8), kind="index", message="no")
        return forward(p, i, x)

    def looks_up(p: Program, i: Value, x: Value) -> Any:
        k = p("floordiv", i, 2)
        return p.write("store", x, p.load(x, p("sub", k, 1)), k)

    for body in (branch, slices, checks, looks_up):
        keeps(program(body, (1, "hi", 1)))


def test_exits_and_steps_of_run_time_stop_it() -> None:
    x, n = vector("x"), Value(INDEX, "n")
    p = Program(x, n)
    out = p.loop((1, 9, n), [x], "x", lambda i, x: [forward(p, i, x)])
    keeps(p.graph(out))


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool"])
def test_narrow_integers_stay_in_memory(dtype: str) -> None:
    def body(p: Program, i: Value, x: Value) -> Any:
        return p.write("store", x, p.load(x, at(p, i, -1)), i)

    keeps(program(body, (1, 5, 1), np.dtype(dtype)))


def test_a_value_that_the_store_would_round_stays_in_memory() -> None:
    def body(p: Program, i: Value, x: Value) -> Any:
        left = p("cast", p.load(x, at(p, i, -1)), dtype=FLOAT64)
        return p.write("store", x, p("mul", left, 0.3), i)

    keeps(program(body, (1, 5, 1), FLOAT32))


@pytest.mark.parametrize(("dtype", "number"), [(FLOAT32, 2.0), (INT64, 2)])
def test_other_plain_elements(dtype: Any, number: float) -> None:
    two = Const(number, ScalarType(dtype))

    def body(p: Program, i: Value, x: Value) -> Any:
        return p.write("store", x, p("mul", p.load(x, at(p, i, -1)), two), i)

    before = program(body, (1, 5, 1), dtype)
    assert count(changed(before), "index") == 0
    same(before, changed(before), np.arange(1, 7).astype(dtype), 0, 0)


# ----------------------------------------------------------------------- random


class Random:
    """A random loop body over two arrays that may start as one."""

    def __init__(self, seed: int) -> None:
        self.r = random.Random(seed)
        self.params = (vector("x"), vector("y"), matrix("z"))
        self.bounds = [Value(INDEX, n) for n in ("lo", "hi", "k")]
        self.p = Program(*self.params, *self.bounds)
        self.step = self.r.choice([1, 1, -1, -1, 2, -2])

    def graph(self) -> Graph:
        r, p = self.r, self.p
        lo, hi, _ = self.bounds
        if self.step < 0:
            lo, hi = hi, lo
        first = r.choice([lo, *[3 if self.step > 0 else 9] * 3])
        last = r.choice([hi, *[9 if self.step > 0 else 2] * 3])
        x, y, z = self.params
        inits = [x, r.choice([x, y, y]), z]
        out = p.loop((first, last, self.step), inits, "x y z", self.body)
        return p.graph(*out)

    def body(self, i: Value, *arrays: Value) -> list[Any]:
        r, p = self.r, self.p
        versions = [[a] for a in arrays]
        numbers: list[Any] = [p("cast", i, dtype=FLOAT.dtype), 0.0]
        for _ in range(r.randint(2, 8)):
            which = r.choice([0, 0, 0, 0, 1, 2])
            chain = versions[which]
            array = r.choice([chain[-1]] * 9 + chain)
            where = self.where(i, which == 2)
            kind = r.choice(["load", "load", "store", "add_at", "add_at", "zero"])
            if kind == "load":
                loaded = p.load(array, *where)
                scaled = p("mul", loaded, r.choice([0.5, -0.75, 1.25]))
                numbers.append(p("add", scaled, r.choice(numbers)))
            elif kind == "zero":
                zeroed = p.write("store", array, 0.0, *where)
                chain.append(p.write("add_at", zeroed, r.choice(numbers[:-1]), *where))
            else:
                chain.append(p.write(kind, array, r.choice(numbers[-2:]), *where))
        ends = [r.choice([c[-1]] * 9 + c) for c in versions]
        if r.random() < 0.15:
            ends[0], ends[1] = ends[1], ends[0]
        return ends

    def where(self, i: Value, rows: bool) -> list[Any]:
        column = self.place(i)
        if not rows:
            return [column]
        return [self.r.choice([0, 1, 1, self.bounds[2], self.place(i)]), column]

    def place(self, i: Value) -> Any:
        r, p = self.r, self.p
        kind = r.randint(0, 39)
        if kind < 35:
            return at(p, i, r.choice([-self.step] * 3 + [0] * 4 + [-2, -1, 1, 2]))
        if kind < 38:
            return r.choice([2, 5, self.bounds[2], at(p, self.bounds[2], 1)])
        if kind < 39:
            return p("floordiv", i, 2)
        return p("sub", 10, i)


SPANS = ((0, 10), (3, 10), (2, 9), (2, 3), (3, 4), (2, 4), (5, 5), (8, 4), (-2, 6))


@pytest.mark.parametrize("seed", range(150))
def test_random_bodies(seed: int) -> None:
    before = Random(seed).graph()
    after = changed(before)
    rng = np.random.default_rng(seed)
    x, y, z = rng.random(13), rng.random(13), rng.random((13, 13))
    for lo, hi in SPANS:
        for k in (0, 4):
            same(before, after, x, y, z, lo, hi, k)


def test_random_bodies_do_rotate() -> None:
    found = 0
    for seed in range(150):
        after = rotate(settle(Random(seed).graph()))
        found += any(e.op.name == "for_" and len(e.outs) > 3 for e in walk(after.block))
    assert found > 40
