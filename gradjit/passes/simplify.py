"""Simplification of a graph by building it again.

The builder folds constants and finds repeated equations on the way; this pass adds what
concerns regions: branches whose condition is known, results that both branches share,
booleans that only repeat the condition, and carries that a loop leaves as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradjit.ir.build import Builder, look
from gradjit.ir.graph import Atom, Block, Const, Eqn, Graph, Value, substitute
from gradjit.ir.types import TRUTH


def simplify(graph: Graph) -> Graph:
    """The same function with less in it. Results are equal bit for bit."""
    b = Builder(checks=False)
    with b.active():
        b.open(graph.block.params)
        env: dict[Value, Atom] = {}
        _equations(b, graph.block.eqns, env)
        results = tuple(look(r, env) for r in graph.block.results)
        return Graph(graph.name, b.close(results), graph.mutated)


def _equations(b: Builder, eqns: Sequence[Eqn], env: dict[Value, Atom]) -> None:
    for eqn in eqns:
        with b.at(eqn.loc):
            if eqn.op.name == "if_":
                _branch(b, eqn, env)
            elif eqn.op.name in ("for_", "while_"):
                _loop(b, eqn, env)
            elif eqn.op.name == "check" and _holds(b, eqn, look(eqn.args[0], env)):
                continue
            else:
                b.copy(eqn, env)


def _holds(b: Builder, eqn: Eqn, atom: Atom) -> bool:
    """Whether a condition is true, or has been checked on the way here."""
    if isinstance(atom, Const):
        return bool(atom.value)
    key = ("check", atom, eqn.params["kind"])
    if any(key in frame.seen for frame in b.frames):
        return True
    b.frames[-1].seen[key] = ()
    return False


def _block(b: Builder, block: Block, env: dict[Value, Atom]) -> Block:
    """A branch, built again."""
    b.open(())
    inner = dict(env)
    _equations(b, block.eqns, inner)
    return b.close(tuple(look(r, inner) for r in block.results))


def _branch(b: Builder, eqn: Eqn, env: dict[Value, Atom]) -> None:
    pred = look(eqn.args[0], env)
    if isinstance(pred, Const):
        taken = eqn.regions[0 if pred.value else 1]
        _equations(b, taken.eqns, env)
        env.update(zip(eqn.outs, (look(r, env) for r in taken.results), strict=True))
        return
    then, orelse = (_block(b, r, env) for r in eqn.regions)
    kept: list[int] = []
    for k, (x, y) in enumerate(zip(then.results, orelse.results, strict=True)):
        same = _shared(b, pred, x, y)
        if same is None:
            kept.append(k)
        else:
            env[eqn.outs[k]] = same
    if not kept and not then.eqns and not orelse.eqns:
        return
    regions = tuple(
        Block((), r.eqns, tuple(r.results[k] for k in kept)) for r in (then, orelse)
    )
    names = [eqn.outs[k].name for k in kept]
    outs = b.emit("if_", pred, regions=regions, names=names)
    env.update(zip((eqn.outs[k] for k in kept), outs, strict=True))


def _shared(b: Builder, pred: Atom, x: Atom, y: Atom) -> Atom | None:
    """What a result of a branch is without the branch."""
    if x is y:
        return x
    if not (isinstance(x, Const) and isinstance(y, Const)):
        return None
    if x.key() == y.key():
        return x
    if x.type == TRUTH and y.type == TRUTH:
        return pred if x.value else b.emit1("logical_not", pred)
    return None


def _loop(b: Builder, eqn: Eqn, env: dict[Value, Atom]) -> None:
    """A loop; carries that come out as they went in become outer values."""
    args = [look(a, env) for a in eqn.args]
    count = len(eqn.outs)
    head = len(args) - count
    if eqn.op.name == "for_" and _never(args):
        env.update(zip(eqn.outs, args[head:], strict=True))
        return
    body = eqn.regions[-1]
    skip = len(body.params) - count
    still = _unchanged(body, skip, args[head:])
    kept = [k for k in range(count) if k not in still]
    gone = {
        region.params[len(region.params) - count + k]: atom
        for region in eqn.regions
        for k, atom in still.items()
    }
    regions = [_trim(r, kept, count, gone, r is body) for r in eqn.regions]
    inits = [args[head + k] for k in kept]
    rebuilt = tuple(
        _region(b, r, regions[-1], env, [*args[:head], *inits], eqn) for r in regions
    )
    names = [eqn.outs[k].name for k in kept]
    outs = b.emit(
        eqn.op, *args[:head], *inits, regions=rebuilt, names=names, **eqn.params
    )
    env.update(zip((eqn.outs[k] for k in kept), outs, strict=True))
    env.update((eqn.outs[k], atom) for k, atom in still.items())


def _never(args: Sequence[Atom]) -> bool:
    """Whether a range is empty, provably."""
    bounds = [a.value for a in args[:3] if isinstance(a, Const)]
    return len(bounds) == 3 and len(range(*map(int, bounds))) == 0


def _unchanged(body: Block, skip: int, inits: Sequence[Atom]) -> dict[int, Atom]:
    """Carries whose result is their parameter, and what they are."""
    return {
        k: init
        for k, init in enumerate(inits)
        if body.results[k] is body.params[skip + k]
    }


def _trim(
    region: Block,
    kept: Sequence[int],
    count: int,
    gone: dict[Value, Atom],
    is_body: bool,
) -> Block:
    """The region without some carries."""
    skip = len(region.params) - count
    params = (*region.params[:skip], *(region.params[skip + k] for k in kept))
    results = region.results
    if is_body:
        results = tuple(results[k] for k in kept)
    return substitute(Block(params, region.eqns, results), gone)


def _region(
    b: Builder,
    region: Block,
    body: Block,
    env: dict[Value, Atom],
    args: Sequence[Atom],
    eqn: Eqn,
) -> Block:
    params = tuple(Value(p.type, p.name) for p in region.params)
    b.open(params)
    if eqn.op.name == "for_":
        b.facts.index_range(params[0], args[0], args[1], args[2])
    b.carry_extents(body, params, args)
    inner = {**env, **dict(zip(region.params, params, strict=True))}
    _equations(b, region.eqns, inner)
    return b.close(tuple(look(r, inner) for r in region.results))
