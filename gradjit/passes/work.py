"""How long a loop takes, roughly: whether it is worth several threads.

A unit is the time of an addition in a loop that vectorises, about 0.04 ns on the
machine where it was measured; code that does not vectorise takes some eight times that.
What is not known on entry is guessed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gradjit.ir.bounds import Affine, Facts
from gradjit.ir.build import Builder, index
from gradjit.ir.graph import Atom, Block, Const, Eqn, Value, defined
from gradjit.ir.types import TRUTH

# A loop is divided from this much work on, 12 us: starting the threads takes 3 to 5.
WORTH = 300_000
_SCALAR = 8
_FUNCTION = 25
_GUESS = 8


@dataclass(frozen=True, slots=True)
class Work:
    """A sum of products: factor * extent * extent..."""

    terms: tuple[tuple[int, tuple[Atom, ...]], ...]

    def __add__(self, other: Work) -> Work:
        return Work((*self.terms, *other.terms))

    def times(self, extents: tuple[Atom, ...], factor: int = 1) -> Work:
        return Work(tuple((k * factor, (*e, *extents)) for k, e in self.terms))

    def rows(self) -> dict[tuple[Value, ...], int]:
        """The terms of the highest degree, which decide, with their factors."""
        rows: dict[tuple[Value, ...], int] = {}
        for factor, extents in self.terms:
            known = [int(e.value) for e in extents if isinstance(e, Const)]
            for k in known:
                factor *= max(k, 1)
            key = tuple(e for e in extents if isinstance(e, Value))
            rows[key] = rows.get(key, 0) + factor
        degree = max(map(len, rows), default=0)
        return {key: factor for key, factor in rows.items() if len(key) == degree}

    def emit(self, b: Builder, constant: int = 0) -> Atom:
        """Code for it, with a constant added."""
        total: Atom = index(constant)
        for key, factor in self.rows().items():
            term: Atom = index(factor)
            for extent in reversed(key):
                term = b.emit1("mul", extent, term)
            total = b.emit1("add", term, total) if _is_not_zero(total) else term
        return total


class Estimate:
    """The work of blocks, in numbers that are known outside of a loop."""

    def __init__(self, facts: Facts, inside: Collection[Value]) -> None:
        self.facts = facts
        self.inside = inside

    def block(self, block: Block, unit: int = _SCALAR) -> Work:
        total = Work(())
        for eqn in block.eqns:
            total += self.eqn(eqn, unit)
        return total

    def eqn(self, eqn: Eqn, unit: int) -> Work:
        name = eqn.op.name
        if name == "map_":
            extents = eqn.args[: eqn.params["ndim"]]
            inner = self.block(eqn.regions[0], 1) + _one(len(eqn.outs))
            return self.scaled(inner, extents)
        if name == "for_":
            return self.scaled(self.block(eqn.regions[0], unit), (self.trips(eqn),))
        if name == "while_":
            return self.block(eqn.regions[1], unit).times((), _GUESS)
        if name == "if_":
            return self.block(eqn.regions[0], unit) + self.block(eqn.regions[1], unit)
        if name == "dim":
            return Work(())
        if name in ("contract", "copy", "full"):
            return _one(unit * _GUESS * _GUESS)
        call = "(" in eqn.op.text and eqn.op.kind == "elementwise"
        return _one(unit * (_FUNCTION if call else 1))

    def scaled(self, work: Work, extents: tuple[Atom | None, ...]) -> Work:
        """Work that is done for each index; extents that are not known are guessed."""
        outer = [
            e if e is not None and (isinstance(e, Const) or e not in self.inside) else 0
            for e in extents
        ]
        known = tuple(e for e in outer if not isinstance(e, int))
        return work.times(known, _GUESS ** outer.count(0))

    def trips(self, eqn: Eqn) -> Atom | None:
        """The stop of a loop that starts at 0, or a bound that is known outside."""
        start, stop, step = eqn.args[:3]
        if not isinstance(step, Const) or not step.value:
            return None
        span = self.facts.affine(stop) - self.facts.affine(start)
        span = span.scale(1 if step.value > 0 else -1)
        return self._single(self._outside(span))

    def _outside(self, form: Affine) -> Affine:
        """The largest that a form is, over outer loops."""
        for v, c in form.terms.items():
            bound = self.facts.upper.get(v) if c > 0 else self.facts.lower.get(v)
            if v in self.inside and bound is not None:
                rest = {w: k for w, k in form.terms.items() if w is not v}
                return self._outside(Affine(form.constant, rest) + bound.scale(c))
        return form

    def _single(self, form: Affine) -> Atom | None:
        """A form of one value, near enough."""
        if not form.terms:
            return index(form.constant)
        positive = [v for v, c in form.terms.items() if c > 0]
        return positive[0] if len(positive) == 1 else None


def worth(b: Builder, work: Work, extra: Work) -> Atom:
    """Whether there is enough work to start threads, and to sum up their parts.

    Where that is known now, whether there are threads at all.
    """
    rows = work.rows()
    single = len(rows) == 1 and all(len(key) == 1 for key in rows)
    if single and not any(extra.rows()):
        (((extent,), factor),) = rows.items()
        limit = WORTH + sum(extra.rows().values())
        return b.emit1("ge", extent, index(-(-limit // max(factor, 1))))
    if not any(rows) and not any(extra.rows()):
        enough = sum(rows.values()) >= WORTH
        none = Const(False, TRUTH)
        return b.emit1("gt", b.emit1("threads"), index(1)) if enough else none
    return b.emit1("ge", work.emit(b), extra.emit(b, WORTH))


def _is_not_zero(atom: Atom) -> bool:
    return not (isinstance(atom, Const) and not atom.value)


def _one(factor: int) -> Work:
    return Work(((factor, ()),))


def work_of(eqn: Eqn, facts: Facts) -> Work:
    """The work of a whole loop: its body's, as often as it runs."""
    inside = {v for r in eqn.regions for v in defined(r)}
    return Estimate(facts, inside).eqn(eqn, _SCALAR)
