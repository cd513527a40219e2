"""Arrays that are one memory on some paths: read right, or refused after a write."""

# The traced functions are written as users write them:
# ruff: noqa: SIM108

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradjit.errors import UnsupportedError
from tests.trace.run import same

X = np.array([0.7, -1.3, 2.1, 0.4, -0.6])
Y = X + 10.0


# What happens is right; a program is refused where memory depends on the path taken.


def swap_with_one_before(x: Any, y: Any, n: int) -> Any:
    a = x
    b = x
    for _ in range(n):
        a = y
        a, b = b, a
    return a[0]


def one_before_then_apart(x: Any, y: Any, n: int) -> Any:
    a = x
    b = x
    t = 0.0
    for _ in range(n):
        t += b[0] + a[1]
        a = a * 2
        b = b + 1
    return a[0] + t


def one_before_while(x: Any, y: Any, n: int) -> Any:
    a = x
    b = x
    t = 0.0
    i = 0
    while b[0] < 3 + n:
        i += 1
        t += b[0] + a[1]
        a = a * 2
        b = b + 1
    return a[0] + t


def swap_then_other(x: Any, y: Any, n: int) -> Any:
    a = x
    b = x
    for _ in range(n):
        a, b = b, a
        b = y
    return a[0]


def rotate_three(x: Any, y: Any, n: int) -> Any:
    a = x
    b = x
    c = x
    for _ in range(n):
        a, b, c = b, c, a
        c = y
    return a[0]


def write_into_what_was_one(x: Any, y: Any, n: int) -> Any:
    c = x.copy()
    b = c
    t = 0.0
    for _ in range(n):
        t += c[0]
        b[0] = 5.0
        b = y.copy()
    return t


def write_into_what_the_condition_reads(x: Any, y: Any, n: int) -> Any:
    c = x.copy()
    b = c
    t = 0.0
    while c[0] < 1.0 and t < n:
        t += 1.0
        b[0] = 5.0
        b = y.copy()
    return t * x[0]


def branch_of_a_branch(x: Any, y: Any, s: float) -> Any:
    a = x.copy()
    b = y.copy()
    d = x * 3
    if s > 0:
        c = a
    else:
        c = b
    if s > 0.5:
        e = c
    else:
        e = d
    a[0] = 5
    return e[0]


def write_into_what_was_swapped(x: Any, y: Any, n: int) -> Any:
    a = x.copy()
    b = y.copy()
    c = a
    for _ in range(n):
        a, b = b, a
    c[0] = 100
    return b[0]


def write_into_swapped(x: Any, y: Any, n: int) -> Any:
    a = x.copy()
    b = y.copy()
    c = a
    for _ in range(n):
        a, b = b, a
    b[0] = 100
    return c[0]


def swap_and_read_the_first(x: Any, y: Any, n: int) -> Any:
    a = x.copy()
    b = y.copy()
    c = a
    t = 0.0
    for _ in range(n):
        b[0] = b[0] * 2
        t += c[0]
        a, b = b, a
    return t


def reversed_beside_itself(x: Any, y: Any, n: int) -> Any:
    a = x
    b = x
    t = 0.0
    for _ in range(n):
        t += b[0] * 1 + a[1] * 10
        b = b[::-1]
    return t


def reversed_after_itself(x: Any, y: Any, n: int) -> Any:
    a = x
    b = x
    t = 0.0
    for _ in range(n):
        t += b[0] * 1 + a[1] * 10
        a = b
        b = b[::-1]
    return t


def may_become_one(x: Any, y: Any, n: int) -> Any:
    a = x.copy()
    b = y.copy()
    c = a
    t = 0.0
    for i in range(n):
        if i == 1:
            b = a
        b[0] = 5.0
        t += a[0] + c[0]
    return t


def becomes_one_at_the_end(x: Any, y: Any, n: int) -> Any:
    a = x.copy()
    b = y.copy()
    t = 0.0
    for i in range(n):
        t += a[0]
        b[0] = 5.0 * t
        if i == 1:
            b = a
    return t


def rotate_and_write(x: Any, y: Any, n: int) -> Any:
    a = x.copy()
    b = y.copy()
    c = x * y
    t = 0.0
    for _ in range(n):
        t += a[0] + c[0]
        b[0] = 5.0 * t
        a, b, c = b, c, a
    a[0] += b[0] + c[1]
    b *= 2
    return t + np.sum(a * x + b * y + c)


def chosen_before_written(x: Any, y: Any, n: int) -> Any:
    a = x.copy()
    b = y.copy()
    o = a
    t = 0.0
    for _ in range(n):
        if t > 3:
            e = a
        else:
            e = b
        a = y * 2
        b = e
    o[0] = 77.0
    return b[0]


def chosen_twice(x: Any, y: Any, s: float) -> Any:
    a = x.copy()
    b = y.copy()
    c = a
    if s > 0:
        c = b
    e = c
    if s > 0.5:
        e = a
    e[0] = 5
    return c[0]


def chosen_together(x: Any, y: Any, s: float) -> Any:
    a = x.copy()
    b = y.copy()
    c = a
    e = a
    if s > 0:
        c = b
        e = b
    e[0] = 5
    return c[0]


def chosen_apart(x: Any, y: Any, s: float) -> Any:
    a = x.copy()
    b = y.copy()
    c = a
    e = b
    if s > 0:
        c = b
        e = a
    e[0] = 5
    return c[0] * a[1]


TRACED = [
    swap_with_one_before,
    one_before_then_apart,
    one_before_while,
    swap_then_other,
    rotate_three,
    reversed_beside_itself,
    reversed_after_itself,
    rotate_and_write,
    chosen_before_written,
]
REFUSED = [
    write_into_what_was_one,
    write_into_what_the_condition_reads,
    write_into_what_was_swapped,
    write_into_swapped,
    swap_and_read_the_first,
    may_become_one,
    becomes_one_at_the_end,
]
CHOSEN = [branch_of_a_branch, chosen_twice, chosen_together, chosen_apart]


@pytest.mark.parametrize("n", range(5))
@pytest.mark.parametrize("function", TRACED)
def test_arrays_that_part_in_a_loop(function: Any, n: int) -> None:
    same(function, X, Y, n)


@pytest.mark.parametrize("function", REFUSED)
def test_writes_into_what_may_be_one_in_a_loop(function: Any) -> None:
    with pytest.raises(UnsupportedError, match="same"):
        same(function, X, Y, 3)


@pytest.mark.parametrize("function", CHOSEN)
def test_writes_into_what_may_be_one_after_a_branch(function: Any) -> None:
    with pytest.raises(UnsupportedError, match="may be the same memory"):
        same(function, X, Y, 0.7)


def reverse_a_list(x: Any, y: Any, n: int) -> Any:
    items = [x * 2, y * 3]
    for _ in range(n):
        items = items[::-1]
        items[1] = x
    return items[0][0] + items[1][1]


def double_often(x: Any, n: int) -> Any:
    k = n
    for _ in [0] * 40:
        k = k + k
    return x[k % 5]


@pytest.mark.parametrize("n", range(4))
def test_a_slice_of_a_list_is_new(n: int) -> None:
    same(reverse_a_list, X, Y, n)


def test_sums_of_sums_of_integers_take_no_time() -> None:
    same(double_often, X, 3)
