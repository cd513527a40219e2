"""Axes and extents: reshape, transpose and their relatives, which are views."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradjit.ir.build import current
from gradjit.ir.graph import Const
from gradjit.ir.types import broadcast_dims, dims
from gradjit.ops.array import broadcast_extents
from gradjit.ops.surface import (
    CUBE,
    MATRIX,
    TRIPLE,
    VECTOR,
    array_of,
    as_list,
    call,
    cast,
    dtype_from,
    fresh,
    function,
    known_dims,
    listed,
    misfit,
    one_axis,
    product,
    require,
    shape_from,
    some_axes,
    static,
    symbol,
    view_index,
    view_reshape,
    view_transpose,
)
from gradjit.ops.sym import Sym, apply, lift, require_equal, require_equal_extents

# ------------------------------------------------------------------------- reshape


@function(
    np.reshape,
    samples=(
        call(MATRIX, (3, 2)),
        call(MATRIX, -1),
        call(CUBE, (2, -1)),
        call(VECTOR, (2, 2)),
    ),
)
def reshape(a: Any, shape: Any) -> Any:
    """The same elements with other extents; one of them may be -1."""
    x = symbol(a)
    items = as_list(shape)
    holes = [
        k for k, e in enumerate(items) if not isinstance(e, Sym) and static(e) == -1
    ]
    total = product(x.shape)
    if len(holes) > 1:
        misfit("reshape: only one extent can be -1")
    if holes:
        (k,) = holes
        rest = product(shape_from([e for i, e in enumerate(items) if i != k]))
        items[k] = _quotient(total, rest)
    extents = shape_from(items)
    if not holes:
        _same_size(total, product(extents), x)
    if not x.ndim:
        return apply("full", x, *extents, dtype=x.dtype, dims=known_dims(extents))
    if not extents:
        return view_index(x, "i" * x.ndim, *[0] * x.ndim)
    return view_reshape(x, extents)


def _quotient(total: Any, rest: Any) -> Any:
    """The extent that stands for -1."""
    if isinstance(rest, int) and rest == 1:
        return total
    if isinstance(rest, int) and rest == 0:
        misfit("reshape: -1 next to an extent of 0")
    require(total % rest == 0, "reshape: the number of elements does not divide")
    return total // rest


def _same_size(total: Any, wanted: Any, x: Any) -> None:
    if isinstance(total, int) and isinstance(wanted, int) and total != wanted:
        misfit(f"reshape of {x.type}: {total} elements do not fill {wanted}")
    message = "reshape: the number of elements differs"
    require_equal(current(), lift(total), lift(wanted), message)


@function(method="reshape", samples=(call(MATRIX, 3, 2), call(MATRIX, (-1,))))
def _reshape_method(a: Any, *shape: Any) -> Any:
    """The same elements with other extents; one of them may be -1."""
    single = len(shape) == 1 and listed(shape[0]) is not None
    return reshape(a, shape[0] if single else shape)


@function(np.ravel, method="ravel", samples=(call(MATRIX), call(VECTOR)))
def ravel(a: Any) -> Any:
    """One axis, in C order."""
    x = symbol(a)
    return x if x.ndim == 1 else reshape(x, (product(x.shape),))


@function(method="flatten", samples=(call(MATRIX), call(VECTOR)))
def flatten(a: Any) -> Any:
    """A copy with one axis, in C order."""
    return fresh(ravel(a))


# ------------------------------------------------------------------------ transpose


@function(np.transpose, samples=(call(MATRIX), call(CUBE, (2, 0, 1)), call(VECTOR)))
def transpose(a: Any, axes: Any = None) -> Any:
    """Axes in another order, by default reversed."""
    x = symbol(a)
    if axes is None:
        return view_transpose(x, tuple(range(x.ndim))[::-1])
    perm = tuple(one_axis(k, x.ndim) for k in axes)
    if sorted(perm) != list(range(x.ndim)):
        misfit(f"transpose: {axes} is no order of {x.ndim} axes")
    return view_transpose(x, perm)


@function(method="transpose", samples=(call(MATRIX), call(CUBE, 2, 0, 1)))
def _transpose_method(a: Any, *axes: Any) -> Any:
    """Axes in another order, by default reversed."""
    if not axes or axes == (None,):
        return transpose(a)
    single = len(axes) == 1 and listed(axes[0]) is not None
    return transpose(a, axes[0] if single else axes)


@function(method="T", is_property=True)
def _t(a: Any) -> Any:
    """The array with its axes reversed."""
    return transpose(a)


@function(method="mT", is_property=True)
def matrix_transpose(a: Any) -> Any:
    """The array with its last two axes exchanged."""
    return swapaxes(a, -1, -2)


@function(
    np.swapaxes, method="swapaxes", samples=(call(MATRIX, 0, 1), call(CUBE, 0, -1))
)
def swapaxes(a: Any, axis1: Any, axis2: Any) -> Any:
    """Two axes exchanged."""
    x = symbol(a)
    i, j = one_axis(axis1, x.ndim), one_axis(axis2, x.ndim)
    perm = list(range(x.ndim))
    perm[i], perm[j] = j, i
    return view_transpose(x, tuple(perm))


@function(np.moveaxis, samples=(call(CUBE, 0, -1), call(CUBE, (0, 1), (1, 2))))
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """Axes moved to other places, the others in their order."""
    x = symbol(a)
    sources, places = as_list(source), as_list(destination)
    moves = sorted(
        (one_axis(d, x.ndim), one_axis(s, x.ndim))
        for s, d in zip(sources, places, strict=True)
    )
    perm = [k for k in range(x.ndim) if k not in [s for _, s in moves]]
    for place, axis in moves:
        perm.insert(place, axis)
    return view_transpose(x, tuple(perm))


# ------------------------------------------------------------------ axes of extent 1


@function(
    np.expand_dims, samples=(call(VECTOR, 0), call(MATRIX, -1), call(MATRIX, (0, 2)))
)
def expand_dims(a: Any, axis: Any) -> Any:
    """New axes of extent 1."""
    x = symbol(a)
    count = len(as_list(axis))
    width = x.ndim + count
    axes = some_axes(axis, width)
    if not x.ndim:
        return apply("full", x, *[1] * width, dtype=x.dtype, dims=(1,) * width)
    return view_index(x, "".join("n" if k in axes else ":" for k in range(width)))


@function(
    np.squeeze,
    method="squeeze",
    samples=(
        call(MATRIX[None]),
        call(MATRIX[:, None], axis=1),
        call(MATRIX[None, :, None], axis=(0, 2)),
    ),
)
def squeeze(a: Any, axis: Any = None) -> Any:
    """Axes of extent 1 dropped."""
    x = symbol(a)
    known = dims(x.type)
    if axis is None:
        axes = tuple(k for k, d in enumerate(known) if d == 1)
    else:
        axes = some_axes(axis, x.ndim)
    for k in axes:
        if known[k] != 1:
            require(x.shape[k] == 1, "squeeze: an extent is not 1")
    if not axes:
        return x
    spec = "".join("i" if k in axes else ":" for k in range(x.ndim))
    return view_index(x, spec, *[0] * len(axes))


def _at_least(a: Any, rank: int, spec: str) -> Any:
    x = symbol(a)
    if x.ndim >= rank:
        return x
    return expand_dims(x, tuple(range(rank))) if not x.ndim else view_index(x, spec)


@function(np.atleast_1d, samples=(call(VECTOR), call(0.5)))
def atleast_1d(a: Any) -> Any:
    """At least one axis."""
    return _at_least(a, 1, ":")


@function(np.atleast_2d, samples=(call(VECTOR), call(0.5), call(MATRIX)))
def atleast_2d(a: Any) -> Any:
    """At least two axes; a vector becomes a row."""
    return _at_least(a, 2, "n:")


# ------------------------------------------------------------------------ broadcast


def stretch(x: Any, extents: tuple[Any, ...]) -> Any:
    """x broadcast to extents, as a new array."""
    wanted = known_dims(extents)
    if not x.ndim:
        return apply("full", x, *extents, dtype=x.dtype, dims=wanted)
    have = dims(x.type)
    lead = len(extents) - len(have)
    fits = lead >= 0 and broadcast_dims(have, wanted) == wanted
    if not fits:
        misfit(f"{x.type} does not broadcast to {wanted}")
    b = current()
    for k, extent in enumerate(have):
        if extent != 1:
            message = "broadcast: extents differ"
            require_equal(b, b.extent(x.atom, k), lift(extents[lead + k]), message)
    return apply("broadcast", x, *extents, dims=wanted)


@function(
    np.broadcast_to,
    samples=(call(TRIPLE, (2, 3)), call(MATRIX[:, :1], (2, 4)), call(0.5, (2, 2))),
)
def broadcast_to(array: Any, shape: Any) -> Any:
    """Stretched to other extents (a new array)."""
    return stretch(symbol(array), shape_from(shape))


@function(np.broadcast_arrays, samples=(call(TRIPLE, MATRIX),))
def broadcast_arrays(*args: Any) -> Any:
    """Stretched against each other (new arrays)."""
    xs = [symbol(x) for x in args]
    extents = together(xs, "np.broadcast_arrays")
    return tuple(stretch(x, extents) for x in xs)


def together(xs: list[Any], what: str) -> tuple[Any, ...]:
    """The extents of arrays broadcast together."""
    b = current()
    atoms = [x.atom for x in xs]
    if broadcast_dims(*(dims(a.type) for a in atoms)) is None:
        listed = " and ".join(str(a.type) for a in atoms)
        misfit(f"operands of {what} do not broadcast: {listed}")
    require_equal_extents(b, what, atoms)
    found = broadcast_extents(atoms, b.extent)
    return tuple(int(e.value) if isinstance(e, Const) else Sym(e) for e in found)


# --------------------------------------------------------------- questions, dtypes


@function(np.shape, samples=(call(MATRIX),))
def shape_of(a: Any) -> Any:
    """The extents."""
    return symbol(a).shape


@function(np.ndim, samples=(call(MATRIX),))
def ndim_of(a: Any) -> int:
    """The number of axes."""
    return symbol(a).ndim


@function(np.size, samples=(call(MATRIX), call(MATRIX, 1)))
def size_of(a: Any, axis: Any = None) -> Any:
    """The number of elements."""
    x = symbol(a)
    return product(x.shape) if axis is None else x.shape[one_axis(axis, x.ndim)]


@function(method="astype", samples=(call(MATRIX, np.float32), call(MATRIX, np.int64)))
def astype(a: Any, dtype: Any) -> Any:
    """At another dtype, as a new array."""
    out = cast(a, dtype_from(dtype))
    return fresh(out)


def _dtype_call(dtype: Any) -> Any:
    return lambda x=0: cast(symbol(x), np.dtype(dtype))


for _dtype in (
    np.float64,
    np.float32,
    np.int8,
    np.int16,
    np.int32,
    np.int64,
    np.uint8,
    np.uint16,
    np.uint32,
    np.uint64,
    np.bool_,
):
    function(
        _dtype,
        name=f"np.{np.dtype(_dtype).name}",
        doc="Conversion to a dtype.",
        samples=(call(1.7),),
    )(_dtype_call(_dtype))


@function(method="nbytes", is_property=True)
def _nbytes(a: Any) -> Any:
    """The size in bytes."""
    return product(a.shape) * a.dtype.itemsize


@function(method="itemsize", is_property=True)
def _itemsize(a: Any) -> int:
    """The size of an element in bytes."""
    return a.dtype.itemsize


@function(method="tolist")
def _tolist(a: Any) -> Any:
    """A list of the elements, where their number is known."""
    return [_tolist(x) if getattr(x, "ndim", 0) else x for x in array_of(a, "tolist")]
