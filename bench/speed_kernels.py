"""Kernels of linear algebra and layers as loops with stores.

Those of `bench/loops_kernels.py` are measured beside them.
"""

from __future__ import annotations

import numpy as np


def atax(matrix, x, weights):
    """weights . (matrix^T matrix x), row by row."""
    n, m = matrix.shape
    out = np.zeros(m)
    for i in range(n):
        along = 0.0
        for j in range(m):
            along += matrix[i, j] * x[j]
        for j in range(m):
            out[j] += along * matrix[i, j]
    return np.sum(weights * out)


def gemm(alpha, beta, c, a, b, weights):
    """alpha a b + beta c, with rows of b in the inner loop."""
    out = c.copy()
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            out[i, j] *= beta
        for k in range(a.shape[1]):
            scale = alpha * a[i, k]
            for j in range(b.shape[1]):
                out[i, j] += scale * b[k, j]
    return np.sum(weights * out)


def go_fast(a, weights):
    """Every entry, and the sum of tanh over the diagonal."""
    trace = 0.0
    for i in range(a.shape[0]):
        trace += np.tanh(a[i, i])
    return np.sum(weights * (a + trace))


def compute(x, y, a, b, c, weights):
    """clip(x, 2, 10) a + y b + c, entry by entry."""
    out = np.empty_like(x)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, j] = min(max(x[i, j], 2.0), 10.0) * a + y[i, j] * b + c
    return np.sum(weights * out)


def softmax(x, weights):
    """Of each row, over its own exponentials."""
    out = np.empty_like(x)
    for i in range(x.shape[0]):
        largest = x[i, 0]
        for j in range(1, x.shape[1]):
            largest = max(largest, x[i, j])
        mass = 0.0
        for j in range(x.shape[1]):
            out[i, j] = np.exp(x[i, j] - largest)
            mass += out[i, j]
        for j in range(x.shape[1]):
            out[i, j] /= mass
    return np.sum(weights * out)
