"""The rule that holds after `place`: what was overwritten is not used again."""

from __future__ import annotations

from gradjit.errors import InternalError
from gradjit.ir.graph import Block, Eqn, Graph, Value, defined, values
from gradjit.passes.alias import carried, overwritten


def verify_placed(graph: Graph) -> None:
    """Raise `InternalError` where an overwritten version of an array is used."""
    _block(graph.block, set())


def _block(block: Block, dead: set[Value]) -> None:
    for eqn in block.eqns:
        if eqn.op.name != "dim":
            for value in values(eqn.args):
                _use(value, dead, eqn)
        _regions(eqn, dead)
        dead.update(overwritten(eqn))
    for value in values(block.results):
        if value in dead:
            raise InternalError(f"{value!r} is overwritten and a result")


def _use(value: Value, dead: set[Value], eqn: Eqn) -> None:
    if value in dead:
        raise InternalError(
            f"{value!r} is overwritten and used by {eqn.op.name} ({eqn.loc})"
        )


def _regions(eqn: Eqn, dead: set[Value]) -> None:
    if eqn.op.name == "if_":
        sides = [set(dead) for _ in eqn.regions]
        for region, side in zip(eqn.regions, sides, strict=True):
            _block(region, side)
        dead.update(*sides)
        return
    before = set(dead)
    for region in eqn.regions:
        _block(region, dead)
    if eqn.op.name not in ("for_", "while_"):
        return
    inside = set[Value]().union(*(defined(r) for r in eqn.regions))
    lost = [v for v in dead - before if v not in inside]
    if lost:
        raise InternalError(f"a loop overwrites {lost[0]!r}, which it needs again")
    for _, init, param, _ in carried(eqn):
        if param in dead and isinstance(init, Value):
            dead.add(init)
