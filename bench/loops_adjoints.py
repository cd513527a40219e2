"""Adjoints by hand of the time steps, roots and paths in `bench/loops_kernels.py`.

Value and gradients in one compiled call. What is kept is what an expert keeps: the
states of a recurrence, each written to its place at once, and factors that cost an
elementary function or a division.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from gradjit.vectormath import chosen, module

_vector_math = module(chosen())
exp, tanh = _vector_math.exp, _vector_math.tanh

_sums = njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})

# ------------------------------------------------------------------------------ bodies


@_sums
def _kick(x: Any, v: Any, mass: Any, pulls: Any) -> None:
    """Change all speeds, and keep each pair's pull and 3 pull / squared distance."""
    n = mass.size
    pair = 0
    for i in range(n):
        for j in range(i + 1, n):
            dx, dy, dz = x[i, 0] - x[j, 0], x[i, 1] - x[j, 1], x[i, 2] - x[j, 2]
            squared = dx * dx + dy * dy + dz * dz + 0.01
            inverse = 1.0 / (squared * math.sqrt(squared))
            pull = 0.001 * inverse
            pulls[pair, 0] = pull
            pulls[pair, 1] = 3.0 * pull * inverse * math.sqrt(squared)
            pair += 1
            to_i, to_j = mass[j] * pull, mass[i] * pull
            v[i, 0] -= dx * to_i
            v[i, 1] -= dy * to_i
            v[i, 2] -= dz * to_i
            v[j, 0] += dx * to_j
            v[j, 1] += dy * to_j
            v[j, 2] += dz * to_j


@_sums
def _kick_back(x: Any, mass: Any, pulls: Any, d_x: Any, d_v: Any, d_mass: Any) -> None:
    """With e = m_i d_v[j] - m_j d_v[i], the speeds got e . d pull from a pair."""
    n = mass.size
    pair = 0
    for i in range(n):
        for j in range(i + 1, n):
            dx, dy, dz = x[i, 0] - x[j, 0], x[i, 1] - x[j, 1], x[i, 2] - x[j, 2]
            pull, steep = pulls[pair, 0], pulls[pair, 1]
            pair += 1
            along_i = dx * d_v[i, 0] + dy * d_v[i, 1] + dz * d_v[i, 2]
            along_j = dx * d_v[j, 0] + dy * d_v[j, 1] + dz * d_v[j, 2]
            d_mass[j] -= pull * along_i
            d_mass[i] += pull * along_j
            d_log = steep * (mass[i] * along_j - mass[j] * along_i)
            to_i, to_j = mass[i] * pull, mass[j] * pull
            d_dx = to_i * d_v[j, 0] - to_j * d_v[i, 0] - d_log * dx
            d_dy = to_i * d_v[j, 1] - to_j * d_v[i, 1] - d_log * dy
            d_dz = to_i * d_v[j, 2] - to_j * d_v[i, 2] - d_log * dz
            d_x[i, 0] += d_dx
            d_x[i, 1] += d_dy
            d_x[i, 2] += d_dz
            d_x[j, 0] -= d_dx
            d_x[j, 1] -= d_dy
            d_x[j, 2] -= d_dz


