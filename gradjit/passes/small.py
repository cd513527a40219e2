"""Small arrays of known shape: which they are, and one as a scalar for each element."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np

from gradjit.ir.graph import Atom, Block, Const, Eqn, Graph, Value, walk
from gradjit.ir.types import BOOL, FLOAT32, FLOAT64, INT64, ArrayType, Type
from gradjit.ops.array import subscript
from gradjit.ops.region import Writer

# Most elements of an array that lives in scalars.
LARGEST = 32
# Scalars of these are in Numba what they are in NumPy.
_DTYPES = frozenset({FLOAT64, FLOAT32, INT64, BOOL})

_LOOPS = ("for_", "while_")


def extents(type_: Type) -> tuple[int, ...] | None:
    """The extents of a small array of known shape; None for other types."""
    if not isinstance(type_, ArrayType) or type_.dtype not in _DTYPES:
        return None
    known = tuple(n for n in type_.dims if n is not None)
    small = len(known) == len(type_.dims) and 1 <= prod(known) <= LARGEST
    return known if small else None


def indices(shape: Sequence[int]) -> list[tuple[int, ...]]:
    """The indices of all elements in C order."""
    return list(product(*map(range, shape)))


@dataclass(frozen=True, slots=True)
class Small:
    """An array as scalars.

    Attributes:
        dims: Its extents.
        items: Its elements in C order.
        origin: The array in memory that has these elements, if there is one.
    """

    dims: tuple[int, ...]
    items: tuple[Atom, ...]
    origin: Value | None = None

    def item(self, at: Sequence[int]) -> Atom:
        """An element."""
        return self.items[int(np.ravel_multi_index(tuple(at), self.dims))]

    def replaced(self, at: Sequence[int], item: Atom) -> Small:
        """The array with another element."""
        k = int(np.ravel_multi_index(tuple(at), self.dims))
        return Small(self.dims, (*self.items[:k], item, *self.items[k + 1 :]))

    def part(self, spec: str, at: Sequence[int]) -> Small | Atom:
        """A basic subscript: an element, or an array of some of them."""
        return self._picked(lambda x: x[subscript(spec, at)])

    def transposed(self, perm: Sequence[int]) -> Small | Atom:
        return self._picked(lambda x: x.transpose(perm))

    def reshaped(self, dims: tuple[int, ...]) -> Small | Atom:
        return self._picked(lambda x: x.reshape(dims))

    def _picked(self, pick: Callable[[Any], Any]) -> Small | Atom:
        numbers = pick(np.arange(len(self.items)).reshape(self.dims))
        if np.ndim(numbers) == 0:
            return self.items[int(numbers)]
        chosen = tuple(self.items[int(k)] for k in numbers.ravel())
        return Small(numbers.shape, chosen)


class Groups:
    """Small arrays in groups, of which all are in scalars or all in memory.

    The versions of an array are a group, with all that a branch or a loop makes of
    them. Arguments are not part of any: their elements are loaded. What is only filled
    by a loop over its elements, and returned, stays in memory.

    Attributes:
        apart: Arguments that nothing writes into.
        memory: The groups that stay in memory.
        read: Arrays of which single elements are read or written.
        lost: Those of which it turned out that they have to.
    """

    def __init__(self, graph: Graph) -> None:
        self.parents: dict[Value, Value] = {}
        self.memory: set[Value] = set()
        self.lost: set[Value] = set()
        self.params = set(graph.block.params)
        written = {graph.block.params[k] for k in graph.mutated}
        self.read: set[Value] = set()
        self.updated: set[Value] = set()
        self.carried: set[Value] = set()
        self.apart = self.params - written
        for eqn in walk(graph.block):
            self._note(eqn)
        found = {self.root(v) for v in _arrays(graph.block)}
        self.read |= self._updated_on_the_way()
        used = {self.root(v) for v in self.read}
        self.memory |= found - used
        self.memory |= {self.root(v) for v in self.params}

    def root(self, value: Value) -> Value:
        """One array of a group, the same for all of them."""
        while value in self.parents:
            value = self.parents[value]
        return value

    def lose(self, value: Atom) -> None:
        """Take note that an array has to be in memory, with its group."""
        if isinstance(value, Value):
            self.lost.add(self.root(value))

    def settle(self) -> bool:
        """Leave in memory what was lost; whether there was anything."""
        found = not self.lost <= self.memory
        self.memory |= self.lost
        self.lost = set()
        return found

    def some(self) -> bool:
        """Whether any array is to live in scalars."""
        return any(map(self.dissolves, self.read))

    def dissolves(self, value: Atom) -> bool:
        """Whether an array is to live in scalars."""
        return (
            isinstance(value, Value)
            and extents(value.type) is not None
            and self.root(value) not in self.memory
        )

    def _join(self, a: Atom, b: Atom) -> None:
        if not isinstance(a, Value) or not isinstance(b, Value):
            return
        if extents(a.type) is None or {a, b} & self.apart:
            return
        x, y = self.root(a), self.root(b)
        if x is not y:
            self.parents[x] = y
            if x in self.memory:
                self.memory.add(y)

    def _note(self, eqn: Eqn) -> None:
        name = eqn.op.name
        if name == "index" and not isinstance(eqn.out.type, ArrayType):
            self.read.update(a for a in eqn.args[:1] if isinstance(a, Value))
        elif name in ("store", "add_at"):
            self._join(eqn.out, eqn.args[0])
            self.read.add(eqn.out)
        elif name == "map_":
            writers: tuple[Writer, ...] = eqn.params["writers"]
            for writer, out in zip(writers, eqn.outs, strict=True):
                if writer.dest >= 0:
                    self.updated.add(out)
                    first: int = eqn.params["ndim"]
                    self._join(out, eqn.args[first + writer.dest])
        elif name == "if_":
            self.carried.update(eqn.outs)
            for k, out in enumerate(eqn.outs):
                for region in eqn.regions:
                    self._join(out, region.results[k])
        elif name in _LOOPS:
            self._loop(eqn)

    def _updated_on_the_way(self) -> set[Value]:
        """Arrays that are handed on by a branch or a loop, and updated by loops."""
        handed = {self.root(v) for v in self.carried}
        return {v for v in self.updated if self.root(v) in handed}

    def _loop(self, eqn: Eqn) -> None:
        self.carried.update(eqn.outs)
        count = len(eqn.outs)
        inits = eqn.args[len(eqn.args) - count :]
        for k, (out, init) in enumerate(zip(eqn.outs, inits, strict=True)):
            self._join(out, init)
            self._join(out, eqn.regions[-1].results[k])
            for region in eqn.regions:
                self._join(out, region.params[len(region.params) - count + k])
            if eqn.params.get("parallel") and extents(out.type) is not None:
                self.memory.add(self.root(out))


def _arrays(block: Block) -> Iterator[Value]:
    """All small arrays of a program."""
    for eqn in walk(block):
        yield from (v for v in eqn.outs if extents(v.type) is not None)
        for region in eqn.regions:
            yield from (v for v in region.params if extents(v.type) is not None)


def inside(spec: str, at: Sequence[int], shape: Sequence[int | None]) -> bool:
    """Whether a basic subscript of known integers picks elements that are there."""
    rest, axes = list(at), list(shape)
    for char in spec:
        if char == "n":
            continue
        extent = axes.pop(0)
        if char == ":":
            continue
        start, count, step = rest.pop(0), 1, 0
        if char == "s":
            count, step = rest.pop(0), rest.pop(0)
        ends = (start, start + (count - 1) * step)
        if count < 1 or extent is None or not all(0 <= i < extent for i in ends):
            return False
    return True


def integers(atoms: Sequence[Atom]) -> list[int] | None:
    """The numbers that atoms are, if all are known."""
    if not all(isinstance(a, Const) for a in atoms):
        return None
    return [int(a.value) for a in atoms if isinstance(a, Const)]
