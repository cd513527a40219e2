"""`device`: derivatives that a thread calls inside of the user's own CUDA kernels.

Numba types a kernel's calls before it compiles it. What `device` gives has Numba take
it for a device function, and is asked for one of given types (`get_call_template`,
`get_overload`, as any dispatcher is): then the derivative is lowered for those types,
imported, and `cuda.jit(device=True)` answers for it. In the simulator, where kernels
are Python, it is called.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache
from typing import Any, cast

import numpy as np

from gradjit.api import grad, value_and_grad
from gradjit.codegen.module import load
from gradjit.cuda import shim
from gradjit.errors import DtypeError, GradjitError, ShapeError, UnsupportedError
from gradjit.inside import Inside, arrays_by, lower_inside
from gradjit.ir.types import DTYPES
from gradjit.leaf import Spec
from gradjit.precompile import signature_specs
from gradjit.transform import Grad, HessianVector, Plain
from gradjit.transformed import Transformed

_LOCK = threading.RLock()
_NUMBERS = {bool: np.bool_, int: np.int64, float: np.float64}


def device(
    f: Any,
    signature: str = "",
    *,
    argnums: int | tuple[int, ...] = 0,
    value: bool = False,
    fastmath: bool = False,
) -> DeviceFunction:
    """A derivative as a device function, to be called in one's own CUDA kernels.

    In a kernel, call it with the arguments of `f`, which are numbers and arrays, and
    then an array for each gradient by an array, in which that is written. Numbers are
    returned: one as it is, several as a flat tuple, the value first.

    It is compiled for the types that it is called with. A kernel allocates nothing:
    what needs arrays of unknown extents on the way is refused, with the line. Extents
    that a signature knows make small arrays into numbers. A gradient by numbers alone
    is taken forwards where the way back would need memory.

    Args:
        f: A function with a scalar result, or `grad(f)`, `value_and_grad(f)`, `hvp(f)`
            or `jit(f)` with their options.
        signature: Types of the arguments of `f`, where their extents are known:
            "float64[3], float64[3, 3], float64".
        argnums: Positions of the arguments to differentiate by, if `f` is a function.
        value: Whether the value is returned as well, if `f` is a function.
        fastmath: Take NaN and infinity as absent, if `f` is a function.

    Raises:
        GradjitError: It cannot be a device function.

    Example:
        >>> import math
        >>> import gradjit
        >>> def energy(r):
        ...     return 4.0 * (r**-12 - r**-6)
        >>> force = gradjit.device(energy, "float64")
        >>> "def grad_energy(r):" in force.source
        True
    """
    if not isinstance(f, Transformed):
        make = value_and_grad if value else grad
        f = make(f, argnums, fastmath=fastmath)
    elif value or fastmath or argnums != 0:
        raise GradjitError(
            f"device got {f!r} and options of a gradient",
            hint="Give the options to grad or value_and_grad.",
        )
    assert isinstance(f, Transformed)
    if not isinstance(f.transform, Grad | Plain | HessianVector):
        raise UnsupportedError(
            f"{f!r} cannot be a device function",
            hint="Use grad, value_and_grad, hvp or jit.",
        )
    if f.options.static and not signature:
        raise GradjitError(
            f"static names extents of {f!r} that Numba's types do not have",
            hint='Give device a signature with the extents, as in "float64[3]".',
        )
    return DeviceFunction(f, tuple(signature_specs(signature)) if signature else None)


class DeviceFunction:
    """What `gradjit.device` gives: a function for the threads of kernels."""

    is_compiling = False  # what Numba asks of recursive functions

    def __init__(self, f: Transformed, specs: tuple[Spec, ...] | None) -> None:
        self._f = f.with_options(target="cpu", parallel=False)
        self._specs = specs
        self._made: dict[tuple[Spec, ...], tuple[Inside, Any]] = {}
        if specs is not None:
            self._make(specs)

    def __repr__(self) -> str:
        return f"<gradjit.device of {self._f!r}>"

    @property
    def source(self) -> str:
        """The emitted Python of the last types that it was made for."""
        if not self._made:
            raise GradjitError(
                f"{self!r} has not been compiled yet",
                hint="Compile a kernel that calls it, or give device a signature.",
            )
        inside, _ = list(self._made.values())[-1]
        return inside.source

    # ----------------------------------------------------------- what Numba asks

    @property
    def _numba_type_(self) -> Any:
        return _dispatcher_type()(self)

    def get_call_template(self, args: Sequence[Any], kws: Any) -> Any:
        """Numba's question when it types a call."""
        if kws:
            raise GradjitError(f"{self._f.label}: arguments are given by position")
        types = tuple(getattr(t, "literal_type", t) for t in args)
        found = self._for([_spec_of_type(self._f.label, t) for t in types])
        return found.get_call_template(types, {})

    def get_overload(self, sig: Any) -> Any:
        """Numba's question when it compiles a call."""
        found = self._for([_spec_of_type(self._f.label, t) for t in sig])
        return found.get_overload(sig)

    # ------------------------------------------------------------ in the simulator

    def __call__(self, *args: Any) -> Any:
        if not (shim.SIMULATED and shim.cuda.running):
            raise GradjitError(
                f"{self._f.label} is a device function, which kernels call",
                hint="On the host, call what device was given: gradjit.grad(f).",
            )
        return self._for([_spec_of_value(self._f.label, x) for x in args])(*args)

    # ------------------------------------------------------------------ of types

    def _for(self, given: Sequence[Spec]) -> Any:
        """What was compiled for types of a call."""
        own = self._own(given)
        self._check_outs(given, own)
        if self._specs is not None:
            self._check_signature(given[:own])
            return self._make(self._specs)[1]
        return self._make(tuple(given[:own]))[1]

    def _own(self, given: Sequence[Spec]) -> int:
        """How many of the arguments are the function's own."""
        for count in range(len(given), 0, -1):
            if count + len(arrays_by(self._f, given[:count])) == len(given):
                return count
        raise GradjitError(
            f"{self._f.label} was called with ({_listed(given)})",
            hint="After the function's arguments comes an array for each gradient by an"
            " array.",
        )

    def _check_outs(self, given: Sequence[Spec], own: int) -> None:
        for model, out in zip(
            arrays_by(self._f, given[:own]), given[own:], strict=True
        ):
            if not _fits(out, model):
                raise DtypeError(
                    f"{self._f.label}: an array for a gradient is {out}, and should be"
                    f" {model}"
                )

    def _check_signature(self, own: Sequence[Spec]) -> None:
        assert self._specs is not None
        alike = len(own) == len(self._specs) and all(map(_fits, own, self._specs))
        if not alike:
            raise ShapeError(
                f"{self._f.label} was made for ({_listed(self._specs)}) and called with"
                f" ({_listed(own)})"
            )

    def _make(self, specs: tuple[Spec, ...]) -> tuple[Inside, Any]:
        # Numba asks with its lock taken, and a thread that has ours may wait for that.
        # In the simulator there is none, and all threads of a block ask at once.
        with _LOCK if shim.SIMULATED else nullcontext():
            found = self._made.get(specs)
            if found is None:
                inside = lower_inside(self._f, specs)
                module = load(inside.source, inside.name)
                found = inside, getattr(module, inside.name)
            return self._made.setdefault(specs, found)


