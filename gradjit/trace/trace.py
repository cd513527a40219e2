"""The way in: a function and the types of its inputs become a graph."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FunctionType, MethodType
from typing import Any

import numpy as np

from gradjit.errors import InternalError, UnsupportedError
from gradjit.ir import build as ir_build
from gradjit.ir.graph import Atom, Block, Graph, Value
from gradjit.ir.tree import flatten
from gradjit.ir.types import INT, ArrayType, ScalarType
from gradjit.ops.sym import Sym, lift
from gradjit.trace import call as calls
from gradjit.trace import concrete
from gradjit.trace import handle as handles
from gradjit.trace.builder import UNDEF, TraceBuilder
from gradjit.trace.guards import Guard
from gradjit.trace.handle import Handle
from gradjit.trace.merge import MaybeValue, Poison

Build = Callable[[list[Any]], tuple[tuple[Any, ...], dict[str, Any]]]

# Python's own stack has to be deep enough for calls.DEPTH_LIMIT traced calls.
_STACK = 12_000
_ATTEMPTS = 200


@dataclass(frozen=True, slots=True)
class Input:
    """A leaf of the arguments.

    Attributes:
        type: What it is.
        name: For people.
        value: The int, to be pinned if tracing needs it.
        shape: The extents of an array, to be pinned if tracing needs them.
    """

    type: ScalarType | ArrayType
    name: str
    value: Any = None
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class OutLeaf:
    """A traced leaf of what the function returns: a result of the block.

    Attributes:
        index: The result.
        argument: The param that it is, and not only equals: NumPy returns the
            caller's own array.
    """

    index: int
    argument: int | None = None


@dataclass(frozen=True, slots=True)
class Capture:
    """An array from outside, and where it was found (None: in no single place)."""

    array: np.ndarray
    guard: Guard | None


@dataclass(slots=True)
class Traced:
    """What tracing has found.

    Attributes:
        graph: Its params are the inputs that are not pinned, then the captures.
        outputs: What the function returns, with an `OutLeaf` for each traced leaf.
        captures: Arrays from outside, one parameter each, in order.
        guards: What else was read from outside.
        pinned: Integer inputs whose value is part of the program (they are not
            parameters), with the line that is the reason.
        shaped: Array inputs whose shape is part of the program, with the reason.
        mutated: For params that the function writes into the index of the result that
            is the last version, or -1 where it is not kept.
    """

    graph: Graph
    outputs: Any
    captures: list[Capture] = field(default_factory=list[Capture])
    guards: list[Guard] = field(default_factory=list[Guard])
    pinned: dict[int, tuple[Any, str]] = field(
        default_factory=dict[int, tuple[Any, str]]
    )
    shaped: dict[int, tuple[tuple[int, ...], str]] = field(
        default_factory=dict[int, tuple[tuple[int, ...], str]]
    )
    mutated: dict[int, int] = field(default_factory=dict[int, int])


def trace(
    fn: Callable[..., Any],
    inputs: Sequence[Input],
    build: Build,
    keep_mutated: bool = False,
) -> Traced:
    """Trace a function.

    Args:
        fn: The user's function.
        inputs: The leaves of its arguments.
        build: Gives `(args, kwargs)` from the leaves' symbols.
        keep_mutated: Whether the last versions of inputs that are written into become
            results.
    """
    hints = concrete.Hints()
    for _ in range(_ATTEMPTS):
        attempt = _Attempt(fn, inputs, build, hints)
        try:
            with _deep_stack():
                return attempt.run(keep_mutated)
        except concrete.Restart:
            hints.carries.clear()
    raise InternalError(f"tracing {fn!r} does not come to an end")


@contextmanager
def _deep_stack() -> Generator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _STACK))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


class _Attempt:
    """One run of the function."""

    def __init__(
        self,
        fn: Callable[..., Any],
        inputs: Sequence[Input],
        build: Build,
        hints: concrete.Hints,
    ) -> None:
        self.fn = fn
        self.inputs = inputs
        self.build = build
        self.hints = hints
        self.builder = TraceBuilder(hints)
        self.params: list[Value] = []
        self.handles: dict[int, Handle] = {}
        self.pinned: dict[int, tuple[Any, str]] = {}
        self.shaped: dict[int, tuple[tuple[int, ...], str]] = {}

    def run(self, keep_mutated: bool) -> Traced:
        builder = self.builder
        with builder.active():
            builder.open(())
            leaves = [self._leaf(k, spec) for k, spec in enumerate(self.inputs)]
            builder.frames[0].values.update(self.params)
            args, kwargs = self.build(leaves)
            for thing in statics((self.fn, args, kwargs)):
                builder.guards.note("attribute", thing, None, thing)
            value = calls.call(builder, self.fn, args, kwargs)
            results, outputs = collect(builder, value, self._is_argument)
            mutated = self._mutated(results, keep_mutated)
        return self._finish(results, outputs, mutated)

    def _leaf(self, k: int, spec: Input) -> Any:
        """What the function gets for an input: a number, a symbol, a handle."""
        reason = self.hints.pins.get(k)
        type_ = spec.type
        if reason is not None and isinstance(type_, ScalarType):
            if spec.value is None:
                raise UnsupportedError(f"the value of {spec.name} is needed ({reason})")
            self.pinned[k] = spec.value, reason
            return type_.dtype.type(spec.value) if not type_.weak else spec.value
        if reason is not None and isinstance(type_, ArrayType):
            if spec.shape is None:
                raise UnsupportedError(f"the shape of {spec.name} is needed ({reason})")
            self.shaped[k] = spec.shape, reason
            type_ = ArrayType(type_.dtype, tuple(spec.shape))
        param = Value(type_, spec.name)
        self.params.append(param)
        self.builder.origins[param] = concrete.Origin("input", k)
        if isinstance(type_, ScalarType):
            return Sym(param)
        handle = self.builder.wrap(param)
        handle.buffer.name = spec.name
        self.handles[len(self.params) - 1] = handle
        return handle

    def _is_argument(self, leaf: Any) -> int | None:
        """The param whose memory a returned array is."""
        for k, own in self.handles.items():
            if (
                isinstance(leaf, Handle)
                and not leaf.steps
                and leaf.buffer is own.buffer
            ):
                return k
        return None

    def _mutated(self, results: list[Atom], keep: bool) -> dict[int, int]:
        """Params that were written into; their versions become results."""
        out: dict[int, int] = {}
        for k, handle in self.handles.items():
            version = handle.buffer.version
            if keep and handle.buffer.stale:
                raise handles.refuse_stale(handle.buffer)
            if version is not self.params[k]:
                out[k] = len(results) if keep else -1
                if keep:
                    results.append(version)
        return out

    def _finish(
        self, results: list[Atom], outputs: Any, mutated: dict[int, int]
    ) -> Traced:
        builder = self.builder
        guards = builder.guards
        captured = list(builder.captured.values())
        (frame,) = builder.frames
        params = (*self.params, *(value for _, value in captured))
        block = Block(params, tuple(frame.eqns), tuple(results))
        name = getattr(self.fn, "__name__", type(self.fn).__name__)
        kept = {k: r for k, r in mutated.items() if r >= 0}
        captures = [Capture(a, guards.source(a)) for a, _ in captured]
        return Traced(
            Graph(name, block, kept),
            outputs,
            captures,
            guards.all(),
            self.pinned,
            self.shaped,
            mutated,
        )


def statics(arguments: Any) -> list[Any]:
    """Objects among the arguments whose attributes come from outside."""
    leaves, _ = flatten(arguments, _is_object)
    return leaves


def _is_object(x: Any) -> bool:
    plain = bool | int | float | str | bytes | FunctionType | type | np.ndarray
    return (
        hasattr(x, "__dict__")
        and not isinstance(x, plain | Sym | np.generic)
        and not dataclasses.is_dataclass(x)
        and not isinstance(x, tuple | list | dict)
    )


def collect(
    builder: TraceBuilder,
    value: Any,
    argument: Callable[[Any], int | None] = lambda leaf: None,
) -> tuple[list[Atom], Any]:
    """The atoms of a returned value, and its structure with an OutLeaf for each."""
    results: list[Atom] = []

    def is_leaf(x: Any) -> bool:
        return isinstance(x, Sym | np.ndarray | Poison | MaybeValue) or x is UNDEF

    leaves, tree = flatten(value, is_leaf)
    out: list[Any] = []
    for leaf in leaves:
        if isinstance(leaf, Poison | MaybeValue) or leaf is UNDEF:
            from gradjit.trace.runtime import checked

            leaf = checked("an item of the returned value", leaf)
        out.append(OutLeaf(len(results), argument(leaf)))
        results.append(lift(leaf))
    return results, tree.unflatten(out)


# ---------------------------------------------------------------------- inner traces


def is_tracing() -> bool:
    """Whether a function is being traced."""
    try:
        return isinstance(ir_build.current(), TraceBuilder)
    except LookupError:
        return False


def trace_inner(
    fn: Callable[..., Any], leaves: Sequence[Any], build: Build
) -> tuple[Block, Any]:
    """Trace a function as a block of its own inside the trace that is going on.

    The leaves become parameters; other values of the trace may be read, arrays among
    them may not be written into.
    """
    builder = ir_build.current()
    assert isinstance(builder, TraceBuilder)
    params = [_inner_param(builder, lift(leaf)) for leaf in leaves]

    def run() -> tuple[Block, Any]:
        frame = builder.open(params)
        scope = builder.enter("inner", frame)
        args, kwargs = build([builder.wrap(p) for p in params])
        value = calls.call(builder, fn, args, kwargs)
        results, outputs = collect(builder, value)
        builder.leave(scope)
        return builder.close(results), outputs

    return builder.region_scope(run)


def _inner_param(builder: TraceBuilder, atom: Atom) -> Value:
    type_: Any = atom.type
    param = Value(type_, getattr(atom, "name", ""))
    builder.aliases[param] = atom
    if isinstance(type_, ArrayType):
        builder.set_extents(param, builder.extents(atom))
    return param


def name_of(fn: Any) -> str:
    """The name of a function or of a method."""
    if isinstance(fn, FunctionType | MethodType):
        return fn.__name__
    return type(fn).__name__


__all__ = [
    "INT",
    "Capture",
    "Input",
    "OutLeaf",
    "Traced",
    "is_tracing",
    "trace",
    "trace_inner",
]
