"""Objectives as loops over scalars, with work arrays: how C++ or Numba code has them.

What GradBench measures: log-sum-exp, a polynomial fitted by least squares, k-means, a
Gaussian mixture with a Wishart prior, bundle adjustment. `bench/speed_arrays.py` has
the same functions as array expressions. Jitted by Numba each is its own primal; their
helpers are jitted, since Numba calls no others.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit
def log_total(x):
    """log(sum(exp(x))), shifted by the largest entry."""
    largest = x[0]
    for k in range(1, len(x)):
        if x[k] > largest:
            largest = x[k]
    mass = 0.0
    for k in range(len(x)):
        mass += np.exp(x[k] - largest)
    return largest + np.log(mass)


def lse(x):
    return log_total(x)


def llsq(weights, samples):
    """Half the squares left when a polynomial is fitted to sign(t) on [-1, 1]."""
    squares = 0.0
    for k in range(samples):
        t = 2.0 * k / (samples - 1) - 1.0
        left = np.sign(t)
        monomial = 1.0
        for j in range(len(weights)):
            left -= weights[j] * monomial
            monomial *= t
        squares += left * left
    return 0.5 * squares


def kmeans(points, centres):
    """The squared distance of each point to the nearest centre, summed."""
    total = 0.0
    for i in range(points.shape[0]):
        best = np.inf
        for k in range(centres.shape[0]):
            squared = 0.0
            for c in range(points.shape[1]):
                gap = centres[k, c] - points[i, c]
                squared += gap * gap
            best = min(best, squared)
        total += best
    return total


def gmm(logits, means, log_scales, below, data, gamma, extra):
    """The log-posterior of a mixture of Gaussians under a Wishart prior.

    A component's precision is L L^T transposed: exp(log_scales) on L's diagonal, and
    the entries under it, column after column, in `below`.
    """
    count, size = means.shape
    scales = np.exp(log_scales)
    volume = np.zeros(count)
    for k in range(count):
        for c in range(size):
            volume[k] += log_scales[k, c]
    scores = np.empty(count)
    gap = np.empty(size)
    white = np.empty(size)
    total = 0.0
    for i in range(data.shape[0]):
        for k in range(count):
            for c in range(size):
                gap[c] = data[i, c] - means[k, c]
                white[c] = scales[k, c] * gap[c]
            place = 0
            for c in range(size):
                for r in range(c + 1, size):
                    white[r] += below[k, place] * gap[c]
                    place += 1
            squares = 0.0
            for c in range(size):
                squares += white[c] ** 2
            scores[k] = logits[k] + volume[k] - 0.5 * squares
        total += log_total(scores)
    total -= data.shape[0] * (log_total(logits) + 0.5 * size * math.log(2.0 * math.pi))
    return total + wishart(scales, volume, below, gamma, extra)


@njit
def wishart(scales, volume, below, gamma, extra):
    """The logarithm of the prior's density, over all components."""
    count, size = scales.shape
    degrees = size + extra + 1
    normaliser = degrees * size * np.log(gamma / np.sqrt(2.0))
    normaliser -= 0.25 * size * (size - 1) * math.log(math.pi)
    for c in range(size):
        normaliser -= math.lgamma(0.5 * (degrees - c))
    density = count * normaliser
    for k in range(count):
        squares = 0.0
        for c in range(size):
            squares += scales[k, c] ** 2
        for c in range(below.shape[1]):
            squares += below[k, c] ** 2
        density += extra * volume[k] - 0.5 * gamma * gamma * squares
    return density


@njit
def turn(axis, place, out):
    """Rodrigues: turn `place` about `axis` by the axis' length, into `out`."""
    squared = axis[0] * axis[0] + axis[1] * axis[1] + axis[2] * axis[2]
    if squared == 0.0:
        out[0] = place[0] + axis[1] * place[2] - axis[2] * place[1]
        out[1] = place[1] + axis[2] * place[0] - axis[0] * place[2]
        out[2] = place[2] + axis[0] * place[1] - axis[1] * place[0]
    else:
        angle = np.sqrt(squared)
        cos = np.cos(angle)
        sin = np.sin(angle)
        p, q, r = axis[0] / angle, axis[1] / angle, axis[2] / angle
        along = (1.0 - cos) * (p * place[0] + q * place[1] + r * place[2])
        out[0] = cos * place[0] + sin * (q * place[2] - r * place[1]) + along * p
        out[1] = cos * place[1] + sin * (r * place[0] - p * place[2]) + along * q
        out[2] = cos * place[2] + sin * (p * place[1] - q * place[0]) + along * r


def ba(cameras, points, weights, features):
    """Half the squares of weighted reprojection errors and of errors of the weights.

    Row i of all arguments is observation i. A camera is an axis of rotation (3), its
    centre (3), focal length, principal point (2), two terms of radial distortion.
    """
    moved = np.empty(3)
    seen = np.empty(3)
    squares = 0.0
    for i in range(cameras.shape[0]):
        camera = cameras[i]
        for c in range(3):
            moved[c] = points[i, c] - camera[3 + c]
        turn(camera[:3], moved, seen)
        u = seen[0] / seen[2]
        v = seen[1] / seen[2]
        radius = u * u + v * v
        zoom = camera[6] * (1.0 + radius * (camera[9] + radius * camera[10]))
        off_u = weights[i] * (zoom * u + camera[7] - features[i, 0])
        off_v = weights[i] * (zoom * v + camera[8] - features[i, 1])
        off_w = 1.0 - weights[i] * weights[i]
        squares += off_u * off_u + off_v * off_v + off_w * off_w
    return 0.5 * squares
