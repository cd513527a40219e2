"""What gradjit raises.

    GradjitError
    ├── UnsupportedError          a construct or a function that is not traced
    ├── ShapeError(ValueError)    extents that do not fit
    ├── DtypeError(TypeError)     an element type that does not fit
    ├── NotDifferentiableError    an op without a derivative on an active path
    ├── CompileError              the emitted source did not compile
    └── InternalError             a bug of ours: a graph that breaks a rule of the IR
    CudaTransferWarning(UserWarning)  arrays that move between host and device

Every message says where (`model.py:14: y = np.foo(x)`), what was wrong, and what to do.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Loc:
    """A place in the user's source: file, line (from 1) and the line's text."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


class GradjitError(Exception):
    """Base of all errors of gradjit.

    Args:
        what: What is wrong, with what was expected and what came.
        loc: The user's line, if one is known.
        hint: What to do instead.
    """

    def __init__(self, what: str, loc: Loc | None = None, hint: str = "") -> None:
        self.what = what
        self.loc = loc
        self.hint = hint
        super().__init__(self._message())

    def _message(self) -> str:
        where = f"{self.loc}\n  " if self.loc is not None else ""
        hint = f"\n  {self.hint}" if self.hint else ""
        return f"{where}{self.what}{hint}"

    def __reduce__(self) -> tuple[type[GradjitError], tuple[str, Loc | None, str]]:
        return type(self), (self.what, self.loc, self.hint)


class UnsupportedError(GradjitError):
    """The function uses something that gradjit does not trace."""


class ShapeError(GradjitError, ValueError):
    """Extents that do not fit together."""


class DtypeError(GradjitError, TypeError):
    """An element type that does not fit."""


class NotDifferentiableError(GradjitError):
    """A derivative was asked for that does not exist or is not known."""


class CompileError(GradjitError):
    """The emitted source did not compile."""


class InternalError(GradjitError):
    """A bug in gradjit."""


class CudaTransferWarning(UserWarning):
    """Arrays are moved between host and device at each call of a CUDA function."""
