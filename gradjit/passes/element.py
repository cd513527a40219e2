"""One element of an array expression, as scalar code.

A pointwise array (elementwise results, views, gathers, broadcasts) needs no memory: the
element at an index is computed from elements of its operands at mapped indices. `at`
writes that code through a builder. Where it stops is up to the caller: when loops are
emitted, at arrays in memory, with a load; when `demand` looks ahead, at whatever may
get a place in memory, with a note.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gradjit.errors import InternalError
from gradjit.ir.build import Builder, index
from gradjit.ir.graph import Atom, Const, Eqn, Value
from gradjit.ir.types import INT64, ArrayType, dims, scalar_of
from gradjit.ops.array import block_position, broadcast_extents

Index = tuple[Atom, ...]
Extents = Callable[[Atom], tuple[Atom, ...]]

VIEWS = frozenset({"index", "transpose", "reshape", "broadcast", "full", "iota"})
UPDATES = frozenset({"store", "add_at", "scatter", "scatter_add"})
REDUCTIONS = {
    f"reduce_{kind}": kind for kind in ("sum", "prod", "max", "min", "and", "or")
} | {"argmax": "argmax", "argmin": "argmin"}

ZERO = index(0)


def is_array(atom: Atom) -> bool:
    return isinstance(atom.type, ArrayType)


def is_pointwise(eqn: Eqn, extents: Extents) -> bool:
    """Whether the result is an array whose elements can be computed one by one."""
    if len(eqn.outs) != 1 or not is_array(eqn.outs[0]):
        return False
    if eqn.op.name == "reshape":
        return len(_unmatched(eqn, extents)[0]) <= 1
    return eqn.op.kind == "elementwise" or eqn.op.name in VIEWS | {"gather"}


def is_pick(eqn: Eqn) -> bool:
    """Whether the result is one element of an array."""
    return eqn.op.name in ("index", "gather", "reshape") and not is_array(eqn.out)


def is_all_scalar(eqn: Eqn) -> bool:
    """Whether an update writes a single element."""
    return eqn.op.name in ("store", "add_at") and set(eqn.params["spec"]) <= {"i"}


class Elements:
    """Writes the scalar code of elements.

    Args:
        builder: What the code is appended to.
        defs: The equation that defines each pointwise array.
        extents: Extents of each array.
        stop: Asked first, with an array and an index; None to go on.
        scalar: What a scalar of the graph is in the code.
    """

    def __init__(
        self,
        builder: Builder,
        defs: Mapping[Value, Eqn],
        extents: Extents,
        stop: Callable[[Value, Index], Atom | None],
        scalar: Callable[[Atom], Atom],
    ) -> None:
        self.b = builder
        self.defs = defs
        self.extents = extents
        self.stop = stop
        self.scalar = scalar
        self.memo: dict[tuple[Any, ...], Atom] = {}

    def at(self, atom: Atom, at: Sequence[Atom]) -> Atom:
        """The element of an array, or the scalar itself."""
        if not isinstance(atom, Value) or not is_array(atom):
            return self.scalar(atom)
        at = tuple(at)
        found = self.stop(atom, at)
        if found is not None:
            return found
        return self.of(self.defs[atom], at)

    def of(self, eqn: Eqn, at: Index) -> Atom:
        """The element of an equation's result, whether or not it is in memory."""
        key = (eqn.outs[0], *(a.key() if isinstance(a, Const) else a for a in at))
        found = self.memo.get(key)
        if found is None:
            with self.b.at(eqn.loc or self.b.loc):
                found = self._compute(eqn, at)
            self.memo[key] = found
        return found

    def _compute(self, eqn: Eqn, at: Index) -> Atom:
        if eqn.op.kind == "elementwise":
            operands = [self.at(a, aligned(a, at)) for a in eqn.args]
            name = eqn.out.name
            out = self.b.emit1(eqn.op, *operands, name=name, **eqn.params)
            return self._typed(out, eqn.out)
        rule = getattr(self, f"_{eqn.op.name}", None)
        if rule is None:
            raise InternalError(f"{eqn.op.name} is not pointwise ({eqn.loc})")
        return rule(eqn, at)

    def _typed(self, atom: Atom, out: Value) -> Atom:
        """The atom at the element type of `out`."""
        wanted = scalar_of(out.type).dtype
        if atom.type.dtype == wanted:
            return atom
        return self.b.emit1("cast", atom, dtype=wanted, weak=False)

    # ------------------------------------------------------------------- views

    def _index(self, eqn: Eqn, at: Index) -> Atom:
        return self.at(eqn.args[0], self.place(eqn.params["spec"], eqn.args[1:], at))

    def place(self, spec: str, args: Sequence[Atom], at: Index) -> Index:
        """The index into the base of a basic subscript's element."""
        b, out = self.b, list[Atom]()
        rest, inner = [self.scalar(a) for a in args], list(at)
        for char in spec:
            if char == "i":
                out.append(rest.pop(0))
            elif char == "n":
                inner.pop(0)
            elif char == ":":
                out.append(inner.pop(0))
            else:
                start, _, step = rest.pop(0), rest.pop(0), rest.pop(0)
                out.append(b.emit1("add", start, b.emit1("mul", inner.pop(0), step)))
        return tuple(out)

    def _transpose(self, eqn: Eqn, at: Index) -> Atom:
        perm: tuple[int, ...] = eqn.params["perm"]
        return self.at(eqn.args[0], [at[perm.index(k)] for k in range(len(perm))])

    def _broadcast(self, eqn: Eqn, at: Index) -> Atom:
        return self.at(eqn.args[0], aligned(eqn.args[0], at))

    def _full(self, eqn: Eqn, at: Index) -> Atom:
        return self._typed(self.scalar(eqn.args[0]), eqn.out)

    def _iota(self, eqn: Eqn, at: Index) -> Atom:
        return self._typed(at[0], eqn.out)

    def _reshape(self, eqn: Eqn, at: Index) -> Atom:
        """Axes that stay are matched; the others are one axis of the operand."""
        b = self.b
        rest, fixed = _unmatched(eqn, self.extents)
        inner: list[Atom] = [ZERO] * len(dims(eqn.args[0].type))
        for axis, outer in fixed.items():
            inner[axis] = at[outer]
        if rest:
            wide = [k for k in range(len(at)) if k not in fixed.values()]
            flat: Atom = ZERO
            for k in wide:
                extent = self.scalar(self.extents_of(eqn)[k])
                flat = b.emit1("add", b.emit1("mul", flat, extent), at[k])
            inner[rest[0]] = flat
            if len(rest) > 1:
                raise InternalError("a reshape that is not pointwise")
        return self.at(eqn.args[0], inner)

    def extents_of(self, eqn: Eqn) -> tuple[Atom, ...]:
        return self.extents(eqn.outs[0])

    # ----------------------------------------------------------- index arrays

    def _gather(self, eqn: Eqn, at: Index) -> Atom:
        return self.at(eqn.args[0], self.picked(eqn, eqn.args[1:], at))

    def picked(self, eqn: Eqn, arrays: Sequence[Atom], at: Index) -> Index:
        """The index into the base of a subscript by integer arrays."""
        spec: str = eqn.params["spec"]
        first = block_position(spec)
        width = max((len(dims(a.type)) for a in arrays), default=0)
        block, kept = at[first : first + width], [*at[:first], *at[first + width :]]
        rest, out = list(arrays), list[Atom]()
        for axis, char in enumerate(spec):
            if char == ":":
                out.append(kept.pop(0))
                continue
            array = rest.pop(0)
            i = self.at(array, aligned(array, block))
            out.append(self._inside(eqn, i, axis))
        return tuple(out)

    def _inside(self, eqn: Eqn, i: Atom, axis: int) -> Atom:
        """An element of an index array: checked if need be, counted from the front."""
        b = self.b
        n = self.scalar(self.extents(eqn.args[0])[axis])
        if i.type.dtype != INT64:
            i = b.emit1("cast", i, dtype=INT64, weak=False)
        if eqn.params["checked"] and not b.facts.inside(i, n):
            low = b.emit1("ge", i, b.emit1("neg", n))
            cond = b.emit1("logical_and", low, b.emit1("lt", i, n))
            where = f"{eqn.loc}: " if eqn.loc else ""
            message = f"{where}index out of bounds for axis {axis}"
            b.emit("check", cond, kind="index", message=message)
        if b.facts.nonnegative(b.facts.affine(i)):
            return i
        return b.emit1("where", b.emit1("lt", i, ZERO), b.emit1("add", i, n), i)

    # ----------------------------------------------------------------- updates

    def written(self, eqn: Eqn, at: Index) -> tuple[Atom, Index]:
        """The value that an update writes for a place in its slice, and where."""
        base, value, *args = eqn.args
        if eqn.op.name in ("store", "add_at"):
            where = self.place(eqn.params["spec"], args, at)
        else:
            where = self.picked(eqn, args, at)
        return self._typed_as(self.at(value, aligned(value, at)), base), where

    def _typed_as(self, atom: Atom, base: Atom) -> Atom:
        if atom.type.dtype == base.type.dtype:
            return atom
        return self.b.emit1("cast", atom, dtype=base.type.dtype, weak=False)


