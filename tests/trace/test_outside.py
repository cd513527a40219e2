"""What is read from outside of the function is never taken as it was."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit.ir.tree import flatten

VALUES = [1.0, 2.0]
TABLE: dict[str, Any] = {"w": 3.0}
NESTED = [[1.0, 2.0], [3.0]]
MEMBERS = {1, 2}
THING = SimpleNamespace(values=[1.0], n=1)
A = np.ones(2)
ARRAYS = [A, np.full(2, 2.0)]
filter = 2.0  # the name of a builtin


def _pair(p: Any, q: Any = 0.0) -> Any:
    return p + 10.0 * q


READS: dict[str, Any] = {
    "length": lambda x: x * len(VALUES),
    "sum": lambda x: x * sum(VALUES),
    "comprehension": lambda x: sum([v * x for v in VALUES]),
    "generator": lambda x: sum(v * x for v in VALUES),
    "slice": lambda x: x * VALUES[:3][-1],
    "unpacking": lambda x: x * _pair(*VALUES[:2]),
    "zip": lambda x: sum(a * x * b for a, b in zip(VALUES, VALUES, strict=True)),
    "membership": lambda x: x * (2.0 if "new" in TABLE else 1.0),
    "comparison": lambda x: x * (2.0 if VALUES == [1.0, 2.0] else 1.0),
    "items": lambda x: sum(v * x for _, v in TABLE.items()),
    "get": lambda x: x * TABLE.get("new", 1.0),
    "merged": lambda x: sum({**TABLE, "x": x}.values()),
    "nested": lambda x: sum(v * x for row in NESTED for v in row),
    "inner": lambda x: x * len(NESTED[1]),
    "set": lambda x: x * len(MEMBERS),
    "attribute": lambda x: x * len(THING.values),
    "getattr": lambda x: x * getattr(THING, "new", 1.0),
    "hasattr": lambda x: x * (2.0 if hasattr(THING, "new") else 1.0),
    "like a builtin": lambda x: x * filter,
    "arrays added": lambda x: np.sum(x * (A + ARRAYS[1])),
    "array negated": lambda x: np.sum(x * -A),
    "array scaled": lambda x: np.sum(x * (2 * A)),
    "array compared": lambda x: np.sum(x * (A > 1.5)),
    "array power": lambda x: np.sum(x * A**2),
    "product": lambda x: x * (A @ ARRAYS[1]),
    "array items": lambda x: sum([v * x for v in A]),
    "sum of arrays": lambda x: np.sum(x * sum(ARRAYS)),
    "sum of a generator": lambda x: np.sum(x * sum(a for a in ARRAYS)),
}


def _change() -> None:
    global filter
    VALUES[:] = [2.0, 5.0, 7.0]
    TABLE.update(w=9.0, new=5.0)
    NESTED[0][1] = 8.0
    NESTED[1].append(4.0)
    MEMBERS.add(5)
    THING.values.append(4.0)
    THING.new = 3.0
    filter = 7.0
    A[:] = [2.0, 3.0]


def _reset() -> None:
    global filter
    VALUES[:] = [1.0, 2.0]
    TABLE.clear()
    TABLE["w"] = 3.0
    NESTED[:] = [[1.0, 2.0], [3.0]]
    MEMBERS.discard(5)
    THING.__dict__.update(values=[1.0])
    THING.__dict__.pop("new", None)
    filter = 2.0
    A[:] = 1.0


@pytest.mark.parametrize("name", READS)
def test_a_change_outside_is_seen(name: str) -> None:
    f = READS[name]
    _reset()
    g = gradjit.jit(f)
    for _ in range(2):
        assert g(1.5) == f(1.5)
    _change()
    try:
        assert g(1.5) == f(1.5)
    finally:
        _reset()


class Model:
    def __init__(self) -> None:
        self.k = 2.0

    def scaled(self, x: Any) -> Any:
        return self.k * x


MODEL = Model()


@pytest.mark.parametrize(
    "f",
    [
        lambda x: MODEL.scaled(x),
        lambda x: x * TABLE.get("w", 1.0),
        lambda x: x * sum(TABLE.values()),
    ],
)
def test_a_method_of_something_outside_does_not_compile_again(f: Any) -> None:
    g = gradjit.jit(f)
    for _ in range(3):
        assert g(2.0) == f(2.0)
    assert sum(map(len, g._compiled.values())) == 1
    assert g.__call__ != g._general


def test_a_container_from_outside_is_not_written() -> None:
    def f(x: Any) -> Any:
        rows = ARRAYS
        rows[0] = x
        return np.sum(rows[0])

    with pytest.raises(gradjit.UnsupportedError, match="from outside"):
        gradjit.jit(f)(np.ones(2))
    assert len(flatten(ARRAYS)[0]) == 2
