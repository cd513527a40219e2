"""What a trace has read from outside of the function, so that changes are noticed.

Globals, closure cells, attributes and items that were numbers, strings, functions or
arrays while tracing are part of what was compiled. Before a compiled function runs
again, the caller asks whether they still hold.
"""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import dataclass
from types import (
    BuiltinMethodType,
    CellType,
    FunctionType,
    MethodType,
    MethodWrapperType,
    ModuleType,
)
from typing import Any, Literal, cast

import numpy as np

from gradjit.trace.classes import class_of

Kind = Literal["global", "cell", "attribute", "item", "keys"]

_CONSTANTS = (
    bool,
    int,
    float,
    str,
    bytes,
    type(None),
    np.generic,
    np.ndarray,
    FunctionType,
)


_PLAIN = (bool, int, float, str, bytes, np.generic, np.ndarray)


@dataclass(frozen=True, slots=True)
class Guard:
    """A place outside of the function, and what was found there."""

    kind: Kind
    owner: Any
    key: Any
    value: Any

    def read(self) -> Any:
        """What is there now; an unbound cell and a missing item read as None."""
        try:
            if self.kind == "cell":
                return self.owner.cell_contents
            if self.kind == "attribute":
                return getattr(self.owner, self.key)
            if self.kind == "keys":
                return keys_of(self.owner)
            return self.owner[self.key]
        except (KeyError, IndexError, AttributeError, ValueError):
            return None

    def holds(self) -> bool:
        """Whether what is there now would be traced in the same way.

        The elements of an array may change: they are passed in at each call.
        """
        now, then = self.read(), self.value
        if self.kind == "keys":
            return bool(now == then)
        kind = class_of(then)
        if now is then:
            return True
        if type(now) is not kind or not issubclass(kind, _PLAIN):
            return False
        if issubclass(kind, np.ndarray):
            same = now.dtype == then.dtype and now.shape == then.shape
            return same and then.ndim > 0  # of one without axes a view was captured
        return bool(now == then) and repr(now) == repr(then)


def keys_of(container: Any) -> Any:
    """How many items a list has, the keys of a dict, the members of a set."""
    if isinstance(container, dict):
        return tuple(cast("dict[Any, Any]", container))
    if isinstance(container, set | frozenset):
        return frozenset(cast("set[Any]", container))
    return len(container)


def _bound_to(value: Any, owner: Any) -> bool:
    """Whether a value is a method of its owner: a new object each time it is read."""
    methods = MethodType | BuiltinMethodType | MethodWrapperType
    return isinstance(value, methods) and value.__self__ is owner


def _is_fixed(owner: Any) -> bool:
    """Whether it is a module whose contents nobody changes: `math.pi`, `np.inf`."""
    if not isinstance(owner, ModuleType):
        return False
    root = owner.__name__.split(".")[0]
    return root in sys.stdlib_module_names or root in ("numpy", "scipy", "numba")


class Guards:
    """Collects guards while tracing."""

    def __init__(self) -> None:
        self._guards: dict[tuple[Kind, int, Any], Guard] = {}
        self._outside: dict[int, Any] = {}
        self._arrays: dict[int, Guard] = {}
        self._wholes: set[int] = set()
        self.copies: dict[int, Any] = {}

    def all(self) -> list[Guard]:
        return list(self._guards.values())

    def note(self, kind: Kind, owner: Any, key: Any, value: Any) -> None:
        """Take note of a read from outside."""
        if isinstance(value, CellType):
            return
        if not isinstance(value, _CONSTANTS):
            self._outside[id(value)] = value
            if isinstance(value, ModuleType):
                return
        if owner is value:
            return
        try:
            where = kind, id(owner), key
            guard = self._guards.setdefault(where, Guard(kind, owner, key, value))
        except TypeError:
            return
        if issubclass(class_of(value), np.ndarray):
            self._arrays.setdefault(id(guard.value), guard)

    def follow(self, kind: Kind, owner: Any, key: Any, value: Any) -> None:
        """Take note if the owner itself is from outside."""
        if id(owner) not in self._outside or _is_fixed(owner):
            return
        if self.copies.get(id(owner)) is owner:  # noted as a whole
            return
        if not _bound_to(value, owner):
            self.note(kind, owner, key, value)
        elif isinstance(value, MethodType) and not isinstance(owner, type):
            self._method(owner, key, value)

    def _method(self, owner: Any, name: str, method: MethodType) -> None:
        """Take note of a method where it is defined: in the class."""
        cls = class_of(owner)
        if getattr(cls, name, None) is method.__func__:
            self.note("attribute", cls, name, method.__func__)

    def whole(self, container: Any) -> None:
        """Take note of all that is in a container from outside."""
        if id(container) not in self._outside or id(container) in self._wholes:
            return
        kind = class_of(container)
        if not issubclass(kind, list | tuple | dict | set | frozenset | deque):
            return
        self._wholes.add(id(container))
        keys = keys_of(container)
        if not issubclass(kind, tuple):
            self.note("keys", container, None, keys)
        if issubclass(kind, set | frozenset):
            return
        for key in keys if issubclass(kind, dict) else range(keys):
            value = container[key]
            self.note("item", container, key, value)
            self.whole(value)

    def adopt(self, container: Any, copy: Any) -> None:
        """Remember the copy of a container that programs get in its place."""
        self.copies[id(container)] = copy
        self.copies[id(copy)] = copy
        self._outside[id(copy)] = copy
        self._wholes.add(id(copy))

    def is_outside(self, thing: Any) -> bool:
        return id(thing) in self._outside

    def source(self, array: np.ndarray) -> Guard | None:
        """Where an array was found."""
        return self._arrays.get(id(array))

    def name_of(self, array: np.ndarray) -> str:
        """A name for people."""
        guard = self._arrays.get(id(array))
        return (
            str(guard.key) if guard is not None and isinstance(guard.key, str) else ""
        )
