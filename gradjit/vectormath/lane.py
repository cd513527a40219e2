"""Arithmetic on one element, of which the polynomials are written.

The same text runs in two ways. On a `Lane` it builds LLVM instructions: no calls, no
branches, no tables, so that the loop vectoriser can take them; a few milliseconds
instead of the tenths of a second that Numba needs for a function. On NumPy arrays it
computes, for tests and for reading along.

Polynomials are in float64; what needs no bits works in float32 too. Instructions carry
the flag `contract`: products and sums may be fused. They need a flag of their own also
because Numba gives the user's `fastmath` flags to all that have none, and these
functions are built on the order of their roundings. What must not be fused either is
written with `exact`.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradjit.vectormath.variants import patch

# llvmlite has no types.
ir: Any = importlib.import_module("llvmlite.ir")

_DOUBLE: Any = ir.DoubleType()
_WORD: Any = ir.IntType(64)

_where: Any = np.where

_FUSED = ("contract",)
_EXACT = ("afn",)  # Means nothing here; keeps other flags away.


@dataclass(frozen=True, slots=True)
class Body:
    """Where instructions go, and whether the machine has fused multiply-add."""

    builder: Any
    fma: bool


def body(context: Any, builder: Any) -> Body:
    """Where Numba's builder stands, in a function for the context's machine."""
    triple, _, features = context.codegen().magic_tuple()
    arm = triple.startswith(("aarch64", "arm64"))
    return Body(builder, arm or "+fma" in features.split(","))


class Truth:
    """A condition in LLVM."""

    def __init__(self, body: Body, value: Any) -> None:
        self.body = body
        self.value = value

    def __and__(self, other: Truth) -> Truth:
        return Truth(self.body, self.body.builder.and_(self.value, other.value))

    def __or__(self, other: Truth) -> Truth:
        return Truth(self.body, self.body.builder.or_(self.value, other.value))

    def __xor__(self, other: Truth) -> Truth:
        return Truth(self.body, self.body.builder.xor(self.value, other.value))

    def __invert__(self) -> Truth:
        return Truth(self.body, self.body.builder.not_(self.value))


class Word:
    """The 64 bits of a number in LLVM; shifts to the right bring in zeros."""

    def __init__(self, body: Body, value: Any) -> None:
        self.body = body
        self.value = value

    def _with(self, name: str, other: Word | int) -> Word:
        value = other.value if isinstance(other, Word) else _WORD(other)
        return Word(self.body, getattr(self.body.builder, name)(self.value, value))

    def __add__(self, other: Word | int) -> Word:
        return self._with("add", other)

    def __sub__(self, other: Word | int) -> Word:
        return self._with("sub", other)

    def __and__(self, other: Word | int) -> Word:
        return self._with("and_", other)

    def __or__(self, other: Word | int) -> Word:
        return self._with("or_", other)

    def __xor__(self, other: Word | int) -> Word:
        return self._with("xor", other)

    def __lshift__(self, other: int) -> Word:
        return self._with("shl", other)

    def __rshift__(self, other: int) -> Word:
        return self._with("lshr", other)


class Words:
    """The bits of numbers in NumPy."""

    def __init__(self, value: Any) -> None:
        self.value = np.asarray(value)

    def _with(self, operate: Any, other: Words | int) -> Words:
        plain = other.value if isinstance(other, Words) else np.uint64(other % 2**64)
        return Words(operate(self.value, plain))

    def __add__(self, other: Words | int) -> Words:
        return self._with(np.add, other)

    def __sub__(self, other: Words | int) -> Words:
        return self._with(np.subtract, other)

    def __and__(self, other: Words | int) -> Words:
        return self._with(np.bitwise_and, other)

    def __or__(self, other: Words | int) -> Words:
        return self._with(np.bitwise_or, other)

    def __xor__(self, other: Words | int) -> Words:
        return self._with(np.bitwise_xor, other)

    def __lshift__(self, other: int) -> Words:
        return self._with(np.left_shift, other)

    def __rshift__(self, other: int) -> Words:
        return self._with(np.right_shift, other)


class Lane:
    """A float64, or a float32, in LLVM."""

    def __init__(self, body: Body, value: Any) -> None:
        self.body = body
        self.value = value

    def of(self, value: Any) -> Lane:
        """Another number of the same function."""
        return Lane(self.body, value)

    def binary(self, name: str, a: Any, b: Any, flags: Sequence[str] = _FUSED) -> Lane:
        """An instruction on two numbers, of which one may be Python's."""
        build = getattr(self.body.builder, f"f{name}")
        kind = self.value.type
        return self.of(build(lift(a, kind), lift(b, kind), flags=flags))

    def __add__(self, other: Lane | float) -> Lane:
        return self.binary("add", self, other)

    def __radd__(self, other: float) -> Lane:
        return self.binary("add", other, self)

    def __sub__(self, other: Lane | float) -> Lane:
        return self.binary("sub", self, other)

    def __rsub__(self, other: float) -> Lane:
        return self.binary("sub", other, self)

    def __mul__(self, other: Lane | float) -> Lane:
        return self.binary("mul", self, other)

    def __rmul__(self, other: float) -> Lane:
        return self.binary("mul", other, self)

    def __truediv__(self, other: Lane | float) -> Lane:
        return self.binary("div", self, other)

    def __rtruediv__(self, other: float) -> Lane:
        return self.binary("div", other, self)

    def __neg__(self) -> Lane:
        return self.of(self.body.builder.fneg(self.value, flags=_FUSED))

    def __abs__(self) -> Lane:
        return self.intrinsic("fabs")

    def compare(self, sign: str, other: Lane | float) -> Truth:
        """A comparison that does not hold for nan."""
        build = self.body.builder.fcmp_ordered
        b = lift(other, self.value.type)
        return Truth(self.body, build(sign, self.value, b, flags=_EXACT))

    def __lt__(self, other: Lane | float) -> Truth:
        return self.compare("<", other)

    def __le__(self, other: Lane | float) -> Truth:
        return self.compare("<=", other)

    def __gt__(self, other: Lane | float) -> Truth:
        return self.compare(">", other)

    def __ge__(self, other: Lane | float) -> Truth:
        return self.compare(">=", other)

    def intrinsic(self, name: str, *others: Lane | float) -> Lane:
        """An LLVM intrinsic."""
        kind = self.value.type
        args = [lift(x, kind) for x in (self, *others)]
        function = self.body.builder.module.declare_intrinsic(
            f"llvm.{name}", [kind], ir.FunctionType(kind, [kind] * len(args))
        )
        return self.of(self.body.builder.call(function, args))


