"""The compiled copy of a function takes the arrays that the emitted one returns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit.codegen.module import load
from gradjit.codegen.variant import variant
from gradjit.config import override

HEAD = "import numpy as np\n\n\n"
SQUARES = """\
def f(x, k):
    n = x.shape[0]
    d_x = np.{how}(n{dtype})
    for i in range(n):
        d_x[i] += k * x[i]
    total = 1.5
    return {results}
"""


def changed(text: str, folder: Path, wanted: tuple[int, ...]) -> tuple[Any, Any, Any]:
    with override(cache_dir=str(folder)):
        function = load(HEAD + text, "f").f
    return function, *variant(function, wanted)


@pytest.mark.parametrize("dtype", ["", ", np.float32"])
@pytest.mark.parametrize(
    ("results", "position"),
    [("d_x", 0), ("total, d_x", 1), ("d_x, total, n", 0)],
)
def test_an_array_that_is_made_once(
    results: str, position: int, dtype: str, tmp_path: Path
) -> None:
    text = SQUARES.format(how="zeros", results=results, dtype=dtype)
    plain, copy, given = changed(text, tmp_path, (position,))
    assert given == {position: "zeros"}
    x = np.arange(5.0)
    want = plain(x, 3.0)
    want = list(want) if isinstance(want, tuple) else [want]
    array = np.zeros_like(want[position])
    got = copy(x, 3.0, array)
    got = list(got) if isinstance(got, tuple) else [got] * (got is not None)
    np.testing.assert_array_equal(array, want.pop(position))
    assert got == want
    with pytest.raises(ValueError, match="other extents than its gradient"):
        copy(x, 3.0, array[:4])


def test_two_arrays_and_several_axes(tmp_path: Path) -> None:
    text = """\
def f(x, y):
    n = x.shape[0]
    m = x.shape[1]
    d_x = np.empty((n, m))
    d_y = np.zeros(m)
    for i in range(n):
        for j in range(m):
            d_x[i, j] = y[j]
            d_y[j] += x[i, j]
    return d_x, d_y
"""
    plain, copy, given = changed(text, tmp_path, (0, 1))
    assert given == {0: "empty", 1: "zeros"}
    x, y = np.arange(6.0).reshape(2, 3), np.ones(3)
    d_x, d_y = np.empty((2, 3)), np.zeros(3)
    assert copy(x, y, d_x, d_y) is None
    for got, want in zip((d_x, d_y), plain(x, y), strict=True):
        np.testing.assert_array_equal(got, want)
    with pytest.raises(ValueError, match="other extents"):
        copy(x, y, np.empty((2, 4)), d_y)


@pytest.mark.parametrize(
    "text",
    [
        "def f(x):\n    d = np.empty(3)\n    d = x + d\n    return 1.0, d\n",
        "def f(x):\n    d = x.copy()\n    return 1.0, d\n",
        "def f(x):\n    d = np.full(3, 2.0)\n    return 1.0, d\n",
        "def f(x):\n    d = np.empty(3)\n    if x[0] > 0.0:\n        return 2.0, d\n"
        "    return 1.0, d\n",
        "def f(x):\n    if x[0] > 0.0:\n        d = np.empty(3)\n    return 1.0, d\n",
        "def f(x):\n    for d in x:\n        pass\n    d = np.empty(3)\n"
        "    return 1.0, d\n",
        "def f(x, d):\n    return 1.0, d\n",
    ],
)
def test_other_functions_stay(text: str, tmp_path: Path) -> None:
    plain, copy, given = changed(text, tmp_path, (1,))
    assert copy is plain
    assert given == {}


def test_what_is_not_wanted_is_returned(tmp_path: Path) -> None:
    text = SQUARES.format(how="empty", results="total, d_x", dtype="")
    plain, copy, given = changed(text, tmp_path, ())
    assert copy is plain
    assert given == {}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_gradients_own_their_memory(dtype: type) -> None:
    def loss(x, a):
        return np.sum(np.sin(a) * x**2) + np.sum(x[1:] * x[:-1])

    f = gradjit.value_and_grad(loss, argnums=(0, 1))
    x, a = np.linspace(0.0, 1.0, 6, dtype=dtype), np.ones(6, dtype)
    seen: list[np.ndarray] = []
    for _ in range(3):
        _, (d_x, d_a) = f(x, a)
        for d in (d_x, d_a):
            assert d.flags.owndata
            assert d.dtype == dtype
            assert all(d is not s and not np.shares_memory(d, s) for s in seen)
            seen.append(d)
        want = 2.0 * np.sin(1.0) * x
        want[1:] += x[:-1]
        want[:-1] += x[1:]
        np.testing.assert_allclose(d_x, want, rtol=1e-6)
        np.testing.assert_allclose(d_a, np.cos(1.0) * x**2, rtol=1e-6)
    assert f.source.endswith(", d_x, d_a\n")


def test_arguments_that_broadcast() -> None:
    def loss(x, w):
        return np.sum(x * w)

    f = gradjit.grad(loss, argnums=(0, 1))
    for n, m in ((4, 4), (1, 4), (4, 1), (4, 4)):
        x, w = np.arange(1.0, n + 1), np.arange(2.0, m + 2)
        d_x, d_w = f(x, w)
        np.testing.assert_array_equal(
            d_x, np.broadcast_to(w, 4) if n > 1 else [w.sum()]
        )
        np.testing.assert_array_equal(
            d_w, np.broadcast_to(x, 4) if m > 1 else [x.sum()]
        )
    with pytest.raises(gradjit.ShapeError, match="extents of the operands"):
        f(np.ones(3), np.ones(4))
