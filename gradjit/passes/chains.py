"""The versions of an array that a region goes through, from its start to a result.

A `store` makes another version of an array; so does a loop that carries it, and a
branch that returns it. A chain follows one array through a region, where it is the same
one all the way: `a, b = b, a` has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gradjit.ir.bounds import Facts
from gradjit.ir.graph import Atom, Block, Eqn, Value
from gradjit.passes.saved import Region
from gradjit.passes.subscript import WRITES


@dataclass(frozen=True, slots=True)
class Step:
    """An equation that writes to an array, or has regions that do.

    Attributes:
        eqn: The equation.
        after: The version of the array that it makes.
    """

    eqn: Eqn
    after: Value


@dataclass(frozen=True, slots=True)
class Chain:
    """The versions of an array in a region.

    Attributes:
        start: The version that the region starts with.
        steps: What makes the others; the last is a result of the region.
    """

    start: Value
    steps: tuple[Step, ...]

    def versions(self) -> list[Value]:
        return [self.start, *(step.after for step in self.steps)]

    def behind(self, version: Value) -> tuple[Step, ...] | None:
        """The steps that come after a version, or None if that is not in the chain."""
        versions = self.versions()
        return self.steps[versions.index(version) :] if version in versions else None


class Chains:
    """The chains of a graph.

    Args:
        home: The region of each value that is inside of one.
        regions: The records of regions by their blocks.
        facts: Knows the definitions of values, those inside of regions too.
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
        self.memo: dict[tuple[Block, int], Chain | None] = {}

    def find(self, version: Value, region: Region) -> tuple[int, Chain] | None:
        """The result of a region that a version becomes, and the chain of that."""
        for k in range(len(region.owner.outs)):
            chain = self.of(region, k)
            if chain is not None and chain.behind(version) is not None:
                return k, chain
        return None

    def of(self, region: Region, k: int) -> Chain | None:
        """The versions of result `k` of a region, if it is an updated array."""
        key = region.block, k
        if key not in self.memo:
            self.memo[key] = None  # a chain does not go through itself
            self.memo[key] = self._traced(region, k)
        return self.memo[key]

    def inner(self, step: Step) -> Iterator[Chain]:
        """The chains in the regions of a step."""
        if step.eqn.regions:
            k = step.eqn.outs.index(step.after)
            for block in bodies(step.eqn):
                chain = self.of(self.regions[block], k)
                assert chain is not None
                yield chain

    def writes(self, steps: tuple[Step, ...]) -> Iterator[Eqn]:
        """All writes in some steps of a chain."""
        for step in steps:
            if step.eqn.op.name in WRITES:
                yield step.eqn
            for chain in self.inner(step):
                yield from self.writes(chain.steps)

    def _traced(self, region: Region, k: int) -> Chain | None:
        block = region.block
        if block not in bodies(region.owner):
            return None  # the condition of a loop
        start = None
        if region.is_loop:
            start = block.params[len(block.params) - len(block.results) + k]
        version = block.results[k]
        steps: list[Step] = []
        while isinstance(version, Value):
            outside = self.home.get(version) is not region
            if version is start or (start is None and outside):
                return Chain(version, tuple(reversed(steps)))
            made = None if outside else self.facts.defs.get(version)
            if made is None:
                return None
            steps.append(Step(made, version))
            version = self._before(made, version)
        return None

    def _before(self, made: Eqn, version: Value) -> Atom | None:
        """The version that an equation makes another one of."""
        if made.op.name in WRITES or made.op.name == "copy":
            return made.args[0]
        if not made.regions:
            return None
        k = made.outs.index(version)
        chains = [self.of(self.regions[r], k) for r in bodies(made)]
        if any(c is None for c in chains):
            return None
        if made.op.name == "if_":
            starts = {c.start for c in chains if c is not None}
            return starts.pop() if len(starts) == 1 else None
        return made.args[len(made.args) - len(made.outs) + k]


def bodies(eqn: Eqn) -> tuple[Block, ...]:
    """The regions of an equation but for the condition of a loop."""
    return eqn.regions if eqn.op.name == "if_" else eqn.regions[-1:]
