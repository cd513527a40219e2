"""A derivative as a device function: lowered for the types of a call in a kernel.

One thread computes it, so the program is the one for the CPU, down to its last passes;
what it may not do in a kernel is refused here. Numbers are returned, flat. Gradients by
arrays are written into arrays that come after the function's own arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, cast

import numpy as np

from gradjit.calltext import Result
from gradjit.codegen.inside import emit_inside
from gradjit.errors import GradjitError, UnsupportedError
from gradjit.ir.build import Builder
from gradjit.ir.graph import (
    Atom,
    Block,
    Const,
    Eqn,
    Graph,
    Value,
    substitute,
    values,
    walk,
)
from gradjit.ir.named import Named
from gradjit.ir.types import ArrayType, ScalarType, Type, dims
from gradjit.leaf import Axes, Spec
from gradjit.lowered import Lowered, header
from gradjit.passes import pipeline
from gradjit.passes.jvp import jvp
from gradjit.passes.memory import Memory
from gradjit.primal import Derived, Out, Primal
from gradjit.signature import Function
from gradjit.transform import Grad, HessianVector
from gradjit.transformed import Transformed
from gradjit.wanted import scalar_result, wanted

# The extent that stands for any: 1 would be one that broadcasts.
_SOME = 2
# Bytes that the arrays of one thread may take.
_LOCAL = 64 * 1024
# Gradients by so many numbers are computed forwards, one after the other, where the
# way back would need memory.
_FORWARDS = 8


@dataclass(frozen=True, slots=True)
class Inside:
    """A device function's source.

    Attributes:
        name: Of the function.
        source: The module that it stands in.
    """

    name: str
    source: str


def lower_inside(f: Transformed, specs: Sequence[Spec]) -> Inside:
    """The device function for arguments of these types.

    Args:
        f: A gradient, or a function as it is.
        specs: Of the function's own arguments; extents that are known are part of it.

    Raises:
        GradjitError: What it computes cannot be done inside of a kernel.
    """
    f = f.with_options(static=_known(f, specs), memory=None)
    ways = [f, f.with_options(memory=Memory(0)), _forwards(f, specs)]
    refused: list[UnsupportedError] = []
    for way in filter(None, ways):
        program, function = _lowered(way, specs)
        found = _forbidden(program)
        if found is None:
            title, notes = header(replace(function, options=f.options))
            source = emit_inside(program, title, notes, f.options.fastmath)
            return Inside(program.graph.name, source)
        refused.append(_refusal(f, program, found))
    raise refused[0]


# ---------------------------------------------------------------------- the program


def _lowered(f: Transformed, specs: Sequence[Spec]) -> tuple[Named, Function]:
    """The program that is printed, and what it was made from."""
    lowered = f.lowered_for(*map(_example, specs))
    _refuse_outside(lowered, specs)
    graph = lowered.stages.graphs["eliminate"]
    block = graph.block
    results = tuple(_atom(lowered, block, r) for r in lowered.results)
    into = _places(lowered, results)
    block = _without_defaults(lowered, Block(block.params, block.eqns, results), specs)
    graph = Graph(graph.name, block)
    program = pipeline.lower(graph, pipeline.Stages(), runtime=False, into=into)
    return program, lowered.function


def _known(f: Transformed, specs: Sequence[Spec]) -> tuple[tuple[str, Axes], ...]:
    """The parameters with known extents, and the axes."""
    signature = f.__signature__
    names = list(signature.parameters) if signature is not None else []
    pairs = zip(names, specs, strict=False)
    axes = {n: tuple(k for k, m in enumerate(s.dims) if m) for n, s in pairs}
    return tuple((n, found) for n, found in axes.items() if found)


def _without_defaults(lowered: Lowered, block: Block, specs: Sequence[Spec]) -> Block:
    """The block with the function's default values in place of their parameters."""
    own = len(specs) - isinstance(lowered.function.transform, HessianVector)
    values = lowered.call.values
    beyond = len(values) - (len(specs) - own)
    mapping: dict[Value, Atom] = {}
    for leaf, param in zip(lowered.params, block.params, strict=True):
        if own <= leaf < beyond:
            assert isinstance(param.type, ScalarType)  # arrays are from outside
            mapping[param] = Const(np.asarray(values[leaf]).item(), param.type)
    params = tuple(p for p in block.params if p not in mapping)
    return substitute(Block(params, block.eqns, block.results), mapping)


def _example(spec: Spec) -> Any:
    """An argument of this type."""
    if spec.kind == "array":
        return np.ones([_SOME if n is None else n for n in spec.dims], spec.dtype)
    return cast("Any", spec.dtype).type(1)


def _refuse_outside(lowered: Lowered, specs: Sequence[Spec]) -> None:
    """Refuse a program that needs more than the types of its arguments."""
    name = lowered.function.name
    known = dict(lowered.traced.pinned)
    known |= {
        k: found for k, found in lowered.traced.shaped.items() if None in specs[k].dims
    }
    for k, (_, reason) in known.items():
        raise GradjitError(
            f"{name} cannot be a device function for any {lowered.paths[k]}: its value"
            f" or its extents are part of the program ({reason})",
            hint="Give a signature with the extents, or let the function read the"
            " number from outside.",
        )
    if any(p < 0 for p in lowered.params):
        raise UnsupportedError(
            f"{name} reads an array from outside, which a device function cannot",
            hint="Make the array an argument.",
        )


def _atom(lowered: Lowered, block: Block, result: Result) -> Atom:
    """A leaf of the output, as the program has it."""
    if result.source == "const":
        return Const(result.value, ScalarType(result.dtype))
    if result.source == "leaf":
        return block.params[lowered.params.index(result.value)]
    place: int = result.value
    return block.results[place]


