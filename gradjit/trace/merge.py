"""Joining what two paths leave behind, and carrying state around loops.

A value of the program is seen as a `Node` (with the atoms it stands for) and a `Spec`
(what is known of it: types, structure, Python values). `join` gives the spec of both
paths; `conform` the atoms of a node in the form of a spec; `build` a value from atoms.

    int | float              -> float           array[3] | array[4]   -> array[?]
    1 | 1                    -> 1               (a, b) | (c, d)       -> (a|c, b|d)
    x | unbound              -> maybe x         None | x              -> bad (if used)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradjit.errors import Loc
from gradjit.ir.graph import Atom, Const
from gradjit.ir.types import ArrayType, ScalarType, promote
from gradjit.ops.sym import Sym, lift
from gradjit.trace.builder import UNDEF, TraceBuilder, is_array, is_number
from gradjit.trace.classes import class_of
from gradjit.trace.handle import Buffer, Handle

# ------------------------------------------------------------------------- values


@dataclass(slots=True, eq=False)
class MaybeValue:
    """A value that is bound only if `bound` (a traced bool) holds."""

    value: Any
    bound: Any
    checked: list[Any]


class Poison:
    """What a name holds if two paths leave things that cannot be joined."""

    def __init__(self, reason: str, site: Loc | None) -> None:
        self.reason = reason
        self.site = site

    def __bool__(self) -> bool:
        raise TypeError(self.reason)

    def __iter__(self) -> Any:
        raise TypeError(self.reason)

    def __repr__(self) -> str:
        return f"<{self.reason}>"


# ------------------------------------------------------------------------- specs


@dataclass(frozen=True, slots=True)
class Num:
    """A number of a type."""

    type: ScalarType


@dataclass(frozen=True, slots=True)
class Arr:
    """An array; `kept` says that a loop does not change its extents."""

    type: ArrayType
    kept: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Plain:
    """A Python value that is the same on all paths."""

    value: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plain) and _same(self.value, other.value)

    def __hash__(self) -> int:
        kind = class_of(self.value)
        return hash(kind)


@dataclass(frozen=True, slots=True)
class Undef:
    """Not bound."""


@dataclass(frozen=True, slots=True)
class Maybe:
    """Bound on some paths."""

    inner: Spec


@dataclass(frozen=True, slots=True, eq=False)
class Bad:
    """Cannot be joined; the reason is told where the name is used.

    `final`: unrolling the loop would not help.
    """

    reason: str
    final: bool = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bad)

    def __hash__(self) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Tree:
    """A container: its class, its keys or fields, and what is inside."""

    kind: type
    keys: tuple[Any, ...]
    children: tuple[Any, ...]


Spec = Num | Arr | Plain | Undef | Maybe | Bad | Tree


@dataclass(frozen=True, slots=True)
class Leaf:
    """A node of a number or an array: its atom, and the memory of an array."""

    atom: Atom
    buffer: Buffer | None = None


@dataclass(frozen=True, slots=True)
class MaybeNode:
    """A node that is bound if `bound`."""

    inner: Any
    bound: Atom


Node = Leaf | Plain | Undef | Bad | Tree | MaybeNode


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if type(a) is not type(b) or is_array(a):
        return False
    kind = class_of(a)
    if issubclass(kind, float | np.floating):
        return repr(a) == repr(b)
    if issubclass(kind, int | str | bytes | np.generic):
        return bool(a == b)
    if kind in (slice, range, frozenset):
        return bool(a == b)
    return _same_method(a, b)


def _same_method(a: Any, b: Any) -> bool:
    """Bound methods and closures are made anew each time they are evaluated."""
    code = getattr(a, "__code__", None)
    if code is not None and code is getattr(b, "__code__", None):
        cells, others = (getattr(f, "__closure__", None) or () for f in (a, b))
        return all(x is y for x, y in zip(cells, others, strict=True))
    own = getattr(a, "__self__", None)
    if own is None or own is not getattr(b, "__self__", None):
        return False
    return getattr(a, "__func__", a) is getattr(b, "__func__", b)


# ------------------------------------------------------------------------- nodes


def node_of(value: Any) -> Node:
    """A value with the atoms that it stands for now."""
    if value is UNDEF:
        return Undef()
    if isinstance(value, Poison):
        return Bad(value.reason, value.site is None)
    if isinstance(value, MaybeValue):
        return MaybeNode(node_of(value.value), lift(value.bound))
    if isinstance(value, Handle):
        if value.buffer.stale:
            return Bad(value.buffer.stale, final=True)
        return Leaf(value.atom, value.buffer)
    if isinstance(value, Sym) or is_array(value):
        return Leaf(lift(value))
    opened = _open(value)
    if opened is None:
        return Plain(value)
    keys, children = opened
    kind = class_of(value)
    return Tree(kind, keys, tuple(node_of(c) for c in children))


def _open(value: Any) -> tuple[tuple[Any, ...], Sequence[Any]] | None:
    """Keys and children of a container."""
    kind = class_of(value)
    if kind is list or issubclass(kind, tuple):
        return tuple(range(len(value))), value
    if kind is dict:
        return tuple(value), tuple(value.values())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = tuple(f.name for f in dataclasses.fields(value))
        return names, [getattr(value, n) for n in names]
    return None


def spec_of(node: Node, general: bool) -> Spec:
    """The spec of a node; `general` takes Python numbers as numbers of run time."""
    if isinstance(node, Leaf):
        type_ = node.atom.type
        if isinstance(type_, ArrayType):
            return Arr(type_)
        assert isinstance(type_, ScalarType)
        return Num(type_)
    if isinstance(node, MaybeNode):
        return Maybe(spec_of(node.inner, general))
    if isinstance(node, Tree):
        inner = tuple(spec_of(c, general) for c in node.children)
        return Tree(node.kind, node.keys, inner)
    if general and isinstance(node, Plain) and is_number(node.value):
        return Num(lift(node.value).type)  # type: ignore[arg-type]
    return node


def type_of(value: Any) -> Spec:
    """The spec of a value before a loop, of which memory may be spoiled by now."""
    if isinstance(value, Handle):
        return Arr(value.type)
    return spec_of(node_of(value), general=True)


def join(a: Spec, b: Spec, trusted: bool = False) -> Spec:
    """The spec of a value that is one of two. Trusted: what is unbound is not read."""
    if a == b:
        return a
    for x, y in ((a, b), (b, a)):
        if isinstance(x, Bad):
            return x
        if isinstance(x, Undef):
            return y if trusted or isinstance(y, Maybe) else Maybe(y)
        if isinstance(x, Maybe) and not isinstance(y, Bad | Undef):
            inner = join(x.inner, y.inner if isinstance(y, Maybe) else y)
            return inner if isinstance(inner, Bad) else Maybe(inner)
    if isinstance(a, Arr) and isinstance(b, Arr):
        return _join_arrays(a, b)
    if isinstance(a, Tree) and isinstance(b, Tree):
        if a.kind is b.kind and a.keys == b.keys:
            pairs = zip(a.children, b.children, strict=True)
            return Tree(a.kind, a.keys, tuple(join(x, y, trusted) for x, y in pairs))
        return Bad(f"is {_shown(a)} on one path and {_shown(b)} on another")
    numbers = _number(a), _number(b)
    if numbers[0] is not None and numbers[1] is not None:
        return Num(promote(numbers[0], numbers[1]))
    return Bad(f"is {_shown(a)} on one path and {_shown(b)} on another")


def _join_arrays(a: Arr, b: Arr) -> Spec:
    if a.type.rank != b.type.rank:
        return Bad(f"has {a.type.rank} axes on one path and {b.type.rank} on another")
    pairs = zip(a.type.dims, b.type.dims, strict=True)
    shape = tuple(x if x == y else None for x, y in pairs)
    return Arr(ArrayType(promote(a.type, b.type).dtype, shape), a.kept and b.kept)


def _number(spec: Spec) -> ScalarType | None:
    if isinstance(spec, Num):
        return spec.type
    if isinstance(spec, Plain) and is_number(spec.value):
        return lift(spec.value).type  # type: ignore[return-value]
    return None


def _shown(spec: Spec) -> str:
    if isinstance(spec, Num):
        return "a number"
    if isinstance(spec, Arr):
        return "an array"
    if isinstance(spec, Plain):
        text = repr(spec.value)
        return text if len(text) < 40 else f"a {type(spec.value).__name__}"
    if isinstance(spec, Tree):
        return f"a {spec.kind.__name__} of {len(spec.children)}"
    return "unbound"


def unsettled(spec: Spec, kept: Iterator[bool]) -> Spec:
    """The spec with arrays marked whose extents a loop changes."""
    if isinstance(spec, Arr):
        same = next(kept)
        return Arr(spec.type, spec.kept and same)
    if isinstance(spec, Num):
        next(kept)
        return spec
    if isinstance(spec, Maybe):
        inner = unsettled(spec.inner, kept)
        next(kept)
        return Maybe(inner)
    if isinstance(spec, Tree):
        return Tree(
            spec.kind, spec.keys, tuple(unsettled(c, kept) for c in spec.children)
        )
    return spec


# --------------------------------------------------------------------- conversion


def leaf_specs(spec: Spec) -> list[Num | Arr]:
    """The numbers and arrays of a spec, in order; a flag after what may be unbound."""
    if isinstance(spec, Num | Arr):
        return [spec]
    if isinstance(spec, Maybe):
        return [*leaf_specs(spec.inner), Num(_TRUTH)]
    if isinstance(spec, Tree):
        return [leaf for c in spec.children for leaf in leaf_specs(c)]
    return []


_TRUTH = ScalarType(np.dtype(np.bool_), weak=True)


def conform(builder: TraceBuilder, node: Node, spec: Spec) -> list[Leaf]:
    """The leaves of a node in the form of a spec; emits conversions."""
    if isinstance(spec, Num):
        return [Leaf(_number_atom(builder, node, spec.type))]
    if isinstance(spec, Arr):
        if isinstance(node, Leaf):
            return [Leaf(_array_atom(builder, node.atom, spec.type), node.buffer)]
        return [Leaf(_dummy(builder, spec.type))]
    if isinstance(spec, Maybe):
        if isinstance(node, MaybeNode):
            return [*conform(builder, node.inner, spec.inner), Leaf(node.bound)]
        bound = Const(not isinstance(node, Undef), _TRUTH)
        return [*conform(builder, node, spec.inner), Leaf(bound)]
    if isinstance(spec, Tree):
        children: Sequence[Any] = [Undef()] * len(spec.children)
        if isinstance(node, Tree):
            children = node.children
        pairs = zip(children, spec.children, strict=True)
        return [leaf for n, s in pairs for leaf in conform(builder, n, s)]
    return []


def _number_atom(builder: TraceBuilder, node: Node, type_: ScalarType) -> Atom:
    if isinstance(node, MaybeNode):
        return _number_atom(builder, node.inner, type_)
    atom: Atom
    if isinstance(node, Leaf):
        atom = node.atom
    elif isinstance(node, Plain):
        atom = lift(node.value)
    else:
        atom = Const(0, type_)
    if isinstance(atom, Const):
        return Const(np.asarray(atom.value).astype(type_.dtype).item(), type_)
    if atom.type.dtype != type_.dtype:
        return builder.emit1("cast", atom, dtype=type_.dtype, weak=type_.weak)
    return atom


def _array_atom(builder: TraceBuilder, atom: Atom, type_: ArrayType) -> Atom:
    if atom.type.dtype != type_.dtype:
        atom = builder.emit1("cast", atom, dtype=type_.dtype, weak=False)
    if atom.type != type_:
        extents = builder.extents(atom)
        atom = builder.emit1("reshape", atom, *extents, dims=type_.dims)
    return atom


def _dummy(builder: TraceBuilder, type_: ArrayType) -> Atom:
    """What stands for an array that is not there: never read."""
    extents = [lift(0 if d is None else d) for d in type_.dims]
    zero = Const(np.zeros((), type_.dtype).item(), ScalarType(type_.dtype))
    return builder.emit1("full", zero, *extents, dtype=type_.dtype, dims=type_.dims)


Make = Callable[[Atom, Arr], Any]


def build(
    builder: TraceBuilder,
    spec: Spec,
    atoms: Iterator[Atom],
    make: Make,
    site: Loc | None,
) -> Any:
    """The value of a spec from its atoms; `make` gives the handle of an array."""
    if isinstance(spec, Num):
        return builder.wrap(next(atoms))
    if isinstance(spec, Arr):
        return make(next(atoms), spec)
    if isinstance(spec, Maybe):
        inner = build(builder, spec.inner, atoms, make, site)
        bound = builder.wrap(next(atoms))
        if isinstance(bound, Sym):
            return MaybeValue(inner, bound, [])
        return inner if bound else UNDEF
    if isinstance(spec, Tree):
        children = [build(builder, c, atoms, make, site) for c in spec.children]
        return builder.new(_assemble(spec, children))
    if isinstance(spec, Bad):
        return Poison(spec.reason, None if spec.final else site)
    return spec.value if isinstance(spec, Plain) else UNDEF


def _assemble(spec: Tree, children: list[Any]) -> Any:
    make: Any = spec.kind
    if make is list:
        return children
    if make is dict:
        return dict(zip(spec.keys, children, strict=True))
    if issubclass(spec.kind, tuple):
        return make(*children) if hasattr(make, "_fields") else make(children)
    new = object.__new__(make)
    for name, child in zip(spec.keys, children, strict=True):
        object.__setattr__(new, name, child)
    return new
