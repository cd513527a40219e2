"""Loops that count up instead of down, against the reference interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradjit.ir.graph import Const, Graph, Value, walk
from gradjit.ir.types import INDEX
from gradjit.ir.verify import verify
from gradjit.ops.evaluate import evaluate
from gradjit.passes.turn import turn
from tests.codegen.build import Program, matrix, number, run, source, vector

X = np.array([0.5, -1.0, 2.0, 4.0, 0.25])
Y = np.array([1.0, 3.0, -2.0, 0.5, 8.0])


def steps(graph: Graph) -> list[Any]:
    """The steps of all loops, outer ones first."""
    loops = [e for e in walk(graph.block) if e.op.name == "for_"]
    return [a.value for e in loops if isinstance(a := e.args[2], Const)]


def check(graph: Graph, expected: list[int], *args: Any) -> None:
    """The steps of the turned program, and that it computes the same."""
    verify(graph, "program")
    turned = turn(graph)
    verify(turned, "program")
    assert steps(turned) == expected
    want = evaluate(graph, [np.copy(a) if np.ndim(a) else a for a in args])
    got = evaluate(turned, [np.copy(a) if np.ndim(a) else a for a in args])
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-14)


def down(p: Program, carries: list[Any], names: str, body: Any) -> Any:
    """A loop over range(3, -1, -1)."""
    return p.loop((3, -1, -1), carries, names, body)


def one(body: Any) -> Graph:
    """A loop that carries x and reads y: `body(p, i, x, y)` gives the next x."""
    x, y = vector("x"), vector("y")
    p = Program(x, y)
    return p.graph(down(p, [x], "x", lambda i, x: [body(p, i, x, y)]))


def test_sums_into_elements_come_in_any_order() -> None:
    def body(p: Program, i: Value, x: Value, y: Value) -> Value:
        x = p.write("add_at", x, p.load(y, i), p("add", i, 1))
        return p.write("add_at", x, p.load(y, p("add", i, 1)), i)

    check(one(body), [1], X, Y)
    assert "for i in range(4):" in source(turn(one(body)))


def test_elements_of_their_own_come_in_any_order() -> None:
    def body(p: Program, i: Value, x: Value, y: Value) -> Value:
        return p.write("store", x, p("mul", p.load(x, i), p.load(y, i)), i)

    check(one(body), [1], X, Y)


def test_what_reads_another_element_keeps_its_order() -> None:
    def body(p: Program, i: Value, x: Value, y: Value) -> Value:
        return p.write("store", x, p.load(x, p("add", i, 1)), i)

    check(one(body), [-1], X, Y)


def test_an_addition_that_is_read_keeps_its_order() -> None:
    def body(p: Program, i: Value, x: Value, y: Value) -> Value:
        x = p.write("add_at", x, p.load(y, i), i)
        return p.write("add_at", x, p.load(x, p("add", i, 1)), 0)

    check(one(body), [-1], X, Y)


def test_one_element_that_all_store_keeps_its_order() -> None:
    check(one(lambda p, i, x, y: p.write("store", x, p.load(y, i), 0)), [-1], X, Y)


def test_an_index_that_may_count_from_the_end_keeps_its_order() -> None:
    """x[-1] and x[4] are the same element."""

    def body(p: Program, i: Value, x: Value, y: Value) -> Value:
        at = p("sub", i, 1)
        return p.write("store", x, p("add", p.load(x, at), p.load(y, i)), at)

    check(one(body), [-1], X, Y)


@pytest.mark.parametrize(
    ("op", "swapped", "step"),
    [("add", False, 1), ("add", True, 1), ("sub", False, 1), ("sub", True, -1)],
)
def test_a_number_is_only_added_to(op: str, swapped: bool, step: int) -> None:
    s, y = number("s"), vector("y")
    p = Program(s, y)

    def body(i: Value, s: Value) -> list[Value]:
        v = p.load(y, i)
        return [p(op, v, s) if swapped else p(op, s, v)]

    check(p.graph(down(p, [s], "s", body)), [step], 0.5, Y)


def test_a_sum_that_is_read_on_its_way_keeps_its_order() -> None:
    s, x, y = number("s"), vector("x"), vector("y")
    p = Program(s, x, y)

    def body(i: Value, s: Value, x: Value) -> list[Value]:
        new = p("add", s, p.load(y, i))
        return [new, p.write("store", x, new, i)]

    check(p.graph(*down(p, [s, x], "s x", body)), [-1], 0.5, X, Y)


def test_a_last_value_keeps_the_order() -> None:
    s, y = number("s"), vector("y")
    p = Program(s, y)
    loop = down(p, [s], "s", lambda i, s: [p.load(y, i)])
    check(p.graph(loop), [-1], 0.5, Y)


def test_a_store_under_a_condition_is_one_of_the_iteration() -> None:
    def body(p: Program, i: Value, x: Value, y: Value) -> Value:
        positive = p("gt", p.load(y, i), 0.0)
        return p.choose(positive, lambda: [p.write("store", x, 0.0, i)], lambda: [x])

    check(one(body), [1], X, Y)


def test_nests_turn_as_a_whole() -> None:
    x, y = matrix("x"), vector("y")
    p = Program(x, y)

    def row(i: Value, x: Value) -> list[Value]:
        return [
            down(
                p,
                [x],
                "x",
                lambda j, x: [p.write("add_at", x, p.load(y, j), i, j)],
            )
        ]

    check(p.graph(down(p, [x], "x", row)), [1, 1], np.zeros((4, 4)), Y)


def test_only_the_inner_loop_turns_where_the_outer_one_may_not() -> None:
    x, y = matrix("x"), vector("y")
    p = Program(x, y)

    def row(i: Value, x: Value) -> list[Value]:
        def cell(j: Value, x: Value) -> list[Value]:
            v = p("add", p.load(x, 0, j), p.load(y, i))
            return [p.write("store", x, v, 0, j)]

        return [down(p, [x], "x", cell)]

    check(p.graph(down(p, [x], "x", row)), [-1, 1], np.ones((4, 4)), Y)


def test_two_rows_at_once_stay() -> None:
    x, y = matrix("x"), vector("y")
    p = Program(x, y)

    def row(i: Value, x: Value) -> list[Value]:
        def cell(j: Value, x: Value) -> list[Value]:
            x = p.write("add_at", x, p.load(y, j), i, j)
            return [p.write("add_at", x, p.load(y, j), p("add", i, 1), j)]

        return [down(p, [x], "x", cell)]

    check(p.graph(down(p, [x], "x", row)), [-1, -1], np.zeros((5, 4)), Y)


def test_an_empty_loop_stays_empty() -> None:
    x, n = vector("x"), Value(INDEX, "n")
    p = Program(x, n)
    loop = p.loop((n, 2, -1), [x], "x", lambda i, x: [p.write("add_at", x, 1.0, i)])
    graph = p.graph(loop)
    for count in (-3, 1, 2, 3, 4):
        check(graph, [1], X, count)
    np.testing.assert_array_equal(run(turn(graph), X.copy(), 2), X)
