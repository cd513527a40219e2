"""Reductions over a block: against NumPy, in all threads, as often as one likes.

Each runs twice: as the simulator gets it, and as a device does, with shuffles.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradjit.cuda import collective
from gradjit.cuda.shim import cuda
from tests.cuda.simulated import emulation

BLOCKS = (1, 2, 31, 32, 33, 64, 100, (8, 5), (3, 4, 6), (1, 33))
DTYPES = ("float64", "float32", "int64")
# All dtypes where a warp is not full, one of them in turn elsewhere.
TURNS = [
    (dtype, block)
    for k, block in enumerate(BLOCKS)
    for dtype in (DTYPES if block == 33 else DTYPES[k % 3 : k % 3 + 1])
]
OPS = ("sum", "prod", "max", "min")
PLACES = ("argmax", "argmin")

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.fixture(params=["simulator", "device"])
def co(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == "simulator":
        return collective
    emulation.add_shuffles(monkeypatch)
    return emulation.device_collectives()


def all_of(co: Any, dtype: str) -> Callable[..., None]:
    """A kernel: each thread writes its result of each reduction into its row."""
    add, multiply, most, least = (getattr(co, f"block_{op}_{dtype}") for op in OPS)
    first_most, first_least = (getattr(co, f"block_{op}_{dtype}") for op in PLACES)

    @cuda.jit
    def kernel(x, out, places):
        row = cuda.threadIdx.z * cuda.blockDim.y + cuda.threadIdx.y
        i = row * cuda.blockDim.x + cuda.threadIdx.x
        out[i, 0] = add(x[i])
        out[i, 1] = multiply(x[i])
        out[i, 2] = most(x[i])
        out[i, 3] = least(x[i])
        places[i, 0] = first_most(x[i], i)
        places[i, 1] = first_least(x[i], i)

    return kernel


def reduced(kernel: Any, x: np.ndarray, block: Any) -> tuple[np.ndarray, np.ndarray]:
    """What all threads have got, which must be the same."""
    out = np.zeros((x.size, 4), x.dtype)
    places = np.zeros((x.size, 2), np.int64)
    kernel[1, block](x, out, places)
    for results in (out, places):
        rows = results.view(np.int64 if results.dtype.itemsize == 8 else np.int32)
        assert (rows == rows[0]).all()
    return out[0], places[0]


def sample(dtype: str, n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng([n, seed])
    if dtype == "int64":
        return rng.integers(-(2**62), 2**62, n)
    return rng.normal(size=n).astype(dtype)


def size(block: Any) -> int:
    return math.prod(block) if isinstance(block, tuple) else block


def test_undefined_lanes_show() -> None:
    bad = [emulation.undefined(np.float32(1.0), 3), emulation.undefined(np.int64(1), 2)]
    assert math.isnan(bad[0])
    assert bad[1] == np.iinfo(np.int64).min


@pytest.mark.parametrize(("dtype", "block"), TURNS, ids=str)
def test_against_numpy(co: Any, dtype: str, block: Any) -> None:
    x = sample(dtype, size(block))
    out, places = reduced(all_of(co, dtype), x, block)
    if dtype == "int64":  # modulo 2**64, so in any order
        assert out[0] == np.sum(x)
        assert out[1] == np.prod(x)
    else:
        eps = float(np.finfo(dtype).eps)
        wide = x.astype(np.float64)
        assert abs(out[0] - wide.sum()) <= 36 * eps * np.abs(wide).sum()
        assert out[1] == pytest.approx(wide.prod(), rel=x.size * eps)
    assert out[2] == np.max(x)
    assert out[3] == np.min(x)
    assert tuple(places) == (np.argmax(x), np.argmin(x))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n", [1, 33])
def test_special_values(co: Any, dtype: str, n: int) -> None:
    kernel = all_of(co, dtype)
    cases = {"nan": [np.nan], "two": [np.nan, np.nan], "both": [np.inf, -np.inf]}
    for values in [*cases.values(), [np.inf], [-np.inf]]:
        x = sample(dtype, n)
        for k, value in enumerate(values):
            x[(n - 1 - 7 * k) % n] = value
        out, places = reduced(kernel, x, n)
        np.testing.assert_array_equal(np.isnan(out[0]), np.isnan(x.sum()))
        np.testing.assert_array_equal(np.isnan(out[1]), np.isnan(x.prod()))
        np.testing.assert_array_equal(out[2], np.max(x))
        np.testing.assert_array_equal(out[3], np.min(x))
        assert tuple(places) == (np.argmax(x), np.argmin(x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_ties_go_to_the_first(co: Any, dtype: str) -> None:
    kernel = all_of(co, dtype)
    for n in (2, 40):
        x = np.random.default_rng(n).integers(0, 3, n).astype(dtype)
        _, places = reduced(kernel, x, n)
        assert tuple(places) == (np.argmax(x), np.argmin(x))
    _, places = reduced(kernel, np.full(33, 5, dtype), 33)
    assert tuple(places) == (0, 0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_again_and_again(co: Any, dtype: str) -> None:
    add, most = (getattr(co, f"block_{op}_{dtype}") for op in ("sum", "max"))

    @cuda.jit
    def kernel(x, out):
        i = cuda.threadIdx.x
        for row in range(x.shape[0]):
            out[row, i] = add(x[row, i]) - most(x[row, i])

    x = np.random.default_rng(0).integers(-100, 100, (8, 40)).astype(dtype)
    out = np.zeros_like(x)
    kernel[1, 40](x, out)
    expected = x.sum(axis=1) - x.max(axis=1)
    assert (out == expected[:, None]).all()


@pytest.mark.parametrize("block", [1, 32, 33, (4, 10)], ids=str)
def test_and_or(co: Any, block: Any) -> None:
    every, some = co.block_and, co.block_or

    @cuda.jit
    def kernel(x, out):
        i = cuda.threadIdx.y * cuda.blockDim.x + cuda.threadIdx.x
        for row in range(x.shape[0]):
            out[row, 0, i] = every(x[row, i])
            out[row, 1, i] = some(x[row, i])

    n = size(block)
    x = np.zeros((4, n), np.bool_)
    x[1] = True
    x[2, n - 1] = True
    x[3] = True
    x[3, n // 2] = False
    out = np.zeros((4, 2, n), np.bool_)
    kernel[1, block](x, out)
    assert (out[:, 0] == x.all(axis=1)[:, None]).all()
    assert (out[:, 1] == x.any(axis=1)[:, None]).all()


def test_identities_are_the_result_of_nothing(co: Any) -> None:
    kernel = all_of(co, "float64")
    for value, column in ((0.0, 0), (1.0, 1), (-np.inf, 2), (np.inf, 3)):
        out, _ = reduced(kernel, np.full(33, value), 33)
        assert out[column] == value


@pytest.mark.parametrize(
    ("dtype", "n"), [("float64", 17), ("float32", 32), ("int64", 96), ("float32", 100)]
)
def test_device_and_simulator_give_the_same_bits(
    dtype: str, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = sample(dtype, n, seed=1)
    first, first_places = reduced(all_of(collective, dtype), x, n)
    emulation.add_shuffles(monkeypatch)
    second, second_places = reduced(all_of(emulation.device_collectives(), dtype), x, n)
    assert first.tobytes() == second.tobytes()
    assert first_places.tobytes() == second_places.tobytes()


def test_results_keep_the_dtype(co: Any) -> None:
    kept: list[Any] = []
    add, place = co.block_sum_float32, co.block_argmax_float32

    @cuda.jit
    def kernel(x):
        kept.append(add(x[cuda.threadIdx.x]))
        kept.append(place(x[cuda.threadIdx.x], 7))

    kernel[1, 2](np.ones(2, np.float32))
    assert {type(value) for value in kept} == {np.float32, np.int64}
