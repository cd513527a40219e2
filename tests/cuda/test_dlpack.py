"""DLPack in both directions, against NumPy's, which was written by others."""

from __future__ import annotations

import ctypes
import gc
import weakref
from typing import Any

import numpy as np
import pytest

from gradjit.cuda import dlpack
from gradjit.errors import DtypeError

X = np.arange(24.0).reshape(2, 3, 4)
ARRAYS: list[np.ndarray[Any, Any]] = [
    X,
    X.T,
    X[:, 1:, ::2],
    X[1, 2, 3:].reshape(()),
    X[:0],
    X.astype(np.float32),
    X.astype(np.int32),
    X.astype(np.uint8),
    X > 5,
]


@pytest.mark.parametrize("x", ARRAYS, ids=lambda x: f"{x.dtype}{x.strides}")
def test_taken(x: np.ndarray[Any, Any]) -> None:
    found = dlpack.taken(x, None)
    assert found.device == (dlpack.CPU, 0)
    assert (found.shape, found.dtype) == (x.shape, x.dtype)
    if x.size:
        assert found.address == x.__array_interface__["data"][0]
        assert all(
            n == 1 or mine == theirs
            for n, mine, theirs in zip(x.shape, found.strides, x.strides, strict=True)
        )


@pytest.mark.parametrize("x", ARRAYS, ids=lambda x: f"{x.dtype}{x.strides}")
def test_handed_out(x: np.ndarray[Any, Any]) -> None:
    address = x.__array_interface__["data"][0]
    device = (dlpack.CPU, 0)
    given = dlpack.Described(address, x.shape, x.strides, x.dtype, device, x)
    seen = np.from_dlpack(dlpack.Shared(given))
    assert seen.dtype == x.dtype
    assert seen.shape == x.shape
    assert (seen == x).all()
    assert seen.size == 0 or np.shares_memory(seen, x)


def test_owners() -> None:
    class Owner:
        pass

    owner = Owner()
    alive = weakref.ref(owner)
    x = np.arange(3.0)
    address = x.__array_interface__["data"][0]
    device = (dlpack.CPU, 0)
    before = len(dlpack._handed)
    given = dlpack.Described(address, (3,), (8,), x.dtype, device, owner)
    seen: Any = np.from_dlpack(dlpack.Shared(given))
    del given, owner
    gc.collect()
    assert alive() is not None
    assert len(dlpack._handed) == before + 1
    del seen
    gc.collect()
    assert alive() is None
    assert len(dlpack._handed) == before


def test_what_is_taken_keeps_its_memory() -> None:
    class Array(np.ndarray[Any, Any]):
        """NumPy's own arrays cannot be referred to weakly."""

    x = np.arange(5.0).view(Array)
    alive = weakref.ref(x)
    found = dlpack.taken(x, None)
    values = (ctypes.c_double * 5).from_address(found.address)
    del x
    gc.collect()
    assert alive() is not None
    assert list(values) == [0.0, 1.0, 2.0, 3.0, 4.0]
    del found
    gc.collect()
    assert alive() is None


def test_complex_numbers() -> None:
    with pytest.raises(DtypeError) as caught:
        dlpack.taken(np.zeros(3, np.complex128), None)
    assert str(caught.value) == (
        "a DLPack array with elements of code 5, 128 bits\n"
        "  Use float64, float32, an integer dtype or bool."
    )


def test_readers_say_their_stream() -> None:
    said: list[Any] = []
    x = np.arange(3.0)
    address = x.__array_interface__["data"][0]
    given = dlpack.Described(address, (3,), (8,), x.dtype, (dlpack.CPU, 0), x)
    shared = dlpack.Shared(given, said.append)
    np.from_dlpack(shared)
    assert said == [None]
    assert shared.__dlpack_device__() == (dlpack.CPU, 0)
