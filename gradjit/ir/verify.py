"""Rules that every graph obeys, checked between passes.

Each value is defined once and before it is used; results of an equation have the types
that its op's rule gives; regions fit their equation; and only ops that are legal at the
stage occur (`graph`: array ops; `program`: scalar ops, loads, stores, loops, maps).
"""

from __future__ import annotations

from typing import Literal

from gradjit.errors import InternalError
from gradjit.ir.graph import Atom, Block, Eqn, Graph, Value
from gradjit.ir.types import ArrayType, ScalarType, StackType, Type

Stage = Literal["graph", "program"]

_PROGRAM_ONLY = {"map_", "copy"}
_GRAPH_ONLY = {
    "gather",
    "scatter",
    "scatter_add",
    "iota",
    "broadcast",
    "stop_gradient",
}


def verify(graph: Graph, stage: Stage = "graph") -> None:
    """Raise `InternalError` where the graph breaks a rule."""
    _block(graph.block, set(), set(), stage)
    for source, result in graph.mutated.items():
        if source >= len(graph.block.params) or result >= len(graph.block.results):
            raise InternalError(f"mutated input {source} has no result {result}")


def _block(
    block: Block, scope: set[Value], everything: set[Value], stage: Stage
) -> None:
    scope = set(scope)
    for param in block.params:
        _define(param, scope, everything)
    for eqn in block.eqns:
        _eqn(eqn, scope, everything, stage)
        for out in eqn.outs:
            _define(out, scope, everything)
    for result in block.results:
        _use(result, scope, "a result")


def _define(value: Value, scope: set[Value], everything: set[Value]) -> None:
    if value in everything:
        raise InternalError(f"{value!r} is defined twice")
    everything.add(value)
    scope.add(value)


def _use(atom: Atom, scope: set[Value], where: str) -> None:
    if isinstance(atom, Value) and atom not in scope:
        raise InternalError(f"{atom!r} is used in {where} and not defined before")


def _eqn(eqn: Eqn, scope: set[Value], everything: set[Value], stage: Stage) -> None:
    name = eqn.op.name
    if name in (_PROGRAM_ONLY if stage == "graph" else _GRAPH_ONLY):
        raise InternalError(f"{name} is not legal at stage {stage}")
    for arg in eqn.args:
        _use(arg, scope, f"{name} ({eqn.loc})")
    for region in eqn.regions:
        _block(region, scope, everything, stage)
    types = eqn.op.infer(
        [a.type for a in eqn.args], {**eqn.params, "regions": eqn.regions}
    )
    if len(types) != len(eqn.outs):
        raise InternalError(f"{name} has {len(eqn.outs)} results, not {len(types)}")
    for out, type_ in zip(eqn.outs, types, strict=True):
        if not same_type(out.type, type_):
            raise InternalError(f"{name} gives {type_}, not {out.type} ({eqn.loc})")
    _regions(eqn)


def _regions(eqn: Eqn) -> None:
    outs = [o.type for o in eqn.outs]
    if eqn.op.name == "for_":
        (body,) = eqn.regions
        _fits(eqn, "an initial carry", [a.type for a in eqn.args[3:]], outs)
        _fits(eqn, "a carry", [p.type for p in body.params[1:]], outs)
        _fits(eqn, "a result of the body", [a.type for a in body.results], outs)
    elif eqn.op.name == "while_":
        cond, body = eqn.regions
        for block in eqn.regions:
            _fits(eqn, "a carry", [p.type for p in block.params], outs)
        _fits(eqn, "an initial carry", [a.type for a in eqn.args], outs)
        _fits(eqn, "a result of the body", [a.type for a in body.results], outs)
        if len(cond.results) != 1:
            raise InternalError("a condition has one result")
    elif eqn.op.name == "if_":
        for block in eqn.regions:
            _fits(eqn, "a result of a branch", [a.type for a in block.results], outs)


def _fits(eqn: Eqn, what: str, got: list[Type], want: list[Type]) -> None:
    if len(got) != len(want):
        raise InternalError(f"{eqn.op.name}: {len(got)} of {what}, not {len(want)}")
    for g, w in zip(got, want, strict=True):
        if not same_type(g, w):
            raise InternalError(f"{eqn.op.name}: {what} is {g}, not {w} ({eqn.loc})")


def same_type(a: Type, b: Type) -> bool:
    """Equal but for weakness and for extents that one side does not know."""
    if isinstance(a, ScalarType) and isinstance(b, ScalarType):
        return a.dtype == b.dtype
    if isinstance(a, ArrayType) and isinstance(b, ArrayType):
        return (
            a.dtype == b.dtype
            and len(a.dims) == len(b.dims)
            and all(
                x == y or x is None or y is None
                for x, y in zip(a.dims, b.dims, strict=True)
            )
        )
    if isinstance(a, StackType) and isinstance(b, StackType):
        return same_type(a.item, b.item)
    return False