@_sums
def nbody(place: Any, speed: Any, mass: Any, steps: int) -> Any:
    """Kept: all places, and two numbers for each pair and step."""
    n = mass.size
    xs = np.empty((steps + 1, n, 3))
    pulls = np.empty((steps, n * (n - 1) // 2, 2))
    xs[0] = place
    v = speed.copy()
    for t in range(steps):
        _kick(xs[t], v, mass, pulls[t])
        for i in range(n):
            for c in range(3):
                xs[t + 1, i, c] = xs[t, i, c] + 0.001 * v[i, c]
    value = 0.0
    d_x, d_v, d_mass = np.empty((n, 3)), np.empty((n, 3)), np.zeros(n)
    for i in range(n):
        for c in range(3):
            squared = 0.5 * v[i, c] * v[i, c]
            value += mass[i] * squared + 0.1 * xs[steps, i, c] * xs[steps, i, c]
            d_mass[i] += squared
            d_v[i, c] = mass[i] * v[i, c]
            d_x[i, c] = 0.2 * xs[steps, i, c]
    for t in range(steps - 1, -1, -1):
        for i in range(n):
            for c in range(3):
                d_v[i, c] += 0.001 * d_x[i, c]
        _kick_back(xs[t], mass, pulls[t], d_x, d_v, d_mass)
    return value, (d_x, d_v, d_mass)


# ------------------------------------------------------------------------------- gated


@_sums
def _product(w: Any, x: Any, out: Any) -> None:
    for i in range(w.shape[0]):
        total = out[i]
        for j in range(x.size):
            total += w[i, j] * x[j]
        out[i] = total


@_sums
def _outer(d: Any, x: Any, d_w: Any) -> None:
    for i in range(d.size):
        for j in range(x.size):
            d_w[i, j] += d[i] * x[j]


@_sums
def _states(inputs: Any, wz: Any, uz: Any, bz: Any, wh: Any, uh: Any, bh: Any) -> Any:
    """All states, gates and candidates; elementary functions on vectors."""
    steps, n = inputs.shape[0], bz.size
    hs = np.zeros((steps + 1, n))
    gates, fresh = np.empty((steps, n)), np.empty((steps, n))
    for t in range(steps):
        z, c, h = gates[t], fresh[t], hs[t]
        for i in range(n):
            z[i] = bz[i]
            c[i] = bh[i]
        _product(wz, inputs[t], z)
        _product(uz, h, z)
        _product(wh, inputs[t], c)
        _product(uh, h, c)
        for i in range(n):
            z[i] = 1.0 / (1.0 + exp(-z[i]))
        for i in range(n):
            c[i] = tanh(c[i])
        for i in range(n):
            hs[t + 1, i] = c[i] + z[i] * (h[i] - c[i])
    return hs, gates, fresh


@_sums
def gated(inputs: Any, wz: Any, uz: Any, bz: Any, wh: Any, uh: Any, bh: Any) -> Any:
    steps, n = inputs.shape[0], bz.size
    hs, gates, fresh = _states(inputs, wz, uz, bz, wh, uh, bh)
    value = 0.0
    for t in range(1, steps + 1):
        for i in range(n):
            value += hs[t, i] * hs[t, i]
    d_wz, d_uz, d_bz = np.zeros_like(wz), np.zeros_like(uz), np.zeros_like(bz)
    d_wh, d_uh, d_bh = np.zeros_like(wh), np.zeros_like(uh), np.zeros_like(bh)
    d_h, d_z, d_c = np.zeros(n), np.empty(n), np.empty(n)
    for t in range(steps - 1, -1, -1):
        h, z, c = hs[t], gates[t], fresh[t]
        for i in range(n):
            d = d_h[i] + 2.0 * hs[t + 1, i] / steps
            d_z[i] = d * (h[i] - c[i]) * z[i] * (1.0 - z[i])
            d_c[i] = d * (1.0 - z[i]) * (1.0 - c[i] * c[i])
            d_h[i] = d * z[i]
            d_bz[i] += d_z[i]
            d_bh[i] += d_c[i]
        for i in range(n):
            for j in range(n):
                d_h[j] += d_z[i] * uz[i, j] + d_c[i] * uh[i, j]
        _outer(d_z, h, d_uz)
        _outer(d_c, h, d_uh)
        _outer(d_z, inputs[t], d_wz)
        _outer(d_c, inputs[t], d_wh)
    return value / steps, (d_wz, d_uz, d_bz, d_wh, d_uh, d_bh)


# ------------------------------------------------------------------------ newton, edit


@_sums
def newton(a: Any, b: Any) -> Any:
    """Each root at once there and back, its iterations in a short buffer that grows.

    With s = f / f', and d the adjoint of the new x: that of f is -d / f', that of the
    old x is (-d / f') s a sin(x), since what f and x give directly cancels.
    """
    n = a.size
    d_a, d_b = np.empty(n), np.empty(n)
    kept = np.empty((16, 4))
    value = 0.0
    for i in range(n):
        x, step, count = b[i], 1.0, 0
        while abs(step) > 1e-12:
            if count == len(kept):
                kept = np.concatenate((kept, np.empty_like(kept)))
            sine, cosine = math.sin(x), math.cos(x)
            slope = 1.0 + a[i] * cosine
            step = (x + a[i] * sine - b[i]) / slope
            kept[count, 0] = sine
            kept[count, 1] = cosine
            kept[count, 2] = slope
            kept[count, 3] = step
            x -= step
            count += 1
        value += x * x
        d_x, of_a, of_b = 2.0 * x, 0.0, 0.0
        for k in range(count - 1, -1, -1):
            sine, cosine, slope, step = kept[k, 0], kept[k, 1], kept[k, 2], kept[k, 3]
            d_f = -d_x / slope
            of_a += d_f * (sine - step * cosine)
            of_b -= d_f
            d_x = d_f * step * a[i] * sine
        d_a[i] = of_a
        d_b[i] = of_b + d_x
    return value, (d_a, d_b)


@_sums
def edit(x: Any, y: Any, gap: float) -> Any:
    """Kept: with which share each of the three ways leads to a cell."""
    n, m = x.size, y.size
    cost = np.empty((n + 1, m + 1))
    shares = np.zeros((n + 2, m + 2, 3))
    for j in range(m + 1):
        cost[0, j] = j * gap
    for i in range(1, n + 1):
        left = i * gap
        cost[i, 0] = left
        for j in range(1, m + 1):
            off = x[i - 1] - y[j - 1]
            change = cost[i - 1, j - 1] + off * off
            drop = cost[i - 1, j] + gap
            add = left + gap
            least = min(change, drop, add)
            p, q, r = exp(least - change), exp(least - drop), exp(least - add)
            spread = p + q + r
            scale = 1.0 / spread
            shares[i, j, 0] = p * scale
            shares[i, j, 1] = q * scale
            shares[i, j, 2] = r * scale
            left = least - math.log(spread)
            cost[i, j] = left
    d_x, d_y, d_gap = np.zeros(n), np.zeros(m), 0.0
    below = np.zeros(m + 1)
    for i in range(n, 0, -1):
        right, diagonal, of_x = 0.0, 0.0, 0.0
        here, under = shares[i], shares[i + 1]
        for j in range(m, 0, -1):
            # Left of j, `below` holds the adjoints of row i + 1.
            d = under[j, 1] * below[j] + here[j + 1, 2] * right
            d += under[j + 1, 0] * diagonal
            if i == n and j == m:
                d = 1.0
            diagonal, right = below[j], d
            below[j] = d
            d_off = 2.0 * (x[i - 1] - y[j - 1]) * here[j, 0] * d
            of_x += d_off
            d_y[j - 1] -= d_off
            d_gap += (here[j, 1] + here[j, 2]) * d
        d_x[i - 1] = of_x
        d_gap += (i * here[1, 2] + (i - 1) * here[1, 0]) * right
    for j in range(1, m + 1):
        d_gap += (j * shares[1, j, 1] + (j - 1) * shares[1, j, 0]) * below[j]
    return cost[n, m], (d_x, d_y, d_gap)
