"""What `eliminate` and `hoist` take away."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradjit.ir.build import Builder, index
from gradjit.ir.graph import Graph, Value
from gradjit.ir.types import FLOAT64, INDEX, ArrayType, ScalarType
from gradjit.ir.verify import verify
from gradjit.ops.evaluate import evaluate
from gradjit.passes.dce import eliminate
from tests.passes.lowering import eqns, stages

F = ScalarType(FLOAT64)
X = np.array([0.3, -1.2, 0.8])


def loop(results: tuple[int, ...]) -> Graph:
    """Carries a += i, b += a, c += c; the given ones are results."""
    builder = Builder()
    n = Value(INDEX, "n")
    builder.open((n,))
    i, *carries = Value(INDEX, "i"), *(Value(F, name) for name in "abc")

    def body(i: Value, a: Value, b: Value, c: Value) -> list[Any]:
        step = builder.emit1("cast", i, dtype=FLOAT64, weak=False)
        sums = [builder.emit1("add", a, step), builder.emit1("add", b, a)]
        return [*sums, builder.emit1("add", c, c)]

    region = builder.region((i, *carries), body)
    start = [builder.emit1("cast", n, dtype=FLOAT64, weak=False)] * 3
    outs = builder.emit("for_", index(0), n, index(1), *start, regions=(region,))
    return Graph("f", builder.close([outs[k] for k in results]))


def test_a_carry_that_only_feeds_itself_goes() -> None:
    graph = loop((0,))
    swept = eliminate(graph)
    verify(swept)
    assert [len(e.outs) for e in eqns(swept, "for_")] == [1]
    assert evaluate(graph, [4]) == evaluate(swept, [4])


def test_a_carry_that_feeds_a_needed_one_stays() -> None:
    graph = loop((1,))
    swept = eliminate(graph)
    verify(swept)
    assert [len(e.outs) for e in eqns(swept, "for_")] == [2]
    assert evaluate(graph, [4]) == evaluate(swept, [4])


def test_a_loop_without_results_goes() -> None:
    assert not eqns(eliminate(loop(())), "for_")


def test_a_check_keeps_its_loop_and_no_carry() -> None:
    def f(x: Any, k: Any) -> Any:
        s = 0.0
        while k > 1:
            assert k != 7
            s += np.sum(x)
            k //= 2
        return 1.0

    graph = stages(f, X, 5)["fuse"]
    assert [len(e.outs) for e in eqns(graph, "while_")] == [1]


def test_results_of_a_branch_that_nobody_needs_go() -> None:
    def f(x: Any, k: Any) -> Any:
        if k > 2:
            a, b = np.sin(x), x[0]
        else:
            a, b = np.cos(x), x[1]
        a += 1.0
        return b

    graph = stages(f, X, 5)["fuse"]
    assert not eqns(graph, "map_")
    assert evaluate(graph, [X, 3]) == [X[0]]


def test_scalar_code_leaves_a_loop_over_elements() -> None:
    def f(x: Any, s: Any) -> Any:
        return x * np.full(x.shape[0], s) * 2.0 - np.full(x.shape[0], np.exp(s) + s)

    (loop_,) = eqns(stages(f, X, 0.5)["fuse"], "map_")
    inner = [e.op.name for e in loop_.regions[0].eqns]
    assert inner.count("index") == 1
    assert "exp" not in inner
    assert ArrayType(FLOAT64, (None,)) == loop_.out.type