def lift(x: Lane | float, kind: Any) -> Any:
    """The LLVM value of a number."""
    return x.value if isinstance(x, Lane) else kind(float(x))


# A Lane, or an array of float64; a Truth, or an array of bool; a Word, or of int64.
Number = Any
Condition = Any
Bits = Any

SIGN = -(1 << 63)
MAGNITUDE = (1 << 63) - 1
MANTISSA = (1 << 52) - 1
ONE = 1023 << 52
_ROUND = 1.5 * 2.0**52  # Added and taken away again, it rounds to an integer.
_HALF = -(1 << 27)  # Keeps 26 bits of the mantissa.


def bits(x: Number) -> Bits:
    """The bits of a number."""
    if isinstance(x, Lane):
        return Word(x.body, x.body.builder.bitcast(x.value, _WORD))
    return Words(np.asarray(x, np.float64).view(np.uint64))


def real(word: Bits, like: Number) -> Number:
    """The number with these bits."""
    if isinstance(word, Word):
        return like.of(word.body.builder.bitcast(word.value, _DOUBLE))
    return np.asarray(word.value).view(np.float64)


def has(word: Bits, mask: int) -> Condition:
    """Whether any of these bits is set."""
    if isinstance(word, Word):
        builder = word.body.builder
        masked = (word & mask).value
        return Truth(word.body, builder.icmp_unsigned("!=", masked, _WORD(0)))
    return (word & mask).value != 0


