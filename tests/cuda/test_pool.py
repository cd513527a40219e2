"""Memory that is given back and given out again."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from gradjit.cuda import buffers, optional, place, pool
from gradjit.cuda import device as dev
from gradjit.cuda.place import Place
from gradjit.cuda.pool import Pool
from tests.cuda import faked
from tests.cuda.fake_cupy import Cupy


class Memory:
    """So many bytes of nothing."""

    def __init__(self, address: int) -> None:
        self.device_pointer_value = address


class Source:
    """Counts what it gives out, and what of it is alive."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, size: int) -> Memory:
        self.sizes.append(size)
        return Memory(1000 * len(self.sizes))


def test_memory_is_used_again() -> None:
    source = Source()
    made = Pool(source)
    first = made.take(1000)
    second = made.take(1000)
    assert (first.address, second.address) == (1000, 2000)
    assert made.counts() == (2048, 2048, 2048)
    del first
    assert made.counts() == (1024, 2048, 2048)
    third = made.take(600)  # of the same size class
    assert third.address == 1000
    assert source.sizes == [1024, 1024]
    del second, third
    assert made.counts() == (0, 2048, 2048)
    made.reset_peak()
    made.clear()
    assert made.counts() == (0, 0, 0)
    made.take(1000)
    assert source.sizes == [1024] * 3


def test_memory_of_another_pool_is_not_kept() -> None:
    source = Source()
    made = Pool(source, keep=False)
    block = made.take(100)
    assert made.counts() == (512, 512, 512)
    del block
    assert made.counts() == (0, 0, 512)
    made.take(100)
    assert source.sizes == [512, 512]


@pytest.mark.parametrize(
    "nbytes", [0, 1, 511, 512, 513, 4096, 4097, 10**6, 2**31, 10**12]
)
def test_size_classes(nbytes: int) -> None:
    size = pool.size_class(nbytes)
    assert nbytes <= size <= max(512, nbytes + 512, nbytes * 1.125)
    assert size % 512 == 0
    assert pool.size_class(size) == size


def test_sums_over_streams(here: Place) -> None:
    gc.collect()
    pool.clear()
    used, reserved = pool.used(), pool.reserved()
    a = dev.empty(512)
    with place.using(place.at(0x51)):
        b = dev.empty(512)
    assert pool.used() == used + 2 * 4096
    assert pool.reserved() == reserved + 2 * 4096
    pool.reset_peak()
    del a
    assert pool.used() == used + 4096
    assert pool.peak() == used + 2 * 4096
    with place.using(place.at(0x51)):
        c = dev.empty(512)  # what is kept belongs to another stream
    assert pool.reserved() == reserved + 3 * 4096
    del b, c
    pool.clear()
    assert pool.reserved() == reserved


def test_full_device(here: Place, driver: faked.Driver) -> None:
    pool.clear()
    gc.collect()
    here.context.memory_manager.deallocations.clear()
    driver.limit = driver.allocated() + 3000
    kept = dev.empty(256)
    del kept  # is in the pool, and in the way
    a = dev.empty(320)
    assert driver.log.count("free") > 0
    used = pool.used()
    with pytest.raises(MemoryError) as caught:
        dev.empty(10_000)
    assert str(caught.value) == (
        f"the CUDA device has no 81920 bytes left ({used} are in use)"
    )
    assert a.shape == (320,)
    driver.limit = faked.FREE
    dev.empty(10_000)


def test_pool_of_cupy(driver: faked.Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = Cupy(driver)
    monkeypatch.setattr(optional, "cupy", lambda: cupy)
    with place.using(place.at(0x51)):
        driver.log.clear()
        a = dev.zeros(100)
        assert (buffers.to_host(a) == np.zeros(100)).all()
    assert cupy.log == [("alloc", 0x51)]
    assert "alloc" not in driver.log
