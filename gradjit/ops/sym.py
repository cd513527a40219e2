"""Symbols: what programs and derivative rules compute with.

A `Sym` stands for an atom of the graph. Its operators append equations to the current
builder, with NumPy's promotion and broadcasting. The tracer's handles are Syms; so are
the cotangents in a derivative rule: rules are written as users write programs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from gradjit.errors import DtypeError, ShapeError
from gradjit.ir.build import Builder, current, index
from gradjit.ir.graph import Atom, Const
from gradjit.ir.op import Op, lookup
from gradjit.ir.types import (
    BOOL,
    FLOAT,
    FLOAT64,
    INT,
    TRUTH,
    ArrayType,
    DType,
    ScalarType,
    StackType,
    broadcast_dims,
    dims,
    promote,
)

# Methods and attributes of arrays, filled by `ops.surface.function(method=...)`.
METHODS: dict[str, Callable[..., Any]] = {}


class Sym:
    """A value of the program. `atom` is the SSA value it stands for now."""

    __slots__ = ("_atom",)
    __array_priority__ = 1000.0

    def __init__(self, atom: Atom) -> None:
        self._atom = atom

    @property
    def atom(self) -> Atom:
        return self._atom

    @property
    def type(self) -> ScalarType | ArrayType:
        type_ = self.atom.type
        if isinstance(type_, StackType):
            raise DtypeError("a stack is not a number or an array")
        return type_

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    @property
    def ndim(self) -> int:
        return len(dims(self.type))

    @property
    def shape(self) -> tuple[Any, ...]:
        """Extents: Python ints where known, else symbols."""
        atom = self.atom
        builder = current()
        return tuple(
            builder.wrap(builder.extent(atom, k)) for k in range(len(dims(atom.type)))
        )

    @property
    def size(self) -> Any:
        out: Any = 1
        for extent in self.shape:
            out = extent * out if isinstance(out, int) and out == 1 else out * extent
        return out

    def __getattr__(self, name: str) -> Any:
        method = METHODS.get(name)
        if method is None:
            raise AttributeError(f"a traced value has no attribute {name!r}")
        if getattr(method, "is_property", False):
            return method(self)

        def bound(*args: Any, **kwargs: Any) -> Any:
            return method(self, *args, **kwargs)

        return bound

    def __repr__(self) -> str:
        return f"<traced {self.atom!r}>"

    def __hash__(self) -> int:
        return id(self)

    def __len__(self) -> int:
        return current().concrete_length(self)

    def __bool__(self) -> bool:
        return current().concrete(self, "bool")

    def __index__(self) -> int:
        return current().concrete(self, "int")

    def __int__(self) -> int:
        return current().concrete(self, "int")

    def __float__(self) -> float:
        return current().concrete(self, "float")

    def __iter__(self) -> Any:
        return current().iterate(self)

    def __getitem__(self, key: Any) -> Any:
        return METHODS["__getitem__"](self, key)

    def __neg__(self) -> Any:
        return elementwise("neg", self)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return elementwise("abs", self)

    def __invert__(self) -> Any:
        return elementwise("logical_not" if self.dtype == BOOL else "invert", self)

    def __divmod__(self, other: Any) -> tuple[Any, Any]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Any, Any]:
        return other // self, other % self

    def __pow__(self, other: Any) -> Any:
        return power(self, other)

    def __rpow__(self, other: Any) -> Any:
        return power(other, self)

    def __matmul__(self, other: Any) -> Any:
        return METHODS["__matmul__"](self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return METHODS["__matmul__"](other, self)


def _operator(op: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def forward(self: Sym, other: Any) -> Any:
        return _binary(op, self, other)

    def backward(self: Sym, other: Any) -> Any:
        return _binary(op, other, self)

    return forward, backward


def _binary(op: str, a: Any, b: Any) -> Any:
    if not (is_operand(a) and is_operand(b)):
        return NotImplemented
    if all(dtype_of(x) == BOOL for x in (a, b)):
        return _binary_of_bools(op, a, b)
    return elementwise(op, a, b)


def _binary_of_bools(op: str, a: Any, b: Any) -> Any:
    """An operator on two bools: Python counts with them, NumPy does not."""
    if op.startswith("bit"):
        return elementwise(f"logical_{op[3:]}", a, b)
    weak = all(getattr(lift(x).type, "weak", False) for x in (a, b))
    if not weak and op == "sub":
        raise DtypeError(
            "bools cannot be subtracted",
            current().loc,
            "Use ^ or !=, or make them integers: x.astype(int).",
        )
    named = {"add": "logical_or", "mul": "logical_and"}
    return elementwise(op if weak else named.get(op, op), a, b)


for _name, _op in {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "truediv": "div",
    "floordiv": "floordiv",
    "mod": "mod",
    "and": "bitand",
    "or": "bitor",
    "xor": "bitxor",
    "lshift": "shl",
    "rshift": "shr",
}.items():
    _forward, _backward = _operator(_op)
    setattr(Sym, f"__{_name}__", _forward)
    setattr(Sym, f"__r{_name}__", _backward)
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Sym, f"__{_name}__", _operator(_name)[0])


def is_operand(x: Any) -> bool:
    """Whether x is a number, an array or a symbol."""
    return isinstance(x, Sym | bool | int | float | np.ndarray | np.generic)


def lift(x: Any) -> Atom:
    """The atom of a symbol, of a number, or of an array that the program captures."""
    if isinstance(x, Sym):
        return x.atom
    if isinstance(x, bool):
        return Const(x, TRUTH)
    if isinstance(x, int):
        return Const(x, INT)
    if isinstance(x, np.generic) and not isinstance(x, float):
        scalar = cast(Any, x)
        return Const(scalar.item(), ScalarType(scalar.dtype))
    if isinstance(x, np.float64):
        return Const(float(x), ScalarType(FLOAT64))
    if isinstance(x, float):
        return Const(x, FLOAT)
    if isinstance(x, np.ndarray):
        if x.ndim == 0:
            return lift(x[()])
        return current().capture(x)
    if isinstance(x, list | tuple):
        return lift(METHODS["array"](x))
    raise DtypeError(f"a {type(x).__name__} is not a number or an array")


def dtype_of(x: Any) -> DType:
    """The dtype of an operand."""
    own = isinstance(x, Sym | np.ndarray | np.generic)
    return cast(Any, x).dtype if own else lift(x).type.dtype


def wrap(atom: Atom) -> Any:
    """What the current builder hands to programs for an atom."""
    return current().wrap(atom)


def apply(op: Op | str, *args: Any, name: str = "", **params: Any) -> Any:
    """Emit an op; a symbol, or a tuple of symbols where it has several results."""
    builder = current()
    outs = builder.emit(op, *map(lift, args), names=(name,), **params)
    wrapped = tuple(builder.wrap(o) for o in outs)
    return wrapped[0] if len(wrapped) == 1 else wrapped


def elementwise(op: Op | str, *operands: Any, **params: Any) -> Any:
    """Emit an elementwise op with NumPy's promotion and broadcasting."""
    op = lookup(op) if isinstance(op, str) else op
    builder = current()
    if op.name in _SHIFTS:
        operands = _within_bits(op.name, *operands)
    atoms = [lift(x) for x in operands]
    if op.dtypes != "keep":
        atoms = _promoted(builder, op, atoms)
    elif op.name == "where":
        atoms[1:] = _promoted(builder, op, atoms[1:])
    _check_broadcast(builder, op, atoms)
    (out,) = builder.emit(op, *atoms, **params)
    return builder.wrap(out)