def select(condition: Condition, x: Number, y: Number) -> Number:
    """`x` where the condition holds, else `y`."""
    if not isinstance(condition, Truth):
        return _where(condition, x, y)
    body = condition.body
    kinds = [v.value.type for v in (x, y) if isinstance(v, Lane)] or [_DOUBLE]
    a, b = lift(x, kinds[0]), lift(y, kinds[0])
    return Lane(body, body.builder.select(condition.value, a, b))


def equal(x: Number, y: Number | float) -> Condition:
    """Whether two numbers are the same; nan is not."""
    return x.compare("==", y) if isinstance(x, Lane) else np.equal(x, y)


def sqrt(x: Number) -> Number:
    """The square root, correctly rounded."""
    return x.intrinsic("sqrt") if isinstance(x, Lane) else np.sqrt(x)


def floor(x: Number) -> Number:
    """x rounded down."""
    return x.intrinsic("floor") if isinstance(x, Lane) else np.floor(x)


def exact(name: str, x: Number | float, y: Number | float) -> Number:
    """A sum, difference or product ("add", "sub", "mul") that is never fused."""
    for lane in (x, y):
        if isinstance(lane, Lane):
            return lane.binary(name, x, y, _EXACT)
    return {"add": np.add, "sub": np.subtract, "mul": np.multiply}[name](x, y)


def copysign(x: Number, y: Number) -> Number:
    """The size of x with the sign of y."""
    return real((bits(x) & MAGNITUDE) | (bits(y) & SIGN), y)


def flip(x: Number, y: Number) -> Number:
    """x, with its sign changed where that of y is set."""
    return real(bits(x) ^ (bits(y) & SIGN), y)


def nearest(x: Number) -> tuple[Number, Bits]:
    """The integer next to x, below 2**51 in size: the number, and its low bits."""
    shifted = exact("add", x, _ROUND)
    return exact("sub", shifted, _ROUND), bits(shifted)


def two_sum(x: Number, y: Number | float) -> tuple[Number, Number]:
    """x + y, and what rounding has taken away (Knuth)."""
    total = exact("add", x, y)
    back = exact("sub", total, x)
    rest = exact("sub", x, exact("sub", total, back))
    return total, exact("add", rest, exact("sub", y, back))


def product(x: Number, y: Number | float) -> tuple[Number, Number]:
    """x * y, and what rounding has taken away: by FMA, or by halves (Dekker)."""
    total = exact("mul", x, y)
    if isinstance(x, Lane) and x.body.fma:
        return total, x.intrinsic("fma", y, -total)
    x1, y1 = head(x), head(y)
    x2 = exact("sub", x, x1)
    y2 = y - y1 if isinstance(y, float) else exact("sub", y, y1)
    rest = exact("sub", exact("mul", x1, y1), total)
    rest = exact("add", rest, exact("mul", x1, y2))
    rest = exact("add", rest, exact("mul", x2, y1))
    return total, exact("add", rest, exact("mul", x2, y2))


def head(x: Number | float) -> Any:
    """The upper half of the bits: products of two such numbers are exact."""
    if isinstance(x, float):
        return float(real(bits(x) & _HALF, x))
    return real(bits(x) & _HALF, x)


def polynomial(x: Number, coefficients: Sequence[float]) -> Number:
    """Horner's rule; the constant term comes first."""
    total: Number = coefficients[-1]
    for c in coefficients[-2::-1]:
        total = total * x + c
    return total


def beyond(limit: float, x: Number, name: str, y: Number) -> Number:
    """libm's function of x where x is larger than the limit, else y."""
    if isinstance(x, Lane):
        function = patch(x.body.builder.module, limit, name)
        return x.of(x.body.builder.call(function, [x.value, y.value]))
    return _where(np.abs(x) > limit, getattr(np, name)(x), y)
