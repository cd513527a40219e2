"""A load of the element that was just stored is the number that was stored.

    centred[c] = x[c] - mean[c]                t = x[c] - mean[c]
    image[c] = scale[c] * centred[c]           centred[c] = t
                                               image[c] = scale[c] * t

What a program keeps in work arrays is then known where it is used, and a derivative
need not save what was in the array: it can compute the number again.
"""

from __future__ import annotations

from gradjit.ir.bounds import Facts, gather_facts
from gradjit.ir.graph import Atom, Block, Eqn, Value, substitute
from gradjit.ir.types import INT64, ArrayType
from gradjit.passes.subscript import WRITES, Subscript, apart, same

_FIRST = {"index": 1, "store": 2, "add_at": 2}
# How many writes a load is compared with.
_REACH = 16


def forward_stores(block: Block, settled: bool = False) -> Block:
    """The block without loads of what it has just stored.

    Args:
        block: A valid block.
        settled: Whether nothing goes by the weakness of numbers any more, as in the
            `program` stage.
    """
    return _block(block, gather_facts(block), {}, settled)


def _block(block: Block, facts: Facts, made: dict[Value, Eqn], settled: bool) -> Block:
    """A block; `made` are the writes in front of it, whose versions do not change."""
    gone: dict[Value, Atom] = {}
    eqns: list[Eqn] = []
    for eqn in block.eqns:
        if eqn.regions:
            regions = tuple(_block(r, facts, made, settled) for r in eqn.regions)
            eqn = eqn.with_(regions=regions)
        if eqn.op.name in WRITES:
            made[eqn.out] = eqn
        write = _stored(eqn, made, facts) if eqn.op.name == "index" else None
        stored = write.args[1] if write and _is_kept(write, settled) else None
        if stored is None:
            eqns.append(eqn)
        else:
            gone[eqn.out] = stored
    return substitute(Block(block.params, tuple(eqns), block.results), gone)


def _stored(load: Eqn, made: dict[Value, Eqn], facts: Facts) -> Eqn | None:
    """The write of the block that put there what a load finds."""
    at = _place(load, facts)
    array = load.args[0]
    if at is None:
        return None
    for _ in range(_REACH):
        write = made.get(array) if isinstance(array, Value) else None
        place = _place(write, facts) if write is not None else None
        if write is None or place is None:
            return None
        if same(place, at):
            return write
        if not apart(facts, place, at):
            return None
        array = write.args[0]
    return None


def _place(eqn: Eqn, facts: Facts) -> Subscript | None:
    """The element that an equation is about, checked or not."""
    if set(eqn.params["spec"]) != {"i"}:
        return None
    forms = tuple(facts.affine(a) for a in eqn.args[_FIRST[eqn.op.name] :])
    exact = all(v.type.dtype == INT64 for form in forms for v in form.terms)
    return forms if exact else None


def _is_kept(write: Eqn, settled: bool) -> bool:
    """Whether an array takes a number as it is."""
    value, array = write.args[1].type, write.out.type
    if write.op.name != "store" or isinstance(value, ArrayType):
        return False
    fits = settled or not getattr(value, "weak", False)
    return value.dtype == array.dtype and fits
