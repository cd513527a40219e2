"""Elementary functions in a loop, in ns an element.

    python -m bench.vector_math [NAME ...]

prints the table of docs/vector-math.md: `gradjit.vectormath` with libmvec and with
polynomials, libm (what Numba calls for NumPy's functions), and NumPy's or SciPy's own
loops. 4096 elements, which stay in the cache; the median of 31 runs.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from gradjit.vectormath import ARITY, module

SIZE = 4096
# Where the arguments lie, if not between 0.1 and 0.9.
RANGES = {
    **dict.fromkeys(("exp", "exp2", "expm1", "sinh", "cosh", "tanh"), (-5.0, 5.0)),
    **dict.fromkeys(("expit", "logaddexp", "erf", "erfc"), (-5.0, 5.0)),
    **dict.fromkeys(("sin", "cos", "tan", "arctan", "arcsinh"), (-10.0, 10.0)),
    **dict.fromkeys(("arctan2", "hypot", "cbrt"), (-10.0, 10.0)),
    **dict.fromkeys(("log", "log2", "log10", "log1p", "xlogy"), (0.1, 10.0)),
    **dict.fromkeys(("pow", "xlog1py"), (0.1, 10.0)),
    "arccosh": (1.0, 10.0),
}


def loop(function: Callable[..., Any], count: int) -> Any:
    """A loop over elements, compiled as gradjit does."""

    def one(out: Any, x: Any) -> None:
        for i in range(x.size):
            out[i] = function(x[i])

    def two(out: Any, x: Any, y: Any) -> None:
        for i in range(x.size):
            out[i] = function(x[i], y[i])

    options = {"error_model": "numpy", "fastmath": {"reassoc"}}
    return numba.njit(**options)(one if count == 1 else two)


def scalar(name: str) -> Any:
    """What Numba compiles to calls of libm."""
    expit = numba.njit(error_model="numpy")(lambda x: 1 / (1 + np.exp(-x)))
    own = {
        "erf": math.erf,
        "erfc": math.erfc,
        "expit": expit,
        "pow": numba.njit(error_model="numpy")(lambda x, y: x**y),
    }
    return own.get(name) or getattr(np, name, None)


def nanoseconds(call: Callable[[], Any]) -> float:
    """Of an element."""
    call()
    times: list[float] = []
    for _ in range(31):
        start = time.perf_counter_ns()
        for _ in range(10):
            call()
        times.append((time.perf_counter_ns() - start) / (10 * SIZE))
    return statistics.median(times)


def row(name: str, dtype: Any) -> list[str]:
    """The four times of a function."""
    low, high = RANGES.get(name, (0.1, 0.9))
    rng = np.random.default_rng(0)
    count = ARITY[name]
    args = [rng.uniform(low, high, SIZE).astype(dtype) for _ in range(count)]
    out = np.empty(SIZE, dtype)
    functions = [getattr(module(kind), name) for kind in ("libmvec", "polynomial")]
    cells: list[str] = []
    for function in (*functions, scalar(name)):
        if function is None:
            cells.append("")
            continue
        compiled = loop(function, count)
        cells.append(f"{nanoseconds(lambda c=compiled: c(out, *args)):.2f}")
    whole = functions[0]
    with np.errstate(all="ignore"):
        cells.append(f"{nanoseconds(lambda: whole(*args)):.2f}")
    return cells


def main() -> None:
    kinds = ("libmvec", "polynomial", "libm", "NumPy")
    print(f"| function | {' | '.join([*kinds, *(f'{k}, 32' for k in kinds)])} |")
    print("| --- |" + " ---: |" * 8)
    for name in sys.argv[1:] or ARITY:
        cells = row(name, np.float64) + row(name, np.float32)
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
