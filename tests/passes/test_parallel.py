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

N = 37
X = np.linspace(-1.0, 1.5, N)
W = np.linspace(0.5, 0.9, 5)
A = np.sin(np.arange(N * 6.0)).reshape(N, 6)
P = (np.arange(N) * 7) % N


@pytest.fixture(autouse=True)
def _always_worth_it(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small loops are divided too."""
    monkeypatch.setattr(work, "WORTH", 1)
    before = numba.get_num_threads()
    yield
    numba.set_num_threads(before)


# -------------------------------------------------------------------------- programs


def rows_and_sums(x: Any, w: Any) -> Any:
    y = np.empty(len(x))
    s = 0.0
    for i in prange(len(x)):
        t = np.sin(x[i]) * w[0]
        for k in range(5):
            t = t * w[k] + x[i]
        y[i] = t
        s += t * t
    return s + np.sum(y * y)


def two_axes(a: Any, w: Any) -> Any:
    n, m = a.shape
    out = np.zeros((n, m))
    for i in prange(n):
        for j in range(1, m):
            out[i, j] = out[i, j - 1] * w[0] + a[i, j]
    return np.sum(out * a)


def branches(x: Any, w: Any) -> Any:
    s = 0.0
    low = 0.0
    for i in prange(len(x)):
        if x[i] > 0.0:
            s += w[1] * x[i]
            if x[i] > 1.0:
                low -= x[i] ** 2
        else:
            s -= x[i] * w[0]
    return s * s + low


def histogram(x: Any, w: Any) -> Any:
    h = np.zeros(5)
    for i in prange(len(x)):
        for k in range(5):
            h[k] += np.exp(-((x[i] - w[k]) ** 2))
    return np.sum(h * h)


def backwards(x: Any, w: Any) -> Any:
    y = np.zeros(len(x))
    for i in prange(len(x) - 2, 0, -2):
        y[i] = x[i - 1] * x[i] + x[i + 1] * w[0]
    return np.sum(y**3)


def stencil(x: Any, w: Any) -> Any:
    y = np.empty(len(x))
    for step in range(3):
        for i in prange(len(x)):
            y[i] = x[i] * w[step]
            if i > 0:
                y[i] += 0.5 * x[i - 1] * x[i]
        x = y.copy()
    return np.sum(x * x)


def blocks(x: Any, w: Any) -> Any:
    y = np.zeros(3 * len(x))
    for i in prange(len(x)):
        for j in range(3):
            y[3 * i + j] = x[i] * w[j]
    return np.sum(y**2)


def private_arrays(a: Any, w: Any) -> Any:
    n, m = a.shape
    s = 0.0
    for i in prange(n):
        work = np.zeros(m)
        for j in range(m):
            work[j] = np.tanh(a[i, j] * w[1])
        s += np.sum(work * work) + work @ a[i]
    return s


def whole_rows(a: Any, w: Any) -> Any:
    out = np.empty(a.shape)
    total = np.zeros(a.shape[1])
    for i in prange(len(a)):
        row = a[i] * w[2] + 1.0
        out[i] = row * row
        total += np.cos(row)
    return np.sum(out) + np.sum(total**2)


def inner_while(x: Any, w: Any) -> Any:
    y = np.empty(len(x))
    for i in prange(len(x)):
        t = 1.0 + abs(x[i])
        while t < 4.0:
            t = t * 1.3 + w[0] * x[i] ** 2
        y[i] = t
    return np.sum(y)


def gathered(x: Any, w: Any) -> Any:
    s = 0.0
    p = (np.arange(len(x)) * 7) % len(x)
    for i in prange(len(x)):
        s += x[p[i]] * x[i] * w[0]
    return s


def in_place(x: Any, w: Any) -> Any:
    for i in prange(len(x)):
        x[i] = x[i] ** 2 * w[0]
        x[i] = np.sin(x[i])
    return np.sum(x * x)


def elementwise(x: Any, w: Any) -> Any:
    y = np.exp(x) * w[0]
    return np.sum(y * x) + np.max(y) - np.min(x) + np.prod(1 + 0.1 * x)


def axes(a: Any, w: Any) -> Any:
    down = np.sum(a * a, axis=0)
    across = np.sum(np.sin(a), axis=1)
    most = np.max(a, axis=0)
    return np.sum(down**2) + np.sum(across**3) + np.sum(most * down) * w[0]


def mapped(a: Any, w: Any) -> Any:
    def item(row: Any) -> Any:
        return np.tanh(row @ a[0, :6]) * row[0], row * w[0]

    s, rows = vmap(item)(a)
    return np.sum(s * s) + np.sum(rows**3)


def nested(a: Any, w: Any) -> Any:
    s = 0.0
    for i in prange(a.shape[0]):
        for j in prange(a.shape[1]):
            s += a[i, j] ** 2 * w[0]
    return s


def empty(x: Any, w: Any) -> Any:
    s = w[0]
    for i in prange(3, len(x) - N):
        s += x[i]
    return s * w[1]


PROGRAMS: list[tuple[Callable[..., Any], Any]] = [
    *((f, X) for f in (rows_and_sums, branches, histogram, backwards, stencil)),
    *((f, X) for f in (blocks, inner_while, gathered, in_place, elementwise, empty)),
    *((f, A) for f in (two_axes, private_arrays, whole_rows, axes, mapped, nested)),
]
IDS = [f.__name__ for f, _ in PROGRAMS]


def slopes(f: Callable[..., Any], x: Any, w: Any) -> tuple[Any, Any]:
    """Central differences of a scalar function of two arrays."""
    out = []
    for k, v in enumerate((x, w)):
        found = np.zeros_like(v)
        for at in np.ndindex(v.shape):
            ends = []
            for h in (1e-6, -1e-6):
                args = [x.copy(), w.copy()]
                args[k][at] += h
                ends.append(f(*args))
            found[at] = (ends[0] - ends[1]) / 2e-6
        out.append(found)
    return out[0], out[1]


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
    for a, b in zip(want[1:], slopes(f, x, W), strict=True):
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
