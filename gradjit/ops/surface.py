"""The functions that programs call, and what gradjit does instead.

    @function(np.mean, method="mean", doc="Mean over axes.", samples=(call(MATRIX),))
    def mean(x, axis=None, keepdims=False): ...

An implementation is written on symbols, with the names of NumPy's parameters, of which
it may leave out some: a call that gives one of those is refused by name. It is called
with at least one traced argument, except where `makes` says that the function makes an
array, which belongs to the program even if its arguments are numbers.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from gradjit.errors import DtypeError, ShapeError, UnsupportedError
from gradjit.ir.build import current
from gradjit.ir.graph import Const
from gradjit.ir.op import lookup
from gradjit.ir.types import DTYPES, ArrayType, DType, ScalarType, dims
from gradjit.ops.array import index_dims
from gradjit.ops.sym import METHODS, Sym, apply, elementwise, integer, lift

Sample = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """A function of the surface.

    Attributes:
        name: As users write it: `np.sum`.
        targets: The callables that it stands for.
        impl: The same on symbols.
        doc: One line; that of the op where there is none.
        op: The op that it stands for, if it is just one.
        samples: Calls `(args, kwargs)` for tests.
        makes: Whether to trace it even if no argument is traced.
        method: Name of the array method or attribute, if it is one.
    """

    name: str
    targets: tuple[Any, ...]
    impl: Callable[..., Any]
    doc: str
    op: str = ""
    samples: tuple[Sample, ...] = ()
    makes: bool = False
    method: str = ""
    signature: inspect.Signature = field(default_factory=inspect.Signature)

    @property
    def meaning(self) -> str:
        """One line."""
        return self.doc or lookup(self.op).doc

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the implementation, or refuse what it does not take."""
        try:
            self.signature.bind(*args, **kwargs)
        except TypeError as error:
            dropped = [k for k in kwargs if k not in self.signature.parameters]
            if not dropped:
                raise TypeError(f"{self.name}: {error}") from None
            if any(_is_default(self.targets, k, kwargs[k]) for k in dropped):
                rest = {k: v for k, v in kwargs.items() if k not in dropped[:1]}
                return self(*args, **rest)
            refuse(
                f"{self.name} does not take {dropped[0]}= in a traced function",
                "Leave it out, or write what it does in separate steps.",
            )
        return self.impl(*args, **kwargs)


def _is_default(targets: tuple[Any, ...], name: str, value: Any) -> bool:
    """Whether a parameter is given what it would be anyway."""
    if value is None or repr(value) == "<no value>" or (name, value) == ("order", "C"):
        return True
    return name in ("where", "subok", "copy", "optimize") and value is True


FUNCTIONS: dict[Any, Function] = {}
_RECORDS: list[Function] = []
_LATER: dict[str, str] = {}


