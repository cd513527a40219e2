"""A cluster becomes a `map_`: one body, with a writer for each step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gradjit.errors import InternalError
from gradjit.ir.build import index
from gradjit.ir.graph import Atom, Eqn, Value
from gradjit.ir.op import lookup
from gradjit.ir.types import INDEX, ArrayType, ScalarType, dims
from gradjit.ops.region import Writer, WriterKind
from gradjit.passes.cluster import Cluster
from gradjit.passes.demand import is_one, spread
from gradjit.passes.element import REDUCTIONS, Index, slice_extents
from gradjit.passes.overlap import is_injective
from gradjit.passes.plan import Step
from gradjit.passes.usage import update_base

if TYPE_CHECKING:
    from gradjit.passes.fuse import Fuser


_NAMES = "ijklmnpqrst"


@dataclass(slots=True)
class _Nest:
    """What a `map_` is made of."""

    axes: list[Value]
    dests: list[Atom] = field(default_factory=list[Atom])
    chains: dict[Value, int] = field(default_factory=dict[Value, int])
    writers: list[Writer] = field(default_factory=list[Writer])
    results: list[Atom] = field(default_factory=list[Atom])
    outs: list[Value] = field(default_factory=list[Value])
    parallel: bool = True


def emit_cluster(fuser: Fuser, cluster: Cluster) -> None:
    """Append the loops of a cluster, and note where its results are."""
    b = fuser.b
    extents = [fuser.extent(e) for e in cluster.space]
    nest = _Nest([Value(INDEX, name) for name, _ in zip(_NAMES, extents, strict=False)])
    targets = [_target(fuser, nest, step) for step in cluster.steps]
    fuser.elements.memo.clear()
    if not nest.axes:
        for step, dest in zip(cluster.steps, targets, strict=True):
            _without_loops(fuser, nest, step, dest)
        return
    for axis, extent in zip(nest.axes, extents, strict=True):
        b.facts.index_range(axis, index(0), extent, index(1))
    b.open(nest.axes)
    for step, dest in zip(cluster.steps, targets, strict=True):
        with b.at(step.eqn.loc):
            _write(fuser, nest, step, dest)
    body = b.close(nest.results)
    params = {
        "ndim": len(extents),
        "writers": tuple(nest.writers),
        "parallel": nest.parallel,
    }
    args = (*extents, *nest.dests)
    loc = cluster.steps[0].eqn.loc
    b.append(Eqn(lookup("map_"), args, tuple(nest.outs), params, (body,), loc))
    fuser.elements.memo.clear()
    for step, out in zip(cluster.steps, nest.outs, strict=True):
        _note(fuser, step, out)


def _target(fuser: Fuser, nest: _Nest, step: Step) -> int:
    """The destination of an update or of an array with axes of extent 1, else -1."""
    eqn = step.eqn
    if step.kind == "write":
        base = update_base(eqn)
        assert base is not None
        place = nest.chains.get(base)
        if place is None:
            place = len(nest.dests)
            nest.dests.append(fuser.array(base, eqn.out.name))
        nest.chains[eqn.out] = place
        return place
    rows = fuser.recorder.rows
    if step.kind == "value" and any(is_one(e) for e in rows[eqn.out]):
        type_ = eqn.out.type
        assert isinstance(type_, ArrayType)
        args = [fuser.extent(e) for e in rows[eqn.out]]
        empty = fuser.b.emit1("empty", *args, dtype=type_.dtype, dims=type_.dims)
        nest.dests.append(empty)
        return len(nest.dests) - 1
    return -1


def _element(fuser: Fuser, nest: _Nest, step: Step) -> tuple[Atom, Index]:
    """The value of a step at the loop indices, and where it belongs."""
    eqn, elements, rows = step.eqn, fuser.elements, fuser.recorder.extents
    if step.kind == "write":
        return elements.written(eqn, spread(slice_extents(eqn, rows), nest.axes))
    if step.kind == "reduce":
        at = spread(rows(eqn.args[0]), nest.axes)
        return elements.at(eqn.args[0], at), ()
    at = spread(rows(eqn.out), nest.axes)
    return elements.of(eqn, at), at


def _write(fuser: Fuser, nest: _Nest, step: Step, dest: int) -> None:
    """Add the writer of a step to the nest."""
    value, at = _element(fuser, nest, step)
    kind = _kind(step, dest)
    nest.results.append(value)
    if kind in ("store", "add"):
        nest.results.extend(at)
        facts = fuser.b.facts
        sole = sum(w.dest == dest for w in nest.writers) == 0
        moving = set(nest.axes)
        nest.parallel &= sole and is_injective(facts, at, nest.axes, moving)
        out = Value(nest.dests[dest].type, step.eqn.out.name)
        nest.writers.append(Writer(kind, dest, (), None))
    else:
        axes = _reduced_axes(fuser, step)
        type_ = _result_type(fuser, step)
        out = Value(type_, step.eqn.out.name)
        nest.writers.append(Writer(kind, -1, axes, type_))
    nest.outs.append(out)


def _kind(step: Step, dest: int) -> WriterKind:
    if step.kind == "reduce":
        return REDUCTIONS[step.eqn.op.name]  # type: ignore[return-value]
    if dest < 0:
        return "new"
    return "add" if step.eqn.op.name in ("add_at", "scatter_add") else "store"


def _reduced_axes(fuser: Fuser, step: Step) -> tuple[int, ...]:
    """The loops that a reduction runs over."""
    if step.kind != "reduce":
        return ()
    extents = fuser.recorder.extents(step.eqn.args[0])
    loops = [k for k, e in enumerate(extents) if not is_one(e)]
    params = step.eqn.params
    axes = (params["axis"],) if "axis" in params else params["axes"]
    return tuple(loops.index(k) for k in axes if k in loops)


def _result_type(fuser: Fuser, step: Step) -> ScalarType | ArrayType:
    """The type of a fresh result, without axes of extent 1."""
    out = step.eqn.out
    shape = dims(out.type)
    rows = fuser.recorder.extents(out)
    kept = tuple(d for d, e in zip(shape, rows, strict=True) if not is_one(e))
    if kept:
        return ArrayType(out.type.dtype, kept)
    return ScalarType(out.type.dtype)


def _note(fuser: Fuser, step: Step, out: Value) -> None:
    """Note where the result of a step is, with all of its axes."""
    old = step.eqn.out
    missing = step.kind == "reduce" and len(dims(out.type)) < len(dims(old.type))
    if not missing:
        fuser.define(old, out)
        return
    extents = [fuser.extent(e) for e in fuser.recorder.extents(old)]
    b = fuser.b
    if dims(out.type):
        whole = b.emit1("reshape", out, *extents, dims=dims(old.type))
        fuser.define(old, whole)
    else:
        shape = dims(old.type)
        dtype = old.type.dtype
        made = b.emit1("full", out, *extents, dtype=dtype, dims=shape, name=old.name)
        fuser.define(old, made)


def _without_loops(fuser: Fuser, nest: _Nest, step: Step, dest: int) -> None:
    """A step over single elements: an update of one element, or just its value."""
    b, old = fuser.b, step.eqn.out
    with b.at(step.eqn.loc):
        value, at = _element(fuser, nest, step)
        if step.kind == "reduce":
            raise InternalError("a reduction of single elements is not in normal form")
        name = "add_at" if _kind(step, dest) == "add" else "store"
        spec = "i" * len(at)
        base = nest.dests[dest]
        out = b.emit1(name, base, value, *at, spec=spec, checked=False, name=old.name)
    nest.dests[dest] = out
    fuser.define(old, out)
