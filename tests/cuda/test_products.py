"""Products on a device of host memory: our own kernel, and CuPy's functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradjit.cuda import buffers, kernels, optional, place
from gradjit.cuda import device as dev
from tests.cuda import faked
from tests.cuda.fake_cupy import Cupy

Array = np.ndarray[Any, Any]


def random(*shape: int) -> Array:
    return np.random.default_rng(len(shape)).normal(size=shape)


OPERANDS: list[tuple[Array, Array]] = [
    (random(5), random(5)),
    (random(5), random(5, 3)),
    (random(3, 5), random(5)),
    (random(3, 5), random(5, 7)),
    (random(6, 9), random(9, 5)),
    (random(5, 3).T, random(7, 5).T),
    (random(6, 10)[::2, ::-1], random(20, 4)[::2]),
    (random(3, 10)[:, ::2], random(20)[::4]),
    (random(2, 3, 5), random(5, 4)),
    (random(3, 5), random(2, 5, 4)),
    (random(2, 3, 5), random(5)),
    (random(5), random(2, 5, 4)),
    (random(3, 1, 3, 5), random(2, 5, 4)),
    (random(3, 0), random(0, 4)),
    (random(0, 3), random(3, 4)),
]


def name(pair: tuple[Array, Array]) -> str:
    return " ".join(f"{x.shape}{x.strides}" for x in pair)


def on_device(a: Array) -> Any:
    """A device array with the strides of `a`."""
    whole = buffers.to_device(np.zeros(max(1, a.size) * 16))
    before, size = (
        buffers.views.spanned(a.shape, a.strides, a.itemsize) if a.size else (0, 0)
    )
    assert size <= whole.nbytes
    address = buffers.views.address_of(whole) + before
    here = place.current()
    made = buffers.views.placed(here, address, whole, a.shape, a.strides, a.dtype)
    faked.seen(made)[...] = a
    return made


def results(shape: tuple[int, ...]) -> list[tuple[Array, bool]]:
    """Arrays of a shape, the last ones strided, and whether the product is added."""
    c = random(*shape)
    wide = np.repeat(c, 2, -1)[..., ::2] if shape else c
    return [(c, False), (c, True), (np.copy(c.T, order="C").T, True), (wide, True)]


def check(pair: tuple[Array, Array]) -> None:
    a, b = pair
    expected = a @ b
    left, right = on_device(a), on_device(b)
    for c, keep in results(expected.shape):
        out = on_device(c)
        if keep:
            dev.add_matmul(out, left, right)
        else:
            assert dev.matmul(left, right, out) is out
        wanted = expected + c if keep else expected
        np.testing.assert_allclose(faked.seen(out), wanted, rtol=1e-12)
    assert (faked.seen(left) == a).all()
    assert (faked.seen(right) == b).all()


@pytest.mark.parametrize("pair", OPERANDS, ids=name)
@pytest.mark.usefixtures("here", "small_tiles")
def test_own_kernel(pair: tuple[Array, Array]) -> None:
    check(pair)


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 16 threads, which the simulator can run."""
    monkeypatch.setattr(kernels, "TILE", 4)


@pytest.fixture
def cupy(driver: faked.Driver, monkeypatch: pytest.MonkeyPatch) -> Cupy:
    made = Cupy(driver)
    monkeypatch.setattr(optional, "cupy", lambda: made)
    return made


@pytest.mark.parametrize("pair", OPERANDS, ids=name)
@pytest.mark.usefixtures("small_tiles")
def test_by_cupy(pair: tuple[Array, Array], cupy: Cupy) -> None:
    with place.using(place.at(0x51)):
        check(pair)
    assert {stream for _, stream in cupy.log} <= {0x51}


@pytest.mark.parametrize(
    ("shapes", "called"),
    [
        (((3, 5), (5, 7)), "gemm"),
        (((3, 5), (5,)), "gemv"),
        (((3,), (3, 5)), "gemv"),
        (((5,), (5,)), "gemv"),
        (((2, 3, 5), (2, 5, 4)), "matmul"),
    ],
)
def test_which_function_of_cupy(shapes: Any, called: str, cupy: Cupy) -> None:
    a, b = (random(*shape) for shape in shapes)
    with place.using(place.at(0)):
        out = dev.matmul(buffers.to_device(a), buffers.to_device(b))
        assert out.dtype == np.float64
        np.testing.assert_allclose(buffers.to_host(out), a @ b, rtol=1e-12)
    assert [name for name, _ in cupy.log if name != "alloc"] == [called]


def test_transposed_views_are_not_copied(cupy: Cupy, driver: faked.Driver) -> None:
    with place.using(place.at(0)):
        a, b, c = (buffers.to_device(random(4, 4)) for _ in range(3))
        driver.log.clear()
        dev.add_matmul(c, dev.transpose(a), dev.transpose(b))
    assert driver.log == []


def test_dtypes_that_cublas_has_not(cupy: Cupy, small_tiles: None) -> None:
    a, b = np.arange(6).reshape(2, 3), np.arange(3.0)
    with place.using(place.at(0)):
        whole = dev.matmul(buffers.to_device(a), buffers.to_device(a.T))
        mixed = dev.matmul(buffers.to_device(a), buffers.to_device(b))
        assert (buffers.to_host(whole) == a @ a.T).all()
        assert buffers.to_host(mixed).dtype == np.float64
        assert (buffers.to_host(mixed) == a @ b).all()
    assert {name for name, _ in cupy.log} == {"alloc"}
