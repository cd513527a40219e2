"""What a transform takes and gives: a traced function, and a block to compile.

A call's arguments are trees of leaves; in the trees here each leaf is a `Slot`, its
place among all leaves of the call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from gradjit.ir.graph import Block
from gradjit.ir.types import Type
from gradjit.passes.memory import Memory
from gradjit.passes.report import Kept
from gradjit.passes.segment import segment

Layout = Literal["own", "trailing", "packed", "pullback"]
Split = tuple[tuple[Any, ...], dict[str, Any], tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of a leaf among the leaves of a call."""

    index: int


@dataclass(frozen=True, slots=True)
class Out:
    """A result of the block.

    Attributes:
        index: The result.
        like: The leaf in whose kind it comes back, if any.
        same: The parameter that it is: the caller's own array.
        into: The leaf, an array, that it is written into.
    """

    index: int
    like: int | None = None
    same: int | None = None
    into: int | None = None


# In the place of results: the container of arrays that the caller gave as `out`.
GIVEN = Out(-1)


@dataclass(frozen=True, slots=True)
class Primal:
    """A traced function, ready for a transform.

    Attributes:
        name: The function's name, for messages.
        block: Its graph. The parameters are the leaves that are run-time values, then
            whatever else the function reads.
        slots: The slot of each leading parameter.
        outputs: What it returns, a tree with an `Out` for each result.
        args: The positional arguments as trees of slots.
        kwargs: The keyword arguments as trees of slots.
        extras: Further arguments of the transform, as trees of slots.
        paths: How each slot is written in Python, for messages.
        types: The types of leaves that are not parameters (pinned integers).
        budget: What values saved at one level of loops may take, in bytes.
        notes: Learns what a derivative keeps for the way back.
    """

    name: str
    block: Block
    slots: tuple[int, ...]
    outputs: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    extras: tuple[Any, ...]
    paths: Sequence[str]
    types: dict[int, Type]
    budget: int | None = None
    notes: list[Kept] = field(default_factory=list[Kept])

    def position(self, slot: int) -> int:
        """The parameter that holds a leaf."""
        return self.slots.index(slot)

    def within(self, memory: Memory | None) -> Primal:
        """The same function with its loops cut so that a derivative needs less."""
        if memory is None:
            return self
        return replace(self, block=segment(self.block, memory), budget=memory.share)


@dataclass(frozen=True, slots=True)
class Derived:
    """A block to compile.

    Attributes:
        block: Its parameters are those of the primal's block, then the extras.
        extras: The slots of the parameters that were added at the end.
        outputs: What the call returns, a tree with an `Out` for each leaf.
        written: Results that are written into arrays of the caller.
    """

    block: Block
    outputs: Any
    extras: tuple[int, ...] = ()
    written: tuple[Out, ...] = ()


class Transform(Protocol):
    """A transform with its options."""

    @property
    def name(self) -> str:
        """What it is called, as in `gradjit.<name>`."""
        ...

    @property
    def layout(self) -> Layout:
        """How a call's arguments are laid out."""
        ...

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Split:
        """The function's own arguments, and what the transform takes beside them."""
        ...

    def derive(self, primal: Primal) -> Derived:
        """The block that computes what the transform returns."""
        ...


def is_slot(x: Any) -> bool:
    return isinstance(x, Slot)


def is_out(x: Any) -> bool:
    return isinstance(x, Out)
