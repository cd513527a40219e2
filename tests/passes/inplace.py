"""Runs a placed program as the emitted code does: updates write into their arrays.

The reference interpreter never writes in place. What both give is the same only if
`place` is right: that is what its tests compare. Iterations of a `map_` that says it is
parallel run in a shuffled order, and memory that was never set holds NaN.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradjit.ir.graph import Atom, Block, Eqn, Graph, Value
from gradjit.ir.types import ArrayType, ScalarType
from gradjit.ops.array import subscript
from gradjit.passes.columns import columns

Env = dict[Value, Any]

_START = {"sum": 0, "prod": 1, "and": True, "or": False}
_FOLD = {
    "maximum": np.maximum,
    "minimum": np.minimum,
    "sum": np.add,
    "prod": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
    "and": np.logical_and,
    "or": np.logical_or,
}


def execute(graph: Graph, args: Sequence[Any], seed: int = 0) -> list[Any]:
    """The results of a placed program; arrays among `args` may be results."""
    with np.errstate(all="ignore"):
        return _Machine(random.Random(seed)).run(graph.block, args, {})


class _Machine:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def run(self, block: Block, args: Sequence[Any], env: Env) -> list[Any]:
        env = {**env, **dict(zip(block.params, args, strict=True))}
        for eqn in block.eqns:
            self.step(eqn, env)
        return [_read(r, env) for r in block.results]

    def step(self, eqn: Eqn, env: Env) -> None:
        args = [_read(a, env) for a in eqn.args]
        rule = getattr(self, f"_{eqn.op.name.strip('_')}", None)
        outs = rule(eqn, args, env) if rule else _plain(eqn, args)
        env.update(zip(eqn.outs, outs, strict=True))

    # ------------------------------------------------------- updates and views

    def _store(self, eqn: Eqn, args: list[Any], env: Env) -> list[Any]:
        base, value, *at = args
        base[subscript(eqn.params["spec"], at)] = value
        return [base]

    def _add_at(self, eqn: Eqn, args: list[Any], env: Env) -> list[Any]:
        base, value, *at = args
        base[subscript(eqn.params["spec"], at)] += value
        return [base]

    def _index(self, eqn: Eqn, args: list[Any], env: Env) -> list[Any]:
        return [args[0][subscript(eqn.params["spec"], args[1:])]]

    def _transpose(self, eqn: Eqn, args: list[Any], env: Env) -> list[Any]:
        return [np.transpose(args[0], eqn.params["perm"])]

    def _reshape(self, eqn: Eqn, args: list[Any], env: Env) -> list[Any]:
        out = np.reshape(args[0], args[1:])
        assert np.shares_memory(out, args[0]) or out.size == 0
        return [out]

    def _empty(self, eqn: Eqn, args: list[Any], env: Env) -> list[Any]:
        dtype = eqn.params["dtype"]
        return [np.full(args, np.nan if dtype.kind == "f" else 77, dtype)]

    # ----------------------------------------------------------------- regions

    def _for(self, eqn: Eqn, args: list[Any], env: Env) -> list[Any]:
        start, stop, step, *carries = args
        for i in range(int(start), int(stop), int(step)):
            if eqn.params.get("exits") and carries[0]:
                break
            carries = self.run(eqn.regions[0], [np.int64(i), *carries], env)
        return carries

    def _while(self, eqn: Eqn, args: list[Any], env: Env) -> list[Any]:
        cond, body = eqn.regions
        while self.run(cond, args, env)[0]:
            args = self.run(body, args, env)
        return args

    def _if(self, eqn: Eqn, args: list[Any], env: Env) -> list[Any]:
        return self.run(eqn.regions[0 if args[0] else 1], [], env)

    def _map(self, eqn: Eqn, args: list[Any], env: Env) -> list[Any]:
        ndim, writers = eqn.params["ndim"], eqn.params["writers"]
        extents = [int(e) for e in args[:ndim]]
        rows: list[Any] = []
        outs = [
            args[ndim + w.dest] if w.dest >= 0 else np.empty(extents, _dtype(w, c[0]))
            for w, c in zip(writers, columns(eqn), strict=True)
        ]
        order = list(np.ndindex(*extents))
        if eqn.params["parallel"]:
            self.rng.shuffle(order)
        for at in order:
            rows = self.run(eqn.regions[0], [np.int64(i) for i in at], env)
            for writer, out in zip(writers, outs, strict=True):
                value, rows = rows[0], rows[1:]
                if writer.dest < 0:
                    out[at] = value
                    continue
                place, rows = tuple(rows[: out.ndim]), rows[out.ndim :]
                out[place] = value if writer.kind == "store" else out[place] + value
        return [
            _reduced(w, o, v) for w, o, v in zip(writers, outs, eqn.outs, strict=True)
        ]


def _dtype(writer: Any, value: Atom) -> Any:
    if writer.kind in ("max", "min", "argmax", "argmin"):
        return value.type.dtype
    return writer.type.dtype


def _reduced(writer: Any, grid: Any, out: Value) -> Any:
    if writer.kind in ("new", "store", "add"):
        return grid
    if writer.kind in ("argmax", "argmin"):
        return _typed(getattr(np, writer.kind)(grid, axis=writer.axes[0]), out)
    return _typed(_FOLD[writer.kind].reduce(grid, axis=writer.axes), out)


def _typed(value: Any, out: Value) -> Any:
    if isinstance(out.type, ScalarType):
        return out.type.dtype.type(value)
    assert isinstance(out.type, ArrayType)
    return np.asarray(value, out.type.dtype)


def _plain(eqn: Eqn, args: list[Any]) -> Sequence[Any]:
    assert eqn.op.evaluate is not None, eqn.op.name
    result = eqn.op.evaluate(*args, **eqn.params)
    if len(eqn.outs) != 1:
        return result if eqn.outs else ()
    return [_typed(result, eqn.out) if isinstance(eqn.out.type, ScalarType) else result]


def _read(atom: Atom, env: Env) -> Any:
    if isinstance(atom, Value):
        return env[atom]
    return atom.type.dtype.type(atom.value)
