"""Products of matrices go where they are wanted, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit.testing import check_grads

RNG = np.random.default_rng(5)


def some(*shape: int) -> Any:
    return RNG.normal(size=shape)


def recurrent(wx: Any, wh: Any, wo: Any, xs: Any) -> Any:
    h = np.zeros((xs.shape[1], wh.shape[1]))
    loss = 0.0
    for t in range(xs.shape[0]):
        h = np.tanh(xs[t] @ wx + h @ wh)
        loss += np.sum((h @ wo) ** 2)
    return loss


def chained(x: Any, w: Any) -> Any:
    first = np.tanh(x @ w)
    return np.sum(np.tanh(first @ w) ** 2)


def batched(x: Any, y: Any) -> Any:
    return np.sum((x @ y) ** 2)


def rows(x: Any, w: Any) -> Any:
    out = np.zeros((x.shape[0], x.shape[1], w.shape[1]))
    for t in range(x.shape[0]):
        out[t] = x[t] @ w
    return np.sum(out**3)


def part(x: Any, w: Any) -> Any:
    out = np.ones((x.shape[0] + 1, w.shape[1] + 2))
    out[: x.shape[0], 1 : w.shape[1] + 1] += x @ w
    return np.sum(out**3)


def cut(x: Any, w: Any) -> Any:
    out = np.ones((2, w.shape[1]))
    out += (x @ w)[:2]
    return np.sum(out**3)


def first(x: Any, w: Any) -> Any:
    out = np.ones((x.shape[0], w.shape[1]))
    out[:2] += (x @ w)[:2]
    return np.sum(out**3)


def itself(w: Any) -> Any:
    x = 0.1 * w
    for _ in range(3):
        x += x @ w
    return np.sum(x**2)


def steps(h: Any, w: Any) -> Any:
    path = np.zeros((4, h.shape[0], h.shape[1]))
    path[0] = h
    for t in range(3):
        path[t + 1] = path[t] @ w
    return np.sum(path**2)


def twice(x: Any, w: Any) -> Any:
    p = x @ w
    out = np.ones(p.shape)
    out += p
    return np.sum(out * p)


def two(x: Any, w: Any, y: Any, v: Any) -> Any:
    return np.sum(np.tanh(x @ w + y @ v))


def vectors(w: Any, x: Any) -> Any:
    total = np.zeros(w.shape[0])
    for t in range(x.shape[0]):
        total += w @ x[t]
    return np.sum(total**3)


SQUARE = some(5, 5)
CASES: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (recurrent, (some(7, 5), some(5, 5), some(5, 3), some(4, 6, 7))),
    (chained, (some(6, 5), some(5, 5))),
    (batched, (some(3, 4, 6), some(3, 6, 5))),
    (rows, (some(3, 4, 6), some(6, 5))),
    (part, (some(6, 7), some(7, 5))),
    (cut, (some(6, 7), some(7, 5))),
    (first, (some(6, 7), some(7, 5))),
    (itself, (SQUARE,)),
    (steps, (some(6, 5), SQUARE)),
    (twice, (some(6, 7), some(7, 5))),
    (two, (some(6, 7), some(7, 5), some(6, 9), some(9, 5))),
    (vectors, (some(6, 7), some(4, 7))),
]


@pytest.mark.parametrize(("f", "args"), CASES, ids=lambda c: getattr(c, "__name__", ""))
def test_values_and_gradients(f: Callable[..., Any], args: tuple[Any, ...]) -> None:
    kept = [a.copy() for a in args]
    np.testing.assert_allclose(gradjit.jit(f)(*args), f(*args), rtol=1e-11)
    which = tuple(range(len(args)))
    value, gradients = gradjit.value_and_grad(f, argnums=which)(*args)
    np.testing.assert_allclose(value, f(*args), rtol=1e-11)
    for k, gradient in enumerate(gradients):
        direction = some(*args[k].shape)
        up, down = list(args), list(args)
        up[k], down[k] = args[k] + 1e-5 * direction, args[k] - 1e-5 * direction
        slope = (f(*up) - f(*down)) / 2e-5
        np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=1e-5)
    check_grads(f, args, order=1)
    for a, b in zip(args, kept, strict=True):
        np.testing.assert_array_equal(a, b)


def source(f: Callable[..., Any], args: tuple[Any, ...]) -> str:
    which = tuple(range(len(args)))
    return gradjit.value_and_grad(f, argnums=which).lower(*args).source


def test_weights_of_a_recurrence_have_no_temporary() -> None:
    text = source(*CASES[0])
    for line in ("d_wh, h.T, ", "d_wx, xs[t].T, ", "d_wo, "):
        assert f"la.add_matmul({line}" in text
    assert "d_wh[" not in text
    assert "d_wx[" not in text
    assert "d_wo[" not in text


def test_both_uses_of_a_weight_add_to_one_array() -> None:
    text = source(*CASES[1])
    assert text.count("la.add_matmul(") == 1
    assert "d_w[" not in text


def test_batches_are_written_in_place() -> None:
    text = source(*CASES[2])
    assert "product" not in text
    assert text.count("out=") == 3


@pytest.mark.parametrize("f", [itself, steps, cut, part, first])
def test_operands_and_parts_keep_their_temporaries(f: Callable[..., Any]) -> None:
    (args,) = (a for g, a in CASES if g is f)
    text = gradjit.jit(f).lower(*args).source
    assert "add_matmul" not in text
    assert "out=" not in text
