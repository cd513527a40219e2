"""Emitted text, and what it computes, of programs written by hand."""

from __future__ import annotations

import textwrap

import numpy as np
import pytest

from gradjit.ir.graph import Value
from gradjit.ir.types import INDEX, TRUTH, ArrayType
from gradjit.ops.region import Writer
from tests.codegen.build import (
    FLOAT,
    MATRIX,
    VECTOR,
    Program,
    agree,
    body,
    matrix,
    new,
    number,
    run,
    vector,
)


def lines(text: str) -> str:
    return textwrap.dedent(text).lstrip("\n")


def test_statements_keep_the_users_names_and_lines() -> None:
    x, y = number("x"), number("y")
    f = Program(x, y)
    f.line(2, "num = x  +  1 / y")
    num = f("add", x, f("div", 1.0, y), to="num")
    f.line(3, "return num**2")
    graph = f.graph(f("powi", num, n=2))
    assert body(graph) == lines("""
        def f(x, y):
            # line 2: num = x + 1 / y
            num = x + 1.0 / y
            return num * num
    """)
    agree(graph, 3.0, 4.0)


def test_cotangents_are_accumulated() -> None:
    x, y = number("x"), number("y")
    f = Program(x, y)
    d_x = f("mul", x, y, to="d_x")
    d_x = f("add", d_x, f("mul", y, y), to="d_x")
    d_x = f("sub", d_x, f("div", x, y), to="d_x")
    graph = f.graph(d_x)
    assert body(graph) == lines("""
        def f(x, y):
            d_x = x * y
            d_x += y * y
            d_x -= x / y
            return d_x
    """)
    agree(graph, 3.0, 4.0)


def test_a_recurrence_and_its_reverse() -> None:
    x, n = vector("x"), Value(INDEX, "n")
    f = Program(x, n)
    s = f.loop([0, n, 1], [0.0], "s", lambda i, s: [f("add", s, f.load(x, i), to="s")])
    last = f("sub", n, 1)
    d_s = f.loop([last, -1, -1], [s], "d_s", lambda i, d: [f("mul", d, f.load(x, i))])
    graph = f.graph(s, d_s)
    assert body(graph) == lines("""
        def f(x, n):
            s = 0.0
            for i in range(n):
                s += x[i]
            d_s = s
            for i in range(n - 1, -1, -1):
                d_s *= x[i]
            return s, d_s
    """)
    agree(graph, np.array([1.0, 2.0, 3.0]), 3)
    agree(graph, np.array([]), 0)


def test_carried_values_change_places() -> None:
    n = Value(INDEX, "n")
    f = Program(n)
    step = lambda i, a, b: [b, f("add", a, b, to="b")]  # noqa: E731
    a, _ = f.loop([0, n, 1], [0.0, 1.0], "a b", step)
    graph = f.graph(a)
    assert body(graph) == lines("""
        def f(n):
            a = 0.0
            b = 1.0
            for i in range(n):
                a, b = b, a + b
            return a
    """)
    agree(graph, 10)


def test_a_name_that_is_still_needed_is_not_reused() -> None:
    x = number("x")
    f = Program(x)
    later = f("mul", x, 2.0, to="x")
    graph = f.graph(later, f("add", x, later))
    assert body(graph) == lines("""
        def f(x):
            x2 = x * 2.0
            return x2, x + x2
    """)


def test_branches() -> None:
    x = number("x")
    f = Program(x)
    s = f("mul", x, x, to="s")
    s = f.choose(
        f("lt", x, 1.0),
        lambda: [f("add", s, 1.0, to="s")],
        lambda: [
            f.choose(
                f("lt", x, 2.0),
                lambda: [f("mul", s, 3.0, to="s")],
                lambda: [s],
                to="s",
            )
        ],
        to="s",
    )
    graph = f.graph(s)
    assert body(graph) == lines("""
        def f(x):
            s = x * x
            if x < 1.0:
                s += 1.0
            elif x < 2.0:
                s *= 3.0
            return s
    """)
    for value in (0.5, 1.5, 2.5):
        agree(graph, value)


def test_a_choice_is_an_expression() -> None:
    x = number("x")
    f = Program(x)
    y = f.choose(f("lt", x, 0.0), lambda: [f("neg", x)], lambda: [0.0], to="y")
    graph = f.graph(f("mul", y, y))
    assert body(graph) == lines("""
        def f(x):
            y = -x if x < 0.0 else 0.0
            return y * y
    """)


