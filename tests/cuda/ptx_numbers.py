"""What PTX's instructions compute: numbers in, a number out."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np


def single(x: float) -> float:
    """The nearest float32."""
    try:
        return struct.unpack("f", struct.pack("f", x))[0]
    except OverflowError:
        return math.copysign(math.inf, x)


def unpacked(bits: int, width: int) -> float:
    code = "d" if width == 64 else "f"
    return struct.unpack(
        code, (bits & ((1 << width) - 1)).to_bytes(width // 8, "little")
    )[0]


def compared(how: str, a: Any, b: Any) -> bool:
    unordered = a != a or b != b
    if how in ("nan", "num"):
        return unordered == (how == "nan")
    if how == "neu" or how == "ne":
        return how == "neu" if unordered else a != b
    plain = how.removesuffix("u") if how.endswith("u") else how
    if unordered:
        return how.endswith("u")
    return {"eq": a == b, "lt": a < b, "le": a <= b, "gt": a > b, "ge": a >= b}[plain]


_ROUND: dict[str, Callable[[float], float]] = {
    "rni": lambda x: float(np.rint(x)),
    "rzi": lambda x: float(np.trunc(x)),
    "rmi": lambda x: float(np.floor(x)),
    "rpi": lambda x: float(np.ceil(x)),
}


def converted(x: Any, op: list[str]) -> Any:
    to, source = op[-2], op[-1]
    how = next((_ROUND[m] for m in op if m in _ROUND), None)
    if to[0] == "f":
        value = how(x) if how else float(x)
        if "sat" in op:
            value = 0.0 if value != value else min(max(value, 0.0), 1.0)
        return value if to == "f64" else single(value)
    if source[0] != "f":
        return x
    width = int(to[1:])
    low, high = (0, (1 << width) - 1) if to[0] == "u" else _limits(width)
    if x != x:
        return 0
    if math.isinf(x):
        return high if x > 0 else low
    assert how is not None
    return min(max(int(how(x)), low), high)


def _limits(width: int) -> tuple[int, int]:
    return -(1 << (width - 1)), (1 << (width - 1)) - 1


def computed(op: list[str], kind: str, values: list[Any]) -> Any:
    name = op[0]
    if kind[0] == "f":
        with np.errstate(all="ignore"):
            found = float(_floating(name, op, [np.float64(v) for v in values]))
        if kind == "f64":
            return found
        directed = next((m for m in op if m in ("rz", "rm")), "")
        return _directed(found, values, directed) if directed else single(found)
    if kind == "pred":
        kind = "b1"
    return _whole(name, op, kind, values)


def _floating(name: str, op: list[str], values: list[Any]) -> Any:
    x, y = values[0], values[-1]
    if name == "fma":
        return _fused(*values)
    table: dict[str, Callable[[], Any]] = {
        "add": lambda: x + y,
        "sub": lambda: x - y,
        "mul": lambda: x * y,
        "div": lambda: x / y,
        "neg": lambda: -x,
        "abs": lambda: abs(x),
        "rcp": lambda: 1.0 / x,
        "sqrt": lambda: np.sqrt(x),
        "rsqrt": lambda: 1.0 / np.sqrt(x),
        "ex2": lambda: np.exp2(x),
        "lg2": lambda: np.log2(x),
        "min": lambda: np.fmin(x, y),
        "max": lambda: np.fmax(x, y),
        # PTX has the sign first.
        "copysign": lambda: np.copysign(y, x),
    }
    return table[name]()


def _fused(x: Any, y: Any, z: Any) -> float:
    """x * y + z, rounded once."""
    plain = float(x * y + z)
    if not all(map(math.isfinite, (x, y, z))):
        return plain
    exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
    if not exact:
        return plain  # with the sign that zero has
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def _directed(found: float, values: list[Any], how: str) -> float:
    """A sum or a fused product as float32, rounded towards zero or down."""
    near = single(found)
    if not math.isfinite(near):
        return near
    *factors, last = map(Fraction, values)
    exact = math.prod(factors) + last
    beyond = near > exact if how == "rm" or exact > 0 else near < exact
    if not beyond:
        return near
    towards = -math.inf if how == "rm" or exact > 0 else math.inf
    return float(np.nextafter(np.float32(near), np.float32(towards)))


def _whole(name: str, op: list[str], kind: str, values: list[Any]) -> int:
    width = int(kind[1:])
    x, y = values[0], values[-1]
    if name == "mul":
        product = x * y
        return product >> width if "hi" in op else product
    if name == "mad":
        return values[0] * values[1] + values[2]
    if name in ("div", "rem"):
        quotient = abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
        return quotient if name == "div" else x - quotient * y
    if name in ("shl", "shr"):
        by = min(y, width)
        return x << by if name == "shl" else x >> by
    if name == "bfi":
        field, base, start, count = values
        mask = ((1 << count) - 1) << start
        return base & ~mask | field << start & mask
    if name == "clz":
        return width if not x else y - int(x).bit_length()
    table: dict[str, Callable[[], int]] = {
        "add": lambda: x + y,
        "sub": lambda: x - y,
        "and": lambda: x & y,
        "or": lambda: x | y,
        "xor": lambda: x ^ y,
        "not": lambda: not x if kind == "b1" else ~x,
        "neg": lambda: -x,
        "abs": lambda: abs(x),
        "min": lambda: min(x, y),
        "max": lambda: max(x, y),
    }
    return table[name]()
