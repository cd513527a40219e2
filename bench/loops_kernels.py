"""Numerical kernels with loops and stores, as their users would write them.

Each is a scalar function of arrays, in plain Python that Numba takes as well: it is
what gradjit differentiates, and jitted by Numba it is the primal.
"""

from __future__ import annotations

import numpy as np

# ---------------------------------------------------------------------------- stencils


def seidel_2d(grid, steps, weights):
    u = grid.copy()
    n, m = u.shape
    for _ in range(steps):
        for i in range(1, n - 1):
            for j in range(1, m - 1):
                total = 0.0
                for p in range(i - 1, i + 2):
                    total += u[p, j - 1] + u[p, j] + u[p, j + 1]
                u[i, j] = total / 9.0
    return np.sum(weights * u)


def jacobi_1d(first, second, steps, weights):
    a = first.copy()
    b = second.copy()
    n = a.shape[0]
    for _ in range(steps):
        for i in range(1, n - 1):
            b[i] = (a[i - 1] + a[i] + a[i + 1]) / 3.0
        for i in range(1, n - 1):
            a[i] = (b[i - 1] + b[i] + b[i + 1]) / 3.0
    return np.sum(weights * (a + b))


def hdiff(field, coeff, weights):
    """Horizontal diffusion with limited fluxes; a border of two cells around it."""
    ni, nj, nk = coeff.shape
    curved = np.empty((ni + 2, nj + 2, nk))
    for i in range(ni + 2):
        for j in range(nj + 2):
            across = field[i, j + 1, :] + field[i + 2, j + 1, :]
            along = field[i + 1, j, :] + field[i + 1, j + 2, :]
            curved[i, j, :] = 4.0 * field[i + 1, j + 1, :] - across - along
    south = np.zeros((ni + 1, nj, nk))
    for i in range(ni + 1):
        for j in range(nj):
            for k in range(nk):
                flux = curved[i + 1, j + 1, k] - curved[i, j + 1, k]
                slope = field[i + 2, j + 2, k] - field[i + 1, j + 2, k]
                if flux * slope <= 0.0:
                    south[i, j, k] = flux
    east = np.zeros((ni, nj + 1, nk))
    for i in range(ni):
        for j in range(nj + 1):
            for k in range(nk):
                flux = curved[i + 1, j + 1, k] - curved[i + 1, j, k]
                slope = field[i + 2, j + 2, k] - field[i + 2, j + 1, k]
                if flux * slope <= 0.0:
                    east[i, j, k] = flux
    out = np.empty((ni, nj, nk))
    for i in range(ni):
        for j in range(nj):
            for k in range(nk):
                net = south[i + 1, j, k] - south[i, j, k]
                net += east[i, j + 1, k] - east[i, j, k]
                out[i, j, k] = field[i + 2, j + 2, k] - coeff[i, j, k] * net
    return np.sum(weights * out)


def wave(start, speed, steps, weights):
    """u'' = speed * laplacian(u) - u^3 / 10, the older of two grids overwritten."""
    now = start.copy()
    old = start.copy()
    n, m = now.shape
    for _ in range(steps):
        for i in range(1, n - 1):
            for j in range(1, m - 1):
                u = now[i, j]
                around = now[i - 1, j] + now[i + 1, j] + now[i, j - 1] + now[i, j + 1]
                push = speed[i, j] * (around - 4.0 * u) - 0.1 * u * u * u
                old[i, j] = 2.0 * u - old[i, j] + push
        now, old = old, now
    return np.sum(weights * now)


# ---------------------------------------------------------- time steps, roots and paths


def nbody(place, speed, mass, steps):
    """Leapfrog of bodies that attract each other; the energy of motion at the end."""
    x = place.copy()
    v = speed.copy()
    n = x.shape[0]
    for _ in range(steps):
        for i in range(n):
            for j in range(i + 1, n):
                dx = x[i, 0] - x[j, 0]
                dy = x[i, 1] - x[j, 1]
                dz = x[i, 2] - x[j, 2]
                squared = dx * dx + dy * dy + dz * dz + 0.01
                pull = 0.001 / (squared * np.sqrt(squared))
                v[i, 0] -= dx * mass[j] * pull
                v[i, 1] -= dy * mass[j] * pull
                v[i, 2] -= dz * mass[j] * pull
                v[j, 0] += dx * mass[i] * pull
                v[j, 1] += dy * mass[i] * pull
                v[j, 2] += dz * mass[i] * pull
        for i in range(n):
            for c in range(3):
                x[i, c] += 0.001 * v[i, c]
    energy = 0.0
    for i in range(n):
        for c in range(3):
            energy += 0.5 * mass[i] * v[i, c] * v[i, c] + 0.1 * x[i, c] * x[i, c]
    return energy


