"""Elementary functions as straight lines of instructions, on any machine.

A loop that calls them has no calls left: LLVM vectorises it like sums and products.
They are right to 3 units in the last place in float64; in float32, which computes in
float64 with shorter polynomials, to 0.6.

sin, cos and tan of numbers beyond 1e5 are libm's, in a call that looks for such lanes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from gradjit.vectormath import (
    composed,
    exponential,
    extreme,
    logarithm,
    power,
    trigonometry,
)
from gradjit.vectormath.binding import bind
from gradjit.vectormath.coefficients import LONG, SHORT, Tables
from gradjit.vectormath.lane import Lane, Number, body

# llvmlite has no types.
ir: Any = importlib.import_module("llvmlite.ir")

_MODULES = (exponential, logarithm, trigonometry, power)


def evaluate(name: str, *args: Number, tables: Tables = LONG) -> Number:
    """The function of lanes, or of arrays of float64.

    Args:
        name: One of those below.
        args: Its arguments.
        tables: The polynomials: `SHORT` ones are enough for float32.
    """
    parts = composed.PARTS.get(name)
    if parts is not None:
        found = [_part(part, tables) for part in parts]
        return getattr(composed, name)(*args, *found)
    return getattr(_home(name), name)(*args, tables)


def _home(name: str) -> ModuleType:
    return next(m for m in _MODULES if name in m.FUNCTIONS)


def _part(name: str, tables: Tables) -> Callable[[Number], Number]:
    return lambda x: evaluate(name, x, tables=tables)


def write(
    name: str, context: Any, builder: Any, values: list[Any], single: bool
) -> Any:
    """The instructions of a function; gives the LLVM value of its result."""
    if single:
        values = [builder.fpext(v, ir.DoubleType()) for v in values]
    place = body(context, builder)
    lanes = [Lane(place, v) for v in values]
    out = evaluate(name, *lanes, tables=SHORT if single else LONG).value
    return builder.fptrunc(out, ir.FloatType()) if single else out


def _function(name: str) -> Callable[..., Any]:
    return bind(name, __name__, partial(write, name))


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
