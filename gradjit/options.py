"""Options that all transforms take."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast, get_args

from gradjit.errors import GradjitError
from gradjit.leaf import Axes
from gradjit.passes.memory import Memory

Target = Literal["cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class Options:
    """How a function is compiled.

    Attributes:
        fastmath: Let Numba reorder and contract floating-point arithmetic, and take
            NaN and infinity as absent.
        static: Names of parameters that are compiled for their exact extents, each
            with the axes that are meant (None: all).
        parallel: Run loops over `numba.prange` and big loops over elements on several
            threads.
        memory: What values saved for the way back may take.
        target: What it is compiled for, "cpu" or "cuda".
    """

    fastmath: bool = False
    static: tuple[tuple[str, Axes], ...] = ()
    parallel: bool = False
    memory: Memory | None = None
    target: Target = "cpu"

    def more_levels(self) -> Options:
        """The same with loops cut into one more level."""
        assert self.memory is not None
        return replace(self, memory=replace(self.memory, levels=self.memory.levels + 1))

    def note(self) -> str:
        """What differs from the defaults, as text."""
        parts = [f"target: {self.target}"] * (self.target != "cpu")
        parts += ["fastmath"] * self.fastmath + ["parallel"] * self.parallel
        named = ", ".join(name + _shown(axes) for name, axes in self.static)
        parts += [f"static: {named}"] * bool(named)
        if self.memory is not None:
            parts.append(f"memory: {self.memory.budget} bytes")
        return f"; {', '.join(parts)}" if parts else ""


def make_options(
    fastmath: bool,
    static: Any,
    parallel: bool = False,
    memory: int | str | None = None,
    target: str = "cpu",
) -> Options:
    """Options from what the user wrote."""
    limit = None if memory is None else Memory(_bytes(memory))
    if target != "cpu" and parallel:
        raise GradjitError(
            f'parallel=True is an option of target="cpu", not of target={target!r}',
            hint="Leave it away: a device runs everything in parallel.",
        )
    return Options(
        bool(fastmath), _exact(static), bool(parallel), limit, _target(target)
    )


def _target(target: Any) -> Target:
    for known in get_args(Target):
        if target == known:
            return known
    raise GradjitError(f'target is "cpu" or "cuda", not {target!r}')


def _exact(static: Any) -> tuple[tuple[str, Axes], ...]:
    """The parameters that `static` names, with their axes."""
    named: dict[Any, Any] = {}
    if isinstance(static, Mapping):
        named.update(cast("Mapping[Any, Any]", static))
    elif isinstance(static, str):
        named[static] = None
    elif isinstance(static, Iterable):
        named.update((name, None) for name in cast("Iterable[Any]", static))
    else:
        named[static] = None
    if not all(isinstance(name, str) for name in named):
        raise GradjitError(
            f"static takes names of parameters, not {static!r}",
            hint='Write static="x", static=("x", "y") or static={"x": -1}.',
        )
    return tuple((name, _axes(name, axes)) for name, axes in named.items())


def _axes(name: str, axes: Any) -> Axes:
    """The axes of a parameter, as in NumPy: a number, a tuple of them, or None."""
    if axes is None:
        return None
    several = isinstance(axes, tuple)
    numbers = cast("tuple[Any, ...]", axes) if several else (axes,)
    if not all(isinstance(k, int) and not isinstance(k, bool) for k in numbers):
        raise GradjitError(
            f"static gives {name} the axes {axes!r}",
            hint="Axes are a number, a tuple of numbers, or None for all of them.",
        )
    return numbers


def _shown(axes: Axes) -> str:
    """Axes as they stand in a header."""
    return "" if axes is None else f"[{', '.join(map(str, axes))}]"


_UNITS = {
    "": 1,
    "B": 1,
    **{f"{p}B": 1000**k for k, p in enumerate("KMGT", 1)},
    **{f"{p}IB": 1024**k for k, p in enumerate("KMGT", 1)},
}


def _bytes(memory: Any) -> int:
    """A number of bytes from 100_000 or "256MB" or "1.5 GiB"."""
    if isinstance(memory, int) and not isinstance(memory, bool) and memory > 0:
        return memory
    if isinstance(memory, str):
        found = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([A-Za-z]*)\s*", memory)
        if found and found[2].upper() in _UNITS and float(found[1]) > 0:
            return int(float(found[1]) * _UNITS[found[2].upper()])
    raise GradjitError(
        f"memory is a number of bytes, not {memory!r}",
        hint='Write memory=64_000_000, memory="64MB" or memory="0.5 GiB".',
    )
