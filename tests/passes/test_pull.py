"""Additions to neighbours become one for each element, which reads its neighbours."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

import gradjit
from gradjit.ir.graph import Eqn, Graph, Value
from gradjit.ir.types import INDEX, INT64, ArrayType
from gradjit.ir.verify import verify
from gradjit.ops.evaluate import evaluate
from gradjit.ops.region import Writer
from gradjit.passes.dce import eliminate
from gradjit.passes.place import place
from gradjit.passes.placed import verify_placed
from gradjit.passes.pull import pull
from tests.codegen.build import FLOAT, Program, matrix, run, vector
from tests.passes.lowering import eqns

ADD = Writer("add", 0)
RNG = np.random.default_rng(17)


def nest(graph: Graph, wanted: int = 1) -> list[Eqn]:
    found = eqns(graph, "map_")
    assert len(found) == wanted
    return found


def is_pulled(eqn: Eqn) -> bool:
    """Whether an element is one iteration's."""
    return eqn.params["parallel"] and [w.kind for w in eqn.params["writers"]] == ["add"]


def changed(before: Graph) -> Graph:
    verify(before, "program")
    after = eliminate(pull(before))
    verify(after, "program")
    return after


def results(graph: Graph, *args: Any) -> list[Any]:
    """Of the reference interpreter, and of the emitted Python, which are the same."""
    got = evaluate(graph, [np.copy(a) if np.ndim(a) else a for a in args])
    placed = place(graph)
    verify_placed(placed)
    emitted = run(placed, *(np.copy(a) if np.ndim(a) else a for a in args))
    emitted = emitted if type(emitted) is tuple else (emitted,)
    for a, b in zip(got, emitted, strict=True):
        np.testing.assert_array_equal(a, b)
    return list(got)


# --------------------------------------------------------------- one axis, any shifts


def scatter(shifts: Sequence[int]) -> Graph:
    """for i in range(n): for k, s in enumerate(shifts): y[i + s] += (k + 1) * x[i]"""
    x, y, n = vector("x"), vector("y"), Value(INDEX, "n")
    p = Program(x, y, n)

    def body(i: Value) -> list[Any]:
        v = p.load(x, i)
        out: list[Any] = []
        for k, shift in enumerate(shifts):
            out += [p("mul", v, k + 1.0), p("add", i, shift) if shift else i]
        return out

    last = p.each([n], [ADD] * len(shifts), body, y)
    return p.graph(last[-1] if len(shifts) > 1 else last)


def scattered(x: Any, y: Any, shifts: Sequence[int]) -> Any:
    """The same with NumPy."""
    out = y.copy()
    for k, shift in enumerate(shifts):
        out[shift : shift + len(x)] += (k + 1.0) * x
    return out


@pytest.mark.parametrize("shifts", [(0, 1), (2, 0), (0, 1, 2), (1, 3), (0, 5), (2, 2)])
def test_an_element_is_added_to_once(shifts: tuple[int, ...]) -> None:
    before = scatter(shifts)
    assert not is_pulled(*nest(before))
    after = changed(before)
    assert is_pulled(*nest(after))
    for n in (0, 1, 2, 3, 11):
        x, y = RNG.normal(size=n), RNG.normal(size=n + max(shifts))
        (got,) = results(after, x, y, n)
        np.testing.assert_allclose(got, scattered(x, y, shifts), rtol=1e-14)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_nothing_is_read_where_nothing_is(n: int) -> None:
    """With no iterations there are no elements, though shifts alone would make some."""
    after = changed(scatter((0, 1, 2)))
    y = np.zeros(0) if n == 0 else np.zeros(n + 2)
    (got,) = results(after, np.ones(n), y, n)
    np.testing.assert_array_equal(got, scattered(np.ones(n), y, (0, 1, 2)))


def test_one_addition_has_nothing_to_meet() -> None:
    before = scatter((1,))
    assert str(pull(before)) == str(before)


def test_many_neighbours_stay() -> None:
    assert is_pulled(*nest(changed(scatter(range(32)))))
    assert not is_pulled(*nest(changed(scatter(range(33)))))


# ----------------------------------------------------------------------- several axes


def cross() -> Graph:
    """The adjoint of a sum over a cross of five, turned: the loops run (j, i)."""
    x, y = matrix("x"), matrix("y")
    m, n = Value(INDEX, "m"), Value(INDEX, "n")
    p = Program(x, y, m, n)

    def body(j: Value, i: Value) -> list[Any]:
        v = p.load(x, i, j)
        up, down = p("add", i, 1), p("add", i, 2)
        left, right = p("add", j, 1), p("add", j, 2)
        return [v, up, left, v, i, left, v, down, left, v, up, j, v, up, right]

    *_, last = p.each([n, m], [ADD] * 5, body, y)
    return p.graph(last)


def test_a_cross_whose_loops_are_turned() -> None:
    after = changed(cross())
    assert is_pulled(*nest(after))
    for m, n in itertools.product((0, 1, 2, 5), (0, 1, 2, 4)):
        x, y = RNG.normal(size=(m, n)), RNG.normal(size=(m + 2, n + 2))
        want = y.copy()
        for di, dj in ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2)):
            want[di : di + m, dj : dj + n] += x
        (got,) = results(after, x, y, m, n)
        np.testing.assert_allclose(got, want, rtol=1e-14)


