"""Loops on several threads: the same numbers as on one, and never a race."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np
import pytest
from numba import prange

import gradjit
from gradjit import UnsupportedError, vmap
from gradjit.ir.tree import flatten
from gradjit.passes import work
from gradjit.passes.placed import verify_placed
from tests.passes.prange import (
    IDS,
    PROGRAMS,
    A,
    N,
    P,
    W,
    X,
    blocks,
    histogram,
    inner_while,
    rows_and_sums,
    two_axes,
    whole_rows,
)
from tests.random.oracle import differences


@pytest.fixture(autouse=True)
def _always_worth_it(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small loops are divided too."""
    monkeypatch.setattr(work, "WORTH", 1)
    before = numba.get_num_threads()
    yield
    numba.set_num_threads(before)


def equal(got: Any, want: Any) -> None:
    for a, b in zip(flatten(got)[0], flatten(want)[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


class Fake:
    """Numba for the emitted source as plain Python: chunks in any order."""

    def __init__(self, threads: int, order: str) -> None:
        self.threads = threads
        self.order = order

    def get_num_threads(self) -> int:
        return self.threads

    def prange(self, n: int) -> list[int]:
        items = list(range(n))
        return {"forward": items, "backward": items[::-1]}.get(
            self.order, items[1::2] + items[::2]
        )


def interpreted(f: Any, numba: Fake, *args: Any) -> Any:
    """What the emitted source computes when Python runs it."""
    lowered = f.lower(*args)
    verify_placed(list(lowered.stages.values())[-1])
    source = lowered.source.replace("import numba\n", "")
    space: dict[str, Any] = {"numba": numba, "__name__": "emitted"}
    exec(compile(source, "emitted", "exec"), space)
    given = [np.array(a) for a in args]
    with np.errstate(all="ignore"):
        out = space[lowered.label](*given)
    return given, out


def serial(f: Any, *args: Any) -> Any:
    """The same of a function that is not divided."""
    return interpreted(f, Fake(1, "forward"), *args)[1]


@pytest.mark.parametrize(("f", "x"), PROGRAMS, ids=IDS)
def test_gradients_by_chunks(f: Callable[..., Any], x: Any) -> None:
    """For any number of threads, and whichever comes first."""
    want = serial(gradjit.value_and_grad(f, (0, 1)), x, W)
    assert want[0] == pytest.approx(f(x.copy(), W.copy()), rel=1e-12)
    for k, a in zip((0, 1), want[1:], strict=True):
        b = differences(f, (x, W), k)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    divided = gradjit.value_and_grad(f, (0, 1), parallel=True)
    for threads in (1, 2, 3, 64):
        for order in ("forward", "backward", "odd first"):
            given, got = interpreted(divided, Fake(threads, order), x, W)
            equal(got, want)
            equal(given, [x, W])


@pytest.mark.parametrize(("f", "x"), PROGRAMS, ids=IDS)
def test_values_by_chunks(f: Callable[..., Any], x: Any) -> None:
    theirs = x.copy()
    want = f(theirs, W.copy())
    divided = gradjit.jit(f, parallel=True)
    for threads, order in ((2, "backward"), (5, "odd first")):
        given, value = interpreted(divided, Fake(threads, order), x, W)
        assert value == pytest.approx(want, rel=1e-12)
        np.testing.assert_allclose(given[0], theirs, rtol=1e-14)


@pytest.mark.parametrize(("f", "x"), PROGRAMS, ids=IDS)
def test_second_derivatives_by_chunks(f: Callable[..., Any], x: Any) -> None:
    """Forward over reverse, all of it divided."""
    v = np.cos(np.arange(x.size)).reshape(x.shape)

    want = serial(gradjit.hvp(f), x, W, v)
    divided = gradjit.hvp(f, parallel=True)
    for threads, order in ((2, "backward"), (3, "odd first")):
        _, got = interpreted(divided, Fake(threads, order), x, W, v)
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5])
def test_few_items_by_chunks(n: int) -> None:
    for f, x in PROGRAMS[:3]:
        want = serial(gradjit.value_and_grad(f, (0, 1)), x[:n].copy(), W)
        divided = gradjit.value_and_grad(f, (0, 1), parallel=True)
        for threads in (1, 2, 7):
            fake = Fake(threads, "backward")
            equal(interpreted(divided, fake, x[:n].copy(), W)[1], want)


COMPILED = (rows_and_sums, histogram, whole_rows, inner_while)
ON_THREADS = [p for p in PROGRAMS if p[0] in COMPILED]
NAMES = [f.__name__ for f, _ in ON_THREADS]


@pytest.mark.parametrize(("f", "x"), ON_THREADS, ids=NAMES)
def test_on_threads(f: Callable[..., Any], x: Any) -> None:
    """Compiled: as on one thread, and the same bits again and again."""
    given = x.copy()
    want = gradjit.value_and_grad(f, (0, 1))(x, W)
    threads = gradjit.value_and_grad(f, (0, 1), parallel=True)
    first = threads(x, W)
    equal(first, want)
    np.testing.assert_array_equal(x, given)
    for _ in range(20):
        again = threads(x, W)
        for a, b in zip(flatten(first)[0], flatten(again)[0], strict=True):
            np.testing.assert_array_equal(a, b)
    numba.set_num_threads(1)
    equal(threads(x, W), want)


