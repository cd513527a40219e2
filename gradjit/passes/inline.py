"""Which values are printed inside their consumer.

A scalar expression that the user did not name and that is used once moves to where it
is used. It is evaluated later than before, so a load must not pass a write to its
array; and it keeps its operands alive for longer, so it must not pass the statement
that would take over the name of one of them (`s = s + x` wants to be `s += x`).
Small index arithmetic (`i - 1`) is repeated wherever it is used.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from gradjit.ir.graph import Atom, Block, Const, Eqn, Graph, Value, values, walk
from gradjit.ir.types import ArrayType, ScalarType, rank
from gradjit.ops.region import Writer
from gradjit.passes.alias import VIEWS, Memory, apart

Role = Literal["function", "loop", "branch", "value", "map"]

CHOICE_WIDTH = 50
_AFFINE = frozenset({"add", "sub"})
_TEXTS = frozenset({"dim", "transpose", "reshape", "position"})


@dataclass(slots=True)
class Inlining:
    """The decision: inlined values with their equations, and inlined choices."""

    inlined: dict[Value, Eqn] = field(default_factory=dict[Value, Eqn])
    choices: set[Value] = field(default_factory=set[Value])
    _leaves: dict[Value, frozenset[Value]] = field(
        default_factory=dict[Value, frozenset[Value]]
    )

    def leaves(self, atom: Atom) -> frozenset[Value]:
        """The values that the text of an atom mentions by name."""
        if not isinstance(atom, Value):
            return frozenset()
        eqn = self.inlined.get(atom)
        if eqn is None:
            return frozenset((atom,))
        found = self._leaves.get(atom)
        if found is None:
            found = self.leaves_of(eqn)
            self._leaves[atom] = found
        return found

    def leaves_of(self, eqn: Eqn) -> frozenset[Value]:
        """The values that the text of an equation's right side mentions."""
        atoms = list(eqn.args)
        if eqn.op.name == "if_":
            atoms += [a for r in eqn.regions for a in r.results]
        return frozenset[Value]().union(*map(self.leaves, atoms))

    def forget(self) -> None:
        """Drop what is cached, after a change."""
        self._leaves.clear()


@dataclass(slots=True)
class _Scope:
    """What is known of the block at hand."""

    block: Block
    role: Role
    consumed: list[set[Value]]
    successor: dict[Value, int]
    before: tuple[frozenset[Value], ...] = ()
    places: dict[Value, list[int]] = field(default_factory=lambda: defaultdict(list))


def inline(graph: Graph) -> Inlining:
    """Decide for all values of a graph."""
    inliner = _Inliner(graph)
    inliner.visit(graph.block, "function")
    return inliner.decision


