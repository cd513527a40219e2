"""`for` and `while`: as regions, or run by Python at trace time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gradjit.config import settings
from gradjit.errors import InternalError, Loc, UnsupportedError
from gradjit.ir.graph import Atom, Block, Const, Eqn, Value, uses
from gradjit.ir.op import lookup
from gradjit.ir.types import INDEX, TRUTH
from gradjit.ops.sym import Sym, integer
from gradjit.trace import branch, concrete, control, iterate
from gradjit.trace.assembly import Assembly, emit_loop, finished_flags, keep_extents
from gradjit.trace.builder import TraceBuilder
from gradjit.trace.handle import Buffer
from gradjit.trace.region import Body, Carry, Leafs, Region

# ------------------------------------------------------------------------ unrolled


def unrolled(builder: TraceBuilder, items: Any, bind: Any, body: Body) -> None:
    """A loop that Python runs; what follows a traced `break` is in a branch."""
    _unroll_rest(builder, iter(items), bind, body, 0)


def _unroll_rest(
    builder: TraceBuilder, items: Any, bind: Any, body: Body, count: int
) -> None:
    for item in items:
        count += 1
        refuse_long(builder, count, body.site)
        builder.loc = body.site
        if bind is not None:
            bind(item)
        body.run()
        flags = list(body.flags().values())
        if any(not isinstance(f, Sym) and f for f in flags):
            return
        if any(isinstance(f, Sym) for f in flags):
            go_on = control.clear(builder, flags)

            def rest(count: int = count) -> None:
                body.set(dict.fromkeys(body.exits, False))
                _unroll_rest(builder, items, bind, body, count)

            builder.loc = body.site
            branch.branch(
                builder, go_on, rest, lambda: None, body.get, body.put, body.names
            )
            return


def refuse_long(builder: TraceBuilder, count: int, site: Loc) -> None:
    """Refuse to unroll a loop beyond the limit."""
    limit = settings().unroll_limit
    if count > limit:
        why = builder.hints.unroll.get(site)
        cause = f" It is unrolled because of {why}." if why else ""
        raise UnsupportedError(
            f"a loop is unrolled more than {limit} times, which is the limit "
            f"(GRADJIT_UNROLL).{cause}",
            site,
            "Loop over a range or an array, and keep values in arrays rather than in "
            "Python lists: then one copy of the body serves all iterations.",
        )


def unrolled_while(builder: TraceBuilder, test: Callable[[], Any], body: Body) -> None:
    """A `while` that Python runs."""

    def conditions() -> Any:
        while True:
            builder.loc = body.site
            cond = branch.truth(builder, test())
            if isinstance(cond, Sym):
                cond = concrete.number(builder, cond, "bool")
            if not cond:
                return
            yield None

    unrolled(builder, conditions(), None, body)


# ------------------------------------------------------------------------- `for`


def for_(
    builder: TraceBuilder, iterable: Any, bind: Callable[[Any], Any], body: Body
) -> None:
    """`for target in iterable: body`."""
    site = body.site
    if isinstance(iterable, range) and len(iterable) <= 1:
        return unrolled(builder, iterable, bind, body)
    way = iterate.traversal(iterable) if iterate.is_lazy(iterable) else None
    if way is None or site in builder.hints.unroll:
        return unrolled(builder, _countable(builder, iterable), bind, body)
    _For(builder, way, bind, body).run()
    return None


def _countable(builder: TraceBuilder, iterable: Any) -> Any:
    """What Python iterates over; dicts and sets may not change meanwhile."""
    if isinstance(iterable, Sym):
        return builder.iterate(iterable)
    return iterable


class _For(Region):
    """A `for` as a region."""

    def __init__(
        self, builder: TraceBuilder, way: iterate.Traversal, bind: Any, body: Body
    ) -> None:
        super().__init__(builder, body)
        self.bind = bind
        self.way = way
        self.range = tuple(integer(x) for x in (way.start, way.stop, way.step))

    def run(self) -> None:
        self.builder.loc = self.body.site
        self.settle(self.attempt)

    def attempt(self) -> bool:
        builder, body = self.builder, self.body
        builder.loc = body.site
        carries = self.carries()
        leafs = self.prepare(carries)
        params = self.parameters(leafs)
        index = Value(INDEX)
        builder.origins[index] = concrete.Origin("loop", site=body.site)
        builder.facts.index_range(index, *self.range)
        frame = builder.open((index, *params))
        scope = builder.enter("loop", frame)
        scope.site = body.site
        begun = self.enter(carries, leafs, params, scope)
        self.bind(self.way.item(builder.wrap(index)))
        body.run()
        builder.loc = body.site
        if not self.compare(carries, begun, scope):
            return self.again(scope)
        self.collect(carries, leafs)
        if not self.check_extents(carries, leafs, params):
            return self.again(scope)
        if not self.check_memory(leafs, params, scope):
            return self.again(scope)
        self.read_flags()
        adopted = {b: (a, b.version) for b, a in scope.adopted.items()}
        builder.leave(scope)
        builder.frames.pop()
        self.emit(carries, leafs, params, index, frame, adopted)
        return True

    def emit(
        self,
        carries: Sequence[Carry],
        leafs: Leafs,
        params: Sequence[Value],
        index: Value,
        frame: Any,
        adopted: dict[Buffer, Any],
    ) -> None:
        body = self.body
        plan = Assembly(self)
        atoms = [
            plan.column(i.atom, (p,), f.atom, n)
            for i, p, f, n in zip(
                leafs.inits, params, leafs.finals, leafs.names, strict=True
            )
        ]
        buffers = [
            (b, plan.column(a.before, (a.param,), final, b.name))
            for b, (a, final) in adopted.items()
        ]
        buffers = [(b, atom) for b, atom in buffers if isinstance(atom, Value)]
        flags = finished_flags(self, plan, 1)
        if self.done is not None and len(plan.columns) == 0:
            raise InternalError("a loop with exits has no flag", body.site)
        blocks = plan.blocks([frame], [None], [(index,)])
        plan.settle_inits()
        claims: dict[str, Any] = {"exits": self.done is not None}
        if self.way.parallel:
            claims["parallel"] = "prange"
        emit_loop(plan, "for_", self.range, blocks, claims)
        keep_extents(plan, leafs, atoms, adopted)
        plan.finish(carries, leafs, atoms, buffers, flags)


# ----------------------------------------------------------------------- `while`


def while_(builder: TraceBuilder, test: Callable[[], Any], body: Body) -> None:
    """`while test(): body`."""
    if body.site in builder.hints.unroll:
        return unrolled_while(builder, test, body)
    if _never(builder, test):
        return None
    _While(builder, test, body).run()
    return None


def _never(builder: TraceBuilder, test: Callable[[], Any]) -> bool:
    """Whether the condition is False from the start."""

    def look() -> bool:
        frame = builder.open(())
        scope = builder.enter("branch", frame)
        cond = branch.truth(builder, test())
        builder.leave(scope)
        builder.frames.pop()
        return cond is False

    return builder.region_scope(look)


class _While(Region):
    """A `while` as a region."""

    def __init__(
        self, builder: TraceBuilder, test: Callable[[], Any], body: Body
    ) -> None:
        super().__init__(builder, body)
        self.test = test

    def run(self) -> None:
        self.builder.loc = self.body.site
        self.settle(self.attempt)

    def condition(self, carries: Sequence[Carry], leafs: Leafs) -> tuple[Any, ...]:
        """The frame of the condition, its parameters, buffers and result."""
        builder = self.builder
        params = self.parameters(leafs)
        frame = builder.open(params)
        scope = builder.enter("loop", frame)
        scope.site = self.body.site
        self.enter(carries, leafs, params, scope)
        cond = branch.truth(builder, self.test())
        atom = control.bool_atom(cond)
        adopted = dict(scope.adopted)
        changed = any(b.version is not a.param for b, a in adopted.items())
        own = {c.cell.id() for c in carries if c.cell is not None}
        if changed or any(key not in own for key in scope.cells):
            raise UnsupportedError(
                "the condition of a while loop changes an array or an object",
                self.body.site,
                "Change it in the body of the loop.",
            )
        builder.leave(scope)
        builder.frames.pop()
        return frame, params, adopted, atom

    def attempt(self) -> bool:
        builder, body = self.builder, self.body
        builder.loc = body.site
        carries = self.carries()
        leafs = self.prepare(carries)
        cond = self.condition(carries, leafs)
        params = self.parameters(leafs)
        frame = builder.open(params)
        scope = builder.enter("loop", frame)
        scope.site = body.site
        begun = self.enter(carries, leafs, params, scope)
        body.run()
        builder.loc = body.site
        if not self.compare(carries, begun, scope):
            return self.again(scope)
        self.collect(carries, leafs)
        if not self.check_extents(carries, leafs, params):
            return self.again(scope)
        if not self.check_memory(leafs, params, scope):
            return self.again(scope)
        cond_frame, _, cond_adopted, _ = cond
        self.check_read(cond_adopted, set(uses(Block((), tuple(cond_frame.eqns), ()))))
        self.read_flags()
        adopted = {b: (a, b.version) for b, a in scope.adopted.items()}
        builder.leave(scope)
        builder.frames.pop()
        self.emit(carries, leafs, params, frame, adopted, cond)
        return True

    def emit(
        self,
        carries: Sequence[Carry],
        leafs: Leafs,
        params: Sequence[Value],
        frame: Any,
        adopted: dict[Buffer, Any],
        cond: tuple[Any, ...],
    ) -> None:
        body = self.body
        cond_frame, cond_params, cond_adopted, test = cond
        if isinstance(test, Const) and test.value and self.done is None:
            raise UnsupportedError(
                "this while loop never ends",
                body.site,
                "Its condition does not depend on what the body changes.",
            )
        plan = Assembly(self)
        atoms = [
            plan.column(i.atom, (c, p), f.atom, n)
            for i, c, p, f, n in zip(
                leafs.inits, cond_params, params, leafs.finals, leafs.names, strict=True
            )
        ]
        buffers = self._buffer_columns(plan, adopted, cond_adopted)
        flags = finished_flags(self, plan, 2)
        result = test
        if self.done is not None:
            go_on = plan.columns[0].params[0]
            result = self._unless(cond_frame, go_on, test)
        blocks = plan.blocks([cond_frame, frame], [[result], None], [(), ()])
        plan.settle_inits()
        emit_loop(plan, "while_", (), blocks, {})
        keep_extents(plan, leafs, atoms, adopted)
        plan.finish(carries, leafs, atoms, buffers, flags)

    def _buffer_columns(
        self, plan: Assembly, adopted: dict[Buffer, Any], cond: dict[Buffer, Any]
    ) -> list[tuple[Buffer, Atom]]:
        out: list[tuple[Buffer, Atom]] = []
        for buffer in {**adopted, **cond}:
            mine = adopted.get(buffer)
            other = cond.get(buffer)
            if mine is None:
                assert other is not None
                plan.mapping[other.param] = other.before
                continue
            there = other.param if other else Value(mine[0].param.type, "")
            params = (mine[0].param, there)
            atom = plan.column(mine[0].before, params, mine[1], buffer.name)
            if atom is not mine[0].before:
                plan.columns[-1].params = (there, mine[0].param)
                out.append((buffer, atom))
        return out

    def _unless(self, frame: Any, done: Value, test: Atom) -> Atom:
        """not done and test: the test is evaluated once more than needed at most."""
        builder = self.builder
        frame.values.add(done)
        with branch.reopened(builder, frame, {}, ()):
            go_on = builder.emit1("logical_not", done)
            if isinstance(test, Const):
                return go_on
            if all(control.cheap(e) for e in frame.eqns):
                return builder.emit1("logical_and", go_on, test)
        eqns = tuple(e for e in frame.eqns if go_on not in e.outs)
        then = Block((), eqns, (test,))
        orelse = Block((), (), (Const(False, TRUTH),))
        out = Value(test.type, "")
        frame.eqns[:] = [
            *(e for e in frame.eqns if go_on in e.outs),
            Eqn(lookup("if_"), (go_on,), (out,), {}, (then, orelse), self.body.site),
        ]
        return out
