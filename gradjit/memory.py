"""Arrays that emitted code makes: `np.empty` and its relatives, light to compile.

Numba compiles a chain of Python functions for each way of calling `np.empty` (0.1 s)
and `np.zeros` (0.2 s). Here the few instructions that allocate an array of a known type
are written down at once, in the calling function: 0.02 s.

Emitted files import this module as `mem`. Called from plain Python the functions are
NumPy's.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# Neither llvmlite nor Numba has types.
ir: Any = importlib.import_module("llvmlite.ir")
types: Any = importlib.import_module("numba.core.types")
extending: Any = importlib.import_module("numba.extending")
cgutils: Any = importlib.import_module("numba.core.cgutils")
imputils: Any = importlib.import_module("numba.core.imputils")

_WORD: Any = ir.IntType(64)


# ------------------------------------------------------------------- for plain Python


def empty(shape: Any, dtype: Any = np.float64) -> Any:
    """`numpy.empty`.

    Args:
        shape: An extent, or a tuple of them.
        dtype: A NumPy scalar type.
    """
    return np.empty(shape, dtype)


def zeros(shape: Any, dtype: Any = np.float64) -> Any:
    """`numpy.zeros`.

    Args:
        shape: An extent, or a tuple of them.
        dtype: A NumPy scalar type.
    """
    return np.zeros(shape, dtype)


def ones(shape: Any, dtype: Any = np.float64) -> Any:
    """`numpy.ones`.

    Args:
        shape: An extent, or a tuple of them.
        dtype: A NumPy scalar type.
    """
    return np.ones(shape, dtype)


def full(shape: Any, value: Any, dtype: Any = np.float64) -> Any:
    """`numpy.full`.

    Args:
        shape: An extent, or a tuple of them.
        value: What each element is.
        dtype: A NumPy scalar type.
    """
    return np.full(shape, value, dtype)


def copy(array: Any) -> Any:
    """A contiguous copy of an array or of a view.

    Args:
        array: Any array.
    """
    return np.array(array, order="C")


# ------------------------------------------------------------------- for compiled code


def allocate(
    context: Any, builder: Any, array_type: Any, extents: Sequence[Any]
) -> Any:
    """Instructions for a new array, with its elements as they come.

    Args:
        context: Numba's target context.
        builder: Where the instructions go.
        array_type: The type of the array, C-contiguous.
        extents: Its extents, as 64-bit integers.

    Returns:
        Numba's proxy of the array.
    """
    element = context.get_data_type(array_type.dtype)
    size = _WORD(context.get_abi_sizeof(element))
    strides, count = [size], size
    wrong = ir.IntType(1)(0)
    for extent in reversed(extents):
        wrong = builder.or_(wrong, builder.icmp_signed("<", extent, _WORD(0)))
        product = builder.smul_with_overflow(count, extent)
        count = builder.extract_value(product, 0)
        wrong = builder.or_(wrong, builder.extract_value(product, 1))
        strides.insert(0, count)
    with builder.if_then(wrong, likely=False):
        message = "negative dimensions are not allowed, and arrays too big"
        context.call_conv.return_user_exc(builder, ValueError, (message,))
    align = context.get_preferred_array_alignment(array_type.dtype)
    info = context.nrt.meminfo_alloc_aligned(
        builder, size=count, align=ir.IntType(32)(align)
    )
    data = context.nrt.meminfo_data(builder, info)
    array = context.make_array(array_type)(context, builder)
    array.meminfo = info
    array.parent = cgutils.get_null_value(array.parent.type)
    array.nitems = builder.sdiv(count, size)
    array.itemsize = size
    array.data = builder.bitcast(data, element.as_pointer())
    array.shape = cgutils.pack_array(builder, extents, ty=_WORD)
    array.strides = cgutils.pack_array(builder, strides[1:], ty=_WORD)
    return array


def new_result(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    """A new array as the value of a call."""
    value = array._getvalue()
    return imputils.impl_ret_new_ref(context, builder, array_type, value)


def _extents(context: Any, builder: Any, kind: Any, shape: Any) -> list[Any]:
    if isinstance(kind, types.Integer):
        return [context.cast(builder, shape, kind, types.intp)]
    parts = cgutils.unpack_tuple(builder, shape, count=len(kind))
    return [
        context.cast(builder, part, one, types.intp)
        for part, one in zip(parts, kind, strict=True)
    ]


def _array_type(shape: Any, dtype: Any) -> Any:
    rank = 1 if isinstance(shape, types.Integer) else len(shape)
    return types.Array(types.float64 if dtype is None else dtype.dtype, rank, "C")


def _new(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    extents = _extents(context, builder, signature.args[0], args[0])
    return allocate(context, builder, signature.return_type, extents)


def _empty(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    array = _new(context, builder, signature, args)
    return new_result(context, builder, signature.return_type, array)


def _zeros(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    array = _new(context, builder, signature, args)
    length = builder.mul(array.itemsize, array.nitems)
    cgutils.memset(builder, array.data, length, 0)
    return new_result(context, builder, signature.return_type, array)


def _ones(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    one = context.get_constant(signature.return_type.dtype, 1)
    return _filled_with(context, builder, signature, args, one)


def _full(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    kind = signature.return_type.dtype
    value = context.cast(builder, args[1], signature.args[1], kind)
    return _filled_with(context, builder, signature, args, value)


def _filled_with(
    context: Any, builder: Any, signature: Any, args: Any, value: Any
) -> Any:
    array = _new(context, builder, signature, args)
    element = array.data.type.pointee
    if value.type != element:  # a bool is one bit, and one byte in an array
        value = builder.zext(value, element)
    with cgutils.for_range(builder, array.nitems, intp=_WORD) as loop:
        builder.store(value, builder.gep(array.data, [loop.index]))
    return new_result(context, builder, signature.return_type, array)


def _copy(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    (kind,) = signature.args
    source = context.make_array(kind)(context, builder, args[0])
    extents = cgutils.unpack_tuple(builder, source.shape, count=kind.ndim)
    array = allocate(context, builder, signature.return_type, extents)
    if kind.layout == "C":
        length = builder.mul(array.itemsize, array.nitems)
        cgutils.raw_memcpy(builder, array.data, source.data, length, _WORD(1))
        return new_result(context, builder, signature.return_type, array)
    outer = cgutils.unpack_tuple(builder, source.strides, count=kind.ndim)
    inner = cgutils.unpack_tuple(builder, array.strides, count=kind.ndim)
    with cgutils.loop_nest(builder, extents, _WORD) as at:
        value = builder.load(_place(builder, source.data, outer, at))
        builder.store(value, _place(builder, array.data, inner, at))
    return new_result(context, builder, signature.return_type, array)


def _place(builder: Any, data: Any, strides: Sequence[Any], at: Sequence[Any]) -> Any:
    return cgutils.pointer_add(
        builder,
        data,
        _dot(builder, strides, at),
        return_type=data.type,
    )


def _dot(builder: Any, strides: Sequence[Any], at: Sequence[Any]) -> Any:
    total = _WORD(0)
    for stride, index in zip(strides, at, strict=True):
        total = builder.add(total, builder.mul(stride, index))
    return total


def _made(context: Any) -> Callable[..., Any]:
    def type_of(shape: Any, dtype: Any = None) -> Any:
        return _array_type(shape, dtype)

    return type_of


def _filled(context: Any) -> Callable[..., Any]:
    def type_of(shape: Any, value: Any, dtype: Any = None) -> Any:
        return _array_type(shape, dtype)

    return type_of


def _copied(context: Any) -> Callable[..., Any]:
    def type_of(array: Any) -> Any:
        return array.copy(layout="C", readonly=False)

    return type_of


def _register() -> None:
    table: list[tuple[Any, Any, Any, tuple[int, ...]]] = [
        (empty, _made, _empty, (1, 2)),
        (zeros, _made, _zeros, (1, 2)),
        (ones, _made, _ones, (1, 2)),
        (full, _filled, _full, (2, 3)),
        (copy, _copied, _copy, (1,)),
    ]
    for function, typer, lower, counts in table:
        extending.type_callable(function)(typer)
        for count in counts:
            extending.lower_builtin(function, *[types.Any] * count)(lower)


_register()
