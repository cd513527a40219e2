"""What each transform does to a traced function: block in, block out.

A transform gets the traced function as a `Primal` and gives a `Derived`: the block to
compile, and trees that say what to return.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from gradjit.errors import DtypeError, GradjitError
from gradjit.ir.graph import Block
from gradjit.ir.tree import flatten
from gradjit.ir.types import is_float
from gradjit.passes.ad import value_and_grad, vjp
from gradjit.passes.jvp import jvp
from gradjit.primal import GIVEN, Derived, Out, Primal, is_out, is_slot
from gradjit.transform import Grad, HessianVector, Pullback
from gradjit.wanted import (
    check_extents,
    described,
    matched,
    scalar_result,
    slot_types,
    wanted,
)


def gradient(transform: Grad, primal: Primal) -> Derived:
    """The gradient of the only result, and what else is returned."""
    out, aux = _with_aux(primal) if transform.has_aux else (primal.outputs, None)
    wrt = wanted(transform.name, primal, transform.argnums)
    k = scalar_result(transform.name, primal, out)
    others = [r for i, r in enumerate(primal.block.results) if i != k]
    block = primal.block
    first = Block(block.params, block.eqns, (block.results[k], *others))
    positions = [primal.position(s) for s in wrt.slots]
    joint = value_and_grad(first, positions, primal.budget, primal.notes)
    count = len(first.results)
    outs = [Out(count + j, s) for j, s in enumerate(wrt.slots)]
    grads = wrt.fill(outs)
    rest = _renumber(aux, lambda i: i + 1 if i < k else i)
    written: tuple[Out, ...] = ()
    if primal.extras:
        places = matched(primal, wrt.tree, primal.extras[0], "out", "the gradient")
        written = tuple(map(_into, outs, places))
        grads = GIVEN
    outputs = _gradient_outputs(transform, Out(0), rest, grads)
    return Derived(joint, outputs, written=written)


def _into(out: Out, slot: int) -> Out:
    return replace(out, into=slot)


def _gradient_outputs(transform: Grad, value: Any, aux: Any, grads: Any) -> Any:
    if transform.value:
        return ((value, aux), grads) if transform.has_aux else (value, grads)
    return (grads, aux) if transform.has_aux else grads


def pulled_back(transform: Pullback, primal: Primal) -> Derived:
    """Cotangents of all arguments, from parameters that are cotangents of results."""
    every = tuple(range(len(primal.args)))
    wrt = wanted(transform.name, primal, every, strict=False)
    leaves, tree = flatten(primal.outputs, is_out)
    outs: list[Out] = leaves
    given = matched(primal, tree, primal.extras[0], "the cotangent", "the result")
    block = primal.block
    picked = tuple(block.results[o.index] for o in outs)
    block = Block(block.params, block.eqns, picked)
    positions = [primal.position(s) for s in wrt.slots]
    joint = vjp(block, positions, primal.budget, primal.notes)
    added = joint.params[len(block.params) :]
    floats = [i for i, r in enumerate(picked) if is_float(r.type)]
    slots = tuple(given[i] for i in floats)
    pairs = list(zip([picked[i] for i in floats], added, strict=True))
    joint = check_extents(joint, pairs, "a cotangent has other extents than the result")
    count = len(picked)
    grads = wrt.fill([Out(count + j, s) for j, s in enumerate(wrt.slots)])
    return Derived(joint, grads, slots)


def pushed_forward(primal: Primal) -> Derived:
    """Results and their tangents, from parameters that are tangents of arguments."""
    pairs = _tangent_slots(primal, primal.args, primal.extras)
    joint, outs = _pushed(primal, pairs)
    return Derived(joint, (primal.outputs, outs), tuple(t for _, t in pairs))


def hessian_vector(transform: HessianVector, primal: Primal) -> Derived:
    """The tangent of what the inner function, a gradient, gives."""
    if isinstance(transform.argnums, tuple):
        chosen = tuple(primal.args[n] for n in transform.argnums)
    else:
        chosen = primal.args[transform.argnums]
    pairs = _tangent_slots(primal, chosen, primal.extras[0])
    joint, outs = _pushed(primal, pairs)
    return Derived(joint, outs, tuple(t for _, t in pairs))


# ------------------------------------------------------------------ their parts


def _with_aux(primal: Primal) -> tuple[Any, Any]:
    out = primal.outputs
    if not _is_pair(out):
        raise GradjitError(
            f"has_aux: {primal.name} has to return a pair (value, aux), and returned"
            f" {described(out)}"
        )
    return out


def _is_pair(out: Any) -> bool:
    return isinstance(out, tuple) and len(cast("tuple[Any, ...]", out)) == 2


def _renumber(tree: Any, move: Callable[[int], int]) -> Any:
    outs, shape = flatten(tree, is_out)
    return shape.unflatten(Out(move(o.index), o.like) for o in outs)


def _tangent_slots(primal: Primal, args: Any, tangents: Any) -> list[tuple[int, int]]:
    """Pairs of a float leaf and the leaf that is its tangent."""
    leaves, tree = flatten(args, is_slot)
    given = matched(primal, tree, tangents, "the tangent", "the argument")
    types = slot_types(primal)
    pairs = [
        (s.index, t)
        for s, t in zip(leaves, given, strict=True)
        if is_float(types[s.index])
    ]
    if not pairs:
        raise DtypeError(f"{primal.name} was given no float to differentiate by")
    return pairs


def _pushed(primal: Primal, pairs: list[tuple[int, int]]) -> tuple[Block, Any]:
    """The block with tangents, and the tree of the results' tangents."""
    block = primal.block
    joint = jvp(block, [primal.position(s) for s, _ in pairs])
    count = len(block.params)
    own = {s: joint.params[primal.position(s)] for s, _ in pairs}
    added = joint.params[count:]
    checks = [(own[s], t) for (s, _), t in zip(pairs, added, strict=True)]
    joint = check_extents(joint, checks, "a tangent has other extents than its primal")
    rows = [i for i, r in enumerate(block.results) if is_float(r.type)]
    outs, tree = flatten(primal.outputs, is_out)
    first = len(block.results)
    moved = [
        Out(first + rows.index(o.index), o.like) if o.index in rows else None
        for o in outs
    ]
    return joint, tree.unflatten(moved)
