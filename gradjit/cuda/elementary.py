"""Functions of numbers that numba.cuda lacks or gets wrong, for use in kernels.

On a device, what libdevice has is that: `exp` is `math.exp`, which Numba knows. In the
simulator kernels are Python, where `math` raises at poles and makes float64 of float32,
so the names stand for NumPy's functions there.

The rest is written out, after NumPy's `npy_divmod` and `npy_logaddexp`. Numba's own `%`
of floats is x - floor(x / y) * y on a device, which is off where the quotient is
rounded, and nan where y is infinite; its `max` and `min` drop nan; its `**` of integers
goes through float64, which has 53 bits. `type(x)` keeps numbers in the dtype of the
operands: a literal is a float64, and so is what it touches.
"""

# Numba sees the types of the functions below, and nobody else:
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np

from gradjit.cuda.shim import IMPORTED, SIMULATED, cuda


def _quiet(function: Any, pole: float) -> Any:
    """A function of `math` that does not raise and keeps the dtype."""

    def at(x: Any) -> Any:
        try:
            return type(x)(function(x))
        except OverflowError:
            return type(x)(math.inf)
        except ValueError:
            return type(x)(pole)

    return at


def _gamma(x: Any) -> float:
    return math.gamma(x) if x else math.copysign(math.inf, x)


if SIMULATED or not IMPORTED:
    exp, expm1, log, log1p = np.exp, np.expm1, np.log, np.log1p
    exp2 = exp2f = np.exp2
    sqrt, floor, ceil, trunc = np.sqrt, np.floor, np.ceil, np.trunc
    cbrt = cbrtf = np.cbrt
    rint = rintf = np.rint
    copysign, fmod = np.copysign, np.fmod
    erf, erfc = _quiet(math.erf, math.nan), _quiet(math.erfc, math.nan)
    gamma, lgamma = _quiet(_gamma, math.nan), _quiet(math.lgamma, math.inf)
else:
    libdevice: Any = importlib.import_module("numba.cuda.libdevice")

    exp, expm1, log, log1p = math.exp, math.expm1, math.log, math.log1p
    exp2, exp2f = libdevice.exp2, libdevice.exp2f
    sqrt, floor, ceil, trunc = math.sqrt, math.floor, math.ceil, math.trunc
    cbrt, cbrtf = libdevice.cbrt, libdevice.cbrtf
    rint, rintf = libdevice.rint, libdevice.rintf
    copysign, fmod = math.copysign, math.fmod
    erf, erfc = math.erf, math.erfc
    gamma, lgamma = math.gamma, math.lgamma


def _device(function: Any) -> Any:
    """A device function, or the function itself where there is no numba.cuda."""
    return cuda.jit(device=True)(function) if IMPORTED else function


@_device
def sign(x: Any) -> Any:
    """-1, 0 or 1; nan of nan."""
    kind = type(x)
    if x > 0:
        return kind(1)
    if x < 0:
        return kind(-1)
    return kind(0) if x == 0 else x


@_device
def mod(x: Any, y: Any) -> Any:
    """Remainder of floats with the sign of the divisor."""
    rest = fmod(x, y)
    if rest == 0:
        return copysign(rest, y)
    if (y < 0) != (rest < 0):
        rest += y
    return rest


@_device
def floordiv(x: Any, y: Any) -> Any:
    """Quotient of floats rounded down: exact before it is rounded."""
    if y == 0:
        return x / y
    rest = fmod(x, y)
    quotient = (x - rest) / y
    if rest != 0 and (y < 0) != (rest < 0):
        quotient -= type(x)(1)
    if quotient == 0:
        return copysign(type(x)(0), x / y)
    whole = floor(quotient)
    if quotient - whole > type(x)(0.5):
        whole += type(x)(1)
    return whole


@_device
def remainder(x: Any, y: Any) -> Any:
    """Remainder of integers with the sign of the dividend, 0 for a divisor of 0."""
    found = x % y
    if found != 0 and (x < 0) != (y < 0):
        found -= y
    return found


@_device
def power(x: Any, n: Any) -> Any:
    """A power of an integer; the exponent is not negative."""
    product = type(x)(1)
    while n > 0:
        if n & 1:
            product *= x
        x *= x
        n >>= 1
    return product


@_device
def larger(x: Any, y: Any) -> Any:
    """Python's max of two: the first unless the second is greater."""
    return y if y > x else x


@_device
def smaller(x: Any, y: Any) -> Any:
    """Python's min of two: the first unless the second is less."""
    return y if y < x else x


@_device
def logaddexp(x: Any, y: Any) -> Any:
    """log(exp(x) + exp(y)) without overflow."""
    kind = type(x)
    if x == y:
        return x + kind(0.6931471805599453)
    apart = x - y
    if apart > 0:
        return x + log1p(exp(-apart))
    if apart <= 0:
        return y + log1p(exp(apart))
    return apart
