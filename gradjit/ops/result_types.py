"""Type rules of elementwise ops: NumPy's promotion and broadcasting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gradjit.errors import ShapeError
from gradjit.ir.op import Params
from gradjit.ir.types import (
    BOOL,
    FLOAT64,
    INT,
    ArrayType,
    ScalarType,
    StackType,
    Type,
    broadcast_dims,
    dims,
    promote,
)


def operands(types: Sequence[Type]) -> list[ScalarType | ArrayType]:
    """The types, none of which is a stack."""
    return [t for t in types if not isinstance(t, StackType)]


def shaped(types: Sequence[Type], element: ScalarType) -> tuple[Type, ...]:
    """The result type: the element itself, or an array of it if any operand is."""
    if not any(isinstance(t, ArrayType) for t in types):
        return (element,)
    shape = broadcast_dims(*(dims(t) for t in types))
    if shape is None:
        listed = " and ".join(str(t) for t in types)
        raise ShapeError(f"operands do not broadcast: {listed}")
    return (ArrayType(element.dtype, shape),)


def infer_arithmetic(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    """NumPy's promotion; a Python bool counts as an int."""
    element = promote(*operands(types))
    if element.weak and element.dtype == BOOL:
        element = INT
    return shaped(types, element)


def infer_quotient(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    """A float, weak if all operands are."""
    element = promote(*operands(types))
    if element.dtype.kind != "f":
        element = ScalarType(FLOAT64, element.weak)
    return shaped(types, element)


def infer_float(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    """A float of NumPy's own; a Python float with `weak` (functions of `math`)."""
    element = promote(*operands(types))
    dtype = element.dtype if element.dtype.kind == "f" else FLOAT64
    return shaped(types, ScalarType(dtype, params.get("weak", False)))


def unweak(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function without the parameter that only the type rule looks at."""

    def plain(*args: Any, weak: bool = False) -> Any:
        return function(*args)

    return plain


def infer_truth(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    """A bool, weak if all operands are."""
    weak = all(isinstance(t, ScalarType) and t.weak for t in types)
    return shaped(types, ScalarType(BOOL, weak))


def infer_same(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    """The type of the operands, bools included."""
    return shaped(types, promote(*operands(types)))


def infer_where(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    """The type of the two alternatives, shaped by the condition too."""
    return shaped(types, promote(*operands(types[1:])))


def infer_cast(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    """What the parameters say."""
    return shaped(types, ScalarType(params["dtype"], params.get("weak", False)))
