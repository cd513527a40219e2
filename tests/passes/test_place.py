"""Where copies stand, and that writing in place changes no result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradjit.errors import InternalError
from gradjit.ir.build import Builder, index
from gradjit.ir.graph import Graph, Value
from gradjit.ir.types import FLOAT64, ArrayType
from gradjit.ir.verify import verify
from gradjit.ops.evaluate import evaluate
from gradjit.passes.place import place
from gradjit.passes.placed import verify_placed
from tests.passes.inplace import execute
from tests.passes.lowering import (
    agree,
    copies,
    eqns,
    grad_stages,
    in_loops,
    load,
    stages,
)
from tests.passes.sources import Sources

X = np.array([0.3, -1.2, 0.8, 2.0, -0.4])
RANDOM = 40


def placed(f: Any, *args: Any) -> Graph:
    """The placed program of a function, which agrees with the function."""
    graph = stages(f, *args)["place"]
    verify_placed(graph)
    given = copies(list(args))
    agree(evaluate(stages(f, *args)["fuse"], copies(given)), execute(graph, given))
    return graph


def test_swapped_buffers_are_not_copied() -> None:
    def f(x: Any, k: Any) -> Any:
        a, b = x * 1.5, np.zeros(x.shape[0])
        for _ in range(k):
            b[1:-1] = a[:-2] + a[2:]
            a, b = b, a
        return a

    assert not eqns(placed(f, X, 4), "copy")


def test_a_loop_over_an_argument_copies_it_once() -> None:
    def f(x: Any, k: Any) -> Any:
        a = x.copy()
        for _ in range(k):
            for i in range(1, x.shape[0] - 1):
                a[i] = (a[i - 1] + a[i + 1]) / 2
        return a

    graph = placed(f, X, 3)
    assert len(eqns(graph, "copy")) == 1
    assert in_loops(graph, "copy") == 0


def test_what_is_read_after_a_write_is_copied_before_it() -> None:
    def f(x: Any, k: Any) -> Any:
        a = x * 2.0
        b = a.copy()
        for i in range(k):
            b[i] = a[i + 1]
        return a, b

    assert len(eqns(placed(f, X, 3), "copy")) == 1


def test_a_dead_version_is_not_copied() -> None:
    def f(x: Any) -> Any:
        a = x * 2.0
        b = a.copy()
        b[0] = 1.0
        return b

    assert not eqns(placed(f, X), "copy")


def test_a_captured_array_is_copied_in_each_iteration() -> None:
    def f(x: Any, k: Any) -> Any:
        a, total = x * 2.0, 0.0
        for i in range(k):
            b = a.copy()
            b[i] = 0.0
            total += np.sum(b)
        return total

    assert in_loops(placed(f, X, 3), "copy") == 1


def test_an_argument_that_is_a_result_is_copied() -> None:
    x = Value(ArrayType(FLOAT64, (None,)), "x")
    builder = Builder()
    builder.open((x,))
    graph = place(Graph("f", builder.close((x, x))))
    got = execute(graph, [X])
    assert not np.shares_memory(got[0], X)
    assert not np.shares_memory(got[0], got[1])


def test_an_argument_that_the_caller_wants_changed_is_written_in_place() -> None:
    def f(x: Any) -> None:
        x[1:] = 2.0 * x[1:]

    graph = stages(f, X)["place"]
    assert graph.mutated
    assert not eqns(graph, "copy")


def test_branches_write_into_what_is_dead_after_them() -> None:
    def f(x: Any, k: Any) -> Any:
        a = x * 2.0
        if k > 2:
            a[0] = 1.0
        else:
            a[1] = 2.0
        return a

    assert not eqns(placed(f, X, 3), "copy")


def test_alternatives_may_share_memory_with_either_array() -> None:
    def f(x: Any, k: Any) -> Any:
        a, b = x * 2.0, x * 3.0
        c = a if k > 2 else b
        d = c.copy()
        d[0] = 7.0
        return a, b, d

    for k in (1, 3):
        placed(f, X, k)


def test_use_of_an_overwritten_version_is_found() -> None:
    x = Value(ArrayType(FLOAT64, (None,)), "x")
    builder = Builder()
    builder.open((x,))
    spec = {"spec": "i", "checked": False}
    builder.emit("store", x, index(1), index(0), **spec)
    y = builder.emit1("index", x, index(0), dims=(), **spec)
    with pytest.raises(InternalError, match="overwritten and used by index"):
        verify_placed(Graph("f", builder.close((y,))))


# --------------------------------------------------------------------------- random


def arguments(seed: int) -> list[Any]:
    """Two vectors, a square matrix, a permutation, a float and an int."""
    rng = np.random.default_rng(seed)
    n = 3 + seed % 4
    vectors = [rng.normal(size=n), rng.normal(size=n)]
    return [*vectors, rng.normal(size=(n, n)), rng.permutation(n), 0.3, n]


def hold(all_stages: Any, args: list[Any]) -> None:
    """Every stage computes the same, the last one in place."""
    program, graph = all_stages["fuse"], all_stages["place"]
    verify(program, "program")
    verify(graph, "program")
    verify_placed(graph)
    want = evaluate(all_stages["eliminate"], copies(args))
    agree(want, evaluate(program, copies(args)))
    for seed in range(2):
        given = copies(args)
        got = execute(graph, given, seed)
        agree(want, got)
        for before, after in zip(args, given, strict=True):
            np.testing.assert_array_equal(before, after)
        apart([*got, *given])


def apart(values: list[Any]) -> None:
    """No two arrays share memory."""
    arrays = [v for v in values if isinstance(v, np.ndarray)]
    for k, a in enumerate(arrays):
        assert not any(np.shares_memory(a, b) for b in arrays[:k])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("seed", range(RANDOM))
def test_random_programs(seed: int, tmp_path: Path) -> None:
    args = arguments(seed)
    program = load(Sources(seed).source(), tmp_path)
    hold(stages(program, *args), args)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("seed", range(RANDOM, 2 * RANDOM))
def test_gradients_of_random_programs(seed: int, tmp_path: Path) -> None:
    args = arguments(seed)
    program = load(Sources(seed).scalar_source(), tmp_path)
    hold(grad_stages(program, *args, argnums=(0, 1, 2, 4)), args)
