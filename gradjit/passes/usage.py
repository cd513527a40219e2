"""How equations use arrays: what they read as views, and what they overwrite."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from gradjit.ir.bounds import Facts
from gradjit.ir.graph import Atom, Const, Eqn, Value
from gradjit.ir.op import lookup
from gradjit.ir.types import dims
from gradjit.passes.element import UPDATES, is_array

# One element at a time, the same inside a region, as a whole, as a view for BLAS, as a
# view with its elements in the order of memory.
Use = Literal["element", "captured", "memory", "view", "straight"]
Defs = dict[Value, Eqn]


def as_uses(use: Use, arrays: Iterable[Value]) -> list[tuple[Use, Value]]:
    """The same use of several arrays."""
    return [(use, a) for a in arrays]


def update_base(eqn: Eqn) -> Value | None:
    """The array that an update makes a new version of."""
    base = eqn.args[0] if eqn.op.name in UPDATES else None
    return base if isinstance(base, Value) else None


def stretch(eqn: Eqn, extents: Sequence[Atom]) -> Eqn | None:
    """What is written to all of an array, as an array of its own; else None."""
    base, value = eqn.args[:2]
    whole = eqn.op.name == "store" and set(eqn.params["spec"]) == {":"}
    shape = dims(base.type)
    if not whole or value.type.dtype != base.type.dtype:
        return None
    if len(dims(value.type)) > len(shape):
        return None
    args = (value, *extents)
    return Eqn(lookup("broadcast"), args, eqn.outs, {"dims": shape}, (), eqn.loc)


def view_root(value: Value, defs: Defs, straight: bool = False) -> Value:
    """The array that has to be in memory so that `value` can be a view of it.

    A view for BLAS has rows whose elements lie side by side, or is the transpose of
    one; `straight` asks for elements in the order of memory.
    """
    eqn = defs.get(value)
    if eqn is None:
        return value
    name, base = eqn.op.name, eqn.args[0]
    rows = name == "index" and (_is_block_of_rows(eqn) if straight else _has_rows(eqn))
    if rows or name == "reshape" or (name == "transpose" and not straight):
        assert isinstance(base, Value)
        return view_root(base, defs, straight=name != "transpose")
    return value


def _is_block_of_rows(eqn: Eqn) -> bool:
    spec = eqn.params["spec"]
    inner = spec.lstrip("i")
    if inner.startswith("s"):
        step = eqn.args[1 + len(spec) - len(inner) + 2]
        inner = inner[1:] if isinstance(step, Const) and step.value == 1 else "?"
    return set(inner) == {":"} or (not inner and "s" in spec)


def _has_rows(eqn: Eqn) -> bool:
    """Whether a view is a vector, or has rows whose elements lie side by side."""
    spec: str = eqn.params["spec"]
    steps = iter(eqn.args[1:])
    for char in spec:
        if char == "n":
            return False
        if char == "s":
            _, _, step = next(steps), next(steps), next(steps)
            if not isinstance(step, Const) or step.value != 1:
                return False
        elif char == "i":
            next(steps)
    return spec[-1] != "i" or len(spec) - spec.count("i") == 1


def learn(facts: Facts, eqn: Eqn) -> None:
    """Take note of the equality that a check makes sure of."""
    if eqn.op.name != "check" or eqn.params["kind"] != "shape":
        return
    cond = eqn.args[0]
    made = facts.defs.get(cond) if isinstance(cond, Value) else None
    if made is not None and made.op.name == "eq":
        facts.equate(*made.args)


def consumed(eqn: Eqn) -> Iterator[Value]:
    """Arrays that an equation makes new versions of, its regions included."""
    base = update_base(eqn)
    if base is not None:
        yield base
    if eqn.op.name in ("for_", "while_"):
        body = eqn.regions[-1]
        skip = 1 if eqn.op.name == "for_" else 0
        inits = eqn.args[3:] if skip else eqn.args
        for init, param, result in zip(
            inits, body.params[skip:], body.results, strict=True
        ):
            if isinstance(init, Value) and is_array(init) and result is not param:
                yield init
    for region in eqn.regions:
        for inner in region.eqns:
            yield from consumed(inner)
