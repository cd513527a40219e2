"""The runtime as one sees it from outside, on a CUDA device.

Where there is a device, this is what shows that the runtime works on it: with CuPy,
PyTorch and JAX as far as they are installed for CUDA. Where there is none, the same
runs on `faked`, so that what is written here is right.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from gradjit.cuda import (
    array,
    buffers,
    geometry,
    graphs,
    kernels,
    optional,
    place,
    pool,
    shim,
)
from gradjit.cuda import device as dev
from gradjit.cuda.place import Place
from gradjit.cuda.shim import cuda
from tests.cuda import faked

HAS_DEVICE = shim.IMPORTED and not shim.SIMULATED and bool(cuda.is_available())
# Without a device, each thread is one of Python.
X = np.random.default_rng(0).normal(size=(400, 300) if HAS_DEVICE else (30, 10))
TIMES = 20 if HAS_DEVICE else 2

pytestmark = pytest.mark.filterwarnings("ignore::gradjit.errors.CudaTransferWarning")


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A stream of a device."""
    if HAS_DEVICE:
        with place.using(place.at(0)) as made:
            yield made
        return
    monkeypatch.setattr(kernels, "TILE", 4)
    monkeypatch.setattr(geometry, "_THREADS", 32)
    with faked.device(monkeypatch) as driver:
        bindings = faked.Bindings(driver)
        monkeypatch.setattr(graphs, "bindings", lambda: bindings)
        with place.using(place.at(0)) as made:
            yield made


@cuda.jit
def scale(n: int, a: Any, by: float, out: Any) -> None:
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        out[i] = by * a[i]


@cuda.jit
def mark(n: int, a: Any, status: Any, code: int) -> None:
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        if a[i] < 0.0:
            status[0] = code


def scaled(x: Any, by: float) -> Sequence[Any]:
    """A call with a temporary and two launches."""
    work, out = dev.empty(x.shape), dev.empty(x.shape)
    n = x.size
    scale[dev.elements(n)](n, buffers.flat(dev.copy(x)), 0.5, buffers.flat(work))
    scale[dev.elements(n)](n, buffers.flat(work), by, buffers.flat(out))
    return [out]


@pytest.mark.usefixtures("there")
def test_arrays() -> None:
    for dtype in (np.float64, np.float32, np.int64, np.bool_):
        for shape in ((), (5,), (3, 4), (0, 3)):
            for made, value in (
                (dev.zeros(shape, dtype), 0),
                (dev.ones(shape, dtype), 1),
                (dev.full(shape, dev.ones((), dtype), dtype), 1),
            ):
                host = buffers.to_host(made)
                assert host.dtype == dtype
                assert (host == np.full(shape, value, dtype)).all()
    x = buffers.to_device(X)
    assert (buffers.to_host(dev.transpose(x)) == X.T).all()
    assert (
        buffers.to_host(dev.reshape(dev.transpose(x), (20, -1)))
        == (X.T.reshape(20, -1))
    ).all()
    assert (buffers.to_host(x[3:30, 5]) == X[3:30, 5]).all()
    assert dev.item(dev.full((), 2.5)) == 2.5
    for mine, expected in zip(
        dev.nonzero(buffers.to_device(X > 0)), np.nonzero(X > 0), strict=True
    ):
        assert (buffers.to_host(mine) == expected).all()


@pytest.mark.usefixtures("there")
def test_products() -> None:
    a, b, c = X[:6, :8], X[:8, 3:10], X[:6, :7]
    stack = X[:24, :8].reshape(3, 8, 8)
    for left, right in ((a, b), (a.T, a), (b.T, b), (a, b[:, 0]), (a[0], b)):
        expected = left @ right
        mine = _strided(left), _strided(right)
        out = dev.matmul(*mine)
        np.testing.assert_allclose(buffers.to_host(out), expected, rtol=1e-11)
        dev.add_matmul(out, *mine)
        np.testing.assert_allclose(buffers.to_host(out), 2 * expected, rtol=1e-11)
    out = buffers.to_device(c)
    dev.add_matmul(out, buffers.to_device(a), buffers.to_device(b))
    np.testing.assert_allclose(buffers.to_host(out), c + a @ b, rtol=1e-11)
    batch = buffers.to_device(stack)
    out = dev.matmul(batch, dev.transpose(batch, (0, 2, 1)))
    expected = stack @ stack.transpose(0, 2, 1)
    np.testing.assert_allclose(buffers.to_host(out), expected, rtol=1e-11)
    out = dev.matmul(batch, buffers.to_device(b))
    np.testing.assert_allclose(buffers.to_host(out), stack @ b, rtol=1e-11)
    ints = np.arange(12).reshape(3, 4)
    out = dev.matmul(buffers.to_device(ints), buffers.to_device(ints.T))
    assert (buffers.to_host(out) == ints @ ints.T).all()