def _places(lowered: Lowered, results: Sequence[Atom]) -> list[tuple[int, int]]:
    """Results that are arrays, each with the argument that it is the gradient by."""
    transform = lowered.function.transform
    args, _, extras = lowered.call.tree.children
    grads = _by(transform, args.size + extras.size)
    first = len(results) - len(grads)
    if isinstance(transform, Grad) and transform.has_aux and not transform.value:
        first = 0
    like = dict(enumerate(grads, start=first))
    arrays = [k for k, r in enumerate(results) if isinstance(r.type, ArrayType)]
    for k in arrays:
        if k not in like:
            raise UnsupportedError(
                f"{lowered.function.name} returns an array, which a device function"
                " cannot",
                hint="Return numbers.",
            )
    return [(k, lowered.params.index(like[k])) for k in arrays]


def _by(transform: Any, count: int) -> list[int]:
    """The arguments by which a transform of a function differentiates."""
    if not isinstance(transform, Grad | HessianVector):
        return []
    own = count - isinstance(transform, HessianVector)
    numbers = transform.argnums
    several = numbers if isinstance(numbers, tuple) else (numbers,)
    return [n % own for n in several if -own <= n < own]


def arrays_by(f: Transformed, specs: Sequence[Spec]) -> list[Spec]:
    """The arguments, arrays, by which a device function writes gradients."""
    by = [specs[n] for n in _by(f.transform, len(specs))]
    return [spec for spec in by if spec.kind == "array"]


# ------------------------------------------------------------------ the way forwards


def _forwards(f: Transformed, specs: Sequence[Spec]) -> Transformed | None:
    """The same gradient, from a tangent for each number that it is by."""
    transform = f.transform
    if not isinstance(transform, Grad) or transform.has_aux:
        return None
    by = _by(transform, len(specs))
    if len(by) > _FORWARDS or any(specs[n].kind == "array" for n in by):
        return None
    same = (transform.argnums, transform.has_aux, transform.value)
    return Transformed(f.__wrapped__, Forwards(*same), f.options)


@dataclass(frozen=True, slots=True)
class Forwards(Grad):
    """The gradient by numbers, from a tangent for each of them."""

    def derive(self, primal: Primal) -> Derived:
        wrt = wanted(self.name, primal, self.argnums)
        k = scalar_result(self.name, primal, primal.outputs)
        block = primal.block
        block = Block(block.params, block.eqns, (block.results[k],))
        builder = Builder(checks=False)
        params = tuple(Value(p.type, p.name) for p in block.params)
        builder.open(params)
        results: list[Atom] = []
        for slot in wrt.slots:
            position = primal.position(slot)
            type_ = block.params[position].type
            assert isinstance(type_, ScalarType)
            joint = jvp(block, [position])
            value, slope = builder.inline(joint, (*params, Const(1.0, type_)))
            results = [*results, slope] if results else [value, slope]
        outs = [Out(1 + j, s) for j, s in enumerate(wrt.slots)]
        grads = wrt.fill(outs)
        joint = builder.close(results)
        return Derived(joint, (Out(0), grads) if self.value else grads)


# ----------------------------------------------------------------- what cannot be done

_Found = tuple[Eqn, str, str]
_FIXED = 'Give a signature with the extents, as in "float64[3]".'
_NOT_HERE = {
    "stack_new": (
        "values of a loop are saved for the way back, and nobody knows how many",
        "Differentiate by numbers alone, which goes forwards, or take the gradient"
        ' outside of the kernel, with target="cuda".',
    ),
    "contract": ("it needs a product of matrices of any size", _FIXED),
}
_FINE = frozenset(
    ("dim", "index", "store", "add_at", "transpose", "reshape", "check", "for_")
) | {"while_", "if_"}


def _forbidden(program: Named) -> _Found | None:
    """What a kernel cannot do, with the reason and what to do."""
    for eqn in walk(program.graph.block):
        found = _why(eqn)
        if found is not None:
            return eqn, *found
    return None


def _why(eqn: Eqn) -> tuple[str, str] | None:
    name = eqn.op.name
    if name in _NOT_HERE:
        return _NOT_HERE[name]
    if name in ("empty", "full", "copy"):
        return _memory(eqn.out.type)
    if name == "map_":
        pairs = zip(eqn.params["writers"], eqn.outs, strict=True)
        made = [o.type for w, o in pairs if w.kind not in ("store", "add")]
        return next((why for t in made if (why := _memory(t))), None)
    if name in _FINE or eqn.op.kind == "elementwise":
        return None
    return f"it needs {eqn.op.doc[0].lower()}{eqn.op.doc[1:].rstrip('.')}", ""


def _memory(type_: Type) -> tuple[str, str] | None:
    """Why an array cannot be a thread's own."""
    known = [n for n in dims(type_) if n is not None]
    if len(known) < len(dims(type_)):
        return "kernels allocate nothing, and it needs an array of any size", _FIXED
    size = prod(known) * type_.dtype.itemsize if known else 0
    if size <= _LOCAL:
        return None
    return f"it needs {size} bytes of a thread's own memory", ""


def _refusal(f: Transformed, program: Named, found: _Found) -> UnsupportedError:
    """The error, with the user's line: that of what reads the value, if need be."""
    eqn, why, hint = found
    near = (e for e in walk(program.graph.block) if {*eqn.outs} & {*values(e.args)})
    loc = eqn.loc or next((e.loc for e in near if e.loc), None)
    what = f"{f.label} cannot be a device function: {why}"
    return UnsupportedError(what, loc, hint)
