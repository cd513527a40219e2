"""The runtime in Numba's simulator, with the names that emitted host code uses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradjit.cuda import array, buffers, geometry, graphs, kernels, place
from gradjit.cuda import device as dev
from gradjit.cuda.array import Kind
from gradjit.cuda.shim import cuda, require

X = np.arange(24.0).reshape(4, 6)
DTYPES = (np.float64, np.float32, np.int64, np.bool_)


def test_simulator_is_enough() -> None:
    require()
    assert place.current() is place.at(0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_new_arrays(dtype: Any) -> None:
    for made, expected in (
        (dev.zeros((2, 3), dtype), np.zeros((2, 3), dtype)),
        (dev.ones(5, dtype), np.ones(5, dtype)),
        (dev.full((), 7, dtype), np.full((), 7, dtype)),
        (dev.full((2, 0), 7, dtype), np.full((2, 0), 7, dtype)),
        (dev.full(3, dev.ones((), dtype), dtype), np.ones(3, dtype)),
        (dev.copy(dev.ones((2, 2), dtype)), np.ones((2, 2), dtype)),
    ):
        host = buffers.to_host(made)
        assert host.dtype == expected.dtype
        assert host.shape == expected.shape
        assert (host == expected).all()


def test_views() -> None:
    x = buffers.to_device(X)
    turned, flat = dev.transpose(x), dev.reshape(x, (-1, 3))
    x[1, 2] = 100.0
    assert buffers.to_host(turned)[2, 1] == 100.0
    assert buffers.to_host(flat)[2, 2] == 100.0
    again = dev.reshape(turned, (4, 6))
    assert (buffers.to_host(again) == buffers.to_host(turned).reshape(4, 6)).all()
    cube = dev.transpose(dev.reshape(x, (2, 3, 4)), (2, 0, 1))
    assert cube.shape == (4, 2, 3)


@pytest.mark.parametrize(
    "a", [X.T, X[:, ::-1], X[::-2, 1::3], np.broadcast_to(X[0], (3, 6))], ids=str
)
def test_copies_of_strided_arrays(a: Any) -> None:
    fake = type(dev.zeros(1))
    assert (buffers.to_host(dev.copy(fake(a))) == a).all()


def test_numbers_and_positions() -> None:
    assert dev.item(dev.full((), 2.5)) == 2.5
    found = dev.nonzero(buffers.to_device(X % 5 == 0))
    for mine, expected in zip(found, np.nonzero(X % 5 == 0), strict=True):
        assert (buffers.to_host(mine) == expected).all()


def test_products() -> None:
    a, b = buffers.to_device(X), buffers.to_device(X[:, :2])
    out = dev.matmul(dev.transpose(a), b)
    assert (buffers.to_host(out) == X.T @ X[:, :2]).all()
    dev.add_matmul(out, dev.transpose(a), b)
    assert (buffers.to_host(out) == 2 * (X.T @ X[:, :2])).all()
    row = buffers.to_device(X[0])
    assert dev.item(dev.matmul(row, row)) == X[0] @ X[0]
    assert (buffers.to_host(dev.matmul(a, row)) == X @ X[0]).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("keep", [False, True])
def test_kernel_of_products(dtype: Any, keep: bool) -> None:
    rng = np.random.default_rng(0)
    a, b, c = (
        (10 * rng.normal(size=shape)).astype(dtype)
        for shape in ((2, 5, 7), (2, 7, 6), (2, 5, 6))
    )
    out = buffers.to_device(c)
    launch = kernels.product(np.dtype(dtype))[(2, 1, 1), (kernels.TILE, kernels.TILE)]
    launch(buffers.to_device(a), buffers.to_device(b), out, keep)
    expected = a @ b + c if keep else a @ b
    np.testing.assert_allclose(buffers.to_host(out), expected, rtol=1e-5)


def test_small_kernels() -> None:
    n = 100
    out = dev.zeros(n)
    kernels.fill[dev.elements(n)](n, 3.0, out)
    assert (buffers.to_host(out) == 3.0).all()
    kernels.fill_from[dev.elements(n)](n, dev.full((), 2.0), out)
    kernels.add_to[dev.elements(n)](n, buffers.to_device(np.arange(100.0)), out)
    assert (buffers.to_host(out) == np.arange(100.0) + 2.0).all()


@pytest.mark.parametrize(
    ("rows", "cols"), [(1, 1), (3, 5), (40, 3), (2, 100), (0, 4), (4, 0), (50, 33)]
)
def test_grids_cover_two_axes_once(rows: int, cols: int) -> None:
    @cuda.jit
    def count(rows, cols, out):
        first, across = cuda.grid(2)
        step, wide = cuda.gridsize(2)
        for i in range(across, rows, wide):
            for j in range(first, cols, step):
                out[i, j] += 1

    out = dev.zeros((rows, cols), np.int64)
    count[dev.grid2(rows, cols)](rows, cols, out)
    assert (buffers.to_host(out) == 1).all()


@pytest.mark.parametrize("n", [0, 1, 33, 200])
def test_grids_cover_one_axis_once(n: int) -> None:
    @cuda.jit
    def count(n, out):
        for i in range(cuda.grid(1), n, cuda.gridsize(1)):
            out[i] += 1

    for config in (dev.elements, dev.items):
        out = dev.zeros(n, np.int64)
        count[config(n)](n, out)
        assert (buffers.to_host(out) == 1).all()


def test_rows_by_blocks() -> None:
    @cuda.jit
    def count(n, m, out):
        for i in range(cuda.blockIdx.x, n, cuda.gridDim.x):
            for j in range(cuda.threadIdx.x, m, cuda.blockDim.x):
                out[i, j] += 1

    for n, m in ((1, 1), (7, 20), (2, 90)):
        out = dev.zeros((n, m), np.int64)
        count[dev.rows(n, m)](n, m, out)
        assert (buffers.to_host(out) == 1).all()


def test_grids_are_small() -> None:
    for grid, block, stream in (
        dev.elements(10**9),
        dev.grid2(10**6, 10**6),
        dev.rows(10**6, 10**6),
        dev.items(10**9),
        dev.one(),
    ):
        assert np.prod(grid) * np.prod(block) <= 3 * 32
        assert stream == 0
    assert geometry.elements(64)[0] == 2


def test_status_of_a_kernel() -> None:
    first = dev.register([("IndexError", "first"), ("ZeroDivisionError", "second")])

    @cuda.jit
    def find(n, status, code):
        for i in range(cuda.grid(1), n, cuda.gridsize(1)):
            if i == 3:
                status[0] = code

    find[dev.elements(10)](10, dev.status(), first + 1)
    with pytest.raises(ZeroDivisionError, match="second"):
        dev.synchronize()
    dev.synchronize()
    find[dev.elements(10)](10, dev.status(), first)
    with pytest.raises(IndexError, match="first"):
        dev.item(dev.ones(()))
    assert dev.item(dev.ones(())) == 1.0


def test_calls() -> None:
    def host(x: Any, by: float) -> Any:
        assert not isinstance(x, np.ndarray)
        return dev.full(x.shape, by), dev.copy(x), 5

    filled, copied, number = array.called(host, [X.T, 2.0])
    assert type(filled) is np.ndarray
    assert (filled == np.full((6, 4), 2.0)).all()
    assert (copied == X.T).all()
    assert number == 5
    x = cuda.to_device(X)
    assert array.kind_of([x, X]) is Kind.NUMBA
    filled, copied, _ = array.called(host, [x, 2.0], record=True)
    assert type(copied) is type(x)
    assert (copied.copy_to_host() == X).all()
    assert array.is_writable(x)


def test_nothing_is_recorded() -> None:
    assert graphs.bindings() is None
