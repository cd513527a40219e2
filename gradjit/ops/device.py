"""What only programs for a GPU have: positions of threads, collectives, launches.

The pass `offload` makes them and `codegen` prints them; nothing is differentiated after
that. A launch names a kernel, which is a graph of its own, and says which of the arrays
that it is given it writes into: they stay where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from gradjit.errors import InternalError
from gradjit.ir.op import Op, Params, register
from gradjit.ir.types import FLOAT64, INDEX, INT64, ArrayType, DType, ScalarType, Type

# Where a thread is, and how many there are of what it counts.
Where = Literal[
    "item",
    "items",
    "x",
    "width",
    "y",
    "height",
    "block",
    "blocks",
    "thread",
    "threads",
]


def _index(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    return (INDEX,)


def _nothing(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    return ()


def _same(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    # Of a value with its index, the index.
    return (types[-1],)


def _scratch(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    dtypes: dict[str, DType] = {"parts": FLOAT64, "counters": INT64, "status": INT64}
    return (ArrayType(dtypes[params["what"]], (None,)),)


def _element(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    return (ScalarType(types[0].dtype),)


def _only_emitted(*args: object, **params: object) -> None:
    raise InternalError("this op exists in emitted programs only")


def _record(name: str, doc: str, infer: object, effect: bool = True) -> Op:
    return register(
        Op(
            name=name,
            kind="effect" if effect else "device",
            doc=doc,
            infer=infer,  # type: ignore[arg-type]
            evaluate=_only_emitted,
            why_not="it is made after derivatives are taken",
            flat=True,
        )
    )


POSITION = _record("position", "Where a thread is in its grid.", _index, effect=False)
SCRATCH = _record("scratch", "Memory that all launches share.", _scratch)
GEOMETRY = _record("geometry", "How many threads a launch has.", _index)
LAUNCH = _record("launch", "Run a kernel on the device.", _nothing)
ITEM = _record("item", "A number of the device, waited for.", _element)
BARRIER = _record("barrier", "Threads of a block wait for each other.", _nothing)
BLOCK_REDUCE = _record(
    "block_reduce", "A reduction over the threads of a block.", _same
)
GRID_REDUCE = _record("grid_reduce", "A reduction over all threads.", _nothing)
FAIL = _record("fail", "Note an error and leave, unless a test holds.", _nothing)
HALT = _record("halt", "Leave if an error has been noted.", _nothing)
