"""Loops over elements that call a function of vector math, as gradjit compiles them."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import numba
import numpy as np
import pytest

from gradjit.config import override
from gradjit.vectormath import ARITY, chosen, module

OPTIONS = {"error_model": "numpy", "fastmath": {"reassoc"}}
NAMES = sorted(ARITY)


def vector_math(name: str) -> ModuleType:
    """A module of vector math; the test is skipped where there is none."""
    if name == "libmvec":
        with override(vector_math="auto"):
            if chosen() != name:
                pytest.skip("no libmvec here: it comes with glibc, on x86")
    return module(name)


@cache
def loop(kind: str, name: str, fastmath: Any = None) -> Any:
    """The compiled loop."""
    function = getattr(module(kind), name)

    def one(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    def two(x, y, out):
        for i in range(x.size):
            out[i] = function(x[i], y[i])

    options = {**OPTIONS, **({"fastmath": fastmath} if fastmath else {})}
    return numba.njit(**options)(one if ARITY[name] == 1 else two)


def run(compiled: Any, *args: Any) -> Any:
    """The results for arrays."""
    args = tuple(map(np.ascontiguousarray, args))
    out = np.empty_like(args[0])
    compiled(*args, out)
    return out


def run_singly(compiled: Any, *args: Any) -> Any:
    """The results for arrays of one element: what a loop does with its last few."""
    parts = [run(compiled, *xs) for xs in zip(*[x[:, None] for x in args], strict=True)]
    return np.concatenate(parts)


def run_in_vectors(compiled: Any, *args: Any) -> Any:
    """The results for arrays so long that no element is left over."""
    size = args[0].size
    longer = -(-size // 256) * 256
    return run(compiled, *[np.resize(x, longer) for x in args])[:size]


def assembly(compiled: Any, dtype: Any) -> str:
    """The machine code for a dtype."""
    found = compiled.inspect_asm()
    kind = numba.from_dtype(np.dtype(dtype))
    return next(text for types, text in found.items() if types[0].dtype == kind)