_SHIFTS = ("shl", "shr")
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
# Ops of two bools that NumPy computes in int8.
_COUNTING = ("floordiv", "mod", "fmod", "pow", "powi")


def _within_bits(name: str, x: Any, by: Any) -> tuple[Any, Any]:
    """A shift as NumPy has it: by more than all bits, all of them go.

    Machines and Python do each something else then.
    """
    dtype = promote(lift(x).type, lift(by).type).dtype  # type: ignore[arg-type]
    bits = 8 * dtype.itemsize
    if isinstance(by, int) and 0 <= by < bits:
        return x, by
    inside = elementwise("lt", by, bits)
    if dtype_of(by).kind == "i":
        inside = elementwise("logical_and", elementwise("le", 0, by), inside)
    if name == "shr" and dtype.kind == "i":
        return x, elementwise("where", inside, by, bits - 1)
    return elementwise("where", inside, x, 0), elementwise("where", inside, by, 0)


def _promoted(builder: Builder, op: Op, atoms: list[Atom]) -> list[Atom]:
    """The operands at the dtype that NumPy would compute with."""
    target = promote(*(a.type for a in atoms))  # type: ignore[arg-type]
    if op.dtypes == "float" and target.dtype.kind != "f":
        wide = target.weak or op.name == "div"  # a quotient is always a float64
        dtype = FLOAT64 if wide else _float_for(target.dtype)
        target = ScalarType(dtype, target.weak)
    if op.name in _COUNTING and target == ScalarType(BOOL):
        target = ScalarType(np.dtype(np.int8))
    if op.name in _COMPARISONS and target.dtype.kind in "iu":
        numbers = [a.value for a in atoms if isinstance(a, Const)]
        if not all(_has_place(n, target.dtype) for n in numbers):
            return atoms  # a comparison takes any Python integer
    return [_cast_operand(builder, a, target) for a in atoms]


def _float_for(dtype: DType) -> DType:
    """The float that NumPy computes in for an integer dtype."""
    return np.dtype(np.float32) if dtype.itemsize == 2 else FLOAT64


