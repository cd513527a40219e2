"""Roots, exponentials, logarithms, trigonometry, rounding of elements.

Slopes reuse the result where that is cheaper: exp(x) is its own.
"""

# The rules below are lambdas over symbols, whose types nobody can say:
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gradjit.ir.op import Op, register
from gradjit.ops.elementwise import LINE, POSITIVE, choose, number
from gradjit.ops.result_types import infer_arithmetic, infer_float, unweak
from gradjit.ops.sym import elementwise

UNIT = (-0.9, 0.9)
Slope = Callable[..., Any]


def _sqrt(x: Any) -> Any:
    return elementwise("sqrt", x)


# What numba.cuda does not know by NumPy's name, and what has two names in libdevice.
_KERNEL = frozenset(
    ("exp", "expm1", "log1p", "sqrt", "logaddexp", "floor", "ceil", "trunc", "copysign")
)
_KERNEL_TWICE = frozenset(("exp2", "cbrt", "rint"))


def _in_kernels(name: str, arguments: str) -> dict[str, str]:
    """The text in CUDA kernels of an op that NumPy has under the same name."""
    if name in _KERNEL_TWICE:
        return {"f4": f"el.{name}f({arguments})", "": f"el.{name}({arguments})"}
    return {"": f"el.{name}({arguments})"} if name in _KERNEL else {}


def _function(
    name: str,
    doc: str,
    *slopes: Slope | None,
    domain: tuple[tuple[float, float], ...] = (LINE,),
) -> Op:
    """An op that NumPy has under the same name."""
    ufunc = getattr(np, name)
    arguments = ", ".join(f"{{{k}}}" for k in range(ufunc.nin))
    return register(
        Op(
            name=name,
            kind="elementwise",
            doc=doc,
            infer=infer_float,
            evaluate=unweak(ufunc),
            partials=tuple(s and unweak(s) for s in slopes),
            text=f"np.{name}({arguments})",
            cuda=_in_kernels(name, arguments),
            dtypes="float",
            domain=domain,
        )
    )


# ------------------------------------------------------------- roots, exp and log

_ROOT = "Square root; slope inf at 0."
EXP = _function("exp", "Exponential.", lambda out, x: out)
EXP2 = _function("exp2", "2 to a power.", lambda out, x: out * number(math.log(2.0), x))
EXPM1 = _function("expm1", "exp(x) - 1, exact near 0.", lambda out, x: out + 1.0)
LOG = _function("log", "Natural logarithm.", lambda out, x: 1.0 / x, domain=(POSITIVE,))
LOG1P = _function(
    "log1p",
    "log(1 + x), exact near 0.",
    lambda out, x: 1.0 / (1.0 + x),
    domain=((-0.8, 3.0),),
)
LOG2 = _function(
    "log2",
    "Logarithm to base 2.",
    lambda out, x: 1.0 / (x * number(math.log(2.0), x)),
    domain=(POSITIVE,),
)
LOG10 = _function(
    "log10",
    "Logarithm to base 10.",
    lambda out, x: 1.0 / (x * number(math.log(10.0), x)),
    domain=(POSITIVE,),
)
SQRT = _function("sqrt", _ROOT, lambda out, x: 0.5 / out, domain=(POSITIVE,))
CBRT = _function(
    "cbrt",
    "Cube root; slope inf at 0.",
    lambda out, x: 1.0 / (3.0 * out * out),
    domain=(POSITIVE,),
)
LOGADDEXP = _function(
    "logaddexp",
    "log(exp(x) + exp(y)) without overflow.",
    lambda out, x, y: _share(out, x),
    lambda out, x, y: _share(out, y),
    domain=(LINE, LINE),
)


def _share(out: Any, x: Any) -> Any:
    """exp(x - out), and 1 where both are the same infinity."""
    same = elementwise("eq", x, out)
    return elementwise("exp", choose(same, number(0.0, out), x - out))


# ------------------------------------------------------------------- trigonometry

