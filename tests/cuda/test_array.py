"""Arrays in and out, of NumPy, Numba and stand-ins of the other libraries."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import gradjit.cuda
from gradjit.cuda import array, buffers, dlpack, optional, place, shim, views
from gradjit.cuda import device as dev
from gradjit.cuda.array import Kind
from gradjit.errors import CudaTransferWarning, GradjitError, UnsupportedError
from tests.cuda import faked
from tests.cuda.fake_cupy import Cupy
from tests.cuda.fake_cupy import ndarray as CupyArray

STREAM = 0x51


class Tensor:
    """A PyTorch tensor on the device."""

    requires_grad = False

    def __init__(self, given: Any, number: int = 0) -> None:
        self.given, self.number = given, number

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, self.number)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        if self.requires_grad:
            raise RuntimeError("Can't get it on Variable that requires grad.")
        # PyTorch writes version 2, without a stream.
        described = self.given.__cuda_array_interface__ | {"version": 2}
        del described["stream"]
        return described


class JaxArray:
    """A JAX array on the device."""

    def __init__(self, given: Any) -> None:
        self.given, self.streams = given, []

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        described = self.given.__cuda_array_interface__
        return described | {"data": (described["data"][0], True)}

    def __dlpack__(self, *, stream: int) -> Any:
        self.streams.append(stream)
        return array._shared(self.given).__dlpack__(stream=-1)


Tensor.__module__ = "torch"
JaxArray.__module__ = "jaxlib._jax"


class Foreign:
    """A library that nobody has heard of."""

    def __init__(self, given: Any, stream: int | None, **described: Any) -> None:
        self.__cuda_array_interface__ = (
            given.__cuda_array_interface__ | {"stream": stream} | described
        )
        self.given = given


def from_dlpack(exporter: Any) -> Any:
    """What PyTorch and JAX do with a library's array, on the stream 0x77."""
    assert exporter.__dlpack_device__() == (2, 0)
    given = exporter.__dlpack__(stream=0x77, max_version=(1, 0))
    capsule = SimpleNamespace(__dlpack__=lambda: given)
    return dlpack.taken(capsule, None)


@pytest.fixture
def libraries(driver: faked.Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    def current_stream(device: int) -> Any:
        assert device == 0
        return SimpleNamespace(cuda_stream=STREAM)

    cuda = SimpleNamespace(current_stream=current_stream)
    torch = SimpleNamespace(cuda=cuda, from_dlpack=from_dlpack)
    jax = SimpleNamespace(dlpack=SimpleNamespace(from_dlpack=from_dlpack))
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "jax", jax)
    monkeypatch.setattr(array, "_warned", threading.Event())


@pytest.fixture
def cupy(driver: faked.Driver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cupy]:
    made = Cupy(driver)
    monkeypatch.setattr(optional, "cupy", lambda: made)
    return made


def device_array(a: Any) -> Any:
    with place.using(place.at(0)):
        return buffers.to_device(a)


def twice(x: Any, *rest: Any) -> Sequence[Any]:
    out = dev.empty(x.shape, x.dtype)
    faked.seen(out)[...] = 2 * faked.seen(x)
    return [out, *rest]


X = np.arange(6.0).reshape(2, 3)