def gated(inputs, wz, uz, bz, wh, uh, bh):
    """A cell with one gate over a series; the mean square of its states."""
    steps, k = inputs.shape
    n = bz.shape[0]
    h = np.zeros(n)
    new = np.zeros(n)
    total = 0.0
    for t in range(steps):
        for i in range(n):
            z = bz[i]
            c = bh[i]
            for j in range(k):
                z += wz[i, j] * inputs[t, j]
                c += wh[i, j] * inputs[t, j]
            for j in range(n):
                z += uz[i, j] * h[j]
                c += uh[i, j] * h[j]
            gate = 1.0 / (1.0 + np.exp(-z))
            new[i] = gate * h[i] + (1.0 - gate) * np.tanh(c)
        for i in range(n):
            h[i] = new[i]
            total += h[i] * h[i]
    return total / steps


def newton(a, b):
    """The sum of the squared roots of x + a sin(x) = b, one `while` for each."""
    total = 0.0
    for i in range(a.shape[0]):
        x = b[i]
        step = 1.0
        while abs(step) > 1e-12:
            step = (x + a[i] * np.sin(x) - b[i]) / (1.0 + a[i] * np.cos(x))
            x -= step
        total += x * x
    return total


def edit(x, y, gap):
    """The smoothed cost of the cheapest alignment of two series."""
    n = x.shape[0]
    m = y.shape[0]
    cost = np.zeros((n + 1, m + 1))
    for i in range(1, n + 1):
        cost[i, 0] = i * gap
    for j in range(1, m + 1):
        cost[0, j] = j * gap
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            off = x[i - 1] - y[j - 1]
            change = cost[i - 1, j - 1] + off * off
            drop = cost[i - 1, j] + gap
            add = cost[i, j - 1] + gap
            least = min(change, drop, add)
            spread = np.exp(least - change) + np.exp(least - drop) + np.exp(least - add)
            cost[i, j] = least - np.log(spread)
    return cost[n, m]


# --------------------------------------------------------------- against their primals


def cholesky(matrix, weights):
    a = matrix.copy()
    n = a.shape[0]
    for j in range(n):
        pivot = a[j, j]
        for p in range(j):
            pivot -= a[j, p] * a[j, p]
        a[j, j] = np.sqrt(pivot)
        for i in range(j + 1, n):
            a[i, j] = (a[i, j] - np.dot(a[i, :j], a[j, :j])) / a[j, j]
    return np.sum(weights * a)


def trisolv(low, b, weights):
    x = np.empty_like(b)
    for i in range(b.shape[0]):
        rest = b[i]
        for j in range(i):
            rest -= low[i, j] * x[j]
        x[i] = rest / low[i, i]
    return np.sum(weights * x)


def syrk(alpha, beta, matrix, a, weights):
    c = matrix.copy()
    for i in range(a.shape[0]):
        for j in range(i + 1):
            c[i, j] = beta * c[i, j] + alpha * np.dot(a[i], a[j])
    return np.sum(weights * c)


def correlation(data, weights):
    n, m = data.shape
    scaled = np.empty((m, n))
    for j in range(m):
        mean = 0.0
        for i in range(n):
            mean += data[i, j]
        mean /= n
        variance = 0.0
        for i in range(n):
            variance += (data[i, j] - mean) ** 2
        spread = np.sqrt(variance / n)
        if spread <= 0.1:
            spread = 1.0
        for i in range(n):
            scaled[j, i] = (data[i, j] - mean) / (np.sqrt(n) * spread)
    corr = np.eye(m)
    for j in range(m):
        for k in range(j + 1, m):
            corr[j, k] = np.dot(scaled[j], scaled[k])
            corr[k, j] = corr[j, k]
    return np.sum(weights * corr)


def conv2d_bias(image, kernel, bias, weights):
    """Valid convolution, channels last, tap by tap."""
    count, height, width, _ = image.shape
    size, _, c_in, c_out = kernel.shape
    out = np.empty((count, height - size + 1, width - size + 1, c_out))
    out[:] = bias
    for s in range(count):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                for p in range(size):
                    for q in range(size):
                        for c in range(c_in):
                            tap = image[s, i + p, j + q, c]
                            for o in range(c_out):
                                out[s, i, j, o] += tap * kernel[p, q, c, o]
    return np.sum(weights * out)


def logistic_map(x, rate, steps):
    total = 0.0
    for _ in range(steps):
        x = rate * x * (1.0 - x)
        total += x
    return total
