"""sin, cos, tan and their inverses.

x = n pi/2 + r with |r| <= pi/4. pi/2 is three numbers, of which the first two have 37
bits: times n, below 2**16, they are exact, and r is good to 2**-110 in two numbers.
What is beyond that is left to libm.

The inverses divide once: arctan takes an angle from 0, pi/4 or pi/2, whichever is next.
"""

from __future__ import annotations

import math

from gradjit.vectormath.coefficients import Tables
from gradjit.vectormath.lane import (
    Bits,
    Number,
    beyond,
    bits,
    copysign,
    equal,
    flip,
    has,
    nearest,
    polynomial,
    real,
    select,
    sqrt,
    two_sum,
)

FUNCTIONS = frozenset({"sin", "cos", "tan", "arcsin", "arccos", "arctan", "arctan2"})

LIMIT = 1e5
_TINY = 2.0**-28
_HALF_PI = tuple(
    map(
        float.fromhex,
        ("0x1.921fb54440000p+0", "0x1.68c234c4c0000p-39", "0x1.98a2e03707345p-77"),
    )
)
_PI_LOW = float.fromhex("0x1.1a62633145c07p-53")
_EIGHTH = 0.41421356237309503  # tan(pi/8)
_THREE_EIGHTHS = 2.414213562373095


# --------------------------------------------------------------------- of an angle


def _reduce(x: Number) -> tuple[Number, Number, Bits]:
    """r in two numbers, and the bits of n."""
    n, word = nearest(x * (2.0 / math.pi))
    first, second, third = _HALF_PI
    high, low = two_sum(x - n * first, -(n * second))
    low = low - n * third
    r = high + low
    return r, (high - r) + low, word


def _sine(r: Number, low: Number, t: Tables) -> Number:
    z = r * r
    return r + (r * z * polynomial(z, t.sin) + low * (1.0 - 0.5 * z))


def _cosine(r: Number, low: Number, t: Tables) -> Number:
    z = r * r
    half = 0.5 * z
    near = 1.0 - half
    return near + (((1.0 - near) - half) + (z * z * polynomial(z, t.cos) - r * low))


def _turned(r: Number, low: Number, quadrant: Bits, t: Tables) -> Number:
    """sin(r + quadrant pi/2)."""
    y = select(has(quadrant, 1), _cosine(r, low, t), _sine(r, low, t))
    return flip(y, real(quadrant << 62, r))


def sin(x: Number, t: Tables) -> Number:
    """sin(x)."""
    r, low, word = _reduce(x)
    y = select(abs(x) < _TINY, x, _turned(r, low, word, t))
    return beyond(LIMIT, x, "sin", y)


def cos(x: Number, t: Tables) -> Number:
    """cos(x)."""
    r, low, word = _reduce(x)
    return beyond(LIMIT, x, "cos", _turned(r, low, word + 1, t))


def tan(x: Number, t: Tables) -> Number:
    """sin(r) / cos(r), or -cos(r) / sin(r) for odd n."""
    r, low, word = _reduce(x)
    sine, cosine = _sine(r, low, t), _cosine(r, low, t)
    odd = has(word, 1)
    y = select(odd, -cosine, sine) / select(odd, sine, cosine)
    return beyond(LIMIT, x, "tan", select(abs(x) < _TINY, x, y))


# ------------------------------------------------------------------------ inverses


def _angle(a: Number, b: Number, t: Tables) -> tuple[Number, Number]:
    """The angle of the point (b, a), neither negative: a multiple of pi/4, and more."""
    low, middle = a <= _EIGHTH * b, a <= _THREE_EIGHTHS * b
    top = select(low, a, select(middle, a - b, -b))
    bottom = select(low, b, select(middle, a + b, a))
    base = select(low, 0.0, select(middle, 0.25, 0.5))
    q = top / bottom
    z = q * q
    return base, q + (q * z * polynomial(z, t.atan) + base * _PI_LOW)


def arctan(x: Number, t: Tables) -> Number:
    """The angle whose tangent is x."""
    base, more = _angle(abs(x), 1.0, t)
    return copysign(base * math.pi + more, x)


def arctan2(y: Number, x: Number, t: Tables) -> Number:
    """The angle of the point (x, y)."""
    a, b = abs(y), abs(x)
    top, large = select(a > b, a, b), 2.0**1000
    shrink = select(top > large, 2.0**-4, 1.0)
    shrink = select(top < 2.0**-900, 2.0**100, shrink)
    a, b = a * shrink, b * shrink
    both = equal(a, math.inf) & equal(b, math.inf)
    none = equal(a, 0.0) & equal(b, 0.0)
    base, more = _angle(select(both, 1.0, a), select(both | none, 1.0, b), t)
    left = has(bits(x), 1 << 63)
    base = select(left, 1.0 - base, base)
    more = select(left, _PI_LOW - more, more)
    return copysign(base * math.pi + more, y)


def _arc(z: Number, t: Tables) -> Number:
    """arcsin(sqrt(z)) / sqrt(z) - 1 for z <= 1/4."""
    return z * polynomial(z, t.asin)


def arcsin(x: Number, t: Tables) -> Number:
    """pi/2 - 2 arcsin(sqrt((1 - a) / 2)) for a = |x| > 1/2."""
    a = abs(x)
    small = a <= 0.5
    z = select(small, a * a, 0.5 * (1.0 - a))
    s = select(small, a, sqrt(z))
    y = s + s * _arc(z, t)
    far = 0.5 * math.pi - (2.0 * y - 0.5 * _PI_LOW)
    return copysign(select(small, y, far), x)


def arccos(x: Number, t: Tables) -> Number:
    """pi/2 - arcsin(x), and 2 arcsin(sqrt((1 - x) / 2)) for x > 1/2."""
    a = abs(x)
    small = a <= 0.5
    z = select(small, x * x, 0.5 * (1.0 - a))
    s = select(small, x, sqrt(z))
    y = s + s * _arc(z, t)
    middle = 0.5 * math.pi - (y - 0.5 * _PI_LOW)
    left = math.pi - (2.0 * y - _PI_LOW)
    return select(small, middle, select(x > 0.0, 2.0 * y, left))