def function(
    *targets: Any,
    name: str = "",
    method: str = "",
    doc: str = "",
    op: str = "",
    samples: Sequence[Sample] = (),
    makes: bool = False,
    is_property: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the implementation of some functions, and of an array method."""

    def decorate(impl: Callable[..., Any]) -> Callable[..., Any]:
        title = name or (spelled(targets[0]) if targets else f"ndarray.{method}")
        record = Function(
            title,
            tuple(targets),
            impl,
            doc or (impl.__doc__ or "").strip().split("\n")[0],
            op,
            tuple(samples),
            makes,
            method,
            inspect.signature(impl),
        )
        _RECORDS.append(record)
        for target in targets:
            FUNCTIONS[target] = record
        if method:
            METHODS[method] = _Property(impl) if is_property else record
        return impl

    return decorate


class _Property:
    """An attribute: `Sym.__getattr__` calls it at once."""

    is_property = True

    def __init__(self, impl: Callable[[Any], Any]) -> None:
        self.impl = impl

    def __call__(self, x: Any) -> Any:
        return self.impl(x)


def later(library: str, module: str) -> None:
    """Register the functions of a library that is slow to import when it is there.

    A program that calls them has imported it.

    Args:
        library: The name of the library's module.
        module: The module of `gradjit.ops` that registers its functions.
    """
    _LATER[library] = module


def _catch_up(libraries: Container[str]) -> None:
    for library, module in list(_LATER.items()):
        if library in libraries:
            # Import first: what is not in the table any more has been registered.
            importlib.import_module(module)
            _LATER.pop(library, None)


def lookup_function(target: Any) -> Function | None:
    """What stands for a callable, or None."""
    if _LATER:
        _catch_up(sys.modules)
    try:
        return FUNCTIONS.get(target)
    except TypeError:
        return None


def surface_functions() -> tuple[Function, ...]:
    """All records, in the order in which they were registered."""
    _catch_up(tuple(_LATER))
    return tuple(_RECORDS)


def spelled(target: Any) -> str:
    """The name of a function as users write it."""
    module = getattr(target, "__module__", None) or "numpy"
    title = getattr(target, "__name__", str(target))
    if isinstance(target, np.ufunc):
        module = "scipy.special" if not hasattr(np, title) else "numpy"
    module = {"builtins": "", "numpy": "np", "numpy.linalg": "np.linalg"}.get(
        module, "scipy.special" if "scipy" in module else module
    )
    return f"{module}.{title}" if module else title


def call(*args: Any, **kwargs: Any) -> Sample:
    """A sample call."""
    return args, kwargs


# ------------------------------------------------------------------------ refusals


def refuse(what: str, hint: str = "") -> NoReturn:
    """Raise UnsupportedError at the user's line."""
    raise UnsupportedError(what, current().loc, hint)


def misfit(what: str, hint: str = "") -> NoReturn:
    """Raise ShapeError at the user's line."""
    raise ShapeError(what, current().loc, hint)


# ------------------------------------------------------------------------ operands


def symbol(x: Any) -> Any:
    """A symbol of any operand: a number, an array, a nested list."""
    if isinstance(x, Sym):
        return x
    atom = lift(x)
    return current().wrap(atom) if dims(atom.type) else Sym(atom)


def array_of(x: Any, what: str) -> Any:
    """A symbol of at least one axis."""
    x = symbol(x)
    if not x.ndim:
        misfit(f"{what} needs an array, not a scalar")
    return x


def listed(x: Any) -> list[Any] | None:
    """The items of a list or a tuple; None for anything else."""
    return list(x) if isinstance(x, tuple | list) else None  # pyright: ignore


def as_list(x: Any) -> list[Any]:
    """The items of a list or a tuple, or the one thing."""
    items = listed(x)
    return [x] if items is None else items


def static(x: Any) -> int:
    """A Python int; a traced one is pinned."""
    return x.__index__()


def fresh(x: Any) -> Any:
    """A copy: a new array with the same elements."""
    return current().wrap(symbol(x).atom)


def dtype_from(dtype: Any) -> DType:
    """A NumPy dtype that programs can use."""
    found = np.dtype(dtype)
    if found not in DTYPES:
        raise DtypeError(
            f"arrays of {found} cannot be traced",
            current().loc,
            "Use bool, an integer type, float32 or float64.",
        )
    return found


def cast(x: Any, dtype: DType, weak: bool = False) -> Any:
    """x at another dtype."""
    type_ = lift(x).type
    if type_ == ScalarType(dtype, weak) or (
        isinstance(type_, ArrayType) and type_.dtype == dtype
    ):
        return symbol(x)
    return elementwise("cast", x, dtype=dtype, weak=weak)


def truth(x: Any) -> Any:
    """x as bools: whether elements are not zero."""
    return symbol(x) if symbol(x).dtype.kind == "b" else elementwise("ne", x, 0)


def stop(x: Any) -> Any:
    """x without a derivative."""
    return apply("stop_gradient", x)


# ---------------------------------------------------------------------------- axes


def one_axis(axis: Any, ndim: int) -> int:
    """A normalised axis."""
    k = static(axis)
    if not -ndim <= k < ndim:
        misfit(f"axis {k} is out of bounds for an array of {ndim} axes")
    return k % ndim


def some_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Normalised axes in order; None means all."""
    if axis is None:
        return tuple(range(ndim))
    found = tuple(sorted(one_axis(k, ndim) for k in as_list(axis)))
    if len(set(found)) != len(found):
        misfit(f"an axis is given twice: {axis}")
    return found


# -------------------------------------------------------------------------- extents


def known(extent: Any) -> int | None:
    """The value of an extent, if the program fixes it."""
    if isinstance(extent, Sym):
        atom = extent.atom
        return int(atom.value) if isinstance(atom, Const) else None
    return int(extent)


def known_dims(extents: Sequence[Any]) -> tuple[int | None, ...]:
    """Extents as the dims of a type."""
    return tuple(known(e) for e in extents)


def shape_from(shape: Any) -> tuple[Any, ...]:
    """Extents from a `shape` argument: an int or a sequence of ints."""
    if isinstance(shape, np.ndarray):
        shape = tuple(shape.tolist())
    if isinstance(shape, Sym) and shape.ndim:
        refuse(
            "a shape is given as a traced array",
            "Give it as a tuple of integers: (n, m).",
        )
    return tuple(as_extent(e) for e in as_list(shape))


def as_extent(x: Any) -> Any:
    """An int or an integer symbol."""
    if isinstance(x, Sym):
        atom = integer(x)
        return int(atom.value) if isinstance(atom, Const) else x
    n = static(x)
    if n < 0:
        misfit(f"negative extents are not allowed, got {n}")
    return n


def product(extents: Sequence[Any]) -> Any:
    """The product of extents: an int where all are known."""
    out: Any = 1
    for extent in extents:
        out = extent if isinstance(out, int) and out == 1 else out * extent
    return out


def smaller(a: Any, b: Any) -> Any:
    """The smaller of two integers."""
    if isinstance(a, int) and isinstance(b, int):
        return min(a, b)
    return elementwise("minimum", a, b)


def larger(a: Any, b: Any) -> Any:
    """The larger of two integers."""
    if isinstance(a, int) and isinstance(b, int):
        return max(a, b)
    return elementwise("maximum", a, b)


def require(condition: Any, message: str, kind: str = "shape") -> None:
    """A check at run time, or now if it is known."""
    if isinstance(condition, Sym):
        apply_check(condition, message, kind)
    elif not condition:
        misfit(message)


def apply_check(condition: Any, message: str, kind: str) -> None:
    """Emit a check."""
    builder = current()
    if builder.checks:
        builder.emit("check", condition.atom, kind=kind, message=message)


# ---------------------------------------------------------------------------- views


def view_index(x: Any, spec: str, *index: Any) -> Any:
    """x subscripted by normalised items, as a view."""
    atoms = [lift(k) for k in index]
    shape = index_dims(x, spec, [Sym(a) for a in atoms])
    if set(spec) <= {":"}:
        return x
    return current().view(x, "index", atoms, spec=spec, dims=shape, checked=False)


def view_reshape(x: Any, extents: Sequence[Any]) -> Any:
    """x with other extents of the same product, as a view."""
    atoms = [lift(e) for e in extents]
    return current().view(x, "reshape", atoms, dims=known_dims(extents))


def view_transpose(x: Any, perm: tuple[int, ...]) -> Any:
    """x with its axes in another order, as a view."""
    if perm == tuple(range(len(perm))):
        return x
    return current().view(x, "transpose", (), perm=perm)


# -------------------------------------------------------------------- sample values

MATRIX = np.array([[0.9, -1.3, 0.4], [1.7, 0.25, -0.6]])
SQUARE = np.array([[2.0, 0.3, -0.5], [0.1, 1.5, 0.7], [-0.2, 0.4, 1.2]])
CUBE = np.array([[[0.5, -1.5], [2.0, 0.75]], [[1.1, 0.2], [-0.3, 0.9]]])
VECTOR = np.array([0.7, -1.2, 2.1, 0.35])
TRIPLE = np.array([0.6, -0.8, 1.9])
PLUS = np.array([0.4, 1.3, 2.2])
