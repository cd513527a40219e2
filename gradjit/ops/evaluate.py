"""The reference interpreter: what a graph means, on NumPy values.

Slow and plain. Tests hold every pass and the emitted code against it. Arrays are never
written in place here: an update is a copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradjit.ir.graph import Atom, Block, Const, Eqn, Graph, Value
from gradjit.ir.types import ScalarType
from gradjit.ops.region import Writer

Env = dict[Value, Any]


def evaluate(graph: Graph | Block, args: Sequence[Any]) -> list[Any]:
    """The results of a graph for arguments (arrays and numbers, flat)."""
    block = graph.block if isinstance(graph, Graph) else graph
    with np.errstate(all="ignore"):
        return _run(block, args, {})


def _run(block: Block, args: Sequence[Any], env: Env) -> list[Any]:
    env = {**env, **dict(zip(block.params, args, strict=True))}
    for eqn in block.eqns:
        outs = _step(eqn, [_read(a, env) for a in eqn.args], env)
        env.update(zip(eqn.outs, outs, strict=True))
    return [_read(a, env) for a in block.results]


def _read(atom: Atom, env: Env) -> Any:
    if isinstance(atom, Value):
        return env[atom]
    return atom.type.dtype.type(atom.value)


def _step(eqn: Eqn, args: list[Any], env: Env) -> Sequence[Any]:
    region = _REGIONS.get(eqn.op.name)
    if region is not None:
        return region(eqn, args, env)
    if eqn.op.evaluate is None:
        raise NotImplementedError(eqn.op.name)
    result = eqn.op.evaluate(*args, **eqn.params)
    outs = result if len(eqn.outs) != 1 else (result,)
    if len(eqn.outs) == 0:
        return ()
    return [_typed(v, o) for v, o in zip(outs, eqn.outs, strict=True)]


def _typed(value: Any, out: Value) -> Any:
    """Scalars as NumPy scalars of the declared dtype."""
    if isinstance(out.type, ScalarType):
        return out.type.dtype.type(value)
    return value


def _for(eqn: Eqn, args: list[Any], env: Env) -> Sequence[Any]:
    (body,) = eqn.regions
    start, stop, step, *carries = args
    for i in range(int(start), int(stop), int(step)):
        if eqn.params.get("exits") and carries[0]:
            break
        carries = _run(body, [np.int64(i), *carries], env)
    return carries


def _while(eqn: Eqn, args: list[Any], env: Env) -> Sequence[Any]:
    cond, body = eqn.regions
    carries = args
    while _run(cond, carries, env)[0]:
        carries = _run(body, carries, env)
    return carries


def _if(eqn: Eqn, args: list[Any], env: Env) -> Sequence[Any]:
    return _run(eqn.regions[0 if args[0] else 1], [], env)


_START = {"sum": 0, "prod": 1, "and": True, "or": False}
_FOLD = {
    "sum": np.add,
    "prod": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "and": np.logical_and,
    "or": np.logical_or,
}


def _map(eqn: Eqn, args: list[Any], env: Env) -> Sequence[Any]:
    ndim: int = eqn.params["ndim"]
    writers: Sequence[Writer] = eqn.params["writers"]
    extents = [int(e) for e in args[:ndim]]
    rows = [
        _run(eqn.regions[0], [np.int64(i) for i in at], env)
        for at in np.ndindex(*extents)
    ]
    outs: list[Any] = []
    column = 0
    dests: list[Any] = [np.array(d) for d in args[ndim:]]
    for writer, out in zip(writers, eqn.outs, strict=True):
        values = [r[column] for r in rows]
        column += 1
        if writer.kind in ("store", "add"):
            dest = dests[writer.dest]
            axes = int(dest.ndim)
            for r, v in zip(rows, values, strict=True):
                at = tuple(r[column : column + axes])
                dest[at] = v if writer.kind == "store" else dest[at] + v
            column += axes
            outs.append(dest)
            continue
        grid = np.array(values, dtype=None).reshape(extents)
        outs.append(_written(writer, grid, out.type.dtype))
    return [_typed(v, o) for v, o in zip(outs, eqn.outs, strict=True)]


def _written(writer: Writer, grid: Any, dtype: Any) -> Any:
    if writer.kind == "new":
        return grid.astype(dtype)
    if writer.kind in ("argmax", "argmin"):
        return getattr(np, writer.kind)(grid, axis=writer.axes[0])
    fold = _FOLD[writer.kind]
    if writer.kind in _START:
        return fold.reduce(grid.astype(dtype), axis=writer.axes)
    return fold.reduce(grid, axis=writer.axes).astype(dtype)


_REGIONS = {"for_": _for, "while_": _while, "if_": _if, "map_": _map}


def constant(value: Any) -> Const:
    """A constant of a NumPy scalar."""
    array = np.asarray(value)
    return Const(array.item(), ScalarType(array.dtype))
