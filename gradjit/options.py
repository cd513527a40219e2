"""Options that all transforms take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gradjit.errors import GradjitError


@dataclass(frozen=True, slots=True)
class Options:
    """How a function is compiled.

    Attributes:
        fastmath: Let Numba reorder and contract floating-point arithmetic, and take
            NaN and infinity as absent.
        static: Names of parameters that are compiled for their exact extents.
        parallel: Run loops over `numba.prange` and big loops over elements on several
            threads.
    """

    fastmath: bool = False
    static: tuple[str, ...] = ()
    parallel: bool = False

    def note(self) -> str:
        """What differs from the defaults, as text."""
        parts = ["fastmath"] * self.fastmath + ["parallel"] * self.parallel
        parts += [f"static: {', '.join(self.static)}"] * bool(self.static)
        return f"; {', '.join(parts)}" if parts else ""


def make_options(fastmath: bool, static: Any, parallel: bool = False) -> Options:
    """Options from what the user wrote."""
    names: tuple[Any, ...] = (static,) if isinstance(static, str) else tuple(static)
    if not all(isinstance(name, str) for name in names):
        raise GradjitError(f"static takes names of parameters, not {static!r}")
    return Options(bool(fastmath), names, bool(parallel))
