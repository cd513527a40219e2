"""`explain` of a function for a device, before anything has run."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import pytest

import gradjit
from gradjit.cuda import pool

X = np.linspace(0.5, 1.5, 6)
M = X.reshape(3, 2)


def chain(x):
    return np.sum(np.tanh(x) * np.exp(-x * x))


def columns(x):
    return np.sum(np.tanh(x), axis=0)


def normalised(x):
    d = x - x.mean(axis=-1, keepdims=True)
    return np.sum((d / np.sqrt((d * d).mean(axis=-1, keepdims=True) + 1e-5)) ** 3)


def tensor(m):
    return np.exp(m[:, None] * m)


def roots(a):
    out = np.empty(len(a))
    for i in numba.prange(len(a)):
        y = 1.0
        while abs(y * y - a[i]) > 1e-12:
            y = 0.5 * (y + a[i] / y)
        out[i] = y
    return np.sum(out**3)


def steps(u, n):
    for _ in range(n):
        u = np.sin(u)
    return np.sum(u)


def until_small(x):
    while np.sum(x * x) > 1.0:
        x = x * 0.5
    return x


def branches(x):
    if np.sum(x) > 1.0:  # noqa: SIM108
        y = np.sin(x)
    else:
        y = np.exp(x) * x
    return np.sum(y)


def swept(x):
    y = np.sin(x)
    for i in range(1, y.shape[0]):
        y[i] = y[i] + 0.5 * y[i - 1]
    return np.sum(y * y)


def searched(x):
    h = x[0]
    while h > 0.1:
        h = h * 0.5 * math.cos(h)
    return h + np.sum(x)


def chosen(x):
    return np.sin(x[x > 0.7])


def explained(f: Any, *args: Any, transform: Any = gradjit.jit) -> dict[str, list[str]]:
    """The tables by their titles, rows with single blanks between cells."""
    text = transform(f, target="cuda").lower(*args).explain()
    out: dict[str, list[str]] = {}
    for part in text.split("\n\n"):
        title, *rows = part.split("\n")
        out[title.removesuffix(":")] = [" ".join(row.split()) for row in rows]
    return out


def at(f: Any, offset: int) -> int:
    return f.__code__.co_firstlineno + offset


def rows(f: Any, table: list[str]) -> list[str]:
    """The rows without the head, lines counted from that of the function."""
    first = f.__code__.co_firstlineno
    words = [row.split() for row in table[1:]]
    return [
        " ".join(
            f"+{int(w) - first}" if w.isdigit() and int(w) >= first else w for w in row
        )
        for row in words
    ]


ELEMENTS = "elements: a thread for each"
ITEMS = "iterations, or numbers: a thread for each"


def test_a_chain_is_one_kernel() -> None:
    tables = explained(chain, X, transform=gradjit.value_and_grad)
    assert tables["kernels"][0] == "name line spread over launched by"
    name = "value_and_grad_chain_1"
    assert rows(chain, tables["kernels"]) == [f"{name} +1 {ELEMENTS} dev.elements(n)"]
    assert "the host waits for: none" in tables
    assert "loops that one thread runs" not in tables
    assert "loops that the host runs" not in tables
    assert tables["buffers"][1:] == ["d_x (n) 8 * n empty", "work () 8 empty"]


@pytest.mark.parametrize(
    ("f", "args", "spread", "config"),
    [
        (tensor, (X,), f"{ELEMENTS}, the last axis along x", "dev.grid2(n, n)"),
        (normalised, (M,), "rows: a block for each", "dev.rows(n, m)"),
        (roots, (X,), ITEMS, "dev.items(n)"),
    ],
)
def test_what_a_kernel_is_spread_over(
    f: Any, args: Any, spread: str, config: str
) -> None:
    first = explained(f, *args)["kernels"][1]
    assert f" {spread} {config}" in first


def test_sums_over_columns_are_folded_by_a_second_kernel() -> None:
    tables = explained(columns, M)
    first, second = tables["kernels"][1:]
    assert "columns: threads for each, in parts dev.columns(n, m)" in first
    assert f"{ITEMS} dev.items(m)" in second


def test_loops_of_the_host() -> None:
    tables = explained(steps, X, 3, transform=gradjit.value_and_grad)
    assert tables["loops that the host runs"][0] == "line over launches"
    forward, back = rows(steps, tables["loops that the host runs"])
    assert forward == "+1 range(0, n, 1) kernels 1"
    assert back == "+1 range(sub(n, 1), -1, -1) kernels 3"
    assert "the host waits for: none" in tables


@pytest.mark.parametrize(
    ("f", "row"),
    [
        (until_small, "+1 test the condition of a loop"),
        (branches, "+1 test a branch"),
        (chosen, "+1 nonzero how many there are is an extent"),
    ],
)
def test_where_the_host_waits(f: Any, row: str) -> None:
    tables = explained(f, X)
    assert tables["the host waits for"][0] == "line what because"
    assert rows(f, tables["the host waits for"]) == [row]


def test_a_loop_that_one_thread_runs() -> None:
    tables = explained(swept, X, transform=gradjit.value_and_grad)
    alone = tables["loops that one thread runs"]
    assert alone[0] == "line loop because"
    assert rows(swept, alone) == [
        "+2 for y goes from one iteration to the next",
        "+2 for d_y goes from one iteration to the next",
    ]
    assert sum("one thread dev.one()" in row for row in tables["kernels"]) == 2


def test_a_search_that_one_thread_runs() -> None:
    alone = explained(searched, X)["loops that one thread runs"]
    assert rows(searched, alone) == ["+2 while how often it runs is not known"]


def test_all_kernels_are_those_of_the_source() -> None:
    for f, args in ((steps, (X, 3)), (swept, (X,)), (normalised, (M,)), (chain, (X,))):
        lowered = gradjit.value_and_grad(f, target="cuda").lower(*args)
        names = [row.split()[0] for row in _kernels(lowered.explain())]
        found = lowered.source.split("@cuda.jit\ndef ")[1:]
        assert names == [part.partition("(")[0] for part in found]


def _kernels(text: str) -> list[str]:
    (part,) = [p for p in text.split("\n\n") if p.startswith("kernels:")]
    return part.splitlines()[2:]


def test_the_cpu_has_no_kernels() -> None:
    text = gradjit.value_and_grad(chain).lower(X).explain()
    assert "kernels" not in text
    assert "loops:" in text


class _Memory:
    device_pointer_value = 256


def test_the_peak_of_this_process() -> None:
    lowered = gradjit.grad(chain, target="cuda").lower(X)
    before = pool.peak()
    assert ("device memory" in lowered.explain()) == (before > 0)
    memory = pool.Pool(lambda size: _Memory())
    block = memory.take(4096)
    text = lowered.explain().splitlines()[-1]
    most = before + block.size
    assert text == f"device memory of this process: {most} bytes at most at one time"
