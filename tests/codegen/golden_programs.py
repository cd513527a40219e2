"""The programs whose emitted gradients are kept in `tests/golden`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


def circuit(x, y):
    sigy = 1.0 / (1 + math.exp(-y))
    num = x + sigy
    sigx = 1.0 / (1 + math.exp(-x))
    xpy = x + y
    xpysqr = xpy**2
    den = sigx + xpysqr
    invden = 1.0 / den
    return num * invden


def network(w1, b1, w2, b2, x, target):
    hidden = np.maximum(x @ w1 + b1, 0.0)
    out = hidden @ w2 + b2
    return np.sum((out - target) ** 2)


def recurrence(x, w, n):
    h = 0.0
    for i in range(n):
        h = math.tanh(w * h + x[i])
    return h


def newton(a):
    y = 1.0
    while abs(y * y - a) > 1e-12:
        y = 0.5 * (y + a / y)
    return y


def stencil(u, steps):
    a = u.copy()
    n = len(a)
    for _ in range(steps):
        for i in range(1, n - 1):
            a[i] = (a[i - 1] + a[i] + a[i + 1]) / 3.0
    return np.sum(a * a)


def branch(x):
    s = 0.0
    for i in range(len(x)):
        if x[i] > 0.0:
            s += x[i] ** 2
        else:
            s -= math.sin(x[i])
    return s


def masked(x):
    y = x.copy()
    y[x < 0.0] = 0.5
    return np.sum(y * x)


def broadcast(x, w):
    centred = x - np.mean(x, axis=0)
    return np.sum(centred * centred * w)


def _layers() -> Callable[..., Any]:
    activations = [np.tanh, np.exp]

    def layers(weights, x):
        h = x
        for w, f in zip(weights, activations, strict=True):
            h = f(w @ h)
        return np.sum(h)

    return layers


layers = _layers()


def triangular(a):
    n = a.shape[0]
    s = 0.0
    for i in range(n):
        for j in range(i):
            s += a[i, j] * a[j, i]
    return s


def first_over(x, limit):
    s = 0.0
    for i in range(len(x)):
        s += x[i] * x[i]
        if s > limit:
            break
    return s


def early_return(x, y):
    r = x * x + y * y
    if r < 1.0:
        return r
    return math.sqrt(r) + x


def weighted(x, y, w):
    return np.sum((x - y) ** 2 * w)


class Golden(NamedTuple):
    """A program with arguments and those that are differentiated."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    argnums: tuple[int, ...] = (0,)
    target: str = "cpu"


def sample(*shape: int) -> Any:
    count = math.prod(shape)
    return np.sin(np.arange(1.0, count + 1)).reshape(shape)


GOLDEN = {
    "circuit": Golden(circuit, (3.0, -4.0), (0, 1)),
    "network": Golden(
        network,
        (
            sample(4, 5),
            sample(5),
            sample(5, 2),
            sample(2),
            sample(3, 4),
            sample(3, 2),
        ),
        (0, 1, 2, 3),
    ),
    "recurrence": Golden(recurrence, (sample(6), 0.7, 6), (0, 1)),
    "newton": Golden(newton, (2.0,)),
    "stencil": Golden(stencil, (sample(7), 3)),
    "branch": Golden(branch, (sample(7),)),
    "masked": Golden(masked, (sample(7),)),
    "broadcast": Golden(broadcast, (sample(4, 3), sample(3)), (0, 1)),
    "layers": Golden(layers, ([sample(3, 3), sample(2, 3)], sample(3))),
    "triangular": Golden(triangular, (sample(4, 4),)),
    "first_over": Golden(first_over, (sample(7), 1.5)),
    "early_return": Golden(early_return, (1.5, 0.5), (0, 1)),
    "weighted": Golden(weighted, (sample(5), sample(5) * 2, sample(5)), (0, 2)),
}
