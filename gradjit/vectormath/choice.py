"""Which vector math emitted loops use: a setting, and what the machine has.

The probe looks symbols up, when a program is first lowered: compiling a loop, to look
for vector calls in it, would take tenths of a second. That LLVM takes the versions
where there are symbols is for the tests.
"""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType

from gradjit.config import settings
from gradjit.errors import UnsupportedError


def chosen() -> str:
    """The module of vector math in use: "libmvec", "polynomial" or "none".

    >>> from gradjit import config
    >>> with config.override(vector_math="polynomial"):
    ...     chosen()
    'polynomial'
    """
    wanted = settings().vector_math
    if wanted == "auto":
        return "libmvec" if _has_libmvec() else "polynomial"
    if wanted == "libmvec" and not _has_libmvec():
        raise UnsupportedError(
            "GRADJIT_VECTOR_MATH is libmvec, but this machine has no libmvec with all "
            "functions",
            hint="It comes with glibc 2.35 and later, on x86; use auto or polynomial.",
        )
    return wanted


def module(name: str) -> ModuleType:
    """The module of that name, with the functions; NumPy for "none".

    >>> float(module("polynomial").exp(0.0))
    1.0
    """
    if name == "none":
        return importlib.import_module("numpy")
    return importlib.import_module(f"gradjit.vectormath.{name}")


@cache
def _has_libmvec() -> bool:
    return module("libmvec").available()


def describe() -> str:
    """What is in use, in a line."""
    name = chosen()
    if name == "none":
        return "none: libm, one element at a time"
    if name == "polynomial":
        return "polynomials, at the widths that LLVM finds for this machine"
    lanes = module("libmvec").widths(_features()).values()
    return f"libmvec, {' or '.join(map(str, lanes))} float64 at once"


def _features() -> str:
    """What Numba compiles for."""
    codegen = importlib.import_module("numba.core.registry").cpu_target
    _, _, features = codegen.target_context.codegen().magic_tuple()
    return features
