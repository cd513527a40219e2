"""Adjoints by hand of `bench/networks.py`, in the type of their arguments.

A row of scores is normalised in place, and becomes its own gradient. What Numba would
compute in double precision has its constants converted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from gradjit import vectormath

exp = vectormath.module(vectormath.chosen()).exp

_plain = njit(cache=True, error_model="numpy")
_sums = njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
_largest = njit(
    cache=True, error_model="numpy", fastmath={"reassoc", "nsz", "nnan", "ninf"}
)


@_largest
def _top(row: Any) -> Any:
    top = row[0]
    for j in range(1, row.size):
        top = max(top, row[j])
    return top


@_sums
def _normalise(row: Any, out: Any, top: Any) -> Any:
    """exp(row - top) into out; its sum."""
    total = row[0] - row[0]
    for j in range(row.size):
        e = exp(row[j] - top)
        out[j] = e
        total += e
    return total


@_sums
def _scale(row: Any, factor: Any) -> None:
    for j in range(row.size):
        row[j] *= factor


@_plain
def _losses(scores: Any, labels: Any, out: Any) -> float:
    """The mean loss; the gradient of the scores into out, which may be scores."""
    rows = scores.shape[0]
    loss = 0.0
    share = out.dtype.type(1.0 / rows)
    for i in range(rows):
        top = _top(scores[i])
        picked = scores[i, labels[i]]
        total = _normalise(scores[i], out[i], top)
        loss += np.log(total) - (picked - top)
        _scale(out[i], share / total)
        out[i, labels[i]] -= share
    return loss / rows


@_plain
def cross_entropy(scores: Any, labels: Any) -> Any:
    out = np.empty_like(scores)
    return _losses(scores, labels, out), out


@_sums
def _rectify(hidden: Any, bias: Any) -> None:
    zero = bias[0] - bias[0]
    for i in range(hidden.shape[0]):
        for j in range(bias.size):
            hidden[i, j] = max(hidden[i, j] + bias[j], zero)


@_sums
def _offset(scores: Any, bias: Any) -> None:
    for i in range(scores.shape[0]):
        for j in range(bias.size):
            scores[i, j] += bias[j]


@_sums
def _columns(d_out: Any, d_bias: Any) -> None:
    """The sums of columns."""
    d_bias[:] = 0.0
    for i in range(d_out.shape[0]):
        for j in range(d_bias.size):
            d_bias[j] += d_out[i, j]


@_sums
def _shut(d_hidden: Any, hidden: Any, d_bias: Any) -> None:
    """Nothing passes where the hidden unit is zero; the sums of columns."""
    d_bias[:] = 0.0
    zero = d_bias[0]
    for i in range(hidden.shape[0]):
        for j in range(d_bias.size):
            d = d_hidden[i, j] if hidden[i, j] > zero else zero
            d_hidden[i, j] = d
            d_bias[j] += d


@_plain
def perceptron(w1: Any, b1: Any, w2: Any, b2: Any, inputs: Any, labels: Any) -> Any:
    hidden = np.dot(inputs, w1)
    _rectify(hidden, b1)
    scores = np.dot(hidden, w2)
    _offset(scores, b2)
    loss = _losses(scores, labels, scores)
    d_b2 = np.empty_like(b2)
    _columns(scores, d_b2)
    d_w2 = np.dot(hidden.T, scores)
    d_hidden = np.dot(scores, w2.T)
    d_b1 = np.empty_like(b1)
    _shut(d_hidden, hidden, d_b1)
    return loss, (np.dot(inputs.T, d_hidden), d_b1, d_w2, d_b2)
