"""Results that the caller has arrays for are written into those.

Each becomes a parameter. Where a result is allocated once, in the block of the function
itself, that allocation goes and the parameter takes its place: what `place` has proved
of the fresh array (nobody else sees it) holds for an array that nobody reads, too.
Other results - those of a branch, of a matrix product - are copied at the end.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradjit.ir.graph import Atom, Block, Const, Eqn, Graph, Value, substitute
from gradjit.ir.op import lookup
from gradjit.ir.types import INDEX, TRUTH, ArrayType, ScalarType, dims
from gradjit.ops.region import Writer
from gradjit.passes.columns import stored
from gradjit.passes.writeback import origin, written_back


def deliver(
    graph: Graph, into: Sequence[tuple[int, int]], parallel: bool = False
) -> Graph:
    """The graph with parameters for some of its results, added at the end.

    Args:
        graph: A placed graph of the `program` stage.
        into: For each such result its number, and that of a parameter with the same
            type and extents, which the new one is checked against before anything is
            written. The caller sees to it that the arrays are apart from all others.
        parallel: Whether loops will be divided: sums, into arrays of each thread.
    """
    checks: list[Eqn] = []
    mutated = dict(graph.mutated)
    for result, like in into:
        model = graph.block.params[like]
        old = graph.block.results[result]
        name = old.name if isinstance(old, Value) else ""
        param = Value(model.type, name or f"d_{model.name}")
        checks += _same_extents(param, model)
        block = _delivered(graph.block, result, param, parallel)
        mutated[len(block.params)] = result
        block = Block((*block.params, param), block.eqns, block.results)
        graph = Graph(graph.name, block, mutated)
    block = graph.block
    block = Block(block.params, (*checks, *block.eqns), block.results)
    return Graph(graph.name, block, mutated)


def _same_extents(param: Value, model: Value) -> list[Eqn]:
    """Checks of the extents that the types leave open."""
    eqns: list[Eqn] = []
    for axis, known in enumerate(dims(model.type)):
        if known is not None:
            continue
        ours, theirs, same = Value(INDEX), Value(INDEX), Value(TRUTH)
        message = f"out for the gradient by {model.name} has another shape"
        check = {"kind": "shape", "message": message}
        eqns += [
            Eqn(lookup("dim"), (param,), (ours,), {"axis": axis}),
            Eqn(lookup("dim"), (model,), (theirs,), {"axis": axis}),
            Eqn(lookup("eq"), (ours, theirs), (same,)),
            Eqn(lookup("check"), (same,), (), check),
        ]
    return eqns


def _delivered(block: Block, result: int, param: Value, parallel: bool) -> Block:
    """The block with one result in the memory of a value from outside."""
    final = block.results[result]
    made = origin(block, final)
    for pos, eqn in enumerate(block.eqns):
        if made in eqn.outs and made.type == param.type:
            assert isinstance(made, Value)
            found = _made_in(eqn, made, param, parallel)
            if found is not None:
                eqns, new = found
                rest = Block((), block.eqns[pos + 1 :], block.results)
                rest = substitute(rest, {made: new} if new is not made else {})
                eqns = (*block.eqns[:pos], *eqns, *rest.eqns)
                return Block(block.params, eqns, rest.results)
    eqns, new = written_back(final, param)
    results: list[Atom] = [*block.results]
    results[result] = new
    return Block(block.params, (*block.eqns, *eqns), tuple(results))


def _made_in(
    eqn: Eqn, made: Value, param: Value, parallel: bool
) -> tuple[Sequence[Eqn], Value] | None:
    """What makes an array, with the memory of a parameter instead of new one."""
    name = eqn.op.name
    if name == "empty":
        return (), param
    if name == "copy":
        return written_back(eqn.args[0], param, made.name)
    if name == "full":
        value, *extents = eqn.args
        fill, out = _filled(value, extents, param, made.name)
        return (fill,), out
    return _mapped(eqn, made, param, parallel) if name == "map_" else None


def _mapped(
    eqn: Eqn, made: Value, param: Value, parallel: bool
) -> tuple[Sequence[Eqn], Value] | None:
    """A loop over elements that fills the parameter, or adds to zeros in it.

    A sum over the last axes is gathered in a scalar; that array stays.
    """
    number = eqn.outs.index(made)
    ndim: int = eqn.params["ndim"]
    writer: Writer = eqn.params["writers"][number]
    if writer.kind == "new":
        return (stored(eqn, number, param),), made
    kept = [axis for axis in range(ndim) if axis not in writer.axes]
    if parallel or writer.kind != "sum" or not writer.axes:
        return None
    if max(kept) < min(writer.axes):
        return None
    zero = Const(0.0, ScalarType(param.type.dtype))
    fill, zeros = _filled(zero, [eqn.args[k] for k in kept], param, made.name)
    return (fill, stored(eqn, number, zeros)), made


def _filled(
    value: Atom, extents: Sequence[Atom], param: Value, name: str
) -> tuple[Eqn, Value]:
    """A loop that stores one value."""
    assert isinstance(param.type, ArrayType)
    at = tuple(Value(INDEX, "ijkl"[n % 4]) for n in range(param.type.rank))
    body = Block(at, (), (value, *at))
    out = Value(param.type, name)
    params = {"ndim": len(at), "writers": (Writer("store", 0),), "parallel": False}
    args = (*extents, param)
    return Eqn(lookup("map_"), args, (out,), params, (body,)), out
