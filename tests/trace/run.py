"""Tracing a function and running its graph, for comparison with the function itself."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from gradjit.errors import GradjitError
from gradjit.ir.tree import flatten, is_number, tree_map
from gradjit.ir.types import FLOAT, INT, ArrayType, ScalarType
from gradjit.ir.verify import verify
from gradjit.ops.evaluate import evaluate
from gradjit.trace.trace import Input, OutLeaf, Traced, trace


def input_of(leaf: Any, name: str) -> Input:
    """The input that a leaf is."""
    if type(leaf) is float:
        return Input(FLOAT, name)
    if type(leaf) is int:
        return Input(INT, name, leaf)
    if isinstance(leaf, np.ndarray):
        dims = tuple(1 if n == 1 else None for n in leaf.shape)
        return Input(ArrayType(leaf.dtype, dims), name, None, leaf.shape)
    return Input(ScalarType(leaf.dtype), name)


def traced(fn: Callable[..., Any], *args: Any, keep: bool = False) -> Traced:
    """The trace of a function for some arguments, verified."""
    leaves, tree = flatten(args, is_number)
    inputs = [input_of(leaf, f"x{k}") for k, leaf in enumerate(leaves)]
    found = trace(fn, inputs, lambda symbols: (tree.unflatten(symbols), {}), keep)
    verify(found.graph)
    return found


def run(found: Traced, *args: Any) -> tuple[list[Any], Any]:
    """Results of a trace for arguments, flat and in the form of the output."""
    leaves, _ = flatten(copy.deepcopy(args), is_number)
    given = [x for k, x in enumerate(leaves) if k not in found.pinned]
    given += [c.array for c in found.captures]
    results = evaluate(found.graph, given)

    def place(leaf: Any) -> Any:
        return results[leaf.index]

    return results, tree_map(place, found.outputs, lambda x: isinstance(x, OutLeaf))


def same(fn: Callable[..., Any], *args: Any) -> Traced:
    """Check that the trace computes what the function does, effects included."""
    plain = copy.deepcopy(args)
    with np.errstate(all="ignore"):
        want = fn(*plain)
    found = traced(fn, *args, keep=True)
    results, got = run(found, *args)
    equal(got, want)
    leaves, _ = flatten(plain, is_number)
    params = [x for k, x in enumerate(leaves) if k not in found.pinned]
    for param, result in found.mutated.items():
        equal(results[result], params[param])
    before, _ = flatten(args, is_number)
    before = [x for k, x in enumerate(before) if k not in found.pinned]
    for k, (old, new) in enumerate(zip(before, params, strict=True)):
        if k not in found.mutated:
            equal(old, new)
    return found


def equal(got: Any, want: Any) -> None:
    """Check that two results are the same containers of the same numbers."""
    mine, tree = flatten(got, _leaf)
    other, expected = flatten(want, _leaf)
    assert tree == expected, f"{got!r} is not {want!r}"
    for a, b in zip(mine, other, strict=True):
        assert np.shape(a) == np.shape(b), f"{a!r} is not {b!r}"
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
        if isinstance(b, np.ndarray | np.generic):
            assert np.asarray(a).dtype == b.dtype, f"{a!r} is not {b!r}"


def _leaf(x: Any) -> bool:
    return isinstance(x, bool | int | float | np.ndarray | np.generic)


def refusal(fn: Callable[..., Any], *args: Any) -> str:
    """The message with which tracing refuses a function, files by their last part."""
    try:
        traced(fn, *args)
    except GradjitError as error:
        text = str(error)
        if error.loc is not None:
            file = error.loc.file
            text = text.replace(file, file.rpartition("/")[2])
        return f"{type(error).__name__}: {text}"
    raise AssertionError(f"{fn} is not refused")
