"""Hand-written adjoints: what an expert with Numba and a pencil would write.

Each function returns the value and the gradients of the workload of that name in one
compiled call. The usual means are used: one fused pass where the mathematics allows it,
`error_model="numpy"`, reassociation in reductions, no allocation inside loops, BLAS for
matrix products, loops that LLVM can vectorise, also over `exp` and `log1p`, for which
they use the same vector math as emitted sources.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from gradjit.vectormath import chosen, module

_vector_math = module(chosen())
exp, log1p = _vector_math.exp, _vector_math.log1p

_plain = njit(cache=True, error_model="numpy")
_sums = njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})


@_plain
def circuit(x: float, y: float) -> Any:
    sigy = 1.0 / (1.0 + math.exp(-y))
    num = x + sigy
    sigx = 1.0 / (1.0 + math.exp(-x))
    xpy = x + y
    invden = 1.0 / (sigx + xpy * xpy)
    d_den = -num * invden * invden
    d_xpy = 2.0 * xpy * d_den
    d_x = invden + d_xpy + (1.0 - sigx) * sigx * d_den
    d_y = d_xpy + (1.0 - sigy) * sigy * invden
    return num * invden, (d_x, d_y)


@_sums
def rosenbrock(x: Any) -> Any:
    n = x.size
    d_x = np.empty(n)
    if n < 2:
        d_x[:] = 0.0
        return 0.0, d_x
    t = x[1] - x[0] * x[0]
    s = 1.0 - x[0]
    value = 100.0 * t * t + s * s
    d_x[0] = -400.0 * x[0] * t - 2.0 * s
    before, here, after, out = x[: n - 2], x[1 : n - 1], x[2:], d_x[1 : n - 1]
    for i in range(n - 2):
        u = here[i]
        b = before[i]
        t = after[i] - u * u
        s = 1.0 - u
        value += 100.0 * t * t + s * s
        out[i] = 200.0 * (u - b * b) - 400.0 * u * t - 2.0 * s
    d_x[n - 1] = 200.0 * (x[n - 1] - x[n - 2] * x[n - 2])
    return value, d_x


@_sums
def logistic(w: Any, images: Any, labels: Any) -> Any:
    z = np.dot(images, w)
    value = 0.0
    for i in range(z.size):
        e = exp(-labels[i] * z[i])
        value += log1p(e)
        z[i] = -labels[i] * (e / (1.0 + e))
    return value, np.dot(z, images)


@_sums
def network(w1: Any, b1: Any, w2: Any, b2: Any, images: Any, labels: Any) -> Any:
    """Two layers, ReLU between them, mean softmax cross-entropy."""
    rows = images.shape[0]
    hidden = np.dot(images, w1)
    for i in range(rows):
        for j in range(b1.size):
            hidden[i, j] = max(hidden[i, j] + b1[j], 0.0)
    scores = np.dot(hidden, w2)
    picked = 0.0
    for i in range(rows):
        top = -np.inf
        for j in range(b2.size):
            scores[i, j] += b2[j]
            top = max(top, scores[i, j])
        for j in range(b2.size):
            scores[i, j] -= top
        picked += scores[i, labels[i]]
    flat = scores.reshape(scores.size)
    for k in range(flat.size):
        flat[k] = exp(flat[k])
    loss = 0.0
    d_b2 = np.zeros(b2.size)
    for i in range(rows):
        total = 0.0
        for j in range(b2.size):
            total += scores[i, j]
        loss += math.log(total)
        scale = 1.0 / (total * rows)
        for j in range(b2.size):
            scores[i, j] *= scale
        scores[i, labels[i]] -= 1.0 / rows
        for j in range(b2.size):
            d_b2[j] += scores[i, j]
    d_w2 = np.dot(hidden.T, scores)
    d_hidden = np.dot(scores, w2.T)
    d_b1 = np.zeros(b1.size)
    for i in range(rows):
        for j in range(b1.size):
            d_hidden[i, j] = d_hidden[i, j] if hidden[i, j] > 0.0 else 0.0
            d_b1[j] += d_hidden[i, j]
    d_w1 = np.dot(images.T, d_hidden)
    return (loss - picked) / rows, (d_w1, d_b1, d_w2, d_b2)


@_plain
def recurrence(x: Any, a: float) -> Any:
    n = x.size
    states = np.empty(n)
    s = 0.0
    value = 0.0
    for i in range(n):
        s = math.tanh(a * s + x[i])
        states[i] = s
        value += s * s
    d_x = np.empty(n)
    d_a = 0.0
    d_s = 0.0
    for i in range(n - 1, 0, -1):
        s = states[i]
        d_z = (d_s + 2.0 * s) * (1.0 - s * s)
        d_x[i] = d_z
        d_a += d_z * states[i - 1]
        d_s = d_z * a
    if n > 0:
        s = states[0]
        d_x[0] = (d_s + 2.0 * s) * (1.0 - s * s)
    return value, (d_x, d_a)


@_sums
def _sweep(up: Any, row: Any, down: Any, fifths: Any) -> None:
    """One row forward: what does not wait for the left neighbour is vectorised."""
    m = row.size
    for j in range(1, m - 1):
        fifths[j] = 0.2 * (row[j] + up[j] + down[j] + row[j + 1])
    left = row[0]
    for j in range(1, m - 1):
        left = fifths[j] + 0.2 * left
        row[j] = left


@_sums
def _sweep_back(up: Any, row: Any, down: Any, shares: Any) -> None:
    """One row backward: the chain from right to left, then the neighbours' shares."""
    m = row.size
    right = 0.0
    for j in range(m - 2, 0, -1):
        right = 0.2 * (row[j] + right)
        shares[j] = right
    for j in range(1, m - 1):
        up[j] += shares[j]
        down[j] += shares[j]
        row[j] = shares[j] + shares[j - 1]
    row[0] += shares[1]
    row[m - 1] += shares[m - 2]


@_sums
def stencil(grid: Any, sweeps: int) -> Any:
    """Gauss-Seidel sweeps in place: linear, so nothing has to be saved."""
    n, m = grid.shape
    u = grid.copy()
    work = np.zeros(m)
    for _ in range(sweeps):
        for i in range(1, n - 1):
            _sweep(u[i - 1], u[i], u[i + 1], work)
    value = 0.0
    for i in range(n):
        for j in range(m):
            value += u[i, j] * u[i, j]
            u[i, j] *= 2.0
    work[0] = 0.0
    for _ in range(sweeps):
        for i in range(n - 2, 0, -1):
            _sweep_back(u[i - 1], u[i], u[i + 1], work)
    return value, u


@_sums
def _square(x: Any) -> Any:
    d_x = np.empty(x.size)
    value = 0.0
    for i in range(x.size):
        value += x[i] * x[i]
        d_x[i] = 2.0 * x[i]
    return value, d_x


@_plain
def eight(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> Any:
    """Sum of squares of eight short vectors: the price of the call."""
    v0, d_a = _square(a)
    v1, d_b = _square(b)
    v2, d_c = _square(c)
    v3, d_d = _square(d)
    v4, d_e = _square(e)
    v5, d_f = _square(f)
    v6, d_g = _square(g)
    v7, d_h = _square(h)
    value = v0 + v1 + v2 + v3 + v4 + v5 + v6 + v7
    return value, (d_a, d_b, d_c, d_d, d_e, d_f, d_g, d_h)
