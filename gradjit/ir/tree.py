"""Containers: nested tuples, lists, dicts, NamedTuples and dataclasses of leaves.

A leaf is what a compiled function takes or gives: an array, a NumPy number, a float or
an int. Everything else (bools, strings, None, functions, other objects) is structure:
it stays in the `Tree` and is part of what is compared when trees are.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from types import BuiltinFunctionType
from typing import Any, Literal, cast

import numpy as np

Kind = Literal["leaf", "static", "tuple", "list", "dict", "namedtuple", "dataclass"]
IsLeaf = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Static:
    """A structural value: the same object, or, of plain values, an equal one.

    Other objects go by identity, however they compare: what was traced has read the
    attributes of this one.
    """

    value: Any

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Static):
            return NotImplemented
        a, b = self.value, other.value
        return a is b or (type(a) is type(b) and is_plain(a) and bool(a == b))

    def __hash__(self) -> int:
        return hash(self.value) if is_plain(self.value) else id(self.value)


def is_plain(value: Any) -> bool:
    """Whether an equal value is as good as the same one."""
    return isinstance(value, _PLAIN)


_PLAIN = (bool, str, bytes, Enum, range, np.dtype, Fraction, BuiltinFunctionType)


@dataclass(frozen=True, slots=True)
class Tree:
    """The structure of a container, with places for leaves.

    Attributes:
        kind: What it is.
        type: The class to build, for the kinds that have children.
        names: Keys of a dict, names of fields.
        children: The trees inside.
        static: The value, for the kind "static".
    """

    kind: Kind
    type: type[Any] | None = None
    names: tuple[Any, ...] = ()
    children: tuple[Tree, ...] = ()
    static: Static | None = None

    @property
    def size(self) -> int:
        """Number of leaves."""
        return 1 if self.kind == "leaf" else sum(c.size for c in self.children)

    def unflatten(self, leaves: Iterable[Any]) -> Any:
        """The container with these leaves in place."""
        return _build(self, iter(leaves))

    def paths(self, root: str = "") -> list[str]:
        """How each leaf is reached, as Python would write it: `params['w'][0]`."""
        if self.kind == "leaf":
            return [root]
        return [
            path
            for step, child in zip(self.steps(), self.children, strict=True)
            for path in child.paths(root + step)
        ]

    def steps(self) -> list[str]:
        """The subscript or attribute that leads to each child."""
        if self.kind in ("namedtuple", "dataclass"):
            return [f".{name}" for name in self.names]
        if self.kind == "dict":
            return [f"[{name!r}]" for name in self.names]
        return [f"[{i}]" for i in range(len(self.children))]


LEAF = Tree("leaf")


def is_number(x: Any) -> bool:
    """Whether x is a leaf: an array or a number that is not a bool.

    >>> is_number(2), is_number(np.ones(3)), is_number(True), is_number("relu")
    (True, True, False, False)
    """
    numbers = np.ndarray | np.number | np.bool_
    return type(x) in (float, int, complex) or isinstance(x, numbers)


def flatten(value: Any, is_leaf: IsLeaf = is_number) -> tuple[list[Any], Tree]:
    """The leaves of a container in order, and its structure.

    >>> leaves, tree = flatten({"w": [1.0, 2.0], "name": "net"})
    >>> leaves
    [1.0, 2.0]
    >>> tree.unflatten([3.0, 4.0])
    {'w': [3.0, 4.0], 'name': 'net'}
    """
    leaves: list[Any] = []
    tree = _flatten(value, is_leaf, leaves)
    return leaves, tree


def tree_map(function: Callable[..., Any], value: Any, is_leaf: IsLeaf) -> Any:
    """The container with `function` applied to each leaf."""
    leaves, tree = flatten(value, is_leaf)
    return tree.unflatten([function(leaf) for leaf in leaves])


def _flatten(value: Any, is_leaf: IsLeaf, leaves: list[Any]) -> Tree:
    if is_leaf(value):
        leaves.append(value)
        return LEAF
    kind, names, children = _open(value)
    if kind == "static":
        return Tree("static", static=Static(value))
    inside = tuple(_flatten(child, is_leaf, leaves) for child in children)
    return Tree(kind, _container(value), names, inside)


def _open(value: Any) -> tuple[Kind, tuple[Any, ...], Sequence[Any]]:
    """What a value is as a container, with names and children."""
    cls = cast("Any", type(value))
    fields = cast("tuple[str, ...] | None", getattr(cls, "_fields", None))
    if issubclass(cls, tuple):
        if fields is not None:
            return "namedtuple", fields, value
        return "tuple", (), value
    if issubclass(cls, list):
        return "list", (), value
    if issubclass(cls, dict):
        return "dict", tuple(value), tuple(value.values())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = _field_names(value)
        return "dataclass", names, [getattr(value, name) for name in names]
    return "static", (), ()


def _field_names(value: Any) -> tuple[str, ...]:
    """Fields that are set, and what __post_init__ added."""
    names = [f.name for f in dataclasses.fields(value) if hasattr(value, f.name)]
    extra = [name for name in getattr(value, "__dict__", {}) if name not in names]
    return (*names, *extra)


def _container(value: Any) -> type[Any]:
    """The class to rebuild; subclasses of list and dict come back plain."""
    cls = cast("type[Any]", type(value))
    if issubclass(cls, dict):
        return OrderedDict if cls is OrderedDict else dict
    return list if issubclass(cls, list) else cls


def _build(tree: Tree, leaves: Iterator[Any]) -> Any:
    if tree.kind == "leaf":
        return next(leaves)
    if tree.kind == "static":
        assert tree.static is not None
        return tree.static.value
    children = [_build(child, leaves) for child in tree.children]
    return assemble(tree, children)


def assemble(tree: Tree, children: Sequence[Any]) -> Any:
    """A container from its children."""
    if tree.kind == "list":
        return list(children)
    if tree.kind == "tuple":
        return tuple(children)
    assert tree.type is not None
    if tree.kind == "dict":
        return tree.type(zip(tree.names, children, strict=True))
    if tree.kind == "namedtuple":
        return tree.type(*children)
    value = object.__new__(tree.type)
    for name, child in zip(tree.names, children, strict=True):
        object.__setattr__(value, name, child)
    return value


def difference(a: Tree, b: Tree, root: str) -> str:
    """Where two structures differ first, and how; '' if they do not.

    >>> difference(flatten((1, [2]))[1], flatten((1, [2, 3]))[1], "x")
    'x[1] is a list of 1 and a list of 2'
    """
    if a == b:
        return ""
    alike = (a.kind, a.type, a.names) == (b.kind, b.type, b.names)
    if not alike or len(a.children) != len(b.children) or not a.children:
        return f"{root} is {_shown(a)} and {_shown(b)}"
    pairs = zip(a.steps(), a.children, b.children, strict=True)
    return next(d for s, x, y in pairs if (d := difference(x, y, root + s)))


def _shown(tree: Tree) -> str:
    """A structure in words."""
    if tree.kind == "leaf":
        return "a value"
    if tree.kind == "static":
        assert tree.static is not None
        return repr(tree.static.value)
    assert tree.type is not None
    if tree.kind in ("tuple", "list"):
        return f"a {tree.type.__name__} of {len(tree.children)}"
    return f"a {tree.type.__name__} of {', '.join(map(str, tree.names)) or 'nothing'}"
