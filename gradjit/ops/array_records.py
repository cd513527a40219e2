"""Records of the ops that make, read and update arrays (see `ops.array`)."""

# The rules below are lambdas over symbols, whose types nobody can say:
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradjit.errors import InternalError
from gradjit.ir.build import current
from gradjit.ir.build import index as number
from gradjit.ir.graph import Atom, Const
from gradjit.ir.op import Op, Params, Update, register
from gradjit.ir.types import (
    INDEX,
    INT64,
    ArrayType,
    ScalarType,
    Type,
    broadcast_dims,
    dims,
)
from gradjit.ops.array import (
    Extent,
    block_position,
    broadcast_extents,
    full,
    inverse,
    made,
    new_axes,
    store,
    subscript,
    take,
)
from gradjit.ops.sym import Sym, apply, elementwise, lift

# ------------------------------------------------------------------- type rules


def _array(type_: Type) -> ArrayType:
    if not isinstance(type_, ArrayType):
        raise InternalError(f"an array is needed, not {type_}")
    return type_


def _indexed(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    return (made(types[0].dtype, params["dims"]),)


def _same(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    return (types[0],)


def _filled(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    return (ArrayType(params["dtype"], params["dims"]),)


def _counted(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    return (ArrayType(params["dtype"], params["dims"]),)


def _permuted(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    old = _array(types[0])
    return (ArrayType(old.dtype, tuple(old.dims[k] for k in params["perm"])),)


def _redimmed(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    return (made(types[0].dtype, params["dims"]),)


def _gathered(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    shape = dims(types[0])
    picked = broadcast_dims(*(dims(t) for t in types[1:]))
    if picked is None:
        raise InternalError("index arrays do not broadcast")
    kept = tuple(d for d, c in zip(shape, params["spec"], strict=True) if c == ":")
    at = block_position(params["spec"])
    return (made(types[0].dtype, kept[:at] + picked + kept[at:]),)


def _positions(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    return (ArrayType(INT64, (None,)),) * _array(types[0]).rank


def _nothing(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    return ()


def _an_index(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    return (INDEX,)


# ------------------------------------------------------------------ shape rules


def _index_extents(args: Sequence[Atom], params: Params, extent: Extent) -> list[Atom]:
    out: list[Atom] = []
    axis, at = 0, 1
    for char in params["spec"]:
        if char == "i":
            at += 1
        elif char == "s":
            out.append(args[at + 1])
            at += 3
        elif char == ":":
            out.append(extent(args[0], axis))
        else:
            out.append(number(1))
        axis += char != "n"
    return out


def _own_extents(args: Sequence[Atom], params: Params, extent: Extent) -> list[Atom]:
    return [extent(args[0], k) for k in range(len(dims(args[0].type)))]


def _gather_extents(args: Sequence[Atom], params: Params, extent: Extent) -> list[Atom]:
    spec = params["spec"]
    kept = [extent(args[0], k) for k, c in enumerate(spec) if c == ":"]
    at = block_position(spec)
    return [*kept[:at], *broadcast_extents(args[1:], extent), *kept[at:]]


# --------------------------------------------------------------------- meanings


def _read(x: Any, *index: Any, spec: str, **_: Any) -> Any:
    out = x[subscript(spec, index)]
    return out.copy() if isinstance(out, np.ndarray) else out


def _write(x: Any, v: Any, *index: Any, spec: str, **_: Any) -> Any:
    out = x.copy()
    out[subscript(spec, index)] = v
    return out


def _write_add(x: Any, v: Any, *index: Any, spec: str, **_: Any) -> Any:
    out = x.copy()
    np.add.at(out, subscript(spec, index), v)
    return out


def _check(cond: Any, kind: str, message: str) -> None:
    if not cond:
        raise {
            "index": IndexError,
            "assert": AssertionError,
            "unbound": UnboundLocalError,
            "memory": MemoryError,
        }.get(kind, ValueError)(message)


# ------------------------------------------------------------------ derivatives


def _index_vjp(g: Any, out: Any, args: Sequence[Any], params: Params) -> list[Any]:
    rest: list[Any] = [None] * (len(args) - 1)
    spec = {"spec": params["spec"], "checked": False}
    return [Update(ADD_AT, g, tuple(args[1:]), spec), *rest]


def _store_vjp(g: Any, out: Any, args: Sequence[Any], params: Params) -> list[Any]:
    at = args[2:]
    spec = params["spec"]
    new = take(g, *at, spec=spec, checked=False)  # before its place is cleared
    old = store(g, 0.0, *at, spec=spec, checked=False)
    return [old, new, *[None] * len(at)]


def _add_at_vjp(g: Any, out: Any, args: Sequence[Any], params: Params) -> list[Any]:
    at = args[2:]
    new = take(g, *at, spec=params["spec"], checked=False)
    return [g, new, *[None] * len(at)]


def _gather_vjp(g: Any, out: Any, args: Sequence[Any], params: Params) -> list[Any]:
    spec = {"spec": params["spec"], "checked": False}
    rest: list[Any] = [None] * (len(args) - 1)
    return [Update(SCATTER_ADD, g, tuple(args[1:]), spec), *rest]


def _scatter_vjp(g: Any, out: Any, args: Sequence[Any], params: Params) -> list[Any]:
    """Where an index repeats, NumPy keeps the last value: only that one has a slope."""
    at = args[2:]
    spec = params["spec"]
    new = apply(GATHER, g, *at, spec=spec, checked=False)
    if any(a.ndim for a in at if isinstance(a, Sym)):
        new = elementwise("where", _last_writers(args[0], at, spec), new, 0.0)
    old = apply(SCATTER, g, _float_zero(g), *at, spec=spec, checked=False)
    return [old, new, *[None] * len(at)]


def _last_writers(x: Any, at: Sequence[Any], spec: str) -> Any:
    """Whether each place of the index block is the last to write its element."""
    b = current()
    block = broadcast_extents([lift(a) for a in at], b.extent)
    shape = tuple(int(e.value) if isinstance(e, Const) else None for e in block)
    total: Any = 1
    for e in block:
        total = b.wrap(e) * total
    flat = apply("iota", total, dtype=INT64, dims=(None,))
    order = apply("reshape", flat, *map(b.wrap, block), dims=shape)
    axes = [k for k, c in enumerate(spec) if c == "a"]
    known = dims(x.type)
    table = full(0, [x.shape[k] for k in axes], INT64, tuple(known[k] for k in axes))
    inner = "a" * len(axes)
    written = apply(SCATTER, table, order, *at, spec=inner, checked=False)
    mask = elementwise(
        "eq", apply(GATHER, written, *at, spec=inner, checked=False), order
    )
    trailing = spec.count(":") - block_position(spec)
    return new_axes(mask, tuple(range(len(block), len(block) + trailing)))


def _scatter_add_vjp(g: Any, out: Any, args: Sequence[Any], params: Params) -> Any:
    at = args[2:]
    new = apply(GATHER, g, *at, spec=params["spec"], checked=False)
    return [g, new, *[None] * len(at)]


def _full_vjp(g: Any, out: Any, args: Sequence[Any], params: Params) -> list[Any]:
    axes = tuple(range(g.ndim))
    return [apply("reduce_sum", g, axes=axes), *[None] * (len(args) - 1)]


def _reshape_vjp(g: Any, out: Any, args: Sequence[Any], params: Params) -> list[Any]:
    x = args[0]
    back = apply("reshape", g, *x.shape, dims=dims(x.type))
    return [back, *[None] * (len(args) - 1)]


def _transpose_vjp(g: Any, out: Any, args: Sequence[Any], params: Params) -> list[Any]:
    return [apply("transpose", g, perm=inverse(params["perm"]))]


def _broadcast_vjp(g: Any, out: Any, args: Sequence[Any], params: Params) -> list[Any]:
    # The walk sums over the axes that were added or stretched.
    return [g, *[None] * (len(args) - 1)]


def _float_zero(g: Any) -> Sym:
    return Sym(Const(0.0, ScalarType(g.dtype)))


# ---------------------------------------------------------------------- records

_Z = np.arange(12.0).reshape(3, 4)

DIM = register(
    Op(
        name="dim",
        kind="array",
        doc="The extent of an array along an axis.",
        infer=_an_index,
        evaluate=lambda x, axis: x.shape[axis],
        why_not="an extent is an integer",
        flat=True,
        cheap=True,
        samples=(((_Z,), {"axis": 1}),),
    )
)
IOTA = register(
    Op(
        name="iota",
        kind="array",
        doc="0, 1, ..., n - 1.",
        infer=_counted,
        evaluate=lambda n, dtype, dims: np.arange(n, dtype=dtype),
        extents=lambda args, params, extent: [args[0]],
        why_not="it counts",
        flat=True,
        cheap=True,
        samples=(((4,), {"dtype": INT64, "dims": (None,)}),),
    )
)
FULL = register(
    Op(
        name="full",
        kind="array",
        doc="An array of one value.",
        infer=_filled,
        evaluate=lambda value, *extents, dtype, dims: np.full(extents, value, dtype),
        extents=lambda args, params, extent: list(args[1:]),
        vjp=_full_vjp,
        linear=(0,),
        cheap=True,
        samples=(((1.5, 2, 3), {"dtype": np.dtype(float), "dims": (2, 3)}),),
    )
)
EMPTY = register(
    Op(
        name="empty",
        kind="array",
        doc="An array whose elements are not set.",
        infer=_filled,
        evaluate=lambda *extents, dtype, dims: np.zeros(extents, dtype),
        extents=lambda args, params, extent: list(args),
        why_not="it has no value yet",
        flat=True,
    )
)
INDEX_OP = register(
    Op(
        name="index",
        kind="array",
        doc="Basic subscript: x[i], x[1:-1], x[None].",
        infer=_indexed,
        evaluate=_read,
        extents=_index_extents,
        vjp=_index_vjp,
        linear=(0,),
        cheap=True,
        samples=(
            ((_Z, 1), {"spec": "i:", "dims": (4,), "checked": False}),
            ((_Z, 1, 2), {"spec": "ii", "dims": (), "checked": False}),
            ((_Z, 0, 2, 2), {"spec": "sn:", "dims": (2, 1, 4), "checked": False}),
        ),
    )
)
STORE = register(
    Op(
        name="store",
        kind="array",
        doc="A new version of x with v at a basic subscript.",
        infer=_same,
        evaluate=_write,
        extents=_own_extents,
        vjp=_store_vjp,
        linear=(0, 1),
        samples=(((_Z, 5.0, 1, 2), {"spec": "ii", "checked": False}),),
    )
)
ADD_AT = register(
    Op(
        name="add_at",
        kind="array",
        doc="A new version of x with v added at a basic subscript.",
        infer=_same,
        evaluate=_write_add,
        extents=_own_extents,
        vjp=_add_at_vjp,
        linear=(0, 1),
        samples=(((_Z, 5.0, 1), {"spec": "i:", "checked": False}),),
    )
)
_PICK = np.array([2, 0, 2])
GATHER = register(
    Op(
        name="gather",
        kind="array",
        doc="Subscript by integer arrays.",
        infer=_gathered,
        evaluate=_read,
        extents=_gather_extents,
        vjp=_gather_vjp,
        linear=(0,),
        cheap=True,
        samples=(
            ((_Z, _PICK), {"spec": "a:", "checked": False}),
            ((_Z, _PICK, 1), {"spec": "aa", "checked": False}),
        ),
    )
)
SCATTER = register(
    Op(
        name="scatter",
        kind="array",
        doc="A new version of x with v at a subscript of integer arrays.",
        infer=_same,
        evaluate=_write,
        extents=_own_extents,
        vjp=_scatter_vjp,
        linear=(0, 1),
        samples=(((_Z, 5.0, _PICK), {"spec": "a:", "checked": False}),),
    )
)
SCATTER_ADD = register(
    Op(
        name="scatter_add",
        kind="array",
        doc="A new version of x with v added at a subscript of integer arrays.",
        infer=_same,
        evaluate=_write_add,
        extents=_own_extents,
        vjp=_scatter_add_vjp,
        linear=(0, 1),
        samples=(((_Z, 5.0, _PICK), {"spec": "a:", "checked": False}),),
    )
)
NONZERO = register(
    Op(
        name="nonzero",
        kind="array",
        doc="The places where a mask is true, an index array per axis.",
        infer=_positions,
        evaluate=lambda mask: (
            np.nonzero(mask)[0] if mask.ndim == 1 else np.nonzero(mask)
        ),
        why_not="places are integers",
        flat=True,
    )
)
RESHAPE = register(
    Op(
        name="reshape",
        kind="array",
        doc="The same elements in C order with other extents.",
        infer=_redimmed,
        evaluate=lambda x, *extents, dims: np.reshape(x, extents),
        extents=lambda args, params, extent: list(args[1:]),
        vjp=_reshape_vjp,
        linear=(0,),
        cheap=True,
        samples=(((_Z, 2, 6), {"dims": (2, 6)}),),
    )
)
TRANSPOSE = register(
    Op(
        name="transpose",
        kind="array",
        doc="Axes in another order.",
        infer=_permuted,
        evaluate=lambda x, perm: np.transpose(x, perm),
        extents=lambda args, params, extent: [
            extent(args[0], k) for k in params["perm"]
        ],
        vjp=_transpose_vjp,
        linear=(0,),
        cheap=True,
        samples=(((_Z,), {"perm": (1, 0)}),),
    )
)
BROADCAST = register(
    Op(
        name="broadcast",
        kind="array",
        doc="An array stretched to wider extents.",
        infer=_redimmed,
        evaluate=lambda x, *extents, dims: np.broadcast_to(x, extents).copy(),
        extents=lambda args, params, extent: list(args[1:]),
        vjp=_broadcast_vjp,
        linear=(0,),
        cheap=True,
        samples=(((_Z, 2, 3, 4), {"dims": (2, 3, 4)}),),
    )
)
COPY = register(
    Op(
        name="copy",
        kind="array",
        doc="A fresh array with the same elements (program stage).",
        infer=_same,
        evaluate=lambda x: x.copy(),
        extents=_own_extents,
        vjp=lambda g, out, args, params: [g],
        linear=(0,),
    )
)
STOP_GRADIENT = register(
    Op(
        name="stop_gradient",
        kind="array",
        doc="The value, without a derivative.",
        infer=_same,
        evaluate=lambda x: x,
        extents=_own_extents,
        why_not="it stops the gradient",
        flat=True,
    )
)
CHECK = register(
    Op(
        name="check",
        kind="effect",
        doc="Raise unless a condition holds.",
        infer=_nothing,
        evaluate=_check,
        why_not="it has no result",
        flat=True,
    )
)
