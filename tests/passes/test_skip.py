"""Loops of zeros."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit import config
from tests.passes.lowering import eqns, grad_stages
from tests.random.agree import agree

X = np.random.default_rng(9).normal(size=(6, 3))
C = np.random.default_rng(10).normal(size=(4, 3))


def nearest(c: Any, x: Any) -> Any:
    cost = 0.0
    for i in range(x.shape[0]):
        best = np.inf
        for j in range(c.shape[0]):
            distance = 0.0
            for k in range(c.shape[1]):
                distance += (x[i, k] - c[j, k]) ** 2
            if distance < best:
                best = distance
        cost += best
    return cost


def positive(c: Any, x: Any) -> Any:
    total = 0.0
    for i in range(x.shape[0]):
        for j in range(c.shape[0]):
            s = 0.1
            for k in range(c.shape[1]):
                s += x[i, k] * np.sin(c[j, k])
            if s > 0.0:
                total += s * s
    return total


def _guarded(f: Any) -> int:
    """How many branches of the gradient have a loop on one side only."""
    graph = grad_stages(f, C, X)["rows"]
    return sum(
        [any(e.op.name == "for_" for e in r.eqns) for r in branch.regions].count(True)
        == 1
        for branch in eqns(graph, "if_")
    )


@pytest.mark.parametrize("f", [nearest, positive])
def test_loops_that_add_zeros_are_left_out(f: Any) -> None:
    assert _guarded(f) == 1
    with config.override(jit=False, check=True):
        agree(f, C, X)


def test_what_is_far_away_does_not_matter() -> None:
    c = np.concatenate([C, [[np.inf, 0.0, 0.0]]])
    d_c = gradjit.grad(nearest)(c, X)
    np.testing.assert_allclose(d_c[:4], gradjit.grad(nearest)(C, X))
    assert not np.any(d_c[4])


def both(c: Any, x: Any) -> Any:
    total = 0.0
    for i in range(x.shape[0]):
        s, t = 0.0, 1.0
        for k in range(c.shape[1]):
            s += x[i, k] * c[0, k]
            t = 0.5 * t + np.sin(c[1, k])
        if s > 0.0:
            total += s * t
        else:
            total += t
    return total


def test_loops_with_something_to_add_stay() -> None:
    with config.override(jit=False, check=True):
        agree(both, C, X)