SIN = _function("sin", "Sine.", lambda out, x: elementwise("cos", x))
COS = _function("cos", "Cosine.", lambda out, x: -elementwise("sin", x))
TAN = _function(
    "tan", "Tangent.", lambda out, x: 1.0 + out * out, domain=((-1.2, 1.2),)
)
ARCSIN = _function(
    "arcsin",
    "Inverse sine.",
    lambda out, x: 1.0 / _sqrt((1.0 - x) * (1.0 + x)),
    domain=(UNIT,),
)
ARCCOS = _function(
    "arccos",
    "Inverse cosine.",
    lambda out, x: -1.0 / _sqrt((1.0 - x) * (1.0 + x)),
    domain=(UNIT,),
)
ARCTAN = _function("arctan", "Inverse tangent.", lambda out, x: 1.0 / (1.0 + x * x))
ARCTAN2 = _function(
    "arctan2",
    "Angle of the point (second, first).",
    lambda out, y, x: x / (x * x + y * y),
    lambda out, y, x: -y / (x * x + y * y),
    domain=(POSITIVE, LINE),
)
HYPOT = _function(
    "hypot",
    "sqrt(x**2 + y**2); nan slope at the origin.",
    lambda out, x, y: x / out,
    lambda out, x, y: y / out,
    domain=(POSITIVE, LINE),
)
SINH = _function("sinh", "Hyperbolic sine.", lambda out, x: elementwise("cosh", x))
COSH = _function("cosh", "Hyperbolic cosine.", lambda out, x: elementwise("sinh", x))
TANH = _function("tanh", "Hyperbolic tangent.", lambda out, x: 1.0 - out * out)
ARCSINH = _function(
    "arcsinh", "Inverse hyperbolic sine.", lambda out, x: 1.0 / _sqrt(x * x + 1.0)
)
ARCCOSH = _function(
    "arccosh",
    "Inverse hyperbolic cosine.",
    lambda out, x: 1.0 / _sqrt((x - 1.0) * (x + 1.0)),
    domain=((1.2, 4.0),),
)
ARCTANH = _function(
    "arctanh",
    "Inverse hyperbolic tangent.",
    lambda out, x: 1.0 / ((1.0 - x) * (1.0 + x)),
    domain=(UNIT,),
)

# ------------------------------------------------------------- rounding and signs


def _rounding(name: str, doc: str) -> Op:
    return register(
        Op(
            name=name,
            kind="elementwise",
            doc=doc,
            infer=infer_float,
            evaluate=unweak(getattr(np, name)),
            flat=True,
            text=f"np.{name}({{0}})",
            cuda=_in_kernels(name, "{0}"),
            cheap=True,
            dtypes="float",
            domain=(LINE,),
        )
    )


FLOOR = _rounding("floor", "Rounded down.")
CEIL = _rounding("ceil", "Rounded up.")
RINT = _rounding("rint", "Rounded to the nearest, halves to even.")
TRUNC = _rounding("trunc", "Rounded towards zero.")


def _copysign_slope(out: Any, x: Any, y: Any) -> Any:
    return elementwise("sign", x) * elementwise("copysign", number(1.0, out), y)


COPYSIGN = register(
    Op(
        name="copysign",
        kind="elementwise",
        doc="Size of the first with the sign of the second; slope 0 at size 0.",
        infer=infer_float,
        evaluate=unweak(np.copysign),
        partials=(unweak(_copysign_slope), None),
        text="np.copysign({0}, {1})",
        cuda=_in_kernels("copysign", "{0}, {1}"),
        cheap=True,
        dtypes="float",
        domain=(LINE, LINE),
    )
)
FMOD = register(
    Op(
        name="fmod",
        kind="elementwise",
        doc="Remainder with the sign of the dividend.",
        infer=infer_arithmetic,
        evaluate=np.fmod,
        partials=(
            lambda out, x, y: 1.0,
            lambda out, x, y: -elementwise("trunc", x / y),
        ),
        text="np.fmod({0}, {1})",
        cuda={"f": "el.fmod({0}, {1})", "": "el.remainder({0}, {1})"},
        dtypes="promote",
        domain=((2.1, 2.9), (0.8, 0.9)),
    )
)
