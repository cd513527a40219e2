"""Buffers on a device of host memory, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradjit.cuda import buffers, place, pool
from gradjit.cuda import device as dev
from gradjit.cuda.place import Place
from gradjit.errors import UnsupportedError
from tests.cuda import faked

pytestmark = pytest.mark.usefixtures("here")

DTYPES = (np.float64, np.float32, np.int64, np.int32, np.uint8, np.bool_)
SHAPES: tuple[Any, ...] = ((), (1,), (700,), (3, 5), (2, 3, 4), (0,), (3, 0))


def check(made: Any, expected: Any) -> None:
    host = buffers.to_host(made)
    assert host.dtype == expected.dtype
    assert host.shape == expected.shape
    assert (host == expected).all()
    assert made.is_c_contiguous()


@pytest.mark.parametrize("dtype", DTYPES)
def test_new_arrays(dtype: Any) -> None:
    shape = (3, 5)
    check(dev.zeros(shape, dtype), np.zeros(shape, dtype))
    check(dev.ones(shape, dtype), np.ones(shape, dtype))
    check(dev.full(shape, 7, dtype), np.full(shape, 7, dtype))


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape: Any) -> None:
    check(dev.zeros(shape), np.zeros(shape))
    check(dev.full(shape, 7.5), np.full(shape, 7.5))
    check(dev.full(shape, dev.full((), 3.5)), np.full(shape, 3.5))


def test_extent_as_a_number() -> None:
    assert dev.empty(5).shape == (5,)
    assert dev.empty(np.int64(5)).shape == (5,)


def test_nan_is_kept() -> None:
    assert np.isnan(buffers.to_host(dev.full(3, np.nan))).all()


def strided() -> list[np.ndarray[Any, Any]]:
    a = np.arange(2 * 6 * 10.0).reshape(2, 6, 10)
    return [
        a,
        a.T,
        a[:, ::-1, ::2],
        a[::-1, ::3, ::-1],
        a[1, 2],
        a[0, :, 3],
        a.transpose(1, 0, 2)[2:, :, ::-4],
        np.broadcast_to(a[0, 0], (4, 10)),
        a[:, :0],
    ]


def on_device(a: np.ndarray[Any, Any]) -> Any:
    """A device array with the strides of a NumPy array, on a part of a buffer."""
    base = a if a.base is None else a.base
    while base.base is not None:
        base = base.base
    whole = buffers.to_device(base)
    start = a.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    address = whole.__cuda_array_interface__["data"][0] + start
    here = place.current()
    return buffers.views.placed(here, address, whole, a.shape, a.strides, a.dtype)


@pytest.mark.parametrize("a", strided(), ids=lambda a: f"{a.shape}{a.strides}")
def test_copies_of_strided_arrays(a: np.ndarray[Any, Any]) -> None:
    made = on_device(a)
    assert (faked.seen(made) == a).all()
    copied = dev.copy(made)
    assert copied.is_c_contiguous()
    assert (faked.seen(copied) == a).all()
    assert (buffers.to_host(made) == a).all()
    assert (faked.seen(dev.transpose(made)) == a.T).all()
    flat = dev.reshape(made, -1)
    assert (faked.seen(flat) == a.reshape(-1)).all()


def test_types_are_those_of_numba() -> None:
    for shape in SHAPES:
        for dtype in DTYPES:
            made = dev.empty(shape, dtype)
            plain = type(made)(made.shape, made.strides, made.dtype, 0, made.gpu_data)
            assert made._numba_type_ == plain._numba_type_
            assert made._numba_type_.layout == "C"


def test_views_share_memory() -> None:
    a = buffers.to_device(np.arange(24.0).reshape(2, 3, 4))
    turned = dev.transpose(a, (1, 2, 0))
    assert turned.shape == (3, 4, 2)
    assert (faked.seen(turned) == faked.seen(a).transpose(1, 2, 0)).all()
    flat = dev.reshape(a, (4, -1))
    faked.seen(a)[:] = 5.0
    assert (faked.seen(turned) == 5.0).all()
    assert (faked.seen(flat) == 5.0).all()


def test_reshape_of_another_size() -> None:
    with pytest.raises(
        ValueError, match=r"^cannot reshape an array of 6 elements into"
    ):
        dev.reshape(dev.empty(6), (4, 2))


def test_strides_between_elements() -> None:
    here = place.current()
    base = dev.empty(16)
    odd = buffers.views.placed(
        here, buffers.views.address_of(base), base, (3,), (12,), np.dtype(np.float64)
    )
    with pytest.raises(UnsupportedError) as caught:
        dev.copy(odd)
    assert str(caught.value) == (
        "an array of float64 with strides of (12,) bytes\n  copy it before the call"
    )


def test_nonzero_and_item() -> None:
    mask = np.array([[True, False], [False, True]])
    found = dev.nonzero(buffers.to_device(mask))
    for k, expected in zip(found, np.nonzero(mask), strict=True):
        assert (buffers.to_host(k) == expected).all()
        assert k.dtype == np.int64
    for dtype in DTYPES:
        number = dev.item(dev.full((), 1, dtype))
        assert number == 1
        assert number.dtype == dtype


def test_steady_state_neither_allocates_nor_waits(driver: faked.Driver) -> None:
    def call() -> Any:
        a = dev.full(1000, 2.0)
        b = dev.zeros((10, 100))
        c = dev.copy(dev.transpose(b))
        return dev.reshape(c, -1), a

    for _ in range(2):
        call()
    driver.log.clear()
    call()
    assert driver.log == [
        (("launch", "fill"), 0),
        ("memset", 0),
        (("launch", "gather"), 0),
    ]


def test_views_keep_their_memory() -> None:
    pool.clear()
    before = pool.used()
    row = dev.full((4, 512), 3.0)[1]
    assert pool.used() > before
    others = [dev.zeros((4, 512)) for _ in range(3)]
    assert (faked.seen(row) == 3.0).all()
    del row, others
    assert pool.used() == before


def test_arrays_of_a_stream_are_bound_to_it(driver: faked.Driver) -> None:
    assert dev.empty(3).__cuda_array_interface__["stream"] is None
    other = place.at(0x51)
    driver.log.clear()
    with place.using(other):
        a = dev.zeros(3)
        assert a.__cuda_array_interface__["stream"] == 0x51
        assert dev.elements(3)[2] is other.stream
        buffers.to_host(a)
    assert driver.log == [
        "alloc",
        ("memset", 0x51),
        ("to host", 0x51),
        ("to host", 0x51),  # the status
        ("synchronize", 0x51),
    ]


def test_places_have_their_own_scratch(here: Place) -> None:
    other = place.at(0x51)
    assert place.at(0x51) is other
    assert place.at(0) is here
    assert other.status is not here.status
    assert other.parts is not here.parts
