"""What a derivative keeps for the way back, and why: the rows of `f.explain()`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gradjit.errors import Loc
from gradjit.ir.graph import Atom, Const, Eqn, Value
from gradjit.ir.types import INDEX, ArrayType, dims
from gradjit.passes.saved import Save

if TYPE_CHECKING:
    from gradjit.passes.residual import Residuals

_INFIX = {"add": "+", "sub": "-", "mul": "*", "floordiv": "//", "pow": "**"}


@dataclass(frozen=True, slots=True)
class Kept:
    """A value of the forward code that the backward code needs.

    Attributes:
        name: In the user's function; empty for what has no name.
        loc: Where it is computed.
        how: "array", "stack", "variable" or "recomputed".
        dtype: Of its elements.
        extents: Of the array, computed before the outermost loop; of a stack, those of
            an item.
        reason: Why it is saved, or not.
        defs: The equations that compute the extents.
    """

    name: str
    loc: Loc | None
    how: str
    dtype: Any
    extents: tuple[Atom, ...]
    reason: str
    defs: Mapping[Value, Eqn]

    def shape(self) -> tuple[str, ...]:
        """The extents as Python would write them."""
        return tuple(self._text(a) for a in self.extents)

    def size(self, values: Mapping[Value, Any]) -> int | None:
        """The bytes of an array for these parameters, if they say it."""
        total = self.dtype.itemsize
        for extent in self.extents:
            n = self._number(extent, values)
            if n is None:
                return None
            total *= int(n)
        return total

    def _text(self, atom: Atom) -> str:
        if isinstance(atom, Const):
            return str(atom.value)
        eqn = self.defs.get(atom)
        if eqn is None:
            return atom.name or "?"
        args = [self._text(a) for a in eqn.args]
        name = eqn.op.name
        if name == "dim":
            return f"{args[0]}.shape[{eqn.params['axis']}]"
        if name == "cast":
            return args[0]
        if name == "neg":
            top = self.defs.get(eqn.args[0]) if isinstance(eqn.args[0], Value) else None
            if top is not None and top.op.name == "floordiv":
                return f"ceil({args[0].removeprefix('-').replace('//', '/')})"
            return f"-({args[0]})" if " " in args[0] else f"-{args[0]}"
        if name == "maximum" and args[1] == "0":
            return args[0]
        if name in _INFIX:
            left, right = (f"({a})" if " " in a else a for a in args)
            return f"{left} {_INFIX[name]} {right}"
        return f"{name}({', '.join(args)})"

    def _number(self, atom: Atom, values: Mapping[Value, Any]) -> float | None:
        if isinstance(atom, Const):
            return atom.value
        if atom in values:
            return values[atom]
        eqn = self.defs.get(atom)
        if eqn is None or eqn.op.evaluate is None:
            return None
        if eqn.op.name == "dim":
            array = values.get(eqn.args[0]) if isinstance(eqn.args[0], Value) else None
            return None if array is None else int(array.shape[eqn.params["axis"]])
        found = [self._number(a, values) for a in eqn.args]
        if any(n is None for n in found):
            return None
        return eqn.op.evaluate(*found, **eqn.params)


def kept(residuals: Residuals) -> Iterator[Kept]:
    """What is saved, then what the user has a name for and is computed again."""
    defs = residuals.b.facts.defs
    for save in dict.fromkeys(residuals.saves.values()):
        yield _saved(residuals, save, defs)
    for value in sorted(residuals.recomputed, key=residuals.rank):
        if value.name and not residuals.recompute.is_index(value):
            loc = defs[value].loc if value in defs else None
            extents = _declared(value)
            reason = "cheap, from what is there or saved"
            yield Kept(
                value.name, loc, "recomputed", value.type.dtype, extents, reason, defs
            )


def _saved(residuals: Residuals, save: Save, defs: Mapping[Value, Eqn]) -> Kept:
    value = save.value if save.next is None or save.value.name else save.next
    eqn = defs.get(value)
    loc = eqn.loc if eqn is not None else save.home.owner.loc
    how = {"slot": "variable"}.get(save.kind, save.kind)
    sizes = tuple(save.sizes) if save.kind == "array" else _declared(value)
    reason = _reason(residuals, save, eqn)
    return Kept(value.name, loc, how, value.type.dtype, sizes, reason, defs)


def _declared(value: Value) -> tuple[Atom, ...]:
    """The extents that the type knows."""
    return tuple(
        Value(INDEX) if d is None else Const(d, INDEX) for d in dims(value.type)
    )


def _reason(residuals: Residuals, save: Save, eqn: Eqn | None) -> str:
    if save.next is not None:
        return "a carry of the loop, before and after each iteration"
    if eqn is None:
        return "a carry of the loop"
    name = eqn.op.name
    if eqn.regions:
        return "the result of a branch" if name == "if_" else "the result of a loop"
    if name == "index":
        return "read from an array that is written later"
    if residuals.recompute.is_cheap(eqn):
        return "one of a smallest set that gives the others"
    if isinstance(save.value.type, ArrayType):
        return f"an array computed by {name}"
    return f"{name} costs more to compute than to load"
