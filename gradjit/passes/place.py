"""Updates become writes in place, and copies stand where they must.

After this pass the old version of an array that is updated is never used again, so the
emitter writes into it. Each array value has *roots*: the buffers that it may be in. An
update of a value is safe if none of its roots belongs to the caller and if no value
that shares one of them is used later, in the order of execution. Otherwise the value is
copied first.

In a loop, the buffers of carries that the body writes into belong to the loop: initial
values must be dead and apart from each other, and results must be buffers of such
carries or of the body, one for each carry. So `a, b = b, a` costs nothing. What a
region captures lives as long as the loop. What is pushed on a stack is not written any
more, so it need not be copied, unless a loop goes on writing into it.

The problem is that of aggregate updates in functional languages: Hudak and Bloss, "The
Aggregate Update Problem in Functional Programming Systems" (1985).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gradjit.ir.bounds import gather_facts
from gradjit.ir.graph import Atom, Block, Eqn, Graph, Value, eqn_uses, free, values
from gradjit.ir.op import lookup
from gradjit.ops.region import Writer
from gradjit.passes.alias import (
    NONE,
    Roots,
    carried,
    is_array,
    is_home,
    is_view,
    written_carries,
)
from gradjit.passes.columns import columns
from gradjit.passes.overlap import may_share
from gradjit.passes.writeback import written_back


def place(graph: Graph) -> Graph:
    """The graph with copies where an update would destroy what is still needed.

    Args:
        graph: A valid graph of the `program` stage.

    Returns:
        The graph in which each update may be done in place. No result is an array of
        the caller, but for those in `graph.mutated`, and no two share memory.
    """
    # Arguments whose last version is made elsewhere and copied at the end.
    late: frozenset[int] = frozenset()
    while True:
        block = _Placer(graph, late).graph()
        away = {
            k
            for k, r in graph.mutated.items()
            if not is_home(block, block.results[r], block.params[k])
        }
        if not away:
            return Graph(graph.name, block, graph.mutated)
        late |= away


class _Scope:
    """A block on its way: what was emitted, and what is used later.

    Attributes:
        last: Where each array is used for the last time in the block.
        outer: Arrays from outside that are used after the block, or again by it.
    """

    def __init__(self, block: Block, outer: set[Value]) -> None:
        self.outer = outer
        self.out: list[Eqn] = []
        self.last: dict[Value, int] = {}
        for pos, eqn in enumerate(block.eqns):
            if eqn.op.name != "dim":
                self.last.update((v, pos) for v in eqn_uses(eqn) if is_array(v))
        end = len(block.eqns)
        self.last.update((v, end) for v in values(block.results) if is_array(v))

    def lives(self, value: Value, pos: int) -> bool:
        """Whether a value is used after the equation at `pos`."""
        return self.last.get(value, -1) > pos or value in self.outer

    def living(self, pos: int) -> set[Value]:
        """All arrays that are used after the equation at `pos`."""
        return self.outer | {v for v, last in self.last.items() if last > pos}


class _Placer:
    def __init__(self, graph: Graph, late: frozenset[int]) -> None:
        self.source = graph
        self.late = late
        self.facts = gather_facts(graph.block)
        self.roots: dict[Value, Roots] = {}
        self.sharers: dict[int, list[Value]] = {}
        self.locked: set[int] = set()  # buffers that must not be written
        self.moving: set[int] = set()  # carries that their loop writes into
        self.held: set[int] = set()  # buffers that a stack may keep
        self.count = 0

    # ----------------------------------------------------------------- buffers

    def fresh(self, value: Value) -> int:
        """Give a value a buffer of its own."""
        self.count += 1
        self.give(value, frozenset((self.count,)))
        return self.count

    def give(self, value: Value, roots: Roots) -> None:
        self.roots[value] = roots
        for root in roots:
            self.sharers.setdefault(root, []).append(value)

    def of(self, atom: Atom) -> Roots:
        return self.roots.get(atom, NONE) if isinstance(atom, Value) else NONE

    def is_free(self, value: Value, pos: int, scope: _Scope) -> bool:
        """Whether the buffers of a value may be overwritten at `pos`."""
        roots = self.of(value)
        if roots & self.locked:
            return False
        return not any(
            scope.lives(other, pos) for root in roots for other in self.sharers[root]
        )

    def copy(self, value: Value, scope: _Scope) -> Value:
        out = Value(value.type, value.name)
        scope.out.append(Eqn(lookup("copy"), (value,), (out,)))
        self.fresh(out)
        return out

    def own(self, value: Atom, pos: int, scope: _Scope, clash: bool = False) -> Atom:
        """The value, or a copy of it if it cannot be overwritten."""
        if not isinstance(value, Value):
            return value
        if clash or not self.is_free(value, pos, scope):
            return self.copy(value, scope)
        return value

    # ------------------------------------------------------------------ blocks

    def graph(self) -> Block:
        graph = self.source
        block = graph.block
        for k, param in enumerate(block.params):
            if is_array(param):
                root = self.fresh(param)
                if k not in graph.mutated or k in self.late:
                    self.locked.add(root)
        scope = _Scope(block, set())
        self.run(block, scope)
        results = list(self.results(block.results, scope))
        for k in sorted(self.late):
            r = graph.mutated[k]
            eqns, results[r] = written_back(results[r], block.params[k])
            scope.out += eqns
        return Block(block.params, tuple(scope.out), tuple(results))

    def run(self, block: Block, scope: _Scope) -> None:
        for pos, eqn in enumerate(block.eqns):
            self.eqn(eqn, pos, scope)

    def results(self, atoms: Sequence[Atom], scope: _Scope) -> tuple[Atom, ...]:
        """The results: the caller gets each array once, and none of his own."""
        out = list(atoms)
        taken: set[int] = set()
        mutated = self.source.mutated
        params = {r: self.of(self.source.block.params[k]) for k, r in mutated.items()}
        order = sorted(range(len(out)), key=lambda k: k not in params)
        for k in order:
            atom = out[k]
            if not isinstance(atom, Value) or not is_array(atom):
                continue
            roots = self.of(atom)
            theirs = {r for p in mutated for r in self.of(self.source.block.params[p])}
            own = params.get(k, NONE) - self.locked
            foreign = roots & (self.locked | theirs) - own
            if foreign or roots & taken:
                out[k] = self.copy(atom, scope)
            taken |= self.of(out[k])
        return tuple(out)

    def eqn(self, eqn: Eqn, pos: int, scope: _Scope) -> None:
        rule = _RULES.get(eqn.op.name)
        if rule is not None:
            rule(self, eqn, pos, scope)
            return
        scope.out.append(eqn)
        for out in eqn.outs:
            if is_view(eqn):
                self.give(out, self.of(eqn.args[0]))
            elif is_array(out):
                self.fresh(out)

    def update(self, eqn: Eqn, pos: int, scope: _Scope) -> None:
        base = self.own(eqn.args[0], pos, scope)
        scope.out.append(eqn.with_(args=(base, *eqn.args[1:])))
        self.give(eqn.out, self.of(base))

    def push(self, eqn: Eqn, pos: int, scope: _Scope) -> None:
        """What a stack keeps is not written any more, before a pop or after it."""
        stack, value = eqn.args
        if isinstance(value, Value) and is_array(value):
            if self.of(value) & self.moving and not self.is_free(value, pos, scope):
                value = self.copy(value, scope)
            self.hold(self.of(value))
        scope.out.append(eqn.with_(args=(stack, value)))

    def hold(self, roots: Roots) -> None:
        self.held |= roots
        self.locked |= roots

    def pop(self, eqn: Eqn, pos: int, scope: _Scope) -> None:
        scope.out.append(eqn)
        if is_array(eqn.outs[1]):
            self.locked.add(self.fresh(eqn.outs[1]))

    def map(self, eqn: Eqn, pos: int, scope: _Scope) -> None:
        ndim = eqn.params["ndim"]
        dests = list(eqn.args[ndim:])
        for k, dest in enumerate(dests):
            roots = self.of(dest)
            shared = any(self.of(d) & roots for d in (*dests[:k], *dests[k + 1 :]))
            clash = shared or self.is_read(eqn, k, dest)
            dests[k] = self.own(dest, pos, scope, clash)
        scope.out.append(eqn.with_(args=(*eqn.args[:ndim], *dests)))
        writers: tuple[Writer, ...] = eqn.params["writers"]
        for writer, out in zip(writers, eqn.outs, strict=True):
            if writer.dest >= 0:
                self.give(out, self.of(dests[writer.dest]))
            elif is_array(out):
                self.fresh(out)

    def is_read(self, eqn: Eqn, number: int, dest: Atom) -> bool:
        """Whether an iteration may read what another one writes into a destination."""
        (body,) = eqn.regions
        roots = self.of(dest)
        writes = [
            column[1:]
            for writer, column in zip(eqn.params["writers"], columns(eqn), strict=True)
            if writer.dest == number
        ]
        for inner in body.eqns:
            for value in values(inner.args):
                if not self.of(value) & roots:
                    continue
                if value is not dest or inner.op.name != "index":
                    return True
                read = inner.args[1:]
                if not all(may_share(self.facts, read, w, body.params) for w in writes):
                    return True
        return False

    # ----------------------------------------------------------------- regions

    def branch(self, eqn: Eqn, pos: int, scope: _Scope) -> None:
        outer = scope.living(pos)
        regions: list[Block] = []
        for region in eqn.regions:
            inner = _Scope(region, outer)
            self.run(region, inner)
            regions.append(Block(region.params, tuple(inner.out), region.results))
        scope.out.append(eqn.with_(regions=tuple(regions)))
        for k, out in enumerate(eqn.outs):
            if is_array(out):
                self.give(out, NONE.union(*(self.of(r.results[k]) for r in regions)))

    def loop(self, eqn: Eqn, pos: int, scope: _Scope) -> None:
        carries = list(carried(eqn))
        written = written_carries(eqn)
        captured = {v for r in eqn.regions for v in free(r) if is_array(v)}
        first = len(eqn.args) - len(eqn.outs)
        args = self.entry(eqn, written, captured, pos, scope)
        mark = self.count
        homes = {k: self.fresh(param) for k, _, param, _ in carries}
        outer = scope.living(pos) | captured
        heads = [self.head(r, homes, carries, outer) for r in eqn.regions[:-1]]
        self.locked |= {home for k, home in homes.items() if k not in written}
        self.moving |= {home for k, home in homes.items() if k in written}
        body = eqn.regions[-1]
        inner = _Scope(body, outer)
        self.run(body, inner)
        results = self.exit(body, written, mark, inner)
        block = Block(body.params, tuple(inner.out), results)
        scope.out.append(eqn.with_(args=args, regions=(*heads, block)))
        self.leave(eqn, args[first:], results, written, homes)

    def entry(
        self,
        eqn: Eqn,
        written: set[int],
        captured: Iterable[Value],
        pos: int,
        scope: _Scope,
    ) -> tuple[Atom, ...]:
        """The arguments of a loop, with initial values that it may write into."""
        args = list(eqn.args)
        first = len(args) - len(eqn.outs)
        held = NONE.union(*(self.of(v) for v in captured))
        for k in sorted(written):
            roots = self.of(args[first + k])
            others = (self.of(a) for j, a in enumerate(args[first:]) if j != k)
            clash = bool(roots & NONE.union(held, *others))
            args[first + k] = self.own(args[first + k], pos, scope, clash)
        return tuple(args)

    def head(
        self,
        region: Block,
        homes: dict[int, int],
        carries: Sequence[tuple[int, Atom, Value, Atom]],
        outer: set[Value],
    ) -> Block:
        """The condition of a `while_`: it reads the carries."""
        params = [p for p in region.params if is_array(p)]
        for (k, *_), param in zip(carries, params, strict=True):
            self.give(param, frozenset((homes[k],)))
        inner = _Scope(region, outer | set(params))
        self.run(region, inner)
        return Block(region.params, tuple(inner.out), region.results)

    def exit(
        self,
        body: Block,
        written: set[int],
        mark: int,
        scope: _Scope,
    ) -> tuple[Atom, ...]:
        """The results of a body: written carries get buffers of the loop, one each."""
        out = list(body.results)
        for k in sorted(written):
            result = out[k]
            if not isinstance(result, Value):
                continue
            roots = self.of(result)
            others = NONE.union(*(self.of(a) for j, a in enumerate(out) if j != k))
            outside = any(root <= mark for root in roots)
            if outside or roots & self.locked or roots & others:
                out[k] = self.copy(result, scope)
        return tuple(out)

    def leave(
        self,
        eqn: Eqn,
        inits: Sequence[Atom],
        results: Sequence[Atom],
        written: set[int],
        homes: dict[int, int],
    ) -> None:
        """The buffers of a loop's results."""
        after: dict[int, Roots] = {}
        for k in homes:
            if k in written:
                self.fresh(eqn.outs[k])
                after[k] = self.of(eqn.outs[k])
            else:
                after[k] = self.of(inits[k])
        owner = {home: k for k, home in homes.items()}
        rest = [k for k in homes if k not in written]
        changed = True
        while changed:
            changed = False
            for k in rest:
                new = after[k]
                for root in self.of(results[k]):
                    new |= after[owner[root]] if root in owner else {root}
                changed |= new != after[k]
                after[k] = new
        for k in rest:
            self.give(eqn.outs[k], after[k])
            if homes[k] in self.held:
                self.hold(after[k])


_RULES = {
    "store": _Placer.update,
    "add_at": _Placer.update,
    "push": _Placer.push,
    "pop": _Placer.pop,
    "map_": _Placer.map,
    "if_": _Placer.branch,
    "for_": _Placer.loop,
    "while_": _Placer.loop,
}
