"""Dead code goes: equations, carries, branch results and writers that nothing needs.

One backward walk over a block with a set of needed values. A loop's carry is needed if
its result is, or if the body computes something needed from it: a fixed point, so that
a carry which only feeds itself goes.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradjit.ir.graph import Atom, Block, Eqn, Graph, Value, eqn_uses, values, walk
from gradjit.ops.region import Writer
from gradjit.passes.columns import columns


def eliminate(graph: Graph) -> Graph:
    """The graph without what its results and checks do not need."""
    block = graph.block
    return Graph(graph.name, _swept(block, set(values(block.results))), graph.mutated)


def _swept(block: Block, needed: set[Value]) -> Block:
    """The block without what is not needed; `needed` learns what it reads."""
    kept: list[Eqn] = []
    for eqn in reversed(block.eqns):
        rule = _RULES.get(eqn.op.name)
        if rule is not None:
            new = rule(eqn, needed)
        elif not _acts_itself(eqn) and not any(o in needed for o in eqn.outs):
            new = None
        else:
            new = eqn
        if new is not None:
            kept.append(new)
            needed.update(eqn_uses(new))
    return Block(block.params, tuple(reversed(kept)), block.results)


def _acts(*blocks: Block) -> bool:
    """Whether a region has an effect."""
    return any(_acts_itself(e) for block in blocks for e in walk(block))


def _acts_itself(eqn: Eqn) -> bool:
    """Whether an equation is needed for more than its result: a subscript may raise.

    The derivative of `x[i]` writes to that place of the cotangent and relies on it.
    Once `fuse` has proven or checked the subscript, the equation can go.
    """
    return not eqn.op.pure or bool(eqn.params.get("checked"))


def _pick(items: Sequence[Atom], which: Sequence[int]) -> tuple[Atom, ...]:
    return tuple(items[k] for k in which)


def _loop(eqn: Eqn, needed: set[Value]) -> Eqn | None:
    """A loop with the carries that count."""
    counted = eqn.op.name == "for_"
    first, skip = (3, 1) if counted else (0, 0)
    body = eqn.regions[-1]
    carried = body.params[skip:]
    live = {k for k, o in enumerate(eqn.outs) if o in needed}
    if not live and not _acts(*eqn.regions):
        return None
    if counted and eqn.params.get("exits"):
        live.add(0)
    conditions: set[Value] = set()
    for region in eqn.regions[:-1]:
        _swept(region, conditions := set(values(region.results)))
    while True:
        inside = set(values([body.results[k] for k in live])) | conditions
        _swept(body, inside)
        places = [eqn.regions[0].params if not counted else (), carried]
        grown = live | {k for ps in places for k, p in enumerate(ps) if p in inside}
        if grown == live:
            break
        live = grown
    which = sorted(live)
    return _narrowed(eqn, which, first, skip)


def _narrowed(eqn: Eqn, which: list[int], first: int, skip: int) -> Eqn:
    """The loop with these carries only, and its regions swept."""
    body = eqn.regions[-1]
    results = _pick(body.results, which)
    params = (*body.params[:skip], *(body.params[skip + k] for k in which))
    inner = _swept(Block(params, body.eqns, results), set(values(results)))
    heads = tuple(
        _swept(
            Block(tuple(r.params[k] for k in which), r.eqns, r.results),
            set(values(r.results)),
        )
        for r in eqn.regions[:-1]
    )
    return eqn.with_(
        args=(*eqn.args[:first], *(eqn.args[first + k] for k in which)),
        outs=tuple(eqn.outs[k] for k in which),
        regions=(*heads, inner),
    )


def _branch(eqn: Eqn, needed: set[Value]) -> Eqn | None:
    """A branch with the results that count."""
    which = [k for k, o in enumerate(eqn.outs) if o in needed]
    if not which and not _acts(*eqn.regions):
        return None
    regions: list[Block] = []
    for region in eqn.regions:
        results = _pick(region.results, which)
        block = Block(region.params, region.eqns, results)
        regions.append(_swept(block, set(values(results))))
    outs = tuple(eqn.outs[k] for k in which)
    return eqn.with_(outs=outs, regions=tuple(regions))


def _map(eqn: Eqn, needed: set[Value]) -> Eqn | None:
    """A map with the writers that count."""
    writers: tuple[Writer, ...] = eqn.params["writers"]
    (body,) = eqn.regions
    ndim = eqn.params["ndim"]
    dests = eqn.args[ndim:]
    live = {w.dest for w, o in zip(writers, eqn.outs, strict=True) if o in needed}
    which = [
        k
        for k, (w, o) in enumerate(zip(writers, eqn.outs, strict=True))
        if o in needed or (w.dest >= 0 and w.dest in live)
    ]
    if not which and not _acts(body):
        return None
    parts = list(columns(eqn))
    results = tuple(a for k in which for a in parts[k])
    kept = sorted({writers[k].dest for k in which if writers[k].dest >= 0})
    renamed = tuple(
        Writer(w.kind, kept.index(w.dest) if w.dest >= 0 else -1, w.axes, w.type)
        for w in (writers[k] for k in which)
    )
    return eqn.with_(
        args=(*eqn.args[:ndim], *(dests[d] for d in kept)),
        outs=tuple(eqn.outs[k] for k in which),
        params={**eqn.params, "writers": renamed},
        regions=(_swept(Block(body.params, body.eqns, results), set(values(results))),),
    )


_RULES = {"for_": _loop, "while_": _loop, "if_": _branch, "map_": _map}