class _Inliner:
    def __init__(self, graph: Graph) -> None:
        self.counts: Counter[Value] = Counter()
        self._count(graph.block)
        self.defs = {o: e for e in walk(graph.block) for o in e.outs}
        self.steady = set(graph.block.params)
        for eqn in walk(graph.block):
            if eqn.op.name in ("for_", "map_"):
                fixed = 1 if eqn.op.name == "for_" else len(eqn.regions[0].params)
                self.steady.update(eqn.regions[0].params[:fixed])
        self.stored = dict(_stored(graph.block))
        # What is written into goes on under its name.
        self.written = {v for e in walk(graph.block) for v in overwritten(e)}
        self.flags = {
            e.regions[0].results[0]
            for e in walk(graph.block)
            if e.op.name == "for_" and e.params.get("exits")
        }
        self.decision = Inlining()
        self.memory = Memory(graph.block)

    def _count(self, block: Block) -> None:
        for eqn in block.eqns:
            for k, arg in enumerate(eqn.args):
                if isinstance(arg, Value):
                    self.counts[arg] += times_printed(eqn, k)
            for region in eqn.regions:
                self._count(region)
        self.counts.update(values(block.results))

    def visit(
        self, block: Block, role: Role, before: tuple[frozenset[Value], ...] = ()
    ) -> None:
        """Decide for a block, last equation first: consumers before producers."""
        scope = _Scope(block, role, [overwritten(e) for e in block.eqns], {}, before)
        scope.successor = _successors(block, role)
        end = len(block.eqns)
        for k, result in enumerate(block.results):
            if isinstance(result, Value):
                scope.places[result].append(end + k if role == "map" else end)
        for at in range(end - 1, -1, -1):
            self._equation(scope, at)

    def _equation(self, scope: _Scope, at: int) -> None:
        eqn = scope.block.eqns[at]
        choice = eqn.op.name == "if_" and self._as_choice(scope, eqn)
        moved = self._can_move(scope, at, choice)
        where = scope.places[eqn.out] if moved else [at]
        if moved:
            self.decision.inlined[eqn.out] = eqn
        for k, arg in enumerate(eqn.args):
            if isinstance(arg, Value):
                scope.places[arg].extend(where * times_printed(eqn, k))
        if choice:
            self._enter_choice(scope, eqn, where)
        else:
            self._enter(eqn)

    def _enter(self, eqn: Eqn) -> None:
        name = eqn.op.name
        if name == "map_":
            self.visit(eqn.regions[0], "map", _written_before(eqn))
        elif name == "while_":
            self.visit(eqn.regions[0], "value")
            self.visit(eqn.regions[1], "loop")
        else:
            for region in eqn.regions:
                self.visit(region, "loop" if name == "for_" else "branch")

    def _can_move(self, scope: _Scope, at: int, choice: bool) -> bool:
        eqn = scope.block.eqns[at]
        if eqn.op.name == "contract":
            return self._goes_into(scope, at)
        if not (is_expression(eqn) or choice) or self._wants_name(scope, eqn.out):
            return False
        if eqn.out in self.written:
            return False
        out, places = eqn.out, scope.places[eqn.out]
        if self._small(eqn):
            return not self._result_of_loop(scope, out)
        if len(places) != self.counts[out] or not places:
            return False
        if len(places) > (2 if self._plain_load(eqn) else 1):
            return False
        if self._result_of_loop(scope, out):
            return False
        steps = [eqn, *(e for r in eqn.regions for e in walk(r))]
        return all(self._legal(scope, e, at, p) for e in steps for p in places)

    def _goes_into(self, scope: _Scope, at: int) -> bool:
        """Whether a product is the value of the update that follows.

        BLAS writes into an array while it reads its operands: they must be apart.
        """
        eqns, product = scope.block.eqns, scope.block.eqns[at]
        places = scope.places[product.out]
        if len(places) != 1 or places[0] >= len(eqns):
            return False
        update = eqns[places[0]]
        into = update.op.name in ("store", "add_at")
        if not into or update.args[1] is not product.out:
            return False
        if any(e.op.name != "copy" for e in eqns[at + 1 : places[0]]):
            return False
        return apart(self.memory, self.defs, self.counts, update.args[0], product)

    def _wants_name(self, scope: _Scope, out: Value) -> bool:
        """Whether the user named a value, other than what it is stored in."""
        return bool(out.name) and out.name != self.stored.get(out)

    def _result_of_loop(self, scope: _Scope, out: Value) -> bool:
        return scope.role in ("loop", "branch") and out in scope.block.results

    def _legal(self, scope: _Scope, eqn: Eqn, at: int, place: int) -> bool:
        if eqn.op.name in VIEWS and self._overwritten(scope, eqn.args[0], at, place):
            return False
        return not any(
            at < scope.successor.get(a, -1) < place for a in values(eqn.args)
        )

    def _overwritten(self, scope: _Scope, array: Atom, at: int, place: int) -> bool:
        end = len(scope.consumed)
        passed = [*scope.consumed[at + 1 : min(place, end)]]
        if place >= end and scope.before:
            passed.append({*scope.before[place - end]})
        mine = self.memory.root(array)
        return any(mine is self.memory.root(a) for c in passed for a in c)

    def _small(self, eqn: Eqn) -> bool:
        """Index arithmetic that is repeated rather than named, and lone extents."""
        if eqn.op.name == "dim":
            return self.counts[eqn.out] == 1 and eqn.args[0] in self.steady
        if eqn.op.name not in _AFFINE or eqn.out.type.dtype.kind != "i":
            return False
        a, b = eqn.args
        return (a in self.steady and isinstance(b, Const)) or (
            b in self.steady and isinstance(a, Const)
        )

    def _plain_load(self, eqn: Eqn) -> bool:
        return eqn.op.name == "index" and all(self._simple(a) for a in eqn.args[1:])

    def _simple(self, atom: Atom) -> bool:
        eqn = self.defs.get(atom) if isinstance(atom, Value) else None
        if eqn is None or len(eqn.outs) != 1:
            return True
        return bool(eqn.out.name) or self._small(eqn)

    def _as_choice(self, scope: _Scope, eqn: Eqn) -> bool:
        """Whether an `if_` reads well as `a if c else b`, or as `and` and `or`."""
        if len(eqn.outs) != 1 or not isinstance(eqn.out.type, ScalarType):
            return False
        if eqn.out in self.flags:
            self.flags.update(r.results[0] for r in eqn.regions)
            return False
        total = 0
        for region in eqn.regions:
            (result,) = region.results
            if self._keeps_name(region, result, eqn.out):
                return False
            for e in region.eqns:
                nested = e.op.name == "if_" and self._as_choice(scope, e)
                if not (is_expression(e) or nested) or e.out.name:
                    return False
                if self.counts[e.out] != 1 and not self._small(e):
                    return False
                total += 4 + sum(len(a.name) or 3 for a in values(e.args))
        return total <= CHOICE_WIDTH

    def _keeps_name(self, region: Block, result: Atom, out: Value) -> bool:
        """Whether a branch leaves a variable as it is (`if c: s = s + 1`)."""
        if not isinstance(result, Value) or not out.name or result.name != out.name:
            return False
        return all(result not in e.outs for e in region.eqns)

    def _enter_choice(self, scope: _Scope, eqn: Eqn, where: list[int]) -> None:
        self.decision.choices.add(eqn.out)
        for region in eqn.regions:
            for e in region.eqns:
                self.decision.inlined[e.out] = e
                for arg in values(e.args):
                    scope.places[arg].extend(where)
                if e.op.name == "if_":
                    self._enter_choice(scope, e, where)
            for result in values(region.results):
                scope.places[result].extend(where)


