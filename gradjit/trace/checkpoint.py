"""A call whose backward code runs it again instead of saving what it computes."""

from __future__ import annotations

from typing import Any

from gradjit.ir.graph import Const
from gradjit.ir.types import TRUTH
from gradjit.trace.branch import Join, trace_side
from gradjit.trace.builder import UNDEF, TraceBuilder
from gradjit.trace.call import call


def once(
    builder: TraceBuilder, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """`fn(*args, **kwargs)` as the only side of a branch that is always taken."""
    box: list[Any] = [UNDEF]
    pred = Const(True, TRUTH)
    loc = builder.loc

    def run() -> None:
        box[0] = call(builder, fn, args, kwargs)

    def never() -> None:
        builder.scopes[-1].dead = True

    def get() -> tuple[Any, ...]:
        return (box[0],)

    def put(state: tuple[Any, ...]) -> None:
        (box[0],) = state

    first = trace_side(builder, pred, run, get, put, (UNDEF,))
    second = trace_side(builder, pred, never, get, put, (UNDEF,))
    builder.loc = loc
    join = Join(builder, pred, first, second, loc, {"checkpoint": True})
    join.finish(put, ("__gj_result",))
    for buffer, reason in first.spoiled:
        builder.spoil(buffer, reason)
    return box[0]
