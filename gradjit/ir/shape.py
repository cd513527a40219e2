"""Which loop carries keep their extents from one iteration to the next."""

from __future__ import annotations

from gradjit.ir.graph import Atom, Block, Eqn, Value
from gradjit.ir.types import ArrayType, dims

_UPDATES = frozenset({"store", "add_at", "scatter", "scatter_add", "copy"})


def makers(block: Block) -> dict[Value, Eqn]:
    """The equations of a block (not of its regions) by their results."""
    return {out: eqn for eqn in block.eqns for out in eqn.outs}


def kept_extents(body: Block, params: tuple[Value, ...]) -> list[bool]:
    """For each carry whether its result has the extents of its parameter.

    Carries that exchange places (`a, b = b, a`) are not among them.
    """
    made = makers(body)
    results = body.results[: len(params)]
    return [
        isinstance(p.type, ArrayType) and _origin(r, made) is p
        for p, r in zip(params, results, strict=True)
    ]


def _origin(atom: Atom, made: dict[Value, Eqn]) -> Atom:
    """The value that an array is an updated version of, as far as can be seen."""
    while isinstance(atom, Value):
        eqn = made.get(atom)
        if eqn is None:
            return atom
        name = eqn.op.name
        if name in _UPDATES:
            atom = eqn.args[0]
        elif name in ("for_", "while_"):
            k = eqn.outs.index(atom)
            body = eqn.regions[-1]
            params = body.params[len(body.params) - len(eqn.outs) :]
            if not kept_extents(body, params)[k]:
                return atom
            atom = eqn.args[len(eqn.args) - len(eqn.outs) + k]
        elif name == "if_":
            k = eqn.outs.index(atom)
            ends = [_origin(r.results[k], {**made, **makers(r)}) for r in eqn.regions]
            if ends[0] is not ends[1]:
                return atom
            atom = ends[0]
        elif eqn.op.kind == "elementwise":
            wide = [
                a
                for a in eqn.args
                if len(dims(a.type)) == len(dims(atom.type)) and 1 not in dims(a.type)
            ]
            if not wide:
                return atom
            atom = wide[0]
        else:
            return atom
    return atom
