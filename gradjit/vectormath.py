"""Elementary functions that LLVM vectorises inside emitted loops.

Numba calls libm once an element, several times slower than NumPy's own loops. Here the
scalar function is declared with LLVM's "vector-function-abi-variant" attribute, which
names the versions in glibc's libmvec for two, four and eight lanes; the loop vectoriser
does the rest, without fastmath. Their errors are below 4 units in the last place.
Where libmvec is not there (macOS, Windows, musl), Numba's own functions are used.

Emitted files import this module as `vm`. Called from plain Python the functions are
NumPy's.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

# Neither llvmlite nor Numba has types.
binding: Any = importlib.import_module("llvmlite.binding")
ir: Any = importlib.import_module("llvmlite.ir")
types: Any = importlib.import_module("numba.core.types")
extending: Any = importlib.import_module("numba.extending")

# Instruction set letter and lanes of doubles, as in the names of the vector versions.
_SETS = (("b", 2), ("d", 4), ("e", 8))

# Name here and in NumPy -> name in libm.
NAMES = {
    "exp": "exp",
    "log": "log",
    "log1p": "log1p",
    "expm1": "expm1",
    "log2": "log2",
    "log10": "log10",
    "sin": "sin",
    "cos": "cos",
    "tan": "tan",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "sinh": "sinh",
    "cosh": "cosh",
    "tanh": "tanh",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctanh": "atanh",
    "cbrt": "cbrt",
}


def _load() -> bool:
    try:
        binding.load_library_permanently("libmvec.so.1")
    except RuntimeError:
        return False
    return True


_LOADED = _load()


def available(name: str) -> bool:
    """Whether the function has vector versions on this machine.

    Args:
        name: A key of `NAMES`.
    """
    return _LOADED and all(
        binding.address_of_symbol(f"_ZGVdN{lanes}v_{NAMES[name]}{suffix}") is not None
        for lanes, suffix in ((4, ""), (8, "f"))
    )


def _declare(module: Any, name: str, scalar: Any, lanes_factor: int) -> Any:
    """The scalar function with its vector versions."""
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(scalar, [scalar]), name)
    mappings: list[str] = []
    for letter, doubles in _SETS:
        lanes = doubles * lanes_factor
        symbol = f"_ZGV{letter}N{lanes}v_{name}"
        mappings.append(f"_ZGV_LLVM_N{lanes}v_{name}({symbol})")
        vector = ir.VectorType(scalar, lanes)
        version = ir.Function(module, ir.FunctionType(vector, [vector]), symbol)
        # Referred to, or it is dropped as unused before loops are vectorised.
        keep = ir.GlobalVariable(module, version.type, f"keep.{symbol}")
        keep.linkage = "weak_odr"
        keep.initializer = version
    # llvmlite checks attribute names against a list that this one is not on.
    variants = f'"vector-function-abi-variant"="{",".join(mappings)}"'
    for attribute in ("nounwind", "willreturn", "memory(none)", variants):
        set[str].add(function.attributes, attribute)
    return function


def _lower(name: str) -> Callable[..., Any]:
    libm = NAMES[name]

    def call(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        out = signature.return_type
        value = context.cast(builder, args[0], signature.args[0], out)
        single = out == types.float32
        scalar = ir.FloatType() if single else ir.DoubleType()
        function = _declare(
            builder.module, libm + "f" * single, scalar, 2 if single else 1
        )
        return builder.call(function, [value])

    return call


def _make(name: str) -> Callable[[Any], Any]:
    plain = getattr(np, name)

    def function(x: Any) -> Any:
        return plain(x)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"`numpy.{name}` of an element."

    def typer(context: Any) -> Callable[[Any], Any]:
        def type_of(x: Any) -> Any:
            if isinstance(x, types.Integer):
                return types.float64
            return x if x in (types.float64, types.float32) else None

        return type_of

    extending.type_callable(function)(typer)
    for kind in (types.Float, types.Integer):
        extending.lower_builtin(function, kind)(_lower(name))
    return function


exp = _make("exp")
log = _make("log")
log1p = _make("log1p")
expm1 = _make("expm1")
log2 = _make("log2")
log10 = _make("log10")
sin = _make("sin")
cos = _make("cos")
tan = _make("tan")
arcsin = _make("arcsin")
arccos = _make("arccos")
arctan = _make("arctan")
sinh = _make("sinh")
cosh = _make("cosh")
tanh = _make("tanh")
arcsinh = _make("arcsinh")
arccosh = _make("arccosh")
arctanh = _make("arctanh")
cbrt = _make("cbrt")


def _make_extreme(name: str) -> Callable[[Any, Any], Any]:
    """`numpy.maximum` or `numpy.minimum`: NaN wins, and no branch is in the way."""
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
        scalar = args[0].type
        kind = ir.FunctionType(scalar, [scalar, scalar])
        intrinsic = builder.module.declare_intrinsic(f"llvm.{name}", [scalar], kind)
        return builder.call(intrinsic, args)

    extending.type_callable(function)(typer)
    extending.lower_builtin(function, types.Float, types.Float)(call)
    return function


maximum = _make_extreme("maximum")
minimum = _make_extreme("minimum")
