"""Arithmetic, comparison, logic, bits, choice and conversion of elements.

Partial derivatives are written with the operators that programs use; conventions at
kinks (ties, zero) are those of the table in `docs/ops.md`. Operands have been brought
to one dtype by `sym.elementwise`, so the type rules only look at what is there.
"""

# The rules below are lambdas over symbols, whose types nobody can say:
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradjit.ir.graph import Const
from gradjit.ir.op import Op, Params, register
from gradjit.ir.types import FLOAT64
from gradjit.ops.result_types import (
    infer_arithmetic,
    infer_cast,
    infer_quotient,
    infer_same,
    infer_where,
)
from gradjit.ops.sym import Sym, dtype_of, elementwise, power

LINE = (-3.0, 3.0)
POSITIVE = (0.2, 3.0)

# ----------------------------------------------------------------- derivative pieces


def number(value: float, like: Any) -> Any:
    """A number that does not widen `like`."""
    if isinstance(like, Sym) and like.dtype != FLOAT64 and like.dtype.kind == "f":
        return like.dtype.type(value)
    return value


def choose(condition: Any, x: Any, y: Any) -> Any:
    """`x` where the condition holds, else `y`."""
    return elementwise("where", condition, x, y)


def _extreme(op: str, first: bool) -> Callable[..., Any]:
    """Slope of maximum or minimum: half each at ties."""

    def partial(out: Any, x: Any, y: Any) -> Any:
        a, b = (x, y) if first else (y, x)
        like = out if isinstance(out, Sym) else a
        half = choose(elementwise("eq", a, b), number(0.5, like), number(0.0, like))
        return choose(elementwise(op, a, b), number(1.0, like), half)

    return partial


def constant(x: Any) -> bool | int | float | None:
    """The number that an operand is known to be."""
    if isinstance(x, Sym):
        return x.atom.value if isinstance(x.atom, Const) else None
    return x


def _pow_base(out: Any, x: Any, y: Any) -> Any:
    """y * x**(y - 1), and 0 where y is 0 whatever x is."""
    if constant(y) is not None:
        return y * power(x, y - 1)
    exponent = choose(elementwise("eq", y, 0), number(1.0, out), y - 1)
    return y * elementwise("pow", x, exponent)


def _pow_exponent(out: Any, x: Any, y: Any) -> Any:
    """out * log(x), and 0 where x is 0: the limit for a positive exponent."""
    base = constant(x)
    if base is not None and base > 0:
        return out * number(math.log(base), out)
    safe = choose(elementwise("eq", x, 0), number(1.0, out), x)
    return out * elementwise("log", safe)


def _powi_base(out: Any, x: Any, n: int) -> Any:
    if n in (0, 1):
        return 1.0 if n else None
    return n * (x if n == 2 else elementwise("powi", x, n=n - 1))


# --------------------------------------------------------------------------- records


ADD = register(
    Op(
        name="add",
        kind="elementwise",
        doc="Sum.",
        infer=infer_arithmetic,
        evaluate=lambda x, y: x + y,
        partials=(lambda out, x, y: 1.0, lambda out, x, y: 1.0),
        text="{0} + {1}",
        precedence=9,
        cheap=True,
        commutes=True,
        dtypes="promote",
        domain=(LINE, LINE),
    )
)
SUB = register(
    Op(
        name="sub",
        kind="elementwise",
        doc="Difference.",
        infer=infer_arithmetic,
        evaluate=lambda x, y: x - y,
        partials=(lambda out, x, y: 1.0, lambda out, x, y: -1.0),
        text="{0} - {1}",
        precedence=9,
        cheap=True,
        dtypes="promote",
        domain=(LINE, LINE),
    )
)
MUL = register(
    Op(
        name="mul",
        kind="elementwise",
        doc="Product.",
        infer=infer_arithmetic,
        evaluate=lambda x, y: x * y,
        partials=(lambda out, x, y: y, lambda out, x, y: x),
        text="{0} * {1}",
        precedence=10,
        cheap=True,
        commutes=True,
        dtypes="promote",
        domain=(LINE, LINE),
    )
)


