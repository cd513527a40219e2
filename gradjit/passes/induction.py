"""Integers that a loop counts with become expressions of its index.

    at = 0                                     for col in range(d):
    for col in range(d):                           at0 = col * (d - 1) - ...
        for row in range(col + 1, d):              for row in range(col + 1, d):
            s += low[at] * x[row]                      s += low[at0 + row - (col + 1)]
            at += 1                                                     * x[row]

A carry that grows by the same number in each iteration, or by one that is affine in
the index, has a closed form. Nothing has to be kept of it for the way back, an index
made of it is checked once in front of the loop, and the iterations are free of one
another.

Induction variables in the sense of Allen, Cocke and Kennedy, "Reduction of Operator
Strength" (1981), where the way is the other one, which LLVM goes afterwards.
"""

from __future__ import annotations

from typing import NamedTuple

from gradjit.ir.bounds import Affine, Facts, gather_facts
from gradjit.ir.build import Builder, index
from gradjit.ir.graph import Atom, Block, Const, Eqn, Value, defined, substitute
from gradjit.ir.types import INT64, ScalarType
from gradjit.passes.subscript import emit_affine


def close_counters(block: Block) -> Block:
    """The block without carries that are counters.

    Args:
        block: A valid block of the `graph` stage.
    """
    return _block(block, gather_facts(block))


class _Growth(NamedTuple):
    """What a carry grows by in iteration t: first + t * more."""

    first: Affine
    more: int


def _block(block: Block, facts: Facts) -> Block:
    eqns: list[Eqn] = []
    gone: dict[Value, Atom] = {}
    for eqn in block.eqns:
        if eqn.regions:
            eqn = eqn.with_(regions=tuple(_block(r, facts) for r in eqn.regions))
        if eqn.op.name != "for_":
            eqns.append(eqn)
            continue
        found = _counters(eqn, facts)
        if not found:
            eqns.append(eqn)
            continue
        loop, after = _closed(eqn, found, facts, gone)
        eqns += [loop, *after]
    return substitute(Block(block.params, tuple(eqns), block.results), gone)


def _counters(eqn: Eqn, facts: Facts) -> dict[int, _Growth]:
    """The carries of a loop that have a closed form."""
    start, _, step = eqn.args[:3]
    if eqn.params.get("exits") or not isinstance(step, Const):
        return {}
    if step.value not in (1, -1) or any(a.type.dtype != INT64 for a in eqn.args[:3]):
        return {}
    (body,) = eqn.regions
    inside = defined(body)
    out: dict[int, _Growth] = {}
    for k, (param, result) in enumerate(
        zip(body.params[1:], body.results, strict=True)
    ):
        if not isinstance(param.type, ScalarType) or param.type.dtype != INT64:
            continue
        form = facts.affine(result) - Affine(0, {param: 1})
        more = form.terms.get(body.params[0], 0)
        first = form - Affine(0, {body.params[0]: more})
        if any(v in inside or v.type.dtype != INT64 for v in first.terms):
            continue
        first += facts.affine(start).scale(more)
        out[k] = _Growth(first, more * int(step.value))
    return out


def _closed(
    eqn: Eqn, found: dict[int, _Growth], facts: Facts, gone: dict[Value, Atom]
) -> tuple[Eqn, tuple[Eqn, ...]]:
    """The loop without counters, and what they are behind it; `gone` learns that."""
    start, stop, step, *inits = eqn.args
    assert isinstance(step, Const)
    (body,) = eqn.regions
    up = step.value == 1
    b = Builder(checks=False)
    b.facts = facts
    b.open(())
    with b.at(eqn.loc):
        inside: dict[Value, Atom] = {}
        i = body.params[0]
        done = b.emit1("sub", i, start) if up else b.emit1("sub", start, i)
        for k, growth in found.items():
            inside[body.params[1 + k]] = _after(b, inits[k], growth, done)
        front = b.close(()).eqns
        b.open(())
        ends = (stop, start) if up else (start, stop)
        trips = b.emit1("maximum", b.emit1("sub", *ends), index(0))
        for k, growth in found.items():
            last = _after(b, inits[k], growth, trips)
            gone[eqn.outs[k]] = last
            facts.alias(eqn.outs[k], last)
        after = b.close(()).eqns
    kept = [k for k in range(len(inits)) if k not in found]
    inner = Block(
        (i, *(body.params[1 + k] for k in kept)),
        (*front, *body.eqns),
        tuple(body.results[k] for k in kept),
    )
    loop = eqn.with_(
        args=(start, stop, step, *(inits[k] for k in kept)),
        outs=tuple(eqn.outs[k] for k in kept),
        regions=(substitute(inner, inside),),
    )
    return loop, after


def _after(b: Builder, init: Atom, growth: _Growth, count: Atom) -> Atom:
    """What a counter is after a number of iterations."""
    out = init
    if growth.first.terms or growth.first.constant:
        step = b.emit1("mul", count, emit_affine(b, growth.first))
        out = b.emit1("add", out, step)
    if growth.more:
        before = b.emit1("sub", count, index(1))
        pairs = b.emit1("shr", b.emit1("mul", count, before), index(1))
        out = b.emit1("add", out, b.emit1("mul", pairs, index(growth.more)))
    return out