def _stored(block: Block) -> Iterator[tuple[Value, str]]:
    """Values that become elements of an array, with the array's name."""
    for eqn in walk(block):
        if eqn.op.name in ("store", "add_at") and isinstance(eqn.args[1], Value):
            yield eqn.args[1], eqn.out.name
        elif eqn.op.name == "map_":
            for value, _, out in map_rows(eqn):
                if isinstance(value, Value):
                    yield value, out.name


def map_rows(eqn: Eqn) -> Iterator[tuple[Atom, Writer, Value]]:
    """The values of a map's body with their writers and results."""
    column = 0
    writers: tuple[Writer, ...] = eqn.params["writers"]
    for writer, out in zip(writers, eqn.outs, strict=True):
        yield eqn.regions[0].results[column], writer, out
        column += 1
        if writer.kind in ("store", "add"):
            column += rank(out.type)


def times_printed(eqn: Eqn, k: int) -> int:
    """How often the text of an equation shows its argument k."""
    if eqn.op.name == "map_" and k < eqn.params["ndim"]:
        # An extent stands in the allocation of a result, and in the loop.
        return 2 if any(isinstance(o.type, ArrayType) for o in eqn.outs) else 1
    if eqn.op.name == "powi":
        return 2 if eqn.params["n"] == 2 else 1  # a square is `x * x`
    text = eqn.op.text
    return max(1, text.count(f"{{{k}}}")) if text else 1


def is_expression(eqn: Eqn) -> bool:
    """Whether an equation can be printed as an expression."""
    if eqn.op.kind == "elementwise" or eqn.op.name in _TEXTS:
        return True
    return eqn.op.name == "index" and not eqn.params.get("checked")


def overwritten(eqn: Eqn) -> set[Value]:
    """The arrays that an equation overwrites, its regions included."""
    out: set[Value] = set()
    for e in (eqn, *(e for r in eqn.regions for e in walk(r))):
        name = e.op.name
        if name in ("store", "add_at", "push", "pop"):
            out.update(values(e.args[:1]))
        elif name == "barrier":
            out.update(values(e.args))  # what other threads have written by then
        elif name == "map_":
            out.update(values(e.args[e.params["ndim"] :]))
        elif name in ("for_", "while_"):
            carries = e.args[3 if name == "for_" else 0 :]
            out.update(a for a in values(carries) if not isinstance(a.type, ScalarType))
    return out


def _successors(block: Block, role: Role) -> dict[Value, int]:
    """For a value, the position of the equation that would take over its name."""
    found: dict[Value, int] = {}
    position = {o: k for k, e in enumerate(block.eqns) for o in e.outs}
    if role == "loop":
        carried = block.params[len(block.params) - len(block.results) :]
        for param, result in zip(carried, block.results, strict=True):
            if isinstance(result, Value) and result in position:
                found[param] = position[result]
    latest: dict[str, int] = {}
    for k in range(len(block.eqns) - 1, -1, -1):
        eqn = block.eqns[k]
        for value in (*eqn.outs, *values(eqn.args)):
            if value.name in latest and latest[value.name] > position.get(value, -1):
                found.setdefault(value, latest[value.name])
        for out in eqn.outs:
            if out.name:
                latest[out.name] = k
    return found


def _written_before(eqn: Eqn) -> tuple[frozenset[Value], ...]:
    """For each result of a map's body, the arrays written before it is evaluated."""
    dests = eqn.args[eqn.params["ndim"] :]
    written: set[Value] = set()
    rows: list[frozenset[Value]] = []
    writers: tuple[Writer, ...] = eqn.params["writers"]
    for writer in writers:
        rows.append(frozenset(written))
        if writer.kind in ("store", "add"):
            dest: Atom = dests[writer.dest]
            rows += [frozenset(written)] * rank(dest.type)
            written.update(values((dest,)))
    return tuple(rows)
