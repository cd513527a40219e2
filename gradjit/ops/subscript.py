"""Normal forms of subscripts.

A basic key (integers, slices, new axes) becomes a spec with arguments, as in
`ops.array`. Slices are clipped as Python clips them; integers known to be out of range
are refused here, others are checked at run time. A subscript of a subscript is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradjit.errors import DtypeError, ShapeError
from gradjit.ir.build import current, index
from gradjit.ir.graph import Atom, Const
from gradjit.ir.types import BOOL
from gradjit.ops.sym import METHODS, Sym, elementwise, lift, wrap


@dataclass(frozen=True, slots=True)
class Basic:
    """A basic subscript in normal form. With `checked`, integers are still raw."""

    spec: str
    args: tuple[Atom, ...]
    checked: bool

    def groups(self) -> list[tuple[str, tuple[Atom, ...]]]:
        """Each character of the spec with its arguments."""
        out: list[tuple[str, tuple[Atom, ...]]] = []
        at = 0
        for char in self.spec:
            width = {"i": 1, "s": 3}.get(char, 0)
            out.append((char, self.args[at : at + width]))
            at += width
        return out


def _joined(groups: Sequence[tuple[str, tuple[Atom, ...]]], checked: bool) -> Basic:
    spec = "".join(char for char, _ in groups)
    return Basic(spec, tuple(a for _, args in groups for a in args), checked)


# ------------------------------------------------------------------ normal forms


def items_of(x: Any, key: Any) -> list[Any]:
    """The items of a key, one for each axis and new axis; Ellipsis spelled out."""
    items = [item_of(i) for i in items_in(key)]
    used = sum(_axes(i) for i in items)
    if used > x.ndim:
        raise ShapeError(f"{used} indices for an array of {x.ndim} axes", current().loc)
    dots = [k for k, i in enumerate(items) if i is Ellipsis]
    if len(dots) > 1:
        raise ShapeError("more than one ... in a subscript", current().loc)
    rest = [slice(None)] * (x.ndim - used)
    if dots:
        return [*items[: dots[0]], *rest, *items[dots[0] + 1 :]]
    return [*items, *rest]


def items_in(key: Any) -> list[Any]:
    """The items of a key as they are written."""
    return [*key] if isinstance(key, tuple) else [key]  # type: ignore


def item_of(item: Any) -> Any:
    """Lists as arrays; NumPy integers and 0-d arrays as integers."""
    if isinstance(item, list):
        leaves: list[Any] = item  # type: ignore[reportUnknownVariableType]
        if any(isinstance(leaf, Sym) for leaf in leaves):
            return METHODS["array"](leaves)
        array: Any = np.asarray(leaves, dtype=None if leaves else np.int64)
        return item_of(array)
    if not isinstance(item, Sym) and _is_array(item) and item.ndim == 0:
        number: Any = item[()]
        return item_of(number)
    if isinstance(item, np.integer):
        return item.__index__()
    if isinstance(item, Sym) and isinstance(item.atom, Const):
        return item.atom.value
    return item


def _axes(item: Any) -> int:
    """How many axes of the array an item of a key takes."""
    if item is None or item is Ellipsis:
        return 0
    if is_mask(item):
        return len(item.shape)
    return 1


def is_mask(item: Any) -> bool:
    """Whether an item of a key is a boolean array."""
    return _is_array(item) and item.ndim > 0 and bool(item.dtype == BOOL)


def is_index_array(item: Any) -> bool:
    """Whether an item of a key is an integer array."""
    return _is_array(item) and item.ndim > 0 and not is_mask(item)


def _is_array(item: Any) -> bool:
    return isinstance(item, Sym | np.ndarray)


def is_integer(item: Any) -> bool:
    if isinstance(item, bool | np.bool_):
        return False
    if isinstance(item, int):
        return True
    return isinstance(item, Sym) and item.ndim == 0 and item.dtype.kind in "iu"


def resolve_basic(x: Any, key: Any) -> Basic | None:
    """The normal form of a basic key, or None for a key with arrays."""
    items = items_of(x, key)
    if any(is_mask(i) or is_index_array(i) for i in items):
        return None
    groups: list[tuple[str, tuple[Atom, ...]]] = []
    checked = False
    axis = 0
    extents = [lift(e) for e in x.shape]
    for item in items:
        if item is None:
            groups.append(("n", ()))
            continue
        extent = extents[axis]
        if type(item) is slice:
            groups.append(_slice(item, extent))
        else:
            atom = integer_atom(item, extent, axis)
            checked |= not current().facts.inside(atom, extent)
            groups.append(("i", (atom,)))
        axis += 1
    return _joined(groups, checked)


def integer_atom(item: Any, extent: Atom, axis: int) -> Atom:
    """The atom of an integer; a known negative one counted from the front."""
    if not is_integer(item):
        shown = "a bool" if isinstance(item, bool | np.bool_) else _describe(item)
        raise DtypeError(
            f"{shown} is not an index",
            current().loc,
            "Indices are integers, slices, None, ..., integer arrays and masks.",
        )
    if isinstance(item, Sym):
        return as_index(item.atom)
    if isinstance(extent, Const) and not -extent.value <= item < extent.value:
        raise _out_of_range(item, axis, extent)
    if item < 0 and isinstance(extent, Const):
        return index(int(extent.value) + item)
    return index(item)


def _out_of_range(item: int, axis: int, extent: Const) -> Exception:
    return ShapeIndexError(
        f"index {item} is out of bounds for axis {axis} with extent {extent.value}",
        current().loc,
    )


class ShapeIndexError(ShapeError, IndexError):
    """An index that is known to be out of range while tracing."""


def _describe(item: Any) -> str:
    if isinstance(item, Sym):
        return f"a value of type {item.type}"
    return f"{item!r}"


def as_index(atom: Atom) -> Atom:
    """An integer atom as int64."""
    if atom.type.dtype == np.int64:
        return atom
    return current().emit1("cast", atom, dtype=np.dtype(np.int64), weak=False)


def _slice(item: slice, extent: Atom) -> tuple[str, tuple[Atom, ...]]:
    """start, count and step of a slice, clipped as Python clips.

    An empty slice may start anywhere: with a positive step, the start is not clipped
    from above, so that the usual bounds stay simple.
    """
    step = _step(item.step)
    if item.start is None and item.stop is None and step == 1:
        return ":", ()
    n: Any = wrap(extent)
    single = _single(item, n) if step == 1 else None
    if single is not None:
        return "s", (lift(single), index(1), index(1))
    if step > 0:
        start = 0 if item.start is None else _lower(item.start, n)
        stop: Any = n if item.stop is None else _upper(item.stop, n)
        length = stop - start
        count = length if step == 1 else (length + (step - 1)) // step
    else:
        top: Any = n - 1
        start = top if item.start is None else minimum(_from_end(item.start, n), top)
        stop = -1 if item.stop is None else maximum(_from_end(item.stop, n), -1)
        length = start - stop
        count = length if step == -1 else (length + (-step - 1)) // -step
    return "s", (lift(start), lift(maximum(count, 0)), lift(step))


def _single(item: slice, n: Any) -> Any:
    """The start of a slice of one element, as x[:, 2:3], or None.

    NumPy would give an empty array where that element does not exist. Here it is an
    IndexError at run time, so that the extent is known to be 1 and broadcasts.
    """
    if isinstance(n, int):
        return None
    first = None if item.start is None else _bound(item.start)
    last = None if item.stop is None else _bound(item.stop)
    first = 0 if first is None else first
    if isinstance(first, int) and first < 0:
        if last is not None and not (isinstance(last, int) and last == first + 1 < 0):
            return None
        if last is None and first != -1:
            return None
        start, inside = n + first, n >= -first
    elif last is not None and nonnegative(first):
        width = last - first
        if isinstance(width, Sym) or width != 1:
            return None
        start, inside = first, n > first
    else:
        return None
    builder = current()
    if isinstance(inside, Sym) and not _provably(n - 1 - start) and builder.checks:
        message = "a slice of one element lies outside of the array"
        builder.emit("check", lift(inside), kind="index", message=message)
    return start


def _provably(x: Any) -> bool:
    return x >= 0 if isinstance(x, int) else nonnegative(x)


def _step(step: Any) -> int:
    if step is None:
        return 1
    value = step.__index__()
    if value == 0:
        raise ShapeError("a slice has step 0", current().loc)
    return value


def _bound(item: Any) -> Any:
    if not (is_integer(item) or isinstance(item, bool)):
        raise DtypeError(f"{_describe(item)} is not a slice bound", current().loc)
    return wrap(as_index(item.atom)) if isinstance(item, Sym) else int(item)


def _from_end(item: Any, n: Any) -> Any:
    """A bound counted from the front; negative where that is before the array."""
    at = _bound(item)
    if isinstance(at, int):
        return at + n if at < 0 else at
    if nonnegative(at):
        return at
    return elementwise("where", elementwise("lt", at, 0), at + n, at)


def _lower(item: Any, n: Any) -> Any:
    """The first bound of a slice that goes up, no less than 0."""
    return maximum(_from_end(item, n), 0)


def _upper(item: Any, n: Any) -> Any:
    """The second bound of a slice that goes up, no more than n."""
    item = _bound(item)
    if not isinstance(item, Sym) and item < 0:
        return n + item
    return minimum(_from_end(item, n), n)


def maximum(a: Any, b: Any) -> Any:
    """max of two integers, a Python int where that is known."""
    if isinstance(a, int) and isinstance(b, int):
        return max(a, b)
    return elementwise("maximum", a, b)


def minimum(a: Any, b: Any) -> Any:
    """min of two integers, a Python int where that is known."""
    if isinstance(a, int) and isinstance(b, int):
        return min(a, b)
    return elementwise("minimum", a, b)


def nonnegative(x: Any) -> bool:
    """Whether an integer is provably not negative."""
    facts = current().facts
    return facts.nonnegative(facts.affine(lift(x)))


def guarded(basic: Basic, shape: Sequence[Any]) -> Basic:
    """The subscript with its raw integers checked and counted from the front."""
    if not basic.checked:
        return basic
    groups: list[tuple[str, tuple[Atom, ...]]] = []
    axis = 0
    for char, args in basic.groups():
        if char == "i":
            args = (_guard(args[0], lift(shape[axis])),)
        groups.append((char, args))
        axis += char != "n"
    return _joined(groups, checked=False)


def _guard(atom: Atom, extent: Atom) -> Atom:
    """A checked, non-negative index."""
    builder = current()
    if builder.facts.inside(atom, extent):
        return atom
    i, n = wrap(atom), wrap(extent)
    if isinstance(i, int) and i < 0:
        i = n + i
        inside = i >= 0
    elif not nonnegative(i):
        i = elementwise("where", i < 0, i + n, i)
        inside = elementwise("logical_and", i >= 0, i < n)
    else:
        inside = i < n
    message = "index is out of bounds"
    if not isinstance(inside, Sym):
        if not inside:
            raise ShapeIndexError(message, builder.loc)
        return lift(i)
    builder.emit("check", lift(inside), kind="index", message=message)
    return lift(i)


def compose(outer: Basic, inner: Basic, shape: Sequence[Any]) -> Basic | None:
    """One subscript for `x[outer][inner]`; `shape` is that of x[outer].

    None where a new axis of the outer subscript is sliced away in a way that has no
    single form.
    """
    if "n" in outer.spec or "n" in inner.spec:
        return None
    checked = False
    todo = inner.groups()
    groups: list[tuple[str, tuple[Atom, ...]]] = []
    axis = 0
    for char, args in outer.groups():
        if char == "i":
            groups.append((char, args))
            continue
        kind, inside = todo.pop(0)
        extent = lift(shape[axis])
        if char == ":":
            groups.append((kind, inside))
            if kind == "i":
                checked |= not current().facts.inside(inside[0], extent)
        elif kind == ":":
            groups.append((char, args))
        else:
            if kind == "i" and inner.checked:
                inside = (_guard(inside[0], extent),)
            groups.append(_of_slice(args, kind, inside))
        axis += 1
    return _joined(groups, checked)


def _of_slice(
    outer: tuple[Atom, ...], kind: str, inner: tuple[Atom, ...]
) -> tuple[str, tuple[Atom, ...]]:
    """An integer or a slice of a slice, counted in the base."""
    start, _, step = (wrap(a) for a in outer)
    first = start + step * wrap(inner[0])
    if kind == "i":
        return "i", (lift(first),)
    return "s", (lift(first), inner[1], lift(step * wrap(inner[2])))


def extents_of(basic: Basic, base: Sequence[Atom]) -> tuple[Atom, ...]:
    """The extents of a basic subscript of an array with these extents."""
    out: list[Atom] = []
    axis = 0
    for char, args in basic.groups():
        if char == "s":
            out.append(args[1])
        elif char == ":":
            out.append(base[axis])
        elif char == "n":
            out.append(index(1))
        axis += char != "n"
    return tuple(out)
