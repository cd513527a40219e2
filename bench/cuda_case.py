"""What a row of `python -m bench cuda` is: a program, a type, and ways to run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import gradjit
from bench.measure import Quartiles
from bench.peers import leaves

DTYPES = ("float32", "float64")


class AbsentError(Exception):
    """A peer cannot be had; the message is the reason that is printed."""


@dataclass(frozen=True, slots=True)
class Program:
    """A function, as its user writes it, and what it is run with.

    Attributes:
        name: Of its rows.
        note: The size.
        function: What is differentiated; its name is that of the peers' versions.
        argnums: By which arguments. None: the transforms stand inside the function.
        full: Builds the arguments of the table, in any precision.
        small: Builds those of `--quick` and the tests.
        check: Builds those that the CPU takes too, where `full` would take it minutes.
        static: Parameters that are compiled for their extents.
        tolerance: The largest differences that rounding explains, float64 and float32.
        traffic: The bytes that have to be moved, if they are not those of the arguments
            and results, once each.
        wanted: The share of the bandwidth of a copy that is aimed at.
    """

    name: str
    note: str
    function: Callable[..., Any]
    argnums: tuple[int, ...] | None
    full: Callable[[], tuple[Any, ...]]
    small: Callable[[], tuple[Any, ...]]
    check: Callable[[], tuple[Any, ...]] | None = None
    static: Mapping[str, int] = field(default_factory=dict)
    tolerance: tuple[float, float] = (1e-9, 2e-4)
    traffic: Callable[..., float] | None = None
    wanted: float | None = None

    @property
    def key(self) -> str:
        return self.function.__name__

    def ours(self, target: str) -> Callable[..., Any]:
        """What gradjit makes of the function."""
        options: dict[str, Any] = {"static": self.static}
        if target != "cpu":
            options["target"] = target
        if self.argnums is None:
            return gradjit.jit(self.function, **options)
        return gradjit.value_and_grad(self.function, self.argnums, **options)

    def most(self, dtype: str) -> float:
        """The largest difference to results in double precision."""
        return self.tolerance[DTYPES[::-1].index(dtype)]

    def moved(self, args: Any, result: Any) -> float:
        """Bytes."""
        if self.traffic is not None:
            return float(self.traffic(*args))
        return float(sum(np.asarray(leaf).nbytes for leaf in leaves((args, result))))


@dataclass(slots=True)
class Row:
    """What came out for a program and a type, by way; gradjit is one of the ways.

    `running` is the way that is being prepared, checked or timed: if the process dies,
    that one has killed it.
    """

    workload: str
    dtype: str
    size: str
    wanted: float | None = None
    moved: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    quartiles: dict[str, Quartiles] = field(default_factory=dict)
    compile: dict[str, float] = field(default_factory=dict)
    error: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    running: str = ""

    @property
    def name(self) -> str:
        return f"{self.workload}, {self.dtype}"

    def share(self, copy: float) -> float | None:
        """gradjit's bandwidth, in units of that of a copy."""
        seconds = self.seconds.get("gradjit")
        return self.moved / seconds / copy if seconds and copy else None


def cast(tree: Any, dtype: str) -> Any:
    """The same nest; arrays of floats have another precision, numbers remain."""
    if isinstance(tree, list | tuple):
        return type(tree)(cast(branch, dtype) for branch in tree)
    if isinstance(tree, np.ndarray) and tree.dtype.kind == "f":
        return np.ascontiguousarray(tree, dtype=dtype)
    return tree


def each(tree: Any, change: Callable[[Any], Any]) -> Any:
    """The same nest, all its leaves changed."""
    if isinstance(tree, list | tuple):
        return type(tree)(each(branch, change) for branch in tree)
    return change(tree)
