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
from gradjit.ir.build import Builder, index, look
from gradjit.ir.graph import Atom, Block, Const, Eqn, Graph, Value, free, uses, walk
from gradjit.ir.op import lookup
from gradjit.ir.types import INDEX, REAL, ArrayType, ScalarType, StackType, dims
from gradjit.passes.choice import choose
from gradjit.passes.dce import acts, eliminate
from gradjit.passes.remains import Remains
from gradjit.passes.saved import Region, Save
from gradjit.passes.thread import Backward, Forward

OVER_BUDGET = "what is saved for the way back takes more than the memory given"
WHOLE = ScalarType(INDEX.dtype)
_FUEL = 40  # equations that are recomputed for one value, at most


class Residuals:
    """The residuals of one backward walk."""

    def __init__(self, b: Builder, block: Block, budget: int | None = None) -> None:
        self.b = b
        self.budget = budget
        self.home: dict[Value, Region] = {}
        self.order: dict[Value, float] = {}
        self.mirror: dict[Block, Block] = {}  # reversed block -> forward block
        self.saves: dict[Value, Save] = {}
        self.counts: dict[Eqn, Save] = {}
        self.recomputed: set[Value] = set()
        self.chosen: set[Value] = set()
        self.ticks: dict[Block, Value] = {}
        self.regions: dict[Block, Region] = {}
        self.dims: dict[Value, list[Eqn]] = {}
        self._survey(block, None)
        self.remains = Remains(self.home, self.regions, b.facts)

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
        self._check_budget()
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

    def _check_budget(self) -> None:
        """A check, at run time, of the bytes that the arrays take."""
        every = dict.fromkeys(self.saves.values())
        arrays = [s for s in every if s.kind == "array"]
        if self.budget is None or not arrays:
            return
        total: Atom = Const(0.0, REAL)
        for save in arrays:
            size = self._bytes(save.type.dtype.itemsize, save.sizes)
            total = self.b.emit1("add", total, size)
        mine = self.budget * len(arrays) / len(self.saves)
        fits = self.b.emit1("le", total, Const(mine, REAL))
        self.b.emit("check", fits, kind="memory", message=OVER_BUDGET)

    def limit_stack(self, save: Save, stack: Atom) -> None:
        """A check, at run time, that a stack may take one more value.

        Stacks are taken to be as long as one another, those of arrays to be as wide.
        """
        if self.budget is None:
            return
        b, value = self.b, save.value
        kinds = [s.value.type for s in self.saves.values() if s.kind == "stack"]
        numbers = sum(t.dtype.itemsize for t in kinds if isinstance(t, ScalarType))
        wide = sum(isinstance(t, ArrayType) for t in kinds)
        size: Atom = Const(float(numbers), REAL)
        if isinstance(value.type, ArrayType):
            here = [self._dim_of(value, k) for k in range(value.type.rank)]
            rows = self._bytes(value.type.dtype.itemsize * wide, here)
            size = b.emit1("add", rows, Const(numbers + 1.0, REAL))
        mine = Const(self.budget * len(kinds) / len(self.saves), REAL)
        most = b.emit1("floor", b.emit1("div", mine, size))
        limit = b.emit1("cast", most, dtype=INDEX.dtype, weak=False)
        b.emit("limit", stack, limit, message=OVER_BUDGET)

    def _dim_of(self, value: Value, axis: int) -> Value:
        """An extent of a forward value, where the forward code is."""
        out = Value(INDEX)
        self.b.append(Eqn(lookup("dim"), (value,), (out,), {"axis": axis}))
        return out

    def _bytes(self, itemsize: int, extents: Sequence[Atom]) -> Atom:
        size: Atom = Const(float(itemsize), REAL)
        for extent in extents:
            factor = self.b.emit1("cast", extent, dtype=REAL.dtype, weak=False)
            size = self.b.emit1("mul", size, factor)
        return size

    def _decide(self, needed: set[Value]) -> None:
        """Save or recompute each needed value, in the order of definition."""
        found = sorted(needed, key=self.rank)
        found = choose(found, self.home, self._cheap, self._there, self._covered(found))
        for value in sorted(found, key=self.rank):
            self._save(value)
            self.chosen.add(value)
        self._chain()
        needed = needed | {
            a for v in self.chosen for a in self._starts(self.home[v].loops())
        }
        work: list[Value] = sorted(needed, key=self.rank)
        done: set[Value] = set()
        while work:
            value = work.pop(0)
            if value in done or value in self.saves:
                continue
            done.add(value)
            if self._available(value, [_FUEL], top=False):
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

    def _there(self, value: Value) -> bool:
        """Whether a value needs nothing saved."""
        return self._available(value, [_FUEL], top=False)

    def _cheap(self, value: Value, top: bool = False) -> Eqn | None:
        """The equation that computes a value again, if that costs little.

        With `top`, before the outermost loop, which has left nothing behind yet.
        """
        eqn = self.b.facts.defs.get(value)
        if not top and value in self.home:
            eqn = self.remains.load(value) or eqn
        return eqn if eqn is not None and self.is_cheap(eqn) else None

    @staticmethod
    def is_cheap(eqn: Eqn) -> bool:
        """Whether an equation may be computed again; arithmetic of integers may."""
        if eqn.regions or len(eqn.outs) != 1:
            return False
        counts = eqn.op.kind == "elementwise" and eqn.out.type.dtype.kind in "ib"
        return eqn.op.cheap or counts

    def _available(self, atom: Atom, fuel: list[int], top: bool) -> bool:
        """Whether the backward code has the atom or can compute it again.

        With `top`, whether it can be computed before the outermost loop.
        """
        if isinstance(atom, Const) or atom not in self.home:
            return True
        if not top and (atom in self.saves or self.is_index(atom)):
            return True
        fuel[0] -= 1
        if fuel[0] < 0:
            return False
        counter = None if top else self._counter(atom)
        if counter is not None:
            return all(self._available(a, fuel, top) for a in counter)
        eqn = self._cheap(atom, top)
        if eqn is None:
            return False
        return all(self._available(a, fuel, top) for a in eqn.args)

    def _counter(self, value: Value) -> tuple[Atom, Atom] | None:
        """First value and step of an integer that each iteration adds the same to."""
        region = self.home[value]
        body, owner = region.block, region.owner
        if not region.is_loop or value.type not in (INDEX, WHOLE):
            return None
        skip = len(body.params) - len(body.results)
        if value not in body.params[skip:]:
            return None
        k = body.params.index(value) - skip
        after = body.results[k]
        made = self._cheap(after) if isinstance(after, Value) else None
        if made is None or made.op.name not in ("add", "sub") or made.args[0] != value:
            return None
        step = made.args[1]
        if isinstance(step, Value) and self.home.get(step) not in region.outer():
            return None
        if made.op.name == "sub":
            step = self.b.emit1("neg", step)
        return owner.args[len(owner.args) - len(body.results) + k], step

    def is_index(self, value: Value) -> bool:
        region = self.home[value]
        return region.owner.op.name == "for_" and value is region.block.params[0]

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
        sizes = self._sizes(value, loops)
        if sizes is None:
            stack = StackType(value.type)  # type: ignore[arg-type]
            final = Value(stack, _tape(value))
            self.saves[value] = Save("stack", value, home, stack, final)
            return
        known = tuple(int(s.value) if isinstance(s, Const) else None for s in sizes)
        type_ = ArrayType(value.type.dtype, (*known[: len(loops)], *dims(value.type)))
        final = Value(type_, _tape(value))
        self.saves[value] = Save("array", value, home, type_, final, sizes)

    def _sizes(self, value: Value, loops: Sequence[Region]) -> list[Atom] | None:
        """Extents of an array for the value, computed before the outermost loop."""
        sizes: list[Atom] = []
        for region in loops:
            eqn = region.owner
            if eqn.op.name != "for_" or eqn.params.get("exits"):
                return None
            size = self._trips_on_entry(eqn)
            if size is None:
                return None
            sizes.append(size)
        if isinstance(value.type, ArrayType):
            for extent in self.b.extents(value):
                if not self._available(extent, [_FUEL], top=True):
                    return None
                sizes.append(self.again(extent, {}, top=True))
        return sizes

    def _trips_on_entry(self, eqn: Eqn) -> Atom | None:
        """The trip count of a loop, or a bound, known before the outermost loop."""
        start, stop, step = span = eqn.args[:3]
        if all(self._available(a, [_FUEL], top=True) for a in span):
            return trip_count(self.b, *(self.again(a, {}, top=True) for a in span))
        if not isinstance(step, Const) or abs(int(step.value)) != 1:
            return None
        facts = self.b.facts
        form = facts.affine(stop) - facts.affine(start)
        bound = self._outside(form.scale(int(step.value)), 16)
        if bound is None:
            return None
        return self.b.emit1("maximum", self._emit_affine(bound), index(0))

    def _outside(self, form: Affine, fuel: int) -> Affine | None:
        """An upper bound of a form in values from before the outermost loop."""
        for v, c in form.terms.items():
            if v not in self.home or self._available(v, [_FUEL], top=True):
                continue
            facts = self.b.facts
            bound = facts.upper.get(v) if c > 0 else facts.lower.get(v)
            if bound is None or fuel == 0:
                return None
            rest = Affine(
                form.constant, {w: k for w, k in form.terms.items() if w is not v}
            )
            return self._outside(rest + bound.scale(c), fuel - 1)
        return form

    def _emit_affine(self, form: Affine) -> Atom:
        out: Atom = index(form.constant)
        for v, c in form.terms.items():
            term = self.b.emit1("mul", self.again(v, {}, top=True), index(c))
            out = self.b.emit1("add", term, out)
        return out

    def again(self, atom: Atom, env: dict[Value, Atom], top: bool = False) -> Atom:
        """The atom computed again from what is there; `top` as for `_available`."""
        if isinstance(atom, Const) or atom not in self.home:
            return atom
        if atom in env:
            return env[atom]
        counter = None if top else self._counter(atom)
        if counter is not None:
            env[atom] = self._counted(atom, counter, env)
            return env[atom]
        eqn = self._cheap(atom, top)
        assert eqn is not None
        args = [self.again(a, env, top) for a in eqn.args]
        with self.b.at(eqn.loc):
            if eqn.op.name == "dim":
                env[atom] = self.b.extent(args[0], eqn.params["axis"])
                return env[atom]
            params = {**eqn.params}
            if "checked" in params:
                params["checked"] = False  # the forward code has checked it
            out = self.b.emit1(eqn.op, *args, name=atom.name, **params)
        env[atom] = out
        return out

    def _counted(
        self, value: Value, counter: tuple[Atom, Atom], env: dict[Value, Atom]
    ) -> Atom:
        """A counter, from the number of iterations before this one."""
        b, region = self.b, self.home[value]
        first, step = (self.again(a, env) for a in counter)
        if region.owner.op.name == "while_":
            steps = env[self.tick(region.block)]
        else:
            steps = self._offset(region, lambda a: look(a, env))
        out = b.emit1("add", first, b.emit1("mul", steps, step))
        if out.type == value.type:
            return out
        return b.emit1("cast", out, dtype=INDEX.dtype, weak=value.type == INDEX)

    def tick(self, body: Block) -> Value:
        """The number of iterations of a `while_` before this one."""
        return self.ticks.setdefault(body, Value(INDEX))

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

    def place(self, region: Region, env: Callable[[Atom], Atom]) -> list[Atom]:
        """The index of the current iteration in an array of saved values."""
        return [self._offset(loop, env) for loop in region.loops()]

    def _offset(self, loop: Region, env: Callable[[Atom], Atom]) -> Atom:
        """The number of iterations of a `for_` before this one."""
        start, _, step = loop.owner.args[:3]
        offset = self.b.emit1("sub", env(loop.block.params[0]), env(start))
        if not (isinstance(step, Const) and step.value == 1):
            offset = self.b.emit1("floordiv", offset, env(step))
        return offset


def _tape(value: Value) -> str:
    return f"{value.name}_tape" if value.name else "tape"


def trip_count(b: Builder, start: Atom, stop: Atom, step: Atom) -> Atom:
    """How often range(start, stop, step) iterates."""
    span = b.emit1("sub", stop, start)
    if not (isinstance(step, Const) and step.value == 1):
        # Ceiling division, right for either sign.
        down = b.emit1("floordiv", b.emit1("neg", span), step)
        span = b.emit1("neg", down)
    return b.emit1("maximum", span, index(0))


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