def _quotient_vjp(g: Any, out: Any, args: Sequence[Any], params: Params) -> list[Any]:
    """One division for both cotangents, and none by a number that is known.

    A division takes five times as long as a product, which it delays in recurrences.
    """
    divisor = constant(args[1])
    if divisor is not None and _is_worth_inverting(divisor):
        share = g * (1.0 / divisor)
    else:
        share = g / args[1]
    return [share, -share * out]


def _is_worth_inverting(divisor: float) -> bool:
    """Whether LLVM cannot do it by itself: it knows that halves are exact."""
    mantissa, _ = math.frexp(divisor)
    return 1e-100 < abs(divisor) < 1e100 and abs(mantissa) != 0.5


DIV = register(
    Op(
        name="div",
        kind="elementwise",
        doc="Quotient.",
        infer=infer_quotient,
        evaluate=lambda x, y: x / y,
        partials=(lambda out, x, y: 1.0 / y, lambda out, x, y: -out / y),
        vjp=_quotient_vjp,
        text="{0} / {1}",
        precedence=10,
        dtypes="float",
        domain=(LINE, POSITIVE),
    )
)
FLOORDIV = register(
    Op(
        name="floordiv",
        kind="elementwise",
        doc="Quotient rounded down.",
        infer=infer_arithmetic,
        evaluate=lambda x, y: x // y,
        flat=True,
        text="{0} // {1}",
        cuda={"f": "el.floordiv({0}, {1})"},
        precedence=10,
        dtypes="promote",
        domain=(LINE, POSITIVE),
    )
)
MOD = register(
    Op(
        name="mod",
        kind="elementwise",
        doc="Remainder with the sign of the divisor.",
        infer=infer_arithmetic,
        evaluate=lambda x, y: x % y,
        partials=(
            lambda out, x, y: 1.0,
            lambda out, x, y: -elementwise("floor", x / y),
        ),
        text="{0} % {1}",
        cuda={"f": "el.mod({0}, {1})"},
        precedence=10,
        dtypes="promote",
        domain=((2.1, 2.9), (0.8, 0.9)),
    )
)
POW = register(
    Op(
        name="pow",
        kind="elementwise",
        doc="Power.",
        infer=infer_arithmetic,
        evaluate=lambda x, y: np.power(x, y),
        partials=(_pow_base, _pow_exponent),
        text="{0} ** {1}",
        cuda=dict.fromkeys("iu", "el.power({0}, {1})"),
        precedence=12,
        dtypes="promote",
        domain=(POSITIVE, LINE),
    )
)
POWI = register(
    Op(
        name="powi",
        kind="elementwise",
        doc="Power with a constant integer exponent n >= 0.",
        infer=infer_arithmetic,
        evaluate=lambda x, n: np.power(x, n),
        partials=(_powi_base,),
        text="{0} ** {n}",
        cuda=dict.fromkeys("iu", "el.power({0}, {n})"),
        precedence=12,
        cheap=True,
        dtypes="promote",
        domain=(POSITIVE,),
        samples=tuple(((), {"n": n}) for n in (0, 1, 2, 3, 5)),
    )
)
NEG = register(
    Op(
        name="neg",
        kind="elementwise",
        doc="Negative.",
        infer=infer_arithmetic,
        evaluate=lambda x: -x,
        partials=(lambda out, x: -1.0,),
        text="-{0}",
        precedence=11,
        cheap=True,
        dtypes="promote",
        domain=(LINE,),
    )
)
ABS = register(
    Op(
        name="abs",
        kind="elementwise",
        doc="Absolute value; slope 0 at 0.",
        infer=infer_arithmetic,
        evaluate=lambda x: np.abs(x),
        partials=(lambda out, x: elementwise("sign", x),),
        text="abs({0})",
        cheap=True,
        dtypes="promote",
        domain=(LINE,),
    )
)
SIGN = register(
    Op(
        name="sign",
        kind="elementwise",
        doc="-1, 0 or 1.",
        infer=infer_arithmetic,
        evaluate=lambda x: np.sign(x),
        flat=True,
        text="np.sign({0})",
        cuda={"": "el.sign({0})"},
        cheap=True,
        dtypes="promote",
        domain=(LINE,),
    )
)
MAXIMUM = register(
    Op(
        name="maximum",
        kind="elementwise",
        doc="The larger of two; nan if either is; slope 1/2 each at ties.",
        infer=infer_same,
        evaluate=lambda x, y: np.maximum(x, y),
        partials=(_extreme("gt", True), _extreme("gt", False)),
        text="np.maximum({0}, {1})",
        cheap=True,
        commutes=True,
        dtypes="promote",
        domain=(LINE, LINE),
    )
)
MINIMUM = register(
    Op(
        name="minimum",
        kind="elementwise",
        doc="The smaller of two; nan if either is; slope 1/2 each at ties.",
        infer=infer_same,
        evaluate=lambda x, y: np.minimum(x, y),
        partials=(_extreme("lt", True), _extreme("lt", False)),
        text="np.minimum({0}, {1})",
        cheap=True,
        commutes=True,
        dtypes="promote",
        domain=(LINE, LINE),
    )
)
PYMAX = register(
    Op(
        name="pymax",
        kind="elementwise",
        doc="Python's max of two floats; slope 1/2 each at ties.",
        infer=infer_same,
        evaluate=lambda x, y: np.where(y > x, y, x)[()],
        partials=(_extreme("gt", True), _extreme("gt", False)),
        text="max({0}, {1})",
        cuda={"": "el.larger({0}, {1})"},
        cheap=True,
        dtypes="promote",
        domain=(LINE, LINE),
    )
)
PYMIN = register(
    Op(
        name="pymin",
        kind="elementwise",
        doc="Python's min of two floats; slope 1/2 each at ties.",
        infer=infer_same,
        evaluate=lambda x, y: np.where(y < x, y, x)[()],
        partials=(_extreme("lt", True), _extreme("lt", False)),
        text="min({0}, {1})",
        cuda={"": "el.smaller({0}, {1})"},
        cheap=True,
        dtypes="promote",
        domain=(LINE, LINE),
    )
)
WHERE = register(
    Op(
        name="where",
        kind="elementwise",
        doc="The second operand where the first holds, else the third.",
        infer=infer_where,
        evaluate=lambda c, x, y: np.where(c, x, y)[()],
        vjp=lambda g, out, args, params: (
            None,
            choose(args[0], g, number(0.0, g)),
            choose(args[0], number(0.0, g), g),
        ),
        linear=(1, 2),
        text="{1} if {0} else {2}",
        precedence=0,
        cheap=True,
        domain=((0.0, 1.0), LINE, LINE),
    )
)
CAST = register(
    Op(
        name="cast",
        kind="elementwise",
        doc="Conversion to another dtype.",
        infer=infer_cast,
        evaluate=lambda x, dtype, weak=False: np.asarray(x).astype(dtype)[()],
        vjp=lambda g, out, args, params: (convert(g, args[0]),),
        linear=(0,),
        text="np.{dtype}({0})",
        cheap=True,
        domain=(LINE,),
        samples=tuple(
            ((), {"dtype": np.dtype(t)})
            for t in ("float64", "float32", "int64", "bool")
        ),
    )
)


def convert(g: Any, like: Any) -> Any:
    """A cotangent at the dtype of its primal, or None where that is no float."""
    dtype = dtype_of(like)
    if dtype.kind != "f":
        return None
    return g if dtype_of(g) == dtype else elementwise("cast", g, dtype=dtype)
