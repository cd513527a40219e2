"""CUDA graphs on a stand-in for the driver: recording, replaying, and doing without."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit import config, devicecall
from gradjit.cuda import array, buffers, geometry, graphs, place, pool
from gradjit.cuda import device as dev
from gradjit.cuda.place import Place
from gradjit.cuda.shim import cuda
from tests.cuda import faked
from tests.cuda.fake_cupy import installed

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def bindings(driver: faked.Driver, monkeypatch: pytest.MonkeyPatch) -> faked.Bindings:
    made = faked.Bindings(driver)
    monkeypatch.setattr(graphs, "bindings", lambda: made)
    return made


@cuda.jit
def scale(n: int, a: Any, by: float, out: Any) -> None:
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        out[i] = by * a[i]


class Counted:
    """A call with a temporary, two launches and a memset; counts its runs."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, x: Any, by: float) -> Sequence[Any]:
        self.runs += 1
        n = x.shape[0]
        half = dev.empty(n)
        scale[dev.elements(n)](n, x, 0.5, half)
        out = dev.zeros(n)
        scale[dev.elements(n)](n, half, by, out)
        del half
        return out, dev.zeros(2), n


def expected(x: Any, by: float) -> Any:
    return by * (0.5 * x)


def check(function: Any, x: Any, by: float) -> Any:
    given = buffers.to_device(x)
    out, zeros, n = graphs.captured(function, [given, by])
    assert (faked.seen(out) == expected(x, by)).all()
    assert (faked.seen(zeros) == 0).all()
    assert n == len(x)
    assert (faked.seen(given) == x).all()
    return out


def test_recorded_at_the_second_call(
    bindings: faked.Bindings, driver: faked.Driver
) -> None:
    function = Counted()
    x = np.arange(40.0)
    check(function, x, 3.0)
    assert function.runs == 1
    check(function, x + 1, 3.0)  # once to try, once to record
    assert function.runs == 3
    assert bindings.streams == set()
    driver.log.clear()
    check(function, x + 2, 3.0)
    assert function.runs == 3
    assert driver.log == [
        ("to device", 0),  # of the test
        ("synchronize", 0),
        ("copy", 0),
        ("graph", 0),
        ("copy", 0),
        ("copy", 0),
    ]


def test_results_and_temporaries_are_apart(bindings: faked.Bindings) -> None:
    function = Counted()
    x = np.arange(40.0)
    kept = []
    for k in range(6):
        # Arrays that take what the recorded call has given back, if it could be had.
        others = [dev.full(40, -1.0) for _ in range(3)]
        kept.append((k, check(function, x + k, 3.0), others))
    for k, out, others in kept:
        assert (faked.seen(out) == expected(x + k, 3.0)).all()
        assert all((faked.seen(other) == -1.0).all() for other in others)


def test_kinds_of_calls(bindings: faked.Bindings) -> None:
    function = Counted()
    x = np.arange(40.0)
    for _ in range(3):
        check(function, x, 3.0)
        check(function, x, 2.0)
        check(function, x[:30], 3.0)
        check(function, x, -0.0)
        check(function, x, 0.0)
    assert function.runs == 5 * 3
    strided = array.views.view(buffers.to_device(x), (20,), (16,))
    for _ in range(3):
        out, *_ = graphs.captured(function, [strided, 3.0])
        assert (faked.seen(out) == expected(x[::2], 3.0)).all()
    assert function.runs == 6 * 3


def test_many_kinds(bindings: faked.Bindings) -> None:
    function = Counted()
    x = np.arange(4.0)
    for k in range(3 * graphs.MOST):
        check(function, x, float(k))
    assert function.runs == 3 * graphs.MOST
    for k in range(2 * graphs.MOST):
        for _ in range(3):
            check(function, x, float(k))
    assert len(bindings.alive) == graphs.MOST


def test_graphs_go_with_their_function(bindings: faked.Bindings) -> None:
    function = Counted()
    pool.clear()
    before = pool.reserved()
    for _ in range(3):
        check(function, np.arange(4.0), 2.0)
    assert len(bindings.alive) == 1
    del function
    gc.collect()
    assert bindings.alive == set()
    pool.clear()
    assert pool.reserved() == before


def test_host_that_waits(bindings: faked.Bindings) -> None:
    runs = 0

    def function(x: Any) -> Sequence[Any]:
        nonlocal runs
        runs += 1
        return [dev.full(2, dev.item(x))]

    for k in range(4):
        (out,) = graphs.captured(function, [dev.full((), float(k))])
        assert (faked.seen(out) == k).all()
    assert runs == 4
    assert bindings.alive == set()


