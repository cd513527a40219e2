"""Reverse mode: a backward walk over a block that appends to the same block.

A loop becomes its reversed loop, a branch its mirrored branch; cotangents are carried.
The backward code names forward values freely, those inside loops too; `residual` then
decides how each of them gets there. Every rule is written in the language of programs,
so that the result is a graph like any other and can be differentiated again.

After Griewank and Walther, "Evaluating Derivatives", 2nd ed. (2008), chapters 3-4; with
cotangents as values, as in Radul et al., "You Only Linearize Once" (2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradjit.errors import NotDifferentiableError
from gradjit.ir.graph import Atom, Block, Const, Eqn, Value, free, substitute, values
from gradjit.ir.op import Params
from gradjit.ir.types import INDEX, ScalarType, StackType, dims, is_float
from gradjit.ops import array
from gradjit.ops.region import claims
from gradjit.ops.sym import Sym, lift
from gradjit.passes.activity import useful, varied
from gradjit.passes.adjoints import Adjoints
from gradjit.passes.alias import is_array
from gradjit.passes.cotangent import times
from gradjit.passes.joined import Joined, note_extent, note_regions
from gradjit.passes.remat import another, repeated
from gradjit.passes.report import Kept, kept
from gradjit.passes.residual import Residuals


def value_and_grad(
    block: Block,
    wrt: Sequence[int],
    budget: int | None = None,
    notes: list[Kept] | None = None,
) -> Block:
    """The block with cotangents of some parameters as further results.

    Args:
        block: Its first result is the float scalar to differentiate.
        wrt: Positions of float parameters.
        budget: What saved values may take, in bytes; checked at run time. With 0,
            what can be computed again is not saved, and nothing is checked.
        notes: Learns what is kept for the way back.

    Returns:
        A block with the same parameters, and results: those of `block`, then one
        cotangent for each of `wrt`.
    """
    out = block.results[0].type
    assert isinstance(out, ScalarType)
    seeds: list[Atom | None] = [None] * len(block.results)
    seeds[0] = Const(1.0, out)
    return _Reverse(block, wrt, budget, notes).run(seeds, ())


def vjp(
    block: Block,
    wrt: Sequence[int],
    budget: int | None = None,
    notes: list[Kept] | None = None,
) -> Block:
    """The block with cotangents of its float results as further parameters.

    Args:
        block: Any block.
        wrt: Positions of float parameters.
        budget: What saved values may take, in bytes; checked at run time. With 0,
            what can be computed again is not saved, and nothing is checked.
        notes: Learns what is kept for the way back.

    Returns:
        A block with parameters: those of `block`, then a cotangent for each float
        result; and results: those of `block`, then a cotangent for each of `wrt`.
    """
    extra: list[Value] = []
    seeds: list[Atom | None] = []
    for result in block.results:
        if not is_float(result.type):
            seeds.append(None)
            continue
        hint = result.name if isinstance(result, Value) else ""
        extra.append(Value(result.type, f"d_{hint}" if hint else "d_out"))
        seeds.append(extra[-1])
    return _Reverse(block, wrt, budget, notes).run(seeds, extra)


class _Reverse(Adjoints):
    """One backward walk."""

    def __init__(
        self,
        block: Block,
        wrt: Sequence[int],
        budget: int | None,
        notes: list[Kept] | None,
    ) -> None:
        self.block = block
        self.budget = budget
        self.notes = notes
        self.wrt = [block.params[k] for k in wrt]
        self.active = varied(block, self.wrt)
        super().__init__()
        self.b = Joined()
        self.residuals = self.b.residuals = Residuals(self.b, block, budget)

    def run(
        self,
        seeds: Sequence[Atom | None],
        extra: Sequence[Value],
        sparse: bool = False,
    ) -> Block:
        """The whole block; `sparse` leaves out cotangents that are zero."""
        b, block = self.b, self.block
        seeded = [r for r, s in zip(block.results, seeds, strict=True) if s is not None]
        self.live = useful(
            block, [r for r in seeded if isinstance(r, Value)], self.active
        )
        with b.active():
            b.open((*block.params, *extra))
            for eqn in block.eqns:
                b.append(eqn)
                note_extent(b, eqn)
                note_regions(b, eqn)
            mark = len(b.frames[0].eqns)
            for result, seed in zip(block.results, seeds, strict=True):
                if seed is not None:
                    self.accumulate(result, Sym(seed))
            self.walk(block.eqns)
            if sparse:
                self.wrt = [p for p in self.wrt if p in self.ct]
            grads = [self.ct.get(p) or lift(array.zeros_like(p)) for p in self.wrt]
            frame = b.frames[0]
            b.forward.clear()  # from here on, what is needed is settled
            eqns = self.residuals.resolve(mark, grads)
            if self.notes is not None:
                self.notes += kept(self.residuals)
            frame.eqns[:] = eqns
            return b.close((*block.results, *grads))

    # ---------------------------------------------------------------- the walk

    def walk(self, eqns: Sequence[Eqn]) -> None:
        for eqn in reversed(eqns):
            with self.b.at(eqn.loc):
                self.step(eqn)

    def step(self, eqn: Eqn) -> None:
        name = eqn.op.name
        if name == "pop":
            self.pop(eqn)
        elif name in ("for_", "while_"):
            self.loop(eqn)
        elif name == "if_":
            self.branch(eqn)
        elif any(o in self.ct for o in eqn.outs):
            if name == "push":
                self.push(eqn)
            else:
                self.plain(eqn)

    def plain(self, eqn: Eqn) -> None:
        """An equation without regions, by its op's rule."""
        op = eqn.op
        g = Sym(self.ct.pop(eqn.out))
        if op.flat or not any(self.wants(a) for a in eqn.args):
            return
        out, args = Sym(eqn.out), [Sym(a) for a in eqn.args]
        if op.vjp is not None:
            contributions = op.vjp(g, out, args, eqn.params)
            for arg, contribution in zip(eqn.args, contributions, strict=True):
                if contribution is not None and self.wants(arg):
                    self.accumulate(arg, contribution)
        elif op.partials is not None:
            self.elementwise(eqn, g, out, args)
        else:
            raise NotDifferentiableError(
                f"{op.name} has no derivative: {op.why_not or 'none is known'}",
                eqn.loc,
                "stop the gradient there with gradjit.stop_gradient, or use another"
                " function.",
            )

    def elementwise(self, eqn: Eqn, g: Sym, out: Sym, args: list[Sym]) -> None:
        """Partial derivatives times g; twice the one where `x * x` has it twice."""
        slopes: dict[Value, list[Any]] = {}
        for arg, partial in zip(eqn.args, eqn.op.partials or (), strict=True):
            if partial is not None and self.wants(arg):
                slope = partial(out, *args, **eqn.params)
                if slope is not None:
                    slopes.setdefault(arg, []).append(slope)  # type: ignore[arg-type]
        for arg, found in slopes.items():
            if len(found) == 2 and _same(*found):
                self.accumulate(arg, times(g, 2.0 * found[0]))
                continue
            for slope in found:
                self.accumulate(arg, times(g, slope))

    # ------------------------------------------------------------------ stacks

    def push(self, eqn: Eqn) -> None:
        stack, item = self.b.emit("pop", self.ct.pop(eqn.out))
        if self.wants(eqn.args[0]):
            self.ct[eqn.args[0]] = stack  # type: ignore[index]
        self.accumulate(eqn.args[1], Sym(item))

    def pop(self, eqn: Eqn) -> None:
        """Always mirrored, so that the cotangent stack keeps in step."""
        before, after, item = eqn.args[0], *eqn.outs
        if not isinstance(before, Value) or before not in self.live:
            return
        stack = self.ct.pop(after, None) or self.zeros(after)
        g = self.ct.pop(item, None) or self.zeros(item)
        self.ct[before] = self.b.emit1("push", stack, g)

    # ----------------------------------------------------------------- regions

    def loop(self, eqn: Eqn) -> None:
        """for_ and while_: the reversed loop, carrying cotangents."""
        body = eqn.regions[-1]
        count = len(eqn.outs)
        params = body.params[len(body.params) - count :]
        inits = eqn.args[len(eqn.args) - count :]
        carried = [
            k
            for k in range(count)
            if params[k] in self.active
            and (params[k] in self.live or eqn.outs[k] in self.live)
        ]
        outside = [v for v in free(body) if v in self.live]
        if not carried and not outside:
            return
        if not self.reaches(eqn, carried):
            return
        span = self.residuals.reversed_range(eqn)
        given = [self.ct.pop(eqn.outs[k], None) for k in carried]
        given += [self.ct.get(v) for v in outside]
        shapes = [*(eqn.outs[k] for k in carried), *outside]
        starts = [g or self.zeros(v) for g, v in zip(given, shapes, strict=True)]
        at = Value(INDEX, body.params[0].name if eqn.op.name == "for_" else "")
        block = self.reversed_body(eqn, params, carried, outside, at, span)
        outs = self.emit_loop(block, span, starts, given, claims(eqn))
        for v, out in zip(outside, outs[len(carried) :], strict=True):
            if out is not None:
                self.ct[v] = out
                self.owned.add(out)
        for k, out in zip(carried, outs[: len(carried)], strict=True):
            self.take_over(inits[k], out)

    def reaches(self, eqn: Eqn, carried: Sequence[int]) -> bool:
        """Whether a cotangent comes in at all, or one has to be pushed."""
        return any(
            eqn.outs[k] in self.ct or isinstance(eqn.outs[k].type, StackType)
            for k in carried
        )

    def take_over(self, init: Atom, out: Atom | None) -> None:
        """The cotangent of an initial carry: the loop's, or added to what is there."""
        if out is None or not isinstance(init, Value) or init not in self.live:
            return
        if init in self.ct:
            self.accumulate(init, Sym(out))
        else:
            self.ct[init] = out
            self.owned.add(out)
            self.hint(init)

    def reversed_body(
        self,
        eqn: Eqn,
        params: Sequence[Value],
        carried: Sequence[int],
        outside: Sequence[Value],
        at: Value,
        span: tuple[Atom, Atom, Atom],
    ) -> Block:
        body = eqn.regions[-1]
        gs = [_cotangent(params[k]) for k in carried]
        sums = [_cotangent(v) for v in outside]
        outer = self.ct
        self.ct = {v: s for v, s in zip(outside, sums, strict=True)}
        self.owned.update(gs)
        self.owned.update(sums)
        self.b.open((at, *gs, *sums))
        self.b.facts.index_range(at, *span)
        for v, s in zip(outside, sums, strict=True):
            self.b.set_extents(s, self.b.extents(v))
        for k, g in zip(carried, gs, strict=True):
            result = body.results[k]
            if isinstance(result, Value) and result in self.live:
                if result in self.ct:
                    self.accumulate(result, Sym(g))
                else:
                    self.ct[result] = g
        if eqn.params.get("checkpoint"):
            self.again(body, {body.params[0]: at} if eqn.op.name == "for_" else {})
        else:
            self.walk(body.eqns)
        results = [self.ct.get(params[k]) or self.zeros(params[k]) for k in carried]
        results += [self.ct[v] for v in outside]
        self.ct = outer
        block = self.b.close(results)
        self.residuals.pair(block, body)
        return block

    def emit_loop(
        self,
        block: Block,
        span: tuple[Atom, Atom, Atom],
        starts: Sequence[Atom],
        given: Sequence[Atom | None],
        claimed: Params,
    ) -> list[Atom | None]:
        """The reversed loop, without the cotangents that it leaves as they are."""
        params = block.params[1:]
        pairs = list(zip(params, block.results, strict=True))
        kept = [k for k, (p, r) in enumerate(pairs) if p is not r]
        gone = {p: starts[k] for k, p in enumerate(params) if k not in kept}
        trimmed = substitute(
            Block(
                (block.params[0], *(params[k] for k in kept)),
                block.eqns,
                tuple(block.results[k] for k in kept),
            ),
            gone,
        )
        self.residuals.replace(block, trimmed)
        if not kept:
            return list(given)
        outs = self.b.emit(
            "for_",
            *span,
            *(starts[k] for k in kept),
            regions=(trimmed,),
            names=[params[k].name for k in kept],
            exits=False,
            **claimed,
        )
        full = list(given)
        for k, out in zip(kept, outs, strict=True):
            full[k] = out
        return full

    def again(self, region: Block, known: dict[Value, Atom]) -> None:
        """The backward code of a region that is run once more instead of saved.

        It starts from what the region reads, with residuals of its own: a pullback.
        """
        made = {o for e in region.eqns for o in e.outs}
        seeds = [
            r for r in dict.fromkeys(values(region.results)) if r in made & {*self.ct}
        ]
        inputs = self.with_extents((*region.params, *free(region)))
        wrt = [k for k, v in enumerate(inputs) if v in self.live]
        extra = tuple(_cotangent(r) for r in seeds)
        inner = Block(inputs, region.eqns, tuple(seeds))
        reverse = _Reverse(inner, wrt, self.budget, self.notes)
        for value in inputs:
            reverse.b.set_extents(value, self.known_extents(value))
        goes_on = {v: self.ct[v] for v in inputs if is_array(v) and v in self.ct}
        sums = tuple(map(reverse.starts_with, goes_on))
        back = reverse.run(extra, (*extra, *sums), sparse=True)
        seeded = [self.ct.pop(r) for r in seeds]
        given = [*(known.get(v, v) for v in inputs), *seeded, *goes_on.values()]
        outs = self.b.inline(repeated(back, len(seeds)), given)
        for v, g in zip(reverse.wrt, outs, strict=True):
            if v in goes_on:
                self.ct[v] = g
                self.owned.add(g)
            else:
                self.accumulate(v, Sym(g))

    def starts_with(self, value: Value) -> Value:
        """A parameter that the cotangent of an array starts with, in place of zeros."""
        sum_ = Value(value.type, f"d_{value.name}" if value.name else "")
        self.b.set_extents(sum_, self.known_extents(value))
        self.ct[value] = sum_
        self.owned.add(sum_)
        return sum_

    def with_extents(self, inputs: Sequence[Value]) -> tuple[Value, ...]:
        """The inputs of a region, and what their extents are known to be."""
        extents = values([e for v in inputs for e in self.known_extents(v) if e])
        return tuple(dict.fromkeys((*inputs, *extents)))

    def known_extents(self, value: Value) -> list[Atom | None]:
        axes = range(len(dims(value.type)))
        return [self.b.known_extent(value, axis) for axis in axes]

    def once(self, eqn: Eqn) -> None:
        """if_ on True, with `checkpoint`: a region that is run again."""
        region = eqn.regions[0]
        for out, result in zip(eqn.outs, region.results, strict=True):
            g = self.ct.pop(out, None)
            if g is not None:
                self.accumulate(result, Sym(g))
        self.again(region, {v: another(self.b, v) for v in free(region)})

    def branch(self, eqn: Eqn) -> None:
        """if_: the mirrored branch; it returns the cotangents that it changed."""
        if eqn.params.get("checkpoint"):
            self.once(eqn)
            return
        outside = list(
            dict.fromkeys(v for r in eqn.regions for v in free(r) if v in self.live)
        )
        if not any(o in self.ct for o in eqn.outs) and not any(
            isinstance(v.type, StackType) for v in outside
        ):
            return
        gs = [self.ct.pop(o, None) for o in eqn.outs]
        halves = [self.mirrored(r, gs, outside) for r in eqn.regions]
        changed = [
            v
            for v in outside
            if any(found.get(v) is not self.ct.get(v) for _, found in halves)
        ]
        if not changed:
            return
        regions = tuple(self.completed(b, found, changed) for b, found in halves)
        names = [f"d_{v.name}" if v.name else "" for v in changed]
        outs = self.b.emit("if_", eqn.args[0], regions=regions, names=names)
        for v, out in zip(changed, outs, strict=True):
            self.ct[v] = out
            self.owned.add(out)

    def mirrored(
        self, region: Block, gs: Sequence[Atom | None], outside: Sequence[Value]
    ) -> tuple[Block, dict[Value, Atom]]:
        """The backward code of a branch, and the cotangents of outer values after it.

        What has no cotangent yet starts without one, not with zeros: where an array
        only passes through, its cotangent does too, at no cost.
        """
        outer = self.ct
        self.ct = {v: outer[v] for v in outside if v in outer}
        self.b.open(())
        for result, g in zip(region.results, gs, strict=True):
            if g is not None and isinstance(result, Value) and result in self.live:
                if isinstance(g.type, StackType):
                    self.ct[result] = g
                else:
                    self.accumulate(result, Sym(g))
        self.walk(region.eqns)
        found = {v: self.ct[v] for v in outside if v in self.ct}
        self.ct = outer
        block = self.b.close(())
        self.residuals.pair(block, region)
        return block, found

    def completed(
        self, block: Block, found: dict[Value, Atom], changed: Sequence[Value]
    ) -> Block:
        """The block with a cotangent for each changed value, zeros if need be."""
        self.b.open(())
        results = tuple(found.get(v) or self.zeros(v) for v in changed)
        extra = self.b.close(()).eqns
        whole = Block((), (*block.eqns, *extra), results)
        self.residuals.rename(block, whole)
        return whole


def _cotangent(primal: Value) -> Value:
    return Value(primal.type, f"d_{primal.name}" if primal.name else "")


def _same(a: Any, b: Any) -> bool:
    return isinstance(a, Sym) and isinstance(b, Sym) and a.atom is b.atom
