"""Containers are taken apart and built again as they were."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest

from gradjit.ir.tree import flatten, is_number


class Pair(NamedTuple):
    a: Any
    b: Any


@dataclass
class Layer:
    w: Any
    name: str = "relu"


@dataclass(frozen=True, slots=True)
class Point:
    x: Any
    y: Any


@dataclass
class Derived:
    x: float
    twice: float = field(init=False)

    def __post_init__(self) -> None:
        self.twice = 2 * self.x
        self.extra = 3 * self.x


@pytest.mark.parametrize(
    ("value", "leaves"),
    [
        (1.5, [1.5]),
        ((1.0, 2), [1.0, 2]),
        ([1.0, [2.0, (3.0,)]], [1.0, 2.0, 3.0]),
        ({"b": 1.0, "a": [2.0]}, [1.0, 2.0]),
        (Pair(1.0, {"k": 2.0}), [1.0, 2.0]),
        (Layer(1.0), [1.0]),
        (Point(1.0, (2.0, None)), [1.0, 2.0]),
        (OrderedDict(a=1.0), [1.0]),
        (("relu", True, None, len), []),
        ((), []),
        ([[], {}], []),
    ],
)
def test_round_trip(value: Any, leaves: list[Any]) -> None:
    got, tree = flatten(value)
    assert got == leaves
    back = tree.unflatten(leaves)
    assert back == value
    assert type(back) is type(value)
    assert tree.size == len(leaves)


def test_defaultdict_comes_back_as_a_dict() -> None:
    leaves, tree = flatten(defaultdict(list, a=1.0))
    assert leaves == [1.0]
    assert type(tree.unflatten(leaves)) is dict


def test_dataclass_keeps_what_post_init_added() -> None:
    leaves, tree = flatten(Derived(1.0))
    assert leaves == [1.0, 2.0, 3.0]
    back = tree.unflatten([5.0, 6.0, 7.0])
    assert (back.x, back.twice, back.extra) == (5.0, 6.0, 7.0)


def test_static_values_are_compared() -> None:
    trees = [flatten((1.0, s))[1] for s in ("a", "a", "b", 1 == 1, None)]
    assert trees[0] == trees[1]
    assert hash(trees[0]) == hash(trees[1])
    assert len({trees[0], trees[2], trees[3], trees[4]}) == 4


def test_unhashable_static_values_go_by_identity() -> None:
    class Loose:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            return True

    one, two = Loose(), Loose()
    assert flatten(one)[1] == flatten(one)[1]
    assert flatten(one)[1] != flatten(two)[1]


def test_true_and_one_are_different_structure() -> None:
    assert flatten((True,))[1] != flatten((1,))[1]


def test_paths() -> None:
    tree = flatten({"w": [1.0, Pair(2.0, 3.0)], 0: (4.0,)})[1]
    assert tree.paths("params") == [
        "params['w'][0]",
        "params['w'][1].a",
        "params['w'][1].b",
        "params[0][0]",
    ]


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (1.0, True),
        (1, True),
        (True, False),
        (np.True_, True),
        (np.float32(1), True),
        (np.zeros(2), True),
        ("x", False),
        (None, False),
        (1j, True),
    ],
)
def test_what_is_a_leaf(value: Any, answer: bool) -> None:
    assert is_number(value) is answer
