"""Writes `gradjit/vectormath/coefficients.py`: python docs/make_coefficients.py

Each table interpolates a function at the Chebyshev points of an interval, with 50
digits, and has the lowest degree whose error is below the bound: nearly the best
polynomial, with at most a term more. The functions are what is left of exp, log, ...
without the first terms of their series, which `gradjit/vectormath` adds by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mpmath import mp, mpf

mp.dps = 50
FILE = Path(__file__).parents[1] / "gradjit" / "vectormath" / "coefficients.py"
ROOT = mp.sqrt(2) - 1
SMALL = mpf("1e-15")  # Below it a function is its limit there.


def odd(function: Callable[[Any], Any], third: Any) -> Callable[[Any], Any]:
    """(f(x) - x) / x**3 as a function of x * x."""

    def rest(z: Any) -> Any:
        x = mp.sqrt(z)
        return (function(x) - x) / (x * z) if x > SMALL else third

    return rest


def exponential(r: Any) -> Any:
    """(exp(r) - 1 - r) / r**2."""
    return (mp.expm1(r) - r) / (r * r) if abs(r) > SMALL else mpf(1) / 2


def cosine(z: Any) -> Any:
    """(cos(x) - 1 + x**2 / 2) / x**4 as a function of x * x."""
    return (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2 if z > SMALL else mpf(1) / 24


def logarithm(z: Any) -> Any:
    """(2 atanh(s) - 2 s) / s**3 as a function of s * s."""
    return 2 * odd(mp.atanh, mpf(1) / 3)(z)


def power(z: Any) -> Any:
    """(2 atanh(s) - 2 s - 2/3 s**3) / s**5 as a function of s * s."""
    return (logarithm(z) - mpf(2) / 3) / z if z > SMALL else mpf(2) / 5


def error(z: Any) -> Any:
    """erf(x) / x - 1 as a function of x * x."""
    x = mp.sqrt(z)
    return mp.erf(x) / x - 1 if x > SMALL else 2 / mp.sqrt(mp.pi) - 1


def tail(t: Any) -> Any:
    """exp(x**2) erfc(x) (1 + 2 x), where t = (x - 4) / (x + 4)."""
    x = 4 * (1 + t) / (1 - t)
    with mp.workdps(400 if x > 10 else 80):
        return mp.exp(x * x) * mp.erfc(x) * (1 + 2 * x)


def turned(x: float) -> Any:
    return (mpf(x) - 4) / (mpf(x) + 4)


HALF = mp.log(2) / 2 * mpf("1.0001")
EIGHTH = (mp.pi / 4 * mpf("1.0001")) ** 2
SIXTEENTH = ROOT**2 * mpf("1.0001")
LOG = (ROOT / (1 + mp.sqrt(2))) ** 2 * mpf("1.0001")
# Name, function, interval, largest weight of its error in the result's relative error,
# bits wanted in double and in single precision.
TABLES: list[tuple[str, Callable[[Any], Any], Any, Any, Any, int, int]] = [
    ("exp", exponential, -HALF, HALF, HALF, 57, 30),
    ("log", logarithm, mpf(0), LOG, LOG / 2, 58, 30),
    ("power", power, mpf(0), LOG, LOG**2 / 2, 66, 40),
    ("sin", odd(mp.sin, -mpf(1) / 6), mpf(0), EIGHTH, mpf(0.69), 57, 30),
    ("cos", cosine, mpf(0), EIGHTH, mpf(0.54), 57, 30),
    ("atan", odd(mp.atan, -mpf(1) / 3), mpf(0), SIXTEENTH, SIXTEENTH, 57, 30),
    ("asin", odd(mp.asin, mpf(1) / 6), mpf(0), mpf(0.25), mpf(0.25), 57, 30),
    ("cbrt", mp.cbrt, mpf(1), mpf(2), mpf(1), 19, 10),
    ("erf", error, mpf(0), mpf(0.65) ** 2, mpf(1.01), 57, 30),
    ("erfc", tail, turned(0.65), turned(27.3), mpf(1), 57, 30),
]


def interpolate(function: Callable[[Any], Any], low: Any, high: Any, count: int) -> Any:
    """Coefficients, the constant first, and the largest error seen."""
    middle, half = (low + high) / 2, (high - low) / 2
    nodes = [
        middle + half * mp.cos(mp.pi * (2 * k + 1) / (2 * count)) for k in range(count)
    ]
    rows = mp.matrix([[x**k for k in range(count)] for x in nodes])
    found = list(mp.lu_solve(rows, mp.matrix([function(x) for x in nodes])))
    points = [middle + half * mp.cos(mp.pi * k / 60) for k in range(61)]
    worst = max(abs(function(x) - mp.polyval(found[::-1], x)) for x in points)
    return found, worst


def table(entry: tuple[Any, ...], bits: int) -> list[float]:
    """The shortest table that is good to so many bits."""
    _, function, low, high, weight, *_ = entry
    for count in range(2, 30):
        found, worst = interpolate(function, low, high, count)
        if worst * weight < mpf(2) ** -bits:
            return [float(c) for c in found]
    raise ValueError(f"{entry[0]}: no table")


def main() -> None:
    lines = [
        '"""Coefficients of polynomials, the constant term first.',
        "",
        "Written by docs/make_coefficients.py, which says what each is of.",
        '"""',
        "",
        "from __future__ import annotations",
        "",
        "from dataclasses import dataclass",
        "",
        "Table = tuple[float, ...]",
        "",
        "",
        "@dataclass(frozen=True, slots=True)",
        "class Tables:",
        '    """One table each."""',
        "",
        *[f"    {entry[0]}: Table" for entry in TABLES],
        "",
    ]
    for name, column in (("LONG", -2), ("SHORT", -1)):
        lines += ["", f"{name} = Tables("]
        for entry in TABLES:
            lines.append(f"    {entry[0]}=(")
            lines += [f"        {c!r}," for c in table(entry, entry[column])]
            lines.append("    ),")
        lines.append(")")
    FILE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
