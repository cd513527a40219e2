"""Places in arrays, and whether those of different iterations are apart.

A place is what a subscript is about: on each axis a range between two affine forms. Of
two places in different parts of a program's run, the one that is seen from the other
has other indices: those of a loop that went on are further on, those of loops inside
run over their ranges again, and what else was computed there may be anything.
"""

from __future__ import annotations

from collections.abc import Mapping

from gradjit.ir.bounds import Affine, Facts
from gradjit.ir.graph import Const, Eqn, Value
from gradjit.ir.types import INDEX, INT64
from gradjit.passes.saved import Region
from gradjit.passes.subscript import replaced

Span = tuple[
    Affine, Affine
]  # the first element on an axis, and the one behind the last
Place = tuple[Span | None, ...]  # None stands for what is not known, or a whole axis


def place_of(eqn: Eqn, facts: Facts) -> Place | None:
    """What an `index` or a write is about; None if an index array says it."""
    out: list[Span | None] = []
    args = list(eqn.args[1 if eqn.op.name == "index" else 2 :])
    for char in eqn.params["spec"]:
        if char == "i":
            at = facts.affine(args.pop(0))
            out.append((at, at.shift(1)))
        elif char == "s":
            start, size, step = (args.pop(0) for _ in range(3))
            by_one = isinstance(step, Const) and step.value == 1
            low, wide = facts.affine(start), facts.affine(size)
            out.append((low, low + wide) if by_one else None)
        elif char == ":":
            out.append(None)
        elif char != "n":
            return None
    return tuple(out)


class Elsewhere:
    """What indices are in a part of the run that comes later.

    Args:
        home: The region of each value that is inside of one.
        facts: What is known of integers; learns of the indices there.
        region: A region that both parts are in.
        later: Whether the other part is in a later iteration of the region's loop; else
            it is in the same, and comes later there.
    """

    def __init__(
        self, home: Mapping[Value, Region], facts: Facts, region: Region, later: bool
    ) -> None:
        self.home = home
        self.facts = facts
        self.region = region
        self.same = {*region.outer()} if later else {*region.outer(), region}
        self.others: dict[Value, Affine] = {}

    def apart(self, here: Place, there: Place) -> bool:
        """Whether two places of an array surely have no element in common."""
        return any(map(self._apart, here, there))

    def _apart(self, here: Span | None, there: Span | None) -> bool:
        if here is None or there is None or not _exact(*here, *there):
            return False
        low, high = (self._seen(form) for form in there)
        nonnegative = self.facts.nonnegative
        above = nonnegative(low - here[1]) or nonnegative(here[0] - high)
        return above and nonnegative(here[0]) and nonnegative(low)

    def _seen(self, form: Affine) -> Affine:
        for value in form.terms:
            if value not in self.others and self.home.get(value) not in self.same:
                self.others[value] = self._other(value)
        return replaced(form, self.others)

    def _other(self, value: Value) -> Affine:
        """What a value of an iteration is in another one: something else."""
        other = Value(INDEX, value.name)
        owner = self.home[value].owner
        is_index = owner.op.name == "for_" and value is owner.regions[0].params[0]
        if is_index and isinstance(owner.args[2], Const):
            self._bound(other, value, owner)
        return Affine(0, {other: 1})

    def _bound(self, other: Value, value: Value, owner: Eqn) -> None:
        """The range of an index: that of its loop, or the part that is still ahead."""
        facts = self.facts
        start, stop, step = owner.args[:3]
        assert isinstance(step, Const)
        first, end = (self._seen(facts.affine(a)) for a in (start, stop))
        if self.home[value] is self.region:
            first = Affine(int(step.value), {value: 1})
        if step.value > 0:
            facts.lower[other], facts.upper[other] = first, end.shift(-1)
        elif step.value < 0:
            facts.upper[other], facts.lower[other] = first, end.shift(1)


def _exact(*forms: Affine) -> bool:
    """Whether integers do not wrap around."""
    return all(v.type.dtype == INT64 for form in forms for v in form.terms)
