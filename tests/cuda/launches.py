"""Emitted host code without a device: kernels are compiled where they are launched.

Arrays are NumPy's, and what the runtime computes on a device NumPy computes. A launch
makes PTX for the types of its arguments, and leaves the arrays as they are. So every
kernel of a program is compiled for what the host really gives it.
"""

from __future__ import annotations

import types
from typing import Any

import numba
import numpy as np

from bench.peers import leaves
from gradjit.codegen.module import load
from gradjit.cuda import device
from tests.cuda import ptx

BLOCKS = 4


class Launch:
    """A kernel that is compiled, not run."""

    def __init__(self, kernel: Any, cc: tuple[int, int], texts: list[str]) -> None:
        self.kernel = kernel
        self.cc = cc
        self.texts = texts
        self.seen: set[Any] = set()

    def __getitem__(self, configuration: Any) -> Launch:
        return self

    def __call__(self, *args: Any) -> None:
        signature = tuple(map(numba.typeof, args))
        if signature not in self.seen:  # a loop launches it again and again
            self.seen.add(signature)
            self.texts.append(ptx.compile_kernel(self.kernel, signature, self.cc))


class _Item:
    """Numbers as they are; tests hold and fail in turn, so that loops end."""

    def __init__(self) -> None:
        self.holds = False

    def __call__(self, a: Any) -> Any:
        if a.dtype != np.bool_:
            return a[()]
        self.holds = not self.holds
        return self.holds


def _runtime() -> Any:
    """`gradjit.cuda.device` on NumPy arrays."""
    ours = {name: getattr(device, name) for name in device.__all__}
    geometry = ["columns", "elements", "grid2", "items", "one", "rows"]
    ours |= {name: lambda *sizes: None for name in geometry}
    ours |= {name: lambda *sizes: BLOCKS for name in ours if name.startswith("count_")}
    ours |= {
        "empty": lambda shape, dtype=np.float64: np.ones(shape, dtype),
        "zeros": lambda shape, dtype=np.float64: np.zeros(shape, dtype),
        "ones": lambda shape, dtype=np.float64: np.ones(shape, dtype),
        "full": lambda shape, value, dtype=np.float64: np.full(shape, value, dtype),
        "copy": np.copy,
        "transpose": np.transpose,
        "reshape": np.reshape,
        "matmul": lambda a, b, out=None: np.matmul(a, b, out=out),
        "add_matmul": lambda out, a, b: None,
        "nonzero": np.nonzero,
        "item": _Item(),
        "parts": lambda: np.zeros(64 * BLOCKS),
        "counters": lambda: np.zeros(64, np.int32),
        "status": lambda: np.zeros(1, np.int32),
    }
    return types.SimpleNamespace(**ours)


def compiled(transformed: Any, args: Any, cc: tuple[int, int]) -> list[str]:
    """The PTX of all kernels that a call launches, in order."""
    lowered = transformed.lower(*args).lowering
    module = load(lowered.source, lowered.function.label)
    texts: list[str] = []
    before = dict(vars(module))  # a module is loaded once, for all who ask for it
    for name, value in before.items():
        if hasattr(value, "targetoptions"):
            setattr(module, name, Launch(value, cc, texts))
    module.dev = _runtime()
    values = leaves(args)
    try:
        host = getattr(module, lowered.function.label)
        host(*(values[p] for p in lowered.params))
    finally:
        vars(module).update(before)
    return texts
