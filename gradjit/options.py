"""Options that all transforms take."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from gradjit.errors import GradjitError
from gradjit.passes.memory import Memory


@dataclass(frozen=True, slots=True)
class Options:
    """How a function is compiled.

    Attributes:
        fastmath: Let Numba reorder and contract floating-point arithmetic, and take
            NaN and infinity as absent.
        static: Names of parameters that are compiled for their exact extents.
        parallel: Run loops over `numba.prange` and big loops over elements on several
            threads.
        memory: What values saved for the way back may take.
    """

    fastmath: bool = False
    static: tuple[str, ...] = ()
    parallel: bool = False
    memory: Memory | None = None

    def more_levels(self) -> Options:
        """The same with loops cut into one more level."""
        assert self.memory is not None
        return replace(self, memory=replace(self.memory, levels=self.memory.levels + 1))

    def note(self) -> str:
        """What differs from the defaults, as text."""
        parts = ["fastmath"] * self.fastmath + ["parallel"] * self.parallel
        parts += [f"static: {', '.join(self.static)}"] * bool(self.static)
        if self.memory is not None:
            parts.append(f"memory: {self.memory.budget} bytes")
        return f"; {', '.join(parts)}" if parts else ""


def make_options(
    fastmath: bool,
    static: Any,
    parallel: bool = False,
    memory: int | str | None = None,
) -> Options:
    """Options from what the user wrote."""
    names: tuple[Any, ...] = (static,) if isinstance(static, str) else tuple(static)
    if not all(isinstance(name, str) for name in names):
        raise GradjitError(f"static takes names of parameters, not {static!r}")
    limit = None if memory is None else Memory(_bytes(memory))
    return Options(bool(fastmath), names, bool(parallel), limit)


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
