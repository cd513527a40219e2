"""Loop nests over the same rows become one loop over the rows.

A softmax is three passes over its scores: the largest of a row, the sum of
exponentials, the quotients; its gradient has three more. Each is a nest of its own,
since a row's sum is only there when the row is done, so a matrix travels through the
cache six times. One loop over the rows, with the six passes over a row inside, reads
the matrix once, and what a row leaves for its own later passes is a number or a buffer
of one row.

Nests may share their outer loop if each of them reads, of what the others write, only
the row of the iteration. What stands between them moves in front of the loop, or behind
it if it needs their results. This is the partial fusion of Gao, Olsen, Sarkar and
Thekkath, "Collective Loop Fusion for Array Contraction" (1992), on outer loops.
"""

from __future__ import annotations

from dataclasses import dataclass

from gradjit.ir.bounds import Facts, gather_facts
from gradjit.ir.graph import Atom, Block, Eqn, Graph, Value, eqn_uses, values
from gradjit.passes.alias import Memory, is_array, is_view
from gradjit.passes.blocks import inside_out
from gradjit.passes.row_group import Group, Nest, nest_of
from gradjit.passes.row_loop import row_loop
from gradjit.passes.usage import learn

# How far behind the first nest others are looked for.
_REACH = 300


def share_rows(
    graph: Graph, parallel: bool = False, loops: bool = False, flat: bool = False
) -> Graph:
    """The program with one loop over rows in place of nests over the same rows.

    Args:
        graph: A valid graph of the `program` stage, before `place`.
        parallel: Whether threads may share the loop.
        loops: Whether loops of the program share rows too, not only nests over
            elements: the forward and the backward loop of independent iterations.
        flat: Whether loops without loops inside share them, too.

    Returns:
        The graph with the same meaning, up to the order of sums.
    """
    facts = gather_facts(graph.block)
    how = How(parallel, loops, flat)
    block = _block(graph.block, facts, how)
    return Graph(graph.name, block, graph.mutated)


@dataclass(frozen=True, slots=True)
class How:
    """Which loops share rows: see `share_rows`."""

    parallel: bool
    loops: bool
    flat: bool


def _block(block: Block, facts: Facts, how: How) -> Block:
    block = inside_out(block, lambda region: _block(region, facts, how))
    eqns = list(block.eqns)
    if (
        sum(e.op.name == "map_" or (how.loops and e.op.name == "for_") for e in eqns)
        < 2
    ):
        return block
    equal = dict(facts.equal)
    rows = _Rows(block, facts, how)
    shared = tuple(rows.shared(eqns, set(values(block.results))))
    facts.forget(equal)
    return Block(block.params, shared, block.results)


class _Rows:
    """The nests of one block."""

    def __init__(self, block: Block, facts: Facts, how: How) -> None:
        self.memory = Memory(block)
        self.facts = facts
        self.how = how
        self._uses: dict[Eqn, frozenset[Value]] = {}
        self._read: dict[Eqn, frozenset[Atom]] = {}
        self._nests: dict[Eqn, Nest | None] = {}

    # Regions can be large, and each equation is looked at for many groups.

    def uses(self, eqn: Eqn) -> frozenset[Value]:
        """What an equation uses, its regions included."""
        if eqn not in self._uses:
            self._uses[eqn] = frozenset(eqn_uses(eqn))
        return self._uses[eqn]

    def reads(self, eqn: Eqn) -> frozenset[Atom]:
        """The buffers that an equation uses."""
        if eqn not in self._read:
            arrays = filter(is_array, self.uses(eqn))
            self._read[eqn] = frozenset(map(self.memory.root, arrays))
        return self._read[eqn]

    def nest(self, eqn: Eqn) -> Nest | None:
        if eqn not in self._nests:
            self._nests[eqn] = nest_of(eqn, self.memory, self.how.loops)
        return self._nests[eqn]

    # ------------------------------------------------------------------ grouping

    def shared(self, eqns: list[Eqn], later: set[Value]) -> list[Eqn]:
        """The equations with loops over rows, each at the place of its last nest.

        Args:
            eqns: Equations of the block.
            later: What is used behind them.
        """
        out: list[Eqn] = []
        rest = eqns
        while rest:
            first, *rest = rest
            learn(self.facts, first)
            nest = self.nest(first)
            found = self._found(nest, rest, later) if nest is not None else None
            if found is None:
                out.append(first)
                continue
            before, loop, rest = found
            out += [*before, *loop]
        return out

    def _found(
        self, first: Nest, rest: list[Eqn], later: set[Value]
    ) -> tuple[list[Eqn], list[Eqn], list[Eqn]] | None:
        """What stands in front of a loop over rows, the loop, and what is left."""
        group = Group(self.memory, self.how.flat)
        equal = dict(self.facts.equal)
        before, after = self._gathered(group, rest) if group.add(first) else ([], [])
        if not group.pays():
            self.facts.forget(equal)
            return None
        used = later.union(*map(self.uses, after))
        heads = set(group.heads.values())
        arrays = (v for v in group.made - group.closed if v in used)
        if any(v not in heads for v in arrays):
            self.facts.forget(equal)
            return None  # an older version is needed later
        nests = [n.eqn for n in group.nests]
        loop = row_loop(nests, first.stop, used, self.how.parallel)
        later = used.union(*map(self.uses, nests))
        return self.shared(before, later), loop, after

    def _gathered(self, group: Group, rest: list[Eqn]) -> tuple[list[Eqn], list[Eqn]]:
        """Fill a group; the other equations, those that move to the front first."""
        before: list[Eqn] = []
        after: list[Eqn] = []
        late: set[Value] = set()  # results of what stands behind the loop
        read: set[Atom] = set()  # buffers that it reads
        guard = False  # something behind the loop may raise
        acts = group.acts
        for pos, eqn in enumerate(rest):
            if pos == _REACH:
                after += rest[pos:]
                break
            uses = self.uses(eqn)
            waits = guard or not uses.isdisjoint(late)
            nest = None if waits else self.nest(eqn)
            if nest and self._joins(nest, group, read):
                acts = group.acts
                continue
            waits = waits or not uses.isdisjoint(group.made)
            waits = waits or (acts and not eqn.op.pure)
            if waits or self._changes(eqn, group.touched | read):
                after.append(eqn)
                late.update(eqn.outs)
                read |= self.reads(eqn)
                guard = guard or not eqn.op.pure
            else:
                learn(self.facts, eqn)
                before.append(eqn)
        return before, after

    def _joins(self, nest: Nest, group: Group, read: set[Atom]) -> bool:
        """Add a nest to a group, if it has the same rows and nothing is in the way.

        What stands behind the loop must not read what the nest writes into.
        """
        gap = self.facts.affine(nest.stop) - self.facts.affine(group.nests[0].stop)
        if gap.terms or gap.constant:
            return False
        places = {self.memory.root(w.array) for w in nest.writes}
        return places.isdisjoint(read) and group.add(nest)

    def _changes(self, eqn: Eqn, read: set[Atom]) -> bool:
        """Whether an equation may write into buffers that are read behind it then."""
        if not (is_view(eqn) or eqn.regions or eqn.op.name in ("store", "add_at")):
            return False
        arrays = filter(is_array, values(eqn.args))
        return not read.isdisjoint(map(self.memory.root, arrays))