@pytest.mark.parametrize("read", [False, True])
def test_an_exit_is_a_break(read: bool) -> None:
    x, n = vector("x"), Value(INDEX, "n")
    f = Program(x, n)

    def step(i, done, s):
        return f.choose(
            f("gt", s, 4.0),
            lambda: [True, s],
            lambda: [False, f("add", s, f.load(x, i), to="s")],
            to="done s",
        )

    region = f.region(
        [Value(INDEX, "i"), Value(TRUTH, "done"), Value(FLOAT, "s")], step
    )
    done, s = f("for_", 0, n, 1, False, 0.0, to="done s", regions=(region,), exits=True)
    graph = f.graph(s, done) if read else f.graph(s)
    if not read:
        assert body(graph) == lines("""
            def f(x, n):
                s = 0.0
                for i in range(n):
                    if s > 4.0:
                        break
                    s += x[i]
                return s
        """)
    for count in (0, 2, 5):
        agree(graph, np.arange(5.0), count)


def test_while_loops() -> None:
    x = number("x")
    f = Program(x)
    before, k = Value(FLOAT, "y"), Value(FLOAT, "y")
    cond = f.region([before], lambda y: [f("gt", y, 1.0)])
    again = f.region([k], lambda y: [f("mul", y, 0.5, to="y")])
    graph = f.graph(f("while_", x, to="y", regions=(cond, again)))
    assert body(graph) == lines("""
        def f(x):
            y = x
            while y > 1.0:
                y *= 0.5
            return y
    """)
    agree(graph, 20.0)


def test_a_condition_that_is_no_expression() -> None:
    x = number("x")
    f = Program(x)
    before, k = Value(FLOAT, "y"), Value(FLOAT, "y")

    def test(y):
        r = f("mul", y, y, to="r")
        return [f("gt", f("add", r, r), 1.0)]

    cond = f.region([before], test)
    again = f.region([k], lambda y: [f("mul", y, 0.5, to="y")])
    graph = f.graph(f("while_", x, to="y", regions=(cond, again)))
    assert body(graph) == lines("""
        def f(x):
            y = x
            while True:
                r = y * y
                if not r + r > 1.0:
                    break
                y *= 0.5
            return y
    """)
    agree(graph, 20.0)


def test_a_map_is_a_loop_nest() -> None:
    x, y = matrix("x"), vector("y")
    f = Program(x, y)
    n, m = f("dim", x, axis=0), f("dim", x, axis=1)

    def element(i, j):
        d = f("sub", f.load(x, i, j), f.load(y, j))
        return [f("mul", d, d)]

    graph = f.graph(f.each([n, m], [new(2)], element))
    assert body(graph) == lines("""
        def f(x, y):
            n = x.shape[0]
            m = x.shape[1]
            work = mem.empty((n, m))
            for i in range(n):
                for j in range(m):
                    t = x[i, j] - y[j]
                    work[i, j] = t * t
            return work
    """)
    agree(graph, np.arange(6.0).reshape(2, 3), np.ones(3))


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("kind", ["sum", "prod", "max", "min", "and", "or"])
def test_reductions(kind: str, axes: tuple[int, ...]) -> None:
    x = matrix("x")
    f = Program(x)
    n, m = f("dim", x, axis=0), f("dim", x, axis=1)
    element = TRUTH if kind in ("and", "or") else FLOAT
    kept = 2 - len(axes)
    type_ = ArrayType(element.dtype, (None,) * kept) if kept else element

    def value(i, j):
        v = f.load(x, i, j)
        return [f("gt", v, 2.0) if element is TRUTH else v]

    graph = f.graph(f.each([n, m], [Writer(kind, axes=axes, type=type_)], value))
    agree(graph, np.arange(6.0).reshape(2, 3))
    agree(graph, np.array([[1.0, np.nan, -np.inf], [np.inf, 3.0, -0.5]]))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("kind", ["argmax", "argmin"])
def test_searches(kind: str, axis: int) -> None:
    x = matrix("x")
    f = Program(x)
    n, m = f("dim", x, axis=0), f("dim", x, axis=1)
    type_ = ArrayType(INDEX.dtype, (None,))
    writers = [Writer(kind, axes=(axis,), type=type_)]
    graph = f.graph(f.each([n, m], writers, lambda i, j: [f.load(x, i, j)]))
    agree(graph, np.array([[1.0, 5.0, 5.0], [5.0, 0.0, 1.0], [1.0, 0.0, 7.0]]))
    agree(graph, np.array([[1.0, np.nan, np.nan], [np.nan, 0.0, -np.inf]]))
    agree(graph, np.full((2, 2), -np.inf))


def test_a_search_over_one_axis() -> None:
    x = vector("x")
    f = Program(x)
    writers = [Writer("argmax", axes=(0,), type=INDEX)]
    at = f.each([f("dim", x, axis=0)], writers, lambda i: [f.load(x, i)])
    graph = f.graph(at)
    assert body(graph) == lines("""
        def f(x):
            at = 0
            best = -np.inf
            for i in range(x.shape[0]):
                x_i = x[i]
                if x_i > best or (x_i != x_i and best == best):
                    best = x_i
                    at = i
            return at
    """)
    agree(graph, np.array([1.0, 4.0, 2.0, 4.0]))


