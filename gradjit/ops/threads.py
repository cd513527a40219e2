"""The number of threads, for loops that are divided among them."""

from __future__ import annotations

from collections.abc import Sequence

from gradjit.ir.op import Op, Params, register
from gradjit.ir.types import INDEX, Type


def _an_index(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    return (INDEX,)


def _two() -> int:
    return 2


THREADS = register(
    Op(
        name="threads",
        kind="array",
        doc="The number of threads that Numba uses.",
        infer=_an_index,
        evaluate=_two,
        text="numba.get_num_threads()",
        why_not="it is an integer",
        flat=True,
    )
)
