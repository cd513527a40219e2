"""A function of elements for Numba: its types, its instructions, and plain Python's.

Called from plain Python it is NumPy's or SciPy's function of the same name. Within
compiled code its instructions are written by a builder that is given here.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
from collections.abc import Callable
from typing import Any

from gradjit.vectormath.names import ARITY

# Neither llvmlite nor Numba has types.
extending: Any = importlib.import_module("numba.extending")
types: Any = importlib.import_module("numba.core.types")

_NUMBERS: Any = (types.Float, types.Integer, types.Boolean)

# build(context, builder, values at the kind of the result, whether it is float32)
Build = Callable[[Any, Any, list[Any], bool], Any]


def bind(name: str, module: str, build: Build) -> Callable[..., Any]:
    """The function of that name.

    Args:
        name: A key of `ARITY`.
        module: The module that it stands in.
        build: Writes the instructions and gives the LLVM value.
    """

    def one(x: Any) -> Any:
        return _plain(name)(x)

    def two(x: Any, y: Any) -> Any:
        return _plain(name)(x, y)

    function = one if ARITY[name] == 1 else two
    function.__name__ = function.__qualname__ = name
    function.__module__ = module
    function.__doc__ = f"{name} of an element."
    extending.type_callable(function)(_typer(inspect.signature(function)))
    for kinds in itertools.product(_NUMBERS, repeat=ARITY[name]):
        extending.lower_builtin(function, *kinds)(_lowered(build))
    return function


def _plain(name: str) -> Callable[..., Any]:
    """NumPy's or SciPy's function."""
    numpy: Any = importlib.import_module("numpy")
    name = {"pow": "power"}.get(name, name)
    found = getattr(numpy, name, None)
    return found or getattr(importlib.import_module("scipy.special"), name)


def _typer(signature: inspect.Signature) -> Callable[[Any], Any]:
    """float32 of float32, else float64; Numba wants the parameters' names."""

    def type_of(*args: Any) -> Any:
        if not all(isinstance(a, _NUMBERS) for a in args):
            return None
        single = all(a == types.float32 for a in args)
        return types.float32 if single else types.float64

    type_of.__signature__ = signature  # type: ignore[attr-defined]
    return lambda context: type_of


def _lowered(build: Build) -> Callable[..., Any]:
    def call(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = signature.return_type
        values = [
            context.cast(builder, value, given, kind)
            for value, given in zip(args, signature.args, strict=True)
        ]
        return build(context, builder, values, kind == types.float32)

    return call
