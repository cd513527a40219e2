"""Losses of networks as their users write them in NumPy, and their arguments.

JAX gets them in `bench/speed_jax.py`, PyTorch in `bench/speed_torch.py`, and the
adjoints by hand are in `bench/handwritten_networks.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np


def cross_entropy(scores, labels):
    """The mean over rows, from scores that are not normalised."""
    shifted = scores - np.max(scores, axis=1, keepdims=True)
    log_total = np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    log_probabilities = shifted - log_total
    return -np.mean(log_probabilities[np.arange(len(labels)), labels])


def perceptron(layers, inputs, labels):
    """Two layers with ReLU between them."""
    (first, bias), (second, offset) = layers
    hidden = np.maximum(inputs @ first + bias, 0.0)
    return cross_entropy(hidden @ second + offset, labels)


def block(x, gain, shift, weights, bias, target):
    """Layer normalisation, GELU by tanh, a linear layer; the mean square of errors."""
    centred = x - np.mean(x, axis=1, keepdims=True)
    variance = np.mean(centred**2, axis=1, keepdims=True)
    h = centred / np.sqrt(variance + 1e-5) * gain + shift
    h = 0.5 * h * (1.0 + np.tanh(0.7978845608028654 * (h + 0.044715 * h**3)))
    return np.mean((h @ weights + bias - target) ** 2)


# --------------------------------------------------------------------------- arguments


def scored(rows: int, classes: int, dtype: type) -> Callable[[], Any]:
    def build() -> tuple[Any, ...]:
        rng = np.random.default_rng(31)
        scores = 3.0 * rng.normal(size=(rows, classes))
        return scores.astype(dtype), rng.integers(0, classes, size=rows)

    return build


def perceptrons(batch: int, *widths: int) -> Callable[[], Any]:
    """Layers, a batch of inputs and their labels, in float32."""

    def build() -> tuple[Any, ...]:
        rng = np.random.default_rng(32)
        layers = [
            (single(rng.normal(size=(n, m)) / np.sqrt(n)), single(rng.normal(size=m)))
            for n, m in itertools.pairwise(widths)
        ]
        inputs = single(rng.uniform(size=(batch, widths[0])))
        return layers, inputs, rng.integers(0, widths[-1], size=batch)

    return build


def blocks(rows: int, width: int) -> Callable[[], Any]:
    def build() -> tuple[Any, ...]:
        rng = np.random.default_rng(33)
        shapes = (rows, width), width, width, (width, width), width, (rows, width)
        parts = [single(rng.normal(size=shape)) for shape in shapes]
        parts[3] /= np.float32(np.sqrt(width))
        return tuple(parts)

    return build


def single(x: Any) -> Any:
    return x.astype(np.float32)
