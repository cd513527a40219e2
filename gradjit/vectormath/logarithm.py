"""log and what is made of it.

x = 2**k m with m between sqrt(1/2) and sqrt(2), f = m - 1, s = f / (2 + f), and
log(m) = 2 atanh(s) = f - s (f - R(s**2)), which keeps the bits of f.
"""

from __future__ import annotations

import math

from gradjit.vectormath.coefficients import Tables
from gradjit.vectormath.exponential import LN2, LN2_HIGH, LN2_LOW, TINY
from gradjit.vectormath.lane import (
    MANTISSA,
    Number,
    bits,
    copysign,
    equal,
    exact,
    polynomial,
    real,
    select,
    sqrt,
)

FUNCTIONS = frozenset(
    {"log", "log1p", "log2", "log10", "arcsinh", "arccosh", "arctanh"}
)

_LOG10_2_HIGH = float.fromhex("0x1.34413509f78p-2")  # 42 bits
_LOG10_2_LOW = float.fromhex("0x1.fef311f12b358p-46")
_LOG10_E = 0.4342944819032518
_LOG2_E = 1.4426950408889634
_ROOT = 0x3FE6A09E << 32  # bits of about sqrt(1/2)
_LARGE = 2.0**54


def decompose(x: Number) -> tuple[Number, Number]:
    """k and m, for a positive and finite x."""
    small = x < 2.0**-1022
    word = bits(select(small, x * 2.0**54, x)) - _ROOT
    biased = (word + (1024 << 52)) >> 52
    k = real(biased | (0x433 << 52), x) - (2.0**52 + 1024.0)
    k = select(small, k - 54.0, k)
    return k, real((word & MANTISSA) + _ROOT, x)


def _near_one(f: Number, t: Tables) -> Number:
    """f - log(1 + f)."""
    s = f / (2.0 + f)
    z = s * s
    return s * (f - z * polynomial(z, t.log))


def _checked(x: Number, y: Number, pole: float) -> Number:
    """y, with what a logarithm is at its pole, below it and at inf and nan."""
    edge = select(equal(x, pole), -math.inf, select(x < pole, math.nan, x))
    return select((x > pole) & (x < math.inf), y, edge)


def log(x: Number, t: Tables) -> Number:
    """log(x)."""
    k, m = decompose(x)
    f = m - 1.0
    y = k * LN2_HIGH + (f - (_near_one(f, t) - k * LN2_LOW))
    return _checked(x, y, 0.0)


def log2(x: Number, t: Tables) -> Number:
    """log(x) / log(2)."""
    k, m = decompose(x)
    f = m - 1.0
    return _checked(x, k + (f - _near_one(f, t)) * _LOG2_E, 0.0)


def log10(x: Number, t: Tables) -> Number:
    """log(x) / log(10)."""
    k, m = decompose(x)
    f = m - 1.0
    y = (f - _near_one(f, t)) * _LOG10_E
    return _checked(x, k * _LOG10_2_HIGH + (y + k * _LOG10_2_LOW), 0.0)


def log1p(x: Number, t: Tables) -> Number:
    """log(u) + c / u, where u + c = 1 + x and u is rounded."""
    u = exact("add", x, 1.0)
    back = exact("sub", u, 1.0)
    c = exact("add", exact("sub", x, back), exact("sub", 1.0, exact("sub", u, back)))
    k, m = decompose(u)
    f = m - 1.0
    y = k * LN2_HIGH + (f - (_near_one(f, t) - (k * LN2_LOW + c / u)))
    return select(abs(x) < TINY, x, _checked(x, y, -1.0))


def arcsinh(x: Number, t: Tables) -> Number:
    """log1p(a + a**2 / (1 + sqrt(1 + a**2))), and log(a) + log(2) for large a."""
    a = abs(x)
    square = a * a
    inside = a + square / (1.0 + sqrt(1.0 + square))
    large = a > _LARGE
    y = log1p(select(large, a, inside), t)
    return select(a < 2.0**-28, x, copysign(select(large, y + LN2, y), x))


def arccosh(x: Number, t: Tables) -> Number:
    """log1p(d + sqrt(2 d + d**2)) with d = x - 1, and log(x) + log(2) for large x."""
    d = x - 1.0
    large = x > _LARGE
    y = log1p(select(large, x, d + sqrt(2.0 * d + d * d)), t)
    return select(x < 1.0, math.nan, select(large, y + LN2, y))


def arctanh(x: Number, t: Tables) -> Number:
    """log1p(2 a / (1 - a)) / 2."""
    a = abs(x)
    y = 0.5 * log1p(2.0 * a / (1.0 - a), t)
    return select(a < 2.0**-28, x, copysign(y, x))
