"""The programs of `bench/loops_kernels.py` in JAX, twice where it matters.

`LITERAL` has stencils statement by statement: a `fori_loop` for each loop and `.at[]`
for each store. `BEST` has the fastest version that we found for each program: scans
over time steps or rows, whole-array stencils, antidiagonals, library solvers. These are
other programs than the user's, but the same functions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import conv_general_dilated, fori_loop, scan

from bench.loops_programs import Program

jax.config.update("jax_enable_x64", True)
VERSION = jax.__version__

# ------------------------------------------------------------------------ the literal


def _seidel_literal(grid, steps, weights):
    """Three rows written out: a loop with traced bounds has no reverse mode."""
    n, m = grid.shape

    def cell(i, j, u):
        total = 0.0
        for p in (i - 1, i, i + 1):
            total = total + u[p, j - 1] + u[p, j] + u[p, j + 1]
        return u.at[i, j].set(total / 9.0)

    def line(i, u):
        return fori_loop(1, m - 1, functools.partial(cell, i), u)

    u = fori_loop(0, steps, lambda _, u: fori_loop(1, n - 1, line, u), grid)
    return jnp.sum(weights * u)


def _jacobi_literal(first, second, steps, weights):
    n = first.shape[0]

    def means(source, target):
        def cell(i, target):
            return target.at[i].set((source[i - 1] + source[i] + source[i + 1]) / 3.0)

        return fori_loop(1, n - 1, cell, target)

    def step(_, state):
        a, b = state
        b = means(a, b)
        return means(b, a), b

    a, b = fori_loop(0, steps, step, (first, second))
    return jnp.sum(weights * (a + b))


def _hdiff_literal(field, coeff, weights):
    ni, nj, nk = coeff.shape

    def nest(extents, body, out):
        """`body(place, out)` for every place, innermost last."""
        if not extents:
            return body((), out)

        def outer(i, out):
            return nest(extents[1:], lambda at, out: body((i, *at), out), out)

        return fori_loop(0, extents[0], outer, out)

    def curve(at, out):
        i, j = at
        across = field[i, j + 1, :] + field[i + 2, j + 1, :]
        along = field[i + 1, j, :] + field[i + 1, j + 2, :]
        return out.at[i, j, :].set(4.0 * field[i + 1, j + 1, :] - across - along)

    curved = nest((ni + 2, nj + 2), curve, jnp.zeros((ni + 2, nj + 2, nk)))

    def to_south(at, out):
        i, j, k = at
        flux = curved[i + 1, j + 1, k] - curved[i, j + 1, k]
        slope = field[i + 2, j + 2, k] - field[i + 1, j + 2, k]
        return out.at[i, j, k].set(jnp.where(flux * slope <= 0.0, flux, out[i, j, k]))

    def to_east(at, out):
        i, j, k = at
        flux = curved[i + 1, j + 1, k] - curved[i + 1, j, k]
        slope = field[i + 2, j + 2, k] - field[i + 2, j + 1, k]
        return out.at[i, j, k].set(jnp.where(flux * slope <= 0.0, flux, out[i, j, k]))

    south = nest((ni + 1, nj, nk), to_south, jnp.zeros((ni + 1, nj, nk)))
    east = nest((ni, nj + 1, nk), to_east, jnp.zeros((ni, nj + 1, nk)))

    def balance(at, out):
        i, j, k = at
        net = south[i + 1, j, k] - south[i, j, k]
        net = net + east[i, j + 1, k] - east[i, j, k]
        new = field[i + 2, j + 2, k] - coeff[i, j, k] * net
        return out.at[i, j, k].set(new)

    out = nest((ni, nj, nk), balance, jnp.zeros((ni, nj, nk)))
    return jnp.sum(weights * out)


def _wave_literal(start, speed, steps, weights):
    n, m = start.shape

    def step(_, state):
        now, old = state

        def cell(i, j, old):
            u = now[i, j]
            around = now[i - 1, j] + now[i + 1, j] + now[i, j - 1] + now[i, j + 1]
            push = speed[i, j] * (around - 4.0 * u) - 0.1 * u * u * u
            return old.at[i, j].set(2.0 * u - old[i, j] + push)

        def line(i, old):
            return fori_loop(1, m - 1, functools.partial(cell, i), old)

        return fori_loop(1, n - 1, line, old), now

    return jnp.sum(weights * fori_loop(0, steps, step, (start, start))[0])


# --------------------------------------------------------------------------- the best


@functools.cache
def _row_maps(m: int) -> tuple[Any, Any]:
    """P, Q with new row = P @ old row + Q @ (row above + row below)."""
    inner = np.zeros((m, m))
    inner[range(1, m - 1), range(1, m - 1)] = 1.0 / 9.0
    left, right = np.eye(m, k=-1), np.eye(m, k=1)
    solve = np.linalg.inv(np.eye(m) - inner @ left)
    near = inner @ (left + np.eye(m) + right)
    return solve @ (inner @ (np.eye(m) + right) + np.eye(m) - 9.0 * inner), solve @ near


def _seidel(grid, steps, weights):
    p, q = _row_maps(grid.shape[1])

    def row(above, rows):
        known, _ = rows
        new = known + q @ above
        return new, new

    def sweep(u, _):
        # What needs only old rows is two matrix products for all of them at once.
        known = u[1:-1] @ p.T + u[2:] @ q.T
        inner = scan(row, u[0], (known, u[2:]))[1]
        return jnp.concatenate([u[:1], inner, u[-1:]]), None

    return jnp.sum(weights * scan(sweep, grid, None, length=steps)[0])


def _jacobi(first, second, steps, weights):
    def means(source, target):
        inner = (source[:-2] + source[1:-1] + source[2:]) / 3.0
        return target.at[1:-1].set(inner)

    def step(state, _):
        a, b = state
        b = means(a, b)
        return (means(b, a), b), None

    a, b = scan(step, (first, second), None, length=steps)[0]
    return jnp.sum(weights * (a + b))


def _hdiff(field, coeff, weights):
    inner = field[1:-1, 1:-1]
    across = field[:-2, 1:-1] + field[2:, 1:-1]
    along = field[1:-1, :-2] + field[1:-1, 2:]
    curved = 4.0 * inner - across - along
    flux = curved[1:, 1:-1] - curved[:-1, 1:-1]
    slope = inner[1:, 1:-1] - inner[:-1, 1:-1]
    south = jnp.where(flux * slope <= 0.0, flux, 0.0)
    flux = curved[1:-1, 1:] - curved[1:-1, :-1]
    slope = inner[1:-1, 1:] - inner[1:-1, :-1]
    east = jnp.where(flux * slope <= 0.0, flux, 0.0)
    net = south[1:] - south[:-1] + east[:, 1:] - east[:, :-1]
    return jnp.sum(weights * (inner[1:-1, 1:-1] - coeff * net))


def _wave(start, speed, steps, weights):
    pace = speed[1:-1, 1:-1]

    def step(state, _):
        now, old = state
        u = now[1:-1, 1:-1]
        around = now[:-2, 1:-1] + now[2:, 1:-1] + now[1:-1, :-2] + now[1:-1, 2:]
        push = pace * (around - 4.0 * u) - 0.1 * u * u * u
        new = old.at[1:-1, 1:-1].set(2.0 * u - old[1:-1, 1:-1] + push)
        return (new, now), None

    return jnp.sum(weights * scan(step, (start, start), None, length=steps)[0][0])


def _nbody(place, speed, mass, steps):
    others = 1.0 - jnp.eye(mass.shape[0])

    def step(state, _):
        x, v = state
        d = x[:, None, :] - x[None, :, :]
        squared = jnp.sum(d * d, axis=2) + 0.01
        pull = others * 0.001 / (squared * jnp.sqrt(squared))
        v = v - jnp.sum(d * (pull * mass[None, :])[:, :, None], axis=1)
        return (x + 0.001 * v, v), None

    x, v = scan(step, (place, speed), None, length=steps)[0]
    return jnp.sum(0.5 * mass[:, None] * v * v + 0.1 * x * x)


def _gated(inputs, wz, uz, bz, wh, uh, bh):
    steps, n = inputs.shape[0], bz.shape[0]
    both = jnp.concatenate([uz, uh])

    def step(h, into):
        sums = into + both @ h
        gate = jax.nn.sigmoid(sums[:n])
        h = gate * h + (1.0 - gate) * jnp.tanh(sums[n:])
        return h, h

    into = inputs @ jnp.concatenate([wz, wh]).T + jnp.concatenate([bz, bh])
    states = scan(step, jnp.zeros(n), into)[1]
    return jnp.sum(states * states) / steps


def _newton(a, b):
    """Twelve steps for all: a `while_loop` has no reverse mode, and five suffice."""

    def step(x, _):
        return x - (x + a * jnp.sin(x) - b) / (1.0 + a * jnp.cos(x)), None

    x = scan(step, b, None, length=12)[0]
    return jnp.sum(x * x)


def _edit(x, y, gap):
    """By antidiagonals: cell (i, j) stands at place i of diagonal i + j."""
    n, m = x.shape[0], y.shape[0]
    at = jnp.arange(n + 1)
    far = 1e30

    def diagonal(state, d):
        before, last = state
        j = d - at
        off = x[jnp.clip(at - 1, 0, n - 1)] - y[jnp.clip(j - 1, 0, m - 1)]
        change = jnp.roll(before, 1) + off * off
        ways = jnp.stack([change, jnp.roll(last, 1) + gap, last + gap])
        inner = -jax.nn.logsumexp(-ways, axis=0)
        edge = (at == 0) | (j == 0)
        new = jnp.where(edge, d * gap, jnp.where((j < 0) | (j > m), far, inner))
        return (last, new), None

    zero = jnp.where(at == 0, 0.0, far)
    one = jnp.where(at <= 1, gap, far)
    return scan(diagonal, (zero, one), jnp.arange(2, n + m + 1))[0][1][n]


def _cholesky(matrix, weights):
    low = jnp.tril(matrix)
    full = low + jnp.tril(matrix, -1).T
    factor = jax.lax.linalg.cholesky(full, symmetrize_input=False)
    return jnp.sum(weights * (jnp.tril(factor) + jnp.triu(matrix, 1)))


def _trisolv(low, b, weights):
    return jnp.sum(weights * jax.scipy.linalg.solve_triangular(low, b, lower=True))


def _syrk(alpha, beta, matrix, a, weights):
    low = jnp.tril(beta * matrix + alpha * (a @ a.T))
    return jnp.sum(weights * (low + jnp.triu(matrix, 1)))


def _correlation(data, weights):
    n, m = data.shape
    centred = data - jnp.mean(data, axis=0)
    spread = jnp.sqrt(jnp.mean(centred * centred, axis=0))
    scaled = centred / (jnp.sqrt(n) * jnp.where(spread <= 0.1, 1.0, spread))
    inner = (scaled.T @ scaled) * (1.0 - jnp.eye(m))
    return jnp.sum(weights * (inner + jnp.eye(m)))


def _conv2d_bias(image, kernel, bias, weights):
    layout = ("NHWC", "HWIO", "NHWC")
    out = conv_general_dilated(image, kernel, (1, 1), "VALID", dimension_numbers=layout)
    return jnp.sum(weights * (out + bias))


def _logistic_map(x, rate, steps):
    def step(state, _):
        x, total = state
        x = rate * x * (1.0 - x)
        return (x, total + x), None

    return scan(step, (x, 0.0), None, length=steps)[0][1]


LITERAL: dict[str, Callable[..., Any]] = {
    "seidel_2d": _seidel_literal,
    "jacobi_1d": _jacobi_literal,
    "hdiff": _hdiff_literal,
    "wave": _wave_literal,
}
BEST: dict[str, Callable[..., Any]] = {
    "seidel_2d": _seidel,
    "jacobi_1d": _jacobi,
    "hdiff": _hdiff,
    "wave": _wave,
    "nbody": _nbody,
    "gated": _gated,
    "newton": _newton,
    "edit": _edit,
    "cholesky": _cholesky,
    "trisolv": _trisolv,
    "syrk": _syrk,
    "correlation": _correlation,
    "conv2d_bias": _conv2d_bias,
    "logistic_map": _logistic_map,
}


def prepare(
    function: Callable[..., Any], program: Program, args: tuple[Any, ...]
) -> Callable[[], Any]:
    """A call from NumPy arrays to a value and NumPy gradients; integers are static."""
    static = tuple(i for i, x in enumerate(args) if type(x) is int)
    joint = jax.value_and_grad(function, program.argnums)
    call = jax.jit(joint, static_argnums=static)

    def run() -> Any:
        value, grads = call(*args)
        return float(value), [np.asarray(g) for g in grads]

    return run
