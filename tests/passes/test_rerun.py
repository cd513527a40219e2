"""What an iteration computes again on the way back, in place of saving it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

import gradjit
from gradjit import config
from gradjit.ir.graph import Block, Eqn, walk
from gradjit.ops.evaluate import evaluate
from gradjit.passes import pipeline
from gradjit.passes.rerun import rerun
from tests.passes.lowering import eqns, grad_stages, in_loops, stages
from tests.random.oracle import differences

A = np.random.default_rng(23).uniform(0.5, 2.0, size=7)
B = A.reshape(7, 1) + np.arange(3.0)


def roots(a):
    out = np.empty(len(a))
    for i in numba.prange(len(a)):
        y = 1.0
        while abs(y * y - a[i]) > 1e-12:
            y = 0.5 * (y + a[i] / y)
        out[i] = y
    return np.sum(out**3)


def leaves_early(a):
    total = 0.0
    for i in numba.prange(len(a)):
        y = 1.0
        for _ in range(60):
            step = (y * y - a[i]) / (2.0 * y)
            y = y - step
            if abs(step) < 1e-9:
                break
        total += y
    return total


def deeper(b):
    total = 0.0
    for i in numba.prange(b.shape[0]):
        for j in range(b.shape[1]):
            y = 1.0
            while abs(y * y - b[i, j]) > 1e-12:
                y = 0.5 * (y + b[i, j] / y)
            total += y
    return total


def repeated(a, n):
    for _ in range(n):
        b = np.empty_like(a)
        for i in numba.prange(len(a)):
            y = 1.0
            while abs(y * y - a[i]) > 1e-12:
                y = 0.5 * (y + a[i] / y)
            b[i] = y + 1.0
        a = b
    return np.sum(a * a)


def halved(a):
    """Some iterations of the outer loop have none of the inner one."""
    total = 0.0
    for i in numba.prange(len(a)):
        y = a[i] * a[i]
        while y > 1.0:
            y = 0.5 * y * math.cos(0.1 * y)
        total += y
    return total


def known_length(a):
    total = 0.0
    for i in numba.prange(len(a)):
        y = a[i]
        for _ in range(5):
            y = math.sin(y)
        total += y
    return total


def claimed_by_nobody(a):
    total = 0.0
    for i in range(len(a)):
        y = 1.0
        while abs(y * y - a[i]) > 1e-12:
            y = 0.5 * (y + a[i] / y)
        total += y
    return total


def around(a):
    while np.sum(a * a) > 1.0:
        b = np.empty_like(a)
        for i in numba.prange(len(a)):
            b[i] = 0.5 * math.sin(a[i])
        a = b
    return np.sum(a)


def marked(block: Block) -> list[Eqn]:
    return [e for e in walk(block) if e.params.get("checkpoint")]


# ------------------------------------------------------------------------ before, after


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (roots, (A,)),
        (leaves_early, (A,)),
        (deeper, (B,)),
        (repeated, (A, 2)),
        (halved, (A,)),
    ],
)
def test_a_claimed_loop_with_an_open_one_is_marked(
    f: Callable[..., Any], args: Any
) -> None:
    graph = stages(f, *args)["trace"]
    after = rerun(graph.block)
    (loop,) = marked(after)
    assert loop.params["parallel"] == "prange"
    assert not marked(graph.block)
    for before, now in zip(walk(graph.block), walk(after), strict=True):
        left = {k: v for k, v in now.params.items() if k != "checkpoint"}
        assert (now.op, now.args, now.outs) == (before.op, before.args, before.outs)
        assert left == before.params


@pytest.mark.parametrize("f", [known_length, claimed_by_nobody, around])
def test_other_loops_are_not(f: Callable[..., Any]) -> None:
    graph = stages(f, A)["trace"]
    assert eqns(graph, "for_")
    assert not marked(rerun(graph.block))


def test_twice_is_once() -> None:
    block = rerun(stages(roots, A)["trace"].block)
    again = rerun(block)
    assert len(marked(again)) == 1
    assert list(map(str, walk(again))) == list(map(str, walk(block)))


def test_only_a_device_does_that() -> None:
    block = stages(roots, A)["trace"].block
    assert not marked(pipeline.prepare(block))
    assert marked(pipeline.prepare(block, "cuda"))


# ------------------------------------------------------------ what a gradient becomes


def test_stacks_are_those_of_an_iteration() -> None:
    on_cpu = grad_stages(roots, A)["value_and_grad"]
    assert eqns(on_cpu, "stack_new")
    assert not in_loops(on_cpu, "stack_new")
    on_device = gradjit.value_and_grad(roots, target="cuda").lower(A)
    graph = on_device.stages["value_and_grad"]
    assert in_loops(graph, "stack_new") == len(eqns(graph, "stack_new")) > 0


@pytest.mark.parametrize("n", [0, 2, 7])
def test_roots_have_the_derivative_of_roots(n: int) -> None:
    graph = gradjit.value_and_grad(roots, target="cuda").lower(A[:n]).stages["rows"]
    value, d_a = evaluate(graph, [A[:n].copy()])
    np.testing.assert_allclose(value, np.sum(A[:n] ** 1.5), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(d_a, 1.5 * np.sqrt(A[:n]), rtol=1e-10)


PROGRAMS = [
    (roots, (A,)),
    (leaves_early, (A,)),
    (deeper, (B,)),
    (deeper, (B[:0],)),
    (deeper, (B[:, :0],)),
    (deeper, (B[:2, :1],)),
    (repeated, (A, 0)),
    (repeated, (A, 3)),
    (halved, (2.0 * A,)),
    (halved, (0.1 * A,)),
]


@pytest.mark.parametrize(("f", "args"), PROGRAMS)
def test_numbers_are_those_of_plain_python(f: Callable[..., Any], args: Any) -> None:
    graph = gradjit.value_and_grad(f, target="cuda").lower(*args).stages["rows"]
    value, gradient = evaluate(graph, [np.copy(a) for a in args])
    np.testing.assert_allclose(value, f(*args), rtol=1e-12, atol=1e-15)
    slopes = differences(f, args, 0)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("f", "args"), PROGRAMS)
def test_numbers_are_those_of_saved_values(
    f: Callable[..., Any], args: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the CPU, with and without what is run again."""
    with config.override(jit=False):
        saved = gradjit.value_and_grad(f)(*args)
        monkeypatch.setattr(pipeline, "forward_stores", rerun)
        again = gradjit.value_and_grad(f)(*args)
    np.testing.assert_allclose(again[0], saved[0], rtol=1e-14)
    np.testing.assert_allclose(again[1], saved[1], rtol=1e-13)
