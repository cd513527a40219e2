"""Functions made of others, whichever these are.

Their arguments after the numbers are the functions that they are made of.
"""

from __future__ import annotations

from collections.abc import Callable

from gradjit.vectormath.exponential import LN2
from gradjit.vectormath.lane import Number, equal, select

Function = Callable[[Number], Number]

# Name -> the functions that it is made of.
PARTS = {
    "expit": ("exp",),
    "logaddexp": ("exp", "log1p"),
    "xlogy": ("log",),
    "xlog1py": ("log1p",),
}


def expit(x: Number, exp: Function) -> Number:
    """1 / (1 + exp(-x)), without overflow."""
    z = exp(-abs(x))
    return select(x >= 0.0, 1.0, z) / (1.0 + z)


def logaddexp(x: Number, y: Number, exp: Function, log1p: Function) -> Number:
    """The larger one plus log1p(exp(-|x - y|))."""
    larger = select(x > y, x, y)
    return select(equal(x, y), x + LN2, larger + log1p(exp(-abs(x - y))))


def xlogy(x: Number, y: Number, log: Function) -> Number:
    """x log(y), 0 where x is 0."""
    return select(equal(x, 0.0) & equal(y, y), 0.0, x * log(y))


def xlog1py(x: Number, y: Number, log1p: Function) -> Number:
    """x log(1 + y), 0 where x is 0."""
    return xlogy(x, y, log1p)
