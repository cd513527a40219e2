"""Results that the caller has arrays for are written into those.

Each becomes a parameter. Where a result is allocated once, in the block of the function
itself, that allocation goes and the parameter takes its place: what `place` has proved
of the fresh array (nobody else sees it) holds for an array that nobody reads, too.
Other results - those of a branch, of a matrix product - are copied at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradjit.ir.graph import Atom, Block, Const, Eqn, Graph, Value, substitute
from gradjit.ir.op import lookup
from gradjit.ir.types import INDEX, TRUTH, ScalarType, dims
from gradjit.ops.region import Writer
from gradjit.passes.alias import origin
from gradjit.passes.columns import stored
from gradjit.passes.writeback import written_back


@dataclass(frozen=True, slots=True)
class _Place:
    """A parameter that a result is written into.

    Attributes:
        param: The parameter.
        of: What the result is the gradient by.
        parallel: Whether loops will be divided: sums, into arrays of each thread.
    """

    param: Value
    of: str
    parallel: bool


def deliver(
    graph: Graph, into: Sequence[tuple[int, int]], parallel: bool = False
) -> Graph:
    """The graph with parameters for some of its results, added at the end.

    Where an array was made or copied, it is checked that the parameter has its extents.

    Args:
        graph: A placed graph of the `program` stage.
        into: For each such result its number, and that of a parameter of the same type
            that it is the gradient by. The caller sees to it that the arrays are apart
            from all others.
        parallel: Whether loops will be divided among threads.
    """
    mutated = dict(graph.mutated)
    for result, like in into:
        model = graph.block.params[like]
        old = graph.block.results[result]
        name = old.name if isinstance(old, Value) else ""
        if not name or name in (p.name for p in graph.block.params):
            name = f"d_{model.name}"
        param = Value(model.type, name)
        block = _delivered(graph.block, result, _Place(param, model.name, parallel))
        mutated[len(block.params)] = result
        block = Block((*block.params, param), block.eqns, block.results)
        graph = Graph(graph.name, block, mutated)
    return graph


def _delivered(block: Block, result: int, place: _Place) -> Block:
    """The block with one result in the memory of the parameter."""
    final = block.results[result]
    made = origin(block, final)
    for pos, eqn in enumerate(block.eqns):
        if made in eqn.outs and made.type == place.param.type:
            assert isinstance(made, Value)
            found = _made_in(eqn, made, place)
            if found is not None:
                eqns, new = found
                rest = Block((), block.eqns[pos + 1 :], block.results)
                rest = substitute(rest, {made: new} if new is not made else {})
                eqns = (*block.eqns[:pos], *eqns, *rest.eqns)
                return Block(block.params, eqns, rest.results)
    eqns, new = _copied(final, place)
    results: list[Atom] = [*block.results]
    results[result] = new
    return Block(block.params, (*block.eqns, *eqns), tuple(results))


# What makes an array: equations, and the value that the array is afterwards.
_Made = tuple[Sequence[Eqn], Value]


def _made_in(eqn: Eqn, made: Value, place: _Place) -> _Made | None:
    """What makes an array, with the memory of a parameter instead of new one."""
    name = eqn.op.name
    if name == "empty":
        return _same_extents(eqn.args, place), place.param
    if name == "copy":
        return _copied(eqn.args[0], place, made.name)
    if name == "full":
        value, *extents = eqn.args
        return _filled(value, extents, place, made.name)
    return _mapped(eqn, made, place) if name == "map_" else None


def _mapped(eqn: Eqn, made: Value, place: _Place) -> _Made | None:
    """A loop over elements that fills the parameter, or adds to zeros in it.

    A sum over the last axes is gathered in a scalar; that array stays.
    """
    number = eqn.outs.index(made)
    ndim: int = eqn.params["ndim"]
    writer: Writer = eqn.params["writers"][number]
    if writer.kind == "new":
        checks = _same_extents(eqn.args[:ndim], place)
        return (*checks, stored(eqn, number, place.param)), made
    kept = [axis for axis in range(ndim) if axis not in writer.axes]
    if place.parallel or writer.kind != "sum" or not writer.axes:
        return None
    if max(kept) < min(writer.axes):
        return None
    zero = Const(0.0, ScalarType(place.param.type.dtype))
    fill, zeros = _filled(zero, [eqn.args[k] for k in kept], place, made.name)
    return (*fill, stored(eqn, number, zeros)), made


def _filled(value: Atom, extents: Sequence[Atom], place: _Place, name: str) -> _Made:
    """A loop that stores one value."""
    param = place.param
    at = tuple(Value(INDEX, "ijkl"[n % 4]) for n in range(len(extents)))
    body = Block(at, (), (value, *at))
    out = Value(param.type, name)
    params = {"ndim": len(at), "writers": (Writer("store", 0),), "parallel": False}
    loop = Eqn(lookup("map_"), (*extents, param), (out,), params, (body,))
    return (*_same_extents(extents, place), loop), out


def _copied(value: Atom, place: _Place, name: str = "") -> _Made:
    """A loop that copies an array."""
    eqns: list[Eqn] = []
    extents: list[Atom] = []
    for axis in range(len(dims(place.param.type))):
        extent = Value(INDEX)
        eqns.append(Eqn(lookup("dim"), (value,), (extent,), {"axis": axis}))
        extents.append(extent)
    loop, out = written_back(value, place.param, name)
    return (*eqns, *_same_extents(extents, place), *loop), out


def _same_extents(extents: Sequence[Atom], place: _Place) -> list[Eqn]:
    """Checks that the parameter has the extents of what it stands for."""
    eqns: list[Eqn] = []
    for axis, extent in enumerate(extents):
        known = dims(place.param.type)[axis]
        if known is not None and isinstance(extent, Const) and extent.value == known:
            continue
        ours, same = Value(INDEX), Value(TRUTH)
        message = f"out for the gradient by {place.of} has another shape"
        check = {"kind": "shape", "message": message}
        eqns += [
            Eqn(lookup("dim"), (place.param,), (ours,), {"axis": axis}),
            Eqn(lookup("eq"), (ours, extent), (same,)),
            Eqn(lookup("check"), (same,), (), check),
        ]
    return eqns
