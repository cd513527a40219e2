"""Functions of `scipy.special`, where SciPy is installed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradjit.ops.elementwise import number
from gradjit.ops.numpy_reduce import logsumexp, softmax_parts
from gradjit.ops.surface import (
    MATRIX,
    PLUS,
    TRIPLE,
    call,
    function,
    refuse,
    static,
    symbol,
)
from gradjit.ops.sym import elementwise

try:
    from scipy import special  # pyright: ignore[reportMissingTypeStubs]
except ImportError:  # SciPy is not needed to run: only its names are taken from it.
    special = None

_UNIT = np.array([0.2, 0.5, 0.85])


def _one(op: str) -> Any:
    def impl(x: Any) -> Any:
        return elementwise(op, symbol(x))

    return impl


def _two(op: str) -> Any:
    def impl(x: Any, y: Any) -> Any:
        return elementwise(op, symbol(x), symbol(y))

    return impl


def entr(x: Any) -> Any:
    """-x log(x), 0 at 0."""
    x = symbol(x)
    out = elementwise("xlogy", x, x)
    below = elementwise("lt", x, 0)
    return elementwise("where", below, number(-np.inf, x), -out)


def logit(x: Any) -> Any:
    """log(x / (1 - x))."""
    x = symbol(x)
    return elementwise("log", x / (1.0 - x))


def log_expit(x: Any) -> Any:
    """Logarithm of the logistic function."""
    x = symbol(x)
    return -elementwise("logaddexp", number(0.0, x), -x)


def softplus(x: Any) -> Any:
    """log(1 + exp(x)), without overflow."""
    x = symbol(x)
    return elementwise("logaddexp", number(0.0, x), x)


def exp10(x: Any) -> Any:
    """10 to a power."""
    x = symbol(x)
    return elementwise("pow", number(10.0, x), x)


def betaln(a: Any, b: Any) -> Any:
    """Logarithm of the absolute value of the beta function."""
    a, b = symbol(a), symbol(b)
    top = elementwise("lgamma", a) + elementwise("lgamma", b)
    return top - elementwise("lgamma", a + b)


def beta(a: Any, b: Any) -> Any:
    """Beta function, for positive arguments."""
    return elementwise("exp", betaln(a, b))


def ndtr(x: Any) -> Any:
    """Distribution function of the standard normal distribution."""
    x = symbol(x)
    return 0.5 * elementwise("erfc", -x * math.sqrt(0.5))


def multigammaln(a: Any, d: Any) -> Any:
    """Logarithm of the multivariate gamma function of dimension d."""
    a, count = symbol(a), static(d)
    total: Any = 0.25 * count * (count - 1) * math.log(math.pi)
    for k in range(count):
        total = total + elementwise("lgamma", a - 0.5 * k)
    return total


def polygamma(n: Any, x: Any) -> Any:
    """Derivative n of digamma, for n = 0 and 1."""
    order = static(n)
    if order > 1:
        refuse(f"scipy.special.polygamma({order}, x)", "Orders 0 and 1 are supported.")
    return elementwise("trigamma" if order else "digamma", symbol(x))


def softmax(x: Any, axis: Any = None) -> Any:
    """exp(x) over its sum."""
    weights, total, _ = softmax_parts(x, axis)
    return weights / total


def log_softmax(x: Any, axis: Any = None) -> Any:
    """Logarithm of softmax."""
    _, total, shifted = softmax_parts(x, axis)
    return shifted - elementwise("log", total)


def huber(delta: Any, r: Any) -> Any:
    """Quadratic for small residuals, linear beyond delta."""
    size = abs(symbol(r))
    small = elementwise("le", size, delta)
    return elementwise("where", small, 0.5 * size * size, delta * (size - 0.5 * delta))


def _register() -> None:
    two, wide = (call(PLUS, PLUS + 0.3),), (call(TRIPLE),)
    ops: dict[str, tuple[str, Any]] = {
        "erf": ("erf", wide),
        "erfc": ("erfc", wide),
        "gammaln": ("lgamma", (call(PLUS),)),
        "gamma": ("gamma", (call(PLUS),)),
        "digamma": ("digamma", (call(PLUS),)),
        "expit": ("expit", wide),
        "log1p": ("log1p", (call(PLUS),)),
        "exp2": ("exp2", wide),
        "expm1": ("expm1", wide),
        "cbrt": ("cbrt", wide),
        "xlogy": ("xlogy", two),
        "xlog1py": ("xlog1py", two),
    }
    composed: dict[str, tuple[Any, Any]] = {
        "logit": (logit, (call(_UNIT),)),
        "log_expit": (log_expit, wide),
        "softplus": (softplus, wide),
        "exp10": (exp10, wide),
        "entr": (entr, (call(PLUS),)),
        "betaln": (betaln, two),
        "beta": (beta, two),
        "ndtr": (ndtr, wide),
        "huber": (huber, (call(0.7, TRIPLE),)),
        "multigammaln": (multigammaln, (call(2.5, 3),)),
        "polygamma": (polygamma, (call(0, PLUS), call(1, PLUS))),
        "logsumexp": (logsumexp, (call(MATRIX), call(MATRIX, axis=1, keepdims=True))),
        "softmax": (softmax, (call(MATRIX), call(MATRIX, axis=1))),
        "log_softmax": (log_softmax, (call(MATRIX), call(MATRIX, axis=-1))),
    }
    for name, (op, samples) in ops.items():
        impl = _two(op) if samples is two else _one(op)
        _add(name, op, samples, impl)
    for name, (impl, samples) in composed.items():
        if hasattr(special, name):  # softplus is younger than the oldest SciPy
            _add(name, "", samples, impl)


def _add(name: str, op: str, samples: Any, impl: Any) -> None:
    title = f"scipy.special.{name}"
    function(getattr(special, name), name=title, op=op, samples=samples)(impl)


if special is not None:
    _register()
