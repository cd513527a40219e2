"""Arrays on the way from memory to scalars, and back."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from gradjit.ir.build import Builder, index
from gradjit.ir.graph import Atom, Block, Const, Eqn, Graph, Value
from gradjit.ir.op import lookup
from gradjit.ir.types import ArrayType, DType, ScalarType, Type
from gradjit.passes.small import Groups, Small, extents, indices

# What a value of the old program is in the new one: an atom, or an array as scalars.
Item = Atom | Small


class Aggregates:
    """What each value is in the new program, in the form that is asked for.

    Attributes:
        b: Of the new program.
        groups: What is to live in scalars.
        env: What each value of the old program is in the new one.
        free: Arguments that nothing writes into: their elements are loaded once.
        arrays: What was made in memory, by its elements.
    """

    def __init__(self, groups: Groups) -> None:
        self.b = Builder(checks=False)
        self.groups = groups
        self.env: dict[Value, Item] = {}
        self.free: set[Atom] = set()
        self.arrays: dict[tuple[Any, ...], Value] = {}

    def program(self, graph: Graph) -> Graph:
        """The whole program."""
        old = graph.block
        params = tuple(Value(p.type, p.name) for p in old.params)
        self.env.update(zip(old.params, params, strict=True))
        self.free = {
            new
            for k, new in enumerate(params)
            if k not in graph.mutated and extents(new.type) is not None
        }
        self.b.open(params)
        self.run(old)
        block = self.b.close([self.memory(r) for r in old.results])
        return Graph(graph.name, block, graph.mutated)

    def run(self, block: Block) -> None:
        """Append what the equations of a block become."""
        raise NotImplementedError

    # ----------------------------------------------------------------- reading

    def look(self, atom: Atom) -> Item:
        return self.env.get(atom, atom) if isinstance(atom, Value) else atom

    def scalar(self, atom: Atom) -> Atom:
        found = self.look(atom)
        assert not isinstance(found, Small)
        return found

    def memory(self, atom: Atom) -> Atom:
        """The atom as one value: an array is made of its elements."""
        found = self.look(atom)
        if not isinstance(found, Small):
            return found
        name = atom.name if isinstance(atom, Value) else ""
        return self.made(found, atom.type.dtype, name)

    def exploded(self, found: Item, shape: tuple[int, ...]) -> Small:
        """An array of this shape as scalars; what is in memory is loaded."""
        if isinstance(found, Small):
            return found
        assert isinstance(found, Value)
        items = tuple(self.load(found, at) for at in indices(shape))
        return Small(shape, items, found)

    def load(self, array: Atom, at: Sequence[int]) -> Atom:
        """An element of an array in memory; of an argument, in front of all loops."""
        spec, ints = "i" * len(at), [index(i) for i in at]
        with self.frame(0 if array in self.free else len(self.b.frames) - 1):
            return self.b.emit1(
                "index", array, *ints, spec=spec, dims=(), checked=False
            )

    @contextmanager
    def frame(self, depth: int) -> Generator[None]:
        """Append to the open block at this depth."""
        rest = self.b.frames[depth + 1 :]
        del self.b.frames[depth + 1 :]
        yield
        self.b.frames.extend(rest)

    # ------------------------------------------------------------------ making

    def made(self, small: Small, dtype: DType, name: str) -> Atom:
        """An array in memory with these elements, made as far outside as they are."""
        if small.origin is not None:
            return small.origin
        if _is_uniform(small.items):
            return self.filled_with(small, dtype, name)
        key = (dtype, small.dims, small.items)
        depth = self.depth(small.items)
        found = self.arrays.get(key)
        if found is None or found not in self.b.frames[depth].values:
            with self.frame(depth):
                found = self.arrays[key] = self.filled_with(small, dtype, name)
        return found

    def depth(self, items: Sequence[Atom]) -> int:
        """The innermost block that defines one of these."""
        frames = self.b.frames
        for depth in range(len(frames) - 1, 0, -1):
            if any(a in frames[depth].values for a in items):
                return depth
        return 0

    def filled_with(self, small: Small, dtype: DType, name: str) -> Value:
        shape = [index(n) for n in small.dims]
        type_ = ArrayType(dtype, small.dims)
        params = {"dtype": dtype, "dims": small.dims}
        if _is_uniform(small.items):
            first = small.items[0]
            return self.fresh("full", type_, first, *shape, name=name, **params)
        out = self.fresh("empty", type_, *shape, name=name, **params)
        for at, item in zip(indices(small.dims), small.items, strict=True):
            out = self.stored(out, item, list(map(index, at)), name)
        return out

    def stored(
        self, array: Atom, item: Atom, at: Sequence[Atom], name: str, op: str = "store"
    ) -> Value:
        """A version of an array in memory with another element."""
        params = {"spec": "i" * len(at), "checked": False}
        return self.fresh(op, array.type, array, item, *at, name=name, **params)

    def fresh(
        self, op: str, type_: Type, *args: Atom, name: str = "", **params: Any
    ) -> Value:
        """An array of its own, even if another one has the same elements."""
        out = Value(type_, name)
        self.b.append(Eqn(lookup(op), args, (out,), params, (), self.b.loc))
        return out

    def fitted(self, item: Atom, dtype: DType, name: str = "") -> Atom:
        """A scalar as an element of an array of that dtype."""
        if item.type.dtype != dtype:
            item = self.b.emit1("cast", item, dtype=dtype, weak=False)
        if isinstance(item, Const):
            return Const(item.value, ScalarType(dtype))
        plain = not item.name or name.startswith(f"{item.name}_")
        if name and plain and item in self.b.frames[-1].values:
            object.__setattr__(item, "name", name)
        return item


def _is_uniform(items: Sequence[Atom]) -> bool:
    """Whether all elements are the same number."""
    keys = {a.key() for a in items if isinstance(a, Const)}
    return len(keys) == 1 and all(isinstance(a, Const) for a in items)


def element_name(name: str, at: Sequence[int]) -> str:
    """What the element of an array is called: `R_0_1`."""
    return "_".join((name, *map(str, at))) if name else ""


def nothing(dtype: DType) -> Const:
    """What stands for an element that is not set."""
    value = {"f": 0.0, "b": False}.get(dtype.kind, 0)
    return Const(value, ScalarType(dtype))
