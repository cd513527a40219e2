"""Whether places in an array that loops read and write can meet.

An index is a tuple of integer atoms in terms of loop variables. Incomplete, never
wrong: a claim is made only where affine forms prove it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gradjit.ir.bounds import Facts
from gradjit.ir.graph import Atom, Value

Index = Sequence[Atom]


def may_share(
    facts: Facts,
    read: Index,
    write: Index,
    axes: Sequence[Value],
    varying: Collection[Value] = (),
) -> bool:
    """Whether no iteration reads what another one writes.

    Args:
        facts: What is known of the atoms.
        read: Where each iteration reads.
        write: Where it writes.
        axes: The loop variables.
        varying: Further values that change from iteration to iteration.
    """
    moving = {*axes, *varying}
    if same_index(facts, read, write):
        return is_injective(facts, write, axes, moving)
    return are_apart(facts, read, write, moving)


def same_index(facts: Facts, a: Index, b: Index) -> bool:
    """Whether two indices are the same element at each iteration."""
    return len(a) == len(b) and all(
        facts.affine(x).same(facts.affine(y)) for x, y in zip(a, b, strict=True)
    )


def is_injective(
    facts: Facts, at: Index, axes: Sequence[Value], moving: Collection[Value]
) -> bool:
    """Whether different iterations surely touch different elements.

    So it is if each loop variable stands alone in some axis.
    """
    alone: set[Value] = set()
    for atom in at:
        terms = [v for v in facts.affine(atom).terms if _moves(facts, v, moving)]
        if len(terms) == 1:
            alone.add(terms[0])
    return alone.issuperset(axes)


def are_apart(facts: Facts, a: Index, b: Index, moving: Collection[Value]) -> bool:
    """Whether two indices never meet: in some axis, two different fixed places."""
    for x, y in zip(a, b, strict=True):
        p, q = facts.affine(x), facts.affine(y)
        gap = p - q
        if gap.terms or gap.constant == 0:
            continue
        if any(_moves(facts, v, moving) for v in (*p.terms, *q.terms)):
            continue
        if facts.nonnegative(p) and facts.nonnegative(q):
            return True
    return False


def _moves(facts: Facts, value: Value, moving: Collection[Value]) -> bool:
    """Whether a value may change from iteration to iteration."""
    seen: set[Value] = set()
    stack = [value]
    while stack:
        v = stack.pop()
        if v in moving:
            return True
        eqn = facts.defs.get(v)
        if eqn is not None and v not in seen:
            seen.add(v)
            stack.extend(a for a in eqn.args if isinstance(a, Value))
    return False