def aligned(operand: Atom, at: Sequence[Atom]) -> Index:
    """The index into an operand that is broadcast to the index's axes."""
    shape = dims(operand.type)
    spare = len(shape) - len(at)
    full = [*[ZERO] * spare, *at] if spare > 0 else list(at[len(at) - len(shape) :])
    return tuple(ZERO if d == 1 else i for d, i in zip(shape, full, strict=True))


def slice_extents(eqn: Eqn, extents: Extents) -> list[Atom]:
    """The extents of what an update writes."""
    base, _, *args = eqn.args
    spec = eqn.params["spec"]
    if eqn.op.name not in ("store", "add_at"):
        kept = [e for e, c in zip(extents(base), spec, strict=True) if c == ":"]
        first = block_position(spec)
        block = broadcast_extents(args, lambda a, k: extents(a)[k])
        return [*kept[:first], *block, *kept[first:]]
    out: list[Atom] = []
    rest, wide = list(args), list(extents(base))
    for char in spec:
        if char == "n":
            out.append(index(1))
            continue
        extent = wide.pop(0)
        if char == "i":
            rest.pop(0)
        elif char == ":":
            out.append(extent)
        else:
            out.append(rest[1])
            del rest[:3]
    return out


def _unmatched(eqn: Eqn, extents: Extents) -> tuple[list[int], dict[int, int]]:
    """Axes of a reshape's operand that have no counterpart, and those that have one.

    Axes of extent 1 are left out; equal extents are matched from both ends.
    """
    old, new = extents(eqn.args[0]), extents(eqn.outs[0])
    a = [k for k, e in enumerate(old) if not _is_one(e)]
    b = [k for k, e in enumerate(new) if not _is_one(e)]
    fixed: dict[int, int] = {}

    def same(i: int, j: int) -> bool:
        x, y = old[i], new[j]
        if isinstance(x, Const) and isinstance(y, Const):
            return x.value == y.value
        return x is y

    while a and b and same(a[0], b[0]):
        fixed[a.pop(0)] = b.pop(0)
    while a and b and same(a[-1], b[-1]):
        fixed[a.pop()] = b.pop()
    return a, fixed


def _is_one(atom: Atom) -> bool:
    return isinstance(atom, Const) and atom.value == 1
