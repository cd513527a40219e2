"""exp and what is made of it.

x = n ln 2 + r with |r| <= ln 2 / 2 (Cody and Waite: n times the upper part of ln 2 is
exact), exp(r) - 1 by a polynomial, and 2**n put together from bits, in two steps where
the result may be subnormal.
"""

from __future__ import annotations

from gradjit.vectormath.coefficients import Tables
from gradjit.vectormath.lane import (
    Bits,
    Number,
    copysign,
    nearest,
    polynomial,
    product,
    real,
    select,
)

FUNCTIONS = frozenset({"exp", "exp2", "expm1", "sinh", "cosh", "tanh", "erf", "erfc"})

LOG2_E = 1.4426950408889634
LN2 = 0.6931471805599453
LN2_HIGH = float.fromhex("0x1.62e42fefa38p-1")  # 42 bits
LN2_LOW = float.fromhex("0x1.ef35793c7673p-45")
TINY = 2.0**-54


def reduce(x: Number, t: Tables, low: Number | float = 0.0) -> tuple[Number, Bits]:
    """p and the bits of n, for exp(x + low) = (1 + p) 2**n."""
    n, word = nearest(x * LOG2_E)
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    if not isinstance(low, float):
        r = r + low
    return r + r * r * polynomial(r, t.exp), word


def between(x: Number, low: float, high: float) -> Number:
    """x, or the end of the interval that it is beyond; nan stays."""
    x = select(x < low, low, x)
    return select(x > high, high, x)


def scale(y: Number, word: Bits) -> Number:
    """y 2**n for |n| < 2000, rounded once."""
    m = (word + 2046) & 0xFFF
    first = m >> 1
    return (y * real(first << 52, y)) * real((m - first) << 52, y)


def exp(x: Number, t: Tables) -> Number:
    """exp(x)."""
    p, word = reduce(between(x, -750.0, 710.0), t)
    return scale(1.0 + p, word)


def exp2(x: Number, t: Tables) -> Number:
    """2**x."""
    x = between(x, -1100.0, 1030.0)
    n, word = nearest(x)
    r = (x - n) * LN2
    return scale(1.0 + (r + r * r * polynomial(r, t.exp)), word)


def quarter(x: Number, t: Tables) -> tuple[Number, Number]:
    """p 2**n / 4 and 2**n / 4, for exp(x) = (1 + p) 2**n that may exceed the range."""
    p, word = reduce(between(x, -60.0, 710.6), t)
    power = real(((word + 1021) & 0x7FF) << 52, p)
    return p * power, power


def expm1(x: Number, t: Tables) -> Number:
    """exp(x) - 1."""
    part, power = quarter(x, t)
    return select(abs(x) < TINY, x, 4.0 * (part + (power - 0.25)))


def sinh(x: Number, t: Tables) -> Number:
    """(u + u / (u + 1)) / 2 with u = exp(|x|) - 1."""
    part, power = quarter(abs(x), t)
    half = 2.0 * (part + (power - 0.25))
    finite = select(half < 1e300, half, 1e300)
    y = half + finite / (2.0 * finite + 1.0)
    return select(abs(x) < 2.0**-28, x, copysign(y, x))


def cosh(x: Number, t: Tables) -> Number:
    """(exp(|x|) + exp(-|x|)) / 2."""
    part, power = quarter(abs(x), t)
    half = 2.0 * (part + power)
    return half + 0.25 / half


def tanh(x: Number, t: Tables) -> Number:
    """u / (u + 2) with u = exp(2 |x|) - 1."""
    part, power = quarter(2.0 * between(abs(x), 0.0, 25.0), t)
    u = 4.0 * (part + (power - 0.25))
    return select(abs(x) < 2.0**-28, x, copysign(u / (u + 2.0), x))


def erf(x: Number, t: Tables) -> Number:
    """x (1 + P(x**2)) near 0, else 1 - erfc(|x|)."""
    a = abs(x)
    return select(a < 0.65, _erf_near(x, t), copysign(1.0 - _erfc_far(a, t), x))


def erfc(x: Number, t: Tables) -> Number:
    """1 - erf(x) near 0 and 2 - erfc(-x) below."""
    far = _erfc_far(abs(x), t)
    far = select(x < 0.0, 2.0 - far, far)
    return select(abs(x) < 0.65, 1.0 - _erf_near(x, t), far)


def _erf_near(x: Number, t: Tables) -> Number:
    return x + x * polynomial(x * x, t.erf)


def _erfc_far(a: Number, t: Tables) -> Number:
    """exp(-a**2) times a polynomial in (a - 4) / (a + 4) over 1 + 2 a.

    The form is that of Shepherd and Laframboise (Math. Comp. 36, 1981).
    """
    a = between(a, 0.0, 28.0)
    square, rest = product(a, a)
    p, word = reduce(-square, t, -rest)
    height = polynomial((a - 4.0) / (a + 4.0), t.erfc) / (1.0 + 2.0 * a)
    return scale(height + height * p, word)
