"""Elementary functions inside loops over elements become those that LLVM vectorises.

So do the largest and the smallest element, which are comparisons elsewhere.

In a `map_` all of them; in an innermost `for_` those whose argument does not come from
a scalar that the loop carries: a recurrence runs one element at a time whatever it
calls.
"""

from __future__ import annotations

from dataclasses import replace

from gradjit.ir.graph import Block, Eqn, Graph, Value, values
from gradjit.ir.types import ScalarType, is_float
from gradjit.ops.region import Writer, WriterKind
from gradjit.ops.vector import VECTORISED
from gradjit.vectormath import available

_BRANCHLESS: dict[str, WriterKind] = {"max": "maximum", "min": "minimum"}


def vectorise(graph: Graph) -> Graph:
    """The program with vector versions of elementary functions, where there are any."""
    return Graph(graph.name, _block(graph.block), graph.mutated)


def _block(block: Block) -> Block:
    return Block(block.params, tuple(map(_equation, block.eqns)), block.results)


def _equation(eqn: Eqn) -> Eqn:
    name = eqn.op.name
    if name == "map_":
        regions = tuple(_elements(r, set()) for r in eqn.regions)
        params = {
            **eqn.params,
            "writers": tuple(map(_branchless, eqn.params["writers"])),
        }
        return eqn.with_(regions=regions, params=params)
    if name == "for_" and not any(e.regions for e in eqn.regions[0].eqns):
        body = eqn.regions[0]
        carried = {
            p
            for p in body.params[1:]
            if isinstance(p.type, ScalarType) and is_float(p.type)
        }
        return eqn.with_(regions=(_elements(body, carried),))
    return eqn.with_(regions=tuple(map(_block, eqn.regions)))


def _branchless(writer: Writer) -> Writer:
    """A largest or smallest number as LLVM vectorises it."""
    floats = writer.type is not None and writer.type.dtype.kind == "f"
    return (
        replace(writer, kind=_BRANCHLESS.get(writer.kind, writer.kind))
        if floats
        else writer
    )


def _elements(block: Block, serial: set[Value]) -> Block:
    """The body of a loop; `serial` are values that wait for the iteration before."""
    eqns: list[Eqn] = []
    for eqn in block.eqns:
        if any(v in serial for v in values(eqn.args)):
            serial.update(eqn.outs)
        elif eqn.op.name in VECTORISED and available(eqn.op.name):
            eqn = eqn.with_(op=VECTORISED[eqn.op.name])
        eqns.append(eqn)
    return Block(block.params, tuple(eqns), block.results)
