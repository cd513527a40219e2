"""Powers and roots.

x**y = exp(y log(x)), where the logarithm must be good to 2**-64: the argument of atanh,
its square and the first two terms of the series are pairs of numbers.
"""

from __future__ import annotations

import math

from gradjit.vectormath.coefficients import SHORT, Tables
from gradjit.vectormath.exponential import (
    LN2_HIGH,
    LN2_LOW,
    between,
    reduce,
    scale,
)
from gradjit.vectormath.lane import (
    MANTISSA,
    ONE,
    Number,
    bits,
    copysign,
    equal,
    exact,
    floor,
    nearest,
    polynomial,
    product,
    real,
    select,
    sqrt,
    two_sum,
)
from gradjit.vectormath.logarithm import decompose, log

FUNCTIONS = frozenset({"pow", "cbrt", "hypot"})

_THIRDS = (2.0 / 3.0, float.fromhex("0x1.5555555555555p-55"))


def _logarithm(x: Number, t: Tables) -> tuple[Number, Number]:
    """log(x) in two numbers, for a positive and finite x."""
    k, m = decompose(x)
    f = m - 1.0
    bottom, rest = two_sum(m, 1.0)
    s = f / bottom
    p, e = product(s, bottom)
    remainder = (exact("sub", f, p) - e) - s * rest
    s_low = remainder * (0.5 - 0.5 * s)  # 1 / (2 + f) = (1 - s) / 2
    z, z_low = product(s, s)
    z_low = z_low + 2.0 * (s * s_low)
    cube, cube_low = product(s, z)
    cube_low = cube_low + (s * z_low + s_low * z)
    third, third_low = product(cube, _THIRDS[0])
    third_low = third_low + (cube * _THIRDS[1] + cube_low * _THIRDS[0])
    tail = cube * z * polynomial(z, t.power)
    high, low1 = two_sum(k * LN2_HIGH, 2.0 * s)
    high, low2 = two_sum(high, third)
    low = (low1 + low2) + (k * LN2_LOW + (2.0 * s_low + (third_low + tail)))
    return two_sum(high, low)


def pow(x: Number, y: Number, t: Tables) -> Number:
    """x**y, with the special values of C's pow."""
    a = abs(x)
    if t is SHORT:
        p, word = reduce(between(y * log(a, t), -750.0, 710.0), t)
    else:
        high, low = _logarithm(a, t)
        bounded = between(y, -(2.0**80), 2.0**80)
        e, rest = product(bounded, high)
        rest = select(abs(e) < 800.0, rest + bounded * low, 0.0)
        p, word = reduce(between(e, -750.0, 710.0), t, rest)
    return _special(x, y, scale(1.0 + p, word))


def _special(x: Number, y: Number, size: Number) -> Number:
    """|x|**y, where both are ordinary numbers, with its sign and what C's pow gives."""
    a = abs(x)
    edge = equal(a, 0.0) | equal(a, math.inf) | equal(abs(y), math.inf)
    down = (a > 1.0) ^ (y > 0.0)
    size = select(edge, select(down, 0.0, math.inf), size)
    size = select(equal(a, 1.0) & equal(y, y), 1.0, size)
    whole, half = equal(floor(y), y), 0.5 * y
    odd = whole & ~equal(floor(half), half)
    signed = select(odd, copysign(size, x), size)
    real_valued = equal(x, x) & equal(y, y) & (whole | ~(x < 0.0) | equal(x, -math.inf))
    signed = select(real_valued, signed, math.nan)
    return select(equal(y, 0.0) | equal(x, 1.0), 1.0, signed)


def cbrt(x: Number, t: Tables) -> Number:
    """A start from a polynomial, and one step of Halley's."""
    a = abs(x)
    small = a < 2.0**-1022
    word = bits(select(small, a * 2.0**54, a))
    k = real((word >> 52) | (0x433 << 52), x) - (2.0**52 + 1023.0)
    m = real((word & MANTISSA) | ONE, x)
    q, place = nearest((k - 1.0) * (1.0 / 3.0))
    j = k - 3.0 * q
    one, two = equal(j, 1.0), equal(j, 2.0)
    y = polynomial(m, t.cbrt)
    y = y * select(one, 2.0 ** (1.0 / 3.0), select(two, 2.0 ** (2.0 / 3.0), 1.0))
    v = m * select(one, 2.0, select(two, 4.0, 1.0))
    cube = y * y * y
    y = y + y * (v - cube) / (2.0 * cube + v)
    y = y * real(((place + 1023) & 0x7FF) << 52, y)
    y = y * select(small, 2.0**-18, 1.0)
    return select((a > 0.0) & (a < math.inf), copysign(y, x), x)


def hypot(x: Number, y: Number, t: Tables) -> Number:
    """sqrt(x**2 + y**2), scaled where a square would leave the range."""
    a, b = abs(x), abs(y)
    top = select(a > b, a, b)
    shrink = select(top > 2.0**500, 2.0**-600, 1.0)
    shrink = select(top < 2.0**-450, 2.0**600, shrink)
    grow = select(top > 2.0**500, 2.0**600, 1.0)
    grow = select(top < 2.0**-450, 2.0**-600, grow)
    a, b = a * shrink, b * shrink
    length = sqrt(a * a + b * b) * grow
    infinite = equal(a, math.inf) | equal(b, math.inf)
    return select(infinite, math.inf, length)
