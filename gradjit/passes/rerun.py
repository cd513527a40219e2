"""Independent iterations that are run again on the way back, on a device.

A thread saves nothing for another one. What the backward code of an iteration needs, of
a loop of unknown length inside of it, it computes again, and keeps on a stack of its
own; where forward and backward code share an iteration (`rows`), it is computed once.
"""

from __future__ import annotations

from gradjit.ir.graph import Block, Eqn, walk


def rerun(block: Block) -> Block:
    """The block with loops marked `checkpoint` whose derivative would need stacks.

    Args:
        block: A primal, before its derivative is taken.

    Returns:
        The same, where loops that the user takes for independent, and in which there
        is a loop of unknown length, are run again iteration by iteration.
    """
    eqns = tuple(
        eqn.with_(regions=tuple(map(rerun, eqn.regions)), params=_params(eqn))
        if eqn.regions
        else eqn
        for eqn in block.eqns
    )
    return Block(block.params, eqns, block.results)


def _params(eqn: Eqn) -> dict[str, object]:
    claimed = eqn.op.name == "for_" and eqn.params.get("parallel")
    if claimed and any(_is_open(e) for e in walk(eqn.regions[0])):
        return {**eqn.params, "checkpoint": True}
    return dict(eqn.params)


def _is_open(eqn: Eqn) -> bool:
    """Whether the length of a loop is known only when it ends."""
    if eqn.op.name == "for_":
        return bool(eqn.params.get("exits"))
    return eqn.op.name == "while_"