def test_host_that_waits_later(bindings: faked.Bindings) -> None:
    runs = 0

    def function(x: Any) -> Sequence[Any]:
        nonlocal runs
        runs += 1
        if runs > 1:
            dev.item(x)
        return [dev.copy(x)]

    for k in range(4):
        (out,) = graphs.captured(function, [dev.full((), float(k))])
        assert (faked.seen(out) == k).all()
    assert bindings.alive == set()
    assert bindings.driver.capturing == {}


@pytest.mark.parametrize(
    "name",
    [
        "cuStreamCreate",
        "cuStreamBeginCapture",
        "cuStreamEndCapture",
        "cuGraphInstantiate",
    ],
)
def test_driver_that_fails(name: str, bindings: faked.Bindings) -> None:
    bindings.fails = name
    function = Counted()
    for k in range(4):
        check(function, np.arange(4.0) + k, 2.0)
    runs = function.runs
    check(function, np.arange(4.0), 2.0)
    assert function.runs == runs + 1  # it is not tried again
    assert bindings.driver.capturing == {}


def test_error_of_the_function(bindings: faked.Bindings) -> None:
    def function(x: Any) -> Sequence[Any]:
        raise ValueError("extents differ")

    for _ in range(3):
        with pytest.raises(ValueError, match="extents differ"):
            graphs.captured(function, [dev.empty(3)])
    assert bindings.driver.capturing == {}


def test_no_bindings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "bindings", lambda: None)
    function = Counted()
    for _ in range(3):
        check(function, np.arange(4.0), 2.0)
    assert function.runs == 3


def test_by_called(bindings: faked.Bindings, driver: faked.Driver) -> None:
    function = Counted()
    x = buffers.to_device(np.arange(4.0))
    for record, runs in ((False, 1), (False, 2), (True, 3), (True, 5), (True, 5)):
        out, *_ = array.called(function, [x, 2.0], record)
        assert (faked.seen(out) == expected(np.arange(4.0), 2.0)).all()
        assert function.runs == runs
    with place.using(place.at(0x51)):  # another stream records its own
        out, *_ = graphs.captured(function, [x, 2.0])
    assert function.runs == 6


def test_temporaries_of_cupy(
    bindings: faked.Bindings, driver: faked.Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    cupy = installed(driver, monkeypatch)

    addresses: list[int] = []

    def function(x: Any) -> Sequence[Any]:
        addresses.append(cupy.empty((100,), np.float64).memptr.ptr)
        return [dev.copy(x)]

    with place.using(place.at(0x51)):
        for k in range(3):
            (out,) = graphs.captured(function, [dev.full(3, float(k))])
            assert (faked.seen(out) == k).all()
        (graph,) = graphs._calls[function].graphs.values()
    assert graph is not None
    assert len(addresses) == 3
    # What CuPy took while it was recorded is the recorded call's, and stays its own.
    assert addresses[1] == addresses[2]
    graph.memory.counts()
    kept = [memory for sizes in graph.memory._free.values() for memory in sizes]
    assert addresses[2] in {memory.device_pointer_value for memory in kept}


def test_scratch_is_that_of_the_stream(bindings: faked.Bindings, here: Place) -> None:
    found: list[Any] = []

    def function(x: Any) -> Sequence[Any]:
        found.append((dev.status(), dev.parts(), dev.counters()))
        assert geometry.current().handle in (0, 0x5C)
        return [x]

    for _ in range(3):
        graphs.captured(function, [dev.empty(3)])
    assert len(found) == 3
    for status, parts, counters in found:
        assert status is here.status
        assert parts is here.parts
        assert counters is here.counters


def test_emitted_code(
    bindings: faked.Bindings, driver: faked.Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devicecall, "require", lambda: None)

    def wave(x: Any, a: Any) -> Any:
        return a * np.sin(x) * x + x

    compiled = gradjit.jit(wave, target="cuda")
    with config.override(cuda_graphs=True):
        for k in range(4):
            x = np.linspace(0.0, 1.0, 50) + k
            given = cuda.to_device(x)
            driver.log.clear()
            out = compiled(given, 2.0)
            assert (("graph", 0) in driver.log) == (k > 0)
            np.testing.assert_allclose(out.copy_to_host(), wave(x, 2.0), rtol=1e-12)
