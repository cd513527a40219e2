"""Products along axes: running, and of all elements but one."""

from __future__ import annotations

from typing import Any

from gradjit.ir.graph import Const
from gradjit.ir.types import ScalarType, dims
from gradjit.ops.array import full, index_dims, inverse, store
from gradjit.ops.loops import loop
from gradjit.ops.sym import Sym, apply, elementwise


def rows(x: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
    """x with the axes merged in front, and the function that undoes it."""
    others = tuple(k for k in range(x.ndim) if k not in axes)
    perm = axes + others
    moved = x if perm == tuple(range(x.ndim)) else apply("transpose", x, perm=perm)
    extents, known = moved.shape, dims(moved.type)
    count: Any = 1
    for extent in extents[: len(axes)]:
        count = extent * count
    first = count if isinstance(count, int) else None
    if len(axes) == 1:
        flat = moved
    else:
        rest = extents[len(axes) :]
        shape = (first, *known[len(axes) :])
        flat = apply("reshape", moved, count, *rest, dims=shape)

    def back(y: Any) -> Any:
        if len(axes) > 1:
            y = apply("reshape", y, *extents, dims=known)
        return y if moved is x else apply("transpose", y, perm=inverse(perm))

    return flat, back


def start(value: float, flat: Any) -> Any:
    """A row of one value: a scalar for a vector."""
    number = Sym(Const(_at(value, flat.dtype), ScalarType(flat.dtype)))
    if flat.ndim == 1:
        return number
    return full(number, flat.shape[1:], flat.dtype, dims(flat.type)[1:])


def _at(value: float, dtype: Any) -> float | int:
    return float(value) if dtype.kind == "f" else int(value)


def row_spec(flat: Any) -> str:
    """The spec of one row."""
    return "i" + ":" * (flat.ndim - 1)


def row(flat: Any, i: Any) -> Any:
    """flat[i] for an index that is inside."""
    spec = row_spec(flat)
    shape = index_dims(flat, spec, (i,))
    return apply("index", flat, i, spec=spec, dims=shape, checked=False)


def blank(flat: Any) -> Any:
    """An array like `flat`, to be filled."""
    return apply("empty", *flat.shape, dtype=flat.dtype, dims=dims(flat.type))


def exclusive_products(x: Any, axes: tuple[int, ...]) -> Any:
    """For each element the product of the others along the axes.

    Products of what is before, times products of what is after: no division, so that
    zeros do no harm.
    """
    flat, back = rows(x, axes)
    count = flat.shape[0]

    def before(i: Any, run: Any, out: Any) -> list[Any]:
        done = store(out, run, i, spec=row_spec(flat), checked=False)
        return [run * row(flat, i), done]

    def after(i: Any, run: Any, out: Any) -> list[Any]:
        j = count - 1 - i
        both = row(out, j) * run
        done = store(out, both, j, spec=row_spec(flat), checked=False)
        return [run * row(flat, j), done]

    one = start(1.0, flat)
    _, left = loop(count, [one, blank(flat)], before)
    _, out = loop(count, [one, left], after)
    return back(out)


def running(x: Any, axis: int, op: str) -> Any:
    """Running sums (`add`) or products (`mul`) along an axis."""
    flat, back = rows(x, (axis,))

    def body(i: Any, run: Any, out: Any) -> list[Any]:
        now = elementwise(op, run, row(flat, i))
        return [now, store(out, now, i, spec=row_spec(flat), checked=False)]

    first = start(0.0 if op == "add" else 1.0, flat)
    _, out = loop(flat.shape[0], [first, blank(flat)], body)
    return back(out)
