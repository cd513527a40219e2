"""Adjoints by hand of the stencils in `bench/loops_kernels.py`.

Value and gradients in one compiled call, as an expert would write them: whole rows at a
time, so that LLVM vectorises; adjoints gathered, not scattered; only what the way back
reads is kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_sums = njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})

# ------------------------------------------------------------------------------ seidel


@_sums
def _sweep(up: Any, row: Any, down: Any, known: Any) -> None:
    """One row forward: what does not wait for the left neighbour is vectorised."""
    m = row.size
    for j in range(1, m - 1):
        above = up[j - 1] + up[j] + up[j + 1]
        below = down[j - 1] + down[j] + down[j + 1]
        known[j] = (above + below + row[j] + row[j + 1]) * (1.0 / 9.0)
    left = row[0]
    for j in range(1, m - 1):
        left = known[j] + left * (1.0 / 9.0)
        row[j] = left


@_sums
def _sweep_back(up: Any, row: Any, down: Any, share: Any) -> None:
    """One row backward: the chain from right to left, then the neighbours' shares."""
    m = row.size
    right = 0.0
    for j in range(m - 2, 0, -1):
        right = (row[j] + right) * (1.0 / 9.0)
        share[j] = right
    row[0] += share[1]
    up[0] += share[1]
    down[0] += share[1]
    row[m - 1] += share[m - 2]
    up[m - 1] += share[m - 2]
    down[m - 1] += share[m - 2]
    for j in range(1, m - 1):
        row[j] = share[j] + share[j - 1]
        around = share[j - 1] + share[j] + share[j + 1]
        up[j] += around
        down[j] += around


@_sums
def seidel_2d(grid: Any, steps: int, weights: Any) -> Any:
    """Linear, so nothing is kept."""
    n, m = grid.shape
    u = grid.copy()
    work = np.zeros(m)
    for _ in range(steps):
        for i in range(1, n - 1):
            _sweep(u[i - 1], u[i], u[i + 1], work)
    value = 0.0
    for i in range(n):
        for j in range(m):
            value += weights[i, j] * u[i, j]
            u[i, j] = weights[i, j]
    work[0] = 0.0
    for _ in range(steps):
        for i in range(n - 2, 0, -1):
            _sweep_back(u[i - 1], u[i], u[i + 1], work)
    return value, u


# ------------------------------------------------------------------------------ jacobi


@_sums
def _means(source: Any, target: Any) -> None:
    for i in range(1, source.size - 1):
        target[i] = (source[i - 1] + source[i] + source[i + 1]) / 3.0


@_sums
def _means_back(d_target: Any, d_source: Any) -> None:
    """Interior of `d_target` to all of `d_source`, whose interior is not read."""
    n = d_target.size
    third = 1.0 / 3.0
    d_source[0] += d_target[1] * third
    d_source[n - 1] += d_target[n - 2] * third
    first, last = d_target[0], d_target[n - 1]
    d_target[0] = 0.0
    d_target[n - 1] = 0.0
    for i in range(1, n - 1):
        d_source[i] = (d_target[i - 1] + d_target[i] + d_target[i + 1]) * third
    d_target[0] = first
    d_target[n - 1] = last


@_sums
def jacobi_1d(first: Any, second: Any, steps: int, weights: Any) -> Any:
    """Linear; at the top of a step the interior of `b` is overwritten, so its adjoint
    is zero there and the buffer serves as work space."""
    n = first.size
    a, b = first.copy(), second.copy()
    for _ in range(steps):
        _means(a, b)
        _means(b, a)
    value = 0.0
    for i in range(n):
        value += weights[i] * (a[i] + b[i])
    d_a, d_b = weights.copy(), weights.copy()
    for step in range(steps):
        _means_back(d_a, d_b)
        if step == 0:
            d_b[1 : n - 1] += weights[1 : n - 1]
        _means_back(d_b, d_a)
    if steps > 0:
        d_b[1 : n - 1] = 0.0
    return value, (d_a, d_b)


# ------------------------------------------------------------------------------- hdiff


@_sums
def _curve(field: Any, i: int, out: Any) -> None:
    """Plane i of the curvature."""
    for j in range(out.shape[0]):
        north, south, mid = field[i, j + 1], field[i + 2, j + 1], field[i + 1, j + 1]
        west, east, row = field[i + 1, j], field[i + 1, j + 2], out[j]
        for k in range(row.size):
            row[k] = 4.0 * mid[k] - (north[k] + south[k]) - (west[k] + east[k])


