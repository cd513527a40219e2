"""How programs and rules read, make and update arrays.

The records of the ops behind these functions stand in `array_records`. An index spec
is a string with a character for each item of a subscript:

    i   an integer: takes one argument, drops the axis
    s   a slice: takes three arguments, start, count and step, already inside
    :   the whole axis
    n   a new axis of extent 1
    a   an integer array, or an integer among arrays (gather and scatter only)

Updates are functional: `store(x, v, *index)` is a new version of x.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradjit.ir.build import current
from gradjit.ir.build import index as number
from gradjit.ir.graph import Atom, Const
from gradjit.ir.types import ArrayType, ScalarType, dims
from gradjit.ops.sym import Sym, apply, lift

Dims = tuple[int | None, ...]
Extent = Callable[[Atom, int], Atom]


def index_dims(x: Any, spec: str, index: Sequence[Any]) -> Dims:
    """The known extents of a subscript's result."""
    shape = dims(x.type if isinstance(x, Sym) else lift(x).type)
    out: list[int | None] = []
    axis, at = 0, 0
    for char in spec:
        if char == "i":
            at += 1
        elif char == "s":
            count = lift(index[at + 1])
            out.append(int(count.value) if isinstance(count, Const) else None)
            at += 3
        elif char == ":":
            out.append(shape[axis])
        else:
            out.append(1)
        axis += char != "n"
    return tuple(out)


def take(x: Any, *index: Any, spec: str, checked: bool) -> Any:
    """x[spec] as a value (not as a view)."""
    if set(spec) <= {":"}:
        return x
    shape = index_dims(x, spec, index)
    return apply("index", x, *index, spec=spec, dims=shape, checked=checked)


def store(x: Any, v: Any, *index: Any, spec: str, checked: bool) -> Any:
    """A new version of x with v at x[spec]; a number is brought to x's dtype."""
    return apply("store", x, _like(v, x), *index, spec=spec, checked=checked)


def add_at(x: Any, v: Any, *index: Any, spec: str, checked: bool) -> Any:
    """A new version of x with v added at x[spec]."""
    return apply("add_at", x, _like(v, x), *index, spec=spec, checked=checked)


def _like(v: Any, x: Any) -> Any:
    """v with the dtype of x."""
    atom = lift(v)
    dtype = x.dtype
    if atom.type.dtype == dtype:
        return Sym(atom)
    if isinstance(atom, Const):
        value = np.asarray(atom.value).astype(dtype).item()
        return Sym(Const(value, ScalarType(dtype)))
    return Sym(current().emit1("cast", atom, dtype=dtype, weak=False))


def full(value: Any, extents: Sequence[Any], dtype: Any, shape: Dims) -> Any:
    """An array of one value."""
    atom = lift(value)
    if isinstance(atom, Const):
        number_ = np.asarray(atom.value).astype(dtype).item()
        value = Sym(Const(number_, ScalarType(dtype)))
    return apply("full", value, *extents, dtype=dtype, dims=shape)


def zeros_like(atom: Atom) -> Any:
    """Zeros of an atom's type and extents (a stack: an empty one)."""
    type_ = atom.type
    if isinstance(type_, ScalarType):
        return Sym(Const(0.0 if type_.dtype.kind == "f" else 0, type_))
    b = current()
    if not isinstance(type_, ArrayType):
        return Sym(b.emit1("stack_new", item=type_.item))
    return full(0, [Sym(e) for e in b.extents(atom)], type_.dtype, type_.dims)


def new_axes(x: Any, axes: tuple[int, ...]) -> Any:
    """x with axes of extent 1 at these places of the result."""
    if not axes:
        return x
    width = x.ndim + len(axes)
    spec = "".join("n" if k in axes else ":" for k in range(width))
    return take(x, spec=spec, checked=False)


def subscript(spec: str, index: Sequence[Any]) -> tuple[Any, ...]:
    """The NumPy subscript that a spec and its arguments stand for."""
    items: list[Any] = []
    rest = list(index)
    for char in spec:
        if char in "ia":
            items.append(rest.pop(0))
        elif char == "s":
            start, count, step = (int(rest.pop(0)) for _ in range(3))
            stop = start + count * step
            # From the end backwards, an empty slice may start in front of the array.
            every = slice(start, None if stop < 0 else stop, step)
            items.append(every if count else slice(0, 0))
        else:
            items.append(slice(None) if char == ":" else None)
    return tuple(items)


def block_position(spec: str) -> int:
    """Where the axes of the index arrays stand in the result (NumPy's rule)."""
    first, last = spec.index("a"), spec.rindex("a")
    return first if "a" * (last - first + 1) == spec[first : last + 1] else 0


def broadcast_extents(atoms: Sequence[Atom], extent: Extent) -> list[Atom]:
    """The extents of atoms broadcast together."""
    width = max((len(dims(a.type)) for a in atoms), default=0)
    out: list[Atom] = []
    for axis in range(-width, 0):
        wide = [
            a for a in atoms if len(dims(a.type)) >= -axis and dims(a.type)[axis] != 1
        ]
        out.append(
            extent(wide[0], len(dims(wide[0].type)) + axis) if wide else number(1)
        )
    return out


def made(dtype: Any, shape: Dims) -> ScalarType | ArrayType:
    """An array type, or a scalar type where there are no axes."""
    return ArrayType(dtype, shape) if shape else ScalarType(dtype)


def inverse(perm: tuple[int, ...]) -> tuple[int, ...]:
    """The permutation that undoes another."""
    return tuple(perm.index(k) for k in range(len(perm)))
