"""How many loops, arrays and products twelve gradients are made of.

These numbers are what makes them fast; no time is measured here. A loop is a pass over
memory or over a row of it; an array is memory that a call takes. Who changes them
should know why: print the source of the program.
"""

from __future__ import annotations

import ast
from typing import Any, NamedTuple

import numpy as np
import pytest

import gradjit
from gradjit import config


class Structure(NamedTuple):
    """What a source has.

    Attributes:
        loops: All `for`.
        outer: Those that stand in no other.
        arrays: What it allocates.
        products: Calls of BLAS.
    """

    loops: int
    outer: int
    arrays: int
    products: int


def structure(source: str) -> Structure:
    """Count in the text of a module with one function."""
    tree = ast.parse(source)
    function = next(n for n in tree.body if isinstance(n, ast.FunctionDef))
    loops = [n for n in ast.walk(function) if isinstance(n, ast.For)]
    calls = [n.func for n in ast.walk(function) if isinstance(n, ast.Call)]
    names = [
        (f.value.id, f.attr)
        for f in calls
        if isinstance(f, ast.Attribute) and isinstance(f.value, ast.Name)
    ]
    return Structure(
        len(loops),
        sum(isinstance(n, ast.For) for n in function.body),
        sum(owner == "mem" or attr == "copy" for owner, attr in names)
        + sum(name == ("la", "matmul") for name in names)
        - source.count("out="),
        sum(owner == "la" for owner, _ in names),
    )


RNG = np.random.default_rng(17)
X = RNG.normal(size=(6, 12))
V = RNG.normal(size=40)
W = RNG.normal(size=(12, 5))
LABELS = RNG.integers(0, 12, size=6)


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def chain(x):
    return np.sum(np.tanh(np.exp(-x * x) * np.sin(x)) ** 2)


def log_sum_exp(x):
    top = np.max(x)
    return np.log(np.sum(np.exp(x - top))) + top


def variance(x):
    return np.mean((x - np.mean(x)) ** 2)


def softmax(x, w):
    e = np.exp(x - np.max(x, axis=1, keepdims=True))
    return np.sum(w * e / np.sum(e, axis=1, keepdims=True))


def cross_entropy(x, labels):
    s = x - np.max(x, axis=1, keepdims=True)
    total = np.log(np.sum(np.exp(s), axis=1))
    return np.mean(total - s[np.arange(len(labels)), labels])


def layer_norm(x, gain, bias):
    mean = np.mean(x, axis=1, keepdims=True)
    spread = np.mean((x - mean) ** 2, axis=1, keepdims=True)
    return np.sum(np.tanh((x - mean) / np.sqrt(spread + 1e-5) * gain + bias))


def logistic(w, x, y):
    return np.sum(np.log1p(np.exp(-y * (x @ w))))


def dense(w, b, x):
    return np.sum(np.maximum(x @ w + b, 0.0) ** 2)


def rows(x):
    out = np.empty(x.shape[0])
    for i in range(x.shape[0]):
        top = x[i, 0]
        for j in range(1, x.shape[1]):
            top = max(top, x[i, j])
        total = 0.0
        for j in range(x.shape[1]):
            total += np.exp(x[i, j] - top)
        out[i] = np.log(total) + top
    return np.sum(out)


def smoothed(u):
    u = u.copy()
    for i in range(1, len(u) - 1):
        u[i] = 0.25 * u[i - 1] + 0.5 * u[i] + 0.25 * u[i + 1]
    return np.sum(u * u)


def turned(q, v):
    w = np.cross(q, v) + 0.5 * v
    return np.dot(w, w) + np.sum(np.outer(q, v) @ w)


Q, P = np.array([0.3, -0.4, 0.5]), np.array([1.0, 2.0, -0.5])
CASES: list[tuple[Any, tuple[Any, ...], Structure]] = [
    (rosenbrock, (V,), Structure(1, 1, 1, 0)),
    (chain, (V,), Structure(1, 1, 1, 0)),
    (log_sum_exp, (V,), Structure(4, 4, 1, 0)),
    (variance, (V,), Structure(3, 3, 1, 0)),
    (softmax, (X, X), Structure(6, 1, 3, 0)),
    (cross_entropy, (X, LABELS), Structure(7, 2, 2, 0)),
    (layer_norm, (X, X[0], X[1]), Structure(6, 1, 3, 0)),
    (logistic, (X[0], X, X[:, 0]), Structure(1, 1, 3, 2)),
    (dense, (W, W[0], X), Structure(2, 1, 2, 2)),
    (rows, (X,), Structure(5, 1, 3, 0)),
    (smoothed, (V,), Structure(3, 3, 2, 0)),
    (turned, (Q, P), Structure(0, 0, 1, 0)),
]


@pytest.mark.parametrize(("f", "args", "want"), CASES)
def test_loops_arrays_and_products(f: Any, args: Any, want: Structure) -> None:
    floats = tuple(k for k, a in enumerate(args) if a.dtype.kind == "f")
    static = {"q": -1, "v": -1} if f is turned else ()
    with config.override(vector_math="polynomial"):
        gradient = gradjit.value_and_grad(f, argnums=floats[:1], static=static)
        assert structure(gradient.lower(*args).source) == want
