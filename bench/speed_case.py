"""What a row of `python -m bench speed` is: a function, its peers, and a goal.

All ways to compute a row start from the same NumPy arguments and give `(value,
gradients)`, as NumPy arrays and numbers. They are compared before any is timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numba
import numpy as np

import gradjit
from bench.measure import (
    FULL,
    QUICK,
    TOLERANCE,
    Effort,
    Quartiles,
    difference,
    interleaved,
)
from bench.peers import leaves

Call = Callable[[], Any]
Prepare = Callable[[tuple[Any, ...]], Call]
Transform = Callable[[Callable[..., Any], tuple[int, ...], bool], Callable[..., Any]]
TIE = 1.05  # what "not slower" allows
REFERENCES = ("handwritten", "jax", "torch", "autograd")


@dataclass(frozen=True, slots=True)
class Target:
    """gradjit takes at most `most` times as long as the fastest of `against`."""

    against: tuple[str, ...]
    most: float

    def __str__(self) -> str:
        others = " or ".join(self.against)
        if self.most == TIE:
            return f"not slower than {others}"
        if self.most >= 1.0 or "primal" in self.against:
            return f"{self.most:g} x {others}"
        return f"{1.0 / self.most:.3g} x faster than {others}"

    def multiple(self, relative: Mapping[str, Quartiles]) -> float | None:
        """gradjit's time in units of the fastest of `against`; None if not measured."""
        medians = [relative[name][1] for name in self.against if name in relative]
        return max(medians, default=None)

    def reached(self, relative: Mapping[str, Quartiles]) -> bool | None:
        multiple = self.multiple(relative)
        return None if multiple is None else multiple <= self.most


def gradient(
    function: Callable[..., Any], argnums: tuple[int, ...], parallel: bool
) -> Callable[..., Any]:
    """The transform of nearly all cases."""
    return gradjit.value_and_grad(function, argnums, parallel=parallel)


@dataclass(frozen=True, slots=True)
class Case:
    """A function, as its user writes it, and how to measure it.

    Attributes:
        name: Of the row.
        group: The table that it stands in.
        note: The size.
        function: What is differentiated.
        argnums: By which arguments.
        full: Builds the arguments of the table.
        small: Builds those of `--quick` and the tests.
        peers: Each takes the arguments and gives a call; it may raise ImportError.
        targets: What the row has to reach.
        flops: How many operations value and gradient take, counted by formula.
        tolerance: The largest difference that rounding explains.
        transform: What gradjit makes of function and argnums, if it may use several
            threads or not.
    """

    name: str
    group: str
    note: str
    function: Callable[..., Any]
    argnums: tuple[int, ...]
    full: Callable[[], tuple[Any, ...]]
    small: Callable[[], tuple[Any, ...]]
    peers: Mapping[str, Prepare]
    targets: tuple[Target, ...]
    flops: Callable[..., float]
    tolerance: float = TOLERANCE
    transform: Transform = gradient

    def ours(self, cores: int = 1) -> Callable[..., Any]:
        """What gradjit makes of the function."""
        return self.transform(self.function, self.argnums, cores > 1)


@dataclass(slots=True)
class Row:
    """What came out for one case.

    `relative` are gradjit's times in units of the others', round by round: ratios of
    what ran at nearly the same time. `moved` are the bytes of arguments and results.
    """

    case: Case
    quick: bool
    seconds: dict[str, float] = field(default_factory=dict)
    quartiles: dict[str, Quartiles] = field(default_factory=dict)
    relative: dict[str, Quartiles] = field(default_factory=dict)
    error: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    flops: float = 0.0
    moved: float = 0.0
    dtype: str = "float64"

    @property
    def size(self) -> str:
        return "small" if self.quick else self.case.note

    def missed(self) -> list[str]:
        """The targets that were measured and not reached."""
        return [str(t) for t in self.case.targets if t.reached(self.relative) is False]

    @property
    def reached(self) -> bool | None:
        """Whether all targets were reached; None if none was measured."""
        met = [target.reached(self.relative) for target in self.case.targets]
        if "gradjit" in self.failed or False in met:
            return False
        return True if True in met else None


def primal(function: Callable[..., Any]) -> Prepare:
    """The function itself under Numba, without a gradient."""

    def prepare(args: tuple[Any, ...]) -> Call:
        compiled = numba.njit(function)
        return lambda: compiled(*args)

    return prepare


