"""The programs for a GPU whose emitted gradients are kept in `tests/golden`."""

from __future__ import annotations

import numba
import numpy as np

from tests.codegen.golden_programs import Golden, sample


def chain(x):
    return np.sum(np.tanh(x) * np.exp(-x * x))


def layer_norm(x, g, b):
    d = x - x.mean(axis=-1, keepdims=True)
    v = (d * d).mean(axis=-1, keepdims=True)
    return np.sum((d / np.sqrt(v + 1e-5) * g + b) ** 2)


def roots(a):
    out = np.empty(len(a))
    for i in numba.prange(len(a)):
        y = 1.0
        while abs(y * y - a[i]) > 1e-12:
            y = 0.5 * (y + a[i] / y)
        out[i] = y
    return np.sum(out**3)


ON_DEVICE = {
    "cuda_chain": Golden(chain, (sample(70),), (0,), "cuda"),
    "cuda_layer_norm": Golden(
        layer_norm, (sample(6, 5), sample(5), sample(5) * 2), (0, 1, 2), "cuda"
    ),
    "cuda_roots": Golden(roots, (sample(37) + 1.5,), (0,), "cuda"),
}
