"""From a function and the leaves of a call to source text.

trace -> transform -> simplify -> fuse -> place -> name -> source
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gradjit.calltext import Result
from gradjit.codegen.emit import emit
from gradjit.errors import DtypeError, GradjitError, ShapeError
from gradjit.ir.graph import Graph, Value
from gradjit.ir.named import Named
from gradjit.ir.tree import Tree
from gradjit.ir.types import Type, rank
from gradjit.outputs import pruned, with_constants
from gradjit.passes import pipeline
from gradjit.passes.dce import eliminate
from gradjit.passes.parallel import refuse_races
from gradjit.passes.report import Kept
from gradjit.passes.simplify import simplify
from gradjit.primal import Derived, Primal, Slot
from gradjit.signature import Call, Function, identifier, leaf_paths
from gradjit.trace.trace import Input, Traced, trace
from gradjit.transform import has_effects
from gradjit.version import VERSION


@dataclass(slots=True)
class Lowered:
    """A function lowered for a signature.

    Attributes:
        function: What was lowered.
        call: For which leaves.
        traced: What tracing found.
        stages: The graph after each pass.
        program: The program that is printed.
        source: The emitted source.
        results: Where the leaves of the output come from.
        output: The structure of the output.
        params: For each parameter of the emitted function a leaf, or a captured array.
        paths: How each leaf is written in Python.
        notes: What is kept for the way back.
        written: Leaves that results are written into.
        device: The kernels, if it is for a device.
    """

    function: Function
    call: Call
    traced: Traced
    stages: pipeline.Stages
    program: Named
    source: str
    results: tuple[Result, ...]
    output: Tree
    params: tuple[int, ...]
    types: tuple[Type, ...]
    paths: tuple[str, ...]
    count: int
    notes: tuple[Kept, ...]
    written: tuple[int, ...] = ()
    device: pipeline.Device | None = None

    def parameters(self) -> dict[Value, Any]:
        """The values of the traced parameters in the call."""
        pairs = zip(self.traced.graph.block.params, self.params, strict=False)
        return {v: self.call.values[k] for v, k in pairs if k >= 0}


# ---------------------------------------------------------------------- lowering


def lower(function: Function, call: Call) -> Lowered:
    """Trace, transform and print."""
    own = function.transform.layout == "own"
    paths = leaf_paths(function.signature, call.tree, "out" if own else "v")
    stages = pipeline.Stages()
    traced, slots = trace_call(function, call, paths)
    stages.keep("trace", traced.graph)
    notes: list[Kept] = []
    if function.options.parallel:
        refuse_races(eliminate(simplify(traced.graph)))
    derived = _derive(function, call, traced, slots, paths, notes)
    captured = len(traced.graph.block.params) - len(slots)
    params = (*slots, *(-1 - k for k in range(captured)), *derived.extras)
    _check_extras(call, derived, paths)
    _check_written(function, call, derived, paths)
    mutated = _mutated(function, traced)
    graph = Graph(function.label, derived.block, mutated)
    graph = pipeline.optimise(stages.keep(function.transform.name, graph), stages)
    aliases = has_effects(function.transform)
    graph, results, output = pruned(
        graph, derived.outputs, params, call.specs, aliases, derived.written
    )
    count = len(graph.block.results) - len(mutated) - len(derived.written)
    into = [(count + k, params.index(o.like)) for k, o in enumerate(derived.written)]
    program, source, device = _program(function, graph, stages, into)
    written = tuple(o.into for o in derived.written if o.into is not None)
    return Lowered(
        function,
        call,
        traced,
        stages,
        program,
        source,
        results,
        output,
        (*params, *written),
        tuple(p.type for p in program.graph.block.params),
        tuple(paths),
        count,
        tuple(notes),
        written,
        device,
    )


def _program(
    function: Function,
    graph: Graph,
    stages: pipeline.Stages,
    into: Sequence[tuple[int, int]],
) -> tuple[Named, str, pipeline.Device | None]:
    """The program that is printed, its text, and what a device runs of it.

    What could change the code without the program is in the text.
    """
    options = function.options
    title, notes = header(function)
    if options.target == "cpu":
        program = pipeline.lower(graph, stages, parallel=options.parallel, into=into)
        return program, emit(program, title, notes), None
    from gradjit.codegen.device import emit_device

    device = pipeline.lower_device(graph, stages, into)
    text = emit_device(
        device.host, device.kernels, device.checks, title, notes, options.fastmath
    )
    return device.host, text, device


def header(function: Function) -> tuple[str, list[str]]:
    """The docstring of the emitted file: its first line, and more of them."""
    what = f"{function.transform.name} of {function.name}"
    code = getattr(inspect.unwrap(function.fn), "__code__", None)
    where = ""
    if code is not None:
        where = f" ({os.path.basename(code.co_filename)}:{code.co_firstlineno})"
    notes = [f"Written by gradjit {VERSION}{function.options.note()}."]
    return f"{what}{where}.", notes


def trace_call(
    function: Function, call: Call, paths: Sequence[str]
) -> tuple[Traced, tuple[int, ...]]:
    """The traced function, and the slots of the parameters of its block."""
    args, kwargs, _ = call.tree.children
    count = args.size + kwargs.size
    inputs = [
        Input(spec.type, identifier(path), value, getattr(value, "shape", ()))
        for spec, path, value in zip(call.specs, paths, call.values, strict=True)
    ][:count]

    def build(leaves: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        rest = iter(leaves)
        own = tuple(child.unflatten(rest) for child in args.children)
        return own, kwargs.unflatten(rest)

    keep = has_effects(function.transform)
    traced = trace(function.fn, inputs, build, keep)
    slots = tuple(k for k in range(count) if k not in traced.pinned)
    return traced, slots


def _derive(
    function: Function,
    call: Call,
    traced: Traced,
    slots: tuple[int, ...],
    paths: Sequence[str],
    notes: list[Kept],
) -> Derived:
    structure = call.tree.unflatten(Slot(k) for k in range(call.tree.size))
    args, kwargs, extras = structure
    block, outputs = with_constants(traced.graph.block, traced.outputs)
    block = pipeline.prepare(block, function.options.target)
    types: dict[int, Type] = {
        k: call.specs[k].type for k in range(len(call.specs)) if k not in slots
    }
    name = function.name
    primal = Primal(
        name, block, slots, outputs, args, kwargs, extras, paths, types, notes=notes
    )
    return function.transform.derive(primal.within(function.options.memory))


def _check_extras(call: Call, derived: Derived, paths: Sequence[str]) -> None:
    """Tangents and cotangents have the dtype and the rank of what they belong to."""
    own = len(derived.block.params) - len(derived.extras)
    for slot, param in zip(derived.extras, derived.block.params[own:], strict=True):
        got, want = call.specs[slot].type, param.type
        if rank(got) != rank(want):
            raise ShapeError(
                f"a tangent or cotangent ({paths[slot]}) is {got}, and should be {want}"
            )
        if got.dtype != want.dtype:
            raise DtypeError(
                f"a tangent or cotangent ({paths[slot]}) is {got.dtype.name}, and"
                f" should be {want.dtype.name}"
            )


def _check_written(
    function: Function, call: Call, derived: Derived, paths: Sequence[str]
) -> None:
    """Arrays for gradients are like the arguments; numbers cannot be written into."""
    for out in derived.written:
        assert out.like is not None
        assert out.into is not None
        want, got = call.specs[out.like], call.specs[out.into]
        name, where = paths[out.like], paths[out.into]
        if want.kind != "array":
            raise GradjitError(
                f"out is for gradients that are arrays, and that of {function.name} by"
                f" {name} is a number",
                hint="Leave out= away, or pass the number in an array.",
            )
        if got.kind != "array" or got.dims != want.dims:
            raise ShapeError(f"{where} is {got}, and {name} is {want}")
        if got.dtype != want.dtype:
            raise DtypeError(
                f"{where} is {got.dtype.name}, and {name} is {want.dtype.name}"
            )


def _mutated(function: Function, traced: Traced) -> dict[int, int]:
    """Written parameters and their last versions; only `jit` writes for the caller."""
    return dict(traced.graph.mutated) if has_effects(function.transform) else {}
