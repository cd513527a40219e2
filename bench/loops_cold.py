"""How long a program takes to compile: our part, and Numba's."""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gradjit
from gradjit import config

SHARE, SECONDS = 0.2, 0.5


@dataclass(frozen=True, slots=True)
class Cold:
    """Seconds of one compilation.

    Attributes:
        name: What was compiled.
        ours: From the user's function to the emitted file: trace, passes, text.
        numba: From the file to machine code.
    """

    name: str
    ours: float
    numba: float

    @property
    def share(self) -> float:
        return self.ours / (self.ours + self.numba)

    @property
    def reached(self) -> bool:
        return self.share < SHARE and self.ours < SECONDS


@contextmanager
def _no_cache() -> Iterator[None]:
    """Neither emitted files nor Numba's, which lie beside them, from before."""
    with (
        tempfile.TemporaryDirectory(prefix="gradjit-bench-") as folder,
        config.override(cache_dir=folder),
    ):
        yield


def _timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def warm_up() -> None:
    """The first compilation of a process also loads LLVM."""
    with _no_cache():
        gradjit.value_and_grad(lambda x: x * x)(1.0)


def compile_cold(
    name: str, function: Callable[..., Any], argnums: tuple[int, ...], args: Any
) -> Cold:
    """Compile value and gradient as if for the first time.

    The first call lowers again; what that takes is measured once more and taken off.
    What the peers have loaded is not for the garbage collector to look through again.
    """
    transformed = gradjit.value_and_grad(function, argnums)
    gc.collect()
    gc.freeze()
    with _no_cache():
        ours = _timed(lambda: transformed.lower(*args))
        first = _timed(lambda: transformed(*args))
        again = _timed(lambda: transformed.lower(*args))
    return Cold(name, ours, first - again)
