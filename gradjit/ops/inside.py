"""Index arrays that must be inside: checked before they are used.

The check is an equation of its own, not a property of the load: a gradient needs the
place of `x[p]` even where it does not need the value, and writes there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradjit.ir.build import Builder, current
from gradjit.ir.graph import Atom, Value
from gradjit.ops.sym import Sym, apply, elementwise, lift


def require_inside(x: Any, spec: str, args: Sequence[Any]) -> None:
    """Check `-n <= p < n` for the index arrays of a gather or scatter.

    Args:
        x: The array that is subscripted.
        spec: A spec of "a" and ":" (see `ops.array`).
        args: One index array or integer for each "a".
    """
    b = current()
    if not b.checks:
        return
    rest = list(args)
    for axis, char in enumerate(spec):
        if char == "a":
            _require(b, rest.pop(0), Sym(b.extent(lift(x), axis)), axis)


def _require(b: Builder, index: Any, extent: Sym, axis: int) -> None:
    atom = lift(index)
    count = _counted(b, atom)
    inside: Any
    if count is not None:
        need = b.facts.affine(extent.atom) - b.facts.affine(count)
        if b.facts.nonnegative(need):
            return
        inside = elementwise("le", Sym(count), extent)
    else:
        low = elementwise("ge", index, -extent)
        inside = elementwise("logical_and", low, elementwise("lt", index, extent))
    if isinstance(inside, bool):
        # Known now; one that is outside is refused by the subscript itself.
        inside = Sym(lift(inside))
    if inside.ndim:
        inside = apply("reduce_and", inside, axes=tuple(range(inside.ndim)))
    message = f"index out of bounds for axis {axis}"
    b.emit("check", lift(inside), kind="index", message=message)


def _counted(b: Builder, atom: Atom) -> Atom | None:
    """n, if the index array is 0, 1, ..., n - 1, or that with further axes."""
    eqn = b.facts.defs.get(atom) if isinstance(atom, Value) else None
    while (
        eqn is not None
        and eqn.op.name == "index"
        and set(eqn.params["spec"]) <= {"n", ":"}
    ):
        base = eqn.args[0]
        eqn = b.facts.defs.get(base) if isinstance(base, Value) else None
    if eqn is not None and eqn.op.name == "iota":
        return eqn.args[0]
    return None
