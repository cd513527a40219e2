"""From a function and the leaves of a call to source text.

trace -> transform -> simplify -> fuse -> place -> name -> source
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gradjit.codegen.emit import emit
from gradjit.errors import DtypeError, ShapeError
from gradjit.fastcall import Result
from gradjit.ir.graph import Graph, Value
from gradjit.ir.named import Named
from gradjit.ir.tree import Tree
from gradjit.ir.types import Type, rank
from gradjit.leaf import Spec
from gradjit.options import Options
from gradjit.outputs import pruned, with_constants
from gradjit.passes import pipeline
from gradjit.passes.dce import eliminate
from gradjit.passes.parallel import refuse_races
from gradjit.passes.report import Kept
from gradjit.passes.simplify import simplify
from gradjit.primal import Derived, Primal, Slot, Transform
from gradjit.trace.trace import Input, Traced, trace
from gradjit.transform import has_effects
from gradjit.version import VERSION


@dataclass(frozen=True, slots=True)
class Function:
    """What is to be compiled.

    Attributes:
        fn: The user's function.
        transform: What is computed from it.
        options: How.
        label: The name of the emitted function.
        signature: Of `fn`, if it has one.
    """

    fn: Callable[..., Any]
    transform: Transform
    options: Options
    label: str
    signature: inspect.Signature | None

    @property
    def name(self) -> str:
        """The name of the user's function."""
        return getattr(self.fn, "__name__", type(self.fn).__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """The leaves of a call, in the form that compiled code takes.

    Attributes:
        tree: The structure of (args, kwargs, extras).
        specs: What each leaf is.
        values: The leaves.
        given: The leaves as the caller has them.
    """

    tree: Tree
    specs: tuple[Spec, ...]
    values: tuple[Any, ...]
    given: tuple[Any, ...]

    @property
    def canonical(self) -> bool:
        """Whether all leaves are fit for compiled code as they are."""
        return all(map(_same, self.values, self.given))


def _same(a: Any, b: Any) -> bool:
    return a is b


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

    def parameters(self) -> dict[Value, Any]:
        """The values of the traced parameters in the call."""
        pairs = zip(self.traced.graph.block.params, self.params, strict=False)
        return {v: self.call.values[k] for v, k in pairs if k >= 0}


# ---------------------------------------------------------------------- lowering


def lower(function: Function, call: Call) -> Lowered:
    """Trace, transform and print."""
    paths = leaf_paths(function.signature, call.tree)
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
    mutated = _mutated(function, traced)
    graph = Graph(function.label, derived.block, mutated)
    graph = pipeline.optimise(stages.keep(function.transform.name, graph), stages)
    aliases = has_effects(function.transform)
    graph, results, output = pruned(graph, derived.outputs, params, call.specs, aliases)
    program = pipeline.lower(graph, stages, parallel=function.options.parallel)
    source = _print(function, program)
    return Lowered(
        function,
        call,
        traced,
        stages,
        program,
        source,
        results,
        output,
        params,
        tuple(p.type for p in graph.block.params),
        tuple(paths),
        len(graph.block.results) - len(mutated),
        tuple(notes),
    )


def _print(function: Function, program: Named) -> str:
    """The emitted file; what could change the code without the program is in it."""
    what = f"{function.transform.name} of {function.name}"
    code = getattr(inspect.unwrap(function.fn), "__code__", None)
    where = ""
    if code is not None:
        where = f" ({os.path.basename(code.co_filename)}:{code.co_firstlineno})"
    notes = [f"Written by gradjit {VERSION}{function.options.note()}."]
    return emit(program, f"{what}{where}.", notes)


def leaf_paths(signature: inspect.Signature | None, tree: Tree) -> list[str]:
    """How each leaf is reached from the parameters, as Python would write it."""
    args, kwargs, extras = tree.children
    paths: list[str] = []
    for name, child in zip(
        _names(signature, len(args.children)), args.children, strict=True
    ):
        paths += child.paths(name)
    for name, child in zip(kwargs.names, kwargs.children, strict=True):
        paths += child.paths(str(name))
    for k, child in enumerate(extras.children):
        paths += child.paths(f"v{k}" if len(extras.children) > 1 else "v")
    return paths


def _names(signature: inspect.Signature | None, count: int) -> list[str]:
    """Names of positional arguments; those of a star get a number."""
    names: list[str] = []
    kinds = inspect.Parameter
    for p in signature.parameters.values() if signature is not None else ():
        if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD):
            names.append(p.name)
        elif p.kind is kinds.VAR_POSITIONAL:
            names += [f"{p.name}[{i}]" for i in range(count - len(names))]
    names += [f"args[{i}]" for i in range(len(names), count)]
    return names[:count]


def identifier(path: str) -> str:
    """A name for a leaf: `params['w'][0]` is w_0, `weights[2]` is weights_2."""
    words = re.findall(r"[A-Za-z_][A-Za-z_0-9]*|\d+", path)
    named = [w for w in words[1:] if not w.isdigit()]
    return "_".join(words[1:] if named else words) or "x"


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
    block = pipeline.prepare(block)
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


def _mutated(function: Function, traced: Traced) -> dict[int, int]:
    """Written parameters and their last versions; only `jit` writes for the caller."""
    return dict(traced.graph.mutated) if has_effects(function.transform) else {}
