"""Leaves of a call: what kind each is, and how it is made fit for compiled code.

Compiled code takes native, aligned, C-contiguous arrays and plain numbers. Anything
else that NumPy would take is brought to that form, and brought back where the function
writes into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np

from gradjit.errors import DtypeError, GradjitError
from gradjit.ir.types import DTYPES, FLOAT, INT, ArrayType, DType, ScalarType

Array = np.ndarray[Any, Any]
# Axes whose extents are part of the key, counted as in NumPy; None for all.
Axes = tuple[int, ...] | None
Kind = Literal["float", "int", "scalar", "zero", "array"]

_TYPES: dict[DType, DType] = {d: d for d in DTYPES}
_INT64 = np.iinfo(np.int64)


@dataclass(frozen=True, slots=True)
class Spec:
    """What of a leaf is part of the compile key.

    Attributes:
        kind: A Python float or int, a NumPy scalar, an array without axes, an array.
        dtype: Its element type.
        dims: For each axis 1 where that is the extent, the extent of an argument that
            is static, else None.
    """

    kind: Kind
    dtype: DType
    dims: tuple[int | None, ...] = ()

    @property
    def type(self) -> ScalarType | ArrayType:
        """The type of the graph's parameter."""
        if self.kind == "float":
            return FLOAT
        if self.kind == "int":
            return INT
        if self.kind == "array":
            return ArrayType(self.dtype, self.dims)
        return ScalarType(self.dtype)

    def loose(self) -> Spec:
        """The same without the extents of 1, which code need not know."""
        dims = tuple(None if n == 1 else n for n in self.dims)
        return Spec(self.kind, self.dtype, dims)

    def __str__(self) -> str:
        if self.kind in ("float", "int"):
            return self.kind
        shape = ", ".join(":" if n is None else str(n) for n in self.dims)
        return (
            f"{self.dtype.name}[{shape}]" if self.kind != "scalar" else self.dtype.name
        )


_FLOAT = Spec("float", np.dtype(np.float64))
_INT = Spec("int", np.dtype(np.int64))


def prepare(leaf: Any, static: Axes = ()) -> tuple[Spec, Any]:
    """The spec of a leaf, and the value that compiled code is called with.

    The value is the leaf itself where that will do.

    Args:
        leaf: A number or an array.
        static: The axes whose extents are part of the key.
    """
    if type(leaf) is float:
        return _FLOAT, leaf
    if type(leaf) is int:
        if not _INT64.min <= leaf <= _INT64.max:
            raise DtypeError(f"the integer {leaf} does not fit into int64")
        return _INT, leaf
    if isinstance(leaf, np.ndarray):
        return _array(cast("Array", leaf), static)
    if isinstance(leaf, np.generic):
        scalar = cast("Any", leaf)
        return Spec("scalar", _native(scalar.dtype, scalar)), scalar
    raise DtypeError(
        f"{type(leaf).__name__} numbers are not supported",
        hint="Use float64 or float32; split complex numbers into two real arrays.",
    )


def _array(x: Array, static: Axes) -> tuple[Spec, Any]:
    if isinstance(x, np.matrix | np.ma.MaskedArray):
        raise DtypeError(
            f"{type(x).__name__} is not a plain array: its operators mean other things",
            hint="Pass np.asarray(x), or x.filled().",
        )
    dtype = _native(x.dtype, x)
    if x.ndim == 0:
        return Spec("zero", dtype), x.astype(dtype, copy=False)[()]
    spec = Spec("array", dtype, _dims(x, static))
    flags = x.flags
    if type(x) is np.ndarray and x.dtype is dtype and flags.carray:
        return spec, x
    if x.dtype.isnative and flags.carray:
        return spec, np.asarray(x).view(dtype)
    return spec, np.array(x, dtype=dtype, order="C", subok=False)


def array_spec(x: Any, static: Axes) -> Spec:
    """The spec of an array of any library.

    Args:
        x: With a dtype of NumPy's or one that NumPy knows, ndim and shape.
        static: The axes whose extents are part of the key.
    """
    try:
        dtype = np.dtype(str(x.dtype).removeprefix("torch."))
    except TypeError:  # bfloat16, for one
        dtype = np.dtype(object)
    found = _TYPES.get(dtype)
    if found is None:
        raise DtypeError(
            f"{x.dtype} arrays are not supported",
            hint="Use float64, float32, an integer dtype or bool.",
        )
    return Spec("array", found, _dims(x, static))


def _dims(x: Array, static: Axes) -> tuple[int | None, ...]:
    """The extents of an array that are part of the key."""
    if static is None:
        return tuple(x.shape)
    if not static:
        return tuple(n if n == 1 else None for n in x.shape)
    for k in static:
        if not -x.ndim <= k < x.ndim:
            raise GradjitError(f"static names axis {k} of an array of {x.ndim} axes")
    known = {k % x.ndim for k in static}
    return tuple(n if n == 1 or k in known else None for k, n in enumerate(x.shape))


def _native(dtype: DType, leaf: Any) -> DType:
    """The supported dtype in native byte order."""
    found = _TYPES.get(dtype.newbyteorder("="))
    if found is None:
        raise DtypeError(
            f"{dtype} arrays are not supported"
            if isinstance(leaf, np.ndarray)
            else f"{dtype} numbers are not supported",
            hint="Use float64, float32, an integer dtype or bool.",
        )
    return found


def written_back(original: Any, value: Any, path: str) -> bool:
    """Whether a written argument is a copy, so that it has to be copied back."""
    if not original.flags.writeable:
        raise ValueError(f"assignment destination is read-only: {path} is written into")
    return original is not value and not np.shares_memory(original, value)


def refuse_folded(name: str, written: str, a: Array) -> None:
    """Refuse an argument that is written into and has elements in the same place.

    Axes from the smallest stride to the largest: each has to step over all before it.
    """
    reach = a.itemsize
    pairs = zip(map(abs, a.strides), a.shape, strict=True)
    for stride, count in sorted((s, n) for s, n in pairs if n != 1):
        if stride < reach and a.size and a.flags.writeable:
            raise GradjitError(
                f"{name} writes into {written}, whose elements share memory",
                hint="Pass a copy of it.",
            )
        reach += stride * (count - 1)


def refuse_overlap(name: str, written: str, a: Any, other: str, b: Any) -> None:
    """Refuse an argument that is written into and shares memory with another."""
    if not np.may_share_memory(a, b):
        return
    try:
        work: Any = 10_000
        shared = np.shares_memory(a, b, max_work=work)
    except np.exceptions.TooHardError:
        shared = True
    if shared:
        raise GradjitError(
            f"{name} writes into {written}, which shares memory with {other}",
            hint="Pass a copy of one of them.",
        )


def meet(written: Sequence[Array], others: Sequence[Array]) -> bool:
    """Whether an array that is written into may share memory with another one.

    Arrays that own their memory do not, and that is soon seen.
    """
    every = (*written, *others)
    if all(x.base is None for x in every) and all(x.flags.owndata for x in written):
        return len(set(map(id, every))) < len(every)
    return any(
        np.may_share_memory(a, b) for k, a in enumerate(written) for b in every[k + 1 :]
    )
