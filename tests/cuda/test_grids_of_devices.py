"""Grids and blocks: limits of the hardware, and that they cover what there is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gradjit.cuda import geometry, place
from tests.cuda import faked

SIZES = (0, 1, 2, 31, 32, 33, 255, 257, 1000, 10**5, 2**31, 2**40)


@pytest.fixture(params=[1, 4, 132])
def processors(
    request: pytest.FixtureRequest,
    driver: faked.Driver,
    monkeypatch: pytest.MonkeyPatch,
) -> int:
    monkeypatch.setattr(faked.Device, "MULTIPROCESSOR_COUNT", request.param)
    return request.param


def check(config: geometry.Config) -> tuple[tuple[int, ...], tuple[int, ...]]:
    grid, block, stream = config
    assert stream is place.current().stream
    grids, blocks = (x if isinstance(x, tuple) else (x,) for x in (grid, block))
    for x in (*grids, *blocks):
        assert type(x) is int
        assert x > 0
    assert np.prod(grids) <= place.MAX_BLOCKS
    assert grids[0] < 2**31
    assert max(grids[1:], default=0) <= 65535
    assert np.prod(blocks) <= 256
    assert blocks[0] & (blocks[0] - 1) == 0
    return grids, blocks


def test_one_axis(processors: int) -> None:
    most = min(16 * processors, place.MAX_BLOCKS)
    for config, threads in ((geometry.elements, 256), (geometry.items, 128)):
        for n in SIZES:
            (grid,), (block,) = check(config(n))
            assert block == threads
            assert grid == max(1, min(-(-n // threads), most))


def test_two_axes(processors: int) -> None:
    most = min(16 * processors, place.MAX_BLOCKS)
    for rows, cols in itertools.product(SIZES, SIZES):
        (across, down), (x, y) = check(geometry.grid2(rows, cols))
        assert x * y == 256
        assert x >= min(cols, 256)
        assert x == 1 or x < 2 * cols
        blocks = max(1, -(-cols // x)) * max(1, -(-rows // y))
        if blocks <= most:  # no thread has two elements
            assert across * x >= cols
            assert down * y >= rows
        assert (across - 1) * x < max(1, cols)
        assert (down - 1) * y < max(1, rows)


def test_rows(processors: int) -> None:
    for n, m in itertools.product(SIZES, SIZES):
        (grid,), (block,) = check(geometry.rows(n, m))
        assert 32 <= block <= 256
        assert block == 32 or block < 2 * m
        assert grid == max(1, min(n, 16 * processors, place.MAX_BLOCKS))


def test_rows_that_leave_the_device_idle_get_more_threads(processors: int) -> None:
    assert geometry.rows(1, 200)[1] == 256
    assert geometry.rows(10**6, 200)[1] == 64


@pytest.mark.usefixtures("here")
def test_one() -> None:
    assert check(geometry.one()) == ((1,), (1,))
