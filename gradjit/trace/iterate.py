"""What loops can run over without being unrolled.

`range`, arrays, and `enumerate`, `zip` and `reversed` of those are traversals: a range
of an index, and the item at an index. Anything else is iterated by Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradjit.errors import DtypeError, UnsupportedError
from gradjit.ir.build import current
from gradjit.ops.subscript import maximum, minimum
from gradjit.ops.sym import Sym


@dataclass(frozen=True, slots=True)
class Traversal:
    """Items `item(i)` for i in range(start, stop, step).

    `parallel` says that the user takes the iterations for independent.
    """

    start: Any
    stop: Any
    step: Any
    item: Callable[[Any], Any]
    parallel: bool = False

    def count(self) -> Any:
        """Number of items."""
        span, step = self.stop - self.start, self.step
        if isinstance(step, Sym):
            raise UnsupportedError(
                "the number of items of a range with a traced step is not known",
                current().loc,
                "Loop over the range itself, or give the step as an int.",
            )
        if step == 1:
            return maximum(span, 0)
        if step > 0:
            return maximum((span + (step - 1)) // step, 0)
        return maximum((-span + (-step - 1)) // -step, 0)

    def at(self, k: Any) -> Any:
        """The k-th item."""
        if isinstance(self.start, int) and self.start == 0 and self.step == 1:
            return self.item(k)
        return self.item(self.start + k * self.step)

    def backwards(self) -> Traversal:
        """The same items from the end."""
        count = self.count()
        last = self.start + (count - 1) * self.step
        return Traversal(last, self.start - self.step, -self.step, self.item)


class Lazy:
    """An iterable that a loop can run over as a region; Python can iterate it too."""

    def __init__(self, traversal: Traversal) -> None:
        self.traversal = traversal

    def __iter__(self) -> Iterator[Any]:
        t = self.traversal
        return (t.item(i) for i in range(*map(_int, (t.start, t.stop, t.step))))

    def __len__(self) -> int:
        return _int(self.traversal.count())

    def __getitem__(self, k: Any) -> Any:
        return self.traversal.at(k)


def _int(x: Any) -> int:
    return x.__index__()


def traced_range(*args: Any, parallel: bool = False) -> Any:
    """range(...) of which a bound is traced, or prange(...)."""
    for arg in args:
        if isinstance(arg, Sym) and (arg.ndim or arg.dtype.kind not in "iu"):
            raise DtypeError(
                f"range takes integers, not a value of type {arg.type}", current().loc
            )
    start, stop, step = (0, args[0], 1) if len(args) == 1 else (*args, 1)[:3]
    return Lazy(Traversal(start, stop, step, lambda i: i, parallel))


def traversal(x: Any) -> Traversal | None:
    """How to run over x in a region, if that can be."""
    if isinstance(x, Lazy):
        return x.traversal
    if isinstance(x, range):
        return Traversal(x.start, x.stop, x.step, lambda i: i)
    if isinstance(x, np.ndarray) and x.ndim:
        x = current().outside(x)  # type: ignore[attr-defined]
    if isinstance(x, Sym):
        if not x.ndim:
            raise UnsupportedError("a number cannot be iterated over", current().loc)
        return Traversal(0, x.shape[0], 1, lambda i: x[i])
    return None


def is_lazy(x: Any) -> bool:
    """Whether a loop over x need not be unrolled."""
    return isinstance(x, Lazy | range | Sym | np.ndarray)


def traced_enumerate(x: Any, start: Any = 0) -> Any:
    """enumerate(x, start)."""
    inner = traversal(x) if is_lazy(x) else None
    if inner is None:
        return enumerate(x, start) if isinstance(start, int) else _counted(x, start)
    pair = Traversal(0, inner.count(), 1, lambda k: (start + k, inner.at(k)))
    return Lazy(pair)


def _counted(x: Any, start: Any) -> list[Any]:
    return [(start + k, item) for k, item in enumerate(x)]


def traced_zip(*xs: Any, strict: bool = False) -> Any:
    """zip(*xs)."""
    inner = [traversal(x) if is_lazy(x) else None for x in xs]
    if not xs or any(t is None for t in inner):
        return zip(*xs, strict=strict)
    parts = [t for t in inner if t is not None]
    count = parts[0].count()
    for part in parts[1:]:
        count = minimum(count, part.count())
    return Lazy(Traversal(0, count, 1, lambda k: tuple(p.at(k) for p in parts)))


def traced_reversed(x: Any) -> Any:
    """reversed(x)."""
    inner = traversal(x) if is_lazy(x) else None
    return reversed(x) if inner is None else Lazy(inner.backwards())
