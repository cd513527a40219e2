"""The workloads: one function each, as its user would write it in plain NumPy Python.

`function` is what gradjit differentiates. The versions for the tape, autograd, JAX and
PyTorch stand in `bench/peers.py`, the adjoints by hand in `bench/handwritten.py`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Workload:
    """What is measured: a function, its arguments, and what to differentiate by.

    `small` builds arguments for `--quick` and for the tests, `full` those of the table.
    """

    name: str
    note: str
    function: Callable[..., Any]
    argnums: tuple[int, ...]
    full: Callable[[], tuple[Any, ...]]
    small: Callable[[], tuple[Any, ...]]


def circuit(x, y):
    sigy = 1.0 / (1 + math.exp(-y))
    num = x + sigy
    sigx = 1.0 / (1 + math.exp(-x))
    xpy = x + y
    xpysqr = xpy**2
    den = sigx + xpysqr
    invden = 1.0 / den
    return num * invden


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def logistic(w, images, labels):
    return np.sum(np.log1p(np.exp(-labels * (images @ w))))


def network(layers, images, labels):
    h = images
    for weights, bias in layers[:-1]:
        h = np.maximum(h @ weights + bias, 0.0)
    weights, bias = layers[-1]
    scores = h @ weights + bias
    scores = scores - np.max(scores, axis=1, keepdims=True)
    log_total = np.log(np.sum(np.exp(scores), axis=1))
    return np.mean(log_total - scores[np.arange(len(labels)), labels])


def recurrence(x, a):
    s = 0.0
    total = 0.0
    for i in range(len(x)):
        s = math.tanh(a * s + x[i])
        total += s * s
    return total


def stencil(grid, sweeps):
    u = grid.copy()
    for _ in range(sweeps):
        for i in range(1, u.shape[0] - 1):
            for j in range(1, u.shape[1] - 1):
                around = u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1]
                u[i, j] = 0.2 * (u[i, j] + around)
    return np.sum(u**2)


def eight(tree):
    total = 0.0
    for x in tree.values():
        total += np.sum(x**2)
    return total


def _regression(rows: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(1)
    images = rng.normal(size=(rows, 20))
    w = 0.3 * rng.normal(size=20)
    return w, images, np.where(images @ w > rng.normal(size=rows), 1.0, -1.0)


def _digits(batch: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(2)
    widths = (64, 64, 10)
    layers = [
        (rng.normal(size=(n, m)) * math.sqrt(2.0 / n), 0.1 * rng.normal(size=m))
        for n, m in itertools.pairwise(widths)
    ]
    return layers, rng.uniform(size=(batch, 64)), rng.integers(0, 10, size=batch)


def _series(n: int) -> tuple[Any, ...]:
    return np.random.default_rng(3).normal(size=n), 0.9


def _grid(n: int, sweeps: int) -> tuple[Any, ...]:
    return np.random.default_rng(4).uniform(size=(n, n)), sweeps


def _eight() -> tuple[Any, ...]:
    rng = np.random.default_rng(5)
    return ({name: rng.normal(size=10) for name in "abcdefgh"},)


WORKLOADS = (
    Workload(
        "circuit",
        "two numbers",
        circuit,
        (0, 1),
        lambda: (3.0, -4.0),
        lambda: (3.0, -4.0),
    ),
    Workload(
        "rosenbrock-10",
        "10 variables",
        rosenbrock,
        (0,),
        lambda: (np.linspace(-1.0, 1.0, 10),),
        lambda: (np.linspace(-1.0, 1.0, 10),),
    ),
    Workload(
        "rosenbrock-1e6",
        "10^6 variables",
        rosenbrock,
        (0,),
        lambda: (np.linspace(-1.0, 1.0, 10**6),),
        lambda: (np.linspace(-1.0, 1.0, 1000),),
    ),
    Workload(
        "logistic",
        "logistic regression, 10^5 rows of 20",
        logistic,
        (0,),
        lambda: _regression(10**5),
        lambda: _regression(200),
    ),
    Workload(
        "digits",
        "64-64-10 network, a batch of 100",
        network,
        (0,),
        lambda: _digits(100),
        lambda: _digits(7),
    ),
    Workload(
        "recurrence",
        "10^4 steps of one number",
        recurrence,
        (0, 1),
        lambda: _series(10**4),
        lambda: _series(50),
    ),
    Workload(
        "stencil",
        "Gauss-Seidel in place, 5 sweeps of 120 x 120",
        stencil,
        (0,),
        lambda: _grid(120, 5),
        lambda: _grid(9, 2),
    ),
    Workload(
        "eight-arrays",
        "8 vectors of 10 in a dict",
        eight,
        (0,),
        _eight,
        _eight,
    ),
)
