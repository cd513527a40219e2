"""Stores that nobody reads go.

The adjoint of an assignment takes the cotangent and leaves a zero. Where the program
does not come back to that place, the zero is for nobody; and where an array is then
only read, it need not be an array: `np.sum(weights * out)` has `weights` itself as the
cotangent of `out`.

A store is read if a load, behind it in its iteration or in a later iteration of a loop
around it, may be of its place, or if what the loops leave of the array is used. This is
the adjoint-liveness analysis of Hascoët and Araya-Polo (2005), for regions of arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest

from gradjit.ir.bounds import gather_facts
from gradjit.ir.graph import Block, Eqn, Graph, Value, substitute, values
from gradjit.passes.chains import Chain, Chains, Step, bodies
from gradjit.passes.places import Elsewhere, Place, place_of
from gradjit.passes.saved import Region
from gradjit.passes.subscript import WRITES

# Most comparisons of places for one program.
_WORK = 2000


def unread(graph: Graph) -> Graph:
    """The graph without stores that nobody reads.

    Args:
        graph: A valid graph before `fuse`.
    """
    finder = _Finder(graph.block)
    gone = {e.out: e.args[0] for e in finder.stores if finder.is_unread(e)}
    if not gone:
        return graph
    for out in gone:
        while isinstance(before := gone[out], Value) and before in gone:
            gone[out] = gone[before]
    return Graph(
        graph.name, substitute(_without(graph.block, gone), gone), graph.mutated
    )


def _without(block: Block, gone: Iterable[Value]) -> Block:
    eqns = tuple(
        e.with_(regions=tuple(_without(r, gone) for r in e.regions)) if e.regions else e
        for e in block.eqns
        if len(e.outs) != 1 or e.out not in gone
    )
    return Block(block.params, eqns, block.results)


class _Finder:
    """Finds the readers of stores.

    Attributes:
        stores: The stores in loops and branches whose subscripts need no check.
        users: The equations that use an array, in whatever region.
        yielded: What the arrays that a region returns become outside of it; None for
            results of the graph.
    """

    def __init__(self, block: Block) -> None:
        self.facts = gather_facts(block)
        self.home: dict[Value, Region] = {}
        self.regions: dict[Block, Region] = {}
        self.users: dict[Value, list[Eqn]] = {}
        self.yielded: dict[Value, list[Value | None]] = {}
        self.stores: list[Eqn] = []
        self.work = _WORK
        self._survey(block, None)
        self.chains = Chains(self.home, self.regions, self.facts)

    def _survey(self, block: Block, region: Region | None) -> None:
        if region is not None:
            self.regions[block] = region
            self.home.update((v, region) for v in block.params)
        for eqn in block.eqns:
            for value in values(eqn.args):
                self.users.setdefault(value, []).append(eqn)
            if region is not None:
                self.home.update((v, region) for v in eqn.outs)
                if eqn.op.name == "store" and not eqn.params["checked"]:
                    self.stores.append(eqn)
            for inner in eqn.regions:
                self._survey(inner, Region(inner, eqn, region))
        outs = region.owner.outs if region and block in bodies(region.owner) else ()
        for result, out in zip_longest(block.results, outs):
            if isinstance(result, Value):
                self.yielded.setdefault(result, []).append(out)

    def is_unread(self, store: Eqn) -> bool:
        place = place_of(store, self.facts)
        version = store.out
        while place is not None and version in self.home:
            region = self.home[version]
            found = self.chains.find(version, region)
            if found is None or not self._stays_unread(place, version, *found):
                return False
            version = region.owner.outs[found[0]]
        unused = version not in self.users and version not in self.yielded
        return place is not None and unused

    def _stays_unread(self, place: Place, version: Value, k: int, chain: Chain) -> bool:
        """Whether the rest of a region, and later iterations, read elsewhere."""
        region = self.home[version]
        behind = chain.behind(version)
        assert behind is not None
        after = region.owner.outs[k]
        cases = [(False, self._reads(Chain(version, behind), after))]
        if region.is_loop:
            cases.append((True, self._inside(Step(region.owner, after))))
        for later, reads in cases:
            seen = Elsewhere(self.home, self.facts, region, later)
            for read in reads:
                self.work -= 1
                there = None if read is None else place_of(read, self.facts)
                if there is None or self.work < 0 or not seen.apart(place, there):
                    return False
        return True

    def _reads(self, chain: Chain, after: Value | None) -> Iterator[Eqn | None]:
        """The loads from the versions of a chain; None for any other use.

        `after` is what the last one becomes outside of the region.
        """
        steps = (*chain.steps, None)
        for version, step in zip(chain.versions(), steps, strict=True):
            nexts = [] if step is None else list(self._nexts(step))
            become = {after} if step is None else {n.after for n in nexts}
            if any(out not in become for out in self.yielded.get(version, ())):
                yield None
            going_on = {n.eqn for n in nexts}
            for user in self.users.get(version, ()):
                if user.op.name == "index":
                    yield user
                elif user.op.name != "dim" and not (
                    user in going_on and _only_goes_on(user, version)
                ):
                    yield None
            if step is not None:
                yield from self._inside(step)

    def _nexts(self, step: Step) -> Iterator[Step]:
        """What may make the next version: a branch has a first step on each side."""
        yield step
        if step.eqn.op.name == "if_":
            for chain in self.chains.inner(step):
                if chain.steps:
                    yield from self._nexts(chain.steps[0])

    def _inside(self, step: Step) -> Iterator[Eqn | None]:
        """The loads in the regions of a step."""
        branch = step.eqn.op.name == "if_"
        for chain in self.chains.inner(step):
            if not branch:
                yield from self._reads(chain, step.after)
            elif chain.steps:  # its start is a version of the block around
                first, *rest = chain.steps
                yield from self._inside(first)
                yield from self._reads(Chain(first.after, tuple(rest)), step.after)
        if step.eqn.op.name == "while_":
            asked = step.eqn.regions[0].params[step.eqn.outs.index(step.after)]
            yield from self._reads(Chain(asked, ()), None)


def _only_goes_on(user: Eqn, version: Value) -> bool:
    """Whether an equation does no more with a version than make the next one."""
    if user.args.count(version) != 1:
        return False
    return user.args[0] is version if user.op.name in WRITES else bool(user.regions)
