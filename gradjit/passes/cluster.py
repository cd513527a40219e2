"""Which steps share a loop nest.

A cluster is a set of steps over one space. A step may join if what it reads is in
memory already, or is computed in the cluster for the same iteration, and if no
iteration reads what another one overwrites.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

from gradjit.ir.graph import Atom, Eqn, Value
from gradjit.passes.demand import Demand, Load
from gradjit.passes.element import Index
from gradjit.passes.overlap import are_apart, is_injective, same_index
from gradjit.passes.plan import Plan, Step
from gradjit.passes.usage import update_base


@dataclass(slots=True)
class _Write:
    """An update in the cluster; `base` is the version before all of its chain."""

    base: Value
    at: Index
    kind: str


@dataclass(slots=True)
class Cluster:
    """Steps that share a loop nest.

    Attributes:
        heads: For the result of each update inside, its write.
        loads: All loads from memory.
        computed: Lazy arrays whose elements the body computes.
    """

    plan: Plan
    there: Container[Value]
    space: tuple[Atom, ...]
    steps: list[Step] = field(default_factory=list[Step])
    loads: list[Load] = field(default_factory=list[Load])
    writes: list[_Write] = field(default_factory=list[_Write])
    heads: dict[Value, _Write] = field(default_factory=dict[Value, _Write])
    computed: set[Value] = field(default_factory=set[Value])

    def add(self, step: Step) -> bool:
        """Add a step if it fits."""
        computed = set(self.computed)
        loads = self._loads(step.demand, computed)
        if loads is None or not self._in_order(step):
            return False
        if self.steps and not self._safe(step, loads):
            return False
        if step.kind == "write" and not self._note_write(step):
            return False
        self.steps.append(step)
        self.loads += loads
        self.computed = computed
        if step.kind == "value":
            self.computed.add(step.eqn.out)
        return True

    def _in_order(self, step: Step) -> bool:
        return all(s.done or s in self.steps for s in step.before)

    def _loads(self, demand: Demand, computed: set[Value]) -> list[Load] | None:
        """The loads from memory of a step, or None if something is not there yet."""
        out: list[Load] = []
        stack = [demand]
        while stack:
            now = stack.pop()
            if any(s not in self.there for s in now.scalars):
                return None
            for value, at in now.loads:
                if value in self.there:
                    out.append((value, at))
                elif not self._can_compute(value, at, computed):
                    return None
                elif value not in computed:
                    computed.add(value)
                    stack.append(self.plan.demands[value])
        return out

    def _can_compute(self, value: Value, at: Index, computed: set[Value]) -> bool:
        plan = self.plan
        if value not in plan.demands:
            return False
        if value in plan.memory and value not in computed:
            return False
        own = plan.recorder.identity(value)
        return same_index(plan.recorder.facts, at, own)

    # ----------------------------------------------------------------- hazards

    def _safe(self, step: Step, loads: list[Load]) -> bool:
        """Whether reads and writes of different iterations keep apart."""
        if step.kind != "write":
            return all(self._may_meet(w, loads) for w in self.writes)
        base, at = update_base(step.eqn), step.demand.writes
        assert base is not None
        assert at is not None
        chain = self.heads.get(base)
        root = chain.base if chain else base
        write = _Write(root, at, _write_kind(step.eqn))
        if not all(self._may_meet(w, loads) for w in self.writes):
            return False
        if not self._may_meet(write, [*self.loads, *loads]):
            return False
        others = [w for w in self.writes if self._shares(w.base, root)]
        if not others:
            return True
        last = chain is not None and len(self.plan.users.get(base, ())) == 1
        return last and all(self._commute(w, write) for w in others)

    def _shares(self, a: Value, b: Value) -> bool:
        return self.plan.base(a) is self.plan.base(b)

    def _may_meet(self, write: _Write, loads: list[Load]) -> bool:
        recorder = self.plan.recorder
        return all(
            value is write.base and recorder.harmless(at, write.at, self.space)
            for value, at in loads
            if self._shares(value, write.base)
        )

    def _commute(self, first: _Write, second: _Write) -> bool:
        """Whether two updates may alternate, iteration by iteration."""
        recorder = self.plan.recorder
        if first.kind == second.kind == "add":
            return True
        moving = {*recorder.axes, *recorder.loaded.values()}
        facts = recorder.facts
        if same_index(facts, first.at, second.at):
            axes = recorder.axes[: len(self.space)]
            return is_injective(facts, first.at, axes, moving)
        return are_apart(facts, first.at, second.at, moving)

    def _note_write(self, step: Step) -> bool:
        base, at = update_base(step.eqn), step.demand.writes
        assert base is not None
        assert at is not None
        chain = self.heads.get(base)
        lazy = base in self.plan.defs and self.plan.defs[base].op.name == "full"
        if chain is None and base not in self.there and not lazy:
            return False
        write = _Write(chain.base if chain else base, at, _write_kind(step.eqn))
        self.writes.append(write)
        self.heads[step.eqn.out] = write
        return True


def _write_kind(eqn: Eqn) -> str:
    return "add" if eqn.op.name in ("add_at", "scatter_add") else "store"
