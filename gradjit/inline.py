"""A transformed function that is called inside of a traced one.

The function is traced where it is called, into a block of its own; the transform makes
another block of that, whose equations are appended to the graph under construction. So
a gradient inside of a loss, of a loop or of another gradient is a part of the graph
like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gradjit.ir.build import current
from gradjit.ir.graph import Atom, Value
from gradjit.ir.tree import flatten, is_number
from gradjit.ir.types import rank
from gradjit.ops.region import derived_claims
from gradjit.ops.sym import Sym, lift
from gradjit.outputs import with_constants
from gradjit.passes.pipeline import prepare
from gradjit.primal import Out, Primal, Slot, Split, is_out
from gradjit.trace.builder import TraceBuilder, is_traced
from gradjit.trace.call import call
from gradjit.trace.trace import trace_inner
from gradjit.transform import has_effects

if TYPE_CHECKING:
    from gradjit.lowered import Function

__all__ = ["inline", "is_traced"]


def inline(
    function: Function,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    extras: tuple[Any, ...],
) -> Any:
    """Append what the transform computes to the graph under construction.

    Args:
        function: The function and its transform.
        args: The function's positional arguments, defaults included.
        kwargs: Its keyword arguments.
        extras: What the transform takes beside them.
    """
    if has_effects(function.transform):
        return call(tracing(), function.fn, args, kwargs)
    leaves, tree = flatten((args, kwargs, extras), _is_leaf)
    own = len(flatten((args, kwargs), _is_leaf)[0])
    # A Python int stays one: it may be a list index or the length of a tuple.
    slots = [k for k in range(own) if type(leaves[k]) is not int]
    atoms = [lift(leaves[k]) for k in slots]

    def build(symbols: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        filled = [*leaves]
        for k, symbol in zip(slots, symbols, strict=True):
            filled[k] = symbol
        inner_args, inner_kwargs, _ = tree.unflatten(filled)
        return inner_args, inner_kwargs

    block, outputs = trace_inner(function.fn, [leaves[k] for k in slots], build)
    inside: Split = tree.unflatten(Slot(k) for k in range(tree.size))
    block, outputs = with_constants(block, outputs)
    block = prepare(block)
    types = {k: lift(x).type for k, x in enumerate(leaves) if k not in slots}
    paths = [f"leaf {k}" for k in range(len(leaves))]
    name = function.name
    primal = Primal(name, block, tuple(slots), outputs, *inside, paths, types)
    derived = function.transform.derive(primal.within(function.options.memory))
    given = [*atoms, *(lift(leaves[k]) for k in derived.extras)]
    results = current().inline(derived_claims(derived.block), given)
    found: tuple[list[Out], Any] = flatten(derived.outputs, is_out)
    outs, shape = found
    for out in outs:
        if out.like is not None:
            primal_leaf: Atom = lift(leaves[out.like])
            _know_extents(results[out.index], primal_leaf)
    return shape.unflatten(_wrapped(results, out) for out in outs)


def tracing() -> TraceBuilder:
    """The builder of the trace that is going on."""
    builder = current()
    assert isinstance(builder, TraceBuilder)
    return builder


def _is_leaf(x: Any) -> bool:
    return is_number(x) or isinstance(x, Sym)


def _know_extents(gradient: Atom, primal: Atom) -> None:
    """A gradient has the extents of its primal, however it was computed."""
    b = current()
    if rank(gradient.type) != rank(primal.type) or not isinstance(gradient, Value):
        return  # a row for each result
    b.set_extents(gradient, b.extents(primal))


def _wrapped(results: Sequence[Atom], out: Out) -> Any:
    return current().wrap(results[out.index])