def measure(
    case: Case, wanted: Sequence[str] | None, quick: bool, cores: int, effort: Effort
) -> Row:
    """Check and time one case. What fails or disagrees is named, and not timed."""
    args = case.small() if quick else case.full()
    row = Row(case, quick)
    results, calls = run_once(case, wanted, args, cores, row)
    expected = reference(results)
    if "gradjit" in results and not set(REFERENCES) & set(results):
        check_slope(case, args, results["gradjit"], row)
    for name, result in results.items():
        row.error[name] = difference(
            *((result, expected[0]) if name == "primal" else (result, expected))
        )
        if not row.error[name] <= case.tolerance:
            row.failed[name] = f"differs by {row.error[name]:.1e}"
    calls = {name: call for name, call in calls.items() if name not in row.failed}
    row.flops, row.moved = float(case.flops(*args)), moved(args, expected)
    row.dtype = str(next(x.dtype for x in floats(expected[1])))
    times = interleaved(calls, effort)
    row.seconds, row.quartiles = times.seconds, times.quartiles
    row.relative = times.relative()
    return row


def effort(quick: bool, cpu: bool) -> Effort:
    """How long to measure, and by which clock."""
    chosen = QUICK if quick else FULL
    return replace(chosen, clock=time.process_time) if cpu else chosen


def run_once(
    case: Case, wanted: Sequence[str] | None, args: Any, cores: int, row: Row
) -> tuple[dict[str, Any], dict[str, Call]]:
    """The result of each way that can be had, and a call for each."""

    def gradjit_way(args: tuple[Any, ...]) -> Call:
        transformed = case.ours(cores)
        return lambda: transformed(*args)

    ways: dict[str, Prepare] = {"gradjit": gradjit_way}
    ways |= {k: v for k, v in case.peers.items() if wanted is None or k in wanted}
    results: dict[str, Any] = {}
    calls: dict[str, Call] = {}
    for name, prepare in ways.items():
        try:
            call = prepare(args)
            results[name] = call()
        except ImportError:
            row.missing.append(name)
        except Exception as exc:
            row.failed[name] = f"{type(exc).__name__}: {exc}".splitlines()[0]
        else:
            calls[name] = call
    return results, calls


def reference(results: Mapping[str, Any]) -> Any:
    """The result that all others have to equal, not gradjit's if there is another."""
    for name in (*REFERENCES, "gradjit"):
        if name in results:
            return results[name]
    raise AssertionError("nothing could be computed")


def check_slope(case: Case, args: tuple[Any, ...], result: Any, row: Row) -> None:
    """Where no other gradient is there: central differences along one direction."""
    rng = np.random.default_rng(0)
    args = double(args)
    wrt = leaves([args[i] for i in case.argnums])
    directions = [rng.normal(size=np.shape(leaf)) for leaf in wrt]

    def value(step: float) -> float:
        left = iter(directions)
        moved = tuple(
            double(x, lambda: step * next(left)) if i in case.argnums else x
            for i, x in enumerate(args)
        )
        primal = case.peers.get("primal")
        return float(primal(moved)() if primal else case.function(*moved))

    expected = (value(1e-5) - value(-1e-5)) / 2e-5
    pairs = zip(leaves(result[1]), directions, strict=True)
    terms = [float(np.sum(g * d)) for g, d in pairs]
    scale = sum(map(abs, terms)) + abs(float(result[0]))
    error = abs(sum(terms) - expected) / scale
    if not error <= max(1e-5, case.tolerance):
        row.failed["gradjit"] = f"slope differs by {error:.1e} from differences"


def double(tree: Any, step: Callable[[], Any] = float) -> Any:
    """The same nest, its floats in double precision and moved by a step each."""
    if isinstance(tree, list | tuple):
        return type(tree)(double(branch, step) for branch in tree)
    if isinstance(tree, float):
        return float(tree + step())
    if isinstance(tree, np.ndarray) and tree.dtype.kind == "f":
        return tree.astype(np.float64) + step()
    return tree


def floats(tree: Any) -> list[Any]:
    """The floating-point leaves, as arrays."""
    arrays = [np.asarray(leaf) for leaf in leaves(tree)]
    return [x for x in arrays if x.dtype.kind == "f"]


def moved(args: Any, result: Any) -> float:
    """Bytes of all arrays, the arguments read once and the results written once."""
    return float(sum(np.asarray(leaf).nbytes for leaf in leaves((args, result))))
