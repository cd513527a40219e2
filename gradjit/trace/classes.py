"""`type` and `isinstance` of traced values: what the value would be at run time."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradjit.ir.types import ArrayType
from gradjit.ops.sym import Sym


def example(x: Any) -> Any:
    """A Python object of the class that a traced value stands for."""
    if not isinstance(x, Sym):
        return x
    type_ = x.type
    if isinstance(type_, ArrayType):
        return np.empty((0,) * type_.rank, type_.dtype)
    if type_.weak:
        return {"f": 0.0, "i": 0, "u": 0, "b": False}[type_.dtype.kind]
    return type_.dtype.type(0)


def is_instance(x: Any, classes: Any) -> bool:
    """isinstance(x, classes)."""
    return isinstance(example(x), classes)


def class_of(x: Any) -> Any:
    """type(x), of which nothing more is known to a type checker."""
    return type(x)  # type: ignore[reportUnknownVariableType]