@_sums
def _limit(head: Any, tail: Any, high: Any, low: Any, flux: Any, opened: Any) -> None:
    """The fluxes that go down the slope, and which these are."""
    for k in range(flux.size):
        f = head[k] - tail[k]
        down = f * (high[k] - low[k]) <= 0.0
        flux[k] = f if down else 0.0
        opened[k] = down


@_sums
def _balance(
    ahead: Any, behind: Any, side: Any, f: Any, c: Any, w: Any, d_c: Any, d_net: Any
) -> float:
    """One plane of the result, and what it gives for the way back."""
    value = 0.0
    for j in range(w.shape[0]):
        s1, s0, e1, e0, fj = ahead[j], behind[j], side[j + 1], side[j], f[j + 2]
        cj, wj, d_cj, d_nj = c[j], w[j], d_c[j], d_net[j]
        for k in range(wj.size):
            net = s1[k] - s0[k] + (e1[k] - e0[k])
            value += wj[k] * (fj[k] - cj[k] * net)
            d_cj[k] = -(wj[k] * net)
            d_nj[k] = -(wj[k] * cj[k])
    return value


@_sums
def _between(above: Any, below: Any, opened: Any, out: Any) -> None:
    """The adjoint of a flux between two cells."""
    for k in range(out.size):
        out[k] = above[k] - below[k] if opened[k] else 0.0


@_sums
def _uncurve(north: Any, mid: Any, south: Any, w: Any, out: Any) -> None:
    """The adjoint of a plane of the field; `mid` has a border of two rows."""
    for j in range(out.shape[0]):
        n, s, m, row = north[j + 1], south[j + 1], mid[j + 1], out[j]
        left, right = mid[j], mid[j + 2]
        for k in range(row.size):
            row[k] = 4.0 * m[k] - (n[k] + s[k]) - (left[k] + right[k])
    for j in range(w.shape[0]):
        row, wj = out[j + 2], w[j]
        for k in range(row.size):
            row[k] += wj[k]


@_sums
def _hdiff_forward(
    field: Any, coeff: Any, w: Any, open_s: Any, open_e: Any, d_coeff: Any, d_net: Any
) -> float:
    """All in one sweep over planes; of the fluxes only the last planes are kept."""
    ni, nj, nk = coeff.shape
    curved = np.empty((2, nj + 2, nk))
    south = np.empty((2, nj, nk))
    east = np.empty((nj + 1, nk))
    value = 0.0
    _curve(field, 0, curved[0])
    for i in range(ni + 1):
        here, last = curved[(i + 1) % 2], curved[i % 2]
        _curve(field, i + 1, here)
        high, low = field[i + 2], field[i + 1]
        ahead = south[i % 2]
        for j in range(nj):
            into, opened = ahead[j], open_s[i, j]
            _limit(here[j + 1], last[j + 1], high[j + 2], low[j + 2], into, opened)
        if i > 0:
            behind = south[(i + 1) % 2]
            args = coeff[i - 1], w[i - 1], d_coeff[i - 1], d_net[i]
            value += _balance(ahead, behind, east, field[i + 1], *args)
        if i < ni:
            for j in range(nj + 1):
                into, opened = east[j], open_e[i, j]
                _limit(here[j + 1], here[j], high[j + 2], high[j + 1], into, opened)
    return value


@_sums
def hdiff(field: Any, coeff: Any, weights: Any) -> Any:
    """Linear but for which fluxes are open: one byte a flux is kept.

    `d_net` has a plane of zeros on both sides, the planes of `d_curved` have two rows.
    """
    ni, nj, nk = coeff.shape
    open_s = np.empty((ni + 1, nj, nk), np.bool_)
    open_e = np.empty((ni, nj + 1, nk), np.bool_)
    d_field, d_coeff = np.empty(field.shape), np.empty(coeff.shape)
    d_net = np.empty((ni + 2, nj, nk))
    d_net[0] = 0.0
    d_net[ni + 1] = 0.0
    value = _hdiff_forward(field, coeff, weights, open_s, open_e, d_coeff, d_net)
    d_curved = np.zeros((3, nj + 6, nk))
    d_south, d_east = np.zeros((2, nj, nk)), np.zeros((nj + 3, nk))
    nothing, unweighted = np.zeros(nk), np.zeros((0, nk))
    for a in range(ni + 4):
        mid = d_curved[a % 3]
        if a <= ni:
            for j in range(nj):
                _between(d_net[a, j], d_net[a + 1, j], open_s[a, j], d_south[a % 2, j])
        else:
            d_south[a % 2] = 0.0
        if 0 < a <= ni:
            for j in range(nj + 1):
                left = d_net[a, j - 1] if j > 0 else nothing
                right = d_net[a, j] if j < nj else nothing
                _between(left, right, open_e[a - 1, j], d_east[j + 1])
        else:
            d_east[:] = 0.0
        _fluxes_back(d_south[(a + 1) % 2], d_south[a % 2], d_east, mid)
        w = weights[a - 2] if 2 <= a < ni + 2 else unweighted
        _uncurve(d_curved[(a + 1) % 3], d_curved[(a + 2) % 3], mid, w, d_field[a])
    return value, (d_field, d_coeff)


