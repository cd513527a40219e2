"""What users call.

Each transform takes a function and gives one; `grad`, `value_and_grad`, `hvp`,
`jacobian`, `hessian` and `jit` are decorators as well, bare or with options. `vjp` and
`jvp` are called with the arguments at once.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from gradjit.errors import GradjitError
from gradjit.ir.tree import tree_map
from gradjit.options import Options, make_options
from gradjit.transform import (
    Grad,
    HessianVector,
    Jacobian,
    Plain,
    Pullback,
    Pushforward,
)
from gradjit.transformed import Transformed, leaf_test

if TYPE_CHECKING:
    from gradjit.primal import Transform

Fn = Callable[..., Any]
Argnums = int | tuple[int, ...]
Static = str | tuple[str, ...] | Mapping[str, int | tuple[int, ...] | None]


def grad(
    f: Fn | None = None,
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    fastmath: bool = False,
    static: Static = (),
    parallel: bool = False,
    memory: int | str | None = None,
    target: str = "cpu",
) -> Any:
    """The gradient of a function with a scalar result.

    Args:
        f: The function. Its result is a float scalar (float64 or float32).
        argnums: Positions of the arguments to differentiate by: one gives one
            gradient, a tuple gives a tuple of them.
        has_aux: Whether `f` returns a pair, of which the second is only passed on.
        fastmath: Allow reordering of arithmetic, and take NaN and infinity as absent.
        static: Names of parameters that are compiled for their exact extents, or, as
            in `{"cameras": -1}`, with the axes for which that holds (None: all).
        parallel: Run `numba.prange` loops, and big loops over elements, on threads.
        memory: What may be saved for the way back, in bytes or as "256MB". Where a
            loop needs more, it is cut into segments that are run again.
        target: What it is compiled for: "cpu", or "cuda" for an NVIDIA GPU, where
            arrays on the device stay there (`docs/cuda.md`).

    Returns:
        A function with the parameters of `f`. A gradient comes in the container of
        its argument: a float for a float, for an array an array of its shape and
        dtype. With `has_aux`, a pair of the gradient and the second result.

        It also takes a keyword `out`, if `f` has no parameter of that name: an array
        like the argument, or a container of them, which the gradient is written into
        and which is returned. Its memory is apart from that of all arguments. If the
        call raises, what is in it is left open. Contiguous arrays are written into
        directly, and no others are made for the gradient, but for one that a matrix
        product, a branch or a sum along a row gives: that is copied.

    Raises:
        DtypeError: An argument to differentiate by, or an array in `out`, has another
            dtype than it should.
        GradjitError: `out` shares memory with an argument, or a gradient is a number.
        ShapeError: The result of `f` is not a scalar, or `out` has another shape.
        UnsupportedError: `f` uses something that is not traced.

    Example:
        >>> @grad
        ... def f(x):
        ...     return x**3
        >>> f(2.0)
        12.0
        >>> grad(lambda x, y: x * y, argnums=(0, 1))(2.0, 5.0)
        (5.0, 2.0)
        >>> import numpy as np
        >>> x, d_x = np.array([1.0, 2.0]), np.empty(2)
        >>> grad(lambda x: np.sum(x**2))(x, out=d_x) is d_x
        True
    """
    transform = Grad(_argnums(argnums), bool(has_aux), value=False)
    return _make(f, transform, make_options(fastmath, static, parallel, memory, target))


def value_and_grad(
    f: Fn | None = None,
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    fastmath: bool = False,
    static: Static = (),
    parallel: bool = False,
    memory: int | str | None = None,
    target: str = "cpu",
) -> Any:
    """The value and the gradient of a function with a scalar result.

    Args:
        f: The function. Its result is a float scalar (float64 or float32).
        argnums: Positions of the arguments to differentiate by.
        has_aux: Whether `f` returns a pair, of which the second is only passed on.
        fastmath: Allow reordering of arithmetic, and take NaN and infinity as absent.
        static: Names of parameters that are compiled for their exact extents, or, as
            in `{"cameras": -1}`, with the axes for which that holds (None: all).
        parallel: Run `numba.prange` loops, and big loops over elements, on threads.
        memory: What may be saved for the way back, in bytes or as "256MB". Where a
            loop needs more, it is cut into segments that are run again.
        target: What it is compiled for: "cpu", or "cuda" for an NVIDIA GPU, where
            arrays on the device stay there (`docs/cuda.md`).

    Returns:
        A function that gives a pair (value, gradient); with `has_aux`,
        ((value, aux), gradient). It takes `out` for the gradient, as `grad` does.

    Raises:
        DtypeError: An argument to differentiate by is no float.
        ShapeError: The result of `f` is not a scalar.
        UnsupportedError: `f` uses something that is not traced.

    Example:
        >>> value_and_grad(lambda x: x * x)(3.0)
        (9.0, 6.0)
    """
    transform = Grad(_argnums(argnums), bool(has_aux), value=True)
    return _make(f, transform, make_options(fastmath, static, parallel, memory, target))


def jit(
    f: Fn | None = None,
    *,
    fastmath: bool = False,
    static: Static = (),
    parallel: bool = False,
    target: str = "cpu",
) -> Any:
    """The function itself, compiled.

    NumPy's effects are kept: an array that `f` writes into is changed for the caller.

    Args:
        f: The function.
        fastmath: Allow reordering of arithmetic, and take NaN and infinity as absent.
        static: Names of parameters that are compiled for their exact extents, or, as
            in `{"cameras": -1}`, with the axes for which that holds (None: all).
        parallel: Run `numba.prange` loops, and big loops over elements, on threads.
        target: What it is compiled for: "cpu", or "cuda" for an NVIDIA GPU, where
            arrays on the device stay there (`docs/cuda.md`).

    Returns:
        A function with the parameters and the results of `f`.

    Raises:
        UnsupportedError: `f` uses something that is not traced.

    Example:
        >>> jit(lambda x: 2 * x + 1)(3.0)
        7.0
    """
    return _make(f, Plain(), make_options(fastmath, static, parallel, target=target))


def hvp(
    f: Fn | None = None,
    argnums: Argnums = 0,
    *,
    fastmath: bool = False,
    static: Static = (),
    parallel: bool = False,
    target: str = "cpu",
) -> Any:
    """The Hessian of a scalar function times a vector, without the Hessian.

    Args:
        f: The function. Its result is a float scalar.
        argnums: Positions of the arguments to differentiate by, twice.
        fastmath: Allow reordering of arithmetic, and take NaN and infinity as absent.
        static: Names of parameters that are compiled for their exact extents, or, as
            in `{"cameras": -1}`, with the axes for which that holds (None: all).
        parallel: Run `numba.prange` loops, and big loops over elements, on threads.
        target: What it is compiled for: "cpu", or "cuda" for an NVIDIA GPU, where
            arrays on the device stay there (`docs/cuda.md`).

    Returns:
        A function of the arguments of `f` and, last, a vector in the container of the
        argument (of a tuple of arguments: a tuple). It gives what a gradient would.

    Raises:
        DtypeError: An argument to differentiate by is no float.
        ShapeError: The result of `f` is not a scalar, or the vector does not fit.

    Example:
        >>> hvp(lambda x: x**3)(2.0, 1.0)
        12.0
    """
    options = make_options(fastmath, static, parallel, target=target)
    numbers = _argnums(argnums)
    if f is None:
        return partial(
            hvp, argnums=numbers, fastmath=fastmath, static=static, parallel=parallel
        )
    inner = Transformed(f, Grad(numbers), options)
    return Transformed(inner, HessianVector(numbers), options)


def jacobian(
    f: Fn | None = None,
    argnums: Argnums = 0,
    *,
    fastmath: bool = False,
    static: Static = (),
    parallel: bool = False,
    target: str = "cpu",
) -> Any:
    """The derivatives of all elements of the result by all elements of arguments.

    Args:
        f: The function. Its results are floats, arrays or scalars.
        argnums: Positions of the arguments to differentiate by.
        fastmath: Allow reordering of arithmetic, and take NaN and infinity as absent.
        static: Names of parameters that are compiled for their exact extents, or, as
            in `{"cameras": -1}`, with the axes for which that holds (None: all).
        parallel: Run `numba.prange` loops, and big loops over elements, on threads.
        target: What it is compiled for: "cpu", or "cuda" for an NVIDIA GPU, where
            arrays on the device stay there (`docs/cuda.md`).

    Returns:
        A function that gives an array of shape `out.shape + in.shape`, in the
        container of the result and, inside, that of the argument.

    Raises:
        DtypeError: An argument to differentiate by, or a result, is no float.

    Example:
        >>> import numpy as np
        >>> jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
        array([[2., 0.],
               [0., 4.]])
    """
    transform = Jacobian(_argnums(argnums))
    return _make(f, transform, make_options(fastmath, static, parallel, target=target))


def hessian(
    f: Fn | None = None,
    argnums: Argnums = 0,
    *,
    fastmath: bool = False,
    static: Static = (),
    parallel: bool = False,
    target: str = "cpu",
) -> Any:
    """The second derivatives of a scalar function.

    Args:
        f: The function. Its result is a float scalar.
        argnums: Positions of the arguments to differentiate by, twice.
        fastmath: Allow reordering of arithmetic, and take NaN and infinity as absent.
        static: Names of parameters that are compiled for their exact extents, or, as
            in `{"cameras": -1}`, with the axes for which that holds (None: all).
        parallel: Run `numba.prange` loops, and big loops over elements, on threads.
        target: What it is compiled for: "cpu", or "cuda" for an NVIDIA GPU, where
            arrays on the device stay there (`docs/cuda.md`).

    Returns:
        A function that gives an array of shape `in.shape + in.shape`; for several
        arguments, nested tuples of them.

    Raises:
        DtypeError: An argument to differentiate by is no float.
        ShapeError: The result of `f` is not a scalar.

    Example:
        >>> import numpy as np
        >>> hessian(lambda x: np.sum(x**3))(np.array([1.0, 2.0]))
        array([[ 6.,  0.],
               [ 0., 12.]])
    """
    options = make_options(fastmath, static, parallel, target=target)
    numbers = _argnums(argnums)
    if f is None:
        return partial(
            hessian,
            argnums=numbers,
            fastmath=fastmath,
            static=static,
            parallel=parallel,
        )
    inner = Transformed(f, Grad(numbers), options)
    return Transformed(inner, Jacobian(numbers, "hessian"), options)


def vjp(
    f: Fn, *primals: Any, target: str = "cpu"
) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """The result of a function, and the map from its cotangent to the arguments'.

    Args:
        f: The function; any containers of floats, arrays and scalars.
        primals: The arguments.
        target: As of `grad`.

    Returns:
        A pair (out, pullback). `pullback(cotangent)` takes a cotangent in the container
        of the result and gives a tuple with a cotangent for each of `primals`, in its
        container, with None for leaves that are no floats.

    Raises:
        UnsupportedError: `f` uses something that is not traced.
        ShapeError: (from the pullback) The cotangent does not fit the result.

    Example:
        >>> import numpy as np
        >>> out, pullback = vjp(lambda x: x * x, np.array([1.0, 3.0]))
        >>> pullback(np.array([1.0, 10.0]))
        (array([ 2., 60.]),)
    """
    out = _cached(f, Plain("value", effects=False), target)(*primals)
    pull = _cached(f, Pullback(), target)
    # The pullback is that of these values, whatever becomes of the caller's arrays.
    primals = tree_map(_copied, primals, leaf_test(target))

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        return pull(primals, cotangent)

    return out, pullback


def jvp(
    f: Fn, primals: tuple[Any, ...], tangents: tuple[Any, ...], *, target: str = "cpu"
) -> tuple[Any, Any]:
    """The result of a function and its directional derivative.

    Args:
        f: The function; any containers of floats, arrays and scalars.
        primals: The arguments.
        tangents: The direction, in the containers of the arguments.
        target: As of `grad`.

    Returns:
        A pair (out, tangent), both in the container of the result; None for results
        that are no floats.

    Raises:
        UnsupportedError: `f` uses something that is not traced.
        ShapeError: A tangent does not fit its primal.

    Example:
        >>> jvp(lambda x, y: x * y, (2.0, 5.0), (1.0, 0.0))
        (10.0, 5.0)
    """
    return _cached(f, Pushforward(), target)(primals, tangents)


def _copied(x: Any) -> Any:
    if isinstance(x, np.ndarray):
        return cast(Any, x).copy()
    if isinstance(x, float | int | np.generic):
        return cast("Any", x)
    from gradjit.cuda.array import copied

    return copied(x)


def _make(f: Fn | None, transform: Transform, options: Options) -> Any:
    """The transformed function, or a decorator that makes it."""
    if f is None:
        return partial(_make, transform=transform, options=options)
    return Transformed(f, transform, options)


def _argnums(argnums: Any) -> Argnums:
    """One position, or a tuple of different ones."""
    if isinstance(argnums, list | tuple):
        numbers = tuple(map(_position, cast("Sequence[Any]", argnums)))
        if not numbers or len(set(numbers)) != len(numbers):
            raise GradjitError(f"argnums has to name arguments once each: {argnums}")
        return numbers
    return _position(argnums)


def _position(number: Any) -> int:
    if isinstance(number, bool) or not hasattr(number, "__index__"):
        raise GradjitError(
            f"argnums is a position or a tuple of positions, not {number!r}"
        )
    return operator.index(number)


def _cached(f: Fn, transform: Transform, target: str) -> Transformed:
    """The same transformed function for the same function, to compile it once."""
    try:
        return _remembered(f, transform, target)
    except TypeError:
        return Transformed(f, transform, make_options(False, (), target=target))


@lru_cache(maxsize=512)
def _remembered(f: Fn, transform: Transform, target: str) -> Transformed:
    return Transformed(f, transform, make_options(False, (), target=target))
