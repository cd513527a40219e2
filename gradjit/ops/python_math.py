"""Functions of `math` and Python's builtins. Their results are Python's numbers."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gradjit.errors import DtypeError
from gradjit.ir.build import current
from gradjit.ir.types import BOOL, FLOAT64, INT64
from gradjit.ops.surface import TRIPLE, call, cast, function, refuse, static, symbol
from gradjit.ops.sym import Sym, apply, elementwise, power

_ONE = {
    "exp": (math.exp, 0.7),
    "exp2": (math.exp2, 0.7),
    "expm1": (math.expm1, 0.7),
    "log1p": (math.log1p, 0.7),
    "log2": (math.log2, 0.7),
    "log10": (math.log10, 0.7),
    "sqrt": (math.sqrt, 0.7),
    "cbrt": (math.cbrt, 0.7),
    "sin": (math.sin, 0.7),
    "cos": (math.cos, 0.7),
    "tan": (math.tan, 0.7),
    "arcsin": (math.asin, 0.7),
    "arccos": (math.acos, 0.7),
    "arctan": (math.atan, 0.7),
    "sinh": (math.sinh, 0.7),
    "cosh": (math.cosh, 0.7),
    "tanh": (math.tanh, 0.7),
    "arcsinh": (math.asinh, 0.7),
    "arccosh": (math.acosh, 1.7),
    "arctanh": (math.atanh, 0.7),
    "erf": (math.erf, 0.7),
    "erfc": (math.erfc, 0.7),
    "lgamma": (math.lgamma, 1.7),
    "gamma": (math.gamma, 1.7),
}
_TWO = {
    "arctan2": (math.atan2, (0.7, 1.3)),
    "copysign": (math.copysign, (0.7, -1.3)),
}
_TESTS = {
    "isnan": math.isnan,
    "isinf": math.isinf,
    "isfinite": math.isfinite,
}


def scalar(x: Any, what: str) -> Any:
    """A scalar at double precision, as `math` takes it."""
    x = symbol(x)
    if x.ndim:
        raise DtypeError(
            f"{what} takes a number, not an array",
            current().loc,
            "Use the function of the same name in numpy.",
        )
    return (
        cast(x, FLOAT64, weak=True) if x.dtype.kind != "f" or x.dtype != FLOAT64 else x
    )


def _python(op: str, title: str) -> Callable[..., Any]:
    def impl(x: Any) -> Any:
        return elementwise(op, scalar(x, title), weak=True)

    return impl


def _python2(op: str, title: str) -> Callable[..., Any]:
    def impl(x: Any, y: Any) -> Any:
        return elementwise(op, scalar(x, title), scalar(y, title), weak=True)

    return impl


def _python_test(op: str, title: str) -> Callable[..., Any]:
    def impl(x: Any) -> Any:
        return elementwise(op, scalar(x, title))

    return impl


for _op, (_one, _at) in _ONE.items():
    _impl = _python(_op, f"math.{_one.__name__}")
    function(_one, op=_op, samples=(call(_at),))(_impl)
for _op, (_two, _pair) in _TWO.items():
    _impl = _python2(_op, f"math.{_two.__name__}")
    function(_two, op=_op, samples=(call(*_pair),))(_impl)
for _op, _test in _TESTS.items():
    _impl = _python_test(_op, f"math.{_test.__name__}")
    function(_test, op=_op, samples=(call(0.7),))(_impl)


@function(math.log, samples=(call(0.7), call(0.7, 3.0)))
def _log(x: Any, base: Any = None) -> Any:
    """Natural logarithm, or to a base."""
    out = elementwise("log", scalar(x, "math.log"), weak=True)
    if base is None:
        return out
    if isinstance(base, Sym):
        return out / elementwise("log", scalar(base, "math.log"), weak=True)
    return out / math.log(base)


@function(math.pow, samples=(call(0.7, 1.3), call(0.7, 2)))
def _pow(x: Any, y: Any) -> Any:
    """Power."""
    return power(scalar(x, "math.pow"), float(y) if not isinstance(y, Sym) else y)


@function(math.fabs, samples=(call(-0.7),))
def _fabs(x: Any) -> Any:
    """Absolute value; slope 0 at 0."""
    return abs(scalar(x, "math.fabs"))


@function(math.fmod, samples=(call(2.7, 0.8),))
def _fmod(x: Any, y: Any) -> Any:
    """Remainder with the sign of the dividend."""
    return elementwise("fmod", scalar(x, "math.fmod"), scalar(y, "math.fmod"))


@function(math.hypot, samples=(call(0.7, 1.3), call(0.7, 1.3, -2.0)))
def _hypot(*coordinates: Any) -> Any:
    """Length of a vector given by its coordinates."""
    xs = [scalar(x, "math.hypot") for x in coordinates]
    if len(xs) == 2:
        return elementwise("hypot", *xs, weak=True)
    total: Any = 0.0
    for x in xs:
        total = total + x * x
    return elementwise("sqrt", total, weak=True)


@function(math.dist, samples=(call([0.7, 1.3], [-0.2, 0.5]),))
def _dist(p: Any, q: Any) -> Any:
    """Distance of two points."""
    return _hypot(*(a - b for a, b in zip(p, q, strict=True)))


@function(math.floor, samples=(call(1.7), call(-1.7)))
def _floor(x: Any) -> Any:
    """Rounded down, as an int."""
    return _whole(x, "floor")


@function(math.ceil, samples=(call(1.7), call(-1.7)))
def _ceil(x: Any) -> Any:
    """Rounded up, as an int."""
    return _whole(x, "ceil")


@function(math.trunc, samples=(call(1.7), call(-1.7)))
def _trunc(x: Any) -> Any:
    """Rounded towards zero, as an int."""
    return _whole(x, "trunc")


def _whole(x: Any, op: str) -> Any:
    x = symbol(x)
    if x.dtype.kind != "f":
        return cast(x, INT64, weak=True)
    return cast(elementwise(op, scalar(x, f"math.{op}"), weak=True), INT64, weak=True)


@function(math.fsum, samples=(call([0.7, 1.3, 2.0]),))
def _fsum(seq: Any) -> Any:
    """Sum (with ordinary rounding)."""
    return cast(_sum(seq, 0.0), FLOAT64, weak=True)


@function(math.prod, samples=(call([0.7, 1.3, 2.0]),))
def _prod(iterable: Any, start: Any = 1) -> Any:
    """Product."""
    if isinstance(iterable, Sym) and iterable.ndim == 1:
        return apply("reduce_prod", iterable, axes=(0,)) * start
    for x in iterable:
        start = start * x
    return start


# -------------------------------------------------------------------- the builtins


@function(builtins.abs, samples=(call(TRIPLE), call(-0.7)))
def _abs(x: Any) -> Any:
    """Absolute value; slope 0 at 0."""
    return abs(x)


@function(builtins.sum, samples=(call(TRIPLE), call([0.5, 0.7])))
def _sum(iterable: Any, start: Any = 0) -> Any:
    """Sum of the items."""
    if isinstance(iterable, Sym) and iterable.ndim >= 1:
        total = apply("reduce_sum", iterable, axes=(0,))
        return total if isinstance(start, int) and start == 0 else start + total
    for x in iterable:
        start = start + x
    return start


def _extreme(op: str, array_op: str, items: Any, key: Any, default: Any) -> Any:
    if key is not None:
        refuse(f"{op} with key= cannot be traced", "Compare the keys in a loop.")
    if len(items) == 1:
        (x,) = items
        if isinstance(x, Sym) and x.ndim:
            if x.ndim > 1:
                refuse(f"{op} of an array of {x.ndim} axes", f"Use np.{op}.")
            return apply(array_op, x, axes=(0,))
        items = tuple(x)
        if not items and default is not None:
            return default
    out = items[0]
    for x in items[1:]:
        out = pair_extreme(op, out, x)
    return out


def pair_extreme(op: str, x: Any, y: Any) -> Any:
    """Python's max or min of two numbers."""
    if not isinstance(x, Sym) and not isinstance(y, Sym):
        return max(x, y) if op == "max" else min(x, y)
    x, y = symbol(x), symbol(y)
    if x.ndim or y.ndim:
        refuse(
            f"{op} of arrays", f"Use np.{op}imum for elements, np.{op} for an array."
        )
    if x.dtype.kind in "iub" and y.dtype.kind in "iub":
        return elementwise(f"{op}imum", x, y)
    return elementwise(f"py{op}", x, y)