@pytest.mark.parametrize("row", ["outside", "number"])
def test_an_axis_of_the_destination_may_stand_still(row: str) -> None:
    x, y = vector("x"), matrix("y")
    n, k = Value(INDEX, "n"), Value(INDEX, "k")
    p = Program(x, y, n, k)
    where = k if row == "outside" else 1

    def body(i: Value) -> list[Any]:
        v = p.load(x, i)
        return [v, where, i, p("mul", v, v), where, p("add", i, 1)]

    _, last = p.each([n], [ADD, ADD], body, y)
    after = changed(p.graph(last))
    assert is_pulled(*nest(after))
    for count in (0, 1, 2, 6):
        x_at, y_at = RNG.normal(size=count), RNG.normal(size=(3, count + 1))
        want = y_at.copy()
        want[1, :count] += x_at
        want[1, 1:] += x_at**2
        (got,) = results(after, x_at, y_at, count, 1)
        np.testing.assert_allclose(got, want, rtol=1e-14)


# -------------------------------------------------------- several arrays, other writers


def test_what_else_a_nest_writes_has_a_nest_of_its_own() -> None:
    x, y, z = vector("x"), vector("y"), vector("z")
    n = Value(INDEX, "n")
    p = Program(x, y, z, n)

    def body(i: Value) -> list[Any]:
        v = p.load(x, i)
        up = p("add", i, 1)
        return [v, i, p("sin", v), v, up, p("mul", v, 2.0), i, v, up]

    total_of = Writer("sum", axes=(0,), type=FLOAT)
    writers = [ADD, total_of, ADD, Writer("add", 1), Writer("add", 1)]
    _, total, ys, _, zs = p.each([n], writers, body, y, z)
    after = changed(p.graph(ys, zs, total))
    first, *pulled = nest(after, 3)
    assert [w.kind for w in first.params["writers"]] == ["sum"]
    assert all(map(is_pulled, pulled))
    for count in (0, 1, 2, 7):
        x_at = RNG.normal(size=count)
        y_at, z_at = RNG.normal(size=(2, count + 1))
        y_got, z_got, total_got = results(after, x_at, y_at, z_at, count)
        np.testing.assert_allclose(y_got, scattered(x_at, y_at, (0,)) + _up(x_at))
        twice = scattered(2.0 * x_at, z_at, (0,)) + _up(x_at)
        np.testing.assert_allclose(z_got, twice)
        np.testing.assert_allclose(total_got, np.sum(np.sin(x_at)), atol=1e-15)


def _up(x: Any) -> Any:
    return np.concatenate([np.zeros(1), x])


def test_nests_in_a_loop_of_steps() -> None:
    x, y, n = vector("x"), vector("y"), Value(INDEX, "n")
    p = Program(x, y, n)

    def step(i: Value, y: Value) -> list[Any]:
        def body(j: Value) -> list[Any]:
            v = p.load(x, j)
            return [v, j, v, p("add", j, 1)]

        return [p.each([n], [ADD, ADD], body, y)[-1]]

    after = changed(p.graph(p.loop((0, 3, 1), [y], "y", step)))
    assert is_pulled(*nest(after))
    x_at, y_at = RNG.normal(size=5), RNG.normal(size=6)
    (got,) = results(after, x_at, y_at, 5)
    want = y_at + 3.0 * (np.append(x_at, 0.0) + np.append(0.0, x_at))
    np.testing.assert_allclose(got, want, rtol=1e-13)


# ------------------------------------------------------------------ what has to stay


def stays(p: Program, *results_: Any) -> None:
    before = p.graph(*results_)
    verify(before, "program")
    assert str(pull(before)) == str(before)


def pair(first: Any, second: Any, writers: Sequence[Writer] = (ADD, ADD)) -> None:
    """y[first(i)] += x[i]; y[second(i)] += x[i], which is left as it is."""
    x, y = vector("x"), vector("y")
    n, k = Value(INDEX, "n"), Value(INDEX, "k")
    p = Program(x, y, n, k)

    def body(i: Value) -> list[Any]:
        v = p.load(x, i)
        return [v, first(p, i, k), v, second(p, i, k)]

    stays(p, p.each([n], writers, body, y)[-1])


INDICES = {
    "strided": (lambda p, i, k: p("mul", i, 2), lambda p, i, k: p("add", i, 1)),
    "turned": (lambda p, i, k: p("sub", 9, i), lambda p, i, k: i),
    "by a number known when it runs": (
        lambda p, i, k: p("add", i, k),
        lambda p, i, k: i,
    ),
    "not of the loop": (lambda p, i, k: k, lambda p, i, k: i),
    "wrapped": (lambda p, i, k: p("mod", p("add", i, 1), k), lambda p, i, k: i),
}


