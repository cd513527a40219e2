"""The programs of `python -m bench cuda`: plain gradjit programs, as users write them.

Nothing in them speaks of a GPU. They are array expressions, loops over `numba.prange`
and `gradjit.vmap` of functions of one item; networks are those of `bench/networks.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import prange
from scipy.special import erfc

import gradjit
from bench import networks
from bench.cuda_case import Program
from bench.projection import residual
from bench.speed_programs import clusters, observations


def chain(x):
    """Elementwise, and a sum: what is moved is x, once, and its gradient."""
    return np.sum(x * np.exp(-x * x) + np.tanh(x))


def step(layers, inputs, labels, rate):
    """One step of training: the loss, and the layers moved against its gradient."""
    loss, grads = gradjit.value_and_grad(networks.perceptron)(layers, inputs, labels)
    pairs = zip(layers, grads, strict=True)
    return loss, [(w - rate * dw, b - rate * db) for (w, b), (dw, db) in pairs]


# ------------------------------------------------------------------ a program an item


def root(a, b):
    """The x with x**3 + a * x = b, for a and b > 0; how many steps depends on them."""
    x = b / a
    change = x
    while abs(change) > 1e-6 * abs(x):
        change = (x**3 + a * x - b) / (3.0 * x**2 + a)
        x -= change
    return x


def newton(a, b):
    """Roots, and their derivatives by both coefficients, backwards through `while`."""
    return gradjit.vmap(gradjit.value_and_grad(root, (0, 1)))(a, b)


def newton_forward(a, b):
    """The same with tangents carried along, so that no step is kept."""

    def one(a, b):
        x, d_a = gradjit.jvp(root, (a, b), (1.0, 0.0))
        _, d_b = gradjit.jvp(root, (a, b), (0.0, 1.0))
        return x, (d_a, d_b)

    return gradjit.vmap(one)(a, b)


def normal(x):
    """The distribution function of the standard normal distribution."""
    return 0.5 * erfc(-0.7071067811865476 * x)


def price(spot, strike, vol, rate, time):
    """Of a European call, by Black and Scholes."""
    width = vol * np.sqrt(time)
    near = (np.log(spot / strike) + (rate + 0.5 * vol * vol) * time) / width
    discount = np.exp(-rate * time)
    return spot * normal(near) - strike * discount * normal(near - width)


def greeks(spot, strike, vol, rate, time):
    """Prices, and their derivatives by everything."""
    slopes = gradjit.value_and_grad(price, (0, 1, 2, 3, 4))
    return gradjit.vmap(slopes)(spot, strike, vol, rate, time)


def book(spot, strike, vol, rate, time):
    """The price of many options; its gradient is all their greeks too."""
    total = 0.0
    for i in prange(len(spot)):
        total += price(spot[i], strike[i], vol[i], rate[i], time[i])
    return total


def jacobian(cameras, points, weights, features):
    """Residuals of bundle adjustment, and their blocks by camera, point and weight."""
    n, kind = len(weights), cameras.dtype
    out = np.empty((n, 2), dtype=kind)
    by_camera = np.empty((n, 2, 11), dtype=kind)
    by_point = np.empty((n, 2, 3), dtype=kind)
    by_weight = np.empty((n, 2), dtype=kind)
    seeds = np.array([1.0, 0.0], dtype=kind), np.array([0.0, 1.0], dtype=kind)
    for i in prange(n):
        off, pull = gradjit.vjp(
            residual, cameras[i], points[i], weights[i], features[i]
        )
        out[i] = off
        for k, seed in enumerate(seeds):
            by_camera[i, k], by_point[i, k], by_weight[i, k], _ = pull(seed)
    return out, (by_camera, by_point, by_weight)


# ------------------------------------------------------------------- stencils, clusters


def heat(u, steps, weights):
    """Heat spreads over a plate with fixed edges; a weighted sum of what came of it."""
    u = u.copy()
    for _ in range(steps):
        around = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]
        u[1:-1, 1:-1] += 0.2 * (around - 4.0 * u[1:-1, 1:-1])
    return np.sum(weights * u)


def kmeans(points, centres):
    """The squared distance of each point to the nearest centre, summed."""
    gaps = points[:, None, :] - centres[None, :, :]
    return np.sum(np.min(np.sum(gaps**2, axis=2), axis=1))


def kmeans_loops(points, centres):
    """The same as loops over numbers."""
    total = 0.0
    for i in prange(points.shape[0]):
        best = np.inf
        for k in range(centres.shape[0]):
            squared = 0.0
            for c in range(points.shape[1]):
                gap = centres[k, c] - points[i, c]
                squared += gap * gap
            best = min(best, squared)
        total += best
    return total


def gmm(logits, means, log_scales, points):
    """Minus the mean log-likelihood of a mixture of axis-aligned Gaussians."""
    white = (points[:, None, :] - means) * np.exp(log_scales)
    scores = logits + np.sum(log_scales, axis=1) - 0.5 * np.sum(white**2, axis=2)
    largest = np.max(scores, axis=1)
    shares = np.sum(np.exp(scores - largest[:, None]), axis=1)
    return np.log(np.sum(np.exp(logits))) - np.mean(largest + np.log(shares))


# --------------------------------------------------------------------------- arguments


def uniforms(seed: int, count: int, *ranges: tuple[float, float]) -> Callable[[], Any]:
    """An array of `count` numbers for each range."""

    def build() -> tuple[Any, ...]:
        rng = np.random.default_rng(seed)
        return tuple(rng.uniform(*ends, size=count) for ends in ranges)

    return build


def trained(batch: int, *widths: int) -> Callable[[], Any]:
    build = networks.perceptrons(batch, *widths)
    return lambda: (*build(), 0.5)


def plates(n: int, m: int, steps: int) -> Callable[[], Any]:
    def build() -> tuple[Any, ...]:
        rng = np.random.default_rng(41)
        return rng.normal(size=(n, m)), steps, rng.normal(size=(n, m))

    return build


def mixtures(n: int, k: int, d: int) -> Callable[[], Any]:
    def build() -> tuple[Any, ...]:
        rng = np.random.default_rng(42)
        means = rng.normal(size=(k, d))
        points = means[rng.integers(0, k, size=n)] + 0.5 * rng.normal(size=(n, d))
        return rng.normal(size=k), means, 0.3 * rng.normal(size=(k, d)), points

    return build


# A million terms that are added one after the other, in single precision, by the CPU.
ADDED = (1e-9, 5e-3)
COEFFICIENTS = (0.5, 20.0), (1.0, 10.0)
OPTIONS = (80.0, 120.0), (80.0, 120.0), (0.1, 0.5), (0.0, 0.05), (0.2, 2.0)


def _plate_traffic(u, steps, weights):
    """A plate is read and written in each step, forward and backward."""
    return 4.0 * steps * u.nbytes


PROGRAMS: tuple[Program, ...] = (
    Program(
        "chain",
        "10^8 elements",
        chain,
        (0,),
        uniforms(34, 10**8, (-2.0, 2.0)),
        uniforms(34, 1003, (-2.0, 2.0)),
        wanted=0.8,
    ),
    Program(
        "cross-entropy",
        "8192 x 4096",
        networks.cross_entropy,
        (0,),
        networks.scored(8192, 4096, np.float64),
        networks.scored(9, 37, np.float64),
    ),
    Program(
        "layer-norm, GELU, linear",
        "8192 x 1024",
        networks.block,
        (0, 1, 2, 3, 4),
        networks.blocks(8192, 1024),
        networks.blocks(7, 12),
    ),
    *(
        Program(
            f"MLP step, batch {batch}",
            "784-512-10",
            step,
            None,
            trained(batch, 784, 512, 10),
            trained(5, 6, 7, 4),
        )
        for batch in (256, 8192)
    ),
    *(
        Program(
            name,
            "10^6 cubics",
            function,
            None,
            uniforms(35, 10**6, *COEFFICIENTS),
            uniforms(35, 100, *COEFFICIENTS),
            # A borderline item takes a step more or less: its derivatives change.
            tolerance=(1e-7, 1e-3),
        )
        for name, function in (
            ("Newton", newton),
            ("Newton, forward", newton_forward),
        )
    ),
    Program(
        "Black-Scholes",
        "10^6 options, 5 greeks each",
        greeks,
        None,
        uniforms(36, 10**6, *OPTIONS),
        uniforms(36, 100, *OPTIONS),
    ),
    Program(
        "Black-Scholes, loop",
        "10^6 options, 5 greeks each",
        book,
        (0, 1, 2, 3, 4),
        uniforms(36, 10**6, *OPTIONS),
        uniforms(36, 100, *OPTIONS),
    ),
    Program(
        "ba, Jacobian",
        "10^6 observations",
        jacobian,
        None,
        observations(10**6),
        observations(33),
        static={"cameras": -1, "points": -1, "features": -1},
    ),
    Program(
        "heat",
        "1000 steps of 4096 x 4096",
        heat,
        (0,),
        plates(4096, 4096, 1000),
        plates(11, 37, 4),
        check=plates(1030, 517, 20),
        traffic=_plate_traffic,
    ),
    Program(
        "k-means",
        "k = 16, n = 10^6, d = 8",
        kmeans,
        (1,),
        clusters(16, 10**6, 8),
        clusters(4, 101, 3),
        tolerance=ADDED,
    ),
    Program(
        "k-means, loops",
        "k = 16, n = 10^6, d = 8",
        kmeans_loops,
        (1,),
        clusters(16, 10**6, 8),
        clusters(4, 101, 3),
        tolerance=ADDED,
    ),
    Program(
        "gmm",
        "k = 16, n = 10^6, d = 8",
        gmm,
        (0, 1, 2),
        mixtures(10**6, 16, 8),
        mixtures(101, 4, 3),
        tolerance=ADDED,
    ),
)
