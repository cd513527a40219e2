"""Checking derivatives against finite differences.

Central differences of fourth order (five points); reverse mode is compared with
them element by element, forward mode and second order along random directions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from gradjit.api import hvp, jvp, value_and_grad
from gradjit.ir.tree import flatten, is_number

Array = np.ndarray[Any, Any]


def _is_float(x: Any) -> bool:
    return type(x) is float or (is_number(x) and np.asarray(x).dtype.kind == "f")


def check_grads(
    f: Callable[..., Any],
    args: tuple[Any, ...],
    order: int = 1,
    *,
    rtol: float = 1e-6,
    atol: float = 1e-6,
    step: float = 1e-3,
) -> None:
    """Compare derivatives of a scalar function with finite differences.

    All floats in `args` are differentiated by, in reverse mode and in forward mode.

    Args:
        f: The function, with a float scalar result.
        args: A tuple of its arguments; keep away from kinks.
        order: 1 for gradients, 2 for second derivatives as well.
        rtol: Relative tolerance, to the largest entry of a gradient.
        atol: Absolute tolerance.
        step: Step of the differences, relative to the size of the entry.

    Raises:
        AssertionError: Derivatives disagree. The message names the argument and the
            elements.
        ValueError: `order` is neither 1 nor 2, or there is no float in `args`.

    Example:
        >>> check_grads(lambda x, y: x * np.sin(y), (2.0, 3.0), order=2)
    """
    if order not in (1, 2):
        raise ValueError(f"order is 1 or 2, not {order}")
    wrt = tuple(k for k, a in enumerate(args) if _has_floats(a))
    if not wrt:
        raise ValueError("check_grads: there is no float in args")
    check = _Check(f, args, wrt, rtol, atol, step)
    problems = check.reverse() or check.forward()
    if order == 2 and not problems:
        problems = check.second()
    if problems:
        raise AssertionError("\n".join([f"derivatives of {check.name}:", *problems]))


def _has_floats(arg: Any) -> bool:
    leaves, _ = flatten(arg)
    return bool(leaves) and all(map(_is_float, leaves))


class _Check:
    """A function, a point, and what is compared there."""

    def __init__(
        self,
        f: Callable[..., Any],
        args: tuple[Any, ...],
        wrt: tuple[int, ...],
        rtol: float,
        atol: float,
        step: float,
    ) -> None:
        self.f = f
        self.args = args
        self.wrt = wrt
        self.rtol, self.atol, self.step = rtol, atol, step
        self.name = getattr(f, "__name__", "the function")
        leaves, self.tree = flatten(tuple(args[k] for k in wrt))
        self.leaves = [np.asarray(leaf) for leaf in leaves]
        paths = self.tree.paths()
        self.paths = [_argument(path, wrt) for path in paths]

    def at(self, leaves: list[Array]) -> tuple[Any, ...]:
        """The arguments with other leaves, each in its own kind."""
        like, _ = flatten(tuple(self.args[k] for k in self.wrt))
        fitted = [_like(x, old) for x, old in zip(leaves, like, strict=True)]
        inside = self.tree.unflatten(fitted)
        args = list(_copied(self.args))
        for k, value in zip(self.wrt, inside, strict=True):
            args[k] = value
        return tuple(args)

    def value(self, leaves: list[Array]) -> float:
        return float(self.f(*self.at(leaves)))

    def gradient(self, leaves: list[Array]) -> list[Array]:
        _, grads = value_and_grad(self.f, self.wrt)(*self.at(leaves))
        return [np.asarray(g) for g in flatten(grads)[0]]

    def reverse(self) -> list[str]:
        """What disagrees between reverse mode and differences, element by element."""
        problems: list[str] = []
        grads = self.gradient(self.leaves)
        for k, (path, grad) in enumerate(zip(self.paths, grads, strict=True)):
            numeric = self.differences(k)
            problems += self.compare(path, grad, numeric, "reverse mode")
        return problems

    def differences(self, k: int) -> Array:
        """Central differences of the value by each element of a leaf."""
        leaf = self.leaves[k]
        out = np.empty(leaf.shape)
        for at in np.ndindex(*leaf.shape):
            h = self.width(leaf) * max(1.0, abs(float(leaf[at])))

            def moved(t: float, at: Any = at) -> float:
                changed = leaf.astype(leaf.dtype, copy=True)
                changed[at] += t
                return self.value([*self.leaves[:k], changed, *self.leaves[k + 1 :]])

            out[at] = _central(moved, h)
        return out

    def width(self, leaf: Array) -> float:
        return self.step if leaf.dtype.itemsize == 8 else 10 * self.step

    def forward(self) -> list[str]:
        """What disagrees between forward and reverse mode along a direction."""
        direction = self.direction()
        inside = self.tree.unflatten(
            _like(v, old) for v, old in zip(direction, self.flat_args(), strict=True)
        )
        full = list(_copied(self.args))
        for k, v in zip(self.wrt, inside, strict=True):
            full[k] = v
        _, pushed = jvp(self.f, _copied(self.args), tuple(full))
        grads = self.gradient(self.leaves)
        expected = sum(
            float(np.sum(g * v)) for g, v in zip(grads, direction, strict=True)
        )
        return self.compare(
            "all arguments", np.asarray(pushed), np.asarray(expected), "forward mode"
        )

    def second(self) -> list[str]:
        """What disagrees between Hessian times vector and differences of gradients."""
        direction = self.direction()
        inside = self.tree.unflatten(
            _like(v, old) for v, old in zip(direction, self.flat_args(), strict=True)
        )
        product = hvp(self.f, self.wrt)(*_copied(self.args), inside)
        h = max(map(self.width, self.leaves))

        def moved(t: float) -> list[Array]:
            pairs = zip(self.leaves, direction, strict=True)
            return self.gradient([np.asarray(x + t * v) for x, v in pairs])

        ahead, behind = moved(h), moved(-h)
        far, back = moved(2 * h), moved(-2 * h)
        problems: list[str] = []
        for k, got in enumerate(flatten(product)[0]):
            numeric = (8 * (ahead[k] - behind[k]) - (far[k] - back[k])) / (12 * h)
            got = np.asarray(got)
            problems += self.compare(self.paths[k], got, numeric, "second order")
        return problems

    def flat_args(self) -> list[Any]:
        return flatten(tuple(self.args[k] for k in self.wrt))[0]

    def direction(self) -> list[Array]:
        rng = np.random.default_rng(0)
        return [np.asarray(rng.standard_normal(x.shape)) for x in self.leaves]

    def compare(self, path: str, got: Array, want: Array, what: str) -> list[str]:
        """A message for each of the worst elements that disagree."""
        if got.shape != want.shape:
            return [f"{what}: {path} has shape {got.shape}, not {want.shape}"]
        single = got.dtype.itemsize == 4
        scale = float(np.max(np.abs(want), initial=0.0))
        bound = (self.atol + self.rtol * scale) * (1e4 if single else 1.0)
        wrong = ~(np.abs(got - want) <= bound)
        order = sorted(
            (at for at in np.ndindex(*got.shape) if wrong[at]),
            key=lambda at: -abs(float(got[at] - want[at])),
        )
        return [
            f"  {what}: {path}{list(map(int, at)) if at else ''}"
            f" is {float(got[at]):.10g}, and finite differences give"
            f" {float(want[at]):.10g}"
            for at in order[:5]
        ]


def _argument(path: str, wrt: tuple[int, ...]) -> str:
    """`[1]['w']` of the tuple of chosen arguments as `argument 2['w']`."""
    first, rest = path.split("]", 1)
    return f"argument {wrt[int(first[1:])]}{rest}"


def _central(moved: Callable[[float], float], h: float) -> float:
    """The derivative by five points, exact to fourth order."""
    near = moved(h) - moved(-h)
    far = moved(2 * h) - moved(-2 * h)
    return (8 * near - far) / (12 * h)


def _like(value: Array, old: Any) -> Any:
    """A leaf in the kind of another one."""
    cls = cast("Any", type(old))
    return np.array(value, dtype=old.dtype) if cls is np.ndarray else cls(value)


def _copied(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arguments with arrays copied, for functions that write into them."""
    leaves, tree = flatten(args)
    return tree.unflatten(x.copy() if _is_array(x) else x for x in leaves)


def _is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray)
