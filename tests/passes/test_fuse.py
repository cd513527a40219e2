"""Which loops array programs become, and what they compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradjit.ir.build import Builder
from gradjit.ir.graph import Graph, Value
from gradjit.ir.types import FLOAT64, INT64, ArrayType
from gradjit.ir.verify import verify
from gradjit.ops.evaluate import evaluate
from gradjit.ops.sym import Sym, apply
from gradjit.passes.fuse import fuse
from tests.passes.lowering import (
    agree,
    copies,
    eqns,
    grad_stages,
    in_loops,
    kinds,
    stages,
)

X = np.array([0.3, -1.2, 0.8, 2.0, -0.4])
M = np.arange(15.0).reshape(3, 5) / 7.0


def weighted(x: Any, y: Any, w: Any) -> Any:
    return np.sum((x - y) ** 2 * w)


def rosenbrock(x: Any) -> Any:
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def test_forward_and_backward_of_an_element_share_an_iteration() -> None:
    graph = grad_stages(weighted, X, X[::-1].copy(), X + 2)["fuse"]
    assert kinds(graph) == ["sum new"]


def test_overlapping_reads_add_up_in_one_loop() -> None:
    graph = grad_stages(rosenbrock, X)["fuse"]
    assert kinds(graph) == ["sum add add"]


def test_a_reduction_that_is_needed_ends_the_loop() -> None:
    def f(x: Any) -> Any:
        return x - np.max(x)

    assert kinds(stages(f, X)["fuse"]) == ["max", "new"]


def test_dear_elements_are_kept_and_cheap_ones_are_not() -> None:
    def dear(x: Any) -> Any:
        e = np.exp(x)
        return e / np.sum(e)

    def cheap(x: Any) -> Any:
        e = x * 2.0
        return e / np.sum(e)

    assert kinds(stages(dear, X)["fuse"]) == ["new sum", "store"]
    assert kinds(stages(cheap, X)["fuse"]) == ["sum", "new"]


def test_a_stencil_reads_before_it_writes() -> None:
    def f(x: Any) -> Any:
        a = x.copy()
        a[1:-1] = np.sin(a[:-2] + a[2:])
        return a

    graph = stages(f, X)["fuse"]
    assert kinds(graph) == ["new", "store"]
    agree([f(X)], evaluate(graph, [X]))


def test_an_element_for_an_element_is_written_at_once() -> None:
    def f(x: Any) -> Any:
        a = x.copy()
        a[1:] = np.sin(a[1:])
        return a

    assert kinds(stages(f, X)["fuse"]) == ["store"]


def test_columns_that_never_meet_share_a_loop() -> None:
    def f(m: Any) -> Any:
        a = m.copy()
        a[:, 0] = np.sin(a[:, 1])
        return a

    assert kinds(stages(f, M)["fuse"]) == ["store"]


def test_a_sum_into_zeros_is_no_update() -> None:
    def f(x: Any) -> Any:
        a = np.zeros(x.shape[0])
        a += np.sin(x)
        return a

    assert kinds(stages(f, X)["fuse"]) == ["new"]


def test_memory_is_taken_from_what_is_dead() -> None:
    def f(x: Any, w: Any) -> Any:
        h = np.tanh(x @ w)
        return h @ w

    graph = stages(f, M[:, :3].copy(), M[:3, :3].copy())["fuse"]
    assert kinds(graph) == ["store"]
    assert len(eqns(graph, "contract")) == 2


def test_memory_is_not_taken_from_what_is_read_elsewhere() -> None:
    def f(x: Any) -> Any:
        e = np.exp(x)
        return np.sum(e) * e[::-1]

    assert kinds(stages(f, X)["fuse"]) == ["new sum", "new"]


# ----------------------------------------------------------------------- subscripts


def checks(graph: Graph) -> int:
    return len([e for e in eqns(graph, "check") if e.params["kind"] == "index"])


def test_an_index_that_is_provably_inside_is_not_checked() -> None:
    def f(x: Any) -> Any:
        total = 0.0
        for i in range(1, x.shape[0]):
            total += x[i] * x[i - 1]
        return total

    assert checks(stages(f, X)["fuse"]) == 0


def test_an_affine_index_is_checked_in_front_of_the_loop() -> None:
    def f(x: Any, k: Any) -> Any:
        total = 0.0
        for i in range(k):
            for j in range(2):
                total += x[2 * i + j]
        return total

    graph = stages(f, X, 2)["fuse"]
    assert checks(graph) > 0
    assert in_loops(graph, "check") == 0
    assert evaluate(graph, [X, 2]) == [f(X, 2)]
    assert evaluate(graph, [X, 0]) == [0.0]
    with pytest.raises(IndexError, match="out of bounds for axis 0"):
        evaluate(graph, [X, 3])


def test_a_check_under_a_condition_stays_there() -> None:
    def f(x: Any, k: Any) -> Any:
        total = 0.0
        for i in range(k):
            if i < 2:
                total += x[i + 2]
        return total

    graph = stages(f, X, 2)["fuse"]
    assert in_loops(graph, "check") == 1
    assert evaluate(graph, [X, 100]) == [f(X, 100)]


@pytest.mark.parametrize("k", [-5, -1, 0, 4])
def test_indices_count_from_the_end(k: int) -> None:
    def f(x: Any, k: Any) -> Any:
        return x[k] + x[::-1][k] + (2.0 * x)[k]

    agree([f(X, k)], evaluate(stages(f, X, k)["fuse"], [X, k]))


@pytest.mark.parametrize("k", [-6, 5])
def test_indices_outside_raise(k: int) -> None:
    def f(x: Any, k: Any) -> Any:
        return x[k]

    with pytest.raises(IndexError, match="x\\[k\\]: index out of bounds for axis 0"):
        evaluate(stages(f, X, 0)["fuse"], [X, k])


def test_index_arrays_are_checked_element_by_element() -> None:
    def f(x: Any, p: Any) -> Any:
        return x[p]

    graph = stages(f, X, np.array([0, 1]))["fuse"]
    p = np.array([1, -1, 4])
    agree([X[p]], evaluate(graph, [X, p]))
    with pytest.raises(IndexError):
        evaluate(graph, [X, np.array([5])])


def test_the_largest_of_nothing_raises() -> None:
    def f(x: Any) -> Any:
        return np.max(x)

    with pytest.raises(ValueError, match="zero-size array to reduction operation max"):
        evaluate(stages(f, X)["fuse"], [X[:0]])


# ------------------------------------------------------------------ matrix products

EXTENTS = {"i": 3, "j": 4, "k": 5, "l": 2, "b": 3, "c": 2}
CASES = [
    ("ij", "jk", "ik"), ("ij", "jk", "ki"), ("ji", "jk", "ik"), ("ij", "kj", "ik"),
    ("ji", "kj", "ki"), ("ij", "j", "i"), ("ji", "j", "i"), ("j", "ji", "i"),
    ("i", "i", ""), ("i", "j", "ij"), ("i", "j", "ji"), ("ij", "ij", ""),
    ("ij", "ij", "i"), ("ij", "ji", "j"), ("bij", "bjk", "bik"), ("bij", "jk", "bik"),
    ("bij", "kbj", "ikb"), ("bcij", "bcjk", "cbik"), ("ijk", "jkl", "il"),
    ("ijk", "kjl", "li"), ("ij", "k", "i"), ("ijk", "j", "ik"), ("bi", "b", "bi"),
    ("ij", "jkl", "lik"), ("bj", "bj", "b"), ("bij", "bj", "ib"),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b", "out"), CASES)
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("dtype", [FLOAT64, INT64])
def test_contractions(a: str, b: str, out: str, known: bool, dtype: Any) -> None:
    rng = np.random.default_rng(1)
    shapes = [tuple(EXTENTS[c] for c in letters) for letters in (a, b)]
    arrays = [(9 * rng.normal(size=s)).astype(dtype) for s in shapes]
    graph = product(
        a, b, out, [s if known else (None,) * len(s) for s in shapes], dtype
    )
    program = fuse(graph)
    verify(program, "program")
    agree([np.einsum(f"{a},{b}->{out}", *arrays)], evaluate(program, copies(arrays)))
    for eqn in eqns(program, "contract"):
        letters = eqn.params["a"], eqn.params["b"], eqn.params["out"]
        assert letters in {("ij", "jk", "ik"), ("ij", "j", "i"), ("j", "jk", "k")}
    if dtype == INT64:
        assert not eqns(program, "contract")


def product(a: str, b: str, out: str, shapes: Any, dtype: Any) -> Graph:
    """A graph with one contraction."""
    builder = Builder(checks=False)
    x, y = (Value(ArrayType(dtype, shape)) for shape in shapes)
    with builder.active():
        builder.open((x, y))
        result = apply("contract", Sym(x), Sym(y), a=a, b=b, out=out)
        return Graph("f", builder.close([result.atom]))


def test_a_batch_of_products_is_a_loop_of_calls() -> None:
    shapes = [(None,) * 3, (None,) * 3]
    program = fuse(product("bij", "bjk", "bik", shapes, FLOAT64))
    assert in_loops(program, "contract") == 1


def test_transposed_operands_are_views() -> None:
    def f(x: Any, y: Any) -> Any:
        return x.T @ y[1:]

    graph = stages(f, M[:2], M)["fuse"]
    assert kinds(graph) == []
    agree([f(M[:2], M)], evaluate(graph, [M[:2], M]))


def test_no_elements_no_iterations() -> None:
    def f(x: Any, m: Any) -> Any:
        a = np.exp(x)
        a[1:] += x[1:]
        return np.sum(a), a[::-1], np.sum(m * x[:, None], axis=0), m @ m.T

    x, m = X[:0], M[:0]
    agree(list(f(x, m)), evaluate(stages(f, x, m)["fuse"], [x, m]))
