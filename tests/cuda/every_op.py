"""Every elementwise op of the registry in one function, as kernels have it written.

One function for each dtype: compiling a kernel takes half a second, whatever is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradjit.codegen.emit import emit
from gradjit.errors import GradjitError
from gradjit.ir.build import index
from gradjit.ir.graph import Graph, Value
from gradjit.ir.op import Op, all_ops
from gradjit.ir.types import BOOL, ArrayType, ScalarType
from gradjit.ops.sym import Sym, elementwise, lift
from gradjit.passes.name import name
from tests.ops.tracing import Capturing

DTYPES = ("f8", "f4", "i8", "i4", "u8", "u1", "b1")
RESULTS = tuple(np.dtype(d) for d in (*DTYPES, "i1"))
OPS = [
    op for op in all_ops() if op.kind == "elementwise" and not op.name.startswith("vm.")
]
Params = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Every:
    """Calls of ops in one device function, `every(x0, x1, test, *outs)`.

    Attributes:
        calls: The ops with their parameters, in the order of their results.
        dtype: Of the operands.
        dtypes: Of the results.
        outs: Dtypes of arrays that the function writes results into: that of call k
            at k.
        source: The function, with its imports.
    """

    calls: tuple[tuple[Op, Params], ...]
    dtype: Any
    dtypes: tuple[Any, ...]
    outs: tuple[Any, ...]
    source: str


def every(dtype: str, without: Sequence[str] = (), only: Sequence[str] = ()) -> Every:
    """The ops that take a dtype, in a device function."""
    kind = np.dtype(dtype)
    operands = [Value(ScalarType(kind), "x0"), Value(ScalarType(kind), "x1")]
    operands.append(Value(ScalarType(BOOL), "test"))
    arrays = {d: Value(ArrayType(d, (None,)), f"out_{d.str[1:]}") for d in RESULTS}
    builder, now = Capturing(), dict(arrays)
    calls: list[tuple[Op, Params]] = []
    dtypes: list[Any] = []
    with builder.active():
        builder.open([*operands, *arrays.values()])
        for op in OPS:
            if op.name in without or (only and op.name not in only):
                continue
            for _, more in op.samples or (((), {}),):
                if not takes(op, kind, more):
                    continue
                value = lift(elementwise(op, *map(Sym, given(op, operands)), **more))
                into, at = value.type.dtype, index(len(calls))
                calls.append((op, more))
                dtypes.append(into)
                how = {"spec": "i", "checked": False}
                now[into] = builder.emit1("store", now[into], value, at, **how)
        block = builder.close(list(now.values()))
    places = enumerate(arrays.values(), start=len(operands))
    mutated = {k: n for n, (k, _) in enumerate(places)}
    heading = "from gradjit.cuda.shim import cuda"
    decorator = "@cuda.jit(device=True)"
    program = name(Graph("every", block, mutated))
    source = emit(program, "", (), decorator, [heading], False, "cuda")
    return Every(tuple(calls), kind, tuple(dtypes), tuple(arrays), source)


def given(op: Op, operands: Sequence[Any]) -> list[Any]:
    """The operands of a call, of two numbers and a truth value."""
    x0, x1, test = operands
    return [test, x0, x1] if op.name == "where" else [x0, x1][: len(op.domain)]


def takes(op: Op, dtype: Any, params: Params) -> bool:
    """Whether NumPy has the op for a dtype, and gradjit does not refuse it."""
    if op.name.startswith("logical") and dtype != BOOL:
        return False
    operands = [np.ones(1, dtype) for _ in op.domain]
    assert op.evaluate is not None
    try:
        with np.errstate(all="ignore"):
            op.evaluate(*operands, **params)
        value = Value(ScalarType(dtype))
        builder = Capturing()
        with builder.active():
            builder.open([value])
            elementwise(op, *(Sym(value) for _ in op.domain), **params)
    except (TypeError, GradjitError):
        return False
    return True


def kernel(found: Every) -> Any:
    """A kernel that calls the function for each of many operands."""
    outs = [f"out_{d.str[1:]}" for d in found.outs]
    names = ["x0", "x1", "test", *outs]
    lines = ["@cuda.jit", f"def kernel({', '.join(names)}):"]
    lines += ["    for i in range(cuda.grid(1), x0.shape[0], cuda.gridsize(1)):"]
    lines += [f"        every({', '.join(f'{n}[i]' for n in names)})"]
    space: dict[str, Any] = {}
    exec("\n".join([found.source, *lines]), space)
    return space["kernel"]


def signature(found: Every) -> tuple[Any, ...]:
    """The types of the kernel's arguments."""
    from numba import from_dtype
    from numba.core import types

    kinds = [
        (found.dtype, 1),
        (found.dtype, 1),
        (BOOL, 1),
        *((d, 2) for d in found.outs),
    ]
    return tuple(types.Array(from_dtype(t), n, "C") for t, n in kinds)
