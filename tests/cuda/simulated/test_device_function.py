"""Derivatives called inside of kernels, against those of the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit.cuda import shim
from gradjit.cuda.shim import cuda
from tests.cuda import inside_programs as p

pytestmark = pytest.mark.skipif(not shim.SIMULATED, reason="for the simulator")


def test_numbers() -> None:
    x = np.random.default_rng(0).uniform(1.1, 2.0, (40, 4))
    out = np.zeros((40, 11))
    p.numbers[2, 32](x, out)
    price = gradjit.value_and_grad(p.price, argnums=(0, 2))
    root, grown = (
        gradjit.value_and_grad(p.root),
        gradjit.value_and_grad(p.grown, (0, 1)),
    )
    for (s, k, v, b), row, got in zip(x, x, out, strict=True):
        value, slopes = price(s, k, v)
        size, growth = grown(s, b)
        want = [gradjit.grad(p.energy)(s), value, *slopes, *root(b), size, *growth]
        want += [gradjit.grad(p.energy)(2.0), p.recurrent(row)]
        np.testing.assert_allclose(got, want, rtol=1e-9)


def test_arrays() -> None:
    rng = np.random.default_rng(1)
    x, a = rng.normal(size=(3, 100)), rng.normal(size=(3, 3))
    d_x, d_a, out = np.zeros((3, 9, 100)), np.zeros((3, 3, 3)), np.zeros((3, 2))
    p.arrays[1, 32](x, a, d_x, d_a, out)
    for i, row in enumerate(x):
        value, slope = gradjit.value_and_grad(p.rosenbrock)(row)
        small, (by_x, by_a) = gradjit.value_and_grad(p.quadratic, (0, 1))(row[:3], a)
        want = np.zeros((9, 100))
        want[:3] = slope, slope, row
        want[3, :3] = by_x
        want[4] = gradjit.grad(p.branches)(row)
        want[5] = gradjit.grad(p.binned)(row)
        want[6] = gradjit.grad(p.recurrent)(row)
        want[7, :4] = gradjit.grad(p.written)(row[:4])
        want[8] = gradjit.hvp(p.rosenbrock)(row, x[0])
        np.testing.assert_allclose(d_x[i], want, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(d_a[i], by_a, rtol=1e-12)
        np.testing.assert_allclose(out[i], [value, small], rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_made_for_the_types_of_the_call(dtype: Any) -> None:
    found: list[Any] = []
    slope = gradjit.device(p.energy)

    @cuda.jit
    def kernel(x: Any) -> None:
        found.append(slope(x[0]))

    kernel[1, 1](np.array([1.5], dtype))
    assert found[0].dtype == dtype
    rtol = 1e-5 if dtype == np.float32 else 1e-14
    np.testing.assert_allclose(found[0], gradjit.grad(p.energy)(1.5), rtol=rtol)


def test_extents_of_the_signature_are_looked_at() -> None:
    @cuda.jit
    def kernel(x: Any, d_x: Any) -> None:
        p.d_written(x, d_x)

    with pytest.raises(ValueError, match=r"x is not \[4\]"):
        kernel[1, 1](np.ones(5), np.ones(5))
    with pytest.raises(ValueError, match=r"d_x is not \[4\]"):
        kernel[1, 1](np.ones(4), np.ones(5))


def test_extents_of_gradients_are_looked_at() -> None:
    @cuda.jit
    def kernel(x: Any, d_x: Any) -> None:
        p.d_branches(x, d_x)

    with pytest.raises(ValueError, match="the gradient by x has another shape"):
        kernel[1, 1](np.ones(5), np.ones(4))
