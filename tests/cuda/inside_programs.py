"""Programs whose derivatives are called in kernels, and kernels that call them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special

import gradjit
from gradjit.cuda.shim import cuda


def energy(r: Any) -> Any:
    return 4.0 * (r**-12 - r**-6)


def price(s: Any, k: Any, v: Any) -> Any:
    d = np.log(s / k) / v + 0.5 * v
    return 0.5 * (s * special.erfc(-d) - k * special.erfc(v - d))


def rosenbrock(x: Any) -> Any:
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def dot(x: Any, y: Any) -> Any:
    return np.dot(x, y)


def quadratic(x: Any, a: Any) -> Any:
    return x @ a @ x


def root(a: Any) -> Any:
    x = a
    while abs(x * x - a) > 1e-12:
        x = 0.5 * (x + a / x)
    return x


def grown(a: Any, b: Any) -> Any:
    x = a
    while x < 1e3:
        x = x * b + np.exp(a)
    return x


def branches(x: Any) -> Any:
    total = 0.0
    for i in range(x.shape[0]):
        if x[i] > 0.0:
            total += x[i] ** 2
        else:
            total -= math.exp(x[i])
    return total


def binned(x: Any) -> Any:
    bins = np.zeros(70)
    for i in range(x.shape[0]):
        bins[i % 70] += x[i] ** 2
    return np.sum(bins**2)


def recurrent(x: Any) -> Any:
    h = 0.0
    for i in range(x.shape[0]):
        h = np.tanh(0.5 * h + x[i])
    return h


def written(x: Any) -> Any:
    y = x.copy()
    y[0] = 3.0 * y[1]
    return np.sum(y**3)


@cuda.jit(device=True)
def cubed(x: Any) -> Any:
    return x * x * x


def doubled(x: Any) -> Any:
    """It calls a device function, and so does the kernel its derivative."""
    return 2.0 * cubed(x)


both = (0, 1)
d_energy = gradjit.device(energy)
d_price = gradjit.device(price, argnums=(0, 2), value=True)
d_rosenbrock = gradjit.device(rosenbrock, value=True)
d_dot = gradjit.device(dot, argnums=both)
d_quadratic = gradjit.device(
    gradjit.value_and_grad(quadratic, argnums=both), "float64[3], float64[3, 3]"
)
d_root = gradjit.device(root, value=True)
d_grown = gradjit.device(grown, argnums=both, value=True)
d_branches = gradjit.device(branches)
d_binned = gradjit.device(binned)
d_recurrent = gradjit.device(recurrent, "float64[100]")
d_written = gradjit.device(written, "float64[4]")
d_twice = gradjit.device(gradjit.hvp(rosenbrock))
d_cubed, d_doubled = gradjit.device(cubed), gradjit.device(doubled)
plain = gradjit.device(gradjit.jit(recurrent))


@cuda.jit
def numbers(x: Any, out: Any) -> None:
    """Derivatives by numbers: four columns go in, thirteen come out."""
    i = cuda.grid(1)
    if i >= x.shape[0]:
        return
    out[i, 0] = d_energy(x[i, 0])
    out[i, 1], out[i, 2], out[i, 3] = d_price(x[i, 0], x[i, 1], x[i, 2])
    out[i, 4], out[i, 5] = d_root(x[i, 3])
    out[i, 6], out[i, 7], out[i, 8] = d_grown(x[i, 0], x[i, 3])
    out[i, 9] = d_energy(2.0)
    out[i, 10] = plain(x[i])
    out[i, 11], out[i, 12] = d_cubed(x[i, 0]), d_doubled(x[i, 0])


@cuda.jit
def arrays(x: Any, a: Any, d_x: Any, d_a: Any, out: Any) -> None:
    """Gradients by a row of `x`: a row of `d_x` for each of the functions."""
    i = cuda.grid(1)
    if i >= x.shape[0]:
        return
    row = x[i]
    out[i, 0] = d_rosenbrock(row, d_x[i, 0])
    d_dot(row, d_x[i, 0], d_x[i, 1], d_x[i, 2])
    out[i, 1] = d_quadratic(row[:3], a, d_x[i, 3, :3], d_a[i])
    d_branches(row, d_x[i, 4])
    d_binned(row, d_x[i, 5])
    d_recurrent(row, d_x[i, 6])
    d_written(row[:4], d_x[i, 7, :4])
    d_twice(row, x[0], d_x[i, 8])


def launch(kernel: Any, threads: int, *given: Any) -> None:
    """Run a kernel on NumPy arrays, and bring back what it wrote."""
    found = [cuda.to_device(x) for x in given]
    kernel[-(-threads // 32), 32](*found)
    for x, y in zip(given, found, strict=True):
        y.copy_to_host(x)


def check_numbers(rtol: float, rows: int = 40, run: Any = launch) -> None:
    """Derivatives by numbers, against those of the CPU."""
    x = np.random.default_rng(0).uniform(1.1, 2.0, (rows, 4))
    out = np.zeros((rows, 13))
    run(numbers, rows, x, out)
    by = gradjit.value_and_grad
    of_price, of_root = by(price, argnums=(0, 2)), by(root)
    of_grown = by(grown, both)
    for (s, k, v, b), row, got in zip(x, x, out, strict=True):
        value, slopes = of_price(s, k, v)
        size, growth = of_grown(s, b)
        want = [gradjit.grad(energy)(s), value, *slopes, *of_root(b), size, *growth]
        want += [gradjit.grad(energy)(2.0), recurrent(row), 3.0 * s * s, 6.0 * s * s]
        np.testing.assert_allclose(got, want, rtol=rtol)


def check_arrays(rtol: float, rows: int = 3, run: Any = launch) -> None:
    """Gradients by arrays, against those of the CPU."""
    rng = np.random.default_rng(1)
    x, a = rng.normal(size=(rows, 100)), rng.normal(size=(3, 3))
    d_x, d_a, out = (np.zeros((rows, *s)) for s in ((9, 100), (3, 3), (2,)))
    run(arrays, rows, x, a, d_x, d_a, out)
    for i, row in enumerate(x):
        value, slope = gradjit.value_and_grad(rosenbrock)(row)
        small, (by_x, by_a) = gradjit.value_and_grad(quadratic, both)(row[:3], a)
        want = np.zeros((9, 100))
        want[:3] = slope, slope, row
        want[3, :3] = by_x
        want[4] = gradjit.grad(branches)(row)
        want[5] = gradjit.grad(binned)(row)
        want[6] = gradjit.grad(recurrent)(row)
        want[7, :4] = gradjit.grad(written)(row[:4])
        want[8] = gradjit.hvp(rosenbrock)(row, x[0])
        np.testing.assert_allclose(d_x[i], want, rtol=rtol, atol=0.1 * rtol)
        np.testing.assert_allclose(d_a[i], by_a, rtol=rtol)
        np.testing.assert_allclose(out[i], [value, small], rtol=rtol)
