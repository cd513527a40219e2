"""How forward values reach the backward code.

The backward walk names values that are defined inside loops and branches of the forward
code. Each of them is either recomputed at the top of the mirrored region (cheap
arithmetic on what is there anyway) or saved: in an array indexed by the iteration where
the trip counts are known before the outermost loop, on a stack where they are not, in a
plain variable where only branches are around it. The forward regions are rebuilt to
carry what is saved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from gradjit.ir.bounds import Affine
from gradjit.ir.build import Builder, index
from gradjit.ir.graph import Atom, Block, Const, Eqn, Graph, Value, free, uses, walk
from gradjit.ir.op import lookup
from gradjit.ir.types import INDEX, ArrayType, ScalarType, StackType, dims
from gradjit.passes.budget import Budget
from gradjit.passes.choice import choose
from gradjit.passes.dce import acts, eliminate
from gradjit.passes.recompute import Recompute, trip_count
from gradjit.passes.saved import Region, Save
from gradjit.passes.sizes import Sizes
from gradjit.passes.thread import Backward, Forward


class Residuals:
    """The residuals of one backward walk."""

    def __init__(self, b: Builder, block: Block, budget: int | None = None) -> None:
        self.b = b
        self.home: dict[Value, Region] = {}
        self.order: dict[Value, float] = {}
        self.mirror: dict[Block, Block] = {}  # reversed block -> forward block
        self.saves: dict[Value, Save] = {}
        self.counts: dict[Eqn, Save] = {}
        self.recomputed: set[Value] = set()
        self.regions: dict[Block, Region] = {}
        self.dims: dict[Value, list[Eqn]] = {}
        self._survey(block, None)
        self.budget = Budget(b, budget, self.saves)
        again = budget == 0
        self.recompute = Recompute(b, self.home, self.regions, self.saves, again)
        self.sizes = Sizes(self.recompute)

    def _survey(self, block: Block, region: Region | None) -> None:
        if region is not None:
            self.regions[block] = region
        for value in block.params:
            self._settle(value, region)
        for eqn in block.eqns:
            for out in eqn.outs:
                self._settle(out, region)
            for inner in eqn.regions:
                self._survey(inner, Region(inner, eqn, region))

    def rank(self, value: Value) -> float:
        """The place of a value in the order of definition."""
        return self.order[value]

    def _settle(self, value: Value, region: Region | None) -> None:
        self.order[value] = float(len(self.order))
        if region is not None:
            self.home[value] = region

    def extent_of(self, value: Value, axis: int) -> Value:
        """An extent of an inner array as a forward value of its own."""
        out = Value(INDEX)
        eqn = Eqn(lookup("dim"), (value,), (out,), {"axis": axis})
        self.dims.setdefault(value, []).append(eqn)
        self.home[out] = self.home[value]
        self.order[out] = self.order[value] + 0.25 * (1 + axis / 32)
        self.b.facts.define(eqn)
        return out

    # --------------------------------------------------- what the walk tells us

    def pair(self, reversed_: Block, forward: Block) -> None:
        """The reversed block mirrors this forward block."""
        self.mirror[reversed_] = forward

    def rename(self, old: Block, new: Block) -> None:
        """A reversed block was extended; the regions inside are the same."""
        self.mirror[new] = self.mirror.pop(old)

    def replace(self, old: Block, new: Block) -> None:
        """A reversed block was made again, with less in it."""
        if old is new:
            return
        if old in self.mirror:
            self.mirror[new] = self.mirror.pop(old)
        for before, after in zip(old.eqns, new.eqns, strict=True):
            for a, b in zip(before.regions, after.regions, strict=True):
                self.replace(a, b)

    def _follow(self, old: Block, new: Block) -> None:
        """Reversed blocks were made again, with less in them."""
        left = {out for e in new.eqns for out in e.outs}
        was = [
            e
            for e in old.eqns
            if e.regions and (acts(*e.regions) or not left.isdisjoint(e.outs))
        ]
        now = [e for e in new.eqns if e.regions]
        for before, after in zip(was, now, strict=True):
            for a, b in zip(before.regions, after.regions, strict=True):
                if a in self.mirror:
                    self.mirror[b] = self.mirror[a]
                self._follow(a, b)

    def reversed_range(self, eqn: Eqn) -> tuple[Atom, Atom, Atom]:
        """start, stop and step of the reversed loop."""
        b = self.b
        if eqn.op.name == "while_":
            return b.emit1("sub", self._count(eqn), index(1)), index(-1), index(-1)
        start, stop, step = eqn.args[:3]
        down = b.emit1("neg", step)
        before = b.emit1("sub", start, step)
        if eqn.params.get("exits"):
            steps = b.emit1("mul", self._count(eqn), step)
            return b.emit1("sub", b.emit1("add", start, steps), step), before, down
        if isinstance(step, Const) and abs(int(step.value)) == 1:
            return b.emit1("sub", stop, step), before, down
        steps = b.emit1("mul", trip_count(b, start, stop, step), step)
        return b.emit1("sub", b.emit1("add", start, steps), step), before, down

    def _count(self, eqn: Eqn) -> Value:
        """The number of iterations that a loop of unknown length made."""
        if eqn not in self.counts:
            region = self.regions[eqn.regions[-1]]
            final = Value(INDEX, "count")
            self.counts[eqn] = Save("count", final, region, INDEX, final)
            self.order[final] = max(map(self.order.__getitem__, eqn.outs), default=0.0)
            if region.parent is not None:
                self.home[final] = region.parent
        return self.counts[eqn].final

    # -------------------------------------------------------------- resolution

    def resolve(self, mark: int, grads: Sequence[Atom]) -> list[Eqn]:
        """The equations of the open frame, with residuals in place.

        `mark` is where the backward part starts, which computes `grads`.
        """
        frame = self.b.frames[0]
        end = len(frame.eqns)
        forward = frame.eqns[:mark]
        every = Block((), tuple(frame.eqns[mark:end]), tuple(grads))
        needed_part = eliminate(Graph("", every)).block
        self._follow(every, needed_part)
        backward = needed_part.eqns
        used = free(Block((), backward, ()))
        needed = {v for v in used if v in self.home}
        self._decide(needed)
        self.budget.check_arrays()
        out: list[Eqn] = []
        for eqn in forward:
            out.extend(self._forward_top(eqn))
        states: dict[Save, Atom] = {
            s: s.final for s in self.saves.values() if s.kind == "stack"
        }
        self.b.open(())
        Backward(self).equations(backward, {}, states)
        out.extend(self.b.frames.pop().eqns)
        # Sizes were computed at the end of the frame, perhaps from an extent that only
        # dead code had asked for.
        return topological([*frame.eqns[end:], *out], spare=every.eqns)

    # ------------------------------------------------------------------ memory

    def _decide(self, needed: set[Value]) -> None:
        """Save or recompute each needed value, in the order of definition."""
        found = sorted(needed, key=self.rank)
        again = self.recompute
        covered = self._covered(found)
        found = choose(found, self.home, again.cheap, again.available, covered)
        for value in sorted(found, key=self.rank):
            self._save(value)
        self._chain()
        needed = needed | {a for v in found for a in self._starts(self.home[v].loops())}
        work: list[Value] = sorted(needed, key=self.rank)
        done: set[Value] = set()
        while work:
            value = work.pop(0)
            if value in done or value in self.saves:
                continue
            done.add(value)
            if self.recompute.available(value):
                self.recomputed.add(value)
                continue
            self._save(value)
            more = self._starts(self.home[value].loops())
            work = sorted({*work, *more} - done, key=self.rank)

    def _covered(self, needed: Sequence[Value]) -> Callable[[Value], bool]:
        """Whether loops around needed values run over all elements of an array."""
        facts = self.b.facts
        owners = {r.owner for v in needed for r in self.home[v].loops()}
        bounds = [e.args[:2] for e in owners if e.op.name == "for_"]
        trips = [facts.affine(stop) - facts.affine(start) for start, stop in bounds]

        def covers(form: Affine, extent: Atom) -> bool:
            rest = form - facts.affine(extent)
            return not rest.terms and abs(rest.constant) < 8

        return lambda array: all(
            any(covers(form, extent) for form in trips)
            for extent in self.b.extents(array)
        )

    def _chain(self) -> None:
        """Where a carry and its next value are saved, one array holds both."""
        for value in [v for v, s in self.saves.items() if s.kind == "array"]:
            save = self.saves[value]
            region = save.home
            if region.owner.op.name != "for_" or value not in region.block.params:
                continue
            k = region.block.params.index(value) - 1
            after = region.block.results[k]
            other = self.saves.get(after) if isinstance(after, Value) else None
            if k < 0 or other is None or other.value is not after or other is save:
                continue
            if other.kind == "array" and other.home is region:
                self.saves[value] = self.saves[other.value] = self._joint(save, other)

    def _joint(self, save: Save, other: Save) -> Save:
        last = len(save.home.loops()) - 1
        sizes = list(save.sizes)
        sizes[last] = self.b.emit1("add", sizes[last], index(1))
        known = [int(a.value) if isinstance(a, Const) else None for a in sizes]
        inner = dims(save.value.type)
        type_ = ArrayType(save.type.dtype, (*known[: last + 1], *inner))
        final = Value(type_, save.final.name)
        return replace(save, type=type_, final=final, sizes=sizes, next=other.value)

    def _starts(self, loops: Sequence[Region]) -> list[Value]:
        """The values of regions that an index into what is saved may need."""
        starts = [
            a
            for r in loops
            if r.owner.op.name == "for_"
            for a in (r.owner.args[0], r.owner.args[2])
        ]
        return [a for a in starts if isinstance(a, Value) and a in self.home]

    def _save(self, value: Value) -> None:
        """Plan to save a value."""
        home = self.home[value]
        loops = home.loops()
        if not loops:
            final = Value(value.type, value.name)
            self.saves[value] = Save("slot", value, home, value.type, final)
            return
        sizes = self.sizes.of(value, loops)
        if sizes is None:
            stack = StackType(value.type)  # type: ignore[arg-type]
            final = Value(stack, _tape(value))
            self.saves[value] = Save("stack", value, home, stack, final)
            return
        known = tuple(int(s.value) if isinstance(s, Const) else None for s in sizes)
        type_ = ArrayType(value.type.dtype, (*known[: len(loops)], *dims(value.type)))
        final = Value(type_, _tape(value))
        self.saves[value] = Save("array", value, home, type_, final, sizes)

    # ----------------------------------------------------------------- forward

    def _forward_top(self, eqn: Eqn) -> list[Eqn]:
        """A forward equation with what it saves, and the storage before it."""
        saves = self.saved_inside(eqn)
        blocks = {r for e in walk(Block((), (eqn,), ())) for r in e.regions}
        if not saves and not any(c.home.block in blocks for c in self.counts.values()):
            return [eqn]
        b = self.b
        b.open(())
        states = {s: self._storage(s) for s in saves}
        Forward(self).equations([eqn], {}, states, top=True)
        return b.frames.pop().eqns

    def saved_inside(self, eqn: Eqn) -> list[Save]:
        """What is saved in the regions of a forward equation."""
        blocks = {r for e in walk(Block((), (eqn,), ())) for r in e.regions}
        every = dict.fromkeys(self.saves.values())
        return [s for s in every if s.home.block in blocks]

    def _storage(self, save: Save) -> Atom:
        b, type_ = self.b, save.type
        if isinstance(type_, StackType):
            return b.emit1("stack_new", item=type_.item, name=save.final.name)
        if save.kind == "array":
            assert isinstance(type_, ArrayType)
            return b.emit1("empty", *save.sizes, dtype=type_.dtype, dims=type_.dims)
        if isinstance(type_, ScalarType):
            return Const({"f": 0.0, "b": False}.get(type_.dtype.kind, 0), type_)
        sizes = [index(d or 0) for d in type_.dims]
        return b.emit1("empty", *sizes, dtype=type_.dtype, dims=type_.dims)


def _tape(value: Value) -> str:
    return f"{value.name}_tape" if value.name else "tape"


def topological(eqns: Sequence[Eqn], spare: Sequence[Eqn] = ()) -> list[Eqn]:
    """The same equations, each after what it needs, else in the order given.

    Those of `spare` come where they are needed, if they are.
    """
    makers = {out: eqn for eqn in (*spare, *eqns) for out in eqn.outs}
    placed: set[Eqn] = set()
    out: list[Eqn] = []

    def place(eqn: Eqn) -> None:
        if eqn in placed:
            return
        placed.add(eqn)
        inner = [v for r in eqn.regions for v in uses(r)]
        for value in [a for a in eqn.args if isinstance(a, Value)] + inner:
            if value in makers:
                place(makers[value])
        out.append(eqn)

    for eqn in eqns:
        place(eqn)
    return out
