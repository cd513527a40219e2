"""Stores that the next iteration overwrites, against the reference interpreter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from gradjit.ir.graph import Graph, Value, walk
from gradjit.ir.types import INDEX
from gradjit.ir.verify import verify
from gradjit.passes.dce import eliminate
from gradjit.passes.rotate import rotate
from gradjit.passes.sink import sink
from tests.codegen.build import Program, matrix, number, vector
from tests.passes.test_rotate import same

X = np.array([0.5, -1.0, 2.0, 4.0, 0.25, 3.0])
Y = np.array([1.0, 3.0, -2.0, 0.5, 8.0, -1.0])
Body = Callable[[Program, Value, Value, Value], Value]


def stores(graph: Graph) -> int:
    """The stores inside of the innermost loops."""
    loops = [e for e in walk(graph.block) if e.op.name == "for_"]
    return sum(e.op.name == "store" for e in loops[-1].regions[0].eqns)


def sunk(before: Graph) -> Graph:
    """The graph after rotation and sinking, valid."""
    verify(before, "program")
    after = eliminate(sink(rotate(before)))
    verify(after, "program")
    return after


def one(body: Body, step: int = 1) -> Graph:
    """A loop that carries x and reads y: `body(p, i, x, y)` gives the next x."""
    x, y = vector("x"), vector("y")
    lo, hi = Value(INDEX, "lo"), Value(INDEX, "hi")
    p = Program(x, y, lo, hi)
    low, high = p("maximum", lo, 1), p("minimum", hi, 5)
    span = (low, high) if step > 0 else (p("sub", high, 1), p("sub", low, 1))
    loop = p.loop((*span, step), [x], "x", lambda i, x: [body(p, i, x, y)])
    return p.graph(loop)


def check(body: Body, count: int, step: int = 1) -> None:
    """How many stores stay in the loop; same results, however long it is."""
    before = one(body, step)
    after = sunk(before)
    assert stores(after) == count
    for lo, hi in [(1, 5), (1, 2), (2, 4), (1, 3), (3, 3), (4, 2)]:
        same(before, after, X, Y, lo, hi)


@pytest.mark.parametrize("step", [1, -1])
def test_sums_into_three_neighbours_leave_one_store(step: int) -> None:
    def body(p: Program, i: Value, x: Value, y: Value) -> Value:
        v = p.load(y, i)
        for gap in (1, 0, -1):
            x = p.write("add_at", x, v, p("add", i, gap))
        return x

    check(body, 1, step)


def test_an_element_that_all_iterations_add_to_is_stored_once() -> None:
    check(lambda p, i, x, y: p.write("add_at", x, p.load(y, i), 0), 0)


def test_a_store_that_is_read_stays() -> None:
    """x[i + 1] is stored, and loaded in the next iteration but one."""

    def body(p: Program, i: Value, x: Value, y: Value) -> Value:
        v = p("add", p.load(x, i), p.load(x, p("sub", i, 1)))
        return p.write("store", x, v, i)

    check(body, 1)


def test_a_store_under_which_a_load_may_be_keeps_all() -> None:
    def body(p: Program, i: Value, x: Value, y: Value) -> Value:
        at = p("sub", 5, i)
        x = p.write("store", x, p("mul", p.load(x, at), p.load(y, i)), i)
        return p.write("store", x, 0.5, p("sub", i, 1))

    check(body, 2)


def test_a_store_two_iterations_before_the_next_one_stays() -> None:
    def body(p: Program, i: Value, x: Value, y: Value) -> Value:
        x = p.write("store", x, p.load(y, i), p("add", i, 1))
        return p.write("store", x, p("neg", p.load(y, i)), p("sub", i, 1))

    check(body, 2)


def test_an_index_from_the_end_keeps_all() -> None:
    """x[i - 2] is x[-1] at first, which is x[5]."""

    def body(p: Program, i: Value, x: Value, y: Value) -> Value:
        v = p.load(y, i)
        for gap in (0, -1, -2):
            x = p.write("add_at", x, v, p("add", i, gap))
        return x

    before = one(body)
    same(before, sunk(before), X, Y, 1, 5)
    assert stores(sunk(before)) == stores(rotate(before))


def test_rows_are_kept_apart() -> None:
    x, y, r = matrix("x"), vector("y"), Value(INDEX, "r")
    p = Program(x, y, r)
    row = p("maximum", r, 1)

    def body(i: Value, x: Value) -> list[Value]:
        v = p.load(y, i)
        for at, gap in ((0, 1), (0, 0), (-1, 0), (0, -1)):
            x = p.write("add_at", x, v, p("add", row, at), p("add", i, gap))
        return [x]

    before = p.graph(p.loop((1, 5, 1), [x], "x", body))
    after = sunk(before)
    assert stores(after) == 1
    assert sum(e.op.name == "add_at" for e in walk(after.block)) == 1
    same(before, after, np.arange(18.0).reshape(3, 6), Y, 1)


def test_two_rows_that_may_be_the_same_keep_all() -> None:
    x, y = matrix("x"), vector("y")
    r, s = Value(INDEX, "r"), Value(INDEX, "s")
    p = Program(x, y, r, s)

    def body(i: Value, x: Value) -> list[Value]:
        v = p.load(y, i)
        x = p.write("store", x, v, r, 0)
        return [p.write("store", x, p.load(x, s, 0), s, i)]

    before = p.graph(p.loop((1, 5, 1), [x], "x", body))
    after = sunk(before)
    assert stores(after) == 2
    for rows in ((0, 1), (1, 1), (-1, 2)):
        same(before, after, np.arange(18.0).reshape(3, 6), Y, *rows)


def test_a_number_that_is_carried_and_stored_is_stored_once() -> None:
    s, x, y = number("s"), vector("x"), vector("y")
    p = Program(s, x, y)

    def body(i: Value, s: Value, x: Value) -> list[Value]:
        new = p("add", p("mul", s, 0.5), p.load(y, i))
        return [new, p.write("store", x, new, 2)]

    before = p.graph(*p.loop((0, 6, 1), [s, x], "s x", body))
    after = sunk(before)
    assert stores(after) == 0
    assert [e.op.name for e in after.block.eqns] == ["for_", "store"]
    same(before, after, 0.25, X, Y)
