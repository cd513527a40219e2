"""The objectives of `bench/speed_objectives.py` as array expressions.

With `jax.numpy` for `np` they are what JAX is given (`bench/speed_jax.py`).
"""

from __future__ import annotations

import math

import numpy as np


def lse(x):
    largest = np.max(x)
    return largest + np.log(np.sum(np.exp(x - largest)))


def llsq(weights, samples):
    t = np.linspace(-1.0, 1.0, samples)
    left = np.sign(t) - t[:, None] ** np.arange(len(weights)) @ weights
    return 0.5 * np.sum(left**2)


def kmeans(points, centres):
    gaps = points[:, None, :] - centres[None, :, :]
    return np.sum(np.min(np.sum(gaps**2, axis=2), axis=1))


def log_total(scores):
    """Of each row."""
    largest = np.max(scores, axis=1)
    return largest + np.log(np.sum(np.exp(scores - largest[:, None]), axis=1))


def gmm(logits, means, log_scales, below, data, gamma, extra, places):
    """`places` says which entry of (0, below) stands where in a triangle."""
    count, size = means.shape
    scales = np.exp(log_scales)
    volume = np.sum(log_scales, axis=1)
    triangles = np.concatenate((np.zeros((count, 1)), below), axis=1)[:, places]
    gaps = data[:, None, :] - means
    white = scales * gaps + np.einsum("krc,nkc->nkr", triangles, gaps)
    scores = logits + volume - 0.5 * np.sum(white**2, axis=2)
    share = lse(logits) + 0.5 * size * math.log(2.0 * math.pi)
    fit = np.sum(log_total(scores)) - data.shape[0] * share
    degrees = size + extra + 1
    normaliser = degrees * size * np.log(gamma / np.sqrt(2.0))
    normaliser -= 0.25 * size * (size - 1) * math.log(math.pi)
    normaliser -= sum([math.lgamma(0.5 * (degrees - c)) for c in range(size)])
    squares = np.sum(scales**2) + np.sum(below**2)
    prior = extra * np.sum(volume) - 0.5 * gamma**2 * squares
    return fit + count * normaliser + prior


def cross(a, b):
    """Of each row."""
    return np.stack(
        [
            a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1],
            a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2],
            a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0],
        ],
        axis=1,
    )


def ba(cameras, points, weights, features):
    """No camera is at rest: there the angle has no slope."""
    place = points - cameras[:, 3:6]
    angle = np.sqrt(np.sum(cameras[:, :3] ** 2, axis=1))[:, None]
    axis = cameras[:, :3] / angle
    along = np.sum(axis * place, axis=1)[:, None] * (1.0 - np.cos(angle))
    seen = np.cos(angle) * place + np.sin(angle) * cross(axis, place) + along * axis
    uv = seen[:, :2] / seen[:, 2:]
    radius = np.sum(uv**2, axis=1)
    zoom = cameras[:, 6] * (1.0 + radius * (cameras[:, 9] + radius * cameras[:, 10]))
    off = weights[:, None] * (zoom[:, None] * uv + cameras[:, 7:9] - features)
    return 0.5 * (np.sum(off**2) + np.sum((1.0 - weights**2) ** 2))
