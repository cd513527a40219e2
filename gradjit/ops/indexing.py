"""Reading and writing by subscript: `x[key]`, `x[key] = v`, `x[key] += v`.

A basic key is one op (`ops.subscript` has the normal forms). A key with integer arrays
or masks is a basic view followed by one gather or scatter; a single mask with a number
to store is a choice by element.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradjit.errors import DtypeError, ShapeError
from gradjit.ir.build import current
from gradjit.ir.graph import Atom, Const
from gradjit.ir.types import ArrayType, ScalarType, broadcast_dims, dims, promote
from gradjit.ops import array
from gradjit.ops.inside import require_inside
from gradjit.ops.subscript import (
    Basic,
    as_index,
    extents_of,
    integer_atom,
    is_index_array,
    is_integer,
    is_mask,
    item_of,
    items_in,
    items_of,
    resolve_basic,
)
from gradjit.ops.sym import (
    METHODS,
    Sym,
    apply,
    elementwise,
    lift,
    require_equal,
    require_equal_extents,
)

# ----------------------------------------------------------------------- reading


def getitem(x: Any, key: Any) -> Any:
    """x[key]."""
    basic = resolve_basic(x, key)
    if basic is not None:
        if set(basic.spec) <= {":"}:
            return x
        params: dict[str, Any] = {"spec": basic.spec, "checked": basic.checked}
        params["dims"] = array.index_dims(x, basic.spec, [Sym(a) for a in basic.args])
        return current().view(x, "index", basic.args, **params)
    base, spec, args, checked = _advanced(x, key)
    if checked:
        require_inside(base, spec, args)
    return apply("gather", base, *args, spec=spec, checked=False)


def read_basic(x: Any, basic: Basic) -> Any:
    """The value at a basic subscript."""
    args = [Sym(a) for a in basic.args]
    return array.take(x, *args, spec=basic.spec, checked=basic.checked)


Advanced = tuple[Any, str, list[Any], bool]


def _advanced(x: Any, key: Any) -> Advanced:
    """A key with arrays: the base after its basic part, and a gather spec."""
    items = _spelled(x, items_of(x, key))
    basic = tuple(
        slice(None) if is_index_array(i) or is_integer(i) else i for i in items
    )
    base = x if _is_plain(basic) else getitem(x, basic)
    spec = "".join("a" if is_index_array(i) or is_integer(i) else ":" for i in items)
    args: list[Any] = []
    for axis, item in enumerate(items):
        if spec[axis] == "a":
            args.append(_gather_arg(item, lift(base.shape[axis]), axis))
    _require_fit([lift(a) for a in args])
    return base, spec, args, not _all_inside(args, base, spec)


def _is_plain(key: tuple[Any, ...]) -> bool:
    return all(isinstance(i, slice) and i == slice(None) for i in key)


def _spelled(x: Any, items: list[Any]) -> list[Any]:
    """Masks replaced by the index arrays of their true elements."""
    out: list[Any] = []
    axis = 0
    for item in items:
        if is_mask(item):
            require_mask_fits(x, item, axis)
            places = apply("nonzero", item)
            out += places if isinstance(places, tuple) else [places]
            axis += item.ndim
        else:
            out.append(item)
            axis += item is not None
    return out


def require_mask_fits(x: Any, mask: Any, axis: int = 0) -> None:
    """Check that a mask has the extents of the axes that it stands for."""
    for k in range(mask.ndim):
        extents = lift(x.shape[axis + k]), lift(mask.shape[k])
        require_equal(current(), *extents, "extents of a mask and its array differ")


def _gather_arg(item: Any, extent: Atom, axis: int) -> Any:
    if not is_index_array(item):
        return Sym(integer_atom(item, extent, axis))
    if item.dtype.kind not in "iu":
        raise DtypeError(
            f"an array of {item.dtype.name} is not an index",
            current().loc,
            "Index with integers or bools.",
        )
    if not isinstance(item, Sym):
        item = np.asarray(item, dtype=np.int64)
    return Sym(as_index(lift(item)))


def _require_fit(atoms: list[Atom]) -> None:
    """Index arrays broadcast together; extents of run time must be equal."""
    if broadcast_dims(*(dims(a.type) for a in atoms)) is None:
        listed = " and ".join(str(a.type) for a in atoms)
        raise ShapeError(f"index arrays do not broadcast: {listed}", current().loc)
    require_equal_extents(current(), "a subscript", atoms)


def _all_inside(args: list[Any], base: Any, spec: str) -> bool:
    """Whether all indices are provably inside (places of a mask are)."""
    facts = current().facts
    axes = [k for k, char in enumerate(spec) if char == "a"]
    for axis, arg in zip(axes, args, strict=True):
        eqn = facts.defs.get(arg.atom) if arg.ndim else None
        if eqn is not None and eqn.op.name in ("nonzero", "iota"):
            if eqn.op.name == "nonzero":
                continue
            if facts.nonnegative(
                facts.affine(lift(base.shape[axis])) - facts.affine(eqn.args[0])
            ):
                continue
        if arg.ndim or not facts.inside(arg.atom, lift(base.shape[axis])):
            return False
    return True


# ----------------------------------------------------------------------- writing


def store_at(x: Any, key: Any, v: Any) -> Any:
    """A new version of x with x[key] = v."""
    mask = _only_mask(x, key)
    if mask is not None and _scalar(v):
        return _where(x, mask, converted(x, v))
    basic = resolve_basic(x, key)
    if basic is not None:
        return update_basic("store", x, basic, v)
    return _scattered(x, key, _always(v))


def add_item(x: Any, key: Any, v: Any) -> Any:
    """A new version of x with x[key] = x[key] + v (a repeated index counts once)."""
    mask = _only_mask(x, key)
    if mask is not None and _scalar(v):
        return _where(x, mask, converted(x, x + v))
    basic = resolve_basic(x, key)
    if basic is not None:
        return update_basic("add_at", x, basic, v)

    def added(base: Any, spec: str, args: list[Any]) -> Any:
        return apply("gather", base, *args, spec=spec, checked=False) + v

    return _scattered(x, key, added)


def accumulate_at(x: Any, key: Any, v: Any) -> Any:
    """A new version of x with v added at every index, repeated ones too."""
    basic = resolve_basic(x, key)
    if basic is not None:
        return update_basic("add_at", x, basic, v)
    return _scattered(x, key, _always(v), op="scatter_add")


def _always(v: Any) -> Callable[[Any, str, list[Any]], Any]:
    """The same value, wherever it is stored."""

    def value(base: Any, spec: str, args: list[Any]) -> Any:
        return v

    return value


def _only_mask(x: Any, key: Any) -> Any:
    """The mask if the key is a single mask, wide enough to choose with `where`."""
    items = items_in(key)
    if len(items) != 1:
        return None
    key = item_of(items[0])
    if not is_mask(key):
        return None
    require_mask_fits(x, key)
    return array.new_axes(key, tuple(range(key.ndim, x.ndim)))


def _scalar(v: Any) -> bool:
    return not isinstance(v, list | tuple) and not dims(lift(v).type)


def _where(x: Any, mask: Any, v: Any) -> Any:
    return elementwise("where", mask, v, x)


def _scattered(x: Any, key: Any, value: Any, op: str = "scatter") -> Any:
    """Scatter into the basic part of the key, and that back into x."""
    items = _spelled(x, items_of(x, key))
    basic = tuple(
        slice(None) if is_index_array(i) or is_integer(i) else i for i in items
    )
    base, spec, args, checked = _advanced(x, tuple(items))
    plain = Sym(lift(base))
    if checked:
        require_inside(plain, spec, args)
    v = converted(x, value(plain, spec, args))
    block = _block_dims(plain, spec, args)
    v = fitted(v, block, "the subscript", _block_extents(plain, spec, args))
    new = apply(op, plain, v, *args, spec=spec, checked=False)
    if _is_plain(basic):
        return new
    return store_at(x, basic, new)


def _block_dims(base: Any, spec: str, args: list[Any]) -> tuple[int | None, ...]:
    picked = broadcast_dims(*(dims(a.type) for a in args)) or ()
    kept = [d for d, c in zip(dims(base.type), spec, strict=True) if c == ":"]
    at = array.block_position(spec)
    return (*kept[:at], *picked, *kept[at:])


def _block_extents(base: Any, spec: str, args: list[Any]) -> list[Atom]:
    builder = current()
    kept = [builder.extent(lift(base), k) for k, c in enumerate(spec) if c == ":"]
    picked = array.broadcast_extents([a.atom for a in args], builder.extent)
    at = array.block_position(spec)
    return [*kept[:at], *picked, *kept[at:]]


def update_basic(op: str, x: Any, basic: Basic, v: Any) -> Any:
    """store or add_at at a basic subscript; v is converted and made to fit."""
    v = converted(x, v)
    args = [Sym(a) for a in basic.args]
    shape = array.index_dims(x, basic.spec, args)
    extents = extents_of(basic, current().extents(lift(x)))
    v = fitted(v, shape, "the subscript", extents)
    covers = set(basic.spec) <= {":"} and None not in shape and shape != ()
    if op == "store" and covers and dims(lift(v).type) == shape:
        return v
    return apply(op, x, v, *args, spec=basic.spec, checked=basic.checked)


def fitted(
    v: Any, shape: Sequence[int | None], what: str, extents: Sequence[Atom]
) -> Any:
    """v if it broadcasts to the extents; checked at run time where they are open."""
    atom = lift(v)
    have = dims(atom.type)
    extra = len(have) - len(shape)
    if extra > 0 and all(d == 1 for d in have[:extra]):
        spec = "i" * extra + ":" * len(shape)
        v = array.take(Sym(atom), *[0] * extra, spec=spec, checked=False)
        atom, have = lift(v), have[extra:]
    bad = len(have) > len(shape) or any(
        h != 1 and s is not None and h is not None and h != s
        for h, s in zip(reversed(have), reversed(shape), strict=False)
    )
    if bad:
        want = ArrayType(atom.type.dtype, tuple(shape))
        raise ShapeError(f"{atom.type} does not fit {what} ({want})", current().loc)
    message = "extents of a value and of the place for it differ"
    for k in range(1, len(have) + 1):
        if have[-k] != 1:
            mine = current().extent(atom, len(have) - k)
            require_equal(current(), mine, extents[-k], message)
    return v


def converted(x: Any, v: Any) -> Any:
    """v in the dtype of x, as NumPy's assignment converts."""
    if isinstance(v, list | tuple):
        v = METHODS["array"](v)
    atom = lift(v)
    if atom.type.dtype == x.dtype:
        return v if isinstance(v, Sym) else Sym(atom)
    if isinstance(atom, Const):
        value = np.asarray(atom.value).astype(x.dtype).item()
        return Sym(Const(value, ScalarType(x.dtype)))
    return Sym(current().emit1("cast", atom, dtype=x.dtype, weak=False))


def exact(x: Any, v: Any) -> bool:
    """Whether x + v is computed in the dtype of x."""
    if isinstance(v, list | tuple):
        return False
    types = [ScalarType(x.dtype), lift(v).type]
    return promote(*types).dtype == x.dtype  # type: ignore[arg-type]


METHODS["__getitem__"] = getitem
