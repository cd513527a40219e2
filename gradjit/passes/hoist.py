"""Scalar code of a `map_` that is the same at each iteration moves in front of it."""

from __future__ import annotations

from gradjit.ir.graph import Block, Eqn, Graph, Value, values

# What can fail or costs nothing stays where it is.
_STAYS = frozenset({"floordiv", "mod", "pow", "shl", "shr"})


def hoist(graph: Graph) -> Graph:
    """The graph with loop-invariant scalar code in front of its maps."""
    return Graph(graph.name, _block(graph.block), graph.mutated)


def _block(block: Block) -> Block:
    out: list[Eqn] = []
    for eqn in block.eqns:
        if eqn.op.name == "map_":
            moved, rest = _split(eqn)
            out.extend(moved)
            out.append(rest)
        else:
            out.append(eqn.with_(regions=tuple(_block(r) for r in eqn.regions)))
    return Block(block.params, tuple(out), block.results)


def _split(eqn: Eqn) -> tuple[list[Eqn], Eqn]:
    """The invariant equations of a map, and the map without them."""
    (body,) = eqn.regions
    varying: set[Value] = set(body.params)
    moved: list[Eqn] = []
    stay: list[Eqn] = []
    for inner in body.eqns:
        movable = inner.op.kind == "elementwise" and inner.op.name not in _STAYS
        if movable and not any(v in varying for v in values(inner.args)):
            moved.append(inner)
        else:
            stay.append(inner)
            varying.update(inner.outs)
    rest = Block(body.params, tuple(stay), body.results)
    return moved, eqn.with_(regions=(rest,))
