"""`x op= v` and `x[k] op= v` on arrays: memory is written, all its names see it."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from gradjit.errors import UnsupportedError
from gradjit.ir.build import current
from gradjit.ir.types import dims
from gradjit.ops import indexing, subscript
from gradjit.ops.sym import METHODS, Sym, lift
from gradjit.trace.builder import TraceBuilder
from gradjit.trace.handle import Handle


def update(builder: TraceBuilder, x: Handle, op: str, value: Any) -> None:
    """`x op= value` on an array: the memory is written, all its names see it."""
    value = _operand(value)
    if op in ("add", "sub") and builder.in_loop(x.buffer) and _addable(x, value):
        x.add_item(..., -value if op == "sub" else value)
        return
    new = getattr(operator, op)(Sym(x.atom), value)
    _refuse_cast(x, new, op)
    fitted = indexing.fitted(
        indexing.converted(x, new),
        dims(x.type),
        "the array that is changed in place",
        [lift(e) for e in x.shape],
    )
    if dims(lift(fitted).type) != dims(x.type):
        x[...] = fitted
        return
    x.assign(fitted)


def update_item(x: Handle, key: Any, op: str, value: Any) -> None:
    """`x[key] op= value`."""
    value = _operand(value)
    if op in ("add", "sub") and _addable(x, value):
        basic = subscript.resolve_basic(x, key)
        if basic is not None:
            x.add_item(key, -value if op == "sub" else value)
            return
    old = x[key]
    new = getattr(operator, op)(old, value)
    if isinstance(old, Handle):
        _refuse_cast(x, new, op)
    x[key] = new


def _operand(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return METHODS["array"](value)
    if isinstance(value, np.ndarray):
        return current().outside(value)  # type: ignore
    return value


def _addable(x: Handle, value: Any) -> bool:
    """Whether x[k] += value is one addition in the dtype of x."""
    if x.dtype.kind not in "fi" or not indexing.exact(x, value):
        return False
    return lift(value).type.dtype.kind != "b"


def _refuse_cast(x: Handle, new: Any, op: str) -> None:
    dtype = lift(new).type.dtype
    if not np.can_cast(dtype, x.dtype, "same_kind"):
        raise UnsupportedError(
            f"{op} in place would put {dtype.name} into an array of {x.dtype.name}",
            current().loc,
            "NumPy refuses this too: convert with astype, or make a new array.",
        )
