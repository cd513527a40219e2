"""Programs with loops that threads may share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import prange

from gradjit import vmap

N = 37
X = np.linspace(-1.0, 1.5, N)
W = np.linspace(0.5, 0.9, 5)
A = np.sin(np.arange(N * 6.0)).reshape(N, 6)
P = (np.arange(N) * 7) % N


def rows_and_sums(x: Any, w: Any) -> Any:
    y = np.empty(len(x))
    s = 0.0
    for i in prange(len(x)):
        t = np.sin(x[i]) * w[0]
        for k in range(5):
            t = t * w[k] + x[i]
        y[i] = t
        s += t * t
    return s + np.sum(y * y)


def two_axes(a: Any, w: Any) -> Any:
    n, m = a.shape
    out = np.zeros((n, m))
    for i in prange(n):
        for j in range(1, m):
            out[i, j] = out[i, j - 1] * w[0] + a[i, j]
    return np.sum(out * a)


def branches(x: Any, w: Any) -> Any:
    s = 0.0
    low = 0.0
    for i in prange(len(x)):
        if x[i] > 0.0:
            s += w[1] * x[i]
            if x[i] > 1.0:
                low -= x[i] ** 2
        else:
            s -= x[i] * w[0]
    return s * s + low


def histogram(x: Any, w: Any) -> Any:
    h = np.zeros(5)
    for i in prange(len(x)):
        for k in range(5):
            h[k] += np.exp(-((x[i] - w[k]) ** 2))
    return np.sum(h * h)


def backwards(x: Any, w: Any) -> Any:
    y = np.zeros(len(x))
    for i in prange(len(x) - 2, 0, -2):
        y[i] = x[i - 1] * x[i] + x[i + 1] * w[0]
    return np.sum(y**3)


def stencil(x: Any, w: Any) -> Any:
    y = np.empty(len(x))
    for step in range(3):
        for i in prange(len(x)):
            y[i] = x[i] * w[step]
            if i > 0:
                y[i] += 0.5 * x[i - 1] * x[i]
        x = y.copy()
    return np.sum(x * x)


def blocks(x: Any, w: Any) -> Any:
    y = np.zeros(3 * len(x))
    for i in prange(len(x)):
        for j in range(3):
            y[3 * i + j] = x[i] * w[j]
    return np.sum(y**2)


def private_arrays(a: Any, w: Any) -> Any:
    n, m = a.shape
    s = 0.0
    for i in prange(n):
        work = np.zeros(m)
        for j in range(m):
            work[j] = np.tanh(a[i, j] * w[1])
        s += np.sum(work * work) + work @ a[i]
    return s


def whole_rows(a: Any, w: Any) -> Any:
    out = np.empty(a.shape)
    total = np.zeros(a.shape[1])
    for i in prange(len(a)):
        row = a[i] * w[2] + 1.0
        out[i] = row * row
        total += np.cos(row)
    return np.sum(out) + np.sum(total**2)


def inner_while(x: Any, w: Any) -> Any:
    y = np.empty(len(x))
    for i in prange(len(x)):
        t = 1.0 + abs(x[i])
        while t < 4.0:
            t = t * 1.3 + w[0] * x[i] ** 2
        y[i] = t
    return np.sum(y)


def gathered(x: Any, w: Any) -> Any:
    s = 0.0
    p = (np.arange(len(x)) * 7) % len(x)
    for i in prange(len(x)):
        s += x[p[i]] * x[i] * w[0]
    return s


def in_place(x: Any, w: Any) -> Any:
    for i in prange(len(x)):
        x[i] = x[i] ** 2 * w[0]
        x[i] = np.sin(x[i])
    return np.sum(x * x)


def elementwise(x: Any, w: Any) -> Any:
    y = np.exp(x) * w[0]
    return np.sum(y * x) + np.max(y) - np.min(x) + np.prod(1 + 0.1 * x)


def axes(a: Any, w: Any) -> Any:
    down = np.sum(a * a, axis=0)
    across = np.sum(np.sin(a), axis=1)
    most = np.max(a, axis=0)
    return np.sum(down**2) + np.sum(across**3) + np.sum(most * down) * w[0]


def mapped(a: Any, w: Any) -> Any:
    def item(row: Any) -> Any:
        return np.tanh(row @ a[0, :6]) * row[0], row * w[0]

    s, rows = vmap(item)(a)
    return np.sum(s * s) + np.sum(rows**3)


def nested(a: Any, w: Any) -> Any:
    s = 0.0
    for i in prange(a.shape[0]):
        for j in prange(a.shape[1]):
            s += a[i, j] ** 2 * w[0]
    return s


def empty(x: Any, w: Any) -> Any:
    s = w[0]
    for i in prange(3, len(x) - N):
        s += x[i]
    return s * w[1]


PROGRAMS: list[tuple[Callable[..., Any], Any]] = [
    *((f, X) for f in (rows_and_sums, branches, histogram, backwards, stencil)),
    *((f, X) for f in (blocks, inner_while, gathered, in_place, elementwise, empty)),
    *((f, A) for f in (two_axes, private_arrays, whole_rows, axes, mapped, nested)),
]
IDS = [f.__name__ for f, _ in PROGRAMS]