def _fits(given: Spec, model: Spec) -> bool:
    """Whether an argument is of the kind that another one is."""
    if given.kind != "array" or model.kind != "array":
        # Numba converts numbers.
        return (given.kind == "array") == (model.kind == "array")
    return (given.dtype, len(given.dims)) == (model.dtype, len(model.dims))


def _listed(specs: Sequence[Spec]) -> str:
    return ", ".join(map(str, specs))


def _spec_of_type(name: str, type_: Any) -> Spec:
    """What a Numba type is for gradjit."""
    types: Any = importlib.import_module("numba.core.types")
    as_dtype: Any = importlib.import_module("numba.np.numpy_support").as_dtype
    plain = getattr(type_, "literal_type", type_)
    scalar = isinstance(plain, types.Number | types.Boolean)
    if scalar or isinstance(plain, types.Array):
        dtype = as_dtype(plain if scalar else plain.dtype)
        return _spec(name, dtype, None if scalar else plain.ndim)
    raise DtypeError(
        f"{name} was called with a {type_}",
        hint="A device function takes numbers and arrays.",
    )


def _spec_of_value(name: str, x: Any) -> Spec:
    """What an argument in the simulator is for gradjit."""
    if type(x) in _NUMBERS:
        return _spec(name, np.dtype(_NUMBERS[type(x)]), None)
    if not hasattr(x, "dtype"):
        raise DtypeError(
            f"{name} was called with a {type(x).__name__}",
            hint="A device function takes numbers and arrays.",
        )
    return _spec(name, x.dtype, None if isinstance(x, np.generic) else len(x.shape))


def _spec(name: str, dtype: Any, rank: int | None) -> Spec:
    if dtype not in DTYPES or rank == 0:
        what = "an array without axes" if rank == 0 else f"{dtype} numbers"
        raise DtypeError(f"{name} was called with {what}, which it does not take")
    kind = "scalar" if rank is None else "array"
    return Spec(kind, dtype, (None,) * (rank or 0))


@cache
def _dispatcher_type() -> Any:
    """The class of Numba's types of device functions."""

    def nothing() -> None:
        pass

    made: Any = shim.cuda.jit(device=True)(nothing)
    return cast("Any", type(made._numba_type_))