def test_float32_and_integers() -> None:
    def f(x: Any, k: Any) -> Any:
        s = np.float32(0.0)
        count = 0
        y = np.zeros(len(x), dtype=np.float32)
        h = np.zeros(4, dtype=np.int64)
        for i in prange(len(x)):
            y[i] = x[i] * np.float32(2.0)
            s += x[i]
            h[i % 4] += k[i]
            count += 1
        return s, count, y, h

    x, k = X.astype(np.float32), np.arange(N)
    got = gradjit.jit(f, parallel=True)(x, k)
    for a, b in zip(got, f(x, k), strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_compiled_once_for_all_lengths() -> None:
    f = gradjit.grad(rows_and_sums, parallel=True)
    for n in (0, 1, 4, 9):
        x = np.linspace(0.0, 1.0, n)
        equal(f(x, W), gradjit.grad(rows_and_sums)(x, W))
    assert sum(map(len, f._compiled.values())) == 1


# ------------------------------------------------------------------- what is divided


def divided(f: Any) -> int:
    return len(re.findall(r"numba\.prange", f.source))


def test_prange_is_range_unless_asked() -> None:
    f = gradjit.value_and_grad(rows_and_sums, (0, 1)).lower(X, W)
    assert "numba" not in f.source
    assert "chunk" not in f.source


def test_small_work_stays_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    f = gradjit.grad(rows_and_sums, parallel=True).lower(X, W)
    assert re.search(r"if n >= \d{3,}:", f.source)
    known = gradjit.jit(lambda x: np.sum(np.sin(np.ones(10) * x)), parallel=True)
    known.lower(2.0)
    assert "numba" not in known.source


@pytest.mark.parametrize(
    ("f", "x", "loops"),
    [
        (rows_and_sums, X, 3),  # forward, the sum of squares, backward
        (two_axes, A, 3),
        (histogram, X, 2),
        (blocks, X, 3),
        (whole_rows, A, 3),
    ],
)
def test_both_directions_are_divided(f: Any, x: Any, loops: int) -> None:
    lowered = gradjit.value_and_grad(f, (0, 1), parallel=True).lower(x, W)
    assert divided(lowered) >= loops, lowered.source
    assert "one after the other" not in lowered.explain()


def test_explain_says_why_not() -> None:
    def f(x: Any, w: Any) -> Any:
        y = np.zeros(len(x) + 1)
        for i in prange(len(x)):
            y[i + 1] = y[i] * w[0] + x[i]
        return np.sum(y)

    g = gradjit.grad(f, parallel=True)
    equal(g(X, W), gradjit.grad(f)(X, W))
    text = g.explain()
    assert "y goes from one iteration to the next" in text

    def scattered(x: Any, w: Any) -> Any:
        y = np.zeros(len(x))
        for i in prange(len(x)):
            y[P[i]] = x[i] * w[0]
        return np.sum(y * y)

    g = gradjit.grad(scattered, parallel=True)
    equal(g(X, W), gradjit.grad(scattered)(X, W))
    assert "one after the other" in g.explain()


def test_explain_says_what_is_divided() -> None:
    text = gradjit.grad(rows_and_sums, parallel=True).lower(X, W).explain()
    assert "in chunks" in text


# ----------------------------------------------------------------------------- races


def last_value(x: Any) -> Any:
    last = 0.0
    for i in prange(len(x)):
        last = x[i]
    return last


def running(x: Any) -> Any:
    s = 0.0
    y = np.zeros(len(x))
    for i in prange(len(x)):
        s += x[i]
        y[i] = s
    return np.sum(y)


def recurrence(x: Any) -> Any:
    s = 1.0
    for i in prange(len(x)):
        s = s * x[i] + 1.0
    return s


def rebound(x: Any) -> Any:
    u = np.zeros(len(x))
    for i in prange(len(x)):
        u = x * i
    return np.sum(u)


@pytest.mark.parametrize("f", [last_value, running, recurrence, rebound])
def test_races_are_refused(f: Any) -> None:
    for run in (gradjit.jit(f, parallel=True), gradjit.grad(f, parallel=True)):
        with pytest.raises(UnsupportedError, match="are not independent") as error:
            run(X)
        assert error.value.loc is not None
        assert "prange(len(x))" in error.value.loc.text
    assert gradjit.jit(f)(X) == pytest.approx(f(X))


def test_other_reductions_stay_right() -> None:
    def f(x: Any) -> Any:
        p = 1.0
        m = -np.inf
        for i in prange(len(x)):
            p *= 1.0 + 0.1 * x[i]
            m = max(m, x[i])
        return p + m

    value, grad = gradjit.value_and_grad(f, parallel=True)(X)
    assert value == pytest.approx(f(X))
    np.testing.assert_allclose(grad, gradjit.grad(f)(X))


def test_vmap_refuses_writes_into_what_items_share() -> None:
    def f(x: Any, shared: Any) -> Any:
        shared[0] += x
        return x

    with pytest.raises(UnsupportedError, match="an array that all items share"):
        vmap(f, (0, None))(X, W.copy())


def test_rows_of_a_jacobian() -> None:
    def f(x: Any) -> Any:
        y = np.empty(3)
        for i in range(3):
            y[i] = np.sum(x ** (i + 1)) * x[i]
        return y

    want = gradjit.jacobian(f)(X[:6])
    divided = gradjit.jacobian(f, parallel=True)
    _, got = interpreted(divided, Fake(2, "backward"), X[:6])
    np.testing.assert_allclose(got, want)
    assert "numba.prange" in divided.source


def test_vmap_on_threads() -> None:
    f = vmap(lambda x: np.sum(x * x), parallel=True)
    np.testing.assert_allclose(f(A), np.sum(A * A, axis=1))
    assert "numba.prange" in f.source


def test_export(tmp_path: Any) -> None:
    f = gradjit.grad(histogram, parallel=True)
    path = gradjit.export(f, (X, W), tmp_path / "kernel.py")
    space: dict[str, Any] = {}
    exec(compile(path.read_text(), str(path), "exec"), space)
    equal(space["grad_histogram"](X, W), serial(gradjit.grad(histogram), X, W))
