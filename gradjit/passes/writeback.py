"""Arguments that a function writes into get their last version.

Mostly the last version is in the argument's memory already. Where it is not (the old
contents were still needed when it was made), it is copied there at the end.
"""

from __future__ import annotations

from gradjit.ir.build import index
from gradjit.ir.graph import Atom, Block, Eqn, Value
from gradjit.ir.op import lookup
from gradjit.ir.types import INDEX, ArrayType, ScalarType, dims
from gradjit.ops.region import Writer


def written_back(value: Atom, param: Value, name: str = "") -> tuple[list[Eqn], Value]:
    """Equations that copy a value into a parameter, and the parameter's version."""
    assert isinstance(param.type, ArrayType)
    eqns: list[Eqn] = []
    extents: list[Atom] = []
    for axis, known in enumerate(dims(param.type)):
        if known is not None:
            extents.append(index(known))
            continue
        extent = Value(INDEX)
        eqns.append(Eqn(lookup("dim"), (param,), (extent,), {"axis": axis}))
        extents.append(extent)
    at = tuple(Value(INDEX, "ijkl"[n % 4]) for n in range(len(extents)))
    element = Value(ScalarType(param.type.dtype))
    spec = {"spec": "i" * len(at), "dims": (), "checked": False}
    load = Eqn(lookup("index"), (value, *at), (element,), spec)
    body = Block(at, (load,), (element, *at))
    out = Value(param.type, name or param.name)
    params = {"ndim": len(at), "writers": (Writer("store", 0),), "parallel": False}
    eqns.append(Eqn(lookup("map_"), (*extents, param), (out,), params, (body,)))
    return eqns, out
