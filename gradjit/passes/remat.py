"""Regions that are run again on the way back, instead of saving what they compute.

After Griewank and Walther, "Evaluating Derivatives", 2nd ed. (2008), chapter 12.
"""

from __future__ import annotations

from gradjit.ir.build import Builder
from gradjit.ir.graph import Atom, Block, Eqn, Graph, Value, substitute, walk
from gradjit.ir.types import ArrayType
from gradjit.passes.dce import eliminate


def repeated(back: Block, count: int) -> Block:
    """A pullback without its first `count` results, and without what they needed.

    The subscripts in it were checked when the region was run for the first time.
    """
    block = _unchecked(Block(back.params, back.eqns, back.results[count:]))
    return eliminate(Graph("", block)).block


def _unchecked(block: Block) -> Block:
    return Block(block.params, tuple(map(_trusted, block.eqns)), block.results)


def _trusted(eqn: Eqn) -> Eqn:
    if eqn.params.get("checked"):
        eqn = eqn.with_(params={**eqn.params, "checked": False})
    return eqn.with_(regions=tuple(map(_unchecked, eqn.regions)))


def another(b: Builder, value: Value) -> Atom:
    """The same array under a name of its own.

    Else the builder would find that what is computed from it is there already.
    """
    if not isinstance(value.type, ArrayType):
        return value
    dims = value.type.dims
    spec = ":" * len(dims)
    return b.emit1("index", value, spec=spec, dims=dims, checked=False, again=value)


def itself(graph: Graph) -> Graph:
    """The graph with each array under one name again."""
    mapping: dict[Value, Atom] = {
        e.out: e.args[0] for e in walk(graph.block) if "again" in e.params
    }
    if not mapping:
        return graph
    return Graph(graph.name, _without(substitute(graph.block, mapping)), graph.mutated)


def _without(block: Block) -> Block:
    eqns = tuple(
        e.with_(regions=tuple(map(_without, e.regions)))
        for e in block.eqns
        if "again" not in e.params
    )
    return Block(block.params, eqns, block.results)
