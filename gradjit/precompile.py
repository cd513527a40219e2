"""Compiling ahead of the first call, for what is deployed."""

from __future__ import annotations

import re
from typing import Any, cast

import numpy as np

from gradjit.errors import DtypeError, GradjitError, UnsupportedError
from gradjit.ir.types import DTYPES
from gradjit.leaf import Spec, prepare
from gradjit.transformed import Transformed

_TYPE = re.compile(r"(\w+)(?:\[([^\[\]]*)\])?")
_DTYPES = {d.name: d for d in DTYPES}

# The extent that stands for any: 1 would be one that broadcasts.
_SOME = 2


def precompile(f: Any, *signatures: Any) -> Any:
    """Compile a function for signatures, without running it.

    The machine code also goes to the cache folder (`GRADJIT_CACHE_DIR`), where other
    processes find it: run this where a program is built or installed, and no call of
    the program compiles.

    Args:
        f: A transformed function: `grad(f)`, `value_and_grad(f)`, `jit(f)`, ...
        signatures: Each is a tuple of arguments like those of the calls to come, as
            for `export`: dtypes, numbers of axes and containers count, values do not.
            Or, for arguments that are not in containers, a string of types as
            `GRADJIT_DEBUG=1` prints them: "float64[:, :], float64[:], float, int".
            There `float` and `int` are Python's and `float64` is NumPy's number; an
            extent of 1, which broadcasts, is written as such: "float64[:, 1]".

    Returns:
        `f`.

    Raises:
        UnsupportedError: `f` is not a function that gradjit has transformed.
        DtypeError: A string names no type.
        GradjitError: A value or an extent is part of the program, and the signature
            is a string: give an example of the argument.

    Example:
        >>> import gradjit
        >>> import numpy as np
        >>> def loss(w, x):
        ...     return np.sum((x @ w) ** 2)
        >>> fast = precompile(gradjit.grad(loss), "float64[:], float64[:, :]")
        >>> fast(np.ones(2), np.eye(2))
        array([2., 2.])
    """
    if not isinstance(f, Transformed):
        raise UnsupportedError(
            "precompile takes a function that gradjit has transformed",
            hint="Precompile gradjit.grad(f) or gradjit.jit(f), not f itself.",
        )
    for signature in signatures:
        if isinstance(signature, str):
            types = _split(signature)
            f.compile(*map(_example, types))
            _require_types_only(f, signature, types)
        elif isinstance(signature, tuple | list):
            f.compile(*cast("tuple[Any, ...]", signature))
        else:
            raise DtypeError(
                f"a signature is a tuple of arguments or a string, not {signature!r}",
                hint="Write precompile(f, (x,)) for a single argument x.",
            )
    return f


def signature_specs(signature: str) -> list[Spec]:
    """What the arguments of a signature are: a `:` is an extent that is not known."""
    specs: list[Spec] = []
    for item in _split(signature):
        spec, _ = prepare(_example(item), None)
        extents = [x.strip() for x in item.partition("[")[2].rstrip("]").split(",")]
        pairs = zip(extents, spec.dims, strict=False)
        dims = tuple(None if x == ":" else n for x, n in pairs)
        kind = "array" if dims else "scalar"
        specs.append(Spec(kind, spec.dtype, dims))
    return specs


def _require_types_only(f: Transformed, signature: str, types: list[str]) -> None:
    """Refuse a program that has a placeholder's value or extent in it."""
    lowered = f.lowering
    known: dict[int, Any] = {**lowered.traced.pinned, **lowered.traced.shaped}
    for k, (spec, type_) in enumerate(zip(lowered.call.specs, types, strict=False)):
        if _SOME in spec.dims and ":" in type_:
            known[k] = (), "static"
    for k, (_, reason) in known.items():
        raise GradjitError(
            f"{lowered.function.name} cannot be compiled for {signature!r} alone: of"
            f" {lowered.paths[k]} more than the type counts ({reason})",
            hint="Give precompile a tuple of arguments.",
        )


def _split(signature: str) -> list[str]:
    """The types in a signature."""
    types = re.split(r",(?![^\[]*\])", signature) if signature.strip() else []
    return [t.strip() for t in types]


def _example(item: str) -> Any:
    """An argument of this type."""
    if item in ("float", "int"):
        return 1.0 if item == "float" else 1
    found = _TYPE.fullmatch(item)
    if found is None or found[1] not in _DTYPES:
        raise DtypeError(
            f"{item!r} is no type of an argument",
            hint='Write "float64[:, :]", "int64[:]", "float32", "float" or "int".',
        )
    dtype = _DTYPES[found[1]]
    if found[2] is None:
        return dtype.type(1)
    extents = [x.strip() for x in found[2].split(",") if x.strip()]
    if not all(x == ":" or x.isdecimal() for x in extents):
        raise DtypeError(f"{item!r}: extents are `:` or numbers")
    return np.ones([_SOME if x == ":" else int(x) for x in extents], dtype)
