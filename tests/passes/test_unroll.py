"""Loops over a few neighbours, written out, against the reference interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradjit.ir.graph import Graph, Value, walk
from gradjit.ir.types import INDEX
from gradjit.ir.verify import verify
from gradjit.passes.unroll import unroll
from tests.codegen.build import Program, number, vector
from tests.passes.test_rotate import same

X = np.array([0.5, -1.0, 2.0, 4.0, 0.25, 3.0])


def nested(low: Any, high: Any, step: int) -> Graph:
    """Sums of x over range(low, high, step), into y; "i" is the outer index."""
    x, y, n = vector("x"), vector("y"), Value(INDEX, "n")
    p = Program(x, y, n)

    def bound(i: Value, at: Any) -> Any:
        return p("add", i, at[1]) if isinstance(at, tuple) else at

    def cell(i: Value, y: Value) -> list[Value]:
        span = (bound(i, low), bound(i, high), step)
        total = p.loop(span, [0.0], "s", lambda k, s: [p("add", s, p.load(x, k))])
        return [p.write("store", y, total, i)]

    return p.graph(p.loop((1, n, 1), [y], "y", cell))


def loops(graph: Graph) -> int:
    return sum(e.op.name == "for_" for e in walk(graph.block))


@pytest.mark.parametrize(
    ("low", "high", "step", "count"),
    [
        (("i", -1), ("i", 2), 1, 1),
        (("i", 1), ("i", -2), -1, 1),
        (("i", -1), ("i", 2), 2, 1),
        (("i", 0), ("i", 0), 1, 1),
        (("i", 1), ("i", 0), 1, 1),
        (0, 3, 1, 2),
        (0, ("i", 1), 1, 2),
        (("i", -1), ("i", 5), 1, 2),
    ],
)
def test_known_small_trip_counts_are_written_out(
    low: Any, high: Any, step: int, count: int
) -> None:
    before = nested(low, high, step)
    after = unroll(before)
    verify(after, "program")
    assert loops(after) == count
    for n in (1, 2, 5) if count == 1 else (1, 2):
        same(before, after, X, np.zeros(6), n)


def test_a_loop_that_is_in_no_other_stays() -> None:
    x, s, n = vector("x"), number("s"), Value(INDEX, "n")
    p = Program(x, s, n)
    span = (n, p("add", n, 3), 1)
    total = p.loop(span, [s], "s", lambda k, s: [p("add", s, p.load(x, k))])
    assert loops(unroll(p.graph(total))) == 1