def _strided(a: Any) -> Any:
    """On the device as on the host: a transposed view is one."""
    if a.ndim == 2 and a.T.flags.c_contiguous:
        return dev.transpose(buffers.to_device(a.T))
    return buffers.to_device(a)


def test_errors(there: Place) -> None:
    first = dev.register([("IndexError", "out of bounds"), ("ValueError", "negative")])
    x = buffers.to_device(np.array([1.0, -1.0, 2.0]))
    mark[dev.elements(3)](3, x, dev.status(), first + 1)
    with pytest.raises(ValueError, match="negative"):
        dev.synchronize()
    dev.synchronize()
    mark[dev.elements(3)](3, x, dev.status(), first)
    with pytest.raises(IndexError, match="out of bounds"):
        array.called(lambda x: [x], [X])
    dev.synchronize()


@pytest.mark.usefixtures("there")
def test_memory_is_used_again() -> None:
    x = buffers.to_device(X)
    pool.reset_peak()
    for _ in range(2):
        scaled(x, 2.0)
    reserved, peak = pool.reserved(), pool.peak()
    for _ in range(TIMES):
        scaled(x, 2.0)
    assert (pool.reserved(), pool.peak()) == (reserved, peak)


@pytest.mark.usefixtures("there")
def test_recorded_calls() -> None:
    for record in (False, True):
        for k in range(4):
            given = cuda.to_device(X + k)
            (out,) = array.called(scaled, [given, 3.0], record=record)
            assert (out.copy_to_host() == 3.0 * (0.5 * (X + k))).all()
    if graphs.bindings() is not None:
        (graph,) = graphs._calls[scaled].graphs.values()
        assert graph is not None, "the call was not recorded"


def test_streams(there: Place) -> None:
    kept = cuda.stream() if HAS_DEVICE else 0x51
    handle = int(kept)
    given = cuda.to_device(X)  # waits
    with place.using(place.at(handle)):
        (out,) = scaled(given, 2.0)
        host = buffers.to_host(out)
    assert (host == 2.0 * (0.5 * X)).all()
    place._places.pop((there.device, handle), None)  # before its stream goes


def libraries() -> dict[str, Callable[[], tuple[Any, Any]]]:
    """How an array comes to the device by a library, and how it comes back."""

    def cupy() -> tuple[Any, Any]:
        return optional.cupy().asarray, optional.cupy().asnumpy

    def torch() -> tuple[Any, Any]:
        module = importlib.import_module("torch")
        assert module.cuda.is_available()
        return lambda x: module.tensor(x, device="cuda"), lambda x: x.cpu().numpy()

    def jax() -> tuple[Any, Any]:
        module = importlib.import_module("jax")
        (device, *_) = module.devices("cuda")
        module.config.update("jax_enable_x64", True)
        return lambda x: module.device_put(x, device), np.asarray

    return {"cupy": cupy, "torch": torch, "jax": jax}


@pytest.mark.skipif(not HAS_DEVICE, reason="there is no CUDA device")
@pytest.mark.parametrize("name", ["cupy", "torch", "jax"])
def test_arrays_of_libraries(name: str, there: Place) -> None:
    try:
        to_device, to_host = libraries()[name]()
    except Exception as error:
        pytest.skip(f"{name} has no CUDA here: {type(error).__name__}: {error}")
    for x in (X, X.astype(np.float32)[:, 0], X[:0]):
        given = to_device(x)
        (out,) = array.called(lambda x: [dev.copy(x)], [given])
        assert type(out) is type(given)
        assert (to_host(out) == x).all()
        assert to_host(out).dtype == x.dtype
    turned = to_device(X).T
    (out,) = array.called(lambda x: [dev.copy(x)], [turned])
    assert (to_host(out) == X.T).all()
