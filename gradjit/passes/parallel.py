"""Loops run on several threads: those the user says are independent, and big nests.

`prange` and `vmap`, and the loops that derivatives make of them, carry a claim; the
pass goes by it as far as it can prove it (`independent`). Nests over elements are
independent by construction. What is divided is decided at run time, by the work there
is (`work`); how, is in `chunks`. A loop that is divided has no divided ones inside.

After `place`: what is written where is settled, and threads only share the reading.
"""

from __future__ import annotations

from gradjit.errors import UnsupportedError
from gradjit.ir.bounds import Facts, gather_facts
from gradjit.ir.build import Builder
from gradjit.ir.graph import Atom, Block, Eqn, Graph, Value, values, walk
from gradjit.ir.types import ScalarType
from gradjit.passes.chunked_loop import divided_loop
from gradjit.passes.chunked_map import divided_map, divisible
from gradjit.passes.independent import REDUCTIONS, judge, reduces
from gradjit.passes.work import work_of


def serialise(graph: Graph) -> Graph:
    """The graph with loops that run one iteration after the other."""
    return Graph(graph.name, _plain(graph.block), graph.mutated)


def _plain(block: Block) -> Block:
    eqns = tuple(
        e.with_(params=_unclaimed(e), regions=tuple(map(_plain, e.regions)))
        if e.regions
        else e
        for e in block.eqns
    )
    return Block(block.params, eqns, block.results)


def _unclaimed(eqn: Eqn) -> dict[str, object]:
    dropped = ("parallel",) if eqn.op.name == "for_" else ()
    return {k: v for k, v in eqn.params.items() if k not in dropped}


def parallelise(graph: Graph) -> Graph:
    """The program with loops that several threads share.

    Args:
        graph: A placed program.

    Returns:
        A placed program, in which loops with `parallel="chunks"` run on threads; those
        that could not be divided say why, in `serial`.
    """
    b = Builder(checks=False)
    b.facts = gather_facts(graph.block)
    with b.active():
        block = _block(b, graph.block, b.facts)
    return Graph(graph.name, block, graph.mutated)


def _block(b: Builder, block: Block, facts: Facts) -> Block:
    b.open(block.params)
    for eqn in block.eqns:
        with b.at(eqn.loc):
            _eqn(b, eqn, facts)
    return b.close(block.results)


def _eqn(b: Builder, eqn: Eqn, facts: Facts) -> None:
    name = eqn.op.name
    if name == "for_" and eqn.params.get("parallel"):
        verdict = judge(eqn, facts)
        if not verdict.reason:
            divided_loop(b, eqn, verdict.kinds, work_of(eqn, facts))
            return
        params = {**_unclaimed(eqn), "serial": verdict.reason}
        eqn = eqn.with_(params=params)
    if name == "map_" and divisible(eqn):
        divided_map(b, eqn, work_of(eqn, facts))
        return
    if eqn.regions and name != "map_":
        eqn = eqn.with_(regions=tuple(_block(b, r, facts) for r in eqn.regions))
    b.append(eqn)


def is_parallel(graph: Graph) -> bool:
    """Whether a program has loops that run on threads."""
    return any(e.params.get("parallel") == "chunks" for e in walk(graph.block))


def refuse_races(graph: Graph) -> None:
    """Refuse `prange` loops whose iterations are not independent.

    Args:
        graph: A function as it was traced, without dead code.

    Raises:
        UnsupportedError: A number goes from one iteration to the next, or out of the
            loop, and is not a reduction: on threads its value would be left to chance.
    """
    for eqn in walk(graph.block):
        if eqn.op.name == "for_" and eqn.params.get("parallel") == "prange":
            _refuse(eqn)


def _refuse(eqn: Eqn) -> None:
    (body,) = eqn.regions
    for param, result in zip(body.params[1:], body.results, strict=True):
        if isinstance(param.type, ScalarType):
            fine = any(reduces(body, param, result, ops) for ops in REDUCTIONS)
        else:
            fine = _grows(body, param, result)
        if not fine:
            name = f"{param.name!r}" if param.name else "a value"
            raise UnsupportedError(
                f"the iterations of this prange are not independent: {name} goes from "
                "one to the next, and is not a reduction (+=, -=, *=, /=, max, min)",
                eqn.loc,
                "Loop over range, or store into an array at the loop's own index.",
            )


def _grows(block: Block, start: Value, end: Atom) -> bool:
    """Whether an array is a version of another one, or a sum that has it in it."""
    made = {o: e for e in block.eqns for o in e.outs}
    now = end
    while now is not start:
        eqn = made.get(now) if isinstance(now, Value) else None
        if eqn is None:
            return False
        if eqn.op.name in ("store", "add_at", "scatter", "scatter_add"):
            now = eqn.args[0]
        elif eqn.op.name in ("add", "sub"):
            return any(_grows(block, start, a) for a in values(eqn.args))
        elif eqn.op.name in ("for_", "while_"):
            k = eqn.outs.index(now)  # type: ignore[arg-type]
            body = eqn.regions[-1]
            param = body.params[len(body.params) - len(eqn.outs) + k]
            if not _grows(body, param, body.results[k]):
                return False
            now = eqn.args[len(eqn.args) - len(eqn.outs) + k]
        elif eqn.op.name == "if_":
            k = eqn.outs.index(now)  # type: ignore[arg-type]
            return all(_reaches(block, r, start, r.results[k]) for r in eqn.regions)
        else:
            return False
    return True


def _reaches(block: Block, region: Block, start: Value, end: Atom) -> bool:
    """The same where the last versions are made in a branch."""
    whole = Block(block.params, (*block.eqns, *region.eqns), ())
    return _grows(whole, start, end)
