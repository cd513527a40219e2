"""Element-by-element functions of NumPy.

Most stand for one op; the rest are composed of a few.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gradjit.ops.elementwise import number
from gradjit.ops.surface import (
    MATRIX,
    PLUS,
    TRIPLE,
    call,
    cast,
    function,
    listed,
    refuse,
    static,
    symbol,
    truth,
)
from gradjit.ops.sym import Sym, elementwise, power

_UNIT = np.array([0.3, -0.7, 0.85])
_HIGH = np.array([1.5, 2.25, 3.5])
_TRUTH = np.array([True, False, True])
_WHOLE = np.array([5, 2, 7])

# ---------------------------------------------------------- functions of one operand

# op: where the sample values lie, and the functions
_ONE: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "exp": (TRIPLE, (np.exp,)),
    "exp2": (TRIPLE, (np.exp2,)),
    "expm1": (TRIPLE, (np.expm1,)),
    "log": (PLUS, (np.log,)),
    "log1p": (PLUS, (np.log1p,)),
    "log2": (PLUS, (np.log2,)),
    "log10": (PLUS, (np.log10,)),
    "sqrt": (PLUS, (np.sqrt,)),
    "cbrt": (TRIPLE, (np.cbrt,)),
    "sin": (TRIPLE, (np.sin,)),
    "cos": (TRIPLE, (np.cos,)),
    "tan": (_UNIT, (np.tan,)),
    "arcsin": (_UNIT, (np.arcsin,)),
    "arccos": (_UNIT, (np.arccos,)),
    "arctan": (TRIPLE, (np.arctan,)),
    "sinh": (TRIPLE, (np.sinh,)),
    "cosh": (TRIPLE, (np.cosh,)),
    "tanh": (TRIPLE, (np.tanh,)),
    "arcsinh": (TRIPLE, (np.arcsinh,)),
    "arccosh": (_HIGH, (np.arccosh,)),
    "arctanh": (_UNIT, (np.arctanh,)),
    "rint": (TRIPLE, (np.rint,)),
    "abs": (TRIPLE, (np.absolute, np.fabs)),
    "neg": (TRIPLE, (np.negative,)),
    "sign": (TRIPLE, (np.sign,)),
    "isnan": (TRIPLE, (np.isnan,)),
    "isinf": (TRIPLE, (np.isinf,)),
    "isfinite": (TRIPLE, (np.isfinite,)),
    "invert": (_WHOLE, (np.invert,)),
}

_TWO: dict[str, tuple[tuple[Any, Any], tuple[Any, ...]]] = {
    "add": ((TRIPLE, PLUS), (np.add,)),
    "sub": ((TRIPLE, PLUS), (np.subtract,)),
    "mul": ((TRIPLE, PLUS), (np.multiply,)),
    "div": ((TRIPLE, PLUS), (np.divide,)),
    "floordiv": ((TRIPLE, PLUS), (np.floor_divide,)),
    "mod": ((TRIPLE, PLUS), (np.remainder,)),
    "fmod": ((TRIPLE, PLUS), (np.fmod,)),
    "maximum": ((TRIPLE, PLUS), (np.maximum,)),
    "minimum": ((TRIPLE, PLUS), (np.minimum,)),
    "arctan2": ((TRIPLE, PLUS), (np.arctan2,)),
    "hypot": ((TRIPLE, PLUS), (np.hypot,)),
    "logaddexp": ((TRIPLE, PLUS), (np.logaddexp,)),
    "copysign": ((TRIPLE, -PLUS), (np.copysign,)),
    "eq": ((_WHOLE, 5), (np.equal,)),
    "ne": ((_WHOLE, 5), (np.not_equal,)),
    "lt": ((TRIPLE, PLUS), (np.less,)),
    "le": ((TRIPLE, PLUS), (np.less_equal,)),
    "gt": ((TRIPLE, PLUS), (np.greater,)),
    "ge": ((TRIPLE, PLUS), (np.greater_equal,)),
    "bitand": ((_WHOLE, 3), (np.bitwise_and,)),
    "bitor": ((_WHOLE, 3), (np.bitwise_or,)),
    "bitxor": ((_WHOLE, 3), (np.bitwise_xor,)),
    "shl": ((_WHOLE, 2), (np.left_shift,)),
    "shr": ((_WHOLE, 2), (np.right_shift,)),
}


def _unary(op: str) -> Callable[..., Any]:
    def impl(x: Any) -> Any:
        return elementwise(op, symbol(x))

    return impl


def _binary(op: str) -> Callable[..., Any]:
    def impl(x1: Any, x2: Any) -> Any:
        return on_bools(op, symbol(x1), symbol(x2))

    return impl


# What NumPy does to two bools.
_BOOLS = {
    "add": "logical_or",
    "mul": "logical_and",
    "bitand": "logical_and",
    "bitor": "logical_or",
    "bitxor": "logical_xor",
}


def on_bools(op: str, x: Any, y: Any) -> Any:
    """A two-operand op; its logical counterpart on two bools."""
    if op in _BOOLS and x.dtype.kind == y.dtype.kind == "b":
        op = _BOOLS[op]
    return elementwise(op, x, y)


for _op, (_sample, _targets) in _ONE.items():
    for _target in _targets:
        function(_target, op=_op, samples=(call(_sample),))(_unary(_op))
for _op, (_pair, _targets) in _TWO.items():
    for _target in _targets:
        function(_target, op=_op, samples=(call(*_pair),))(_binary(_op))


@function(np.positive, samples=(call(TRIPLE),))
def _positive(x: Any) -> Any:
    """A copy."""
    return elementwise("add", symbol(x), 0) if symbol(x).dtype.kind == "b" else x * 1


@function(np.power, samples=(call(PLUS, TRIPLE), call(TRIPLE, 3)))
def _power(x1: Any, x2: Any) -> Any:
    """Power."""
    return power(symbol(x1), symbol(x2) if listed(x2) is not None else x2)


@function(np.float_power, samples=(call(PLUS, TRIPLE),))
def _float_power(x1: Any, x2: Any) -> Any:
    """Power, in double precision."""
    return elementwise("pow", cast(x1, np.dtype(float)), cast(x2, np.dtype(float)))


@function(np.square, samples=(call(TRIPLE),))
def _square(x: Any) -> Any:
    """Square."""
    return power(symbol(x), 2)


@function(np.reciprocal, samples=(call(PLUS),))
def _reciprocal(x: Any) -> Any:
    """1 / x."""
    return 1 / symbol(x)


@function(np.deg2rad, np.radians, math.radians, samples=(call(TRIPLE),))
def _radians(x: Any) -> Any:
    """Degrees to radians."""
    return symbol(x) * (math.pi / 180.0)


@function(np.rad2deg, np.degrees, math.degrees, samples=(call(TRIPLE),))
def _degrees(x: Any) -> Any:
    """Radians to degrees."""
    return symbol(x) * (180.0 / math.pi)


@function(np.sinc, samples=(call(np.array([0.0, 0.4, -1.5])),))
def _sinc(x: Any) -> Any:
    """sin(pi x) / (pi x), 1 at 0."""
    y = symbol(x) * math.pi
    # The series serves the derivatives at 0 as well; its error is below rounding.
    small = elementwise("lt", abs(y), 1e-3)
    safe = elementwise("where", small, 1.0, y)
    z = y * y
    series = 1.0 - z / 6.0 * (1.0 - z / 20.0 * (1.0 - z / 42.0))
    return elementwise("where", small, series, elementwise("sin", safe) / safe)


@function(np.heaviside, samples=(call(TRIPLE, 0.5),))
def _heaviside(x1: Any, x2: Any) -> Any:
    """0 below, 1 above, the second operand at 0."""
    x = symbol(x1)
    step = elementwise("where", elementwise("gt", x, 0), number(1.0, x), number(0.0, x))
    out = elementwise("where", elementwise("eq", x, 0), x2, step)
    return elementwise("where", elementwise("isnan", x), x, out)


# -------------------------------------------------------------- rounding and limits


def _rounding(op: str) -> Callable[..., Any]:
    def impl(x: Any) -> Any:
        x = symbol(x)
        return x * 1 if x.dtype.kind in "iu" else elementwise(op, x)

    return impl


function(np.floor, doc="Rounded down.", samples=(call(MATRIX),))(_rounding("floor"))
function(np.ceil, doc="Rounded up.", samples=(call(MATRIX),))(_rounding("ceil"))
function(np.trunc, np.fix, doc="Rounded towards zero.", samples=(call(MATRIX),))(
    _rounding("trunc")
)


@function(
    np.round,
    np.around,
    method="round",
    samples=(call(MATRIX + 0.02), call(MATRIX + 0.02, 1)),
)
def _round(a: Any, decimals: int = 0) -> Any:
    """Rounded to a number of decimals, halves to even."""
    x, places = symbol(a), static(decimals)
    if x.dtype.kind in "iu" and places >= 0:
        return x * 1
    if places == 0:
        return elementwise("rint", x)
    scale = number(10.0 ** abs(places), x)
    if places > 0:
        return elementwise("rint", x * scale) / scale
    return elementwise("rint", x / scale) * scale


@function(
    np.clip,
    method="clip",
    samples=(call(MATRIX, -0.5, 0.8), call(MATRIX, None, 0.5), call(MATRIX, 0.0, None)),
)
def _clip(
    a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None
) -> Any:
    """Limited to an interval."""
    x = symbol(a)
    low = a_min if a_min is not None else min
    high = a_max if a_max is not None else max
    if low is not None:
        x = elementwise("maximum", x, symbol(low))
    if high is not None:
        x = elementwise("minimum", x, symbol(high))
    return x * 1 if low is None and high is None else x


@function(np.nan_to_num, samples=(call(TRIPLE),))
def _nan_to_num(
    x: Any, nan: float = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """nan and infinities replaced by finite numbers."""
    x = symbol(x)
    if x.dtype.kind != "f":
        return x * 1
    info = np.finfo(x.dtype)
    high = float(info.max) if posinf is None else posinf
    low = float(info.min) if neginf is None else neginf
    out = elementwise("where", elementwise("isnan", x), number(nan, x), x)
    out = elementwise("where", elementwise("eq", x, np.inf), number(high, x), out)
    return elementwise("where", elementwise("eq", x, -np.inf), number(low, x), out)


# --------------------------------------------------------------------- choice, logic


@function(np.where, samples=(call(_TRUTH, TRIPLE, PLUS), call(TRIPLE, PLUS, 0.5)))
def _where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """Elements of x where the condition holds, else of y."""
    if x is None and y is None:
        refuse(
            "np.where with one argument cannot be traced",
            "Use np.where(condition, x, y), or index with the mask: x[condition].",
        )
    return elementwise("where", truth(condition), symbol(x), symbol(y))


@function(np.select, samples=(call([_TRUTH, ~_TRUTH], [TRIPLE, PLUS], 0.0),))
def _select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """Elements of the first choice whose condition holds."""
    out = default
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        out = elementwise("where", truth(condition), symbol(choice), symbol(out))
    return out


for _name in ("and", "or", "xor"):

    def _logical(x1: Any, x2: Any, op: str = f"logical_{_name}") -> Any:
        return elementwise(op, truth(x1), truth(x2))

    function(
        getattr(np, f"logical_{_name}"),
        op=f"logical_{_name}",
        samples=(call(_TRUTH, _WHOLE),),
    )(_logical)


@function(np.logical_not, samples=(call(_TRUTH), call(TRIPLE)))
def _logical_not(x: Any) -> Any:
    """Whether an element is zero."""
    return elementwise("logical_not", truth(x))


@function(np.signbit, samples=(call(TRIPLE),))
def _signbit(x: Any) -> Any:
    """Whether the sign is minus, also of -0.0."""
    return elementwise("lt", elementwise("copysign", 1.0, symbol(x)), 0.0)


@function(np.isclose, samples=(call(TRIPLE, TRIPLE + 1e-9), call(TRIPLE, PLUS)))
def isclose(
    a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Any:
    """Whether two numbers are equal to a tolerance."""
    x, y = symbol(a), symbol(b)
    near = elementwise("le", abs(x - y), atol + rtol * abs(y))
    near = elementwise("logical_and", near, elementwise("isfinite", y))
    near = elementwise("logical_or", near, elementwise("eq", x, y))
    if not equal_nan:
        return near
    both = elementwise("logical_and", elementwise("isnan", x), elementwise("isnan", y))
    return elementwise("logical_or", near, both)


@function(method="real", is_property=True)
def _real(x: Any) -> Any:
    """The array itself: its elements are real."""
    return x


function(np.real, np.conjugate, samples=(call(TRIPLE),))(_real)


def is_number(x: Any) -> bool:
    """Whether x is a scalar: a number, or a symbol without axes."""
    return not x.ndim if isinstance(x, Sym) else np.ndim(x) == 0
