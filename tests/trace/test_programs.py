"""Small programs that combine loops, branches, containers and writes."""

# The traced functions are written as users write them:
# ruff: noqa: SIM300

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from tests.trace.run import refusal, same

X = np.array([0.5, -1.5, 2.5])
M = np.arange(12.0).reshape(3, 4)
TABLE = np.array([1.0, 2.0, 3.0])


def numpy_numbers_first(x: Any) -> Any:
    two = np.float64(2)
    return (
        two * x,
        np.float32(2) * x,
        np.sqrt(2.0) * x[0],
        two < x,
        two + x[0],
        TABLE < x,
        TABLE @ x,
        TABLE**x,
        two ** x[0],
    )


def membership(x: Any) -> Any:
    s = 0.0
    for i in range(len(x)):
        if i in (0, len(x) - 1):
            s += x[i]
        if i not in (1,):
            s *= 2
    return s


@functools.lru_cache
def cached(n: int) -> int:
    return n * 2


def memoised(x: Any) -> Any:
    return x * cached(3)


class Signed:
    def __init__(self, value: Any) -> None:
        self.value = value

    @property
    def size(self) -> Any:
        if self.value > 0:
            return self.value
        return -self.value

    def __getitem__(self, k: int) -> Any:
        if self.value > 0:
            return self.value * k
        return 0.0


def own_class(x: Any) -> Any:
    p = Signed(x[0])
    q = Signed(x[1])
    return p.size + p[2] + q.size + q[2]


def last_row(m: Any) -> Any:
    row = m[0] * 1.0
    a = m.copy()
    for i in range(1, len(m)):
        row = a[i]
        row[0] = 5.0
    return a, row


def row_behind(m: Any) -> Any:
    a = m.copy()
    row = a[0]
    for i in range(1, len(m)):
        a[i] += row
        row = a[i]
    return a


def indices_found(x: Any) -> Any:
    out = []
    for v in (1, 2, 3):
        for i in range(len(x)):
            if x[i] > v:
                break
        out.append(i * v)
    return out


def dict_of_arrays(x: Any) -> Any:
    d = {}
    for k in ("a", "b"):
        d[k] = x * 2
    d["a"][0] = 3
    for v in d.values():
        v += 1
    return d


def writes_argument(x: Any, w: Any) -> Any:
    total = 0.0
    for i in range(len(x)):
        if x[i] > 0:
            k = i
            w[k] = x[i]
        total += x[i]
    return total


def search(x: Any) -> Any:
    n = len(x)
    i = 0
    j = 0
    while True:
        if i >= n:
            break
        j = i
        while j < n:
            if x[j] > 1:
                break
            if x[j] < -1:
                return -1.0
            j += 1
        i += 1
    return 1.0 * j


def rebinds_in_a_loop(x: Any) -> Any:
    for i in range(3):
        x = x + i if x[0] > 0 else x
    return x


def pairs(x: Any) -> Any:
    s = 0.0
    for i in range(len(x)):
        for j in range(len(x)):
            if j == i:
                continue
            if x[j] > 2:
                break
            s += x[j] * x[i]
        else:
            s += 1
    return s


def unpacking(x: Any) -> Any:
    a, *b = x[0], x[1], x[2]
    b[0] += a
    (c, d), e = (a, b[1]), 3
    return a, b, c * d * e


def list_items_in_a_loop(x: Any) -> Any:
    items = [x * 1.0, x * 2.0]
    for i in range(4):
        items[0][i % 3] += 1
        items[1] = items[1] + items[0]
    return items


def rows_exchanged(x: Any) -> Any:
    out = np.empty((2, 3))
    out[0], out[1] = x, -x
    out[:, 0], out[:, 1] = out[:, 1].copy(), out[:, 0].copy()
    return out.T.copy(), out[::-1, ::-1], out.reshape(3, 2)[1], out.ravel()


def starts_as_none(x: Any) -> Any:
    best = None
    for i in range(len(x)):
        if best is None or x[i] > best:
            best = x[i]
    return best


@pytest.mark.parametrize(
    "f",
    [
        numpy_numbers_first,
        membership,
        memoised,
        own_class,
        indices_found,
        dict_of_arrays,
        search,
        rebinds_in_a_loop,
        pairs,
        unpacking,
        list_items_in_a_loop,
        rows_exchanged,
        starts_as_none,
    ],
)
def test_programs(f: Any) -> None:
    same(f, X)


def test_rows() -> None:
    same(last_row, M)
    same(writes_argument, X, X.copy())


def test_a_row_that_follows_its_matrix_is_refused() -> None:
    line = row_behind.__code__.co_firstlineno + 3
    assert refusal(row_behind, M) == (
        f"UnsupportedError: test_programs.py:{line}: for i in range(1, len(m)):\n"
        "  a name is part of another array in some iterations of this loop and not in "
        "others, and the array is written into\n"
        "  Make a copy where one name is assigned to the other."
    )
