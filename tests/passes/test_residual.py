"""What is saved for the way back: the cut, counters, carries, and the report."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit import config
from gradjit.passes.cut import minimum_cut

X = np.random.default_rng(3).normal(size=7)


# -------------------------------------------------------------------------- cut


def _suffices(saved: set[int], needed: list[int], args: dict[int, list[int]]) -> bool:
    def there(node: int) -> bool:
        return node in saved or (node in args and all(map(there, args[node])))

    return all(map(there, needed))


@pytest.mark.parametrize("seed", range(60))
def test_the_cut_is_the_lightest_of_all_sets(seed: int) -> None:
    """Against all subsets of the nodes of a small random graph."""
    rng = np.random.default_rng(seed)
    count = 8
    weights = {k: float(rng.integers(1, 6)) for k in range(count)}
    args = {
        k: sorted({int(a) for a in rng.integers(0, k, size=2)})
        for k in range(1, count)
        if rng.random() < 0.7
    }
    needed = sorted({int(k) for k in rng.integers(0, count, size=3)})
    cut = minimum_cut(needed, args, weights)
    assert _suffices(set(cut), needed, args)
    subsets = itertools.chain.from_iterable(
        itertools.combinations(range(count), r) for r in range(count + 1)
    )
    best = min(
        sum(weights[k] for k in s) for s in subsets if _suffices(set(s), needed, args)
    )
    assert sum(weights[k] for k in cut) == best


# ------------------------------------------------------------------- what is kept


def kept(f: Any, *args: Any, argnums: Any = 0) -> tuple[list[Any], Any]:
    """The notes of a gradient, and the gradient, which is checked."""
    gradjit.check_grads(f, args)
    with config.override(jit=False):
        grad = gradjit.grad(f, argnums=argnums)
        grad(*args)
    return [n for n in grad.lowering.notes if n.how != "recomputed"], grad


def one_for_two(x: Any, n: int) -> Any:
    """`p` and `q` are needed, and both follow from `h`."""
    h, total = 0.3, 0.0
    for i in range(n):
        h = math.sin(h + x[i % x.size])
        p, q = h * 2.0 + 1.0, 1.0 - h
        total += p * p * q
    return total


def test_what_follows_from_another_is_not_saved() -> None:
    notes, grad = kept(one_for_two, X, 9)
    arrays = [n for n in notes if n.how == "array"]
    names = {n.name for n in arrays}
    assert "p" not in names
    assert "q" not in names
    assert "recomputed" in grad.explain()


def recurrence(x: Any, n: int) -> Any:
    h = 0.1
    for i in range(n):
        h = math.tanh(0.5 * h * h + x[i])
    return h


def test_a_carry_and_its_next_value_share_an_array() -> None:
    notes, _ = kept(recurrence, X, 7)
    assert [(n.name, n.how, n.shape()) for n in notes] == [("h", "array", ("n + 1",))]
    assert notes[0].size({}) is None


def linear(x: Any, n: int) -> Any:
    a = x.copy()
    for _ in range(n):
        for i in range(1, a.size - 1):
            a[i] = (a[i - 1] + a[i] + a[i + 1]) / 3.0
    return np.sum(a)


def test_linear_code_keeps_nothing() -> None:
    notes, grad = kept(linear, X, 3)
    assert notes == []
    assert "kept for the way back: none" in grad.explain()


def counters(x: Any, n: int) -> Any:
    """Integers that grow by the same each time, up and down, in `for` and `while`."""
    k, j, total = 3, n, 0.0
    for _ in range(1, 2 * n, 2):
        total += x[k % x.size] ** 2 * x[j % x.size]
        k += 2
        j -= 1
        i = 0
        while i < k and total < 1e3:
            total = total * 0.99 + 0.1 * total * x[i % x.size]
            i += 1
    return total * k


def test_counters_are_not_saved() -> None:
    notes, grad = kept(counters, X, 5)
    whole = [n for n in notes if n.dtype.kind == "i"]
    assert [n.name for n in whole] == ["count"]  # of the `while`
    assert "tape.append(i" not in grad.source


def irregular(x: Any, n: int) -> Any:
    """An integer that does not grow evenly has to be saved."""
    k, total = 1, 0.0
    for _ in range(n):
        total += x[k % x.size] ** 2
        k = k * 3 + 1
    return total


def test_integers_that_do_not_grow_evenly_are_saved() -> None:
    notes, _ = kept(irregular, X, 6)
    assert [n.dtype.kind for n in notes] == ["i"]


def stencil(u: Any, c: Any, n: int) -> Any:
    """A difference that is needed, from an array that is needed as well."""
    u, v = u.copy(), u * 0.5
    for _ in range(n):
        for i in range(1, u.shape[0] - 1):
            lap = u[i - 1] - 2.0 * u[i] + u[i + 1]
            v[i] = u[i] - 0.3 * v[i] + c * lap - 0.01 * u[i] ** 3
        u, v = v, u
    return np.sum(u * u)


def test_an_array_is_saved_where_all_of_it_is_needed() -> None:
    notes, _ = kept(stencil, X, 0.2, 4, argnums=(0, 1))
    assert [(n.name, n.how) for n in notes] == [("u", "array")]
    assert notes[0].shape() == ("n", "u.shape[0]")


def few_of_many(u: Any, w: Any, n: int) -> Any:
    """Two elements of a long array that changes: these, not the array."""
    u = u.copy()
    total = 0.0
    for t in range(n):
        for k in range(w.shape[0]):
            total += math.sin(u[t] * w[k]) * u[t + 1]
            u[t + 1] += 0.1 * total
    return total


def test_an_array_is_not_saved_for_a_few_elements() -> None:
    notes, _ = kept(few_of_many, X, X[:3], 4)
    assert all(len(n.extents) <= 2 for n in notes)


def test_explain_counts_the_bytes_of_the_call() -> None:
    _, grad = kept(recurrence, X, 7)
    row = next(r for r in grad.explain().splitlines() if " h " in r and "array" in r)
    assert "n + 1" in row
    assert "a carry of the loop, before and after each iteration" in row
    assert f"in all: {8 * 8} bytes" in grad.explain()
