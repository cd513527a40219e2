"""Single elements that a program reads and writes, in affine form.

A subscript is one affine form for each axis. Two subscripts are the same element where
their forms are equal, and different ones where some axis is provably unequal and counts
from the front in both. Incomplete, never wrong.
"""

from __future__ import annotations

from collections.abc import Mapping

from gradjit.ir.bounds import Affine, Facts
from gradjit.ir.build import Builder, index
from gradjit.ir.graph import Atom, Const, Eqn, Value, walk
from gradjit.ir.types import INT64

Subscript = tuple[Affine, ...]

WRITES = frozenset({"store", "add_at"})
_LOOPS = frozenset({"for_", "while_", "map_"})
_FIRST = {"index": 1, "store": 2, "add_at": 2}


def is_simple_loop(eqn: Eqn) -> bool:
    """Whether a loop is counted by a constant, innermost, and has no effects.

    Loops that threads may share are not simple: their iterations know no order.
    """
    if eqn.op.name != "for_" or eqn.params.get("exits") or eqn.params.get("parallel"):
        return False
    step = eqn.args[2]
    if not isinstance(step, Const) or step.value == 0:
        return False
    if any(a.type.dtype != INT64 for a in eqn.args[:3]):
        return False
    return all(e.op.pure and e.op.name not in _LOOPS for e in walk(eqn.regions[0]))


def subscript(eqn: Eqn, facts: Facts) -> Subscript | None:
    """The element that a load, a store or an addition is about, or None.

    None too for an equation that may raise, and for integers that may wrap around.
    """
    first = _FIRST.get(eqn.op.name)
    if first is None or set(eqn.params["spec"]) != {"i"} or eqn.params["checked"]:
        return None
    forms = tuple(facts.affine(a) for a in eqn.args[first:])
    exact = all(v.type.dtype == INT64 for form in forms for v in form.terms)
    return forms if exact else None


def moved(at: Subscript, variable: Value, step: int) -> Subscript:
    """The subscript for `variable + step`, in terms of `variable`."""
    return tuple(f.shift(step * f.terms.get(variable, 0)) for f in at)


def same(a: Subscript, b: Subscript) -> bool:
    """Whether two subscripts are surely the same element."""
    return all(p.same(q) for p, q in zip(a, b, strict=True))


def apart(
    facts: Facts, a: Subscript, b: Subscript, later: Subscript | None = None
) -> bool:
    """Whether two subscripts are surely different elements.

    Args:
        facts: What is known of integers.
        a: A subscript.
        b: Another one, for the same array.
        later: What `b` is in terms of an iteration before, if that is when `a` is.
    """
    for p, q, r in zip(a, b, later or b, strict=True):
        differ = any(facts.nonnegative(gap.shift(-1)) for gap in (p - r, r - p))
        if differ and facts.nonnegative(p) and facts.nonnegative(q):
            return True
    return False


def replaced(form: Affine, mapping: Mapping[Value, Affine]) -> Affine:
    """The form with values replaced."""
    out = Affine(form.constant, {})
    for v, c in form.terms.items():
        out += mapping.get(v, Affine(0, {v: 1})).scale(c)
    return out


def emit_affine(b: Builder, form: Affine) -> Atom:
    """Code for an affine form."""
    out: Atom | None = None
    for v, c in form.terms.items():
        term = b.emit1("mul", v, index(c))
        out = term if out is None else b.emit1("add", out, term)
    if out is None:
        return index(form.constant)
    return b.emit1("add", out, index(form.constant))
