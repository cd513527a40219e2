"""The IR: structured SSA.

    Graph   a function: a name and a block
    Block   parameters, equations in order, results
    Eqn     outs = op(args; params) with regions (blocks) inside
    Value   what an equation or a block defines, once; compared by identity
    Const   a number that stands in an argument place

Order and regions are explicit: equations run in the order of the list, and a region
sees the values of the blocks around it. Nothing here is ever changed in place; a pass
makes a new graph. Arrays are values too: an update makes a new version, and a late
pass (`place`) turns it into a write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gradjit.errors import Loc
from gradjit.ir.types import ScalarType, Type

if TYPE_CHECKING:
    from gradjit.ir.op import Op


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """An SSA value. The name is a hint for people; identity is what counts."""

    type: Type
    name: str = ""

    def __repr__(self) -> str:
        return f"<{self.name or '_'}: {self.type}>"


@dataclass(frozen=True, slots=True, eq=False)
class Const:
    """A number in the program. Compare with `key()`: nan and -0.0 are told apart."""

    value: bool | int | float
    type: ScalarType

    def key(self) -> tuple[str, ScalarType]:
        return repr(self.value), self.type

    def __repr__(self) -> str:
        return f"{self.value!r}"


Atom = Value | Const


@dataclass(frozen=True, slots=True, eq=False)
class Eqn:
    """One step: `outs = op(args)`."""

    op: Op
    args: tuple[Atom, ...]
    outs: tuple[Value, ...]
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    regions: tuple[Block, ...] = ()
    loc: Loc | None = None

    @property
    def out(self) -> Value:
        """The only result."""
        (out,) = self.outs
        return out

    def with_(self, **changes: Any) -> Eqn:
        """A copy with some fields changed."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Parameters, equations in order, results."""

    params: tuple[Value, ...]
    eqns: tuple[Eqn, ...]
    results: tuple[Atom, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A function. `params` of the block are its inputs, flat.

    `mutated` maps the index of an input that the function writes into to the index of
    the result that is its last version (only `jit` keeps them).
    """

    name: str
    block: Block
    mutated: Mapping[int, int] = field(default_factory=dict[int, int])

    def __str__(self) -> str:
        from gradjit.ir.show import show

        return show(self)


def walk(block: Block) -> Iterator[Eqn]:
    """All equations, those in regions right after the equation that holds them."""
    for eqn in block.eqns:
        yield eqn
        for region in eqn.regions:
            yield from walk(region)


def defined(block: Block) -> set[Value]:
    """All values that a block defines, its regions included."""
    out = set(block.params)
    for eqn in block.eqns:
        out.update(eqn.outs)
        for region in eqn.regions:
            out |= defined(region)
    return out


def uses(block: Block) -> Iterator[Value]:
    """Every use of a value as an argument or a result, regions included."""
    for eqn in block.eqns:
        yield from eqn_uses(eqn)
    yield from values(block.results)


def eqn_uses(eqn: Eqn) -> Iterator[Value]:
    """The values that an equation reads, itself or in its regions."""
    yield from values(eqn.args)
    for region in eqn.regions:
        yield from uses(region)


def values(atoms: Iterable[Atom]) -> Iterator[Value]:
    """The atoms that are values."""
    return (a for a in atoms if isinstance(a, Value))


def free(block: Block) -> list[Value]:
    """Values that a block uses and does not define, each once, in order of use."""
    inside = defined(block)
    return list(dict.fromkeys(v for v in uses(block) if v not in inside))


def substitute(block: Block, mapping: Mapping[Value, Atom]) -> Block:
    """The block with uses replaced; definitions stay. Chains are followed."""
    if not mapping:
        return block

    def look(atom: Atom) -> Atom:
        while isinstance(atom, Value) and atom in mapping:
            atom = mapping[atom]
        return atom

    def rebuild(b: Block) -> Block:
        eqns = tuple(
            e.with_(
                args=tuple(look(a) for a in e.args),
                regions=tuple(rebuild(r) for r in e.regions),
            )
            for e in b.eqns
        )
        return Block(b.params, eqns, tuple(look(a) for a in b.results))

    return rebuild(block)