@function(
    builtins.max, samples=(call(0.7, 1.3), call(0.7, 1.3, -2.0), call([0.7, 1.3]))
)
def _max(*args: Any, key: Any = None, default: Any = None) -> Any:
    """The largest."""
    return _extreme("max", "reduce_max", args, key, default)


@function(
    builtins.min, samples=(call(0.7, 1.3), call(0.7, 1.3, -2.0), call([0.7, 1.3]))
)
def _min(*args: Any, key: Any = None, default: Any = None) -> Any:
    """The smallest."""
    return _extreme("min", "reduce_min", args, key, default)


@function(builtins.pow, samples=(call(0.7, 3), call(0.7, 1.5)))
def _builtin_pow(base: Any, exp: Any) -> Any:
    """Power."""
    return power(base, exp)


@function(builtins.divmod, samples=(call(2.7, 0.8),))
def _divmod(x: Any, y: Any) -> Any:
    """Quotient rounded down, and remainder."""
    return x // y, x % y


@function(builtins.round, samples=(call(1.7), call(1.234, 2)))
def _round(number: Any, ndigits: Any = None) -> Any:
    """Rounded; to an int without a number of digits."""
    x = symbol(number)
    if x.ndim:
        refuse("round of an array", "Use np.round.")
    if x.dtype.kind != "f":
        return cast(x, INT64, weak=True)
    if ndigits is None:
        return cast(elementwise("rint", x), INT64, weak=True)
    scale = 10.0 ** static(ndigits)
    return elementwise("rint", x * scale, weak=True) / scale


