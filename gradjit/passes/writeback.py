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

_UPDATES = frozenset({"store", "add_at", "scatter", "scatter_add"})


def is_home(block: Block, atom: Atom, param: Value) -> bool:
    """Whether a value of a placed block is in the memory of a parameter."""
    return origin(block, atom) is param


def origin(block: Block, atom: Atom) -> Atom:
    """The parameter, or the outer value, in whose memory a value is."""
    made = {out: eqn for eqn in block.eqns for out in eqn.outs}
    while isinstance(atom, Value) and atom in made:
        before = _before(made[atom], atom)
        if before is None:
            return atom
        atom = before
    return atom


def _before(eqn: Eqn, out: Value) -> Atom | None:
    """The value of the same block whose memory a result has, if there is one."""
    name, k = eqn.op.name, eqn.outs.index(out)
    if name in _UPDATES:
        return eqn.args[0]
    if name == "map_":
        dest: int = eqn.params["writers"][k].dest
        ndim: int = eqn.params["ndim"]
        return eqn.args[ndim + dest] if dest >= 0 else None
    if name in ("for_", "while_"):
        body = eqn.regions[-1]
        param = body.params[len(body.params) - len(eqn.outs) + k]
        kept = is_home(body, body.results[k], param)
        return eqn.args[len(eqn.args) - len(eqn.outs) + k] if kept else None
    if name == "if_":
        then, orelse = (origin(r, r.results[k]) for r in eqn.regions)
        return then if then is orelse else None
    return None


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
