"""`jit` does to its arguments what the function does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradjit


def scale(x: Any, y: Any) -> Any:
    for i in range(x.shape[0]):
        x[i] = x[i] * y[i]
    return np.sum(x)


def old_and_new(x: Any, y: Any) -> Any:
    old = x.copy()
    x[0] = 5.0
    return np.sum(old) + x[1] + y[0]


def steps(x: Any, y: Any) -> Any:
    start = x.copy()
    for _ in range(5):
        x[:] = y * 2 + start
        y[0] += 1
    return y[0]


def swap(x: Any, y: Any) -> Any:
    kept = x.copy()
    x[:] = y
    y[:] = kept
    return kept


def swap_in_loop(x: Any, y: Any) -> None:
    for _ in range(3):
        kept = x.copy()
        x[:] = y
        y[:] = kept + 1.0


def both(x: Any, y: Any) -> None:
    x[:] = y
    y[:] = 1.0
    x[0] += y[0]


def neighbours(x: Any, y: Any) -> None:
    for i in range(x.shape[0] - 1):
        x[i], x[i + 1] = x[i + 1], x[i]


def exchange_names(x: Any, y: Any) -> Any:
    for i in range(3):
        x[0] += i
        x, y = y, x
    return x


def branch(x: Any, y: Any) -> Any:
    if y[0] > 0.0:
        x[0] = y[0]
    else:
        y[1:] = x[1:]
    return x[0]


def give_back(x: Any, y: Any) -> Any:
    x[0] = 3.0
    return x


def give_copy(x: Any, y: Any) -> Any:
    return x.copy()


def give_copy_of_written(x: Any, y: Any) -> Any:
    x[0] = 3.0
    return x.copy()


def one_or_the_other(x: Any, y: Any) -> Any:
    a = x if y[0] > 0.0 else y
    return a[0]


def shifted(x: Any, y: Any) -> None:
    x[1:] = x[:-1]
    y[:-1] += x[1:]


def through_a_view(x: Any, y: Any) -> Any:
    tail = x[1:]
    tail *= 2.0
    tail[0] = y[0]
    return tail


def cumulative(x: Any, y: Any) -> None:
    x[:] = np.cumsum(x)
    y[:] = y[::-1]


def until(x: Any, y: Any) -> int:
    count = 0
    while np.sum(x) < 100.0:
        x += np.abs(y) + 1.0
        count += 1
    return count


FUNCTIONS = [
    scale,
    old_and_new,
    steps,
    swap,
    swap_in_loop,
    both,
    neighbours,
    branch,
    give_back,
    give_copy,
    give_copy_of_written,
    one_or_the_other,
    shifted,
    through_a_view,
    cumulative,
    until,
]


@pytest.mark.parametrize("first", [1.5, -1.5])
@pytest.mark.parametrize("fn", FUNCTIONS, ids=lambda f: f.__name__)
def test_effects(fn: Callable[..., Any], first: float) -> None:
    made = [np.array([0.5, -1.0, 2.0, 3.0]), np.array([first, 0.25, -2.0, 1.0])]
    compiled = gradjit.jit(fn)
    for _ in range(2):
        plain, ours = [a.copy() for a in made], [a.copy() for a in made]
        want, got = fn(*plain), compiled(*ours)
        for a, b in zip(plain, ours, strict=True):
            np.testing.assert_allclose(b, a)
        if want is None:
            assert got is None
        else:
            np.testing.assert_allclose(got, want)
            assert (got is ours[0]) is (want is plain[0])


def test_names_that_change_places_are_refused() -> None:
    """Which argument is written into depends on the iteration."""
    with pytest.raises(gradjit.UnsupportedError, match="copy"):
        gradjit.jit(exchange_names)(np.ones(2), np.zeros(2))
