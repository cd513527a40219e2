"""Long loops cut into segments, so that the way back saves less and computes more.

A loop of T iterations becomes a loop over segments around a loop over iterations, with
`levels` loops in all. A segment is marked `checkpoint`: on the way back the state at
its start is there, and it is run again. With L levels of about T**(1/L) iterations,
L - 1 more forward passes save L * T**(1/L) states instead of T.

After Griewank and Walther, "Evaluating Derivatives", 2nd ed. (2008), section 12.2,
multilevel checkpointing; for loops of unknown length, segments have as many iterations
as there is memory for states.
"""

from __future__ import annotations

from gradjit.ir.build import Builder, index, look
from gradjit.ir.graph import Atom, Block, Const, Eqn, Value
from gradjit.ir.types import INDEX, REAL, ArrayType, ScalarType, Type
from gradjit.passes.memory import Memory
from gradjit.passes.recompute import trip_count


def segment(block: Block, memory: Memory) -> Block:
    """The block with its outermost loops cut into `memory.levels` levels."""
    if memory.levels < 2:
        return block
    b = Builder(checks=False)
    with b.active():
        b.open(block.params)
        env: dict[Value, Atom] = {}
        _equations(b, block.eqns, env, memory)
        return b.close(tuple(look(r, env) for r in block.results))


def _equations(
    b: Builder, eqns: tuple[Eqn, ...], env: dict[Value, Atom], memory: Memory
) -> None:
    for eqn in eqns:
        with b.at(eqn.loc):
            if eqn.op.name == "for_" and not eqn.params.get("checkpoint"):
                outs = _counted(b, _renamed(eqn, env), env, memory)
            elif eqn.op.name == "while_":
                outs = _unknown(b, _renamed(eqn, env), env, memory)
            elif eqn.op.name == "if_" and not eqn.params.get("checkpoint"):
                outs = _branch(b, eqn, env, memory)
            else:
                b.copy(eqn, env)
                continue
        env.update(zip(eqn.outs, outs, strict=True))


def _renamed(eqn: Eqn, env: dict[Value, Atom]) -> Eqn:
    return eqn.with_(args=tuple(look(a, env) for a in eqn.args))


def _branch(
    b: Builder, eqn: Eqn, env: dict[Value, Atom], memory: Memory
) -> tuple[Value, ...]:
    regions: list[Block] = []
    for region in eqn.regions:
        b.open(())
        inner = dict(env)
        _equations(b, region.eqns, inner, memory)
        regions.append(b.close(tuple(look(r, inner) for r in region.results)))
    outs = tuple(Value(o.type, o.name) for o in eqn.outs)
    pred = look(eqn.args[0], env)
    b.append(eqn.with_(args=(pred,), outs=outs, regions=tuple(regions)))
    return outs


# ------------------------------------------------------------------ counted loops


def _counted(
    b: Builder, eqn: Eqn, env: dict[Value, Atom], memory: Memory
) -> tuple[Value, ...]:
    """for_: the sizes of the segments of all levels are chosen before the loop."""
    total = trip_count(b, *eqn.args[:3])
    sizes = [_root(b, total, k, memory.levels) for k in range(1, memory.levels)]
    return _nested(b, eqn, env, eqn.args[:3], sizes[::-1])


def _root(b: Builder, total: Atom, k: int, levels: int) -> Atom:
    """total ** (k / levels), rounded up: the iterations of a segment."""
    real = b.emit1("cast", total, dtype=REAL.dtype, weak=False)
    power = b.emit1("ceil", b.emit1("pow", real, Const(k / levels, REAL)))
    whole = b.emit1("cast", power, dtype=INDEX.dtype, weak=False)
    return b.emit1("maximum", whole, index(1), name="size")


