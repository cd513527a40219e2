"""Elementary functions inside loops over elements become those that LLVM vectorises.

So do the largest and the smallest element, which are comparisons elsewhere.

In a `map_` all of them; in an innermost `for_` those whose argument does not come from
a scalar that the loop carries: a recurrence runs one element at a time whatever it
calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gradjit.ir.graph import Block, Const, Eqn, Graph, Value, values
from gradjit.ir.op import Op
from gradjit.ir.types import ScalarType, is_float
from gradjit.ops.region import Writer, WriterKind
from gradjit.ops.vector import branchless, vectorised
from gradjit.vectormath import chosen

# LLVM makes square roots of these, and vectorises them.
_ROOTS = (0.5, -0.5)

_BRANCHLESS: dict[str, WriterKind] = {"max": "maximum", "min": "minimum"}


def vectorise(graph: Graph) -> Graph:
    """The program with vector versions of elementary functions, where there are any."""
    ops = vectorised(chosen())
    return Graph(graph.name, _block(graph.block, ops), graph.mutated) if ops else graph


def _block(block: Block, ops: Mapping[str, Op]) -> Block:
    eqns = tuple(_equation(e, ops) for e in block.eqns)
    return Block(block.params, eqns, block.results)


def _equation(eqn: Eqn, ops: Mapping[str, Op]) -> Eqn:
    name = eqn.op.name
    if name == "map_":
        regions = tuple(_elements(r, set(), ops) for r in eqn.regions)
        return _branchless(eqn.with_(regions=regions))
    if name == "for_" and not any(e.regions for e in eqn.regions[0].eqns):
        body = eqn.regions[0]
        carried = {
            p
            for p in body.params[1:]
            if isinstance(p.type, ScalarType) and is_float(p.type)
        }
        return eqn.with_(regions=(_elements(body, carried, ops),))
    return eqn.with_(regions=tuple(_block(r, ops) for r in eqn.regions))


def _branchless(eqn: Eqn) -> Eqn:
    """A nest with the largest or smallest numbers as LLVM vectorises them."""
    before: tuple[Writer, ...] = eqn.params["writers"]
    writers = tuple(
        replace(w, kind=_BRANCHLESS.get(w.kind, w.kind))
        if w.type is not None and w.type.dtype.kind == "f"
        else w
        for w in before
    )
    if writers == before:
        return eqn
    params = {**eqn.params, "writers": writers}
    return eqn.with_(op=branchless(chosen()), params=params)


def _elements(block: Block, serial: set[Value], ops: Mapping[str, Op]) -> Block:
    """The body of a loop; `serial` are values that wait for the iteration before."""
    eqns: list[Eqn] = []
    for eqn in block.eqns:
        if any(v in serial for v in values(eqn.args)):
            serial.update(eqn.outs)
        elif eqn.op.name in ops and _is_worth_it(eqn):
            eqn = eqn.with_(op=ops[eqn.op.name])
        eqns.append(eqn)
    return Block(block.params, tuple(eqns), block.results)


def _is_worth_it(eqn: Eqn) -> bool:
    """Not integers and roots; and a whole power is a few products."""
    if not is_float(eqn.out.type):
        return False
    last = eqn.args[-1]
    if eqn.op.name == "pow" and not is_float(last.type):
        return False
    root = isinstance(last, Const) and last.value in _ROOTS
    return not (root and eqn.op.name == "pow")
