"""A zero that is stored and then added to is a store: `x[i] = 0.0; x[i] += v`.

The adjoint of an assignment takes the cotangent and leaves a zero, which the adjoint of
the right-hand side adds to. Between the two there may be writes and loads of elements
that are provably others. (A sum that is -0.0 stays that, where 0.0 + -0.0 is 0.0.)
"""

from __future__ import annotations

from collections.abc import Mapping

from gradjit.ir.bounds import Facts, gather_facts
from gradjit.ir.graph import (
    Atom,
    Block,
    Const,
    Eqn,
    Graph,
    Value,
    eqn_uses,
    substitute,
    values,
    walk,
)
from gradjit.ir.op import lookup
from gradjit.passes.subscript import WRITES, Subscript, apart, same, subscript


def settle(graph: Graph) -> Graph:
    """The program without zeros that are added to at once.

    Args:
        graph: A valid graph of the `program` stage, before `place`.

    Returns:
        The graph with fewer writes.
    """
    facts = gather_facts(graph.block)
    return Graph(graph.name, _block(graph.block, facts), graph.mutated)


def _block(block: Block, facts: Facts) -> Block:
    eqns = tuple(
        e.with_(regions=tuple(_block(r, facts) for r in e.regions)) if e.regions else e
        for e in block.eqns
    )
    block = Block(block.params, eqns, block.results)
    if any(e.op.name == "add_at" for e in eqns) and all(e.op.pure for e in walk(block)):
        return _Settler(block, facts).settled()
    return block


class _Settler:
    """A block whose additions look for the zeros that they add to.

    Attributes:
        made: The writes of the block by the versions that they make.
        readers: The equations that use an array; None stands for the block's results.
    """

    def __init__(self, block: Block, facts: Facts) -> None:
        self.block = block
        self.facts = facts
        self.made = {e.out: e for e in block.eqns if e.op.name in WRITES}
        self.readers: dict[Value, list[Eqn | None]] = {v: [] for v in self.made}
        for eqn in block.eqns:
            for value in eqn_uses(eqn):
                if value in self.readers:
                    self.readers[value].append(eqn)
        for value in values(block.results):
            if value in self.readers:
                self.readers[value].append(None)

    def settled(self) -> Block:
        """The block without the zeros that are found."""
        gone: dict[Value, Atom] = {}
        final: set[Value] = set()
        for eqn in self.block.eqns:
            zero = self.zero(eqn) if eqn.op.name == "add_at" else None
            if zero is not None:
                gone[zero.out] = zero.args[0]
                final.add(eqn.out)
        eqns = tuple(
            _stored(e, final) for e in self.block.eqns if not _is_made(e, gone)
        )
        return substitute(Block(self.block.params, eqns, self.block.results), gone)

    def zero(self, add: Eqn) -> Eqn | None:
        """The store of the zero that an addition adds to, if nothing else sees it."""
        at = subscript(add, self.facts)
        if at is None or add.args[1].type.dtype != add.out.type.dtype:
            return None
        later, write = add, self._maker(add)
        while write is not None:
            place = subscript(write, self.facts)
            if place is None or not self.is_unseen(write.out, later, at):
                return None
            if same(place, at):
                return write if write.op.name == "store" and _is_zero(write) else None
            if not apart(self.facts, place, at):
                return None
            later, write = write, self._maker(write)
        return None

    def _maker(self, write: Eqn) -> Eqn | None:
        """The write that made the version which another one overwrites."""
        base = write.args[0]
        return self.made.get(base) if isinstance(base, Value) else None

    def is_unseen(self, version: Value, later: Eqn, at: Subscript) -> bool:
        """Whether nobody reads the element of a version before `later` writes."""
        for eqn in self.readers[version]:
            if eqn is later or (eqn is not None and eqn.op.name == "dim"):
                continue
            place = subscript(eqn, self.facts) if eqn is not None else None
            if place is None or eqn is None or eqn.op.name != "index":
                return False
            if not apart(self.facts, place, at):
                return False
        return True


def _is_zero(store: Eqn) -> bool:
    value = store.args[1]
    return isinstance(value, Const) and value.value == 0


def _is_made(eqn: Eqn, versions: Mapping[Value, Atom]) -> bool:
    return len(eqn.outs) == 1 and eqn.out in versions


def _stored(eqn: Eqn, final: set[Value]) -> Eqn:
    """An addition to a zero as a store."""
    if len(eqn.outs) == 1 and eqn.out in final:
        return eqn.with_(op=lookup("store"))
    return eqn
