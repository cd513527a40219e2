"""What a caller asks a transform for: arguments, results and tangents, checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from gradjit.errors import DtypeError, GradjitError, ShapeError
from gradjit.ir.build import Builder
from gradjit.ir.graph import Atom, Block, Value, values
from gradjit.ir.tree import Tree, flatten
from gradjit.ir.types import ArrayType, ScalarType, Type, dims, is_float
from gradjit.ops.sym import require_equal
from gradjit.primal import Out, Primal, Slot, is_slot


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
            f" {described(out)}",
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


def described(out: Any) -> str:
    if out is None:
        return "None"
    if isinstance(out, Out):
        return "one value"
    cls = cast("Any", type(out))
    size = f" of {len(out)}" if issubclass(cls, tuple | list) else ""
    return f"a {cls.__name__}{size}"


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
