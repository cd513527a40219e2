"""What is computed where: the plan of one block, made before it is rebuilt.

Arrays of a block are *lazy* if their elements can be computed one by one. A lazy array
is *light* (views and cheap expressions: its code is written wherever an element is
read), or it is computed in the loop that reads it, or it is put in *memory* because
something reads it as a whole, at other indices, in other loops, or after one of its
operands is overwritten.

The steps of the plan, in the user's order:

    direct   an equation that stays as it is: scalars, regions, BLAS, single elements
    value    a lazy array that is put in memory
    reduce   a reduction
    write    an update of a part of an array
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from gradjit.ir.graph import Atom, Block, Eqn, Value, values
from gradjit.ir.types import rank
from gradjit.passes.demand import Demand, Recorder
from gradjit.passes.element import (
    REDUCTIONS,
    UPDATES,
    VIEWS,
    is_all_scalar,
    is_array,
    is_pick,
)
from gradjit.passes.overlap import same_index
from gradjit.passes.readiness import waits_for
from gradjit.passes.usage import (
    Defs,
    Use,
    as_uses,
    consumed,
    learn,
    stretch,
    update_base,
    view_root,
)

Kind = Literal["direct", "value", "reduce", "write"]

# An expression of this cost or less is written again wherever it is read.
LIGHT = 4
# The same where few elements are read: the array has a row for each of them.
SPARSE = 24


@dataclass(slots=True, eq=False)
class Step:
    """One step of a block.

    Attributes:
        needs: Values of the block that a direct step waits for.
        before: Steps that read what this one overwrites.
        reads: Arrays in memory that it reads, in loops or as a whole.
    """

    pos: int
    eqn: Eqn
    kind: Kind
    demand: Demand = field(default_factory=Demand)
    needs: set[Value] = field(default_factory=set[Value])
    before: list[Step] = field(default_factory=list["Step"])
    reads: set[Value] = field(default_factory=set[Value])
    done: bool = False


class Plan:
    """The plan of a block.

    Args:
        block: The block, in normal form.
        recorder: For the demands.
        defs: Definitions of all lazy arrays of the graph.
        memory: Lazy arrays that are put in memory; the plan adds those of the block.
    """

    def __init__(
        self, block: Block, recorder: Recorder, defs: Defs, memory: set[Value]
    ) -> None:
        self.block = block
        self.recorder = recorder
        self.defs = defs
        self.memory = memory
        self.where = {o: p for p, e in enumerate(block.eqns) for o in e.outs}
        self.lazy = [o for o in self.where if o in defs]
        self.users: dict[Value, list[tuple[int, Use, Eqn | None]]] = {}
        self.demands: dict[Value, Demand] = {}
        self._uses()
        self.consumers = self._consumers()
        self.pinned = self._pinned()
        self.light = {
            v for v in self.lazy if v not in self.pinned and self._is_light(v)
        }
        facts = recorder.facts
        equal = dict(facts.equal)
        self._assume_checks()
        self.steps = self._steps()
        facts.forget(equal)
        self._order()

    # -------------------------------------------------------------------- uses

    def _uses(self) -> None:
        """Who uses each lazy array, and as what."""
        for pos, eqn in enumerate(self.block.eqns):
            for use, value in self.uses_of(eqn):
                self.users.setdefault(value, []).append((pos, use, eqn))
        end = len(self.block.eqns)
        for value in values(self.block.results):
            self.users.setdefault(value, []).append((end, "memory", None))

    def uses_of(self, eqn: Eqn) -> Iterator[tuple[Use, Value]]:
        """The arrays that an equation uses, and as what."""
        arrays = [a for a in eqn.args if isinstance(a, Value) and is_array(a)]
        if eqn.regions:
            yield from as_uses("memory", arrays)
            for region in eqn.regions:
                for inner in region.eqns:
                    for use, value in self.uses_of(inner):
                        yield ("captured" if use == "element" else use), value
                yield from as_uses("memory", values(region.results))
        elif eqn.op.name in UPDATES:
            yield "memory", arrays[0]
            yield from as_uses("element", arrays[1:])
        elif eqn.op.name in ("contract", "reshape") and eqn.outs[0] not in self.defs:
            kind: Use = "view" if eqn.op.name == "contract" else "straight"
            yield from as_uses("element" if is_pick(eqn) else kind, arrays)
        elif self._is_element_use(eqn):
            yield from as_uses("element", arrays)
        else:
            yield from as_uses("memory", arrays)

    def _is_element_use(self, eqn: Eqn) -> bool:
        if eqn.op.name in REDUCTIONS:
            return True
        return len(eqn.outs) == 1 and (eqn.out in self.defs or is_pick(eqn))

    def _consumers(self) -> dict[Value, list[int]]:
        """Where a version of an array is overwritten."""
        out: dict[Value, list[int]] = {}
        for pos, eqn in enumerate(self.block.eqns):
            for value in consumed(eqn):
                out.setdefault(self.base(value), []).append(pos)
        return out

    def base(self, value: Value) -> Value:
        """The array whose memory a reshaped array shares."""
        pos = self.where.get(value)
        if pos is None or value in self.defs:
            return value
        eqn = self.block.eqns[pos]
        if eqn.op.name != "reshape" or not isinstance(eqn.args[0], Value):
            return value
        return self.base(view_root(eqn.args[0], self.defs, straight=True))

    # ----------------------------------------------------- light, pinned, leaves

    def leaves(self, value: Value, seen: set[Value] | None = None) -> set[Value]:
        """The arrays in memory that a lazy array is computed from."""
        seen = set() if seen is None else seen
        eqn = self.defs.get(value)
        if eqn is None or value in self.memory:
            return {self.base(value)}
        if value in seen:
            return set()
        seen.add(value)
        out: set[Value] = set()
        for a in values(eqn.args):
            if is_array(a):
                out |= self.leaves(a, seen)
        return out

    def _pinned(self) -> set[Value]:
        """Lazy arrays that are read after an operand of theirs is overwritten."""
        out: set[Value] = set()
        if not self.consumers:
            return out
        last: dict[Value, int] = {}
        for value in reversed(self.lazy):
            last[value] = self.where[value]
            for pos, use, eqn in self.users.get(value, ()):
                passed = use == "element" and eqn is not None and eqn.outs[0] in last
                later = last[eqn.outs[0]] if passed and eqn else pos
                if passed and eqn and eqn.outs[0] in out:
                    later = pos
                last[value] = max(last[value], later)
            cuts = [c for a in self.leaves(value) for c in self.consumers.get(a, ())]
            if any(self.where[value] < c < last[value] for c in cuts):
                out.add(value)
        return out

    def _is_light(self, value: Value) -> bool:
        eqn = self.defs[value]
        if eqn.op.name in VIEWS:
            return True
        limit = SPARSE if self._is_picked_from(value) else LIGHT
        return self.cost(value, limit + 1) <= limit

    def _is_picked_from(self, value: Value) -> bool:
        """Whether only some elements are read, by indices: one of each row, say."""
        users = self.users.get(value, ())
        return bool(users) and all(
            use == "element"
            and eqn is not None
            and eqn.op.name == "gather"
            and rank(eqn.out.type) < rank(value.type)
            for _, use, eqn in users
        )

    def cost(
        self, value: Value, limit: int, loaded: frozenset[Value] = frozenset()
    ) -> int:
        """Loads and operations of an element, counted up to a limit.

        Args:
            value: An array.
            limit: Where counting ends.
            loaded: Lazy arrays that are in memory, besides those of the plan.
        """
        eqn = self.defs.get(value)
        if eqn is None or value in self.memory or value in loaded:
            return 1
        own = 0
        if eqn.op.kind == "elementwise":
            own = 1 if eqn.op.cheap else 8
        for a in values(eqn.args):
            if own >= limit:
                break
            if is_array(a):
                own += self.cost(a, limit - own, loaded)
        return own

    # ------------------------------------------------------------------- steps

    def _assume_checks(self) -> None:
        facts = self.recorder.facts
        for eqn in self.block.eqns:
            learn(facts, eqn)

    def _steps(self) -> list[Step]:
        steps: list[Step] = []
        for pos, eqn in enumerate(self.block.eqns):
            if len(eqn.outs) == 1 and eqn.out in self.defs:
                if eqn.out not in self.light:
                    self.demands[eqn.out] = self.record(eqn)
            elif eqn.op.name in REDUCTIONS:
                steps.append(Step(pos, eqn, "reduce", self.record(eqn)))
            elif eqn.op.name in UPDATES and not is_all_scalar(eqn):
                steps.append(Step(pos, eqn, "write", self.record(eqn)))
            else:
                steps.append(Step(pos, eqn, "direct"))
        self._put_in_memory(steps)
        for value in self.lazy:
            if value in self.memory:
                if value not in self.demands:
                    self.demands[value] = self.record(self.defs[value])
                pos = self.where[value]
                steps.append(Step(pos, self.defs[value], "value", self.demands[value]))
        steps.sort(key=lambda s: s.pos)
        for step in steps:
            if step.kind == "direct":
                wanted = waits_for(step.eqn, self.recorder, self.defs, self.memory)
                step.needs = {v for v in wanted if v in self.where}
        return steps

    def record(self, eqn: Eqn, also: frozenset[Value] = frozenset()) -> Demand:
        """The demand of a step, up to arrays that have or may get a place."""

        def stops(v: Value) -> bool:
            if v not in self.defs or v in self.memory or v in also:
                return True
            return v in self.where and v not in self.light

        return self.recorder.record(eqn, stops)

    def _put_in_memory(self, steps: list[Step]) -> None:
        """Decide which lazy arrays of the block are put in memory."""
        found: set[Value] = set(self.pinned)
        for value in self.lazy:
            for _, use, _ in self.users.get(value, ()):
                found |= self._memory_of(value, use)
        pending = [*self.demands.values(), *(s.demand for s in steps)]
        new: set[Value] = found & set(self.lazy)
        while pending or new:
            light = [v for v in new if v not in self.demands]
            for value in sorted(light, key=self.where.__getitem__):
                # A light array that has to be in memory is a step as well.
                self.demands[value] = self.record(self.defs[value])
                pending.append(self.demands[value])
            new = self._elsewhere(pending.pop()) - found if pending else set[Value]()
            found |= new
        self.memory |= found
        for step in steps:
            hazard = step.kind == "write" and self._is_hazard(step)
            if hazard and not self._replace(step):
                self._separate(step)

    def _memory_of(self, value: Value, use: Use) -> set[Value]:
        """What a use of a lazy array needs in memory."""
        eqn = self.defs.get(value)
        if eqn is None or value not in self.where:
            return set()
        if eqn.op.name == "full" and use != "captured":
            return set()
        if use == "memory":
            return {value}
        if use in ("view", "straight"):
            root = view_root(value, self.defs, straight=use == "straight")
            if root not in self.defs or root in self.memory:
                return set()
            return {root} if root in self.where else {value}
        if use == "captured":
            if eqn.op.name not in VIEWS:
                return {value}
            args = [a for a in values(eqn.args) if is_array(a)]
            return set[Value]().union(*(self._memory_of(a, use) for a in args))
        return set()

    def _elsewhere(self, demand: Demand) -> set[Value]:
        """Lazy arrays that are read at another index or in other loops."""
        out: set[Value] = set()
        recorder = self.recorder
        for value, at in demand.loads:
            if value not in self.defs or value not in self.where:
                continue
            space, own = recorder.loops(recorder.rows[value])
            if not same_index(recorder.facts, at, own) or not recorder.same_space(
                space, demand.space
            ):
                out.add(value)
        return out

    def _is_hazard(self, step: Step) -> bool:
        """Whether an update reads the array elsewhere than it writes."""
        base, write = update_base(step.eqn), step.demand.writes
        assert base is not None
        assert write is not None
        return any(
            self.base(array) is self.base(base)
            and not (
                array is base and self.recorder.harmless(at, write, step.demand.space)
            )
            for array, at in self.flat(step.demand)
        )

    def _replace(self, step: Step) -> bool:
        """Make what is written to all of an array a new array, if that is the case."""
        eqn = step.eqn
        stretched = stretch(eqn, self.recorder.extents(eqn.args[0]))
        if stretched is None:
            return False
        self.defs[eqn.out] = stretched
        self.memory.add(eqn.out)
        self.demands[eqn.out] = self.record(stretched)
        step.eqn, step.kind, step.demand = stretched, "value", self.demands[eqn.out]
        return True

    def _separate(self, step: Step) -> None:
        """Put what an update writes in memory first, as NumPy does."""
        lazy = [a for a in values(step.eqn.args[1:]) if a in self.defs]
        own = {a for a in lazy if a in self.where and self.defs[a].op.name != "full"}
        self.memory |= own
        self.pinned |= own
        step.demand = self.record(step.eqn)

    def flat(self, demand: Demand) -> list[tuple[Value, tuple[Atom, ...]]]:
        """The loads of a demand down to arrays in memory."""
        out: list[tuple[Value, tuple[Atom, ...]]] = []
        seen: set[Value] = set()
        stack = [demand]
        while stack:
            for value, at in stack.pop().loads:
                if value not in self.demands or value in self.memory:
                    out.append((value, at))
                elif value not in seen:
                    seen.add(value)
                    stack.append(self.demands[value])
        return out

    def _order(self) -> None:
        """Let steps that read an array come before the one that overwrites it."""
        readers: dict[Value, list[Step]] = {}
        for step in self.steps:
            step.reads = self._bases(step)
            for base in step.reads:
                readers.setdefault(base, []).append(step)
        for step in self.steps:
            for value in consumed(step.eqn):
                for reader in readers.get(self.base(value), ()):
                    if reader.pos < step.pos:
                        step.before.append(reader)

    def _bases(self, step: Step) -> set[Value]:
        if step.kind != "direct":
            return {self.base(v) for v, _ in self.flat(step.demand)}
        used = {v for _, v in self.uses_of(step.eqn)}
        return set[Value]().union(*(self.leaves(v) for v in used))
