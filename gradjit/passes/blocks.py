"""What passes over the blocks of a program have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gradjit.ir.graph import Block, Const, Eqn, Value, uses


def inside_out(block: Block, rebuild: Callable[[Block], Block]) -> Block:
    """The block with its regions rebuilt first, all but those of nests."""
    eqns = tuple(
        e.with_(regions=tuple(map(rebuild, e.regions)))
        if e.regions and e.op.name != "map_"
        else e
        for e in block.eqns
    )
    return Block(block.params, eqns, block.results)


def use_counts(block: Block) -> Mapping[Value, int]:
    """How often each value is used in a block, its regions and results included."""
    out: dict[Value, int] = {}
    for value in uses(block):
        out[value] = out.get(value, 0) + 1
    return out


def is_zeros(eqn: Eqn) -> bool:
    """Whether an equation makes an array of zeros."""
    if eqn.op.name != "full":
        return False
    value = eqn.args[0]
    return isinstance(value, Const) and value.value == 0
