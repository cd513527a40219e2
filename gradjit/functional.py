"""Loops and branches as functions, with the names and the meanings of `jax.lax`.

Traced, they become the regions that `for`, `while` and `if` become; outside of a trace
they are what their docstrings say, on plain Python and NumPy values.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradjit.errors import GradjitError, ShapeError
from gradjit.ir.tree import Tree, flatten
from gradjit.options import Options
from gradjit.trace import functional as traced
from gradjit.trace.functional import is_leaf, rank_of, require_alike
from gradjit.trace.trace import is_tracing
from gradjit.transform import Plain
from gradjit.transformed import Transformed

Fn = Callable[..., Any]


def fori_loop(lower: Any, upper: Any, body_fun: Fn, init_val: Any) -> Any:
    """A counted loop: `for i in range(lower, upper): val = body_fun(i, val)`.

    Args:
        lower: The first index, an integer.
        upper: The index after the last one, an integer.
        body_fun: Takes an index and the carry, and gives the next carry.
        init_val: The first carry: a number, an array of any shape, or a nesting of
            tuples, lists and dicts of them.

    Returns:
        The last carry, in the structure of `init_val`.

    Raises:
        ShapeError: `body_fun` returns another structure than that of `init_val`.

    Example:
        >>> import gradjit
        >>> gradjit.fori_loop(0, 3, lambda i, x: 2.0 * x + i, 1.0)
        12.0
        >>> gradjit.grad(lambda x: fori_loop(0, 3, lambda i, c: c * x, 1.0))(2.0)
        12.0
    """
    if is_tracing():
        return traced.fori_loop(lower, upper, body_fun, init_val)
    carry = _Carry("fori_loop", init_val)
    for i in traced.counted(lower, upper):
        carry.step(body_fun(i, carry.value))
    return carry.value


def while_loop(cond_fun: Fn, body_fun: Fn, init_val: Any) -> Any:
    """A loop on a condition: `while cond_fun(val): val = body_fun(val)`.

    It has a gradient in reverse mode too.

    Args:
        cond_fun: Takes the carry, and says whether to go on.
        body_fun: Takes the carry, and gives the next one.
        init_val: The first carry: a number, an array of any shape, or a nesting of
            tuples, lists and dicts of them.

    Returns:
        The last carry, in the structure of `init_val`.

    Raises:
        ShapeError: `body_fun` returns another structure than that of `init_val`.

    Example:
        >>> import gradjit
        >>> def root(a):
        ...     return while_loop(
        ...         lambda x: abs(x * x - a) > 1e-9, lambda x: 0.5 * (x + a / x), a
        ...     )
        >>> round(root(4.0), 9), round(gradjit.grad(root)(4.0), 9)
        (2.0, 0.25)
    """
    if is_tracing():
        return traced.while_loop(cond_fun, body_fun, init_val)
    carry = _Carry("while_loop", init_val)
    while cond_fun(carry.value):
        carry.step(body_fun(carry.value))
    return carry.value


def scan(
    f: Fn, init: Any, xs: Any = None, length: Any = None, reverse: bool = False
) -> tuple[Any, Any]:
    """A loop over items that stacks results: `carry, y = f(carry, x)` for each x.

    Args:
        f: Takes the carry and an item, and gives a pair: the next carry, and a result
            (a nesting of numbers and arrays, of the same shapes each time; or None).
        init: The first carry: numbers and arrays of any shapes, in any nesting.
        xs: Arrays of shape (n, ...), in any nesting; an item has the same nesting of
            arrays of shape (...). None for items that are None.
        length: The number of steps; needed where xs is None.
        reverse: Whether to run from the last item to the first one.

    Returns:
        A pair: the last carry, and the results as arrays of shape (n, ...), each at
        the place of its item.

    Raises:
        ShapeError: The arrays in xs are not equally long, or `f` returns another
            structure than that of `init`, or results of different structures.
        UnsupportedError: The shape of a result differs from step to step.

    Example:
        >>> import numpy as np
        >>> scan(lambda total, x: (total + x, total), 0.0, np.array([1.0, 2.0, 3.0]))
        (np.float64(6.0), array([0., 1., 3.]))
    """
    if is_tracing():
        return traced.scan(f, init, xs, length, reverse)
    leaves, tree = flatten(xs, is_leaf)
    count = _count(leaves, tree, length)
    if count == 0:
        # The shapes of results that nobody computes are found by tracing.
        def steps(init: Any, xs: Any) -> tuple[Any, Any]:
            return traced.scan(f, init, xs, length, reverse)

        return Transformed(steps, Plain("scan", effects=False), Options())(init, xs)
    carry = _Carry("scan", init)
    rows: list[list[Any]] = []
    last: Tree | None = None
    for i in reversed(range(count)) if reverse else range(count):
        pair = f(carry.value, tree.unflatten(x[i] for x in leaves))
        if not isinstance(pair, tuple) or len(pair) != 2:  # type: ignore
            raise ShapeError("scan: the function has to return a pair (carry, y)")
        carry.step(pair[0])  # type: ignore
        row, shape = flatten(pair[1], is_leaf)
        last = last or shape
        require_alike("scan", last, shape, "the result", "the first step", None)
        rows.append([np.copy(y) for y in row])
    assert last is not None
    columns = zip(*(reversed(rows) if reverse else rows), strict=True)
    return carry.value, last.unflatten(np.stack(c) for c in columns)


def cond(pred: Any, true_fun: Fn, false_fun: Fn, *operands: Any) -> Any:
    """A branch: `true_fun(*operands) if pred else false_fun(*operands)`.

    Args:
        pred: A bool, or a number that is taken as one.
        true_fun: Called if `pred` holds.
        false_fun: Called if it does not.
        operands: Arguments of both: numbers and arrays of any shapes, in any nesting.

    Returns:
        What the function that was called returns.

    Raises:
        ShapeError: (while tracing) The two return different structures.

    Example:
        >>> import gradjit
        >>> def f(x):
        ...     return cond(x > 0.0, lambda x: x * x, lambda x: -x, x)
        >>> f(-2.0), gradjit.grad(f)(-2.0), gradjit.grad(f)(3.0)
        (2.0, -1.0, 6.0)
    """
    if is_tracing():
        return traced.cond(pred, true_fun, false_fun, operands)
    return true_fun(*operands) if pred else false_fun(*operands)


def switch(index: Any, branches: Sequence[Fn], *operands: Any) -> Any:
    """One of several functions: `branches[index](*operands)`.

    Args:
        index: An integer; what is too small or too large is the first or the last.
        branches: Functions, at least one.
        operands: Arguments of all: numbers and arrays of any shapes, in any nesting.

    Returns:
        What the function that was called returns.

    Raises:
        GradjitError: There are no branches.
        ShapeError: (while tracing) The branches return different structures.

    Example:
        >>> import math
        >>> switch(1, [math.sin, math.sqrt, math.exp], 4.0)
        2.0
    """
    if not branches:
        raise GradjitError("switch needs at least one branch")
    if is_tracing():
        return traced.switch(index, branches, operands)
    place = min(max(operator.index(index), 0), len(branches) - 1)
    return branches[place](*operands)


class _Carry:
    """The carry of a loop that Python runs."""

    def __init__(self, what: str, init: Any) -> None:
        self.what = what
        self.value = init
        leaves, self.tree = flatten(init, is_leaf)
        self.ranks = [rank_of(x) for x in leaves]

    def step(self, value: Any) -> None:
        """The carry that an iteration leaves."""
        leaves, tree = flatten(value, is_leaf)
        require_alike(self.what, self.tree, tree, "the carry", "init", None)
        if [rank_of(x) for x in leaves] != self.ranks:
            raise ShapeError(f"{self.what}: the carry changes its number of axes")
        self.value = value


def _count(leaves: Sequence[Any], tree: Tree, length: Any) -> int:
    """The number of steps of a scan."""
    counts = {} if length is None else {"length": operator.index(length)}
    for path, x in zip(tree.paths("xs"), leaves, strict=True):
        if not rank_of(x):
            raise ShapeError(f"scan: {path} is a number: it has no items")
        counts[f"len({path})"] = len(x)
    if not counts:
        raise ShapeError("scan needs xs with arrays in it, or a length")
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{k} = {v}" for k, v in counts.items())
        raise ShapeError(f"scan: the lengths differ: {found}")
    return next(iter(counts.values()))
