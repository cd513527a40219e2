"""Error functions, gamma functions and the logistic function.

digamma and trigamma: upward recurrence to x >= 10, then the asymptotic series of
Abramowitz and Stegun, 6.3.18 and 6.4.12; reflection 6.3.7 and 6.4.7 below 0.
"""

# The rules below are lambdas over symbols, whose types nobody can say:
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from gradjit.ir.op import Op, register
from gradjit.ops.elementwise import LINE, POSITIVE, number
from gradjit.ops.result_types import infer_float, unweak
from gradjit.ops.sym import elementwise

# Constants are in backquotes: kernels take them at the dtype of x.
_DIGAMMA = '''\
def digamma(x):
    """Derivative of the logarithm of the gamma function."""
    kind = type(x)
    if x == `0.0`:
        return -math.copysign(`math.inf`, x)
    if x < `0.0`:
        fraction = x % `1.0`
        if fraction == `0.0`:
            return `math.nan`
        cotangent = `math.pi` / math.tan(`math.pi` * fraction)
        return digamma_right(`1.0` - x) - cotangent
    return digamma_right(x)


def digamma_right(x):
    """digamma for x > 0: recurrence up to 10, then the asymptotic series."""
    kind = type(x)
    total = `0.0`
    while x < `10.0`:
        total -= `1.0` / x
        x += `1.0`
    z = `1.0` / (x * x)
    series = `1 / 132` - z * (`691 / 32760` - z / `12.0`)
    series = `1 / 120` - z * (`1 / 252` - z * (`1 / 240` - z * series))
    return total + math.log(x) - `0.5` / x - z * (`1 / 12` - z * series)
'''

_TRIGAMMA = '''\
def trigamma(x):
    """Second derivative of the logarithm of the gamma function."""
    kind = type(x)
    if x > `0.0`:
        return trigamma_right(x)
    fraction = x % `1.0`
    if fraction == `0.0`:
        return `math.inf`
    slope = `math.pi` / math.sin(`math.pi` * fraction)
    return slope * slope - trigamma_right(`1.0` - x)


def trigamma_right(x):
    """trigamma for x > 0: recurrence up to 12, then the asymptotic series."""
    kind = type(x)
    total = `0.0`
    while x < `12.0`:
        y = `1.0` / x
        total += y * y
        x += `1.0`
    z = `1.0` / (x * x)
    series = `5 / 66` - z * (`691 / 2730` - z * `7 / 6`)
    series = `1 / 30` - z * (`1 / 42` - z * (`1 / 30` - z * series))
    return total + `1.0` / x + `0.5` * z + z / x * (`1 / 6` - z * series)
'''


def _double(source: str) -> str:
    """The source for the host, where numbers are float64."""
    return source.replace("    kind = type(x)\n", "").replace("`", "")


def _as_given(source: str) -> str:
    """The source for kernels, at the dtype of the argument."""
    return re.sub(r"`(.*?)`", r"kind(\1)", source)


DIGAMMA_SOURCE = _double(_DIGAMMA)
TRIGAMMA_SOURCE = _double(_TRIGAMMA)


def reference(source: str, name: str) -> Callable[..., Any]:
    """A helper's source as a function of arrays."""
    space: dict[str, Any] = {"math": math}
    exec(source, space)
    return each(space[name])


def each(function: Callable[[float], float], pole: float = math.nan) -> Any:
    """A scalar function applied to each element, at the dtype of the argument."""

    def one(x: float) -> float:
        try:
            return function(x)
        except OverflowError:
            return math.inf
        except ValueError:
            return pole

    def apply(x: Any) -> Any:
        x = np.asarray(x)
        dtype = x.dtype if x.dtype.kind == "f" else np.float64
        flat = [one(v) for v in x.ravel().tolist()]
        return np.array(flat, dtype=dtype).reshape(x.shape)[()]

    return apply


def _special(
    name: str,
    doc: str,
    evaluate: Callable[..., Any],
    text: str,
    slope: Callable[..., Any] | None,
    domain: tuple[float, float] = LINE,
    **more: Any,
) -> Op:
    return register(
        Op(
            name=name,
            kind="elementwise",
            doc=doc,
            infer=infer_float,
            evaluate=unweak(evaluate),
            partials=(unweak(slope),) if slope is not None else None,
            text=text,
            text32=f"np.float32({text})",
            cuda={"": text.replace("math.", "el.")},
            dtypes="float",
            domain=(domain,),
            **more,
        )
    )