def test_numpy_in_numpy_out(libraries: None) -> None:
    with pytest.warns(CudaTransferWarning) as caught:
        out, number = array.called(twice, [X, 3.5])
    assert type(out) is np.ndarray
    assert (out == 2 * X).all()
    assert number == 3.5
    assert str(caught[0].message) == (
        'target="cuda" was called with a NumPy array of 48 bytes: NumPy arrays are '
        "copied to the device, and results back, at every call. Pass arrays that are "
        "on the device (CuPy, PyTorch, JAX, Numba, or gradjit.cuda.to_device(x)), and "
        "results stay there. This is said once."
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        array.called(twice, [X])


@pytest.mark.parametrize(
    "x", [X.T, X[:, ::-1], np.asfortranarray(X), X[0, 0], np.zeros((0, 2))], ids=str
)
def test_numpy_strides(x: Any, libraries: None) -> None:
    array._warned.set()
    (out,) = array.called(twice, [np.asarray(x)])
    assert (out == 2 * x).all()
    assert out.shape == np.shape(x)


def test_numba_arrays(driver: faked.Driver, libraries: None) -> None:
    x = device_array(X)

    def check(given: Any) -> Sequence[Any]:
        assert given is x
        assert place.current() is place.at(0)
        return twice(given)

    driver.log.clear()
    (out,) = array.called(check, [x])
    assert type(out) is type(x)
    assert driver.log == ["alloc"]
    assert (faked.seen(out) == 2 * X).all()
    assert (out.copy_to_host() == 2 * X).all()
    assert array.kind_of([X, x]) is Kind.NUMBA


def test_numba_array_of_another_stream(driver: faked.Driver, libraries: None) -> None:
    with place.using(place.at(STREAM)):
        x = buffers.to_device(X)
    place.at(0)
    driver.log.clear()
    array.called(twice, [x])
    event = driver.events
    assert driver.log == [("record", event, STREAM), ("wait", event, 0), "alloc"]


def test_cupy_arrays(driver: faked.Driver, libraries: None, cupy: Cupy) -> None:
    given = optional.cupy_array(device_array(X))
    cupy.current = STREAM
    cupy.log.clear()

    def check(x: Any) -> Sequence[Any]:
        assert views.address_of(x) == given.memptr.ptr
        assert place.current() is place.at(STREAM)
        return twice(x)

    (out,) = array.called(check, [given])
    assert type(out) is CupyArray
    assert (out.seen == 2 * X).all()
    assert out.strides == X.strides
    assert cupy.log == [("alloc", STREAM)]
    assert cupy.current == STREAM


def test_cupy_strides(libraries: None, cupy: Cupy) -> None:
    whole = optional.cupy_array(device_array(np.arange(40.0)))
    memory = whole.memptr.mem
    start = cupy.cuda.MemoryPointer(memory, 160)
    given = CupyArray((3, 2), np.float64, start, (-48, 16))

    def check(x: Any) -> Sequence[Any]:
        assert x.strides == (-48, 16)
        assert (faked.seen(x) == given.seen).all()
        return [x]

    (out,) = array.called(check, [given])
    assert out.strides == (-48, 16)
    assert (out.seen == given.seen).all()
    empty = cupy.empty((0, 3), np.float32)
    (out,) = array.called(lambda x: [x], [empty])
    assert out.shape == (0, 3)
    assert out.dtype == np.float32


def test_torch_tensors(driver: faked.Driver, libraries: None) -> None:
    x = device_array(X)
    given = Tensor(x)
    assert array.is_writable(given)

    def check(taken: Any) -> Sequence[Any]:
        assert views.address_of(taken) == views.address_of(x)
        assert place.current() is place.at(STREAM)
        out = twice(taken)
        driver.log.clear()
        return out

    (out,) = array.called(check, [given])
    assert isinstance(out, dlpack.Described)
    assert (out.shape, out.strides, out.dtype) == ((2, 3), (24, 8), np.float64)
    event = driver.events  # the reader's stream is another one, and waits for ours
    assert driver.log == [("record", event, STREAM), ("wait", event, 0x77)]
    assert (np.ctypeslib.as_array(doubles(out.address, 6)) == 2 * X.ravel()).all()


def doubles(address: int, count: int) -> Any:
    import ctypes

    return (ctypes.c_double * count).from_address(address)


def test_tensor_that_requires_a_gradient(libraries: None) -> None:
    given = Tensor(device_array(X))
    given.requires_grad = True
    with pytest.raises(UnsupportedError) as caught:
        array.called(twice, [given])
    assert str(caught.value) == (
        "a Tensor does not share its memory: Can't get it on Variable that requires "
        "grad.\n  Pass value.detach()."
    )


def test_jax_arrays(driver: faked.Driver, libraries: None) -> None:
    x = device_array(X)
    given = JaxArray(x)
    assert not array.is_writable(given)

    def check(taken: Any) -> Sequence[Any]:
        assert views.address_of(taken) == views.address_of(x)
        return [dev.transpose(twice(taken)[0])]

    (out,) = array.called(check, [given])
    assert given.streams == [1]
    # JAX takes no strides: a transposed result is copied.
    assert (out.shape, out.strides) == ((3, 2), (16, 8))
    assert (np.ctypeslib.as_array(doubles(out.address, 6)) == 2 * X.T.ravel()).all()


def test_unknown_library(
    driver: faked.Driver, libraries: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = device_array(X)
    place.at(0)
    driver.log.clear()
    (out,) = array.called(twice, [Foreign(x, STREAM, strides=None)])
    assert type(out) is type(x)
    event = driver.events
    assert driver.log == [("record", event, STREAM), ("wait", event, 0), "alloc"]
    for stream in (None, 0, 1):  # none to wait for, and two names of the default stream
        driver.log.clear()
        array.called(lambda x: [], [Foreign(x, stream)])
        assert driver.log == []
    with pytest.raises(UnsupportedError, match="masked arrays are not supported"):
        array.called(twice, [Foreign(x, None, mask=Foreign(x, None))])
    read_only = (views.address_of(x), True)
    assert not array.is_writable(Foreign(x, None, data=read_only))


def test_only_dlpack(libraries: None) -> None:
    x = device_array(X[:, :2])
    other = SimpleNamespace(
        __dlpack__=lambda stream: array._shared(x).__dlpack__(stream=-1),
        __dlpack_device__=lambda: (2, 0),
    )
    with place.using(place.at(0)):
        (out,) = array.called(twice, [other])
    assert (faked.seen(out) == 2 * X[:, :2]).all()


def test_arguments_on_two_devices(libraries: None) -> None:
    x = device_array(X)
    with pytest.raises(GradjitError) as caught:
        array.called(twice, [x, Tensor(x, 1)])
    assert str(caught.value) == (
        "arguments are on the CUDA devices 0 and 1\n  Move them to one device."
    )


def test_arrays_of_the_host(libraries: None) -> None:
    for value in (X, X[0, 0], 1.5, 3, True, "text", None, [1.0]):
        assert not array.on_device(value)
    assert array.is_array(X)
    assert not array.is_array(X[0, 0])
    assert array.is_writable(X)
    frozen = X.copy()
    frozen.flags.writeable = False
    assert not array.is_writable(frozen)
    cpu = SimpleNamespace(__dlpack_device__=lambda: (1, 0))
    assert not array.on_device(cpu)


def test_steady_state_of_a_call(driver: faked.Driver, libraries: None) -> None:
    x = device_array(X)
    given = Foreign(x, None)
    array.called(twice, [given])
    array.called(twice, [given])
    driver.log.clear()
    array.called(twice, [given])
    assert driver.log == []


def test_to_device(driver: faked.Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array, "require", lambda: None)  # what compiles may be missing
    made = gradjit.cuda.to_device(X.T.astype(np.float32))
    assert type(made) is type(device_array(X))
    assert made.dtype == np.float32
    assert (made.copy_to_host() == X.T).all()
    assert (gradjit.cuda.to_device([1, 2]).copy_to_host() == [1, 2]).all()


def test_to_device_without_one() -> None:
    if shim.SIMULATED or shim.cuda.is_available():
        pytest.skip("there is a device")
    with pytest.raises(GradjitError, match="needs an NVIDIA GPU with its driver"):
        gradjit.cuda.to_device(X)
