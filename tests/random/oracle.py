"""Oracles without gradjit: the complex step, and differences, of the plain function."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

STEP = 1e-4
# The complex step: too small to change a real part, too large to underflow.
TINY = {"d": 1e-30, "f": 1e-12}


class ComplexNumPy:
    """What stands for NumPy in a complex-step run: new arrays are complex."""

    def __getattr__(self, name: str) -> Any:
        make = getattr(np, name)
        if name not in ("zeros", "ones", "empty"):
            return make
        return lambda shape, dtype=complex: make(shape, dtype)


def complex_step(source: str, args: tuple[Any, ...]) -> tuple[Any, list[Any]]:
    """Value, and derivatives by x, w and s, exact to rounding.

    After Squire and Trapp, "Using Complex Variables to Estimate Derivatives of Real
    Functions" (1998). In float32 the scalar `s` is as precise as in float64.
    """
    namespace: dict[str, Any] = {"np": ComplexNumPy()}
    exec(compile(source, "<complex>", "exec"), namespace)
    wide = np.result_type(args[0].dtype, np.complex64)
    h = TINY[args[0].dtype.char]
    grads: list[Any] = []
    value: Any = 0.0
    for k in range(3):
        grad = np.zeros(np.shape(args[k]))
        for at in np.ndindex(grad.shape):
            moved = [np.array(a, dtype=wide) for a in args[:2]]
            moved += [np.complex128(args[2])]
            if at:
                moved[k][at] += 1j * h
            else:
                moved[k] += 1j * h
            out = namespace["program"](*moved, *copy.deepcopy(args[3:]))
            value = np.real(out)
            grad[at] = np.imag(out) / h
        grads.append(grad)
    return value, grads


def differences(function: Callable[..., Any], args: tuple[Any, ...], k: int) -> Any:
    """The gradient by argument k, by central differences of fourth order."""
    shape = np.shape(args[k])
    grad = np.zeros(shape)

    def slope(at: tuple[int, ...], h: float) -> float:
        up = _moved(function, args, k, at, h)
        return (up - _moved(function, args, k, at, -h)) / (2 * h)

    for at in np.ndindex(shape):
        grad[at] = (4 * slope(at, STEP) - slope(at, 2 * STEP)) / 3
    return grad


def _moved(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    k: int,
    at: tuple[int, ...],
    h: float,
) -> float:
    moved = list(copy.deepcopy(args))
    if at:
        moved[k][at] += h
    else:
        moved[k] = moved[k] + h
    return float(function(*moved))
