"""Elementary functions of glibc's libmvec, for x86.

libm's function of a number is declared with its versions for 2, 4 and 8 numbers (4, 8
and 16 of float32), those that the machine has the instructions for. Their errors are
below 4 units in the last place; the remainder of a loop is libm's.

Importing the module loads libmvec: compiled code from the disk cache that refers to it
belongs to a file that imports this.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from gradjit.vectormath import composed, extreme, variants
from gradjit.vectormath.binding import bind
from gradjit.vectormath.lane import Lane, Number, body
from gradjit.vectormath.names import ARITY
from gradjit.vectormath.polynomial import write

# llvmlite has no types.
llvm: Any = importlib.import_module("llvmlite.binding")
ir: Any = importlib.import_module("llvmlite.ir")

# Letter in the names of the versions, lanes of doubles, what the machine needs.
_SETS = (("b", 2, "+sse2"), ("d", 4, "+avx2"), ("e", 8, "+avx512f"))

# Measured: exp 2.9 units in float64, log 3.9 in float32. What is made of them, with
# more roundings, would be beyond 4.
_COARSE = {("exp", False), ("log", True)}


def libm_name(name: str) -> str:
    """What C calls a function of NumPy: arctan2 is atan2."""
    return name.replace("arc", "a")


NAMES = {name: libm_name(name) for name in ARITY if name not in composed.PARTS}


def symbol(letter: str, lanes: int, name: str, single: bool) -> str:
    """The name of a version: _ZGVdN4v_exp is exp of 4 doubles with AVX2."""
    shape = "v" * ARITY[name]
    return f"_ZGV{letter}N{lanes << single}{shape}_{NAMES[name]}{'f' * single}"


def _load() -> bool:
    try:
        llvm.load_library_permanently("libmvec.so.1")
    except RuntimeError:
        return False
    return True


_LOADED = _load()


@cache
def available() -> bool:
    """Whether this machine has libmvec, with all functions (glibc 2.35 and later)."""
    return _LOADED and all(
        llvm.address_of_symbol(symbol(letter, lanes, name, single)) is not None
        for letter, lanes, _ in _SETS
        for name in NAMES
        for single in (False, True)
    )


def widths(features: str) -> dict[str, int]:
    """The sets of versions that a machine with these features can run."""
    have = features.split(",")
    return {letter: lanes for letter, lanes, needs in _SETS if needs in have}


def _call(
    name: str, context: Any, builder: Any, values: list[Any], single: bool
) -> Any:
    """The instruction that calls libm's function, declared with its versions."""
    module, kind = builder.module, values[0].type
    function = variants.declared(module, NAMES[name] + "f" * single, kind, len(values))
    _, _, features = context.codegen().magic_tuple()
    versions: dict[int, Any] = {}
    for letter, doubles in widths(features).items():
        lanes = doubles << single
        vector = ir.VectorType(kind, lanes)
        title = symbol(letter, doubles, name, single)
        versions[lanes] = variants.declared(module, title, vector, len(values))
    variants.vary(module, function, versions)
    return builder.call(function, values)


def _composed(
    name: str, context: Any, builder: Any, values: list[Any], single: bool
) -> Any:
    """A function made of libmvec's, and of polynomials where these leave no room."""

    def part(inner: str) -> Callable[[Number], Number]:
        if (inner, single) in _COARSE:
            return lambda x: x.of(write(inner, context, builder, [x.value], single))
        return lambda x: x.of(_call(inner, context, builder, [x.value], single))

    place = body(context, builder)
    lanes = [Lane(place, v) for v in values]
    parts = map(part, composed.PARTS[name])
    return getattr(composed, name)(*lanes, *parts).value


def _function(name: str) -> Callable[..., Any]:
    return bind(name, __name__, partial(_call if name in NAMES else _composed, name))


maximum = extreme.maximum
minimum = extreme.minimum
exp = _function("exp")
exp2 = _function("exp2")
expm1 = _function("expm1")
log = _function("log")
log1p = _function("log1p")
log2 = _function("log2")
log10 = _function("log10")
sin = _function("sin")
cos = _function("cos")
tan = _function("tan")
arcsin = _function("arcsin")
arccos = _function("arccos")
arctan = _function("arctan")
arctan2 = _function("arctan2")
sinh = _function("sinh")
cosh = _function("cosh")
tanh = _function("tanh")
arcsinh = _function("arcsinh")
arccosh = _function("arccosh")
arctanh = _function("arctanh")
cbrt = _function("cbrt")
pow = _function("pow")
hypot = _function("hypot")
erf = _function("erf")
erfc = _function("erfc")
expit = _function("expit")
logaddexp = _function("logaddexp")
xlogy = _function("xlogy")
xlog1py = _function("xlog1py")
