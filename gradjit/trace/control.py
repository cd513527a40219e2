"""Conditional expressions, logic and flags on traced values."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from gradjit.errors import UnsupportedError
from gradjit.ir.graph import Atom, Const, Eqn
from gradjit.ir.types import BOOL, TRUTH, ArrayType, dims
from gradjit.ops.sym import Sym, elementwise, lift
from gradjit.trace import merge
from gradjit.trace.branch import branch, truth
from gradjit.trace.builder import TraceBuilder, is_number, name_value
from gradjit.trace.handle import Handle

_EQUAL: Callable[[Any, Any], Any] = operator.eq


def choose(
    builder: TraceBuilder,
    cond: Any,
    then: Callable[[], Any],
    orelse: Callable[[], Any],
    name: str = "__gj_choice",
) -> Any:
    """`then() if cond else orelse()`."""
    test = truth(builder, cond)
    if isinstance(test, bool):
        return then() if test else orelse()
    box: list[Any] = [None]

    def run(thunk: Callable[[], Any]) -> Callable[[], None]:
        def store() -> None:
            box[0] = thunk()

        return store

    def put(values: tuple[Any, ...]) -> None:
        (box[0],) = values

    branch(builder, test, run(then), run(orelse), lambda: (box[0],), put, (name,))
    value = box[0]
    if isinstance(value, merge.Poison):
        raise UnsupportedError(
            f"the value of a conditional expression {value.reason}",
            builder.loc,
            "Give both sides the same kind of value.",
        )
    return value


def connect(
    builder: TraceBuilder, op: str, first: Any, rest: Sequence[Callable[[], Any]]
) -> Any:
    """`first and rest...` or `first or rest...`."""
    value = first
    for k, thunk in enumerate(rest):
        test = truth(builder, value)
        if isinstance(test, bool):
            if test == (op == "or"):
                return value
            value = thunk()
            continue
        return _connect_traced(builder, op, value, test, rest[k:])
    return value


def _connect_traced(
    builder: TraceBuilder,
    op: str,
    left: Any,
    test: Any,
    rest: Sequence[Callable[[], Any]],
) -> Any:
    """`left and rest...` where only a run-time value decides."""

    def more() -> Any:
        return connect(builder, op, rest[0](), rest[1:])

    simple = _inlined(builder, op, left, more)
    if simple is not None:
        return simple
    if op == "and":
        return choose(builder, test, more, lambda: left)
    return choose(builder, test, lambda: left, more)


def _inlined(builder: TraceBuilder, op: str, left: Any, more: Callable[[], Any]) -> Any:
    """Both operands evaluated, if they are bools and the second one cannot fail."""
    if left.dtype != BOOL:
        return None
    mark = len(builder.frames[-1].eqns)

    def trace() -> tuple[Any, Any]:
        frame = builder.open(())
        scope = builder.enter("branch", frame)
        right = more()
        atom = lift(right) if isinstance(right, Sym | bool) else None
        clean = not scope.versions and not scope.cells and not scope.dead
        builder.leave(scope)
        builder.frames.pop()
        return frame, (atom if clean else None)

    frame, atom = builder.region_scope(trace)
    if atom is None or atom.type.dtype != BOOL or isinstance(atom.type, ArrayType):
        return None
    if not all(cheap(e) for e in frame.eqns):
        return None
    target = builder.frames[-1]
    assert mark <= len(target.eqns)
    target.eqns += frame.eqns
    target.values |= frame.values
    target.seen.update(frame.seen)
    return elementwise(f"logical_{op}", left, Sym(atom))


def cheap(eqn: Eqn) -> bool:
    """Whether an equation may run although Python would not have run it."""
    if eqn.op.name == "index":
        return not eqn.params["checked"] and not dims(eqn.out.type)
    return eqn.op.kind == "elementwise" and not dims(eqn.out.type)


def negation(builder: TraceBuilder, x: Any) -> Any:
    """`not x`."""
    test = truth(builder, x)
    return not test if isinstance(test, bool) else elementwise("logical_not", test)


def contains(builder: TraceBuilder, x: Any, items: Any) -> Any:
    """`x in items`; a traced number is compared with each item of a short sequence."""
    if not isinstance(x, Sym) or not isinstance(items, tuple | list | set | range):
        return x in items
    sequence: list[Any] = [*items]  # type: ignore[reportUnknownVariableType]
    out: Any = False
    for item in sequence:
        comparable = isinstance(item, Sym) or is_number(item)
        same: Any = _EQUAL(x, item) if comparable else False
        if isinstance(same, Sym) and isinstance(out, Sym):
            out = elementwise("logical_or", out, same)
        elif not isinstance(out, Sym) and not out:
            out = same
    return out


def clear(builder: TraceBuilder, flags: Sequence[Any]) -> Any:
    """Whether no flag is set."""
    out: Any = True
    for flag in flags:
        if not isinstance(flag, Sym):
            if flag:
                return False
            continue
        no = elementwise("logical_not", flag)
        out = no if out is True else elementwise("logical_and", out, no)
    return out


def check(builder: TraceBuilder, cond: Any, kind: str, message: str) -> None:
    """Raise at run time unless the condition holds."""
    builder.emit("check", lift(cond), kind=kind, message=message)


def mark(value: Any, name: str) -> None:
    """Give a value the name of the variable it is assigned to."""
    if isinstance(value, Handle):
        if not value.steps:
            buffer = value.buffer
            buffer.name = buffer.name or name
            name_value(buffer.version, name)
    elif isinstance(value, Sym):
        name_value(value.atom, name)


def bool_atom(x: Any) -> Atom:
    """The atom of a flag."""
    return lift(x) if isinstance(x, Sym) else Const(bool(x), TRUTH)