def _bell(x: Any) -> Any:
    """2 / sqrt(pi) * exp(-x**2)."""
    return number(2.0 / math.sqrt(math.pi), x) * elementwise("exp", -(x * x))


ERF = _special(
    "erf", "Error function.", each(math.erf), "math.erf({0})", lambda out, x: _bell(x)
)
ERFC = _special(
    "erfc",
    "1 - erf(x), exact for large x.",
    each(math.erfc),
    "math.erfc({0})",
    lambda out, x: -_bell(x),
)
LGAMMA = _special(
    "lgamma",
    "Logarithm of the absolute value of the gamma function.",
    each(math.lgamma, math.inf),
    "math.lgamma({0})",
    lambda out, x: elementwise("digamma", x),
    POSITIVE,
)
GAMMA = _special(
    "gamma",
    "Gamma function.",
    each(lambda x: math.gamma(x) if x else math.copysign(math.inf, x)),
    "math.gamma({0})",
    lambda out, x: out * elementwise("digamma", x),
    POSITIVE,
)
DIGAMMA = _special(
    "digamma",
    "Derivative of the logarithm of the gamma function.",
    reference(DIGAMMA_SOURCE, "digamma"),
    "digamma({0})",
    lambda out, x: elementwise("trigamma", x),
    POSITIVE,
    helper=DIGAMMA_SOURCE,
    cuda_helper=_as_given(_DIGAMMA),
)
TRIGAMMA = _special(
    "trigamma",
    "Derivative of digamma.",
    reference(TRIGAMMA_SOURCE, "trigamma"),
    "trigamma({0})",
    None,
    POSITIVE,
    helper=TRIGAMMA_SOURCE,
    cuda_helper=_as_given(_TRIGAMMA),
    why_not="higher polygamma functions are not built in",
)


def _expit(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


EXPIT = register(
    Op(
        name="expit",
        kind="elementwise",
        doc="Logistic function 1 / (1 + exp(-x)).",
        infer=infer_float,
        evaluate=_expit,
        partials=(lambda out, x: out * (1.0 - out),),
        text="1.0 / (1.0 + np.exp(-{0}))",
        text32="np.float32(1.0) / (np.float32(1.0) + np.exp(-{0}))",
        cuda={
            "f4": "np.float32(1.0) / (np.float32(1.0) + el.exp(-{0}))",
            "": "1.0 / (1.0 + el.exp(-{0}))",
        },
        precedence=10,
        dtypes="float",
        domain=(LINE,),
    )
)


def _xlog(name: str, log: str, doc: str, slope: Callable[..., Any]) -> Op:
    """x times a logarithm of y, 0 where x is 0."""
    source = f'''\
def {name}(x, y):
    """{doc}"""
    if x == 0.0 and not np.isnan(y):
        return 0.0
    return x * np.{log}(y)
'''
    in_kernels = f'''\
def {name}(x, y):
    """{doc}"""
    if x == 0 and not math.isnan(y):
        return x * type(x)(0)
    return x * el.{log}(y)
'''
    function = getattr(np, log)
    choice: Any = np.where

    def evaluate(x: Any, y: Any) -> Any:
        zero = np.logical_and(np.equal(x, 0), ~np.isnan(y))
        return choice(zero, np.multiply(x, 0), x * function(y))[()]

    return register(
        Op(
            name=name,
            kind="elementwise",
            doc=doc,
            infer=infer_float,
            evaluate=evaluate,
            partials=(lambda out, x, y: elementwise(log, y), slope),
            text=f"{name}({{0}}, {{1}})",
            text32=f"np.float32({name}({{0}}, {{1}}))",
            helper=source,
            cuda={"": f"{name}({{0}}, {{1}})"},
            cuda_helper=in_kernels,
            dtypes="float",
            domain=(POSITIVE, POSITIVE),
        )
    )


XLOGY = _xlog("xlogy", "log", "x log(y), 0 where x is 0.", lambda out, x, y: x / y)
XLOG1PY = _xlog(
    "xlog1py",
    "log1p",
    "x log(1 + y), 0 where x is 0.",
    lambda out, x, y: x / (1.0 + y),
)