def _cast_operand(builder: Builder, atom: Atom, target: ScalarType) -> Atom:
    kind = atom.type.dtype.kind
    if isinstance(atom, Const):
        value = atom.value
        if target.dtype.kind == "f":
            value = float(value)
        elif target.dtype.kind in "iu":
            value = int(value)
            if not _has_place(value, target.dtype):
                raise DtypeError(
                    f"the integer {value} does not fit into {target.dtype.name}",
                    current().loc,
                    "Make the array wider first: x.astype(int).",
                )
        return Const(value, ScalarType(target.dtype, atom.type.weak and target.weak))
    if atom.type.dtype == target.dtype:
        return atom
    if target.dtype == FLOAT64 and kind in "iu":
        return atom  # Python, NumPy and Numba agree on int with float64
    return builder.emit1("cast", atom, dtype=target.dtype, weak=target.weak)


def _has_place(value: Any, dtype: DType) -> bool:
    """Whether an integer can be an element of an integer array."""
    limits = np.iinfo(dtype)
    return limits.min <= value <= limits.max


def _check_broadcast(builder: Builder, op: Op, atoms: list[Atom]) -> None:
    """Refuse extents that cannot fit; check at run time those that must be equal."""
    shapes = [dims(a.type) for a in atoms]
    if sum(map(bool, shapes)) < 2:
        return
    if broadcast_dims(*shapes) is None:
        listed = " and ".join(
            str(ArrayType(a.type.dtype, s))
            for a, s in zip(atoms, shapes, strict=True)
            if s
        )
        raise ShapeError(
            f"operands of {op.name} do not broadcast: {listed}", builder.loc
        )
    require_equal_extents(builder, op.name, atoms)


def require_equal_extents(builder: Builder, what: str, atoms: list[Atom]) -> None:
    """Emit checks for axes whose extents are only known at run time."""
    if not builder.checks:
        return
    width = max(len(dims(a.type)) for a in atoms)
    for axis in range(-width, 0):
        extents: list[Atom] = []
        for atom in atoms:
            shape = dims(atom.type)
            if len(shape) >= -axis and shape[axis] != 1:
                extents.append(builder.extent(atom, len(shape) + axis))
        for other in extents[1:]:
            require_equal(
                builder, extents[0], other, f"extents of the operands of {what} differ"
            )


def require_equal(builder: Builder, a: Atom, b: Atom, message: str) -> None:
    """Emit a check that two extents are equal, unless they are the same atom."""
    if a is b or not builder.checks:
        return
    if isinstance(a, Const) and isinstance(b, Const):
        if a.value == b.value:
            return
        raise ShapeError(f"{message}: {a.value} and {b.value}", builder.loc)
    if builder.facts.affine(a).same(builder.facts.affine(b)):
        return
    same = builder.emit1("eq", a, b)
    builder.emit("check", same, kind="shape", message=message)


def power(x: Any, n: Any) -> Any:
    """x ** n: with an integer constant a product, as NumPy and Python compute it."""
    if not (is_operand(x) and is_operand(n)):
        return NotImplemented
    if (
        isinstance(n, Sym)
        and isinstance(n.atom, Const)
        and n.atom.type.dtype.kind in "iu"
    ):
        n = int(n.atom.value)
    kind = dtype_of(x).kind
    if isinstance(n, int) and not isinstance(n, bool):
        return _whole_power(x, n, kind)
    if isinstance(n, float) and n.is_integer() and abs(n) <= 64 and kind == "f":
        common = promote(lift(x).type, lift(n).type)  # type: ignore[arg-type]
        if common.dtype == dtype_of(x):
            return _whole_power(x, int(n), kind)
    if kind in "iub" and dtype_of(n).kind == "i":
        _require_natural(n)
    return elementwise("pow", x, n)


def _require_natural(n: Any) -> None:
    """Emit a check that an integer's exponents are not negative."""
    builder = current()
    natural = elementwise("ge", n, 0)
    if not builder.checks or not isinstance(natural, Sym):
        return
    if natural.ndim:
        axes = tuple(range(natural.ndim))
        natural = apply("reduce_and", natural, axes=axes)
    message = "an integer to a negative power is not an integer"
    builder.emit("check", natural.atom, kind="shape", message=message)


def _whole_power(x: Any, n: int, kind: str) -> Any:
    """x ** n for a constant integer n; Numba's own x ** -1 raises at 0."""
    if kind == "f" or n >= 0:
        return elementwise("powi", x, n=n) if n >= 0 else 1.0 / power(x, -n)
    if isinstance(lift(x).type, ScalarType) and lift(x).type.weak:  # type: ignore[union-attr]
        return 1.0 / power(x, -n)
    raise DtypeError(
        f"an integer to the negative power {n} is not an integer",
        current().loc,
        "Make the base a float: x.astype(float), or 1.0 / x.",
    )


def integer(x: Any) -> Atom:
    """An integer atom from a Python int or a symbol."""
    if isinstance(x, bool | int | np.integer):
        number = cast(Any, x)
        return index(int(number))
    if isinstance(x, Sym) and isinstance(x.type, ScalarType) and x.dtype.kind in "iu":
        return x.atom
    raise DtypeError(f"an integer is needed, not {x!r}")


Builder.symbol = Sym
