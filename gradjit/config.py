"""What the environment says, in one table.

| variable | default | meaning |
|---|---|---|
| `GRADJIT_DEBUG` | 0 | 1: compile events, and why; 2: the source; 3: the graphs |
| `GRADJIT_CHECK` | 0 | 1 verifies the graph after each pass |
| `GRADJIT_JIT` | 1 | 0 runs the emitted Python without Numba |
| `GRADJIT_CACHE_DIR` | the user's cache | where emitted files are kept |
| `GRADJIT_UNROLL` | 1024 | most iterations that one loop is unrolled to |
| `GRADJIT_VECTOR_MATH` | auto | exp, sin, ... in loops: libmvec, polynomial or none |
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace

_VARIABLES = {
    "debug": "GRADJIT_DEBUG",
    "check": "GRADJIT_CHECK",
    "jit": "GRADJIT_JIT",
    "cache_dir": "GRADJIT_CACHE_DIR",
    "unroll_limit": "GRADJIT_UNROLL",
    "vector_math": "GRADJIT_VECTOR_MATH",
    "cuda_graphs": "GRADJIT_CUDA_GRAPHS",
}
_VECTOR_MATH = ("auto", "libmvec", "polynomial", "none")


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a process.

    Attributes:
        debug: How much is printed, from 0 to 3.
        check: Whether graphs are verified after each pass.
        jit: Whether emitted source is compiled.
        cache_dir: Folder of emitted files; empty for the platform's user cache.
        unroll_limit: Most iterations that one loop is unrolled to.
        vector_math: Which vector math loops use: libmvec, polynomial, none, or what
            there is (auto).
        cuda_graphs: Whether the launches of a call on a device are recorded as a CUDA
            graph, and replayed by the next calls of its kind.
    """

    debug: int = 0
    check: bool = False
    jit: bool = True
    cache_dir: str = ""
    unroll_limit: int = 1024
    vector_math: str = "auto"
    cuda_graphs: bool = False


def from_environment(environ: Mapping[str, str]) -> Settings:
    """The settings that an environment asks for.

    >>> from_environment({"GRADJIT_DEBUG": "2", "GRADJIT_JIT": "0"}).jit
    False
    """
    return Settings(
        debug=_number(environ, "debug", Settings().debug),
        check=bool(_number(environ, "check", 0)),
        jit=bool(_number(environ, "jit", 1)),
        cache_dir=environ.get(_VARIABLES["cache_dir"], ""),
        unroll_limit=_number(environ, "unroll_limit", 1024),
        vector_math=_choice(environ, "vector_math", _VECTOR_MATH),
        cuda_graphs=bool(_number(environ, "cuda_graphs", 0)),
    )


def _number(environ: Mapping[str, str], field: str, default: int) -> int:
    variable = _VARIABLES[field]
    text = environ.get(variable, "").strip() or str(default)
    if not text.isdecimal():
        raise ValueError(f"{variable} is a number, not {text!r}")
    return int(text)


def _choice(environ: Mapping[str, str], field: str, choices: Sequence[str]) -> str:
    """One of some words, the first by default."""
    variable = _VARIABLES[field]
    text = environ.get(variable, "").strip() or choices[0]
    if text not in choices:
        *others, last = choices
        raise ValueError(f"{variable} is {', '.join(others)} or {last}, not {text!r}")
    return text


_SETTINGS = [from_environment(os.environ)]


def settings() -> Settings:
    """The settings in force.

    >>> settings().unroll_limit
    1024
    """
    return _SETTINGS[-1]


@contextmanager
def override(**changes: int | bool | str) -> Generator[Settings]:
    """Other settings inside a `with` block.

    Args:
        changes: Fields of `Settings` and their values.

    >>> with override(jit=False):
    ...     settings().jit
    False
    """
    _SETTINGS.append(replace(settings(), **changes))  # type: ignore[arg-type]
    try:
        yield settings()
    finally:
        _SETTINGS.pop()


def show() -> str:
    """The settings in force, a line each, with the variable that sets them.

    The last line says which vector math is in use on this machine.

    >>> print(show().splitlines()[4])
    GRADJIT_UNROLL       unroll_limit  1024
    """
    # The choice is a matter of settings, which are here.
    from gradjit.vectormath import describe

    lines = [
        f"{_VARIABLES[f.name]:20} {f.name:13} {getattr(settings(), f.name)}"
        for f in fields(Settings)
    ]
    return "\n".join([*lines, f"vector math in use: {describe()}"])
