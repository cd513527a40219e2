"""What goes wrong at run time: as in Python, or refused, and no crash."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradjit
from tests.random.agree import agree

X = np.array([0.3, -0.8, 0.5, 0.9, -0.4, 0.7])
HUGE = np.iinfo(np.int64).max

# ------------------------------------------------------------------- trip counts


def product(x: Any, n: int) -> Any:
    s = 1.0
    for i in range(n):
        s *= x[i] + 1.5
    return s


def backwards(x: Any, n: int) -> Any:
    s = x[0]
    for i in range(-1, -n, -1):
        s = s * 0.5 + x[i] ** 2 * i
    return s


def downwards(x: Any, n: int) -> Any:
    s = 0.0
    for i in range(n, -3, -2):
        s += x[i] ** 2 * i
    return s


@pytest.mark.parametrize("f", [product, backwards, downwards])
@pytest.mark.parametrize("n", [0, -4, 1, 5])
def test_loops_that_do_not_run(f: Callable[..., Any], n: int) -> None:
    agree(f, X, n)


def until_large(x: Any, n: int) -> Any:
    s = 0.0
    for i in range(n):
        if s > 3.0:
            break
        s += x[i % 6] ** 2 + 0.1
    return s * i


def first_multiple(x: Any, n: int) -> Any:
    for i in range(n, 0, -1):
        if i % 7 == 0:
            return x[i % 6] ** 2 * (n - i)
    return x[0]


@pytest.mark.parametrize("f", [until_large, first_multiple])
@pytest.mark.parametrize("n", [2**31, 2**31 + 5, 2**62])
def test_ranges_beyond_32_bits(f: Callable[..., Any], n: int) -> None:
    agree(f, X, n)


def small_integers(x: Any, k: Any) -> Any:
    s = x[0] * (k[0] - k[1])
    for i in range(len(k)):
        s += x[i] * (k[i] * k[i])
    return s


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32])
def test_integers_wrap_as_in_numpy(dtype: Any) -> None:
    agree(small_integers, X, np.array([100, 101, 3], dtype))
    agree(small_integers, X, np.array([3, 46341, 100000]).astype(dtype))


# --------------------------------------------------------------------------- NaN


def doubled(x: float, level: float) -> float:
    k = 0
    while x < level and k < 10:
        x = x * 2
        k += 1
    return x * k


def not_above(x: float, level: float) -> float:
    k = 0
    while not x > level:
        x = x * 2
        k += 1
        if k > 5:
            return x * k
    return x


@pytest.mark.parametrize("f", [doubled, not_above])
@pytest.mark.parametrize("args", [(1.0, 30.0), (math.nan, 30.0), (1.0, math.nan)])
def test_nan_in_a_condition(f: Callable[..., Any], args: tuple[float, ...]) -> None:
    value, slope = gradjit.value_and_grad(f)(*args)
    np.testing.assert_equal(value, f(*args))
    if not math.isnan(args[0]):
        h = 1e-6
        want = (f(args[0] + h, args[1]) - f(args[0] - h, args[1])) / (2 * h)
        assert slope == pytest.approx(want, rel=1e-8)


# ----------------------------------------------------------------- out of bounds


def stores(x: Any, k: int) -> Any:
    a = x.copy()
    a[k] = 3 * a[0]
    return np.sum(a)


def adds(x: Any, k: int) -> Any:
    a = x.copy()
    a[k] += 3 * a[0]
    return np.sum(a)


def reads_for_nothing(x: Any, k: int) -> Any:
    _ = x[k]
    return x[0]


def shifted(x: Any, k: int) -> Any:
    s = 0.0
    for i in range(3):
        s += x[i + k]
    return s


def mirrored(x: Any, k: int) -> Any:
    s = 0.0
    for i in range(3):
        s += x[k - i]
    return s


def spread(x: Any, k: int) -> Any:
    s = 0.0
    for i in range(5):
        s += x[i * k]
    return s


def two_loops(x: Any, k: int) -> Any:
    s = 0.0
    for i in range(2):
        for j in range(i, 2):
            s += x[2 * i + j - k] * x[i + k + j]
    return s


def long_loop(x: Any, k: int) -> Any:
    s = 0.0
    for i in range(k):
        s += x[2 * i + 3]
    return s


def search(x: Any, k: int) -> Any:
    while x[k] < 2:
        k += 1
    return x[k]


INDEXED = [
    stores,
    adds,
    reads_for_nothing,
    shifted,
    mirrored,
    spread,
    two_loops,
    long_loop,
    search,
]
PLACES = [0, 1, 2, 5, 6, -1, -6, -7, 2**31, 2**61, 2**62, HUGE - 1, HUGE]
PLACES += [-(2**61), -(2**62), -HUGE, -HUGE - 1]


@pytest.mark.parametrize("f", INDEXED)
def test_an_index_out_of_bounds_is_an_error(f: Callable[..., Any]) -> None:
    """Also where an index wraps around: a check in front of a loop must see it."""
    gradient = gradjit.value_and_grad(f)
    for k in PLACES:
        try:
            want = f(X, k)
        except (IndexError, OverflowError):
            with pytest.raises(IndexError, match="out of bounds"):
                gradient(X, k)
            continue
        value, _ = gradient(X, k)
        np.testing.assert_allclose(value, want)


@pytest.mark.parametrize("bad", [6, -7, 2**40, HUGE, -HUGE])
def test_an_element_of_an_index_array_out_of_bounds(bad: int) -> None:
    def gathers(x: Any, at: Any) -> Any:
        return np.sum(x[at])

    def scatters(x: Any, at: Any) -> Any:
        a = x.copy()
        a[at] = 2.0 * x[0]
        return np.sum(a)

    def accumulates(x: Any, at: Any) -> Any:
        a = x.copy()
        np.add.at(a, at, x[0])
        return np.sum(a)

    def neighbours(x: Any, at: Any) -> Any:
        s = 0.0
        for i in range(len(at)):
            for j in range(2):
                s += x[at[i] + j]
        return s

    at = np.array([0, 2, bad, 1])
    for f in (gathers, scatters, accumulates, neighbours):
        for transform in (gradjit.jit, gradjit.grad):
            with pytest.raises(IndexError, match="out of bounds"):
                transform(f)(X, at)


# --------------------------------------------------------------- kinds of memory


def writes(x: Any, y: Any) -> Any:
    x[1:] *= y[:-1]
    y[0] += x[1]
    return np.sum(x * y)


def reads(x: Any, y: Any) -> Any:
    return np.sum(x[1:] * y[:-1]) + x[0]


def overlapping() -> list[tuple[Any, Any]]:
    a = X.copy()
    return [(a, a), (a[:5], a[1:]), (a, a[::-1])]


def test_arguments_that_overlap_are_read() -> None:
    for x, y in overlapping():
        value, grads = gradjit.value_and_grad(reads, argnums=(0, 1))(x, y)
        assert value == pytest.approx(reads(x, y))
        apart = gradjit.grad(reads, argnums=(0, 1))(x.copy(), y.copy())
        np.testing.assert_allclose(grads, apart)


def test_writes_into_arguments_that_overlap_are_refused() -> None:
    for transform in (gradjit.jit, gradjit.grad):
        for x, y in overlapping():
            with pytest.raises(gradjit.GradjitError, match="shares memory with y"):
                transform(writes)(x, y)


def test_arguments_side_by_side_are_written() -> None:
    both = np.repeat(X, 2)
    apart = X.copy(), X.copy()
    assert gradjit.jit(writes)(both[::2], both[1::2]) == pytest.approx(writes(*apart))
    np.testing.assert_allclose(both[::2], apart[0])
    np.testing.assert_allclose(both[1::2], apart[1])


def test_a_write_into_an_array_that_is_folded_is_refused() -> None:
    def f(m: Any) -> Any:
        m[0, 1] = 5.0
        return np.sum(m)

    windows = np.lib.stride_tricks.as_strided(X.copy(), (5, 2), (8, 8))
    for transform in (gradjit.jit, gradjit.grad):
        with pytest.raises(gradjit.GradjitError, match="elements share memory"):
            transform(f)(windows)
    assert gradjit.jit(np.sum)(windows) == pytest.approx(np.sum(windows))


def test_read_only_arrays() -> None:
    def f(x: Any) -> Any:
        x[0] = 2 * x[1]
        return np.sum(x * x)

    fixed = X.copy()
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        gradjit.jit(f)(fixed)
    np.testing.assert_allclose(gradjit.grad(f)(fixed), gradjit.grad(f)(X.copy()))
    np.testing.assert_array_equal(fixed, X)


def layouts() -> dict[str, Any]:
    m = np.arange(6.0).reshape(2, 3) / 7
    raw = np.frombuffer(b"x" + X.tobytes(), dtype=np.uint8)
    return {
        "reversed": X[::-1],
        "every other": np.repeat(X, 2)[::2],
        "transposed": m.T,
        "columns first": np.asfortranarray(m),
        "reversed twice": m[::-1, ::-1],
        "broadcast": np.broadcast_to(m[0], (3, 3)),
        "big endian": X.astype(">f8"),
        "unaligned": raw[1:].view(np.float64),
    }


def weighted_rows(x: Any) -> Any:
    s = 0.0
    for i in range(x.shape[0]):
        s += np.sum(x[i] ** 2) * i
    return s


@pytest.mark.parametrize("layout", layouts())
def test_layouts(layout: str) -> None:
    array = layouts()[layout]
    value, grad = gradjit.value_and_grad(weighted_rows)(array)
    assert value == pytest.approx(weighted_rows(array))
    plain = np.array(array, dtype=float, order="C")
    np.testing.assert_allclose(grad, gradjit.grad(weighted_rows)(plain))


@pytest.mark.parametrize("layout", ["reversed", "every other", "reversed twice"])
def test_layouts_that_are_written(layout: str) -> None:
    def f(x: Any) -> Any:
        x[1:] += x[:-1] * 2
        return np.sum(x)

    ours, plain = layouts()[layout].copy(order="K"), layouts()[layout].copy()
    assert gradjit.jit(f)(ours) == pytest.approx(f(plain))
    np.testing.assert_allclose(ours, plain)


# ------------------------------------------------------------------ empty and 0-d


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (0, 0)])
def test_empty_arrays(shape: tuple[int, ...]) -> None:
    def f(x: Any) -> Any:
        s = 1.0
        for v in x:
            s = s + np.sum(v * v)
        return s + np.sum(x)

    value, grad = gradjit.value_and_grad(f)(np.zeros(shape))
    assert value == 1.0
    assert grad.shape == shape


def test_the_largest_of_nothing() -> None:
    with pytest.raises(ValueError, match="zero-size array"):
        gradjit.grad(np.max)(np.zeros(0))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_arrays_without_axes(dtype: Any) -> None:
    value, grad = gradjit.value_and_grad(lambda x: x * x + 1)(np.array(3.0, dtype))
    assert (value, grad) == (10.0, 6.0)
    assert isinstance(grad, np.ndarray)
    assert np.asarray(value).dtype == grad.dtype == dtype


# -------------------------------------------------------------------- no end at all

ENDLESS = """
import sys
import gradjit

def endless(x):
    while x < 1e300:
        x = x * 0.5 + 0.25
    return x

slope = gradjit.grad(endless)
slope(2e300)
print("compiled", flush=True)
try:
    slope(1.0)
except KeyboardInterrupt:
    sys.exit(7)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind on Windows")
@pytest.mark.parametrize("jit", "01")
def test_a_loop_without_end_is_interrupted(jit: str, tmp_path: Path) -> None:
    path = tmp_path / "endless.py"
    path.write_text(ENDLESS)
    environ = {**os.environ, "GRADJIT_JIT": jit, "GRADJIT_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"compiled\n"
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(timeout=1.0)  # it does not end by itself
        child.send_signal(signal.SIGINT)
        try:
            assert child.wait(timeout=30) == 7
        finally:
            child.kill()
