"""Arrays: handles, aliases, views, subscripts on both sides, in-place operations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.trace.run import refusal, same, traced

X = np.array([0.5, -1.5, 2.5, 0.25, -0.75, 1.25])
M = np.arange(20.0).reshape(4, 5) / 7 - 0.6
PLACES = np.array([3, 0, 3, 1])


def alias(x: Any) -> Any:
    a = x * 2
    b = a
    b[0] = 1.0
    a[1] += b[0]
    return a, b


def copies(x: Any) -> Any:
    a = x.copy()
    b = np.array(a)
    b[0] = 7.0
    a[1] = 8.0
    return a, b


def row_views(m: Any) -> Any:
    a = m * 1.0
    row = a[1]
    row[0] = 10.0
    row[1:] *= 3.0
    a[:, 2] += row[3]
    part = row[1:4]
    part[::2] = -1.0
    part[-1] += 0.5
    return a, row, part


def transposed(m: Any) -> Any:
    a = m * 1.0
    t = a.T
    t[0, 1] = 10.0
    t[2] *= 2.0
    a[0] = t[:, 0]
    return a, t


def reshaped(m: Any) -> Any:
    a = m * 1.0
    flat = a.reshape(-1)
    flat[3] = 5.0
    a[1, 1] = 6.0
    flat[::7] += 1.0
    return a, flat


def views_in_loops(m: Any) -> Any:
    a = m.copy()
    for i in range(a.shape[0]):
        row = a[i]
        for j in range(1, a.shape[1]):
            row[j] += row[j - 1] * 0.5
        last = row[-1:]
        last[0] = row[0]
    return a


def view_from_outside(m: Any) -> Any:
    a = m.copy()
    row = a[1]
    total = 0.0
    for i in range(a.shape[0]):
        a[i, 0] = total
        total += np.sum(row) + row[0]
    return a, total


def iadd_array(x: Any) -> Any:
    a = x.copy()
    b = a
    a += x
    a -= 0.5
    a *= x
    a /= 2
    a **= 2
    return a, b


def iadd_scalar(x: Any) -> Any:
    s = x[0]
    t = s
    t += 1
    return s, t


def iadd_in_loop(x: Any, n: int) -> Any:
    a = np.zeros_like(x)
    b = a
    for i in range(n):
        a += x * i
        a[1:] -= x[:-1]
    return a, b


def iadd_through_a_view(m: Any) -> Any:
    a = m.copy()
    row = a[2]
    row += 1.0
    row -= a[0]
    return a


def whole(x: Any) -> Any:
    a = np.empty_like(x)
    a[:] = x
    a[...] = a * 2
    b = np.empty((2, x.shape[0]))
    b[:] = a
    b[1] = 3.0
    return a, b


def tuple_of_stores(x: Any) -> Any:
    a = x.copy()
    a[0], a[-1] = a[-1], a[0]
    a[1], (a[2], b) = 5.0, (a[3], a[4])
    return a, b


def masks(x: Any) -> Any:
    a = x * 2
    a[a > 1] = 1.0
    a[a < 0] *= 3.0
    b = x.copy()
    b[x > 0] = x[x > 0] ** 2
    b[x < 0] += 1.0
    return a, b, x[x > 0], np.sum(x[(x > 0) & (x < 2)])


def row_mask(m: Any) -> Any:
    a = m.copy()
    keep = m[:, 0] > 0
    a[keep] = 0.5
    a[~keep, 1] = 9.0
    return a, m[keep], m[keep, 2]


def gathers(m: Any, i: Any) -> Any:
    return m[i], m[:, i], m[i, i], m[i, 2], m[1, i], m[i[:, None], i[None, :2]], m[i][1]


def scatters(m: Any, i: Any) -> Any:
    a = m.copy()
    a[i] = 1.5
    a[i, 1] = 2.5
    a[:, i] += 1.0
    a[i, i] *= 2.0
    b = np.zeros(6)
    b[i] += 1.0
    c = np.zeros(6)
    np.add.at(c, i, 1.0)
    return a, b, c


def index_lists(m: Any) -> Any:
    a = m.copy()
    a[[0, 2]] = 4.0
    return a, m[[1, 1, 3]], m[:, [0, -1]]


def slices(x: Any, i: int, j: int) -> Any:
    return (
        x[i:j],
        x[:j],
        x[i:],
        x[-i:],
        x[:-j],
        x[i:-1],
        x[::2],
        x[::-1],
        x[j:i:-1],
        x[-1:1:-2],
        x[1:4][1:],
        x[::2][1:],
        x[::-1][1:3],
    )


def more_axes(m: Any) -> Any:
    return m[None], m[:, None], m[..., 1], m[1, ...], m[..., None][0], m[1:3, ::2][:, 1]


def windows(x: Any) -> Any:
    a = np.zeros_like(x)
    for i in range(len(x) - 2):
        a[i : i + 3] += x[i] * x[i : i + 3]
    return a


def modulo(x: Any) -> Any:
    a = np.empty_like(x)
    n = len(x)
    for i in range(n):
        a[i] = x[(i + 1) % n] - x[i - 1]
    return a


def ping_pong(x: Any, n: int) -> Any:
    here = x.copy()
    there = np.empty_like(x)
    for _ in range(n):
        for i in range(len(x)):
            there[i] = here[i] * 0.5 + 1.0
        here, there = there, here
    return here


def written_argument(out: Any, x: Any) -> None:
    for i in range(len(x)):
        out[i] = x[i] ** 2


def helper_writes(x: Any) -> Any:
    out = np.zeros(len(x))
    written_argument(out, x)
    written_argument(out[1:], x[:-1])
    return out


def branch_writes(x: Any, c: float) -> Any:
    a = x.copy()
    if c > 0:
        a[0] = c
        if c > 1:
            a[1] = 2 * c
    else:
        a[-1] = c
    return a


def branch_rebinds(x: Any, c: float) -> Any:
    a = x
    if c > 0:
        a = x * c
    return np.sum(a) + np.sum(x)


def integers(i: Any) -> Any:
    a = i.copy()
    a[0] = 7
    a += 1
    a //= 2
    a[1] = 2.7
    return a, a / 2, a % 3


def bools(x: Any) -> Any:
    seen = np.zeros(len(x), dtype=bool)
    for i in range(len(x)):
        seen[i] = x[i] > 0
    return seen, np.sum(seen)


def nested_views(m: Any) -> Any:
    a = m.copy()
    for row in a:
        row[0] = np.sum(row[1:])
    return a


def float32(x: Any) -> Any:
    y = x.astype(np.float32)
    y[0] += 1
    y *= 2.0
    return y, y[0] * 2.0, y[1] + np.float64(1)


@pytest.mark.parametrize(
    "f",
    [
        alias,
        copies,
        iadd_array,
        iadd_scalar,
        whole,
        tuple_of_stores,
        masks,
        windows,
        modulo,
        helper_writes,
        bools,
        float32,
    ],
)
def test_vectors(f: Any) -> None:
    same(f, X)


@pytest.mark.parametrize(
    "f",
    [
        row_views,
        transposed,
        reshaped,
        views_in_loops,
        view_from_outside,
        iadd_through_a_view,
        row_mask,
        index_lists,
        more_axes,
        nested_views,
    ],
)
def test_matrices(f: Any) -> None:
    same(f, M)


def test_index_arrays() -> None:
    same(gathers, M, PLACES)
    same(scatters, M, PLACES)
    same(integers, PLACES)


@pytest.mark.parametrize(("i", "j"), [(1, 3), (0, 6), (2, 100), (4, 2), (-3, -1)])
def test_slices_with_traced_bounds(i: int, j: int) -> None:
    same(slices, X, i, j)


@pytest.mark.parametrize("n", [0, 1, 3, 4])
def test_loops_with_arrays(n: int) -> None:
    same(ping_pong, X, n)
    same(iadd_in_loop, X, n)


@pytest.mark.parametrize("c", [2.0, 0.5, -1.0])
def test_branches_with_arrays(c: float) -> None:
    same(branch_writes, X, c)
    same(branch_rebinds, X, c)


def test_arguments_that_are_written() -> None:
    found = same(written_argument, np.zeros(6), X)
    assert found.mutated == {0: 0}
    assert traced(written_argument, np.zeros(6), X).mutated == {0: -1}


def test_a_row_is_one_index() -> None:
    def first(m: Any) -> Any:
        row = m[1]
        return row[2]

    eqns = traced(first, M).graph.block.eqns
    (read,) = [e for e in eqns if e.op.name == "index"]
    assert read.params["spec"] == "ii"


def out_of_range() -> Any:
    return np.zeros(3)[5]


def two_arrays_maybe(x: Any, c: float) -> Any:
    a = x.copy()
    b = a
    if c > 0:
        b = x.copy()
    b[0] = 1.0
    return a


def writes_outside(x: Any) -> Any:
    PLACES[0] = x[0]
    return x


def bad_index(x: Any) -> Any:
    return x[0.5]


def bad_shape(x: Any) -> Any:
    a = np.zeros((2, 3))
    a[:] = np.zeros(4)
    return a


def wrong_kind(i: Any) -> Any:
    i += 0.5
    return i


def test_refusals() -> None:
    line = out_of_range.__code__.co_firstlineno + 1
    assert refusal(out_of_range) == (
        f"ShapeIndexError: test_arrays.py:{line}: return np.zeros(3)[5]\n"
        "  index 5 is out of bounds for axis 0 with extent 3"
    )
    line = two_arrays_maybe.__code__.co_firstlineno + 6
    assert refusal(two_arrays_maybe, X, 1.0) == (
        f"UnsupportedError: test_arrays.py:{line}: return a\n"
        "  this array may be the same memory as an array that was written into, "
        "depending on the path taken\n"
        "  Make a copy (x.copy()) before the branch or the loop, so that each name has "
        "an array of its own."
    )
    line = writes_outside.__code__.co_firstlineno + 1
    assert refusal(writes_outside, X) == (
        f"UnsupportedError: test_arrays.py:{line}: PLACES[0] = x[0]\n"
        "  the function writes into an array from outside of it (a global, a closure "
        "or an attribute)\n"
        "  Write into a copy, or pass it in."
    )
    line = bad_index.__code__.co_firstlineno + 1
    assert refusal(bad_index, X) == (
        f"DtypeError: test_arrays.py:{line}: return x[0.5]\n"
        "  0.5 is not an index\n"
        "  Indices are integers, slices, None, ..., integer arrays and masks."
    )
    line = bad_shape.__code__.co_firstlineno + 2
    assert refusal(bad_shape, X) == (
        f"ShapeError: test_arrays.py:{line}: a[:] = np.zeros(4)\n"
        "  float64[4] does not fit the subscript (float64[2, 3])"
    )
    line = wrong_kind.__code__.co_firstlineno + 1
    assert refusal(wrong_kind, PLACES) == (
        f"UnsupportedError: test_arrays.py:{line}: i += 0.5\n"
        "  add in place would put float64 into an array of int64\n"
        "  NumPy refuses this too: convert with astype, or make a new array."
    )
