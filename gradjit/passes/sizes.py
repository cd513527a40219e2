"""How large the arrays of saved values are, known before the outermost loop."""

from __future__ import annotations

from collections.abc import Sequence

from gradjit.ir.bounds import Affine
from gradjit.ir.build import index
from gradjit.ir.graph import Atom, Const, Eqn, Value
from gradjit.ir.types import ArrayType
from gradjit.passes.recompute import Recompute, trip_count
from gradjit.passes.saved import Region


class Sizes:
    """Computes trip counts and extents before the outermost loop.

    Args:
        recompute: Finds what can be computed there, and computes it.
    """

    def __init__(self, recompute: Recompute) -> None:
        self.b = recompute.b
        self.home = recompute.home
        self.recompute = recompute

    def of(self, value: Value, loops: Sequence[Region]) -> list[Atom] | None:
        """Extents of an array for the value, computed before the outermost loop."""
        sizes: list[Atom] = []
        for region in loops:
            eqn = region.owner
            if eqn.op.name != "for_" or eqn.params.get("exits"):
                return None
            size = self._trips_on_entry(eqn)
            if size is None:
                return None
            sizes.append(size)
        if isinstance(value.type, ArrayType):
            for extent in self.b.extents(value):
                if not self.recompute.available(extent, top=True):
                    return None
                sizes.append(self.recompute.again(extent, {}, top=True))
        return sizes

    def _trips_on_entry(self, eqn: Eqn) -> Atom | None:
        """The trip count of a loop, or a bound, known before the outermost loop."""
        start, stop, step = span = eqn.args[:3]
        if all(self.recompute.available(a, top=True) for a in span):
            return trip_count(
                self.b, *(self.recompute.again(a, {}, top=True) for a in span)
            )
        if not isinstance(step, Const) or abs(int(step.value)) != 1:
            return None
        facts = self.b.facts
        form = facts.affine(stop) - facts.affine(start)
        bound = self._outside(form.scale(int(step.value)), 16)
        if bound is None:
            return None
        return self.b.emit1("maximum", self._emit_affine(bound), index(0))

    def _outside(self, form: Affine, fuel: int) -> Affine | None:
        """An upper bound of a form in values from before the outermost loop."""
        for v, c in form.terms.items():
            if v not in self.home or self.recompute.available(v, top=True):
                continue
            facts = self.b.facts
            bound = facts.upper.get(v) if c > 0 else facts.lower.get(v)
            if bound is None or fuel == 0:
                return None
            rest = Affine(
                form.constant, {w: k for w, k in form.terms.items() if w is not v}
            )
            return self._outside(rest + bound.scale(c), fuel - 1)
        return form

    def _emit_affine(self, form: Affine) -> Atom:
        out: Atom = index(form.constant)
        for v, c in form.terms.items():
            term = self.b.emit1("mul", self.recompute.again(v, {}, top=True), index(c))
            out = self.b.emit1("add", term, out)
        return out
