"""Cotangents and tangents brought to the extents of what they belong to."""

from __future__ import annotations

from typing import Any

from gradjit.ir.build import current
from gradjit.ir.graph import Const, Value
from gradjit.ir.types import dims
from gradjit.ops import array
from gradjit.ops.sym import Sym, apply, lift


def times(g: Any, slope: Any) -> Any:
    """g * slope; without the product by one, and g / x where the slope is 1 / x."""
    if isinstance(slope, int | float):
        return g if slope == 1 else -g if slope == -1 else slope * g
    if _is_one(g, slope):
        return slope
    divisor = _reciprocal(slope)
    return g * slope if divisor is None else g / divisor


def _is_one(g: Any, slope: Any) -> bool:
    """Whether g is one, of the type and the shape of the slope."""
    b, one, like = current(), lift(g), lift(slope)
    eqn = b.facts.defs.get(one) if isinstance(one, Value) else None
    if eqn is None or eqn.op.name != "broadcast" or one.type != like.type:
        return False
    filled = eqn.args[0]
    if not isinstance(filled, Const) or filled.value != 1:
        return False
    pairs = zip(b.extents(one), b.extents(like), strict=True)
    return all(x is y or (isinstance(x, Const) and x == y) for x, y in pairs)


def _reciprocal(slope: Any) -> Any:
    """x, if the slope is 1 / x."""
    atom = lift(slope)
    eqn = current().facts.defs.get(atom) if isinstance(atom, Value) else None
    if eqn is None or eqn.op.name != "div":
        return None
    top, below = eqn.args
    one = isinstance(top, Const) and top.value == 1.0
    return Sym(below) if one and below.type == atom.type else None


def unbroadcast(g: Any, like: Value) -> Any:
    """g summed over the axes along which its primal was stretched."""
    have, want = dims(lift(g).type), dims(like.type)
    lead = len(have) - len(want)
    if lead < 0:
        return g
    added = tuple(range(lead))
    stretched = tuple(
        k + lead for k, d in enumerate(want) if d == 1 and have[k + lead] != 1
    )
    if not added and not stretched:
        return g
    out = apply("reduce_sum", g, axes=added + stretched)
    return array.new_axes(out, tuple(k - lead for k in stretched))


def stretch(g: Any, like: Value) -> Any:
    """g at the extents of its primal (a scalar contribution to an array)."""
    have, want = dims(lift(g).type), dims(like.type)
    if len(have) == len(want) and all(
        h == w or h != 1 for h, w in zip(have, want, strict=True)
    ):
        return g
    b = current()
    extents = b.extents(like)
    if not have:
        return array.full(g, [Sym(e) for e in extents], lift(g).type.dtype, want)
    return Sym(b.emit1("broadcast", lift(g), *extents, dims=want))
