"""Types of values: scalars, arrays of known rank, and stacks of residuals.

An extent in `ArrayType.dims` is an int that the program itself fixes, 1 where that is
known (it broadcasts), or None: an extent of run time, which never broadcasts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DType = np.dtype

FLOAT64 = np.dtype(np.float64)
FLOAT32 = np.dtype(np.float32)
INT64 = np.dtype(np.int64)
BOOL = np.dtype(np.bool_)

DTYPES = tuple(
    np.dtype(t)
    for t in (
        np.bool_,
        np.int8,
        np.int16,
        np.int32,
        np.int64,
        np.uint8,
        np.uint16,
        np.uint32,
        np.uint64,
        np.float32,
        np.float64,
    )
)


@dataclass(frozen=True, slots=True)
class ScalarType:
    """A number. A weak one came from Python and yields to NumPy's types (NEP 50)."""

    dtype: DType
    weak: bool = False

    def __str__(self) -> str:
        return f"{self.dtype.name}{'*' if self.weak else ''}"


@dataclass(frozen=True, slots=True)
class ArrayType:
    """An array: element type, and for each axis a known extent or None."""

    dtype: DType
    dims: tuple[int | None, ...]

    @property
    def rank(self) -> int:
        return len(self.dims)

    def __str__(self) -> str:
        inner = ", ".join("?" if d is None else str(d) for d in self.dims)
        return f"{self.dtype.name}[{inner}]"


@dataclass(frozen=True, slots=True)
class StackType:
    """A last-in, first-out store of values of one type."""

    item: ScalarType | ArrayType

    @property
    def dtype(self) -> DType:
        return self.item.dtype

    def __str__(self) -> str:
        return f"stack[{self.item}]"


Type = ScalarType | ArrayType | StackType

FLOAT = ScalarType(FLOAT64, weak=True)
INT = ScalarType(INT64, weak=True)
INDEX = ScalarType(INT64, weak=True)
REAL = ScalarType(FLOAT64)
TRUTH = ScalarType(BOOL, weak=True)


def is_float(type_: Type) -> bool:
    """Whether values of the type can carry a derivative."""
    return type_.dtype.kind == "f"


def rank(type_: Type) -> int:
    """Number of axes; 0 for a scalar."""
    return type_.rank if isinstance(type_, ArrayType) else 0


def dims(type_: Type) -> tuple[int | None, ...]:
    """Known extents; empty for a scalar."""
    return type_.dims if isinstance(type_, ArrayType) else ()


def scalar_of(type_: Type) -> ScalarType:
    """The type of one element."""
    if isinstance(type_, ArrayType):
        return ScalarType(type_.dtype)
    if isinstance(type_, StackType):
        raise TypeError("a stack has no element type")
    return type_


def _python_example(type_: ScalarType | ArrayType) -> object:
    """What stands for the type in `np.result_type`."""
    if isinstance(type_, ScalarType) and type_.weak:
        return {"f": 1.0, "i": 1, "b": True}[type_.dtype.kind]
    return type_.dtype


def promote(*types: ScalarType | ArrayType) -> ScalarType:
    """NumPy's result type of an operation, weak only if every operand is.

    >>> promote(ScalarType(FLOAT32), FLOAT)
    ScalarType(dtype=dtype('float32'), weak=False)
    """
    weak = all(isinstance(t, ScalarType) and t.weak for t in types)
    if weak:
        order = {"b": 0, "i": 1, "f": 2}
        return max(
            (t for t in types if isinstance(t, ScalarType)),
            key=lambda t: order[t.dtype.kind],
        )
    strong = [t for t in types if not (isinstance(t, ScalarType) and t.weak)]
    loose = [t for t in types if isinstance(t, ScalarType) and t.weak]
    dtype = np.result_type(*(t.dtype for t in strong))
    for t in loose:
        # NEP 50: a Python bool never changes the type; an int or a float does only
        # if it is of a higher kind.
        if t.dtype.kind == "b":
            continue
        dtype = np.result_type(dtype, _python_example(t))  # type: ignore[arg-type]
    return ScalarType(dtype)


def broadcast_dims(
    *shapes: tuple[int | None, ...],
) -> tuple[int | None, ...] | None:
    """The dims of a broadcast result, or None where known extents do not fit.

    None against None is taken as equal (a check at run time); 1 broadcasts.
    """
    width = max((len(s) for s in shapes), default=0)
    out: list[int | None] = []
    for axis in range(-width, 0):
        extents = [s[axis] for s in shapes if len(s) >= -axis]
        wide = [e for e in extents if e != 1]
        known = {e for e in wide if e is not None}
        if len(known) > 1:
            return None
        if known:
            out.append(known.pop())
        else:
            out.append(None if wide else 1)
    return tuple(out)