def _nested(
    b: Builder,
    eqn: Eqn,
    env: dict[Value, Atom],
    span: tuple[Atom, ...],
    sizes: list[Atom],
) -> tuple[Value, ...]:
    """The loop over `span` as segments of the first size, and so on inside."""
    start, stop, step = span
    outs = tuple(Value(o.type, o.name) for o in eqn.outs)
    if not sizes:
        regions = tuple(b.copy_block(r, env, eqn) for r in eqn.regions)
        args = (start, stop, step, *eqn.args[3:])
        b.append(eqn.with_(args=args, outs=outs, regions=regions))
        return outs
    size, *rest = sizes
    stride = b.emit1("mul", size, step)
    at = Value(INDEX, eqn.regions[0].params[0].name)
    params = tuple(Value(p.type, p.name) for p in eqn.regions[0].params[1:])
    b.open((at, *params))
    b.carry_extents(eqn.regions[0], params, eqn.args)
    end = _no_further(b, b.emit1("add", at, stride), stop, step)
    inner = eqn.with_(args=(*eqn.args[:3], *params))
    results = _nested(b, inner, env, (at, end, step), rest)
    region = b.close(results)
    marked = {**eqn.params, "checkpoint": True}
    args = (start, stop, stride, *eqn.args[3:])
    b.append(Eqn(eqn.op, args, outs, marked, (region,), eqn.loc))
    return outs


def _no_further(b: Builder, end: Atom, stop: Atom, step: Atom) -> Atom:
    """The end of a segment, or of the whole loop if that comes first."""
    if isinstance(step, Const):
        return b.emit1("minimum" if step.value > 0 else "maximum", end, stop)
    low, high = (b.emit1(name, end, stop) for name in ("minimum", "maximum"))
    return b.emit1("where", b.emit1("gt", step, index(0)), low, high)


# ------------------------------------------------------- loops of unknown length


def _unknown(
    b: Builder, eqn: Eqn, env: dict[Value, Atom], memory: Memory
) -> tuple[Value, ...]:
    """while_: segments of as many iterations as there is memory for states."""
    limit = _affordable(b, eqn, memory)
    for _ in range(memory.levels - 1):
        eqn = _limited(b, eqn, env, limit)
        env = {}
    outs = tuple(Value(o.type, o.name) for o in eqn.outs)
    regions = tuple(b.copy_block(r, env, eqn) for r in eqn.regions)
    b.append(eqn.with_(outs=outs, regions=regions))
    return outs


def _affordable(b: Builder, eqn: Eqn, memory: Memory) -> Atom:
    """How many states fit into the share of a level.

    An iteration may save more than its state: four times that is allowed for.
    """
    total: Atom = Const(16.0, REAL)
    for arg in eqn.args:
        size: Atom = Const(float(_itemsize(arg.type)), REAL)
        for extent in b.extents(arg):
            real = b.emit1("cast", extent, dtype=REAL.dtype, weak=False)
            size = b.emit1("mul", size, real)
        total = b.emit1("add", total, size)
    count = b.emit1("floor", b.emit1("div", Const(memory.share / 4.0, REAL), total))
    count = b.emit1("minimum", count, Const(1e15, REAL))
    whole = b.emit1("cast", count, dtype=INDEX.dtype, weak=False)
    return b.emit1("maximum", whole, index(1))


def _itemsize(type_: Type) -> int:
    return type_.dtype.itemsize if isinstance(type_, ScalarType | ArrayType) else 0


def _limited(b: Builder, eqn: Eqn, env: dict[Value, Atom], limit: Atom) -> Eqn:
    """The loop over loops of at most `limit` iterations."""
    cond, body = eqn.regions
    outer = b.copy_block(cond, env, eqn)
    params = tuple(Value(p.type, p.name) for p in body.params)
    b.open(params)
    b.carry_extents(body, params, eqn.args)
    outs = tuple(Value(o.type, o.name) for o in eqn.outs)
    count = Value(INDEX, "step")
    inner = eqn.with_(
        args=(index(0), *params),
        outs=(count, *outs),
        regions=(_while_below(b, cond, env, limit), _counting(b, body, env)),
    )
    b.append(inner)
    region = b.close(outs)
    return eqn.with_(regions=(outer, region), params={**eqn.params, "checkpoint": True})


def _while_below(b: Builder, cond: Block, env: dict[Value, Atom], limit: Atom) -> Block:
    """The condition, and that the count is below the limit."""
    copy = b.copy_block(cond, env)
    at = Value(INDEX, "step")
    b.open((at, *copy.params))
    b.frames[-1].eqns.extend(copy.eqns)
    test = b.emit1("lt", at, limit)
    both = b.emit1("logical_and", test, copy.results[0])
    return b.close((both,))


def _counting(b: Builder, body: Block, env: dict[Value, Atom]) -> Block:
    copy = b.copy_block(body, env)
    at = Value(INDEX, "step")
    b.open((at, *copy.params))
    b.frames[-1].eqns.extend(copy.eqns)
    return b.close((b.emit1("add", at, index(1)), *copy.results))
