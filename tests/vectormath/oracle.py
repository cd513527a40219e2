"""Elementary functions by mpmath, where to look at them, and errors in units."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from mpmath import mp, mpf

# Functions with a name of their own in mpmath.
_SAME = {"arctan2": "atan2", "pow": "power"}
_OWN: dict[str, Callable[..., Any]] = {
    "exp2": lambda x: mpf(2) ** x,
    "log2": lambda x: mp.log(x) / mp.log(2),
    "log10": lambda x: mp.log(x) / mp.log(10),
    "cbrt": lambda x: mp.sign(x) * mp.cbrt(abs(x)),
    "expit": lambda x: 1 / (1 + mp.exp(-x)),
    "logaddexp": lambda x, y: max(x, y) + mp.log1p(mp.exp(-abs(x - y))),
    "xlogy": lambda x, y: x * mp.log(y),
    "xlog1py": lambda x, y: x * mp.log1p(y),
}


def exact(name: str, *args: float) -> Any:
    """The value with 40 digits or more."""
    function = _OWN.get(name)
    function = function or getattr(mp, _SAME.get(name, name.replace("arc", "a")))
    # An angle loses as many bits as it is large; differences lose up to its size.
    digits = 360 if name in ("sin", "cos", "tan") and abs(args[0]) > 1e9 else 60
    with mp.workdps(digits):
        small = abs(args[0]) < 1e-60
        slope = _SLOPES.get(name) if small else None
        return mpf(args[0]) * slope() if slope else function(*map(mpf, args))


# mpmath's functions that lose digits next to 0 are x times this there.
_SLOPES: dict[str, Callable[[], Any]] = {
    **dict.fromkeys(("expm1", "log1p", "sinh", "tanh", "arcsinh"), lambda: mpf(1)),
    **dict.fromkeys(("arctanh", "arcsin", "arctan", "sin", "tan"), lambda: mpf(1)),
    "erf": lambda: 2 / mp.sqrt(mp.pi),
}


def units(got: Any, want: Any) -> float:
    """The error in units in the last place of the exact value."""
    dtype = np.finfo(type(got))
    if np.isnan(got):
        return math.inf
    value = mpf(float(got))
    if np.isinf(got):
        value = mp.sign(value) * mpf(2) ** int(dtype.maxexp)
    exponent = max(mp.frexp(want)[1] - 1, int(dtype.minexp)) if want else -2000
    overflows = abs(want) >= abs(value) and np.isinf(got) and want * value > 0
    if overflows or value == want:
        return 0.0
    return float(abs(value - want) / mpf(2) ** (exponent - int(dtype.nmant)))


# ------------------------------------------------------------------- where to look


class Places:
    """Random arguments, the same in each run."""

    def __init__(self, dtype: Any) -> None:
        self.rng = np.random.default_rng(7)
        self.dtype = dtype
        self.double = dtype is np.float64

    def log(self, low: float, high: float, count: int = 60) -> Any:
        """Powers of ten."""
        return 10.0 ** self.rng.uniform(low, high, count)

    def even(self, low: float, high: float, count: int = 120) -> Any:
        return self.rng.uniform(low, high, count)

    @property
    def deep(self) -> float:
        """The smallest numbers, as a power of ten; half of them subnormal."""
        return -323.0 if self.double else -45.0

    @property
    def high(self) -> float:
        return 308.0 if self.double else 38.0

    def wide(self) -> Any:
        """All exponents, positive."""
        return self.log(self.deep, self.high, 200)

    def low(self) -> Any:
        """Small numbers."""
        return self.log(self.deep, 0.0, 120)

    def near(self, x: float) -> Any:
        """x, from both sides, at all distances."""
        step = self.log(-16.0 if self.double else -7.5, -0.5, 80)
        return np.concatenate([x * (1 + step), x * (1 - step)])


def _signed(*parts: Any) -> Any:
    x = np.concatenate(parts)
    return np.concatenate([x, -x])


def _exponential(p: Places) -> Any:
    top = 760.0 if p.double else 108.0
    return _signed(p.even(0, top, 200), p.even(0, 2), p.low())


def _powers_of_two(p: Places) -> Any:
    top = 1080.0 if p.double else 152.0
    return _signed(p.even(0, top, 200), p.even(0, 2), p.low())


def _positive(p: Places) -> Any:
    return np.concatenate([p.wide(), p.even(0.4, 2.5), p.near(1.0)])


def _angles(p: Places) -> Any:
    quarters = np.concatenate([np.arange(40), p.rng.integers(0, 2**16, 60)])
    multiples = quarters * (math.pi / 2)
    large = p.log(4.8, p.high, 60)
    return _signed(p.even(0, 10), p.even(0, 1e5, 60), p.low(), multiples, large)


def _unit(p: Places) -> Any:
    x = _signed(p.even(0, 1, 200), p.low(), p.near(0.5), p.near(1.0)).astype(p.dtype)
    return x[np.abs(x) < 1]


def _line(p: Places) -> Any:
    return _signed(p.wide(), p.even(0, 3))


def _above_one(p: Places) -> Any:
    x = np.concatenate([p.near(1.0), p.even(1, 4), p.log(0, p.high)]).astype(p.dtype)
    return x[x >= 1]


def _above_minus_one(p: Places) -> Any:
    near = p.near(-1.0).astype(p.dtype)
    return np.concatenate([_signed(p.low() * 0.9), p.wide(), near[near > -1]])


def _error(p: Places) -> Any:
    return np.concatenate([_signed(p.low(), p.even(0, 2)), p.even(-7, 28, 400)])


_ONE: dict[str, Callable[[Places], Any]] = {
    **dict.fromkeys(("exp", "expm1", "sinh", "cosh", "tanh", "expit"), _exponential),
    **dict.fromkeys(("log", "log2", "log10"), _positive),
    **dict.fromkeys(("sin", "cos", "tan"), _angles),
    **dict.fromkeys(("arcsin", "arccos", "arctanh"), _unit),
    **dict.fromkeys(("arctan", "arcsinh", "cbrt"), _line),
    **dict.fromkeys(("erf", "erfc"), _error),
    "exp2": _powers_of_two,
    "log1p": _above_minus_one,
    "arccosh": _above_one,
}


def _for_power(p: Places) -> tuple[Any, Any]:
    """Bases of all sizes, exponents that lead to results of all sizes."""
    x = np.concatenate([p.wide(), p.near(1.0), p.even(0, 20)]).astype(p.dtype)
    x = x[(x > 0) & (x != 1)]
    top = 740.0 if p.double else 103.0
    y = p.even(-top, 0.95 * top, x.size) / np.log(x.astype(float))
    y[::3] = p.even(-8, 8, y[::3].size)
    return x, y


def _plane(p: Places) -> tuple[Any, Any]:
    x = _signed(p.wide(), p.even(0, 3))
    y = x * p.even(-4, 4, x.size)
    y[::2] = p.rng.permutation(x[::2])
    return x, y


def _softplus(p: Places) -> tuple[Any, Any]:
    y = _signed(p.even(0, 90, 200), p.even(0, 3))
    return np.zeros_like(y), y


def _entropy(p: Places, f: Callable[[Places], Any]) -> tuple[Any, Any]:
    y = f(p)
    return p.even(-4, 4, y.size), y


@cache
def places(name: str, dtype: Any) -> tuple[Any, ...]:
    """Arguments of a function: its whole range, more where it is delicate."""
    p = Places(dtype)
    two = {
        "pow": _for_power,
        "arctan2": _plane,
        "hypot": _plane,
        "logaddexp": _softplus,
        "xlogy": lambda p: _entropy(p, _positive),
        "xlog1py": lambda p: _entropy(p, _above_minus_one),
    }
    with np.errstate(over="ignore"):
        args = two[name](p) if name in two else (_ONE[name](p),)
        args = tuple(x.astype(dtype) for x in args)
    keep = np.logical_and.reduce([np.isfinite(x) for x in args])
    if name in ("log", "log2", "log10", "xlogy"):
        keep &= args[-1] > 0
    return tuple(x[keep] for x in args)


@cache
def expected(name: str, dtype: Any) -> list[Any]:
    """The exact values there."""
    columns = [x.tolist() for x in places(name, dtype)]
    return [exact(name, *xs) for xs in zip(*columns, strict=True)]


# ------------------------------------------------------------------- special values


def special(dtype: Any, count: int) -> tuple[Any, ...]:
    """Zeros, infinities, nan, subnormal numbers and edges, in all combinations."""
    info = np.finfo(dtype)
    tiny, least = float(info.tiny), float(info.smallest_subnormal)
    sizes = [0.0, least, tiny * 0.75, tiny, 1e-20, 0.5, 1.0, 2.5, 3.0, 1e5]
    sizes += [2.0**31, 2.0**52 + 1.0, 2.0**53, float(info.max), math.inf]
    edges = [np.nextafter(dtype(1), dtype(k)) for k in (0, 2)]
    x = np.array([*sizes, *edges]).astype(dtype)
    x = np.concatenate([x, -x, np.array([math.nan], dtype)])
    return tuple(g.ravel() for g in np.meshgrid(*[x] * count))