@_sums
def _fluxes_back(before: Any, after: Any, side: Any, d_curved: Any) -> None:
    """A plane of the curvature gets what the fluxes around it give."""
    nj, nk = before.shape
    for j in range(nj + 2):
        row, e0, e1 = d_curved[j + 2], side[j], side[j + 1]
        for k in range(nk):
            row[k] = e0[k] - e1[k]
    for j in range(nj):
        row, s0, s1 = d_curved[j + 3], before[j], after[j]
        for k in range(nk):
            row[k] += s0[k] - s1[k]


# -------------------------------------------------------------------------------- wave


@_sums
def _wave_row(up: Any, row: Any, down: Any, old: Any, speed: Any, new: Any) -> None:
    m = row.size
    new[0], new[m - 1] = old[0], old[m - 1]
    for j in range(1, m - 1):
        u = row[j]
        around = up[j] + down[j] + row[j - 1] + row[j + 1]
        push = speed[j] * (around - 4.0 * u) - 0.1 * u * u * u
        new[j] = 2.0 * u - old[j] + push


@_sums
def _flow(
    up: Any, row: Any, down: Any, g: Any, speed: Any, d_speed: Any, q: Any
) -> None:
    """What a row of adjoints gives to `speed`, and in `q` to the neighbours."""
    for j in range(1, row.size - 1):
        around = up[j] + down[j] + row[j - 1] + row[j + 1]
        d_speed[j] += g[j] * (around - 4.0 * row[j])
        q[j] = g[j] * speed[j]


@_sums
def _gather(up: Any, q: Any, down: Any, row: Any, g: Any, d_row: Any) -> None:
    """What a row of the grid gets, from its own place and its neighbours'."""
    m = row.size
    d_row[0] += q[1]
    d_row[m - 1] += q[m - 2]
    for j in range(1, m - 1):
        around = up[j] + down[j] + q[j - 1] + q[j + 1]
        slope = 2.0 - 0.3 * row[j] * row[j]
        d_row[j] += around - 4.0 * q[j] + slope * g[j]
        g[j] = -g[j]


@_sums
def wave(start: Any, speed: Any, steps: int, weights: Any) -> Any:
    """All grids are kept, each written to its place at once; the rest is recomputed."""
    n, m = start.shape
    states = np.empty((steps + 2, n, m))
    states[0] = start
    states[1] = start
    for t in range(steps):
        old, now, new = states[t], states[t + 1], states[t + 2]
        new[0] = old[0]
        new[n - 1] = old[n - 1]
        for i in range(1, n - 1):
            _wave_row(now[i - 1], now[i], now[i + 1], old[i], speed[i], new[i])
    value = np.sum(weights * states[steps + 1])
    d_speed, q = np.zeros((n, m)), np.zeros((n, m))
    d_new, d_now = weights.copy(), np.zeros((n, m))
    for t in range(steps - 1, -1, -1):
        u = states[t + 1]
        for i in range(1, n):
            if i < n - 1:
                rows = u[i - 1], u[i], u[i + 1]
                _flow(*rows, d_new[i], speed[i], d_speed[i], q[i])
            if i > 1:
                args = u[i - 1], d_new[i - 1], d_now[i - 1]
                _gather(q[i - 2], q[i - 1], q[i], *args)
        d_now[0] += q[1]
        d_now[n - 1] += q[n - 2]
        d_new, d_now = d_now, d_new
    return value, (d_new + d_now, d_speed)
