"""Forward mode: every equation with its tangent beside it.

Loops carry tangents along with values, branches return them. Nothing is saved, so a
function of one input is best differentiated this way (Griewank and Walther, 2008, 3.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradjit.errors import NotDifferentiableError
from gradjit.ir.build import Builder, look
from gradjit.ir.graph import Atom, Block, Const, Eqn, Value
from gradjit.ir.types import ScalarType, StackType, dims, is_float
from gradjit.ops import array
from gradjit.ops.region import claims
from gradjit.ops.sym import Sym, elementwise, lift
from gradjit.passes.activity import varied
from gradjit.passes.cotangent import stretch, times


def jvp(block: Block, wrt: Sequence[int]) -> Block:
    """The block with tangents.

    Args:
        block: Any block.
        wrt: Positions of float parameters that have a tangent.

    Returns:
        A block with parameters: those of `block`, then a tangent for each of `wrt`;
        and results: those of `block`, then a tangent for each float result.
    """
    return _Forward(block, wrt).run()


class _Forward:
    """One forward walk."""

    def __init__(self, block: Block, wrt: Sequence[int]) -> None:
        self.block = block
        self.wrt = [block.params[k] for k in wrt]
        self.b = Builder(checks=False)
        self.active = varied(block, self.wrt)
        self.env: dict[Value, Atom] = {}
        self.tangents: dict[Value, Atom] = {}

    def run(self) -> Block:
        b, block = self.b, self.block
        params = [Value(p.type, p.name) for p in block.params]
        seeds = [Value(p.type, f"t_{p.name}" if p.name else "") for p in self.wrt]
        self.env.update(zip(block.params, params, strict=True))
        self.tangents.update(zip(self.wrt, seeds, strict=True))
        with b.active():
            b.open((*params, *seeds))
            self.walk(block)
            results = [look(r, self.env) for r in block.results]
            results += [self.tangent(r) for r in block.results if is_float(r.type)]
            return b.close(results)

    def walk(self, block: Block) -> None:
        for eqn in block.eqns:
            with self.b.at(eqn.loc):
                self.step(eqn)

    def tangent(self, atom: Atom) -> Atom:
        """The tangent of an original atom; zeros where it has none."""
        if isinstance(atom, Value) and atom in self.tangents:
            return self.tangents[atom]
        if isinstance(atom, Const):
            return Const(0.0, atom.type)
        return lift(array.zeros_like(look(atom, self.env)))

    def step(self, eqn: Eqn) -> None:
        name = eqn.op.name
        if name in ("for_", "while_"):
            self.loop(eqn)
        elif name == "if_":
            self.branch(eqn)
        elif eqn.op.kind == "stack":
            self.stack(eqn)
        else:
            self.b.copy(eqn, self.env)
            if len(eqn.outs) == 1 and eqn.out in self.active:
                self.plain(eqn)

    def plain(self, eqn: Eqn) -> None:
        """An equation without regions, by its op's rule."""
        op = eqn.op
        out = Sym(look(eqn.out, self.env))
        args = [Sym(look(a, self.env)) for a in eqn.args]
        ts = [
            Sym(self.tangents[a])
            if isinstance(a, Value) and a in self.tangents
            else None
            for a in eqn.args
        ]
        if op.partials is not None:
            t = self.elementwise(eqn, out, args, ts)
        elif op.linear:
            t = self.linear(eqn, args, ts)
        elif op.jvp is not None:
            t = op.jvp(ts, out, args, eqn.params)
        else:
            raise NotDifferentiableError(
                f"{op.name} has no derivative: {op.why_not or 'none is known'}",
                eqn.loc,
                "stop the gradient there with gradjit.stop_gradient, or use another"
                " function.",
            )
        if t is None:
            return
        made = out.atom
        fitted = stretch(t, made) if isinstance(made, Value) else t
        self.set(eqn.out, self.at_dtype(lift(fitted), eqn.out))

    def at_dtype(self, t: Atom, like: Value) -> Atom:
        dtype = like.type.dtype
        if t.type.dtype == dtype:
            return t
        if isinstance(t, Const):
            return Const(float(t.value), ScalarType(dtype))
        return self.b.emit1("cast", t, dtype=dtype, weak=False)

    def set(self, value: Value, tangent: Atom) -> None:
        self.tangents[value] = tangent
        if value.name and isinstance(tangent, Value) and not tangent.name:
            object.__setattr__(tangent, "name", f"t_{value.name}")

    def elementwise(self, eqn: Eqn, out: Sym, args: list[Sym], ts: list[Any]) -> Any:
        total: Any = None
        assert eqn.op.partials is not None
        for t, partial in zip(ts, eqn.op.partials, strict=True):
            if t is None or partial is None:
                continue
            slope = partial(out, *args, **eqn.params)
            if slope is None:
                continue
            term = times(t, slope)
            total = term if total is None else elementwise("add", total, term)
        return total

    def linear(self, eqn: Eqn, args: list[Sym], ts: list[Any]) -> Any:
        """The op itself on tangents; zeros where an argument has none."""
        operands: list[Atom] = []
        for k, (arg, t) in enumerate(zip(args, ts, strict=True)):
            if k not in eqn.op.linear:
                operands.append(arg.atom)
            elif t is not None:
                operands.append(t.atom)
            elif not dims(arg.type):
                operands.append(Const(0.0, ScalarType(arg.dtype)))
            else:
                operands.append(lift(array.zeros_like(arg.atom)))
        params = dict(eqn.params)
        if "checked" in params:
            params["checked"] = False
        return Sym(self.b.emit1(eqn.op, *operands, **params))

    # ---------------------------------------------------------- stacks, regions

    def stack(self, eqn: Eqn) -> None:
        """A stack of values has a stack of tangents beside it."""
        b = self.b
        float_ = is_float(eqn.outs[0].type)
        before = [self.tangent(a) for a in eqn.args] if float_ else []
        b.copy(eqn, self.env)
        if not float_:
            return
        if eqn.op.name == "stack_new":
            item = eqn.outs[0].type
            assert isinstance(item, StackType)
            self.tangents[eqn.out] = b.emit1("stack_new", item=item.item)
        elif eqn.op.name == "push":
            self.tangents[eqn.out] = b.emit1("push", *before)
        else:
            outs = b.emit("pop", before[0])
            self.tangents.update(zip(eqn.outs, outs, strict=True))

    def has_tangent(self, value: Value) -> bool:
        """Whether a carry has one: an active float, or any stack of floats."""
        stack = isinstance(value.type, StackType) and is_float(value.type)
        return value in self.active or stack

    def loop(self, eqn: Eqn) -> None:
        body = eqn.regions[-1]
        count = len(eqn.outs)
        skip = len(eqn.args) - count
        inits = eqn.args[skip:]
        carries = body.params[len(body.params) - count :]
        with_t = [k for k in range(count) if self.has_tangent(carries[k])]
        args = [look(a, self.env) for a in eqn.args]
        args += [self.tangent(inits[k]) for k in with_t]
        regions = tuple(self.region(eqn, r, with_t, r is not body) for r in eqn.regions)
        names = [o.name for o in eqn.outs]
        names += [f"t_{eqn.outs[k].name}" if eqn.outs[k].name else "" for k in with_t]
        params = {**eqn.params, **claims(eqn)}
        outs = self.b.emit(eqn.op, *args, regions=regions, names=names, **params)
        self.env.update(zip(eqn.outs, outs[:count], strict=True))
        for k, t in zip(with_t, outs[count:], strict=True):
            self.tangents[eqn.outs[k]] = t

    def region(
        self, eqn: Eqn, block: Block, with_t: Sequence[int], is_cond: bool
    ) -> Block:
        b, count = self.b, len(eqn.outs)
        params = [Value(p.type, p.name) for p in block.params]
        carries = block.params[len(block.params) - count :]
        ts = [
            Value(carries[k].type, f"t_{carries[k].name}" if carries[k].name else "")
            for k in with_t
        ]
        self.env.update(zip(block.params, params, strict=True))
        self.tangents.update(zip((carries[k] for k in with_t), ts, strict=True))
        b.open((*params, *ts))
        if eqn.op.name == "for_":
            start, stop, step = (look(a, self.env) for a in eqn.args[:3])
            b.facts.index_range(params[0], start, stop, step)
        inits = [look(a, self.env) for a in eqn.args]
        b.carry_extents(eqn.regions[-1], params, inits)
        self.walk(block)
        results = [look(r, self.env) for r in block.results]
        if not is_cond:
            results += [self.tangent(block.results[k]) for k in with_t]
        return b.close(results)

    def branch(self, eqn: Eqn) -> None:
        with_t = [k for k, o in enumerate(eqn.outs) if self.has_tangent(o)]
        count = len(eqn.outs)
        regions: list[Block] = []
        for block in eqn.regions:
            self.b.open(())
            self.walk(block)
            results = [look(r, self.env) for r in block.results]
            results += [self.tangent(block.results[k]) for k in with_t]
            regions.append(self.b.close(results))
        names = [o.name for o in eqn.outs]
        names += [f"t_{eqn.outs[k].name}" if eqn.outs[k].name else "" for k in with_t]
        pred = look(eqn.args[0], self.env)
        outs = self.b.emit("if_", pred, regions=tuple(regions), names=names)
        self.env.update(zip(eqn.outs, outs[:count], strict=True))
        for k, t in zip(with_t, outs[count:], strict=True):
            self.tangents[eqn.outs[k]] = t
