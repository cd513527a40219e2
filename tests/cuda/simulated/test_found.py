"""Programs that went wrong once, or might have on a device alone."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

import gradjit
from gradjit import config
from tests.cuda.races import watched

_RNG = np.random.default_rng(0)
X = _RNG.normal(size=(5, 9))
Y = _RNG.normal(size=9)
Q = np.array([3, 0, 3, 1, 8, 8, 2, 0, 3])


def carried_anew(x, y, k):
    """What an iteration makes is read in the next: two arrays, not one twice."""
    t = 0.0
    for i in range(x.shape[0]):
        v = np.sin(x[i])
        for _ in range(k):
            v = 0.5 * v[::-1] + y * np.max(v)
        t += np.sum(v * v)
    return t


def swapped_anew(x, y, k):
    t = 0.0
    for i in numba.prange(x.shape[0]):
        v = np.sin(x[i])
        w = np.cos(x[i])
        for _ in range(k):
            v, w = w, v * 0.5 + np.mean(w) * y
        t += np.sum(v * w)
    return t


def anew_in_a_thread(x, y, k):
    """Numba's local arrays are in one place, in loops as well."""
    t = 0.0
    for i in numba.prange(x.shape[0]):
        a = np.zeros(3)
        a[0] = x[i, 0]
        a[1] = x[i, 1] * y[0]
        for _ in range(k):
            b = np.zeros(3)
            b[0] = a[1] + 0.1
            b[1] = np.sin(a[0]) - a[2]
            b[2] = a[0] * a[1]
            a = b
        t += a[0] + a[1] * a[2]
    return t


def gathered_in_rows(x, y, q):
    """On the way back threads of a block add to the same elements."""
    t = 0.0
    for i in range(x.shape[0]):
        v = x[i] * y
        t += np.sum(np.sin(v[q])) * np.sum(v * v)
    return t


def added_last(x, y, k):
    """One thread adds where all others have read."""
    for i in range(x.shape[0]):
        v = np.sin(x[i])
        v[-1] += v[0] * k
        v[0] *= v[-1]
        y = y + v / (1.0 + np.sum(v * v))
    return np.sum(y * y)


def chained_in_a_row(x, y, k):
    """An inner loop stores what its next iteration reads."""
    t = 0.0
    for i in range(x.shape[0]):
        v = np.sin(x[i])
        s = np.sum(v * y)
        for j in range(1, x.shape[1]):
            v[j] = 0.5 * v[j - 1] + s * v[j]
        t += np.max(v) + np.sum(v * v)
    return t


def skipped_in_a_row(x, y, k):
    """An inner loop that runs never, or a branch, hides a barrier."""
    t = 0.0
    for i in range(x.shape[0]):
        v = np.sin(x[i]) * y
        u = 0.1
        for j in range(k - 2):
            u += v[j]
        if x[i, 0] > 0.0:
            u += v[3]
        u = u + v[1] + v[8]
        t += np.sum(v) * u
    return t


def ended_early(x, y, k):
    t = 0.5
    for _ in range(k):
        t = np.tanh(t + np.max(y))
        if t > 0.9:
            break
        y = np.sin(y + t)
    return np.sum(x * y) + t


def tried_and_undone(x, y, k):
    """The host runs a loop that was no kernel, after all, with extents of its own."""
    b = np.sin(x)
    for i in range(x.shape[0]):
        v = np.zeros(x.shape[1])
        w = np.cos(x[i])
        for j in range(x.shape[1]):
            w[j] = np.sum(np.tanh(b[i] * v[j])) * 0.1
        y = y + 0.1 * np.tanh(v)
    return np.sum(y * y) + np.sum(b)


PROGRAMS: dict[str, tuple[Any, Any]] = {
    f.__name__: (f, last)
    for f, last in (
        (carried_anew, 3),
        (swapped_anew, 3),
        (anew_in_a_thread, 3),
        (gathered_in_rows, Q),
        (added_last, 2),
        (chained_in_a_row, 1),
        (skipped_in_a_row, 2),
        (ended_early, 3),
        (tried_and_undone, 3),
    )
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_on_the_cpu_and_without_races(name: str) -> None:
    function, last = PROGRAMS[name]
    with config.override(jit=False):
        want, slopes = gradjit.value_and_grad(function, (0, 1))(X, Y, last)
    with watched() as found:
        on_device = gradjit.value_and_grad(function, (0, 1), target="cuda")
        value, grads = on_device(X, Y, last)
    assert not found
    np.testing.assert_allclose(value, want, rtol=1e-12)
    for got, slope in zip(grads, slopes, strict=True):
        np.testing.assert_allclose(got, slope, rtol=1e-11, atol=1e-12)


def chosen(x, p):
    return np.sum(np.sin(x[p]))


def chosen_in_threads(x, p):
    t = 0.0
    for i in numba.prange(len(p)):
        t += np.sin(x[p[i]])
    return t


def chosen_in_rows(x, p):
    t = 0.0
    for i in range(len(p)):
        v = np.sin(x)
        t += np.sum(v[p]) * v[p[i]]
    return t


@pytest.mark.parametrize("function", [chosen, chosen_in_threads, chosen_in_rows])
def test_an_index_out_of_bounds_is_the_users_line_and_the_next_call_works(
    function: Any,
) -> None:
    x = np.arange(40.0)
    good, bad = np.arange(35), np.arange(35)
    bad[33] = 50
    on_device = gradjit.value_and_grad(function, target="cuda")
    with pytest.raises(IndexError) as wanted:
        gradjit.grad(function)(x, bad)
    for _ in range(2):
        with pytest.raises(IndexError, match=r"test_found\.py:\d+: .*p") as found:
            on_device(x, bad)
        assert str(found.value) == str(wanted.value)
        value, slopes = on_device(x, good)
        np.testing.assert_allclose(value, function(x, good), rtol=1e-12)
        np.testing.assert_allclose(slopes, gradjit.grad(function)(x, good), rtol=1e-12)
    np.testing.assert_array_equal(x, np.arange(40.0))
