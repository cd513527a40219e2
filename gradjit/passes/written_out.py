"""Which loops are written out so that small arrays can live in scalars."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from gradjit.ir.graph import Atom, Block, Eqn, Value, values
from gradjit.ir.types import INT64, ScalarType
from gradjit.ops.region import Writer
from gradjit.passes.columns import columns
from gradjit.passes.small import Groups, integers

# Most iterations of a loop, and most statements that a nest of loops becomes; and the
# same of a whole program.
TRIPS, NEST, PROGRAM = 64, 512, 4096


def trips(eqn: Eqn, bounds: Sequence[Atom]) -> range | None:
    """The iterations of a `for_` that has few, with these bounds."""
    known = integers(bounds)
    if known is None or eqn.params.get("exits") or not known[2]:
        return None
    found = range(*known)
    return found if len(found) <= TRIPS else None


def points(eqn: Eqn, bounds: Sequence[Atom]) -> tuple[int, ...] | None:
    """The extents of a `map_` over few elements that can be written out."""
    known = integers(bounds)
    writers: tuple[Writer, ...] = eqn.params["writers"]
    if known is None or any(w.kind.startswith("arg") for w in writers):
        return None
    return tuple(known) if 1 <= prod(known) <= TRIPS else None


def weight(block: Block) -> int:
    """How many statements a block becomes once its small loops are written out.

    A loop whose length depends on one around it counts as one iteration.
    """
    total = 0
    for eqn in block.eqns:
        times = 1
        if is_counted(eqn):
            bounds = _bounds(eqn)
            if eqn.op.name == "map_":
                times = prod(integers(bounds) or ())
            else:
                times = len(trips(eqn, bounds) or (0,))
        total += 1 + max(times, 1) * sum(map(weight, eqn.regions))
    return total


def is_counted(eqn: Eqn) -> bool:
    """Whether an equation is a loop that says itself how often it runs."""
    return eqn.op.name in ("for_", "map_") and integers(_bounds(eqn)) is not None


def _bounds(eqn: Eqn) -> Sequence[Atom]:
    return eqn.args[: 3 if eqn.op.name == "for_" else eqn.params["ndim"]]


def touches(eqn: Eqn, groups: Groups) -> bool:
    """Whether a loop reads or writes elements of arrays that are to be scalars.

    The elements are those that its own indices choose; a `map_` may make such an array.
    """
    body = eqn.regions[0]
    if eqn.op.name == "map_" and any(map(groups.dissolves, eqn.outs)):
        return True
    moving = {p for p in body.params if p.type.dtype == INT64 and _is_scalar(p)}
    return _chooses(body, moving, groups)


def _is_scalar(value: Value) -> bool:
    return isinstance(value.type, ScalarType)


def _chooses(block: Block, moving: set[Value], groups: Groups) -> bool:
    """Whether a subscript of such an array follows one of some integers."""
    for eqn in block.eqns:
        name = eqn.op.name
        if name in ("index", "store", "add_at"):
            array = eqn.args[0] if name == "index" else eqn.out
            at = eqn.args[1:] if name == "index" else eqn.args[2:]
            if groups.dissolves(array) and any(v in moving for v in values(at)):
                return True
        if name == "map_" and _writes(eqn, moving, groups):
            return True
        if name == "for_" and any(v in moving for v in values(eqn.args[:3])):
            moving.add(eqn.regions[0].params[0])
        if eqn.op.kind == "elementwise" and any(v in moving for v in values(eqn.args)):
            moving.update(eqn.outs)
        if any(_chooses(r, moving, groups) for r in eqn.regions):
            return True
    return False


def _writes(eqn: Eqn, moving: set[Value], groups: Groups) -> bool:
    """Whether a `map_` writes to a place in such an array that the integers choose."""
    for out, column in zip(eqn.outs, columns(eqn), strict=True):
        if groups.dissolves(out) and any(v in moving for v in values(column[1:])):
            return True
    return False
