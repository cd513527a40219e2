"""What each transform does to a traced function: block in, block out.

A call's arguments are trees of leaves; in the trees here each leaf is a `Slot`, its
place among all leaves of the call. A transform gets the traced function as a `Primal`
and gives a `Derived`: the block to compile, and trees that say what to return.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, cast

from gradjit.errors import DtypeError, GradjitError, ShapeError
from gradjit.ir.build import Builder
from gradjit.ir.graph import Atom, Block, Value, values
from gradjit.ir.tree import Tree, flatten
from gradjit.ir.types import ArrayType, ScalarType, Type, dims, is_float
from gradjit.ops.sym import require_equal
from gradjit.passes.ad import value_and_grad, vjp
from gradjit.passes.jvp import jvp
from gradjit.passes.report import Kept
from gradjit.passes.segment import Memory, segment

Layout = Literal["own", "trailing", "packed", "pullback"]
Split = tuple[tuple[Any, ...], dict[str, Any], tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of a leaf among the leaves of a call."""

    index: int


@dataclass(frozen=True, slots=True)
class Out:
    """A result of the block.

    Attributes:
        index: The result.
        like: The leaf in whose kind it comes back, if any.
        same: The parameter that it is: the caller's own array.
    """

    index: int
    like: int | None = None
    same: int | None = None


@dataclass(frozen=True, slots=True)
class Primal:
    """A traced function, ready for a transform.

    Attributes:
        name: The function's name, for messages.
        block: Its graph. The parameters are the leaves that are run-time values, then
            whatever else the function reads.
        slots: The slot of each leading parameter.
        outputs: What it returns, a tree with an `Out` for each result.
        args: The positional arguments as trees of slots.
        kwargs: The keyword arguments as trees of slots.
        extras: Further arguments of the transform, as trees of slots.
        paths: How each slot is written in Python, for messages.
        types: The types of leaves that are not parameters (pinned integers).
        budget: What values saved at one level of loops may take, in bytes.
        notes: Learns what a derivative keeps for the way back.
    """

    name: str
    block: Block
    slots: tuple[int, ...]
    outputs: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    extras: tuple[Any, ...]
    paths: Sequence[str]
    types: dict[int, Type]
    budget: int | None = None
    notes: list[Kept] = field(default_factory=list[Kept])

    def position(self, slot: int) -> int:
        """The parameter that holds a leaf."""
        return self.slots.index(slot)

    def within(self, memory: Memory | None) -> Primal:
        """The same function with its loops cut so that a derivative needs less."""
        if memory is None:
            return self
        return replace(self, block=segment(self.block, memory), budget=memory.share)


@dataclass(frozen=True, slots=True)
class Derived:
    """A block to compile.

    Attributes:
        block: Its parameters are those of the primal's block, then the extras.
        extras: The slots of the parameters that were added at the end.
        outputs: What the call returns, a tree with an `Out` for each leaf.
    """

    block: Block
    outputs: Any
    extras: tuple[int, ...] = ()


class Transform(Protocol):
    """A transform with its options."""

    @property
    def name(self) -> str:
        """What it is called, as in `gradjit.<name>`."""
        ...

    @property
    def layout(self) -> Layout:
        """How a call's arguments are laid out."""
        ...

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Split:
        """The function's own arguments, and what the transform takes beside them."""
        ...

    def derive(self, primal: Primal) -> Derived:
        """The block that computes what the transform returns."""
        ...


def has_effects(transform: Transform) -> bool:
    """Whether what the function writes into arguments reaches the caller."""
    return isinstance(transform, Plain) and transform.effects


def is_slot(x: Any) -> bool:
    return isinstance(x, Slot)


def is_out(x: Any) -> bool:
    return isinstance(x, Out)


