"""Compiled code with what a call of it needs: checks, copies, results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradjit.calltext import Shape, Text
from gradjit.codegen.module import compile_variant, entry_point, load
from gradjit.config import settings
from gradjit.fastcall import Site, fast_call, plain_call, plain_header, star_header
from gradjit.heap import keep_freed_memory
from gradjit.ir.types import ArrayType, Type
from gradjit.leaf import prepare, refuse_folded, refuse_overlap, written_back
from gradjit.lowered import Lowered
from gradjit.passes.parallel import is_parallel
from gradjit.signature import Call
from gradjit.trace.guards import keys_of
from gradjit.transform import has_effects


@dataclass(slots=True)
class Compiled:
    """A lowered function with its compiled code.

    Attributes:
        lowered: What was compiled.
        path: The file of the emitted source.
        kernel: The function in it, compiled.
        run: Builds the output from canonical leaves.
        fast: Takes the user's arguments.
    """

    lowered: Lowered
    path: str
    kernel: Callable[..., Any]
    run: Callable[..., Any]
    fast: Callable[..., Any] | None

    def fits(self, call: Call) -> bool:
        """Whether the code is right for a call with the same tree and specs."""
        lowered = self.lowered
        if lowered.traced.mutated and lowered.call.specs != call.specs:
            # A failed run would already have written; so it is not tried.
            return False
        return (
            all(call.values[k] == v for k, v in _pins(lowered).items())
            and all(_agrees(t, call.values[p]) for p, t in _arrays(lowered))
            and all(guard.holds() for guard in lowered.traced.guards)
        )

    def __call__(self, call: Call) -> Any:
        """Run on canonical leaves; copy back what was written into copies."""
        lowered = self.lowered
        written = [p for p in _written(lowered) if call.specs[p].kind == "array"]
        arrays = [k for k, s in enumerate(call.specs) if s.kind == "array"]
        back: list[int] = []
        for p in written:
            path = lowered.paths[p]
            refuse_folded(lowered.function.name, path, call.given[p])
            for k in arrays:
                if k != p:
                    pair = call.given[p], lowered.paths[k], call.given[k]
                    refuse_overlap(lowered.function.name, path, *pair)
            for k in range(len(lowered.traced.captures)):
                pair = call.given[p], "an array from outside", self._captured(k)
                refuse_overlap(lowered.function.name, path, *pair)
            kept = p in lowered.written or has_effects(lowered.function.transform)
            if kept and written_back(call.given[p], call.values[p], path):
                back.append(p)
        out = self.run(call.values, call.given, call.out)
        for p in back:
            call.given[p][...] = call.values[p]
        return out

    def _captured(self, number: int) -> Any:
        """A captured array as the code reads it."""
        return self.run.__globals__[f"__array_{number}"]

    def differences(self, call: Call) -> list[str]:
        """Why compiled code does not fit a call, a line for each argument."""
        lowered = self.lowered
        if lowered.call.tree != call.tree:
            return ["the arguments have another structure"]
        lines = [
            f"{path} is {got}, and was {was}"
            for path, was, got in zip(
                lowered.paths, lowered.call.specs, call.specs, strict=True
            )
            if was != got
        ]
        lines += [
            f"{lowered.paths[k]} is {call.values[k]}, and was {value}"
            for k, value in _pins(lowered).items()
            if call.values[k] != value
        ]
        lines += [
            f"{lowered.paths[p]} has shape {call.values[p].shape}"
            for p, t in _arrays(lowered)
            if lowered.call.specs[p] == call.specs[p] and not _agrees(t, call.values[p])
        ]
        lines += [
            f"{guard.key} has changed"
            for guard in lowered.traced.guards
            if not guard.holds()
        ]
        return lines

    def refresh(self) -> bool:
        """Let the generated functions read captured arrays as they are now.

        Returns whether they are fit for compiled code as they are.
        """
        traced = self.lowered.traced
        fit = True
        spaces = [self.run.__globals__]
        if self.fast is not None:
            spaces.append(self.fast.__globals__)
        for k, capture in enumerate(traced.captures):
            array = capture.array if capture.guard is None else capture.guard.read()
            value = prepare(array)[1]
            fit = fit and value is array
            for space in spaces:
                space[f"__array_{k}"] = value
        for k, guard in enumerate(traced.guards):
            spaces[-1][f"__seen_{k}"] = guard.read()
        return fit


def _arrays(lowered: Lowered) -> list[tuple[int, ArrayType]]:
    """Leaves that are arrays, with the types that they were compiled for."""
    pairs = zip(lowered.params, lowered.types, strict=True)
    return [(p, t) for p, t in pairs if p >= 0 and isinstance(t, ArrayType)]


def _agrees(type_: ArrayType, array: Any) -> bool:
    """Whether an array has the extents that the code knows."""
    return all(
        n is None or n == m for n, m in zip(type_.dims, array.shape, strict=True)
    )


def _written(lowered: Lowered) -> list[int]:
    """Leaves that the code writes into, or that the function would."""
    params = [lowered.params[p] for p in lowered.traced.mutated]
    return [*(p for p in params if p >= 0), *lowered.written]


def compile_lowered(lowered: Lowered, slow: Callable[..., Any]) -> Compiled:
    """Import the emitted source, compile it and write the functions that call it."""
    function, _call = lowered.function, lowered.call
    module = load(lowered.source, function.label)
    keep_freed_memory()
    options = function.options
    emitted = getattr(module, function.label)
    parallel = is_parallel(lowered.program.graph)
    kernel, given = compile_variant(
        emitted, lowered.types, _alike(lowered), options.fastmath, parallel
    )
    site, text = _site(lowered, given)
    run = plain_call(site, text, kernel)
    fast = None
    if settings().jit:
        site, text = _site(lowered, given)
        direct = entry_point(kernel, lowered.types)
        fast = fast_call(site, text, direct, slow)
    return Compiled(lowered, str(module.__file__), kernel, run, fast)


def _alike(lowered: Lowered) -> dict[int, Type]:
    """Results that are arrays of the shape and the type of an argument."""
    results = lowered.program.graph.block.results
    found: dict[int, Type] = {}
    leaves = [r.value for r in lowered.results if r.source == "result"]
    for result in lowered.results:
        if result.like is None or result.source != "result":
            continue
        if leaves.count(result.value) > 1:
            continue  # two leaves, of which one may be like nothing
        spec, type_ = lowered.call.specs[result.like], results[int(result.value)].type
        if spec.kind != "array" or not isinstance(type_, ArrayType):
            continue
        if (spec.dtype, len(spec.dims)) == (type_.dtype, type_.rank):
            found[int(result.value)] = type_
    return found


def _makers(lowered: Lowered, given: Mapping[int, str], text: Text) -> Iterator[str]:
    """Expressions for the arrays that the kernel takes for its results."""
    like = {r.value: r.like for r in lowered.results if r.source == "result"}
    for position, how in given.items():
        leaf = like[position]
        assert leaf is not None
        spec = lowered.call.specs[leaf]
        flat = len(spec.dims) == 1
        shape = f"__len(__l{leaf})" if flat else f"__l{leaf}.shape"
        if spec.dtype != np.dtype(float):
            shape += f", {text.name(spec.dtype, 'dtype')}"
        yield f"__{how}({shape})"


def _site(lowered: Lowered, given: Mapping[int, str]) -> tuple[Site, Text]:
    """What the generated functions need, with the names that its parts use."""
    function, call, text = lowered.function, lowered.call, Text()
    arrays = [k for k, s in enumerate(call.specs) if s.kind == "array"]
    known = {p: t.dims for p, t in _arrays(lowered)}
    header = None
    if function.transform.layout == "own":
        takes_out = function.takes_out and bool(arrays)
        header = plain_header(function.signature, call.tree, text, takes_out)
    written = [f"__l{k}" for k in _written(lowered) if k in arrays]
    others = [f"__l{k}" for k in arrays if f"__l{k}" not in written]
    others += [f"__array_{k}" for k in range(len(lowered.traced.captures))]
    if len(written) + len(others) < 2:
        written = []
    strict = bool(lowered.traced.mutated and written)
    shape = Shape(call.tree, call.specs, _pins(lowered), known, strict)
    site = Site(
        function.name,
        header or star_header(call.tree, function.transform.layout),
        shape,
        tuple(_argument(lowered, p, text) for p in lowered.params),
        tuple(_guard_texts(lowered, text)),
        tuple(written),
        tuple(others),
        lowered.count,
        tuple(zip(given, _makers(lowered, given, text), strict=True)),
        lowered.results,
        lowered.output,
    )
    return site, text


def _pins(lowered: Lowered) -> dict[int, int]:
    """Leaves that are integers whose value is part of the program."""
    return {k: value for k, (value, _) in lowered.traced.pinned.items()}


def _argument(lowered: Lowered, param: int, text: Text) -> str:
    """The expression for an argument of the kernel."""
    if param >= 0:
        return f"__l{param}"
    capture = lowered.traced.captures[-1 - param]
    text.names[f"__array_{-1 - param}"] = capture.array
    return f"__array_{-1 - param}"


def _guard_texts(lowered: Lowered, text: Text) -> Iterator[str]:
    """Conditions under which something read from outside is not what it was."""
    for k, guard in enumerate(lowered.traced.guards):
        owner = f"__owner_{k}"
        text.names[owner] = guard.owner
        text.names[f"__seen_{k}"] = guard.value
        if guard.kind == "keys":
            text.names["__keys_of"] = keys_of
            yield f"__keys_of({owner}) != __seen_{k}"
            continue
        if guard.kind == "cell":
            place = f"{owner}.cell_contents"
        elif guard.kind == "attribute":
            place = f"{owner}.{guard.key}"
        else:
            text.names[f"__key_{k}"] = guard.key
            place = f"{owner}[__key_{k}]"
        yield f"{place} is not __seen_{k}"
