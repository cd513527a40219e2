"""Loops over the same rows become one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit import config
from gradjit.passes import fuse, pipeline
from gradjit.passes.rows import share_rows
from tests.passes.lowering import eqns, grad_stages, load, stages
from tests.passes.rows import Rows
from tests.random.agree import agree

RNG = np.random.default_rng(31)
X = RNG.normal(size=(5, 9))  # rows of eight known elements would be short
W = RNG.normal(size=5)


def softmax(x: Any) -> Any:
    e = np.exp(x - np.max(x, axis=1, keepdims=True))
    return np.sum(e / np.sum(e, axis=1, keepdims=True) * X)


def normalised(x: Any) -> Any:
    mean = np.mean(x, axis=1, keepdims=True)
    variance = np.mean((x - mean) ** 2, axis=1, keepdims=True)
    return np.sum(np.tanh((x - mean) / np.sqrt(variance + 0.1)) * X)


def cross_entropy(x: Any, labels: Any) -> Any:
    shifted = x - np.max(x, axis=1, keepdims=True)
    total = np.log(np.sum(np.exp(shifted), axis=1))
    return np.mean(total - shifted[np.arange(len(labels)), labels])


LABELS = np.array([0, 3, 1, 1, 2])


@pytest.mark.parametrize(
    ("f", "args"), [(softmax, ()), (normalised, ()), (cross_entropy, (LABELS,))]
)
def test_nests_over_rows_are_one_loop(f: Any, args: Any) -> None:
    graph = grad_stages(f, X, *args)["fuse"]
    assert len(eqns(graph, "for_")) == 1
    assert all(e.op.name != "map_" or _is_of_labels(e) for e in graph.block.eqns)
    with config.override(jit=False):
        agree(f, X, *args)


def _is_of_labels(eqn: Any) -> bool:
    """The check that labels are inside comes before."""
    return [w.kind for w in eqn.params["writers"]] == ["and"]


def test_no_matrix_is_between_the_passes_over_a_row() -> None:
    source = gradjit.value_and_grad(cross_entropy).lower(X, LABELS).source
    assert source.count("mem.empty(") == 2  # the gradient, and a row of exponentials
    assert "zeros(" not in source


# ---------------------------------------------------------------- loops of programs


def nearest(x: Any) -> Any:
    cost = 0.0
    for i in range(x.shape[0]):
        best = 10.0
        for j in range(x.shape[1]):
            distance = (x[i, j] - 0.5) ** 2
            if distance < best:
                best = distance
        cost += best
    return cost


def iterated(x: Any) -> Any:
    out = np.empty(x.shape[0])
    for i in range(x.shape[0]):
        a = 1.0
        for j in range(x.shape[1]):
            a = 0.5 * (a + (2.0 + x[i, j] ** 2) / a)
        out[i] = a
    return np.sum(out * out)


@pytest.mark.parametrize("f", [nearest, iterated])
def test_forward_and_backward_of_a_row_share_an_iteration(f: Any) -> None:
    graph = grad_stages(f, X)["rows"]
    loops = [e for e in graph.block.eqns if e.op.name in ("for_", "map_")]
    assert len(loops) == 1
    with config.override(jit=False):
        agree(f, X)


def test_what_is_kept_for_the_way_back_is_one_row() -> None:
    source = gradjit.value_and_grad(nearest).lower(X).source
    assert "mem.empty(m, np.bool_)" in source


# -------------------------------------------------------------- what has to stay apart


def neighbours(x: Any) -> Any:
    a, b = np.empty_like(x), np.empty_like(x)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            a[i, j] = np.sin(x[i, j])
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            b[i, j] = a[(i + 1) % x.shape[0], j] * x[i, j]
    return np.sum(b * x)


def later_rows(x: Any) -> Any:
    a = np.exp(x)
    return np.sum(np.sin(a / np.sum(a, axis=0)))


def rebound(x: Any) -> Any:
    a = np.zeros(x.shape)
    for i in range(x.shape[0]):
        a = x * i + np.sin(a)
    out = 0.0
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out += a[i, j] * x[i, j]
    return out


def chosen(x: Any) -> Any:
    a, b = x.copy(), np.cos(x)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            a[i, j] = np.sin(a[i, j])
        if x[i, 0] > 0.0:
            a, b = b, a
    out = 0.0
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out += a[i, j] * b[i, j] ** 2
    return out


def both_versions(x: Any) -> Any:
    a = np.sin(x)
    b = a.copy()
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            a[i, j] *= x[i, j]
    return np.sum(np.sum(a, axis=1) * np.sum(b * a, axis=1))


def twins(x: Any) -> Any:
    a, b = x.copy(), x.copy()
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            a[i, j] = np.sin(a[i, j])
            b[i, j] *= 2.0 + a[i, j]
    out = 0.0
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out += b[i, j] ** 2
    return out


@pytest.mark.parametrize(
    "f", [neighbours, later_rows, rebound, chosen, both_versions, twins]
)
def test_rows_that_are_not_done_are_not_read(f: Any) -> None:
    with config.override(jit=False, check=True):
        assert gradjit.jit(f)(X) == pytest.approx(f(X), rel=1e-12)
        agree(f, X)


def test_the_first_of_two_errors_is_raised() -> None:
    def f(x: Any, p: Any, q: Any) -> Any:
        a = np.zeros(x.shape[0])
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                a[i] += x[i, p[j]]
        out = 0.0
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                out += a[i] * x[i, q[j]]
        return out

    p = np.arange(9)
    q = p + 1
    with config.override(jit=False):
        with pytest.raises(IndexError, match="q\\[j\\]"):
            gradjit.jit(f)(X, p, q)
        with pytest.raises(IndexError, match="p\\[j\\]"):
            gradjit.jit(f)(X, q, q)
        assert gradjit.jit(f)(X, p, p) == pytest.approx(f(X, p, p))


def test_short_rows_stay_in_their_nests() -> None:
    def f(x: Any) -> Any:
        points = np.zeros((x.shape[0], 3))
        points[:, 0] = x[:, 0]
        return np.sum(np.exp(points - np.max(points, axis=1, keepdims=True)))

    graph = stages(f, X)["fuse"]
    assert not eqns(share_rows(graph), "for_")


@pytest.mark.parametrize("seed", [*range(60), 412])
def test_random_loops_over_rows(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against plain Python, and against the loops as they are without the pass."""
    program = load(Rows(seed).source(), tmp_path)

    def derived() -> Any:
        return gradjit.value_and_grad(lambda x, w: program(x, w), argnums=(0, 1))(X, W)

    with config.override(jit=False, check=True):
        value, grads = derived()
        monkeypatch.setattr(pipeline, "share_rows", lambda graph, **_: graph)
        monkeypatch.setattr(fuse, "share_rows", lambda graph, _: graph)
        _, apart = derived()
    np.testing.assert_allclose(value, program(X, W), rtol=1e-10)
    for shared, alone in zip(grads, apart, strict=True):
        np.testing.assert_allclose(shared, alone, rtol=1e-10, atol=1e-12)


def test_empty_rows() -> None:
    f = gradjit.value_and_grad(
        lambda x: np.sum(np.exp(x) / np.sum(np.exp(x), axis=1)[:, None])
    )
    for shape in ((0, 3), (3, 0), (0, 0)):
        value, d_x = f(np.ones(shape))
        assert value == 0.0
        assert d_x.shape == shape
