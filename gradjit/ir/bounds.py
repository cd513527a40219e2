"""What is known of integers: affine forms, and bounds from loops and extents.

An integer value is seen as `constant + sum(coefficient * value)` over values that are
not sums themselves. A claim `a >= 0` is proven by replacing loop indices by their
bounds until only extents, which are never negative, are left. Incomplete, never wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gradjit.ir.graph import Atom, Block, Const, Eqn, Value

# Most steps that one proof may take.
WORK = 500


@dataclass(frozen=True, slots=True)
class Affine:
    """constant + sum of coefficient * value."""

    constant: int
    terms: Mapping[Value, int]

    def __add__(self, other: Affine) -> Affine:
        terms = dict(self.terms)
        for v, c in other.terms.items():
            terms[v] = terms.get(v, 0) + c
        return Affine(
            self.constant + other.constant, {v: c for v, c in terms.items() if c}
        )

    def scale(self, k: int) -> Affine:
        if k == 0:
            return Affine(0, {})
        return Affine(self.constant * k, {v: c * k for v, c in self.terms.items()})

    def __sub__(self, other: Affine) -> Affine:
        return self + other.scale(-1)

    def shift(self, k: int) -> Affine:
        return Affine(self.constant + k, self.terms)

    def same(self, other: Affine) -> bool:
        return self.constant == other.constant and dict(self.terms) == dict(other.terms)


@dataclass(slots=True)
class Facts:
    """Definitions and bounds of integer values.

    `defs` maps a value to its equation, `lower` and `upper` a loop index to inclusive
    bounds, `extents` holds values known to be no less than zero, `equal` what a value
    is equal to because a check says so. `_work` is what the proof at hand may still
    spend: the number of ways to put bounds together is exponential.
    """

    defs: dict[Value, Eqn] = field(default_factory=dict[Value, Eqn])
    lower: dict[Value, Affine] = field(default_factory=dict[Value, Affine])
    upper: dict[Value, Affine] = field(default_factory=dict[Value, Affine])
    extents: set[Value] = field(default_factory=set[Value])
    equal: dict[Value, Affine] = field(default_factory=dict[Value, Affine])
    # A sum of sums of sums has a form of two terms and 2**depth ways to it.
    _forms: dict[Value, Affine] = field(default_factory=dict[Value, Affine])
    _work: int = 0

    def believe(self, equal: dict[Value, Affine]) -> None:
        """Go back to the equalities that held elsewhere: forms depend on them."""
        self.equal = equal
        self._forms.clear()

    def equate(self, a: Atom, b: Atom) -> None:
        """Take note that two integers are equal, as a check at run time says."""
        self.vanish(self.affine(a) - self.affine(b))

    def vanish(self, form: Affine) -> None:
        """Take note that a form is zero: its last value is what the others say."""
        form = self._resolved(form)
        for v, c in reversed(list(form.terms.items())):
            if abs(c) == 1:
                rest = {w: k for w, k in form.terms.items() if w is not v}
                self.equal[v] = Affine(form.constant, rest).scale(-c)
                self._forms.clear()
                return

    def _resolved(self, form: Affine) -> Affine:
        """The form with what its values are known to be equal to."""
        out = Affine(form.constant, {})
        for v, c in form.terms.items():
            out += self.affine(v).scale(c)
        return out

    def define(self, eqn: Eqn) -> None:
        """Take note of an equation."""
        for out in eqn.outs:
            self.defs[out] = eqn
            if out in self._forms:
                self._forms.clear()
            if eqn.op.name == "dim":
                self.extents.add(out)

    def enter_for(self, eqn: Eqn, index: Value | None = None) -> None:
        """Take note of the index of a `for_` with a constant step."""
        start, stop, step = eqn.args[:3]
        self.index_range(index or eqn.regions[0].params[0], start, stop, step)

    def index_range(self, index: Value, start: Atom, stop: Atom, step: Atom) -> None:
        """Take note that `index` runs over range(start, stop, step)."""
        if not isinstance(step, Const) or step.value == 0:
            return
        if step.value > 0:
            self.lower[index] = self.affine(start)
            self.upper[index] = self.affine(stop).shift(-1)
        else:
            self.upper[index] = self.affine(start)
            self.lower[index] = self.affine(stop).shift(1)

    def affine(self, atom: Atom) -> Affine:
        """The affine form of an integer atom."""
        if isinstance(atom, Const):
            return Affine(int(atom.value), {})
        form = self._forms.get(atom)
        if form is None:
            form = self._forms[atom] = self._form(atom)
        return form

    def _form(self, atom: Value) -> Affine:
        if atom in self.equal:
            return self._resolved(self.equal[atom])
        eqn = self.defs.get(atom)
        if eqn is None:
            return Affine(0, {atom: 1})
        name = eqn.op.name
        if name == "add":
            return self.affine(eqn.args[0]) + self.affine(eqn.args[1])
        if name == "sub":
            return self.affine(eqn.args[0]) - self.affine(eqn.args[1])
        if name == "neg":
            return self.affine(eqn.args[0]).scale(-1)
        if name == "mul":
            a, b = (self.affine(x) for x in eqn.args)
            if not b.terms:
                return a.scale(b.constant)
            if not a.terms:
                return b.scale(a.constant)
        return Affine(0, {atom: 1})

    def nonnegative(self, form: Affine, fuel: int = 24) -> bool:
        """Whether the form is provably >= 0."""
        self._work = WORK
        return self._nonnegative(form, fuel)

    def _nonnegative(self, form: Affine, fuel: int) -> bool:
        if self._work <= 0:
            return False
        self._work -= 1
        for v, c in form.terms.items():
            bound = self.lower.get(v) if c > 0 else self.upper.get(v)
            if bound is None:
                continue
            if fuel == 0:
                return False
            rest = Affine(
                form.constant, {w: k for w, k in form.terms.items() if w is not v}
            )
            if self._nonnegative(rest + bound.scale(c), fuel - 1):
                return True
        if form.constant < 0:
            return self._by_definition(form, fuel)
        if all(c > 0 and v in self.extents for v, c in form.terms.items()):
            return True
        return self._by_definition(form, fuel)

    def _by_definition(self, form: Affine, fuel: int) -> bool:
        """Use max(a, b) >= a, min(a, b) <= a and x // k >= 0, 0 <= x % k < k."""
        if fuel == 0:
            return False
        for v, c in form.terms.items():
            eqn = self.defs.get(v)
            if eqn is None:
                continue
            rest = Affine(
                form.constant, {w: k for w, k in form.terms.items() if w is not v}
            )
            name = eqn.op.name
            tries: list[Affine] = []
            if (name == "maximum" and c > 0) or (name == "minimum" and c < 0):
                tries = [self.affine(a) for a in eqn.args]
            elif name in ("floordiv", "mod"):
                tries = self._division(eqn, c, min(fuel - 1, 8))
            if any(self._nonnegative(rest + t.scale(c), fuel - 1) for t in tries):
                return True
            # Both sides of a choice, where the choice is against us.
            if (name == "minimum" and c > 0) or (name == "maximum" and c < 0):
                both = [self.affine(a) for a in eqn.args]
                if all(self._nonnegative(rest + t.scale(c), fuel - 1) for t in both):
                    return True
        return False

    def _division(self, eqn: Eqn, sign: int, fuel: int) -> list[Affine]:
        """Bounds of x // k and x % k by a positive k."""
        x, k = (self.affine(a) for a in eqn.args)
        if eqn.op.name == "mod":
            if not self._nonnegative(k.shift(-1), fuel):
                return []
            return [Affine(0, {})] if sign > 0 else [k.shift(-1)]
        if k.terms or k.constant <= 0 or not self._nonnegative(x, fuel):
            return []
        return [Affine(0, {})] if sign > 0 else [x]

    def inside(self, index: Atom, extent: Atom) -> bool:
        """Whether 0 <= index < extent, provably."""
        i, n = self.affine(index), self.affine(extent)
        return self.nonnegative(i) and self.nonnegative((n - i).shift(-1))


def gather_facts(block: Block, facts: Facts | None = None) -> Facts:
    """Facts of all equations of a block, its regions included."""
    facts = facts or Facts()
    for eqn in block.eqns:
        facts.define(eqn)
        if eqn.op.name == "for_":
            facts.enter_for(eqn)
        for region in eqn.regions:
            gather_facts(region, facts)
    return facts
