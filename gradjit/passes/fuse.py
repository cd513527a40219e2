"""Array expressions become loops: from the `graph` stage to the `program` stage.

Each block is rebuilt from its `plan`. Steps that can run are taken in the user's order:
direct ones first, since they may set free what waits for them; then the first step
over arrays opens a `cluster`, every other one that fits joins it, and the cluster
becomes one `map_`, so that the forward and the backward part of an element share an
iteration. Elements that a later loop needs again are kept in memory if they are dear,
and computed again if they are not.

Greedy, after the loop fusion of Kennedy and McKinley, "Maximizing Loop Parallelism and
Improving Data Locality via Loop Fusion and Distribution" (1993), on loops that do not
exist yet: what is not needed as an array is never made one.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradjit.errors import InternalError
from gradjit.ir.build import Builder, index
from gradjit.ir.graph import Atom, Block, Eqn, Graph, Value, values, walk
from gradjit.ir.types import dims
from gradjit.passes.accumulate import accumulate, whole_values
from gradjit.passes.cluster import Cluster
from gradjit.passes.cover import cover
from gradjit.passes.dce import eliminate
from gradjit.passes.demand import Recorder
from gradjit.passes.element import (
    ZERO,
    Elements,
    Index,
    is_all_scalar,
    is_array,
    is_pick,
    is_pointwise,
)
from gradjit.passes.hoist import hoist
from gradjit.passes.nest import emit_cluster
from gradjit.passes.normal import Normal, normalise
from gradjit.passes.plan import Plan, Step
from gradjit.passes.recycle import recycle
from gradjit.passes.rows import share_rows
from gradjit.passes.usage import Defs, learn, view_root

# An element of this cost or less is computed again by a later loop.
DEAR = 7


def fuse(graph: Graph, parallel: bool = False, in_place: bool = True) -> Graph:
    """The graph with loops in place of array expressions.

    Args:
        graph: A valid graph of the `graph` stage.
        parallel: Whether threads may share the loops.
        in_place: Whether a product of matrices may go into an array that is there.

    Returns:
        A graph of the `program` stage with the same meaning, up to the order of sums.
    """
    normal = normalise(eliminate(graph))
    fuser = Fuser(normal)
    program = Graph(graph.name, fuser.block(normal.graph.block), graph.mutated)
    program = cover(share_rows(eliminate(hoist(program)), parallel))
    program = recycle(program, fuser.shapes)
    if not in_place:
        return program
    whole = {fuser.env.get(v, v) for v in whole_values(normal.graph.block)}
    return eliminate(accumulate(program, fuser.shapes, whole))


class Fuser:
    """Rebuilds the blocks of a graph.

    Attributes:
        env: For each scalar and each array in memory of the old graph, the new one.
        defs: The equations of lazy arrays.
        memory: Lazy arrays that are, or will be, in memory.
        shapes: The extents of arrays in memory, in the new graph.
    """

    def __init__(self, normal: Normal) -> None:
        self.b = Builder(checks=False)
        self.env: dict[Value, Atom] = {}
        self.facts = normal.facts
        self.equal = normal.equal
        self.shapes: dict[Value, tuple[Atom, ...]] = {}
        self.memory: set[Value] = set()
        rows = normal.extents
        self.defs: Defs = {
            e.out: e
            for e in walk(normal.graph.block)
            if is_pointwise(
                e, lambda a: rows.get(a, ()) if isinstance(a, Value) else ()
            )
        }
        self.recorder = Recorder(self.defs, rows, normal.facts)
        self.elements = Elements(
            self.b, self.defs, self.recorder.extents, self._load, self.scalar
        )

    # ----------------------------------------------------------------- reading

    def scalar(self, atom: Atom) -> Atom:
        """The new atom of a scalar, or of a loop variable."""
        return self.env.get(atom, atom) if isinstance(atom, Value) else atom

    def extent(self, atom: Atom) -> Atom:
        """The new atom of an extent: one atom for all that are known to be equal."""
        form = self.facts.affine(atom)
        if not form.terms:
            return index(form.constant)
        if len(form.terms) == 1 and form.constant == 0:
            ((value, factor),) = form.terms.items()
            if factor == 1 and value in self.env:
                return self.env[value]
        return self.scalar(atom)

    def define(self, old: Value, new: Atom) -> None:
        """Note what a scalar or an array in memory is in the new graph."""
        self.env[old] = new
        if isinstance(new, Value) and is_array(new):
            self.shapes[new] = tuple(map(self.extent, self.recorder.extents(old)))

    def define_all(self, old: Sequence[Value], new: Sequence[Atom]) -> None:
        for a, b in zip(old, new, strict=True):
            self.define(a, b)

    def _load(self, array: Value, at: Index) -> Atom | None:
        base = self.env.get(array)
        if base is None:
            return None
        spec = "i" * len(at)
        return self.b.emit1("index", base, *at, spec=spec, dims=(), checked=False)

    def array(self, atom: Atom, name: str = "") -> Atom:
        """The new value of an array, which is in memory or made on the spot."""
        if not isinstance(atom, Value):
            return atom
        found = self.env.get(atom)
        if found is not None:
            return found
        eqn = self.defs.get(atom)
        if eqn is None or eqn.op.name != "full":
            raise InternalError(f"{atom!r} is not in memory")
        return self._fresh(eqn, name or atom.name)

    def _fresh(self, eqn: Eqn, name: str) -> Value:
        """A new array of one value: each user gets its own, to write into."""
        args = tuple(self.scalar(a) for a in eqn.args)
        out = Value(eqn.out.type, name)
        self.b.append(eqn.with_(args=args, outs=(out,)))
        self.shapes[out] = tuple(map(self.extent, self.recorder.extents(eqn.out)))
        return out

    def view(self, atom: Atom, straight: bool = False) -> Atom:
        """The new value of an array or of a view of one in memory."""
        if not isinstance(atom, Value) or atom in self.env or atom not in self.defs:
            return self.value(atom)
        eqn = self.defs[atom]
        if view_root(atom, self.defs, straight) is atom:
            return self.array(atom)
        base = self.view(eqn.args[0], straight=eqn.op.name != "transpose")
        rest = [self.scalar(a) for a in eqn.args[1:]]
        with self.b.at(eqn.loc):
            return self.b.emit1(eqn.op, base, *rest, name=atom.name, **eqn.params)

    def value(self, atom: Atom) -> Atom:
        return self.array(atom) if is_array(atom) else self.scalar(atom)

    # ------------------------------------------------------------------ blocks

    def block(self, block: Block) -> Block:
        """A block rebuilt, with fresh parameters."""
        params = tuple(Value(p.type, p.name) for p in block.params)
        self.b.open(params)
        for a, b in self.equal.get(block, ()):
            self.facts.vanish(a - b)
        self.define_all(block.params, params)
        plan = Plan(block, self.recorder, self.defs, self.memory)
        _Schedule(self, plan).run()
        return self.b.close([self.value(r) for r in block.results])

    def region(self, block: Block) -> Block:
        """A region: what is learnt inside holds inside."""
        equal = dict(self.facts.equal)
        memo, self.elements.memo = self.elements.memo, {}
        out = self.block(block)
        self.elements.memo = memo
        self.facts.forget(equal)
        return out

    def direct(self, eqn: Eqn) -> None:
        """An equation that stays."""
        b = self.b
        with b.at(eqn.loc):
            if eqn.regions:
                self._with_regions(eqn)
            elif is_pick(eqn):
                self.elements.memo.clear()
                self.env[eqn.out] = self.elements.of(eqn, ())
            elif is_all_scalar(eqn):
                base, value, *at = eqn.args
                self.elements.memo.clear()
                one = self.elements.at(value, [ZERO] * len(dims(value.type)))
                memory = self.array(base, eqn.out.name)
                self._emit(eqn, [memory, one, *map(self.scalar, at)])
            elif eqn.op.name in ("contract", "reshape"):
                straight = eqn.op.name == "reshape"
                self._emit(eqn, [self.view(a, straight) for a in eqn.args])
            else:
                self._emit(eqn, [self.value(a) for a in eqn.args])
        learn(self.facts, eqn)

    def _emit(self, eqn: Eqn, args: Sequence[Atom]) -> None:
        names = [o.name for o in eqn.outs]
        if eqn.op.kind == "elementwise" or eqn.op.name in ("dim", "index"):
            outs = self.b.emit(eqn.op, *args, names=names, **eqn.params)
        else:
            outs = tuple(Value(o.type, o.name) for o in eqn.outs)
            self.b.append(eqn.with_(args=tuple(args), outs=outs, loc=eqn.loc))
        self.define_all(eqn.outs, outs)

    def _initial(self, eqn: Eqn) -> tuple[Atom, ...]:
        """The arguments of a region equation; fresh ones are named as the carries."""
        if eqn.op.name == "if_":
            return tuple(map(self.scalar, eqn.args))
        names = [*[""] * (len(eqn.args) - len(eqn.outs)), *(o.name for o in eqn.outs)]
        return tuple(
            self.array(a, name) if is_array(a) else self.scalar(a)
            for a, name in zip(eqn.args, names, strict=True)
        )

    def _with_regions(self, eqn: Eqn) -> None:
        args = self._initial(eqn)
        regions = tuple(self.region(r) for r in eqn.regions)
        outs = tuple(Value(o.type, o.name) for o in eqn.outs)
        self.b.append(eqn.with_(args=args, outs=outs, regions=regions))
        self.define_all(eqn.outs, outs)


class _Schedule:
    """Takes the steps of a plan one after the other."""

    def __init__(self, fuser: Fuser, plan: Plan) -> None:
        self.fuser = fuser
        self.plan = plan
        self.pending = list(plan.steps)
        self.urgent = _behind_checks(plan.steps)

    def run(self) -> None:
        while self.pending:
            before = len(self.pending)
            self._directs()
            self._cluster()
            if len(self.pending) == before:
                raise InternalError(f"no step can run: {self.pending[0].eqn!r}")

    def _directs(self) -> None:
        """All direct steps that can run, in order."""
        rest: list[Step] = []
        barrier = _Barrier()
        for step in self.pending:
            if step.kind == "direct" and barrier.lets(step) and self._can_run(step):
                self.fuser.direct(step.eqn)
                step.done = True
            else:
                rest.append(step)
                barrier.note(step)
        self.pending = rest

    def _can_run(self, step: Step) -> bool:
        env = self.fuser.env
        return all(v in env for v in step.needs) and all(s.done for s in step.before)

    def _cluster(self) -> None:
        """Open a cluster, fill it, and emit it."""
        ready = self._ready()
        first = sorted(ready, key=lambda s: s not in self.urgent)
        cluster = next((c for s in first if (c := self._opened(s))), None)
        if cluster is None:
            return
        grown = True
        while grown:
            grown = False
            for step in ready:
                if step in cluster.steps:
                    continue
                same = self.plan.recorder.same_space(step.demand.space, cluster.space)
                if same and cluster.add(step):
                    grown = True
        self._close(cluster)

    def _ready(self) -> list[Step]:
        """Steps over arrays that no pending check holds back."""
        out: list[Step] = []
        barrier = _Barrier()
        for step in self.pending:
            if step.kind != "direct" and barrier.lets(step):
                out.append(step)
            barrier.note(step)
        return out

    def _opened(self, step: Step) -> Cluster | None:
        cluster = Cluster(self.plan, self.fuser.env, step.demand.space)
        return cluster if cluster.add(step) else None

    def _close(self, cluster: Cluster) -> None:
        for step in cluster.steps:
            step.done = True
        self.pending = [s for s in self.pending if not s.done]
        for value in self._kept(cluster):
            eqn = self.plan.defs[value]
            demand = self.plan.demands[value]
            step = Step(self.plan.where[value], eqn, "value", demand, done=True)
            cluster.steps.append(step)
        cluster.steps.sort(key=lambda s: s.pos)
        emit_cluster(self.fuser, cluster)

    def _kept(self, cluster: Cluster) -> list[Value]:
        """Lazy arrays of the cluster that later loops read, and that are dear."""
        plan = self.plan
        candidates = sorted(
            (v for v in cluster.computed if v not in plan.memory),
            key=lambda v: plan.where[v],
            reverse=True,
        )
        kept: list[Value] = []
        stored = {s.eqn.out for s in cluster.steps if s.kind == "value"}
        for value in candidates:
            if not self._is_dear(value, stored):
                continue
            space = plan.demands[value].space
            if not plan.recorder.same_space(space, cluster.space):
                continue
            if value in self._wanted(stored):
                kept.append(value)
                stored.add(value)
        return kept

    def _is_dear(self, value: Value, stored: set[Value]) -> bool:
        there = frozenset(v for v in self.plan.demands if v in self.fuser.env)
        deeper = frozenset(s for s in stored if s is not value)
        return self.plan.cost(value, DEAR + 1, there | deeper) > DEAR

    def _wanted(self, stored: set[Value]) -> set[Value]:
        """Lazy arrays that pending loops would compute, were the cluster closed now."""
        plan, env = self.plan, self.fuser.env
        out: set[Value] = set()
        stack = [s.demand for s in self.pending if s.kind != "direct"]
        while stack:
            for value, _ in stack.pop().loads:
                if value in out or value not in plan.demands or value in env:
                    continue
                out.add(value)
                if value not in stored and value not in plan.memory:
                    stack.append(plan.demands[value])
        return out


def _behind_checks(steps: Sequence[Step]) -> set[Step]:
    """The steps that checks wait for: done early, they hold up nothing else."""
    makers = {o: s for s in steps for o in s.eqn.outs}
    found: set[Step] = set()
    stack = [s for s in steps if s.eqn.op.name == "check"]
    while stack:
        step = stack.pop()
        if step not in found:
            found.add(step)
            wanted = (
                step.needs | step.demand.scalars | {v for v, _ in step.demand.loads}
            )
            stack += (makers[v] for v in wanted if v in makers)
    return found


class _Barrier:
    """Keeps steps behind the checks in front of them.

    Checks stay in order. What reads or writes arrays waits for the checks before it,
    all but assertions; what has a region waits for these too.
    """

    def __init__(self) -> None:
        self.check = False
        self.guard = False

    def note(self, step: Step) -> None:
        """A step that has not run yet."""
        if step.eqn.op.name == "check":
            self.check = True
            self.guard |= step.eqn.params["kind"] != "assert"

    def lets(self, step: Step) -> bool:
        eqn = step.eqn
        if eqn.op.name == "check" or eqn.regions:
            return not self.check
        if step.kind == "direct" and not any(is_array(a) for a in values(eqn.args)):
            return True
        return not self.guard
