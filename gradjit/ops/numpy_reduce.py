"""Reductions of NumPy: sums, extremes, means, norms, running sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradjit.ir.types import BOOL, FLOAT64
from gradjit.ops.elementwise import number
from gradjit.ops.numpy_math import isclose
from gradjit.ops.reduce import restore_axes
from gradjit.ops.surface import (
    CUBE,
    MATRIX,
    PLUS,
    TRIPLE,
    call,
    cast,
    dtype_from,
    function,
    misfit,
    one_axis,
    product,
    refuse,
    some_axes,
    stop,
    symbol,
    truth,
    view_index,
    view_reshape,
)
from gradjit.ops.sym import Sym, apply, elementwise

_WAYS = (
    call(MATRIX),
    call(MATRIX, axis=0),
    call(MATRIX, axis=-1, keepdims=True),
    call(CUBE, axis=(0, 2)),
)
_MASK = MATRIX > 0


def _finish(out: Any, axes: tuple[int, ...], keepdims: Any) -> Any:
    """The result with the reduced axes kept at extent 1 if that is asked for."""
    if not keepdims or not axes:
        return out
    if not getattr(out, "ndim", 0):
        return apply(
            "full", out, *[1] * len(axes), dtype=out.dtype, dims=(1,) * len(axes)
        )
    return restore_axes(out, axes)


def _reduce(op: str, x: Any, axis: Any, keepdims: Any) -> Any:
    axes = some_axes(axis, x.ndim)
    if not axes:
        return x
    return _finish(apply(op, x, axes=axes), axes, keepdims)


def _count(x: Any, axis: Any) -> Any:
    """How many elements are reduced to one."""
    shape = x.shape
    return product([shape[k] for k in some_axes(axis, x.ndim)])


def at_dtype(x: Any, dtype: Any) -> Any:
    return x if dtype is None else cast(x, dtype_from(dtype))


def _float(x: Any) -> Any:
    return x if x.dtype.kind == "f" else cast(x, FLOAT64)


def _not_empty(x: Any, axes: tuple[int, ...], what: str) -> None:
    """Refuse an extent that is known to be 0; others are checked at run time."""
    if any(x.type.dims[k] == 0 for k in axes):
        misfit(f"{what} of an empty array: it has no value")


# ------------------------------------------------------------------ sums, products


@function(np.sum, method="sum", samples=(*_WAYS, call(_MASK, axis=1)))
def reduce_sum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    *,
    keepdims: Any = False,
    initial: Any = 0,
) -> Any:
    """Sum over axes."""
    out = _reduce("reduce_sum", at_dtype(symbol(a), dtype), axis, keepdims)
    return out if isinstance(initial, int) and initial == 0 else out + initial


@function(np.prod, method="prod", samples=_WAYS)
def reduce_prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    *,
    keepdims: Any = False,
    initial: Any = 1,
) -> Any:
    """Product over axes."""
    out = _reduce("reduce_prod", at_dtype(symbol(a), dtype), axis, keepdims)
    return out if isinstance(initial, int) and initial == 1 else out * initial


@function(np.mean, method="mean", samples=(*_WAYS, call(_MASK)))
def mean(a: Any, axis: Any = None, dtype: Any = None, *, keepdims: Any = False) -> Any:
    """Mean over axes."""
    x = at_dtype(symbol(a), dtype)
    return _reduce("reduce_sum", x, axis, keepdims) / _count(x, axis)


@function(
    np.average,
    samples=(
        call(MATRIX),
        call(MATRIX, axis=1, weights=PLUS),
        call(PLUS, weights=PLUS),
    ),
)
def average(
    a: Any, axis: Any = None, weights: Any = None, *, keepdims: Any = False
) -> Any:
    """Mean with weights."""
    if weights is None:
        return mean(a, axis, keepdims=keepdims)
    x, w = symbol(a), symbol(weights)
    if w.ndim == 1 and x.ndim > 1:
        at = one_axis(axis, x.ndim)
        w = restore_axes(w, tuple(k for k in range(x.ndim) if k != at))
    total = _reduce("reduce_sum", x * w, axis, keepdims)
    return total / _reduce(
        "reduce_sum", elementwise("mul", w, x * 0.0 + 1.0), axis, keepdims
    )


@function(np.var, method="var", samples=(*_WAYS, call(MATRIX, axis=1, ddof=1)))
def var(
    a: Any, axis: Any = None, dtype: Any = None, *, ddof: Any = 0, keepdims: Any = False
) -> Any:
    """Variance over axes."""
    x = _float(at_dtype(symbol(a), dtype))
    centred = x - mean(x, axis, keepdims=True)
    total = _reduce("reduce_sum", centred * centred, axis, keepdims)
    return total / (_count(x, axis) - ddof)


@function(np.std, method="std", samples=(*_WAYS, call(MATRIX, axis=1, ddof=1)))
def std(
    a: Any, axis: Any = None, dtype: Any = None, *, ddof: Any = 0, keepdims: Any = False
) -> Any:
    """Standard deviation over axes."""
    return elementwise("sqrt", var(a, axis, dtype, ddof=ddof, keepdims=keepdims))


@function(np.count_nonzero, samples=(call(_MASK), call(_MASK, axis=0)))
def count_nonzero(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """How many elements are not zero."""
    return _reduce("reduce_sum", truth(a), axis, keepdims)


@function(np.nansum, samples=(call(MATRIX), call(MATRIX, axis=0)))
def nansum(
    a: Any, axis: Any = None, dtype: Any = None, *, keepdims: Any = False
) -> Any:
    """Sum over axes, nan taken as 0."""
    x = symbol(a)
    filled = elementwise("where", elementwise("isnan", x), number(0.0, x), x)
    return reduce_sum(filled, axis, dtype, keepdims=keepdims)


# ------------------------------------------------------------------------ extremes


def _extreme(op: str, what: str, a: Any, axis: Any, keepdims: Any, initial: Any) -> Any:
    x = symbol(a)
    if initial is None:
        _not_empty(x, some_axes(axis, x.ndim), what)
        return _reduce(op, x, axis, keepdims)
    out = _reduce(op, x, axis, keepdims)
    return elementwise("maximum" if op == "reduce_max" else "minimum", out, initial)


@function(np.max, np.amax, method="max", samples=_WAYS)
def reduce_max(
    a: Any, axis: Any = None, *, keepdims: Any = False, initial: Any = None
) -> Any:
    """Largest over axes."""
    return _extreme("reduce_max", "np.max", a, axis, keepdims, initial)


@function(np.min, np.amin, method="min", samples=_WAYS)
def reduce_min(
    a: Any, axis: Any = None, *, keepdims: Any = False, initial: Any = None
) -> Any:
    """Smallest over axes."""
    return _extreme("reduce_min", "np.min", a, axis, keepdims, initial)


@function(np.ptp, samples=(call(MATRIX), call(MATRIX, axis=0)))
def ptp(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """Largest minus smallest."""
    return reduce_max(a, axis, keepdims=keepdims) - reduce_min(
        a, axis, keepdims=keepdims
    )


def _place(op: str, a: Any, axis: Any, keepdims: Any) -> Any:
    x = symbol(a)
    if axis is None:
        flat = view_reshape(x, (product(x.shape),)) if x.ndim != 1 else x
        _not_empty(flat, (0,), f"np.{op}")
        return _finish(apply(op, flat, axis=0), tuple(range(x.ndim)), keepdims)
    at = one_axis(axis, x.ndim)
    _not_empty(x, (at,), f"np.{op}")
    return _finish(apply(op, x, axis=at), (at,), keepdims)


@function(np.argmax, method="argmax", samples=(call(MATRIX), call(MATRIX, axis=1)))
def argmax(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """Place of the first largest."""
    return _place("argmax", a, axis, keepdims)


@function(np.argmin, method="argmin", samples=(call(MATRIX), call(MATRIX, axis=0)))
def argmin(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """Place of the first smallest."""
    return _place("argmin", a, axis, keepdims)


@function(np.any, method="any", samples=(call(_MASK), call(MATRIX, axis=1)))
def reduce_any(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """Whether any element holds."""
    return _reduce("reduce_or", truth(a), axis, keepdims)


@function(np.all, method="all", samples=(call(_MASK), call(MATRIX, axis=1)))
def reduce_all(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """Whether all elements hold."""
    return _reduce("reduce_and", truth(a), axis, keepdims)


@function(np.allclose, samples=(call(PLUS, PLUS + 1e-9), call(PLUS, TRIPLE)))
def allclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8) -> Any:
    """Whether two arrays are equal to a tolerance."""
    return cast(reduce_all(isclose(a, b, rtol, atol)), BOOL, weak=True)


# -------------------------------------------------------------------------- norms


_NORMS = (
    call(TRIPLE),
    call(MATRIX),
    call(MATRIX, axis=1),
    call(TRIPLE, 1),
    call(TRIPLE, np.inf),
    call(TRIPLE, -np.inf),
    call(TRIPLE, 3),
    call(MATRIX, 2, axis=0, keepdims=True),
    call(MATRIX, "fro"),
    call(MATRIX, 1),
    call(MATRIX, np.inf),
)


@function(np.linalg.norm, samples=_NORMS)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: Any = False) -> Any:
    """Norm of vectors, or of matrices where it is a sum or an extreme."""
    x = _float(symbol(x))
    axes = some_axes(axis, x.ndim)
    if (
        ord is None
        or (ord == "fro" and len(axes) == 2)
        or (ord == 2 and len(axes) == 1)
    ):
        squares = reduce_sum(elementwise("powi", x, n=2), axes, keepdims=keepdims)
        return elementwise("sqrt", squares)
    if len(axes) == 1:
        return _vector_norm(x, ord, axes, keepdims)
    if len(axes) == 2 and ord in (1, np.inf):
        inner, outer = axes if ord == 1 else axes[::-1]
        sums = reduce_sum(abs(x), inner, keepdims=True)
        return _squeezed(reduce_max(sums, outer, keepdims=True), axes, keepdims)
    refuse(
        f"np.linalg.norm with ord={ord!r} over {len(axes)} axes",
        "Orders None, 'fro', 1 and inf are supported for matrices.",
    )


def _vector_norm(x: Any, ord: Any, axes: tuple[int, ...], keepdims: Any) -> Any:
    if ord == np.inf:
        return reduce_max(abs(x), axes, keepdims=keepdims)
    if ord == -np.inf:
        return reduce_min(abs(x), axes, keepdims=keepdims)
    if ord == 1:
        return reduce_sum(abs(x), axes, keepdims=keepdims)
    if isinstance(ord, str) or _is_zero(ord):
        refuse(f"np.linalg.norm with ord={ord!r}", "Use a positive order, or inf.")
    total = reduce_sum(abs(x) ** ord, axes, keepdims=keepdims)
    return total ** (1.0 / ord)


def _is_zero(x: Any) -> bool:
    return not isinstance(x, Sym) and x == 0


def _squeezed(x: Any, axes: tuple[int, ...], keepdims: Any) -> Any:
    if keepdims:
        return x
    spec = "".join("i" if k in axes else ":" for k in range(x.ndim))
    return view_index(x, spec, *[0] * len(axes))


# ------------------------------------------------------------- sums of exponentials


def softmax_parts(x: Any, axis: Any) -> tuple[Any, Any, Any]:
    """exp(x - max), its sum, and x - max, for softmax and its relatives."""
    x = _float(symbol(x))
    top = stop(reduce_max(x, axis, keepdims=True))
    shifted = x - top
    weights = elementwise("exp", shifted)
    return weights, reduce_sum(weights, axis, keepdims=True), shifted


def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: Any = False) -> Any:
    """Logarithm of the sum of exponentials, without overflow."""
    x = _float(symbol(a))
    axes = some_axes(axis, x.ndim)
    if not axes:
        return x
    top = stop(reduce_max(x, axes, keepdims=True))
    # Where all is -inf (or something is inf) there is nothing to shift by.
    top = elementwise("where", elementwise("isfinite", top), top, number(0.0, x))
    weights = elementwise("exp", x - top)
    if b is not None:
        weights = symbol(b) * weights
    total = reduce_sum(weights, axes, keepdims=keepdims)
    shift = top if keepdims else _squeezed(top, axes, False)
    return elementwise("log", total) + shift
