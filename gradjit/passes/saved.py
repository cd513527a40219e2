"""Records of the residuals: regions of the forward code, and what is saved in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gradjit.ir.graph import Atom, Block, Eqn, Value
from gradjit.ir.types import Type


@dataclass(slots=True, eq=False)
class Region:
    """A region of the forward code and where it stands."""

    block: Block
    owner: Eqn
    parent: Region | None

    @property
    def is_loop(self) -> bool:
        return self.owner.op.name != "if_"

    def path(self) -> list[Region]:
        """The regions from the outermost to this one."""
        return [*(self.parent.path() if self.parent else []), self]

    def outer(self) -> list[Region | None]:
        """The regions around this one; None is outside of all."""
        return [None, *self.path()[:-1]]

    def loops(self) -> list[Region]:
        return [r for r in self.path() if r.is_loop]


@dataclass(slots=True, eq=False)
class Save:
    """A value that is kept from the forward to the backward code.

    `state` is what the regions carry: an array, a stack, the value itself (`slot`), or
    the number of iterations (`count`). `final` is its value after the outermost region.
    Where `value` is a carry of a loop and `next` what becomes of it, one array holds
    the first `value`, and then each `next`.
    """

    kind: Literal["array", "stack", "slot", "count"]
    value: Value
    home: Region
    type: Type
    final: Value
    sizes: list[Atom] = field(default_factory=list[Atom])
    next: Value | None = None
