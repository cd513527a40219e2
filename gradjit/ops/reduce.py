"""Reductions over axes. They drop the axes; over all axes the result is a scalar.

Ties of max and min share the cotangent equally. The rule of prod multiplies the other
elements instead of dividing, so that it is exact where some are zero, at any order.
"""

# The rules below are lambdas over symbols, whose types nobody can say:
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradjit.ir.graph import Atom
from gradjit.ir.op import Op, Params, register
from gradjit.ir.types import BOOL, INT64, Type, dims
from gradjit.ops.array import made, new_axes
from gradjit.ops.elementwise import choose, number
from gradjit.ops.products import exclusive_products
from gradjit.ops.sym import apply, elementwise

Extent = Callable[[Atom, int], Atom]
Axes = tuple[int, ...]


# ------------------------------------------------------------------- type rules


def summed(dtype: Any) -> Any:
    """What NumPy adds up in: its widest integer for integers and bools."""
    if dtype.kind in "bi":
        return INT64
    return np.dtype(np.uint64) if dtype.kind == "u" else dtype


def _reduced(convert: Callable[[Any], Any]) -> Callable[..., tuple[Type, ...]]:
    def infer(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
        gone = params["axes"]
        kept = tuple(d for k, d in enumerate(dims(types[0])) if k not in gone)
        return (made(convert(types[0].dtype), kept),)

    return infer


def _located(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    axis = params["axis"]
    return (made(INT64, tuple(d for k, d in enumerate(dims(types[0])) if k != axis)),)


def _kept_extents(args: Sequence[Atom], params: Params, extent: Extent) -> list[Atom]:
    gone = params.get("axes", (params.get("axis"),))
    width = len(dims(args[0].type))
    return [extent(args[0], k) for k in range(width) if k not in gone]


# ------------------------------------------------------------------ derivatives


def restore_axes(g: Any, axes: Axes) -> Any:
    """g with the reduced axes back, at extent 1, so that it broadcasts."""
    return g if not getattr(g, "ndim", 0) else new_axes(g, axes)


def spread(g: Any, axes: Axes, x: Any) -> Any:
    """g broadcast back over the reduced axes of x."""
    return apply("broadcast", restore_axes(g, axes), *x.shape, dims=dims(x.type))


def _total(x: Any, axes: Axes) -> Any:
    return apply("reduce_sum", x, axes=axes)


def _sum_vjp(g: Any, out: Any, args: Sequence[Any], params: Params) -> list[Any]:
    return [spread(g, params["axes"], args[0])]


def _prod_vjp(g: Any, out: Any, args: Sequence[Any], params: Params) -> list[Any]:
    axes = params["axes"]
    return [restore_axes(g, axes) * exclusive_products(args[0], axes)]


def _prod_jvp(tangents: Sequence[Any], out: Any, args: Any, params: Params) -> Any:
    others = exclusive_products(args[0], params["axes"])
    return _total(tangents[0] * others, params["axes"])


def _attained(out: Any, x: Any, axes: Axes) -> tuple[Any, Any]:
    """Where an extreme is attained, and how often."""
    mask = elementwise("eq", x, restore_axes(out, axes))
    ones = elementwise("cast", mask, dtype=x.dtype)
    return mask, _total(ones, axes)


def _extreme_vjp(g: Any, out: Any, args: Sequence[Any], params: Params) -> list[Any]:
    x, axes = args[0], params["axes"]
    mask, count = _attained(out, x, axes)
    return [choose(mask, restore_axes(g / count, axes), number(0.0, x))]


def _extreme_jvp(tangents: Sequence[Any], out: Any, args: Any, params: Params) -> Any:
    x, axes = args[0], params["axes"]
    mask, count = _attained(out, x, axes)
    return _total(choose(mask, tangents[0], number(0.0, x)), axes) / count


# ---------------------------------------------------------------------- records

_Z = np.array([[3.0, -1.0, 2.5], [0.5, 4.0, -2.0]])
_SAMPLES = tuple(((_Z,), {"axes": axes}) for axes in ((0, 1), (0,), (1,)))
_TIES = (((np.array([[1.0, 2.0, 2.0], [2.0, 0.0, 0.0]]),), {"axes": (1,)}),)
_ZEROS = (
    ((np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0], [2.0, 3.0, 4.0]]),), {"axes": (1,)}),
)
_MASK = tuple(((_Z > 0,), {"axes": axes}) for axes in ((0, 1), (0,), (1,)))


def _axes_of(function: Callable[..., Any]) -> Callable[..., Any]:
    def evaluate(x: Any, axes: Axes) -> Any:
        return function(x, axis=axes)

    return evaluate


SUM = register(
    Op(
        name="reduce_sum",
        kind="reduce",
        doc="Sum over axes.",
        infer=_reduced(summed),
        evaluate=_axes_of(np.sum),
        extents=_kept_extents,
        vjp=_sum_vjp,
        linear=(0,),
        samples=_SAMPLES,
    )
)
PROD = register(
    Op(
        name="reduce_prod",
        kind="reduce",
        doc="Product over axes; its slope is exact where elements are zero.",
        infer=_reduced(summed),
        evaluate=_axes_of(np.prod),
        extents=_kept_extents,
        vjp=_prod_vjp,
        jvp=_prod_jvp,
        samples=_SAMPLES + _ZEROS,
    )
)
MAX = register(
    Op(
        name="reduce_max",
        kind="reduce",
        doc="Largest over axes; ties share the slope equally.",
        infer=_reduced(lambda dtype: dtype),
        evaluate=_axes_of(np.max),
        extents=_kept_extents,
        vjp=_extreme_vjp,
        jvp=_extreme_jvp,
        samples=_SAMPLES + _TIES,
    )
)
MIN = register(
    Op(
        name="reduce_min",
        kind="reduce",
        doc="Smallest over axes; ties share the slope equally.",
        infer=_reduced(lambda dtype: dtype),
        evaluate=_axes_of(np.min),
        extents=_kept_extents,
        vjp=_extreme_vjp,
        jvp=_extreme_jvp,
        samples=_SAMPLES + _TIES,
    )
)
AND = register(
    Op(
        name="reduce_and",
        kind="reduce",
        doc="Whether all bools over axes hold.",
        infer=_reduced(lambda dtype: BOOL),
        evaluate=_axes_of(np.all),
        extents=_kept_extents,
        flat=True,
        samples=_MASK,
    )
)
OR = register(
    Op(
        name="reduce_or",
        kind="reduce",
        doc="Whether any bool over axes holds.",
        infer=_reduced(lambda dtype: BOOL),
        evaluate=_axes_of(np.any),
        extents=_kept_extents,
        flat=True,
        samples=_MASK,
    )
)
ARGMAX = register(
    Op(
        name="argmax",
        kind="reduce",
        doc="Place of the first largest along an axis.",
        infer=_located,
        evaluate=lambda x, axis: np.argmax(x, axis=axis),
        extents=_kept_extents,
        flat=True,
        samples=tuple(((_Z,), {"axis": axis}) for axis in (0, 1)),
    )
)
ARGMIN = register(
    Op(
        name="argmin",
        kind="reduce",
        doc="Place of the first smallest along an axis.",
        infer=_located,
        evaluate=lambda x, axis: np.argmin(x, axis=axis),
        extents=_kept_extents,
        flat=True,
        samples=tuple(((_Z,), {"axis": axis}) for axis in (0, 1)),
    )
)