def test_a_load_does_not_pass_a_write() -> None:
    x = vector("x")
    f = Program(x)
    old = f.load(x, 0)
    x2 = f.write("store", x, 5.0, 0, to="x")
    graph = f.graph(old, f.load(x2, 0))
    assert body(graph) == lines("""
        def f(x):
            x_0 = x[0]
            x[0] = 5.0
            return x_0, x[0]
    """)


def test_writes() -> None:
    x, v = vector("x"), number("v")
    f = Program(x, v)
    a = f.write("store", x, f("mul", f.load(x, 0), v), 0, to="x")
    a = f.write("add_at", a, f.load(a, 0), 1, to="x")
    graph = f.graph(a)
    assert body(graph) == lines("""
        def f(x, v):
            x[0] *= v
            x[1] += x[0]
            return x
    """)
    agree(graph, np.ones(3), 2.0)


def test_stacks() -> None:
    n = Value(INDEX, "n")
    f = Program(n)
    stack = f("stack_new", item=FLOAT, to="tape")
    save = lambda i, t, s: [f("push", t, s), f("add", s, 1.0, to="s")]  # noqa: E731
    stack, s = f.loop([0, n, 1], [stack, 0.0], "tape s", save)

    def restore(i, t, total):
        rest, v = f("pop", t)
        return [rest, f("add", total, v, to="total")]

    _, total = f.loop([0, n, 1], [stack, s], "tape total", restore)
    graph = f.graph(total)
    assert body(graph) == lines("""
        def f(n):
            tape = [0.0]
            tape.pop()
            s = 0.0
            for i in range(n):
                tape.append(s)
                s += 1.0
            total = s
            for i in range(n):
                t = tape.pop()
                total += t
            return total
    """)
    agree(graph, 4)


def test_checks_name_the_users_line() -> None:
    x, y = vector("x"), vector("y")
    f = Program(x, y)
    f.line(14, "return x + y")
    n = f("dim", x, axis=0)
    same = f("eq", n, f("dim", y, axis=0))
    f("check", same, kind="shape", message="extents of the operands of add differ")
    graph = f.graph(n)
    assert body(graph) == lines("""
        def f(x, y):
            # line 14: return x + y
            n = x.shape[0]
            if n != y.shape[0]:
                raise ValueError(
                    "model.py:14: return x + y: extents of the operands of add differ"
                )
            return n
    """)
    assert run(graph, np.ones(2), np.ones(2)) == 2
    with pytest.raises(ValueError, match=r"^model\.py:14: return x \+ y: extents"):
        run(graph, np.ones(2), np.ones(3))


@pytest.mark.parametrize(
    ("a", "b", "out", "text"),
    [
        ("ij", "jk", "ik", "la.matmul(x, y)"),
        ("ji", "jk", "ik", "la.matmul(x.T, y)"),
        ("ij", "kj", "ik", "la.matmul(x, y.T)"),
        ("ji", "kj", "ki", "la.matmul(y, x)"),
        ("ij", "jk", "ki", "la.matmul(y.T, x.T)"),
    ],
)
def test_matrix_products(a: str, b: str, out: str, text: str) -> None:
    x, y = Value(MATRIX, "x"), Value(MATRIX, "y")
    f = Program(x, y)
    graph = f.graph(f("contract", x, y, a=a, b=b, out=out))
    assert f"= {text}\n" in body(graph)
    agree(graph, np.arange(4.0).reshape(2, 2), np.array([[1.0, -1.0], [2.0, 0.5]]))


def test_matrix_and_vector() -> None:
    x, y = Value(MATRIX, "x"), Value(VECTOR, "y")
    f = Program(x, y)
    graph = f.graph(
        f("contract", x, y, a="ij", b="j", out="i"),
        f("contract", x, y, a="ji", b="j", out="i"),
        f("contract", y, x, a="j", b="ji", out="i"),
        f("contract", y, y, a="j", b="j", out=""),
    )
    agree(graph, np.arange(4.0).reshape(2, 2), np.array([1.0, -1.0]))


def test_long_lines_are_cut_at_subexpressions() -> None:
    names = [f"a_rather_long_name_{k}" for k in range(8)]
    params = [number(n) for n in names]
    f = Program(*params)
    total = params[0]
    for p in params[1:]:
        total = f("add", total, f("mul", p, 2.0))
    graph = f.graph(total)
    text = body(graph)
    assert max(map(len, text.splitlines())) <= 88
    assert "t = " in text
    agree(graph, *map(float, range(8)))


def test_float32_constants() -> None:
    type_ = ArrayType(np.dtype(np.float32), (None,))
    x = Value(type_, "x")
    f = Program(x)
    half = f("index", x, 0, spec="i", dims=(), checked=False)
    graph = f.graph(f("full", half, 3, dtype=type_.dtype, dims=(3,)))
    assert "mem.full(3, x[0], np.float32)" in body(graph)
