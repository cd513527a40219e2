"""A loop over a few neighbours, `for p in range(i - 1, i + 2)`, is written out.

Its trip count is a small constant though its bounds are not. Written out, its accesses
are those of the loop around it, at fixed distances, which `settle`, `rotate` and `sink`
know what to do with. Loops from one constant to another are left to LLVM.
"""

from __future__ import annotations

from gradjit.ir.bounds import Facts, gather_facts
from gradjit.ir.build import Builder
from gradjit.ir.graph import Atom, Block, Const, Eqn, Graph, Value, substitute
from gradjit.passes.subscript import emit_affine, is_simple_loop

# Most iterations, and most equations, that a loop becomes.
TRIPS, SIZE = 5, 100


def unroll(graph: Graph) -> Graph:
    """The program without loops over a few neighbours.

    Args:
        graph: A valid graph of the `program` stage, before `place`.
    """
    facts = gather_facts(graph.block)
    return Graph(graph.name, _block(graph.block, facts, False), graph.mutated)


def _block(block: Block, facts: Facts, inside: bool) -> Block:
    """A block; `inside` says whether it is in a loop."""
    out: list[Eqn] = []
    gone: dict[Value, Atom] = {}
    for eqn in block.eqns:
        trips = _trips(eqn, facts) if inside and is_simple_loop(eqn) else None
        if trips is not None:
            out.extend(_written_out(eqn, trips, facts, gone))
            continue
        deeper = inside or eqn.op.name in ("for_", "while_")
        regions = tuple(_block(r, facts, deeper) for r in eqn.regions)
        out.append(eqn.with_(regions=regions) if regions else eqn)
    return substitute(Block(block.params, tuple(out), block.results), gone)


def _trips(eqn: Eqn, facts: Facts) -> int | None:
    """How often a loop over neighbours runs; None for other loops."""
    start, stop, step = eqn.args[:3]
    assert isinstance(step, Const)
    span = facts.affine(stop) - facts.affine(start)
    if isinstance(start, Const) or span.terms:
        return None
    trips = max(-(-span.constant // int(step.value)), 0)
    small = trips <= TRIPS and trips * len(eqn.regions[0].eqns) <= SIZE
    return trips if small else None


def _written_out(
    eqn: Eqn, trips: int, facts: Facts, gone: dict[Value, Atom]
) -> tuple[Eqn, ...]:
    """The iterations one after another; `gone` learns what the results are now."""
    start, _, step, *carries = eqn.args
    assert isinstance(step, Const)
    b = Builder(checks=False)
    b.facts = facts
    b.open(())
    for k in range(trips):
        at = emit_affine(b, facts.affine(start).shift(k * int(step.value)))
        carries = list(b.inline(eqn.regions[0], (at, *carries)))
    gone.update(zip(eqn.outs, carries, strict=True))
    return b.close(()).eqns
