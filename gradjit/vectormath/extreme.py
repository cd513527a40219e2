"""The larger and the smaller of two elements, where NaN wins, without a branch.

LLVM has an instruction for it, and makes a reduction of it that runs on all lanes; of
the comparisons that say the same it makes branches.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

# Neither llvmlite nor Numba has types.
ir: Any = importlib.import_module("llvmlite.ir")
types: Any = importlib.import_module("numba.core.types")
extending: Any = importlib.import_module("numba.extending")


def _make(name: str) -> Callable[[Any, Any], Any]:
    plain = getattr(np, name)

    def function(x: Any, y: Any) -> Any:
        return plain(x, y)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"`numpy.{name}` of two elements."

    def typer(context: Any) -> Callable[[Any, Any], Any]:
        def type_of(x: Any, y: Any) -> Any:
            return x if x == y and x in (types.float64, types.float32) else None

        return type_of

    def call(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = args[0].type
        called = ir.FunctionType(kind, [kind, kind])
        intrinsic = builder.module.declare_intrinsic(f"llvm.{name}", [kind], called)
        return builder.call(intrinsic, args)

    extending.type_callable(function)(typer)
    extending.lower_builtin(function, types.Float, types.Float)(call)
    return function


maximum = _make("maximum")
minimum = _make("minimum")
