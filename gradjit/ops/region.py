"""Region ops: loops, branches and maps; and the stacks that loops save values on.

`for_`, `while_` and `if_` carry values; their meaning in Python:

    for_(start, stop, step, *carries)     for i in range(...): carries = body(i, ...)
    while_(*carries)                      while cond(*carries): carries = body(*carries)
    if_(pred)                             outs = then() if pred else orelse()
    map_(*extents, *dests)                independent iterations over index tuples

With `exits`, the first carry of a `for_` is a bool: the loop ends when it is True.
`parallel` says "prange" where the user takes the iterations for independent (`prange`,
`vmap`), and "derived" of the loops that derivatives make of such a one. It is a claim,
which the pass `parallel` goes by as far as it can prove it; what it divides says
"chunks".
`map_` exists only in the program stage, where array expressions have become loops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gradjit.ir.graph import Block, Eqn
from gradjit.ir.op import Op, Params, register
from gradjit.ir.types import ArrayType, ScalarType, StackType, Type

WriterKind = Literal[
    "new",
    "store",
    "add",
    "sum",
    "prod",
    "max",
    "min",
    "maximum",
    "minimum",
    "and",
    "or",
    "argmax",
    "argmin",
]


@dataclass(frozen=True, slots=True)
class Writer:
    """What a `map_` does with one of its values.

    `new` fills a fresh array at the loop indices; `store` and `add` write into
    `dests[dest]` at indices that the body gives; the others reduce over `axes`, and
    the result has the remaining axes in order. `maximum` and `minimum` are `max` and
    `min` without a branch, as `gradjit.vectormath` has them.
    """

    kind: WriterKind
    dest: int = -1
    axes: tuple[int, ...] = ()
    type: ScalarType | ArrayType | None = None

    def __str__(self) -> str:
        if self.kind in ("store", "add"):
            return f"{self.kind} in {self.dest}"
        return self.kind + "".join(f" over {k}" for k in self.axes)


def _carried(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    (body,) = params["regions"]
    return tuple(p.type for p in body.params[1:])


def _looped(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    return tuple(p.type for p in params["regions"][1].params)


def _branched(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    then: Block = params["regions"][0]
    return tuple(a.type for a in then.results)


def _mapped(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    ndim: int = params["ndim"]
    writers: Sequence[Writer] = params["writers"]
    out: list[Type] = []
    for writer in writers:
        if writer.kind in ("store", "add"):
            out.append(types[ndim + writer.dest])
        else:
            assert writer.type is not None
            out.append(writer.type)
    return tuple(out)


def claims(eqn: Eqn) -> Params:
    """What the user says of a loop, as far as it holds for loops derived from it."""
    parallel = eqn.op.name == "for_" and eqn.params.get("parallel")
    return {"parallel": "derived"} if parallel else {}


def derived_claims(block: Block) -> Block:
    """The block with loops that no user has written."""
    eqns = tuple(
        e.with_(
            params={**e.params, **claims(e)},
            regions=tuple(map(derived_claims, e.regions)),
        )
        if e.regions
        else e
        for e in block.eqns
    )
    return Block(block.params, eqns, block.results)


FOR = register(Op(name="for_", kind="region", doc="A counted loop.", infer=_carried))
WHILE = register(
    Op(name="while_", kind="region", doc="A loop on a condition.", infer=_looped)
)
IF = register(Op(name="if_", kind="region", doc="A branch.", infer=_branched))
MAP = register(
    Op(name="map_", kind="region", doc="Independent iterations.", infer=_mapped)
)


def _new_stack(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    return (StackType(params["item"]),)


def _pushed(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    return (types[0],)


def _popped(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    stack = types[0]
    assert isinstance(stack, StackType)
    return stack, stack.item


def _no_items(item: Any) -> tuple[Any, ...]:
    return ()


def _with_top(stack: tuple[Any, ...], v: Any) -> tuple[Any, ...]:
    return (*stack, v)


def _without_top(stack: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any]:
    return stack[:-1], stack[-1]


STACK_NEW = register(
    Op(
        name="stack_new",
        kind="stack",
        doc="An empty stack.",
        infer=_new_stack,
        evaluate=_no_items,
    )
)
PUSH = register(
    Op(
        name="push",
        kind="stack",
        doc="The stack with a value on top.",
        infer=_pushed,
        evaluate=_with_top,
    )
)
POP = register(
    Op(
        name="pop",
        kind="stack",
        doc="The stack without its top, and the top.",
        infer=_popped,
        evaluate=_without_top,
    )
)


def _no_result(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    return ()


def _below(stack: tuple[Any, ...], limit: int, message: str) -> None:
    if len(stack) >= limit:
        raise MemoryError(message)


LIMIT = register(
    Op(
        name="limit",
        kind="effect",
        doc="Raise unless a stack is shorter than a limit.",
        infer=_no_result,
        evaluate=_below,
        why_not="it has no result",
        flat=True,
    )
)
