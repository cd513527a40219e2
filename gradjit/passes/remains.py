"""Which values are still found in an array that the forward code leaves behind.

A value that was loaded from an array, or stored into one, need not be saved where no
later write comes to its place: the backward code loads it from the last version of the
array. So the triangle that a Cholesky factorisation fills, a table of a dynamic
programme and a trajectory `x[t + 1] = f(x[t])` take no further memory.

Later writes are those behind it in its own iteration, and all those of later iterations
of each loop around it. This is the to-be-recorded analysis of Hascoët, Naumann and
Pascual, "To be recorded analysis in reverse-mode automatic differentiation" (2005),
with places in arrays instead of variables.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradjit.ir.graph import Atom, Eqn, Value
from gradjit.ir.op import lookup
from gradjit.passes.chains import Chain, Chains
from gradjit.passes.places import Elsewhere, Place, place_of
from gradjit.passes.saved import Region

# Most comparisons of places for one program.
_WORK = 2000


class Remains:
    """The values that the last versions of arrays still hold.

    Args:
        chains: The versions of arrays.
    """

    def __init__(self, chains: Chains) -> None:
        self.chains = chains
        self.home = chains.home
        self.facts = chains.facts
        self.work = _WORK
        self.memo: dict[Value, Eqn | None] = {}
        self.stores: dict[Value, list[Eqn]] = {}
        for block in chains.regions:
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
            last = self._last(made.args[0], place_of(made, self.facts))
            if last is not None:
                yield made.with_(args=(last, *made.args[1:]))
        for store in self.stores.get(value, ()):
            # One in a branch is not done wherever there is the value.
            if self.home.get(store.out) is not self.home.get(value):
                continue
            if store.out.type.dtype != value.type.dtype:
                continue
            last = self._last(store.out, place_of(store, self.facts))
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
            found = self.chains.find(version, region)
            if found is None or not self._stays(place, version, region, found[1]):
                return None
            version = region.owner.outs[found[0]]
        return version

    def _stays(
        self, place: Place, version: Value, region: Region, chain: Chain
    ) -> bool:
        """Whether the rest of a region, and later iterations, write elsewhere."""
        behind = chain.behind(version)
        assert behind is not None
        cases = [(False, behind)]
        if region.is_loop:
            cases.append((True, chain.steps))
        for later, steps in cases:
            for write in self.chains.writes(steps):
                self.work -= 1
                there = place_of(write, self.facts)
                if there is None or self.work < 0:
                    return False
                if not Elsewhere(self.home, self.facts, region, later).apart(
                    place, there
                ):
                    return False
        return True
