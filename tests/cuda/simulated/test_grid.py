"""Reductions over the grid: against NumPy, the same bits whichever block is last.

Each runs twice: as the simulator gets it, and as a device does, with shuffles.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from gradjit.cuda import collective
from gradjit.cuda.shim import cuda
from tests.cuda.simulated import emulation

SHAPES = ((1, 1), (2, 33), (7, 3), ((2, 3), (2, 2)), ((1, 2, 2), 5))
DTYPES = ("float64", "float32", "int64")
# All dtypes where a warp is not full, one of them in turn elsewhere.
TURNS = [
    (dtype, shape)
    for k, shape in enumerate(SHAPES)
    for dtype in (DTYPES if shape == (2, 33) else DTYPES[k % 3 : k % 3 + 1])
]
OPS = ("sum", "prod", "max", "min")
PLACES = ("argmax", "argmin")
SLOTS = 8
NOWHERE = np.iinfo(np.int64).max
START = {
    "float64": (-np.inf, np.inf),
    "float32": (np.float32(-np.inf), np.float32(np.inf)),
    "int64": (np.iinfo(np.int64).min, np.iinfo(np.int64).max),
}

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.fixture(params=["simulator", "device"])
def co(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == "simulator":
        return collective
    emulation.add_shuffles(monkeypatch)
    return emulation.device_collectives()


def all_of(co: Any, dtype: str) -> Callable[..., None]:
    """A kernel of all reductions over all elements of an array."""
    add, multiply, most, least = (getattr(co, f"grid_{op}_{dtype}") for op in OPS)
    first_most, first_least = (getattr(co, f"grid_{op}_{dtype}") for op in PLACES)
    number = np.dtype(dtype).type
    lowest, highest = START[dtype]

    @cuda.jit
    def kernel(x, out, places, parts, counters):
        g, b, t = cuda.blockIdx, cuda.blockDim, cuda.threadIdx
        grid = (g.z * cuda.gridDim.y + g.y) * cuda.gridDim.x + g.x
        threads = b.x * b.y * b.z
        i = grid * threads + (t.z * b.y + t.y) * b.x + t.x
        step = threads * cuda.gridDim.x * cuda.gridDim.y * cuda.gridDim.z
        total, product, high, low = number(0), number(1), lowest, highest
        high_at, low_at = NOWHERE, NOWHERE
        while i < x.shape[0]:
            total += x[i]
            product *= x[i]
            if x[i] > high or (high_at == NOWHERE) or (x[i] != x[i] and high == high):
                high, high_at = x[i], i
            if x[i] < low or (low_at == NOWHERE) or (x[i] != x[i] and low == low):
                low, low_at = x[i], i
            i += step
        add(total, parts, counters, 0, out[0])
        multiply(product, parts, counters, 1, out[1])
        most(high, parts, counters, 2, out[2])
        least(low, parts, counters, 5, out[3])
        first_most(high, high_at, parts, counters, 4, places[0])
        first_least(low, low_at, parts, counters, 7, places[1])

    return kernel


def zero_d(dtype: Any) -> Any:
    return cuda.to_device(np.full((), 99, dtype))


def scratch(blocks: int) -> tuple[Any, Any]:
    parts = np.full(SLOTS * 4 * blocks, np.nan)
    return cuda.to_device(parts), cuda.to_device(np.zeros(SLOTS, np.int32))


def extent(shape: Any) -> int:
    return math.prod(shape) if isinstance(shape, tuple) else shape


def reduced(kernel: Any, x: np.ndarray, shape: Any) -> tuple[list[Any], list[int]]:
    grid, block = shape
    out = tuple(zero_d(x.dtype) for _ in OPS)
    places = tuple(zero_d(np.int64) for _ in PLACES)
    parts, counters = scratch(extent(grid))
    kernel[grid, block](cuda.to_device(x), out, places, parts, counters)
    assert not counters.copy_to_host().any()
    results = [value.copy_to_host()[()] for value in out]
    assert {value.dtype for value in results} == {x.dtype}
    return results, [int(value.copy_to_host()[()]) for value in places]


def sample(dtype: str, n: int) -> np.ndarray:
    rng = np.random.default_rng(n)
    if dtype == "int64":
        return rng.integers(-(2**63), 2**63 - 1, n)
    return rng.normal(1.0, 0.1, size=n).astype(dtype)


@pytest.mark.parametrize(("dtype", "shape"), TURNS, ids=str)
def test_against_numpy(co: Any, dtype: str, shape: Any) -> None:
    compare(all_of(co, dtype), sample(dtype, 61), shape)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sizes(co: Any, dtype: str) -> None:
    for n in (1, 4, 5, 100):
        compare(all_of(co, dtype), sample(dtype, n), (2, 2))


def compare(kernel: Any, x: np.ndarray, shape: Any) -> None:
    """The results of a kernel with NumPy's."""
    (total, product, high, low), places = reduced(kernel, x, shape)
    if x.dtype == np.int64:  # modulo 2**64, so in any order
        assert total == np.sum(x)
        assert product == np.prod(x)
    else:
        eps, wide = float(np.finfo(x.dtype).eps), x.astype(np.float64)
        assert abs(total - wide.sum()) <= x.size * eps * np.abs(wide).sum()
        assert product == pytest.approx(wide.prod(), rel=x.size * eps)
    assert high == np.max(x)
    assert low == np.min(x)
    assert places == [np.argmax(x), np.argmin(x)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_is_the_identity(co: Any, dtype: str) -> None:
    results, places = reduced(all_of(co, dtype), np.empty(0, dtype), (2, 5))
    assert results == [0, 1, *START[dtype]]
    assert places == [NOWHERE, NOWHERE]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_nan_and_inf(co: Any, dtype: str) -> None:
    kernel = all_of(co, dtype)
    for values in ([np.nan], [np.nan, np.nan], [np.inf, -np.inf], [-np.inf]):
        x = sample(dtype, 40)
        for k, value in enumerate(values):
            x[35 - 20 * k] = value
        (total, product, high, low), places = reduced(kernel, x, (3, 3))
        assert np.isnan(total) == np.isnan(x.sum())
        assert np.isnan(product) == np.isnan(x.prod())
        np.testing.assert_array_equal([high, low], [np.max(x), np.min(x)])
        assert places == [np.argmax(x), np.argmin(x)]


def test_int64_is_exact(co: Any) -> None:
    ends = np.iinfo(np.int64)
    kernel = all_of(co, "int64")
    for values in ([ends.max, 0, ends.max], [ends.min, ends.min, 5], [-1, 2**53 + 1]):
        x = np.array(values)
        (total, product, high, low), places = reduced(kernel, x, (5, 1))
        assert (total, product) == (np.sum(x), np.prod(x))
        assert (high, low) == (max(values), min(values))
        assert places == [np.argmax(x), np.argmin(x)]


def test_all_least_is_found_at_the_first(co: Any) -> None:
    for dtype in DTYPES:
        low, high = START[dtype]
        kernel = all_of(co, dtype)
        assert reduced(kernel, np.full(9, low, dtype), (4, 3))[1] == [0, 0]
        assert reduced(kernel, np.full(9, high, dtype), (4, 3))[1] == [0, 0]


@pytest.mark.parametrize("grid", [1, 2, 7])
def test_and_or(co: Any, grid: int) -> None:
    every, some = co.grid_and, co.grid_or

    @cuda.jit
    def kernel(x, both, either, parts, counters):
        i = cuda.grid(1)
        every(i >= x.shape[0] or x[i], parts, counters, 0, both)
        some(i < x.shape[0] and x[i], parts, counters, 1, either)

    for true in ((), (0,), (9,), range(10), range(9)):
        x = np.zeros(10, np.bool_)
        x[list(true)] = True
        both, either = zero_d(np.bool_), zero_d(np.bool_)
        kernel[grid, 10](cuda.to_device(x), both, either, *scratch(grid))
        assert both.copy_to_host()[()] == x.all()
        assert either.copy_to_host()[()] == x.any()


class Backwards:
    """NumPy as the simulator uses it, but grids and blocks run backwards."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def ndindex(self, *shape: int) -> Iterator[tuple[int, ...]]:
        yield from reversed(list(np.ndindex(*shape)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_bits_each_time(
    co: Any, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel, x = all_of(co, dtype), sample(dtype, 200)
    first = reduced(kernel, x, (4, 5))
    again = reduced(kernel, x, (4, 5))
    simulator = importlib.import_module("numba.cuda.simulator.kernel")
    monkeypatch.setattr(simulator, "np", Backwards())
    backwards = reduced(kernel, x, (4, 5))
    bits = {np.array(results).tobytes() for results, _ in (first, again, backwards)}
    assert len(bits) == 1
    assert first[1] == again[1] == backwards[1]


def test_float32_sums_do_not_lose_small_blocks(co: Any) -> None:
    """Over the blocks, a float32 would lose each of the ones next to 2**24."""
    add = co.grid_sum_float32

    @cuda.jit
    def kernel(x, out, parts, counters):
        add(x[cuda.grid(1)], parts, counters, 3, out)

    x = np.ones(9, np.float32)
    x[0] = 2.0**24
    assert np.float32(2.0**24) + np.float32(1) == 2.0**24
    out = zero_d(np.float32)
    kernel[9, 1](cuda.to_device(x), out, *scratch(9))
    assert out.copy_to_host()[()] == 2.0**24 + 8


def test_slots_are_apart(co: Any) -> None:
    """The reductions of a kernel do not write into the parts of others."""
    kernel = all_of(co, "int64")
    blocks = 6
    parts, counters = scratch(blocks)
    out = tuple(zero_d(np.int64) for _ in OPS)
    places = tuple(zero_d(np.int64) for _ in PLACES)
    x = cuda.to_device(sample("int64", 30))
    kernel[blocks, 3](x, out, places, parts, counters)
    written = ~np.isnan(parts.copy_to_host().reshape(SLOTS, 4 * blocks))
    words = written.sum(axis=1) / blocks
    assert list(words) == [2, 2, 2, 0, 4, 2, 0, 4]


@pytest.mark.parametrize("dtype", DTYPES)
def test_additions_of_many_threads(dtype: str) -> None:
    add = getattr(collective, f"add_{dtype}")

    @cuda.jit
    def kernel(x, one, two):
        i = cuda.grid(1)
        add(one, (i % 4,), x[i])
        add(two, (i % 2, i % 3), x[i])

    x = np.arange(60).astype(dtype)
    one, two = (cuda.to_device(np.zeros(shape, dtype)) for shape in (4, (2, 3)))
    kernel[4, 15](x, one, two)
    assert (one.copy_to_host() == x.reshape(15, 4).sum(axis=0)).all()
    expected = np.zeros((2, 3), dtype)
    np.add.at(expected, (np.arange(60) % 2, np.arange(60) % 3), x)
    assert (two.copy_to_host() == expected).all()


def test_only_the_last_block_writes(co: Any) -> None:
    add = co.grid_sum_float64

    @cuda.jit
    def kernel(x, out, seen, parts, counters):
        add(x[cuda.grid(1)], parts, counters, 0, out)
        cuda.syncthreads()
        if cuda.threadIdx.x == 0:
            seen[cuda.blockIdx.x] = out[()]

    out, seen = zero_d(np.float64), cuda.to_device(np.zeros(4))
    kernel[4, 2](cuda.to_device(np.ones(8)), out, seen, *scratch(4))
    assert list(seen.copy_to_host()) == [99, 99, 99, 8]
