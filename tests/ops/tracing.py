"""Calls as graphs, without the tracer: what tests of ops and of the surface share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradjit.ir.build import Builder
from gradjit.ir.graph import Atom, Block, Graph, Value
from gradjit.ir.types import FLOAT, INT, TRUTH, ArrayType, ScalarType, Type
from gradjit.ir.verify import verify
from gradjit.ops.evaluate import evaluate
from gradjit.ops.sym import Sym, lift


class Capturing(Builder):
    """A builder that takes arrays of the program as further parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.captured: dict[Value, Any] = {}

    def capture(self, array: Any) -> Atom:
        value = Value(type_of(array, exact=True), "captured")
        self.frames[0].values.add(value)
        self.captured[value] = array
        return value


def type_of(x: Any, exact: bool = False, weak: bool = True) -> Type:
    """The type of an argument; extents are unknown unless they are 1 or `exact`."""
    if isinstance(x, np.ndarray) and x.ndim:
        dims = tuple(d if exact or d == 1 else None for d in x.shape)
        return ArrayType(x.dtype, dims)
    if isinstance(x, bool | int | float) and not isinstance(x, np.generic):
        plain = TRUTH if isinstance(x, bool) else INT if isinstance(x, int) else FLOAT
        return plain if weak else ScalarType(plain.dtype)
    return ScalarType(np.asarray(x).dtype)


def leaves(x: Any, traced: Callable[[Any], bool]) -> list[Any]:
    """The arguments to trace in nested tuples, lists and dicts."""
    if isinstance(x, tuple | list):
        return [leaf for item in x for leaf in leaves(item, traced)]
    if isinstance(x, dict):
        return [leaf for item in x.values() for leaf in leaves(item, traced)]
    return [x] if traced(x) else []


def fill(x: Any, traced: Callable[[Any], bool], values: list[Any]) -> Any:
    """The same structure with the leaves replaced in order."""
    if isinstance(x, tuple | list):
        return type(x)(fill(item, traced, values) for item in x)
    if isinstance(x, dict):
        return {k: fill(item, traced, values) for k, item in x.items()}
    return values.pop(0) if traced(x) else x


def is_sample(x: Any) -> bool:
    """Whether an argument of a sample is traced: arrays and floats are."""
    return isinstance(x, np.ndarray) or (isinstance(x, float) and np.isfinite(x))


def flat(x: Any) -> list[Any]:
    """The numbers and arrays of a result."""
    if isinstance(x, tuple | list):
        return [item for part in x for item in flat(part)]
    return [x]


class Traced:
    """A call as a graph with the arguments to run it on."""

    def __init__(
        self,
        impl: Callable[..., Any],
        args: Any,
        kwargs: Any,
        exact: bool = False,
        data: type | None = None,
    ) -> None:
        call = (args, kwargs)

        def is_data(x: Any) -> bool:
            return is_sample(x) or (data is not None and isinstance(x, data))

        self.inputs = leaves(call, is_data)
        builder = Capturing()
        params = [Value(type_of(x, exact), f"x{k}") for k, x in enumerate(self.inputs)]
        with builder.active():
            builder.open(params)
            syms = [Sym(p) for p in params]
            new_args, new_kwargs = fill(call, is_data, list(syms))
            outs = flat(impl(*new_args, **new_kwargs))
            self.types = [lift(o).type for o in outs]
            block = builder.close([lift(o) for o in outs])
        self.block = Block(
            (*block.params, *builder.captured), block.eqns, block.results
        )
        self.inputs += list(builder.captured.values())
        verify(Graph("sample", self.block), stage="graph")

    def __call__(self) -> list[Any]:
        return evaluate(self.block, self.inputs)


def numeric_gradient(
    f: Callable[[Sequence[Any]], float], xs: Sequence[Any], k: int, h: float = 1e-6
) -> Any:
    """Central differences of a scalar function in its argument k."""
    x = np.asarray(xs[k], dtype=float)
    out = np.zeros(x.shape)
    for at in np.ndindex(x.shape):
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved[at] += sign * h
            values = list(xs)
            values[k] = moved if x.ndim else moved[()]
            ends.append(f(values))
        out[at] = (ends[0] - ends[1]) / (2 * h)
    return out


def weights(like: Any) -> Any:
    """Fixed weights that make a scalar of an array."""
    shape = np.shape(like)
    return 0.3 + np.cos(1.7 * np.arange(np.size(like), dtype=float)).reshape(shape)
