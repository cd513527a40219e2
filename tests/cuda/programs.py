"""Programs for a device, as people write them, with small arguments.

Each is run in the simulator and compared with the CPU, and its kernels are compiled.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from scipy.special import ndtr

import gradjit

_RNG = np.random.default_rng(0)


class Program(NamedTuple):
    """A function with arguments; it is differentiated by all arrays of floats."""

    function: Any
    args: tuple[Any, ...]

    @property
    def wrt(self) -> tuple[int, ...]:
        return tuple(k for k, x in enumerate(self.args) if _is_float(x))

    def at(self, dtype: str) -> tuple[Any, ...]:
        """The arguments in a precision."""
        return tuple(x.astype(dtype) if _is_float(x) else x for x in self.args)


def _is_float(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def normal(*shape: int) -> Any:
    return _RNG.normal(size=shape)


def positive(*shape: int) -> Any:
    return _RNG.uniform(0.5, 1.5, size=shape)


# ------------------------------------------------------------------ array expressions


def chain(x):
    return np.sum(np.tanh(x) * np.exp(-x * x))


def bias(x, b):
    y = np.tanh(x + b)
    return np.sum(y * y)


def several_axes(x):
    a, b, c = x.sum(axis=0), x.mean(axis=(1, 2)), x.max(axis=2)
    return np.sum(a * a) + np.sum(np.exp(b)) + np.sum(c**3)


def places(x):
    return x[np.argmax(x)] ** 2 - x[np.argmin(x)] + np.sum(x[:, None] * x[None, :3])


def rows_and_places(x):
    best = np.argmax(x, axis=1)
    worst = np.argmin(x, axis=0)
    return np.sum(x[np.arange(x.shape[0]), best] ** 2) - np.sum(worst)


def embedding(w, index):
    return np.sum(np.tanh(w[index]) ** 2)


def masked(x):
    y = np.where(x > 0.3, x * x, np.sin(x))
    y[y > 1.0] = 1.0
    return np.sum(y) * np.prod(1.0 + 0.1 * x[:3]) + np.min(x) - np.max(x)


# -------------------------------------------------------------------------- networks


def cross_entropy(x, w, labels):
    s = x @ w
    m = s.max(axis=1, keepdims=True)
    lse = np.log(np.exp(s - m).sum(axis=1)) + m[:, 0]
    return np.mean(lse - s[np.arange(len(labels)), labels])


def layer_norm(x, g, b):
    d = x - x.mean(axis=-1, keepdims=True)
    v = (d * d).mean(axis=-1, keepdims=True)
    return np.sum((d / np.sqrt(v + 1e-5) * g + b) ** 2)


def attention(q, k, v):
    s = q @ k.T / np.sqrt(q.shape[1])
    p = np.exp(s - s.max(axis=1, keepdims=True))
    p = p / p.sum(axis=1, keepdims=True)
    return np.sum((p @ v) ** 2)


def recurrent(x, w, u):
    h = np.zeros(w.shape[0])
    total = 0.0
    for i in range(x.shape[0]):
        h = np.tanh(w @ h + u @ x[i])
        total += np.sum(h * h)
    return total


# ---------------------------------------------------------------------- loops of steps


def stencil(u, n):
    for _ in range(n):
        v = u.copy()
        v[1:-1] = 0.5 * (u[2:] + u[:-2]) - 0.1 * u[1:-1]
        u = v
    return np.sum(u**2)


def heat(u, n):
    for _ in range(n):
        inner = u[1:-1, 1:-1]
        cross = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2]
        v = u.copy()
        v[1:-1, 1:-1] = inner + 0.1 * (cross - 4.0 * inner) * (1.0 + 0.1 * inner)
        u = v
    return np.sum(u * u)


def until_small(x):
    k = 0
    while np.sum(x * x) > 1.0:
        x = x * 0.7 * np.cos(0.1 * x)
        k += 1
    return np.sum(np.sin(x)) * k


def branches(x, n):
    for i in range(n):
        if np.sum(x) > 0.5 * i:  # noqa: SIM108
            x = x * 0.5
        else:
            x = np.sin(x) + 1.0
    return np.sum(x**3)


# ------------------------------------------------------------- independent iterations


def roots(a):
    out = np.empty(len(a))
    for i in numba.prange(len(a)):
        y = 1.0
        while abs(y * y - a[i]) > 1e-12:
            y = 0.5 * (y + a[i] / y)
        out[i] = y
    return np.sum(out**3)


def _cubic(c):
    x = 1.0
    for _ in range(60):
        step = (x * x * x - c) / (3.0 * x * x)
        x = x - step
        if abs(step) < 1e-5:
            break
    return x


def cubics(c):
    return np.sum(gradjit.vmap(_cubic)(c))


def _normal(x):
    return 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))


def _option(s, k, t, r, v):
    d1 = (math.log(s / k) + (r + 0.5 * v * v) * t) / (v * math.sqrt(t))
    d2 = d1 - v * math.sqrt(t)
    return s * _normal(d1) - k * math.exp(-r * t) * _normal(d2)


def options_loop(s, k, t, r, v):
    total = 0.0
    for i in numba.prange(len(s)):
        total += _option(s[i], k[i], t[i], r[i], v[i])
    return total


def options_vmap(s, k, t, r, v):
    return np.sum(gradjit.vmap(_option)(s, k, t, r, v))


def options_arrays(s, k, t, r, v):
    d1 = (np.log(s / k) + (r + 0.5 * v * v) * t) / (v * np.sqrt(t))
    d2 = d1 - v * np.sqrt(t)
    return np.sum(s * ndtr(d1) - k * np.exp(-r * t) * ndtr(d2))


def softmax_rows(x):
    def one(row):
        e = np.exp(row - np.max(row))
        return np.sum((e / np.sum(e)) ** 2)

    return np.sum(gradjit.vmap(one)(x))


def histogram(x, index, n):
    h = np.zeros(n)
    for i in numba.prange(len(x)):
        h[index[i]] += x[i] * x[i]
    return np.sum(h**2)


def own_arrays(x):
    total = 0.0
    for i in numba.prange(x.shape[0]):
        acc = np.zeros(x.shape[1])
        for j in range(x.shape[1]):
            acc[j] = x[i, j] * (acc[j - 1] if j > 0 else 1.0)
        for j in range(x.shape[1]):
            total += acc[j]
    return total


def rotated(points, angle):
    total = 0.0
    r = np.empty(3)
    for i in range(points.shape[0]):
        c, s = np.cos(angle[i]), np.sin(angle[i])
        r[0] = c * points[i, 0] - s * points[i, 1]
        r[1] = s * points[i, 0] + c * points[i, 1]
        r[2] = points[i, 2]
        total += r[0] / r[2] + r[1] * r[1]
    return total


def nearest(points, centres):
    total = 0.0
    for i in range(points.shape[0]):
        best = np.inf
        for k in range(centres.shape[0]):
            d = 0.0
            for c in range(points.shape[1]):
                d += (points[i, c] - centres[k, c]) ** 2
            best = min(best, d)
        total += best
    return total


# ------------------------------------------------------------- numbers between kernels


def first_and_last(x):
    y = x * x
    y[0] = y[1] + y[-1]
    a = y[0] / (1.0 + y[2])
    return np.sum(y) * a + (a if a > 0.5 else -a * a)


def swept(x):
    y = np.sin(x)
    for i in range(1, y.shape[0]):
        y[i] = y[i] + 0.5 * y[i - 1]
    return np.sum(y * y)


_OPTIONS = (
    100.0 * positive(37),
    100.0 * positive(37),
    positive(37),
    0.05 * positive(37),
    0.3 * positive(37),
)
PROGRAMS = {
    "chain": Program(chain, (normal(100),)),
    "bias": Program(bias, (normal(7, 5), normal(5))),
    "several axes": Program(several_axes, (normal(4, 5, 6),)),
    "places": Program(places, (normal(50),)),
    "rows and places": Program(rows_and_places, (normal(6, 9),)),
    "embedding": Program(embedding, (normal(6, 4), _RNG.integers(0, 6, 11))),
    "masked": Program(masked, (normal(40),)),
    "cross entropy": Program(
        cross_entropy, (normal(8, 5), normal(5, 4), _RNG.integers(0, 4, 8))
    ),
    "layer norm": Program(layer_norm, (normal(6, 5), normal(5), normal(5))),
    "attention": Program(attention, (normal(7, 4), normal(9, 4), normal(9, 3))),
    "recurrent": Program(recurrent, (normal(5, 3), normal(4, 4), normal(4, 3))),
    "stencil": Program(stencil, (normal(30), 4)),
    "stencil of nothing": Program(stencil, (normal(1), 2)),
    "heat": Program(heat, (normal(8, 9), 3)),
    "until small": Program(until_small, (normal(20),)),
    "branches": Program(branches, (positive(9), 5)),
    "roots": Program(roots, (positive(37),)),
    "cubics": Program(cubics, (3.0 * positive(37),)),
    "options, a loop": Program(options_loop, _OPTIONS),
    "options, vmap": Program(options_vmap, _OPTIONS),
    "options, arrays": Program(options_arrays, _OPTIONS),
    "softmax of rows": Program(softmax_rows, (normal(9, 13),)),
    "histogram": Program(histogram, (normal(37), _RNG.integers(0, 5, 37), 5)),
    "arrays of an iteration": Program(own_arrays, (positive(11, 6),)),
    "rotated": Program(rotated, (positive(9, 3), normal(9))),
    "nearest": Program(nearest, (normal(23, 2), normal(4, 2))),
    "first and last": Program(first_and_last, (positive(12),)),
    "swept": Program(swept, (normal(12),)),
}
