"""A builder of backward code, which names values of the forward code."""

from __future__ import annotations

from collections.abc import Hashable

from gradjit.ir.build import Builder, key_of
from gradjit.ir.graph import Atom, Eqn, Value
from gradjit.ir.types import ScalarType, is_float
from gradjit.passes.residual import Residuals


class Joined(Builder):
    """A builder of backward code that refers to values of the forward code.

    It asks the residuals for extents of values inside regions. And it does not compute
    a number that the forward code has computed from the same: `cos(x)` as the slope of
    `sin(x)` in a program with both, which is cheaper to save.
    """

    residuals: Residuals

    def __init__(self) -> None:
        super().__init__(checks=False)
        self.forward: dict[Hashable, Value] = {}

    def note(self, eqn: Eqn) -> None:
        """Take note of an equation in a region of the forward code."""
        if len(eqn.outs) != 1 or eqn.regions or eqn.op.kind != "elementwise":
            return
        if is_float(eqn.out.type) and isinstance(eqn.out.type, ScalarType):
            self.forward.setdefault(key_of(eqn), eqn.out)

    def seen(self, key: Hashable) -> tuple[Atom, ...] | None:
        found = super().seen(key)
        value = self.forward.get(key) if found is None else None
        if value is None:
            return found
        # The backward code at hand can name what is in the region of an argument.
        home = self.residuals.home
        args = self.facts.defs[value].args
        near = any(home.get(a) is home[value] for a in args if isinstance(a, Value))
        return (value,) if near else None

    def _dim(self, value: Value, axis: int) -> Atom:
        if value not in self.residuals.home:
            return super()._dim(value, axis)
        out = self.residuals.extent_of(value, axis)
        row = list(self._extents[value])
        row[axis] = out
        self._extents[value] = tuple(row)
        return out


def note_regions(b: Joined, eqn: Eqn) -> None:
    """Tell the builder of what is inside an appended equation."""
    if eqn.op.name == "for_":
        b.facts.enter_for(eqn)
    if eqn.op.name in ("for_", "while_"):
        for region in eqn.regions:
            b.carry_extents(eqn.regions[-1], region.params, eqn.args)
    for region in eqn.regions:
        for inner in region.eqns:
            b.facts.define(inner)
            b.note(inner)
            note_extent(b, inner)
            note_regions(b, inner)


def note_extent(b: Builder, eqn: Eqn) -> None:
    """Tell the builder what an appended `dim` says, or what it is equal to."""
    if eqn.op.name == "dim" and isinstance(eqn.args[0], Value):
        known = b.known_extent(eqn.args[0], eqn.params["axis"])
        if known is not None and known is not eqn.out:
            b.facts.alias(eqn.out, known)
        elif known is None and len(b.frames) == 1 and eqn.out in b.frames[0].values:
            b.learn_extent(eqn.args[0], eqn.params["axis"], eqn.out)
