"""What a device does not run is refused with the line, the reason and the way out."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

import gradjit
from gradjit.cuda.place import REDUCTIONS
from gradjit.errors import GradjitError, UnsupportedError
from gradjit.ir.graph import Value
from gradjit.ir.types import FLOAT64, INDEX, ArrayType
from gradjit.ir.verify import verify
from gradjit.passes import grid_kernel
from gradjit.passes.offload import offload
from gradjit.passes.place import place
from tests.codegen.build import Program, matrix, vector

X = np.linspace(0.5, 1.5, 6)
M = X.reshape(3, 2)
PLACES = np.array([0, 1, 2, 0, 1, 2])

NUMBERS = (
    'target="cuda" cannot run this loop: it computes numbers, one iteration after the'
    " other ({})\n"
    "  Run it on the CPU; or map it over many inputs, with gradjit.vmap or a loop over"
    " numba.prange, so that each is a thread."
)
NOTHING = (
    'there is nothing here that target="cuda" could run in parallel: no array'
    " operation, and no loop whose iterations are independent\n"
    "  Run it on the CPU; or map it over many inputs, with gradjit.vmap or a loop over"
    " numba.prange; or call gradjit.device(f) in a kernel of your own."
)
MEET = (
    'with target="cuda", several threads would store into the same element here, and'
    " which of them is the last is left to chance\n"
    "  Make the indices of each element its own, or use the CPU."
)
INSIDE = (
    '{} is not supported inside of a loop that target="cuda" runs with a thread for'
    " each iteration\n"
    "  Take it out of the loop, write it with loops over elements, or use the CPU."
)


def numbers(x, y):
    return x * y + math.sin(x)


def recurrence(x):
    h = 0.0
    for i in range(len(x)):
        h = math.tanh(h + x[i])
    return h


def running_sum(x):
    return np.sum(np.cumsum(x) ** 2)


def search(x):
    y = 1.0
    while abs(y * y - x) > 1e-9:
        y = 0.5 * (y + x / y)
    return y


def loops_in_a_loop(x):
    h = 0.0
    for i in range(len(x)):
        for _ in range(3):
            h = math.tanh(h + x[i])
    return h + np.sum(x)


def recurrence_in_steps(x, n):
    for _ in range(n):
        h = 0.0
        for i in range(len(x)):
            for _ in range(3):
                h = math.tanh(h + x[i])
        x = x * h
    return np.sum(x)


def loops_in_a_search(x):
    h = x[0]
    while h > 0.1:
        for _ in range(3):
            h = h * 0.7 * math.cos(h)
    return h + np.sum(x)


def search_of_one(x):
    h = x[0]
    while h > 0.1:
        h = h * 0.5 * math.cos(h)
    return h + np.sum(x)


def leaves(x):
    h = 0.0
    for i in range(len(x)):
        for _ in range(3):
            h = math.tanh(h + x[i])
        if h > 0.9:
            break
    return h + np.sum(x)


def stores_meet(x, places):
    y = np.zeros(3)
    y[places] = x
    return np.sum(y * y)


def own_extents(x):
    total = 0.0
    for i in numba.prange(len(x)):
        a = np.zeros(i + 2)
        a[0] = x[i]
        for j in range(1, i + 2):
            a[j] = a[j - 1] * x[i]
        total += a[i + 1]
    return total


def copies(m, x):
    total = 0.0
    for i in numba.prange(m.shape[0]):
        b = x.copy()
        b[0] = m[i, 0]
        total += b[0] * b[1]
    return total


BOTH = (gradjit.jit, gradjit.value_and_grad)
CASES: list[tuple[Callable[..., Any], tuple[Any, ...], int, str, Any]] = [
    (numbers, (0.5, 1.5), 1, NOTHING, BOTH),
    (recurrence, (X,), 2, NUMBERS.format("and there is nothing else to run"), BOTH),
    (running_sum, (X,), 1, NUMBERS.format("and there is nothing else to run"), BOTH),
    (search, (2.0,), 2, NUMBERS.format("and there is nothing else to run"), BOTH[:1]),
    (search, (2.0,), 2, NUMBERS.format("how often it runs is not known"), BOTH[1:]),
    (
        loops_in_a_loop,
        (X,),
        2,
        NUMBERS.format("h goes from one iteration to the next"),
        BOTH,
    ),
    (
        recurrence_in_steps,
        (X, 2),
        3,
        NUMBERS.format("h goes from one iteration to the next"),
        BOTH,
    ),
    (
        loops_in_a_search,
        (X,),
        2,
        NUMBERS.format("how often it runs is not known"),
        BOTH,
    ),
    (
        search_of_one,
        (X,),
        2,
        NUMBERS.format("how often it runs is not known"),
        BOTH[1:],
    ),
    (leaves, (X,), 2, NUMBERS.format("it has an exit"), BOTH[:1]),
    (stores_meet, (X, PLACES), 2, MEET, BOTH),
    (
        own_extents,
        (X,),
        3,
        INSIDE.format("an array whose extents differ from iteration to iteration"),
        BOTH,
    ),
    (copies, (M, X), 2, INSIDE.format("a copy of an array"), BOTH),
]


@pytest.mark.parametrize(
    ("function", "args", "offset", "message", "transforms"),
    CASES,
    ids=[f"{case[0].__name__}-{k}" for k, case in enumerate(CASES)],
)
def test_refused(
    function: Any, args: Any, offset: int, message: str, transforms: Any
) -> None:
    line = function.__code__.co_firstlineno + offset
    text = Path(__file__).read_text().splitlines()[line - 1].strip()
    for transform in transforms:
        with pytest.raises(UnsupportedError) as found:
            transform(function, target="cuda").lower(*args)
        assert str(found.value) == f"{__file__}:{line}: {text}\n  {message}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].__name__)
def test_the_cpu_runs_it(case: Any) -> None:
    """The way out that each message names is one."""
    function, args, *_ = case
    value = gradjit.jit(function)(*args)
    np.testing.assert_allclose(value, function(*args), rtol=1e-12)


# ------------------------------------------------ what the tracer never puts in a loop


def claimed(body: Callable[..., Any], writes: bool = True) -> Any:
    """A program with a loop over rows of y, whose iterations are independent."""
    x, y, n = vector("x"), matrix("y"), Value(INDEX, "n")
    p = Program(x, y, n)
    p.line(7, "for i in numba.prange(n):")

    def inside(i: Value, y: Value) -> list[Any]:
        p.line(8, "y[i, 0] = f(x)")
        return [body(p, i, x, y)]

    region = p.region([Value(INDEX, "i"), Value(y.type, "y")], inside)
    p.line(7, "for i in numba.prange(n):")
    graph = p.graph(p("for_", 0, n, 1, y, regions=(region,), exits=False))
    verify(graph, "program")
    return place(graph)


def reshapes(p: Program, i: Value, x: Value, y: Value) -> Any:
    turned = p("reshape", x, 2, 3, dims=(2, 3))
    return p.write("store", y, p.load(turned, 0, 1), i, 0)


def adds_a_part(p: Program, i: Value, x: Value, y: Value) -> Any:
    return p("add_at", y, x, i, spec="i:", checked=False)


def copies_array(p: Program, i: Value, x: Value, y: Value) -> Any:
    other = p.write("store", p("copy", x), 1.0, 0)
    return p.write("store", y, p.load(other, 0), i, 0)


def finds_places(p: Program, i: Value, x: Value, y: Value) -> Any:
    mask = p("full", True, 3, dtype=np.dtype(bool), dims=(3,))
    (places,) = p.b.emit("nonzero", mask)
    return p.write("store", y, p.load(x, p.load(places, 0)), i, 0)


def saves_arrays(p: Program, i: Value, x: Value, y: Value) -> Any:
    stack = p("stack_new", item=ArrayType(FLOAT64, (None,)))
    stack = p("push", stack, x)
    _, taken = p("pop", stack)
    return p.write("store", y, p.load(taken, 0), i, 0)


HAND_WRITTEN = [
    (reshapes, "reshaping an array"),
    (adds_a_part, "an update of a part of an array"),
    (copies_array, "a copy of an array"),
    (finds_places, "np.nonzero, or a mask as an index,"),
    (saves_arrays, "a loop of unknown length that saves arrays"),
]


@pytest.mark.parametrize(("body", "what"), HAND_WRITTEN)
def test_refused_inside_of_an_iteration(body: Any, what: str) -> None:
    with pytest.raises(UnsupportedError) as found:
        offload(claimed(body))
    where = "/home/me/model.py:8: y[i, 0] = f(x)"
    assert str(found.value) == f"{where}\n  {INSIDE.format(what)}"


# ----------------------------------------------------------------------------- options


def test_threads_are_of_the_cpu() -> None:
    with pytest.raises(GradjitError) as found:
        gradjit.grad(running_sum, target="cuda", parallel=True)
    assert str(found.value) == (
        "parallel=True is an option of target=\"cpu\", not of target='cuda'\n"
        "  Leave it away: a device runs everything in parallel."
    )


@pytest.mark.parametrize("target", ["gpu", "CUDA", None, 0])
def test_other_targets(target: Any) -> None:
    with pytest.raises(GradjitError) as found:
        gradjit.grad(running_sum, target=target)
    assert str(found.value) == f'target is "cpu" or "cuda", not {target!r}'


def test_as_many_reductions_as_there_is_memory_for() -> None:
    assert grid_kernel.REDUCTIONS == REDUCTIONS
