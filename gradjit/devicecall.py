"""Code for a device with what a call of it needs.

Arrays go in as they are, if they are on the device, and results come out as the
caller's kind of array; NumPy's arrays are moved there and back. The host's function is
plain Python: it launches kernels, and waits for the device only where a result has to
be a number or an array of NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from gradjit.calltext import Result
from gradjit.codegen.module import load
from gradjit.compiled import Compiled
from gradjit.config import settings
from gradjit.cuda import array as arrays
from gradjit.cuda.buffers import copy
from gradjit.cuda.place import using
from gradjit.cuda.shim import quiet, require
from gradjit.leaf import Axes, Spec, array_spec, prepare
from gradjit.lowered import Lowered
from gradjit.signature import Call
from gradjit.transform import has_effects

_NUMBERS: dict[str, Callable[[Any], Any]] = {"float": float, "int": int, "bool": bool}


def prepare_leaf(leaf: Any, static: Axes = ()) -> tuple[Spec, Any]:
    """The spec of a leaf, and the leaf: arrays of a device stay what they are.

    Args:
        leaf: A number or an array.
        static: The axes whose extents are part of the key.
    """
    if not arrays.on_device(leaf):
        return prepare(leaf, static)
    if leaf.ndim == 0:  # a number of the program is one of the host
        with using(arrays.place_of([leaf])):
            return prepare(arrays.leave(arrays.enter(leaf), arrays.Kind.NUMPY), static)
    return array_spec(leaf, static), leaf


class OnDevice(Compiled):
    """A lowered function with the module that was emitted for a device."""

    def __init__(self, lowered: Lowered) -> None:
        module = load(lowered.source, lowered.function.label)
        host = getattr(module, lowered.function.label)
        super().__init__(lowered, str(module.__file__), host, _several(host), None)

    def __call__(self, call: Call) -> Any:
        """Run on the leaves of a call."""
        require()
        lowered = self.lowered
        device = [v for v in call.values if arrays.on_device(v)]
        kind = arrays.kind_of(device)
        with using(arrays.place_of(device)), quiet():
            params = [self._entered(call, p) for p in lowered.params]
            results = self._launched(params)
            leaves = [self._leaf(r, results, call, kind) for r in lowered.results]
            leaves = arrays.leave_all(leaves, kind)
            self._written_back(call, params)
        pairs = zip(lowered.results, leaves, strict=True)
        return lowered.output.unflatten(_finished(r, x, kind) for r, x in pairs)

    def _launched(self, params: Sequence[Any]) -> Sequence[Any]:
        """Run the host's function; as one CUDA graph, if the settings say so."""
        if settings().cuda_graphs and not _writes(self.lowered):
            from gradjit.cuda.graphs import captured

            return captured(self.run, params)
        return self.run(*params)

    def _entered(self, call: Call, param: int) -> Any:
        """An argument of the host's function."""
        if param < 0:
            capture = self.lowered.traced.captures[-1 - param]
            array = capture.array if capture.guard is None else capture.guard.read()
            return arrays.enter(prepare(array)[1])
        value = call.values[param]
        is_array = call.specs[param].kind == "array"
        return arrays.enter(value) if is_array else value

    def _leaf(
        self, result: Result, results: Sequence[Any], call: Call, kind: arrays.Kind
    ) -> Any:
        """A leaf of the output, still on the device."""
        if result.source == "const":
            return result.value
        if result.source == "given":
            return call.out
        if result.source == "leaf":
            value = call.values[result.value]
            if not result.copy:
                return call.given[result.value]
            if arrays.on_device(value):
                return copy(arrays.enter(value))
            return np.copy(value) if result.kind == "array" else value
        value = results[result.value]
        return copy(value) if result.copy and hasattr(value, "shape") else value

    def _written_back(self, call: Call, params: Sequence[Any]) -> None:
        """NumPy arrays that the function writes into get what was written."""
        lowered = self.lowered
        kept = has_effects(lowered.function.transform)
        written = {lowered.params[p] for p in lowered.traced.mutated if kept}
        written |= set(lowered.written)
        for place, p in enumerate(lowered.params):
            if p in written and isinstance(call.given[p], np.ndarray):
                _refuse_read_only(call.given[p], lowered.paths[p])
                moved = arrays.leave(params[place], arrays.Kind.NUMPY)
                call.given[p][...] = moved

    def refresh(self) -> bool:
        """Captured arrays are read at each call; there is no quick way around it."""
        return False


def _several(host: Callable[..., Any]) -> Callable[..., Sequence[Any]]:
    """The host's function with its results as a sequence."""

    def run(*params: Any) -> Sequence[Any]:
        found: Any = host(*params)
        return cast("Sequence[Any]", found if type(found) is tuple else (found,))

    return run


def _writes(lowered: Lowered) -> bool:
    """Whether a call writes into arrays of the caller."""
    kept = has_effects(lowered.function.transform)
    return bool(lowered.written) or (kept and bool(lowered.traced.mutated))


def _refuse_read_only(array: Any, path: str) -> None:
    if not array.flags.writeable:
        raise ValueError(f"assignment destination is read-only: {path} is written into")


def _finished(result: Result, value: Any, kind: arrays.Kind) -> Any:
    """A leaf of the output as the caller gets it.

    Of host arguments the numbers are Python's and NumPy's, as on the CPU; of arguments
    on a device they are arrays without axes, which nobody has waited for.
    """
    if result.source in ("leaf", "given") or result.kind == "array":
        return value
    if arrays.on_device(value):
        return value
    if result.kind in _NUMBERS:
        return value if result.source == "const" else _NUMBERS[result.kind](value)
    if result.kind == "scalar":
        return result.dtype.type(value)
    return np.array(value, result.dtype)