def _own(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Split:
    return args, kwargs, ()


@dataclass(frozen=True, slots=True)
class Plain:
    """The function itself, with or without its effects on arguments."""

    name: str = "jit"
    effects: bool = True
    layout: Layout = "own"

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Split:
        return _own(args, kwargs)

    def derive(self, primal: Primal) -> Derived:
        return Derived(primal.block, primal.outputs)


@dataclass(frozen=True, slots=True)
class Grad:
    """The gradient of a scalar function, with or without the value."""

    argnums: int | tuple[int, ...] = 0
    has_aux: bool = False
    value: bool = False
    layout: Layout = "own"

    @property
    def name(self) -> str:
        return "value_and_grad" if self.value else "grad"

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Split:
        return _own(args, kwargs)

    def derive(self, primal: Primal) -> Derived:
        out, aux = _with_aux(primal) if self.has_aux else (primal.outputs, None)
        wrt = wanted(self.name, primal, self.argnums)
        k = scalar_result(self.name, primal, out)
        others = [r for i, r in enumerate(primal.block.results) if i != k]
        block = primal.block
        first = Block(block.params, block.eqns, (block.results[k], *others))
        positions = [primal.position(s) for s in wrt.slots]
        joint = value_and_grad(first, positions, primal.budget, primal.notes)
        count = len(first.results)
        grads = wrt.fill([Out(count + j, s) for j, s in enumerate(wrt.slots)])
        value = Out(0)
        rest = _renumber(aux, lambda i: i + 1 if i < k else i)
        return Derived(joint, self._outputs(value, rest, grads))

    def _outputs(self, value: Any, aux: Any, grads: Any) -> Any:
        if self.value:
            return ((value, aux), grads) if self.has_aux else (value, grads)
        return (grads, aux) if self.has_aux else grads


@dataclass(frozen=True, slots=True)
class Pullback:
    """Cotangents of the arguments from cotangents of the results.

    Called with the primals (a tuple) and the cotangent.
    """

    name: str = "vjp"
    layout: Layout = "pullback"

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Split:
        primals, cotangent = args
        return tuple(primals), kwargs, (as_floats(cotangent),)

    def derive(self, primal: Primal) -> Derived:
        every = tuple(range(len(primal.args)))
        wrt = wanted(self.name, primal, every, strict=False)
        leaves, tree = flatten(primal.outputs, is_out)
        outs: list[Out] = leaves
        given = matched(primal, tree, primal.extras[0], "the cotangent", "the result")
        block = primal.block
        picked = tuple(block.results[o.index] for o in outs)
        block = Block(block.params, block.eqns, picked)
        positions = [primal.position(s) for s in wrt.slots]
        joint = vjp(block, positions, primal.budget, primal.notes)
        added = joint.params[len(block.params) :]
        floats = [i for i, r in enumerate(picked) if is_float(r.type)]
        slots = tuple(given[i] for i in floats)
        pairs = list(zip([picked[i] for i in floats], added, strict=True))
        joint = check_extents(
            joint, pairs, "a cotangent has other extents than the result"
        )
        count = len(picked)
        grads = wrt.fill([Out(count + j, s) for j, s in enumerate(wrt.slots)])
        return Derived(joint, grads, slots)


@dataclass(frozen=True, slots=True)
class Pushforward:
    """The value and the tangent of the result. Called with primals and tangents."""

    name: str = "jvp"
    layout: Layout = "packed"

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Split:
        primals, tangents = args
        if not all(isinstance(x, list | tuple) for x in args):
            raise DtypeError(
                "jvp takes the primals and the tangents as tuples",
                hint="Write jvp(f, (x,), (v,)).",
            )
        return tuple(primals), kwargs, tuple(as_floats(t) for t in tangents)

    def derive(self, primal: Primal) -> Derived:
        pairs = _tangent_slots(primal, primal.args, primal.extras)
        joint, outs = _pushed(primal, pairs)
        return Derived(joint, (primal.outputs, outs), tuple(t for _, t in pairs))


@dataclass(frozen=True, slots=True)
class HessianVector:
    """Hessian times a vector: the pushforward of the gradient."""

    argnums: int | tuple[int, ...] = 0
    name: str = "hvp"
    layout: Layout = "trailing"

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Split:
        if len(args) < 2:
            raise TypeError("hvp(f)(*args, v) takes f's arguments and a vector")
        *own, v = args
        return tuple(own), kwargs, (as_floats(v),)

    def derive(self, primal: Primal) -> Derived:
        if isinstance(self.argnums, tuple):
            chosen = tuple(primal.args[n] for n in self.argnums)
        else:
            chosen = primal.args[self.argnums]
        pairs = _tangent_slots(primal, chosen, primal.extras[0])
        joint, outs = _pushed(primal, pairs)
        return Derived(joint, outs, tuple(t for _, t in pairs))


# ------------------------------------------------------------------ their parts


@dataclass(frozen=True, slots=True)
class Wanted:
    """The leaves to differentiate by, and the container they come back in."""

    slots: tuple[int, ...]
    tree: Tree
    keep: tuple[bool, ...] = field(default=())

    def fill(self, leaves: Sequence[Any]) -> Any:
        """The container with results in place of the leaves that have one."""
        rest = iter(leaves)
        return self.tree.unflatten(next(rest) if k else None for k in self.keep)


def wanted(
    what: str, primal: Primal, argnums: int | tuple[int, ...], strict: bool = True
) -> Wanted:
    """The leaves of the arguments `argnums`.

    Args:
        what: The transform, for messages.
        primal: The traced function.
        argnums: One position gives its container, several a tuple of them.
        strict: Whether a leaf that is no float is an error; else it gives None.
    """
    several = isinstance(argnums, tuple)
    numbers = argnums if isinstance(argnums, tuple) else (argnums,)
    chosen = tuple(_argument(what, primal, n) for n in numbers)
    if len({n % len(primal.args) for n in numbers}) != len(numbers):
        raise GradjitError(
            f"{what}: argnums {argnums} names an argument of {primal.name} twice",
        )
    leaves, tree = flatten(chosen if several else chosen[0], is_slot)
    types = slot_types(primal)
    keep = tuple(is_float(types[s.index]) for s in leaves)
    if strict:
        _refuse_others(what, primal, leaves, types)
    if strict and not leaves:
        number, names = numbers[0], primal.name
        raise DtypeError(
            f"argument {number} of {names} has no float to differentiate by",
            hint="Name another argument with argnums.",
        )
    slots = tuple(s.index for s, k in zip(leaves, keep, strict=True) if k)
    return Wanted(slots, tree, keep)


def _argument(what: str, primal: Primal, number: int) -> Any:
    count = len(primal.args)
    if not -count <= number < count:
        raise GradjitError(
            f"{what}: argnums has {number}, and {primal.name} was called with"
            f" {count} positional argument{'s' * (count != 1)}",
        )
    return primal.args[number]


def _refuse_others(
    what: str, primal: Primal, leaves: list[Slot], types: dict[int, Type]
) -> None:
    for slot in leaves:
        type_ = types[slot.index]
        if not is_float(type_):
            path = primal.paths[slot.index]
            raise DtypeError(
                f"{what} of {primal.name} with respect to {path}, which is"
                f" {type_.dtype.name}: only floats have a derivative",
                hint=f"Pass a float ({path} as 1.0 and not 1), or leave it out of"
                " argnums.",
            )


def slot_types(primal: Primal) -> dict[int, Type]:
    """The type of each leaf of the function's arguments."""
    params = zip(primal.slots, primal.block.params, strict=False)
    return {**primal.types, **{s: p.type for s, p in params}}


def scalar_result(what: str, primal: Primal, out: Any) -> int:
    """The position of the only result, which has to be a float scalar."""
    if not isinstance(out, Out):
        raise ShapeError(
            f"{what} needs a function with a scalar result; {primal.name} returned"
            f" {_described(out)}",
            hint="For more than one result use has_aux=True, vjp or jacobian.",
        )
    type_ = primal.block.results[out.index].type
    if not isinstance(type_, ScalarType):
        raise ShapeError(
            f"{what} needs a function with a scalar result; {primal.name} returned an"
            f" array {type_}",
            hint="Sum the result, or use jacobian, or vjp with a cotangent.",
        )
    if not is_float(type_):
        raise DtypeError(
            f"{what} needs a float result; {primal.name} returned {type_.dtype.name}",
            hint="An integer or a bool has no derivative.",
        )
    return out.index


def _described(out: Any) -> str:
    if out is None:
        return "None"
    if isinstance(out, Out):
        return "one value"
    cls = cast("Any", type(out))
    size = f" of {len(out)}" if issubclass(cls, tuple | list) else ""
    return f"a {cls.__name__}{size}"


def _with_aux(primal: Primal) -> tuple[Any, Any]:
    out = primal.outputs
    if not _is_pair(out):
        raise GradjitError(
            f"has_aux: {primal.name} has to return a pair (value, aux), and returned"
            f" {_described(out)}"
        )
    return out


def _is_pair(out: Any) -> bool:
    return isinstance(out, tuple) and len(cast("tuple[Any, ...]", out)) == 2


def _renumber(tree: Any, move: Callable[[int], int]) -> Any:
    outs, shape = flatten(tree, is_out)
    return shape.unflatten(Out(move(o.index), o.like) for o in outs)


def as_floats(tree: Any) -> Any:
    """Tangents and cotangents with Python ints as floats."""
    from gradjit.ir.tree import is_number

    leaves, shape = flatten(tree, is_number_or_symbol(is_number))
    return shape.unflatten(float(x) if type(x) is int else x for x in leaves)


def is_number_or_symbol(is_number: Callable[[Any], bool]) -> Callable[[Any], bool]:
    from gradjit.ops.sym import Sym

    return lambda x: is_number(x) or isinstance(x, Sym)


def matched(
    primal: Primal, tree: Tree, extra: Any, what: str, against: str
) -> list[int]:
    """The slots of an extra argument, whose container has to be like another."""
    leaves, shape = flatten(extra, is_slot)
    if not _same_container(tree, shape):
        raise ShapeError(
            f"{what} is another container than {against} of {primal.name}",
            hint="Pass the same nesting of tuples, lists and dicts.",
        )
    return [s.index for s in leaves]


def _same_container(a: Tree, b: Tree) -> bool:
    if a.kind == "static" or b.kind == "static":
        return a.kind == b.kind
    return (
        a.kind == b.kind
        and a.names == b.names
        and len(a.children) == len(b.children)
        and all(map(_same_container, a.children, b.children))
    )


def _tangent_slots(primal: Primal, args: Any, tangents: Any) -> list[tuple[int, int]]:
    """Pairs of a float leaf and the leaf that is its tangent."""
    leaves, tree = flatten(args, is_slot)
    given = matched(primal, tree, tangents, "the tangent", "the argument")
    types = slot_types(primal)
    pairs = [
        (s.index, t)
        for s, t in zip(leaves, given, strict=True)
        if is_float(types[s.index])
    ]
    if not pairs:
        raise DtypeError(f"{primal.name} was given no float to differentiate by")
    return pairs


def _pushed(primal: Primal, pairs: list[tuple[int, int]]) -> tuple[Block, Any]:
    """The block with tangents, and the tree of the results' tangents."""
    block = primal.block
    joint = jvp(block, [primal.position(s) for s, _ in pairs])
    count = len(block.params)
    own = {s: joint.params[primal.position(s)] for s, _ in pairs}
    added = joint.params[count:]
    checks = [(own[s], t) for (s, _), t in zip(pairs, added, strict=True)]
    joint = check_extents(joint, checks, "a tangent has other extents than its primal")
    rows = [i for i, r in enumerate(block.results) if is_float(r.type)]
    outs, tree = flatten(primal.outputs, is_out)
    first = len(block.results)
    moved = [
        Out(first + rows.index(o.index), o.like) if o.index in rows else None
        for o in outs
    ]
    return joint, tree.unflatten(moved)


def check_extents(
    block: Block, pairs: Sequence[tuple[Atom, Value]], message: str
) -> Block:
    """The block with run-time checks that arrays have equal extents.

    The checks of a pair follow the equation that defines its first member.
    """
    pairs = [(a, b) for a, b in pairs if isinstance(b.type, ArrayType)]
    if not pairs:
        return block
    b = Builder(checks=True)
    waiting = list(pairs)
    with b.active():
        b.open(block.params)
        mapping: dict[Value, Atom] = {}
        known = set(block.params)
        _check_known(b, waiting, known, mapping, message)
        for eqn in block.eqns:
            b.copy(eqn, mapping)
            known.update(eqn.outs)
            _check_known(b, waiting, known, mapping, message)
        results = [
            mapping.get(r, r) if isinstance(r, Value) else r for r in block.results
        ]
        return b.close(results)


def _check_known(
    b: Builder,
    waiting: list[tuple[Atom, Value]],
    known: set[Value],
    mapping: dict[Value, Atom],
    message: str,
) -> None:
    for pair in list(waiting):
        atom, other = pair
        if any(v not in known for v in values([atom])):
            continue
        waiting.remove(pair)
        atom = mapping.get(atom, atom) if isinstance(atom, Value) else atom
        if len(dims(atom.type)) != len(dims(other.type)):
            raise ShapeError(f"{message}: {other.type} and {atom.type}")
        for axis in range(len(dims(other.type))):
            ours, theirs = b.extent(atom, axis), b.extent(other, axis)
            require_equal(b, ours, theirs, message)
