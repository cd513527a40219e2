"""Which values are still found in an array that the forward code leaves behind.

A value that was loaded from an array, or stored into one, need not be saved where no
later write comes to its place: the backward code loads it from the last version of the
array. So the triangle that a Cholesky factorisation fills, a table of a dynamic
programme and a trajectory `x[t + 1] = f(x[t])` take no further memory.

Later writes are those behind it in its own iteration, and all those of later iterations
of each loop around it. For these, the indices of loops that go on are others (`j2 >= j
+ 1`), those of loops inside run over their ranges again, and what else is computed in
the loop may be anything. A write is elsewhere if on some axis it is surely above or
below. This is the to-be-recorded analysis of Hascoët, Naumann and Pascual, "To be
recorded analysis in reverse-mode automatic differentiation" (2005), with regions of
arrays in place of variables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gradjit.ir.bounds import Affine, Facts
from gradjit.ir.graph import Atom, Block, Const, Eqn, Value
from gradjit.ir.op import lookup
from gradjit.ir.types import INDEX, INT64
from gradjit.passes.saved import Region
from gradjit.passes.subscript import WRITES, replaced

# Most comparisons of places for one program.
_WORK = 2000

Span = tuple[
    Affine, Affine
]  # the first element on an axis, and the one behind the last
Place = tuple[Span | None, ...]  # None stands for what is not known, or a whole axis


@dataclass(frozen=True, slots=True)
class _Step:
    """An equation that writes to an array, or has regions that do.

    Attributes:
        eqn: The equation.
        after: The version of the array that it makes.
    """

    eqn: Eqn
    after: Value


@dataclass(frozen=True, slots=True)
class _Chain:
    """The versions of an array in a region.

    Attributes:
        start: The version that the region starts with.
        steps: What makes the others; the last is a result of the region.
    """

    start: Value
    steps: tuple[_Step, ...]

    def behind(self, version: Value) -> tuple[_Step, ...] | None:
        """The steps that come after a version, or None if that is not in the chain."""
        versions = [self.start, *(s.after for s in self.steps)]
        return self.steps[versions.index(version) :] if version in versions else None


class Remains:
    """The values that the last versions of arrays still hold.

    Args:
        home: The region of each value that is inside of one.
        regions: The records of regions by their blocks.
        facts: What is known of integers, definitions inside of regions included.
    """

    def __init__(
        self,
        home: Mapping[Value, Region],
        regions: Mapping[Block, Region],
        facts: Facts,
    ) -> None:
        self.home = home
        self.regions = regions
        self.facts = facts
        self.work = _WORK
        self.memo: dict[Value, Eqn | None] = {}
        self.chains: dict[tuple[Block, int], _Chain | None] = {}
        self.stores: dict[Value, list[Eqn]] = {}
        for block in regions:
            for eqn in block.eqns:
                if eqn.op.name == "store" and set(eqn.params["spec"]) == {"i"}:
                    stored = eqn.args[1]
                    if isinstance(stored, Value):
                        self.stores.setdefault(stored, []).append(eqn)

    def load(self, value: Value) -> Eqn | None:
        """The equation that loads a value from what is left behind, or None."""
        if value not in self.memo:
            self.memo[value] = next(self._loads(value), None)
        return self.memo[value]

    def _loads(self, value: Value) -> Iterator[Eqn]:
        made = self.facts.defs.get(value)
        if made is not None and made.op.name == "index":
            last = self._last(made.args[0], self._place(made, 1))
            if last is not None:
                yield made.with_(args=(last, *made.args[1:]))
        for store in self.stores.get(value, ()):
            # One in a branch is not done wherever there is the value.
            if self.home.get(store.out) is not self.home.get(value):
                continue
            if store.out.type.dtype != value.type.dtype:
                continue
            last = self._last(store.out, self._place(store, 2))
            if last is not None:
                params = {"spec": store.params["spec"], "dims": (), "checked": False}
                args = (last, *store.args[2:])
                yield Eqn(lookup("index"), args, (value,), params, (), store.loc)

    def _last(self, version: Atom, place: Place | None) -> Value | None:
        """The version of an array that is left behind, if it is the same at a place."""
        if place is None or not isinstance(version, Value) or version not in self.home:
            return None
        while version in self.home:
            region = self.home[version]
            k = self._result(version, region)
            if k is None or not self._stays(place, version, region, k):
                return None
            version = region.owner.outs[k]
        return version

    # ----------------------------------------------------------------- versions

    def _result(self, version: Value, region: Region) -> int | None:
        """The number of the result of a region that a version becomes."""
        for k in range(len(region.owner.outs)):
            chain = self._chain(region, k)
            if chain is not None and chain.behind(version) is not None:
                return k
        return None

    def _chain(self, region: Region, k: int) -> _Chain | None:
        """The versions of result `k` of a region, if it is an updated array."""
        key = region.block, k
        if key not in self.chains:
            self.chains[key] = None  # a chain does not go through itself
            self.chains[key] = self._traced(region, k)
        return self.chains[key]

    def _traced(self, region: Region, k: int) -> _Chain | None:
        block, owner = region.block, region.owner
        if len(block.results) != len(owner.outs):
            return None  # the condition of a loop
        start = block.params[len(block.params) - len(block.results) + k :][:1]
        version = block.results[k]
        steps: list[_Step] = []
        while isinstance(version, Value):
            outside = self.home.get(version) is not region
            if (version,) == start or (not region.is_loop and outside):
                return _Chain(version, tuple(reversed(steps)))
            made = None if outside else self.facts.defs.get(version)
            if made is None:
                return None
            steps.append(_Step(made, version))
            version = self._before(made, version)
        return None

    def _before(self, made: Eqn, version: Value) -> Atom | None:
        """The version that an equation makes another one of."""
        if made.op.name in WRITES or made.op.name == "copy":
            return made.args[0]
        if not made.regions:
            return None
        k = made.outs.index(version)
        chains = [self._chain(self.regions[r], k) for r in _bodies(made)]
        if any(c is None for c in chains):
            return None
        if made.op.name == "if_":
            starts = {c.start for c in chains if c is not None}
            return starts.pop() if len(starts) == 1 else None
        return made.args[len(made.args) - len(made.outs) + k]

    def _writes(self, steps: tuple[_Step, ...]) -> Iterator[Eqn]:
        """All writes in some steps of a chain."""
        for step in steps:
            if step.eqn.op.name in WRITES:
                yield step.eqn
            elif step.eqn.regions:
                k = step.eqn.outs.index(step.after)
                for block in _bodies(step.eqn):
                    chain = self._chain(self.regions[block], k)
                    assert chain is not None
                    yield from self._writes(chain.steps)

    # ------------------------------------------------------------------- places

    def _place(self, eqn: Eqn, first: int) -> Place | None:
        """What a load or a write is about; None if an index array says it."""
        out: list[Span | None] = []
        args = list(eqn.args[first:])
        for char in eqn.params["spec"]:
            if char == "i":
                at = self.facts.affine(args.pop(0))
                out.append((at, at.shift(1)))
            elif char == "s":
                start, size, step = (args.pop(0) for _ in range(3))
                by_one = isinstance(step, Const) and step.value == 1
                low, wide = self.facts.affine(start), self.facts.affine(size)
                out.append((low, low + wide) if by_one else None)
            elif char == ":":
                out.append(None)
            elif char != "n":
                return None
        return tuple(out)

    def _stays(self, place: Place, version: Value, region: Region, k: int) -> bool:
        """Whether the rest of a region, and later iterations, write elsewhere."""
        chain = self._chain(region, k)
        assert chain is not None
        behind = chain.behind(version)
        assert behind is not None
        cases = [(False, behind)]
        if region.is_loop:
            cases.append((True, chain.steps))
        for later, steps in cases:
            for write in self._writes(steps):
                self.work -= 1
                there = self._place(write, 2)
                if there is None or self.work < 0:
                    return False
                seen = _Elsewhere(self.home, self.facts, region, later)
                if not any(map(seen.apart, place, there)):
                    return False
        return True


def _bodies(eqn: Eqn) -> tuple[Block, ...]:
    return eqn.regions if eqn.op.name == "if_" else eqn.regions[-1:]


class _Elsewhere:
    """What indices are in another part of the program's run.

    Attributes:
        region: The region in which a load was, and in which a write comes later.
        later: Whether that is in a later iteration of the region's loop.
        others: The indices there, for those that the write is given in.
    """

    def __init__(
        self, home: Mapping[Value, Region], facts: Facts, region: Region, later: bool
    ) -> None:
        self.home = home
        self.facts = facts
        self.region = region
        self.later = later
        self.same = {*region.outer()} if later else {*region.outer(), region}
        self.others: dict[Value, Affine] = {}

    def apart(self, here: Span | None, there: Span | None) -> bool:
        """Whether two ranges on an axis surely have no element in common."""
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
