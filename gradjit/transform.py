"""The transforms: what each is called, and how its arguments are laid out.

What a transform does to a traced function is in `derive` and `matrix`, which are
imported when the first function is compiled: programs that only name their gradients
start at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gradjit.errors import DtypeError

if TYPE_CHECKING:
    from gradjit.primal import Derived, Layout, Primal, Split


def _own(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Split:
    return args, kwargs, ()


@dataclass(frozen=True, slots=True)
class Plain:
    """The function itself, with or without its effects on arguments."""

    name: str = "jit"
    effects: bool = True
    layout: Layout = "own"

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Split:
        return _own(args, kwargs)

    def derive(self, primal: Primal) -> Derived:
        from gradjit.primal import Derived

        return Derived(primal.block, primal.outputs)


def has_effects(transform: Any) -> bool:
    """Whether what the function writes into arguments reaches the caller."""
    return isinstance(transform, Plain) and transform.effects


@dataclass(frozen=True, slots=True)
class Grad:
    """The gradient of a scalar function, with or without the value."""

    argnums: int | tuple[int, ...] = 0
    has_aux: bool = False
    value: bool = False
    layout: Layout = "own"

    @property
    def name(self) -> str:
        return "value_and_grad" if self.value else "grad"

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Split:
        return _own(args, kwargs)

    def derive(self, primal: Primal) -> Derived:
        from gradjit.derive import gradient

        return gradient(self, primal)


@dataclass(frozen=True, slots=True)
class Jacobian:
    """The derivative of every element of the result by every element of arguments."""

    argnums: int | tuple[int, ...] = 0
    name: str = "jacobian"
    layout: Layout = "own"

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Split:
        return _own(args, kwargs)

    def derive(self, primal: Primal) -> Derived:
        from gradjit.matrix import matrix

        return matrix(self, primal)


@dataclass(frozen=True, slots=True)
class Pullback:
    """Cotangents of the arguments from cotangents of the results.

    Called with the primals (a tuple) and the cotangent.
    """

    name: str = "vjp"
    layout: Layout = "pullback"

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Split:
        from gradjit.wanted import as_floats

        primals, cotangent = args
        return tuple(primals), kwargs, (as_floats(cotangent),)

    def derive(self, primal: Primal) -> Derived:
        from gradjit.derive import pulled_back

        return pulled_back(self, primal)


@dataclass(frozen=True, slots=True)
class Pushforward:
    """The value and the tangent of the result. Called with primals and tangents."""

    name: str = "jvp"
    layout: Layout = "packed"

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Split:
        from gradjit.wanted import as_floats

        primals, tangents = args
        if not all(isinstance(x, list | tuple) for x in args):
            raise DtypeError(
                "jvp takes the primals and the tangents as tuples",
                hint="Write jvp(f, (x,), (v,)).",
            )
        return tuple(primals), kwargs, tuple(as_floats(t) for t in tangents)

    def derive(self, primal: Primal) -> Derived:
        from gradjit.derive import pushed_forward

        return pushed_forward(primal)


@dataclass(frozen=True, slots=True)
class HessianVector:
    """Hessian times a vector: the pushforward of the gradient."""

    argnums: int | tuple[int, ...] = 0
    name: str = "hvp"
    layout: Layout = "trailing"

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Split:
        from gradjit.wanted import as_floats

        if len(args) < 2:
            raise TypeError("hvp(f)(*args, v) takes f's arguments and a vector")
        *own, v = args
        return tuple(own), kwargs, (as_floats(v),)

    def derive(self, primal: Primal) -> Derived:
        from gradjit.derive import hessian_vector

        return hessian_vector(self, primal)
