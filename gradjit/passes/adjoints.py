"""The cotangents of a backward walk, and what is added to them."""

from __future__ import annotations

from typing import Any

from gradjit.ir.graph import Atom, Const, Value
from gradjit.ir.op import Update
from gradjit.ir.types import ArrayType, ScalarType
from gradjit.ops import array
from gradjit.ops.sym import Sym, elementwise, lift
from gradjit.passes.cotangent import stretch, unbroadcast
from gradjit.passes.joined import Joined


class Adjoints:
    """The cotangents so far.

    Attributes:
        b: Of the backward code.
        live: The values whose cotangents are of use.
        ct: The cotangents.
        owned: Those that are accumulators, and updated in place.
    """

    b: Joined
    live: set[Value]

    def __init__(self) -> None:
        self.ct: dict[Value, Atom] = {}
        self.owned: set[Atom] = set()

    def wants(self, atom: Atom) -> bool:
        """Whether a cotangent of the atom is of use."""
        return isinstance(atom, Value) and atom in self.live

    def accumulate(self, atom: Atom, contribution: Any) -> None:
        """Add to the cotangent of an atom."""
        if not isinstance(atom, Value) or atom not in self.live:
            return
        if isinstance(contribution, Update):
            self.ct[atom] = self.update(atom, contribution)
        else:
            fitted = self.fit(contribution, atom)
            before = self.ct.get(atom)
            self.ct[atom] = fitted if before is None else self.plus(before, fitted)
        self.hint(atom)

    def hint(self, atom: Value) -> None:
        """Name a cotangent after its primal."""
        grad = self.ct[atom]
        if atom.name and isinstance(grad, Value) and not grad.name:
            object.__setattr__(grad, "name", f"d_{atom.name}")

    def update(self, atom: Value, change: Update) -> Atom:
        base = self.ct.get(atom)
        if base is None:
            base = lift(array.zeros_like(atom))
        value = lift(self.cast(change.value, atom.type.dtype))
        ints = [lift(x) for x in change.index]
        out = self.b.emit1(change.op, base, value, *ints, **change.params)
        self.owned.add(out)
        return out

    def plus(self, before: Atom, more: Atom) -> Atom:
        """before + more; in place where `before` is an accumulator."""
        type_ = before.type
        if isinstance(type_, ArrayType) and before in self.owned:
            spec = ":" * type_.rank
            out = self.b.emit1("add_at", before, more, spec=spec, checked=False)
            self.owned.add(out)
            return out
        return lift(elementwise("add", Sym(before), Sym(more)))

    def fit(self, contribution: Any, atom: Value) -> Atom:
        """A contribution at the dtype and the extents of its primal."""
        g = unbroadcast(contribution, atom)
        return lift(stretch(self.cast(g, atom.type.dtype), atom))

    def cast(self, g: Any, dtype: Any) -> Any:
        atom = lift(g)
        if atom.type.dtype == dtype:
            return Sym(atom)
        if isinstance(atom, Const):
            return Sym(Const(float(atom.value), ScalarType(dtype)))
        return Sym(self.b.emit1("cast", atom, dtype=dtype, weak=False))

    def zeros(self, value: Value) -> Atom:
        out = lift(array.zeros_like(value))
        self.owned.add(out)
        return out
