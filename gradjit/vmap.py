"""`vmap`: a function of items as a function of arrays of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any

from gradjit.errors import DtypeError, ShapeError
from gradjit.options import Options
from gradjit.transform import Plain
from gradjit.transformed import Transformed

Fn = Callable[..., Any]


def vmap(
    f: Fn | None = None,
    in_axes: Any = 0,
    out_axes: Any = 0,
    *,
    parallel: bool = False,
) -> Any:
    """A function of items as a function of arrays of items.

    Each item is a call of its own: items may take different branches, and make
    different numbers of iterations in loops. Called on arrays it is compiled; in a
    traced function it is a loop like any other, so `vmap(grad(f))`, and `grad` of a
    function that calls `vmap(f)`, need no further thought.

    Args:
        f: The function. Its results are numbers and arrays, of the same shapes for all
            items, in any nesting.
        in_axes: The axis of an argument that runs over the items: an int for all
            arguments, or a tuple with an int, None (every item gets all of it) or a
            container of those for each positional argument. Keyword arguments are
            mapped over axis 0.
        out_axes: Where that axis is in the results: an int, or a container like the
            result; None for what is the same for all items.
        parallel: Run the items on several threads, where it is called on arrays.

    Returns:
        A function with the parameters of `f`, each mapped one with one more axis, of
        extent n; its results have one of that extent.

    Raises:
        ShapeError: Mapped axes are not equally long, there is none, or `in_axes` or
            `out_axes` does not fit the arguments or the results.
        UnsupportedError: The shape of a result differs from item to item, or `f` writes
            into an argument that all items share.

    Example:
        >>> import math
        >>> import numpy as np
        >>> import gradjit
        >>> def collatz(n):
        ...     steps = 0
        ...     while n > 1:
        ...         n = n // 2 if n % 2 == 0 else 3 * n + 1
        ...         steps += 1
        ...     return steps
        >>> vmap(collatz)(np.array([1, 6, 7, 27]))
        array([  0,   8,  16, 111])
        >>> slope = gradjit.grad(lambda w, x: math.sin(w * x))
        >>> vmap(slope, in_axes=(None, 0))(0.0, np.array([1.0, 2.0]))
        array([1., 2.])
    """
    if f is None:
        return partial(vmap, in_axes=in_axes, out_axes=out_axes, parallel=parallel)
    if not callable(f):
        raise DtypeError(f"vmap takes a function, not {f!r}")
    from gradjit.trace.mapped import check_axes

    check_axes(in_axes, "in_axes")
    check_axes(out_axes, "out_axes")
    options = Options(parallel=bool(parallel))
    return Transformed(_Mapped(f, in_axes, out_axes), Plain("vmap"), options)


class _Default(Enum):
    """What a parameter that was not given holds: its default is not mapped."""

    DEFAULT = "..."


_DEFAULT = _Default.DEFAULT


class _Mapped:
    """The loop over the items, as a function that can be traced."""

    def __init__(self, f: Fn, in_axes: Any, out_axes: Any) -> None:
        self.__wrapped__ = f
        self.__name__ = getattr(f, "label", getattr(f, "__name__", type(f).__name__))
        self.__doc__ = getattr(f, "__doc__", None)
        self.axes = in_axes, out_axes
        self.__signature__ = _signature(f)

    def __reduce__(self) -> Any:
        return _Mapped, (self.__wrapped__, *self.axes)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__gradjit_inline__(*args, **kwargs)

    def __gradjit_inline__(self, *args: Any, **kwargs: Any) -> Any:
        from gradjit.trace.mapped import mapped

        given = [x for x in args if x is not _DEFAULT]
        missing = [x is _DEFAULT for x in args]
        if any(missing[: len(given)]):
            raise ShapeError(
                f"vmap of {self.__name__}: a parameter is left out before one that is "
                "given",
                hint="Give all of them.",
            )
        named = {k: v for k, v in kwargs.items() if v is not _DEFAULT}
        names = self._names(len(given))
        return mapped(self.__wrapped__, *self.axes, names, tuple(given), named)

    def _names(self, count: int) -> list[str]:
        """How the positional arguments are called."""
        kinds = inspect.Parameter
        named = (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)
        params = self.__signature__.parameters.values() if self.__signature__ else ()
        names = [p.name for p in params if p.kind in named]
        return [*names, *(f"args[{k}]" for k in range(len(names), count))][:count]


def _signature(f: Fn) -> inspect.Signature | None:
    """The signature of f, with defaults that can be told from arguments."""
    try:
        found = inspect.signature(f)
    except (TypeError, ValueError):
        return None
    empty = inspect.Parameter.empty
    params = [
        p if p.default is empty else p.replace(default=_DEFAULT)
        for p in found.parameters.values()
    ]
    return found.replace(parameters=params)