@pytest.mark.parametrize("name", INDICES)
def test_indices_that_are_no_neighbours_stay(name: str) -> None:
    first, second = INDICES[name]
    pair(first, second)
    pair(second, first)


def test_an_index_that_is_read_stays() -> None:
    x, y = vector("x"), vector("y")
    w = Value(ArrayType(INT64, (None,)), "w")
    n = Value(INDEX, "n")
    p = Program(x, y, w, n)

    def body(i: Value) -> list[Any]:
        v = p.load(x, i)
        return [v, i, v, p.load(w, i)]

    stays(p, p.each([n], [ADD, ADD], body, y)[-1])


def test_a_store_among_the_additions_stays() -> None:
    pair(
        lambda p, i, k: i,
        lambda p, i, k: p("add", i, 1),
        [ADD, Writer("store", 0)],
    )


def test_a_diagonal_stays() -> None:
    """One loop, two axes: the elements that are added to are no box."""
    x, y, n = vector("x"), matrix("y"), Value(INDEX, "n")
    p = Program(x, y, n)

    def body(i: Value) -> list[Any]:
        v = p.load(x, i)
        return [v, i, i, v, p("add", i, 1), i]

    stays(p, p.each([n], [ADD, ADD], body, y)[-1])


def test_a_loop_that_runs_along_no_axis_stays() -> None:
    """y[i] and y[i + 1], for each j again."""
    x, y, n = matrix("x"), vector("y"), Value(INDEX, "n")
    p = Program(x, y, n)

    def body(i: Value, j: Value) -> list[Any]:
        v = p.load(x, i, j)
        return [v, i, v, p("add", i, 1)]

    stays(p, p.each([n, n], [ADD, ADD], body, y)[-1])


def test_rows_that_differ_between_the_additions_stay() -> None:
    x, y = vector("x"), matrix("y")
    n, k = Value(INDEX, "n"), Value(INDEX, "k")
    p = Program(x, y, n, k)

    def body(i: Value) -> list[Any]:
        v = p.load(x, i)
        return [v, 0, i, v, k, p("add", i, 1)]

    stays(p, p.each([n], [ADD, ADD], body, y)[-1])


def test_an_array_that_the_body_reads_stays() -> None:
    y, n = vector("y"), Value(INDEX, "n")
    p = Program(y, n)

    def body(i: Value) -> list[Any]:
        v = p.load(y, i)
        return [v, i, v, p("add", i, 1)]

    stays(p, p.each([n], [ADD, ADD], body, y)[-1])


def test_a_check_of_the_body_is_not_lost() -> None:
    x, y, n = vector("x"), vector("y"), Value(INDEX, "n")
    p = Program(x, y, n)

    def body(i: Value) -> list[Any]:
        v = p.load(x, i)
        p("check", p("gt", v, 0.0), kind="value", message="x is negative")
        return [v, i, v, p("add", i, 1)]

    stays(p, p.each([n], [ADD, ADD], body, y)[-1])


def test_a_claim_of_the_user_stays() -> None:
    x, y, n = vector("x"), vector("y"), Value(INDEX, "n")
    p = Program(x, y, n)
    i = Value(INDEX)
    region = p.region([i], lambda i: [p.load(x, i), i, 1.0, p("add", i, n)])
    params = {"ndim": 1, "writers": (ADD, ADD), "parallel": True}
    stays(p, p("map_", n, y, regions=(region,), **params)[-1])


# --------------------------------------------------------------------- whole programs


def rosenbrock(x: Any) -> Any:
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 40])
def test_rosenbrock_is_that_of_scipy(n: int) -> None:
    x = RNG.normal(size=n)
    lowered = gradjit.value_and_grad(rosenbrock, target="cuda").lower(x)
    value, d_x = results(lowered.stages["pull"], x)
    assert value == pytest.approx(rosen(x) if n > 1 else 0.0, rel=1e-12)
    want = rosen_der(x) if n > 1 else np.zeros(n)
    np.testing.assert_allclose(d_x, want, rtol=1e-9, atol=1e-9)
    assert "atomic" not in lowered.source


def heat(u: Any) -> Any:
    inner = u[1:-1, 1:-1]
    around = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2]
    return np.sum((inner + 0.1 * (around - 4.0 * inner)) ** 2)


@pytest.mark.parametrize("shape", [(0, 0), (1, 5), (2, 2), (3, 3), (3, 8), (7, 6)])
def test_a_step_of_heat(shape: tuple[int, int]) -> None:
    u = RNG.normal(size=shape)
    lowered = gradjit.grad(heat, target="cuda").lower(u)
    (d_u,) = results(lowered.stages["pull"], u)
    want = np.zeros(shape)
    v = 0.6 * u[1:-1, 1:-1]
    v = v + 0.1 * (u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2])
    want[1:-1, 1:-1] += 2.0 * 0.6 * v
    for part in (want[2:, 1:-1], want[:-2, 1:-1], want[1:-1, 2:], want[1:-1, :-2]):
        part += 0.2 * v
    np.testing.assert_allclose(d_u, want, rtol=1e-13, atol=1e-14)
    assert "atomic" not in lowered.source