@function(builtins.float, samples=(call(1.7),))
def _float(x: Any = 0.0) -> Any:
    """A float."""
    return cast(one_element(x), FLOAT64, weak=True)


@function(builtins.int, samples=(call(1.7), call(-1.7)))
def _int(x: Any = 0) -> Any:
    """An int, rounded towards zero."""
    return cast(one_element(x), INT64, weak=True)


@function(builtins.bool, samples=(call(1.7), call(0.0)))
def _bool(x: Any = False) -> Any:
    """Whether a number is not zero."""
    x = one_element(x)
    if x.dtype.kind == "b":
        return cast(x, BOOL, weak=True)
    return elementwise("ne", cast(x, FLOAT64, weak=True), 0.0)


def one_element(x: Any) -> Any:
    """The number in a scalar, or in an array of one element."""
    x = symbol(x)
    if not x.ndim:
        return x
    if any(d != 1 for d in x.type.dims):
        raise DtypeError(
            f"only an array of one element is a number, not {x.type}",
            current().loc,
            "Index it, or reduce it: x[0], np.sum(x).",
        )
    return apply("index", x, *[0] * x.ndim, spec="i" * x.ndim, dims=(), checked=False)


@function(method="item", samples=(call(np.array([0.7])),))
def _item(a: Any, *index: Any) -> Any:
    """An element as a Python number."""
    if index:
        return _python_number(a[index[0] if len(index) == 1 else tuple(index)])
    return _python_number(one_element(a))


def _python_number(x: Any) -> Any:
    if not isinstance(x, Sym):
        return x
    dtype = {"f": FLOAT64, "b": BOOL}.get(x.dtype.kind, INT64)
    return cast(x, dtype, weak=True)
