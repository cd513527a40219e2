"""Activity: which values depend on the inputs, and which reach the outputs.

`varied` goes forward, `useful` backward; a cotangent exists only where both hold. In
loops both are fixed points over the carries (Hascoet and Pascual, "The Tapenade
automatic differentiation tool", 2013, section 4).
"""

from __future__ import annotations

from collections.abc import Iterable

from gradjit.ir.graph import Block, Eqn, Value, values, walk
from gradjit.ir.types import is_float


def varied(block: Block, inputs: Iterable[Value]) -> set[Value]:
    """Values, in regions too, that depend differentiably on the inputs."""
    found = set(inputs)
    _forward(block, found)
    return found


def _forward(block: Block, found: set[Value]) -> None:
    for eqn in block.eqns:
        if eqn.op.name in ("for_", "while_"):
            _forward_loop(eqn, found)
        elif eqn.op.name == "if_":
            _forward_branches(eqn, found)
        elif not eqn.op.flat and any(a in found for a in values(eqn.args)):
            found.update(o for o in eqn.outs if is_float(o.type))


def _forward_loop(eqn: Eqn, found: set[Value]) -> None:
    body = eqn.regions[-1]
    skip = len(body.params) - len(eqn.outs)
    inits = eqn.args[len(eqn.args) - len(eqn.outs) :]
    params = body.params[skip:]
    found.update(
        p for p, a in zip(params, inits, strict=True) if a in found and is_float(p.type)
    )
    while True:
        before = len(found)
        _forward(body, found)
        for param, result in zip(params, body.results, strict=True):
            if result in found and is_float(param.type):
                found.add(param)
        if len(found) == before:
            break
    found.update(o for o, p in zip(eqn.outs, params, strict=True) if p in found)


def _forward_branches(eqn: Eqn, found: set[Value]) -> None:
    for region in eqn.regions:
        _forward(region, found)
        for out, result in zip(eqn.outs, region.results, strict=True):
            if result in found and is_float(out.type):
                found.add(out)


def useful(block: Block, seeds: Iterable[Value], active: set[Value]) -> set[Value]:
    """Values among `active` that can receive a cotangent from the seeds."""
    found = {v for v in seeds if v in active}
    _backward(block, found, active)
    return found


def _backward(block: Block, found: set[Value], active: set[Value]) -> None:
    for eqn in reversed(block.eqns):
        if eqn.op.name in ("for_", "while_"):
            _backward_loop(eqn, found, active)
        elif eqn.op.name == "if_":
            _backward_branches(eqn, found, active)
        elif _pops(eqn, active) or any(o in found for o in eqn.outs):
            found.update(a for a in values(eqn.args) if a in active)


def _pops(eqn: Eqn, active: set[Value]) -> bool:
    """Whether a cotangent must be pushed here to keep stacks in step."""
    return eqn.op.name == "pop" and eqn.args[0] in active


def _backward_loop(eqn: Eqn, found: set[Value], active: set[Value]) -> None:
    body = eqn.regions[-1]
    params = body.params[len(body.params) - len(eqn.outs) :]
    inits = eqn.args[len(eqn.args) - len(eqn.outs) :]
    pops = any(_pops(e, active) for e in walk(body))
    if not pops and not any(o in found for o in eqn.outs):
        return
    while True:
        before = len(found)
        for k, result in enumerate(body.results):
            reached = eqn.outs[k] in found or params[k] in found
            if reached and result in active:
                found.add(result)  # type: ignore[arg-type]
        _backward(body, found, active)
        if len(found) == before:
            break
    found.update(
        a
        for a, o, p in zip(inits, eqn.outs, params, strict=True)
        if isinstance(a, Value) and a in active and (o in found or p in found)
    )


def _backward_branches(eqn: Eqn, found: set[Value], active: set[Value]) -> None:
    for region in eqn.regions:
        for out, result in zip(eqn.outs, region.results, strict=True):
            if out in found and result in active:
                found.add(result)  # type: ignore[arg-type]
        _backward(region, found, active)
