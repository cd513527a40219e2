"""A define-by-run tape over NumPy: the baseline that gradjit is measured against.

Reverse mode the way autograd and micrograd do it. Each operation computes its value
at once and appends an entry to the tape; the backward pass reads the tape in reverse,
which is a topological order. Made to be as fast as Python allows:

- an elementwise entry holds its local derivatives as numbers and arrays, no closure;
- scalars stay Python floats and use `math`, arrays use NumPy, no array is copied;
- reading `x[i]` accumulates into one element of the gradient, not into a dense array;
- a gradient is accumulated in place once it has a buffer of its own, and the gradient
  of a sum is one number for all elements until an array is needed;
- a constant operand costs nothing on the way back, an entry is freed once it is done.

Values are never overwritten: there is no `a[i] = v`. Use `stack` and `concatenate`.

Reference: A. Griewank, A. Walther, Evaluating Derivatives (2008), chapter 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# (out, ((operand, local derivative or None for 1), ...), pull or None). The pull of an
# operation that is not elementwise takes the gradient of out and accumulates by itself.
_tape: list[tuple[Var, Sequence[tuple[Var, Any]], Callable[[Any], None] | None]] = []


class Var:
    """A number or an array that remembers how it came about."""

    __array_priority__ = 100.0
    __slots__ = ("grad", "owned", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.grad: Any = None  # an array or a float, None while zero
        self.owned = False  # whether grad is a buffer that nothing else refers to

    @property
    def shape(self) -> tuple[int, ...]:
        return getattr(self.value, "shape", ())

    @property
    def T(self) -> Var:
        return _linear(self, self.value.T, lambda g: g.T)

    def __len__(self) -> int:
        return len(self.value)

    def __repr__(self) -> str:
        return f"Var({self.value!r})"

    def __add__(self, other: Any) -> Var:
        if type(other) is Var:
            out = Var(self.value + other.value)
            _tape.append((out, ((self, None), (other, None)), None))
        else:
            out = Var(self.value + other)
            _tape.append((out, ((self, None),), None))
        return out

    __radd__ = __add__

    def __sub__(self, other: Any) -> Var:
        if type(other) is Var:
            out = Var(self.value - other.value)
            _tape.append((out, ((self, None), (other, -1.0)), None))
        else:
            out = Var(self.value - other)
            _tape.append((out, ((self, None),), None))
        return out

    def __rsub__(self, other: Any) -> Var:
        out = Var(other - self.value)
        _tape.append((out, ((self, -1.0),), None))
        return out

    def __mul__(self, other: Any) -> Var:
        if type(other) is Var:
            out = Var(self.value * other.value)
            _tape.append((out, ((self, other.value), (other, self.value)), None))
        else:
            out = Var(self.value * other)
            _tape.append((out, ((self, other),), None))
        return out

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Var:
        if type(other) is Var:
            out = Var(self.value / other.value)
            inv = 1.0 / other.value
            _tape.append((out, ((self, inv), (other, -out.value * inv)), None))
        else:
            out = Var(self.value / other)
            _tape.append((out, ((self, 1.0 / other),), None))
        return out

    def __rtruediv__(self, other: Any) -> Var:
        out = Var(other / self.value)
        _tape.append((out, ((self, -out.value / self.value),), None))
        return out

    def __neg__(self) -> Var:
        out = Var(-self.value)
        _tape.append((out, ((self, -1.0),), None))
        return out

    def __pow__(self, n: float) -> Var:
        x = self.value
        if n == 2:
            out = Var(x * x)
            _tape.append((out, ((self, 2.0 * x),), None))
        else:
            out = Var(x**n)
            _tape.append((out, ((self, n * x ** (n - 1)),), None))
        return out

    def __matmul__(self, other: Any) -> Var:
        return matmul(self, other)

    def __rmatmul__(self, other: Any) -> Var:
        return matmul(other, self)

    def __getitem__(self, key: Any) -> Var:
        value = self.value[key]
        out = Var(float(value) if type(value) is np.float64 else value)
        fancy = _is_fancy(key)

        def pull(g: Any) -> None:
            grad = _dense(self)
            if fancy:
                np.add.at(grad, key, g)
            else:
                grad[key] += g

        _tape.append((out, (), pull))
        return out

    def reshape(self, *shape: int) -> Var:
        old = self.value.shape
        return _linear(self, self.value.reshape(*shape), lambda g: g.reshape(old))

    def sum(self, axis: int | None = None, keepdims: bool = False) -> Var:
        return sum_(self, axis, keepdims)


def _is_fancy(key: Any) -> bool:
    """Whether a key may name an element twice: an index array does, a mask does not."""
    items = key if isinstance(key, tuple) else (key,)
    return any(isinstance(k, np.ndarray) and k.dtype != bool for k in items)


def _dense(x: Var) -> Any:
    """The gradient buffer of x, one that can be written into."""
    if x.grad is None:
        x.grad = np.zeros(x.value.shape)
    elif not x.owned:
        x.grad = np.array(np.broadcast_to(x.grad, x.value.shape))
    x.owned = True
    return x.grad


def _accumulate(x: Var, g: Any, fresh: bool) -> None:
    """Add g to the gradient of x; fresh says that nothing else refers to g.

    A float g of an array x stands for an array of equal elements.
    """
    value = x.value
    if type(value) is float:
        if type(g) is not float:
            g = float(np.sum(g))
        x.grad = g if x.grad is None else x.grad + g
        return
    if type(g) is not float and g.shape != value.shape:
        g, fresh = _unbroadcast(g, value.shape), True
    if x.grad is None:
        x.grad, x.owned = g, fresh and type(g) is not float
    elif x.owned:
        x.grad += g
    else:
        x.grad = x.grad + g
        x.owned = type(x.grad) is np.ndarray


def _unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum g over the axes that broadcasting added to, or stretched from, shape."""
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1)
    return g.sum(axis=stretched, keepdims=True) if stretched else g


def _full(g: Any, value: Any) -> Any:
    """A gradient that may be one number for all elements, as an array."""
    return np.full(value.shape, g) if type(g) is float else g


def _backward(out: Var, seed: float) -> None:
    """Read the tape in reverse, and empty it."""
    out.grad = seed
    while _tape:
        var, operands, pull = _tape.pop()
        g = var.grad
        if g is None:
            continue
        if pull is not None:
            pull(g if type(var.value) is float else _full(g, var.value))
        elif type(var.value) is float:
            for x, local in operands:
                c = g if local is None else g * local
                if type(x.value) is float:
                    x.grad = c if x.grad is None else x.grad + c
                else:
                    _accumulate(x, c, False)
        else:
            shape = var.value.shape
            for x, local in operands:
                if type(g) is float and not (
                    x.shape == shape and getattr(local, "shape", ()) in ((), shape)
                ):
                    g = _full(g, var.value)
                if local is None:
                    _accumulate(x, g, False)
                else:
                    _accumulate(x, g * local, True)
        var.grad = None


def _elementwise(x: Var, value: Any, local: Any) -> Var:
    out = Var(value)
    _tape.append((out, ((x, local),), None))
    return out


def _linear(x: Var, value: Any, transposed: Callable[[Any], Any]) -> Var:
    """An operation whose derivative is a linear map of the gradient, often a view."""
    out = Var(value)
    _tape.append((out, (), lambda g: _accumulate(x, transposed(g), False)))
    return out


def exp(x: Var) -> Var:
    v = math.exp(x.value) if type(x.value) is float else np.exp(x.value)
    return _elementwise(x, v, v)


def log(x: Var) -> Var:
    v = math.log(x.value) if type(x.value) is float else np.log(x.value)
    return _elementwise(x, v, 1.0 / x.value)


def log1p(x: Var) -> Var:
    v = math.log1p(x.value) if type(x.value) is float else np.log1p(x.value)
    return _elementwise(x, v, 1.0 / (1.0 + x.value))


def tanh(x: Var) -> Var:
    v = math.tanh(x.value) if type(x.value) is float else np.tanh(x.value)
    return _elementwise(x, v, 1.0 - v * v)


def sin(x: Var) -> Var:
    if type(x.value) is float:
        return _elementwise(x, math.sin(x.value), math.cos(x.value))
    return _elementwise(x, np.sin(x.value), np.cos(x.value))


def sqrt(x: Var) -> Var:
    v = math.sqrt(x.value) if type(x.value) is float else np.sqrt(x.value)
    return _elementwise(x, v, 0.5 / v)


def relu(x: Var) -> Var:
    positive = x.value > 0.0
    return _elementwise(x, x.value * positive, positive)


def sum_(x: Var, axis: int | None = None, keepdims: bool = False) -> Var:
    """Sum over one axis or all."""
    shape = x.value.shape
    if axis is None and not keepdims:
        out = Var(float(x.value.sum()))
        _tape.append((out, ((x, None),), None))
        return out

    def spread(g: Any) -> Any:
        g = g if keepdims or axis is None else np.expand_dims(g, axis)
        return np.broadcast_to(g, shape)

    value = x.value.sum(axis=axis, keepdims=keepdims)
    return _linear(x, np.asarray(value), spread)


def mean(x: Var) -> Var:
    return sum_(x) * (1.0 / x.value.size)


def matmul(a: Any, b: Any) -> Var:
    """Product of vectors and matrices; either operand may be a constant."""
    x = a.value if type(a) is Var else a
    y = b.value if type(b) is Var else b
    v = x @ y
    out = Var(float(v) if v.ndim == 0 else v)

    def pull(g: Any) -> None:
        if type(a) is Var:
            ga = np.multiply.outer(g, y) if y.ndim == 1 else g @ y.T
            _accumulate(a, ga, True)
        if type(b) is Var:
            gb = np.multiply.outer(x, g) if x.ndim == 1 else x.T @ g
            _accumulate(b, gb, True)

    _tape.append((out, (), pull))
    return out


def stack(xs: Sequence[Var]) -> Var:
    """Join along a new first axis."""
    out = Var(np.stack([x.value for x in xs]))

    def pull(g: Any) -> None:
        for x, part in zip(xs, g, strict=True):
            _accumulate(x, float(part) if part.ndim == 0 else part, False)

    _tape.append((out, (), pull))
    return out


def concatenate(xs: Sequence[Var]) -> Var:
    """Join along the first axis."""
    out = Var(np.concatenate([x.value for x in xs]))
    ends = np.cumsum([len(x) for x in xs])

    def pull(g: Any) -> None:
        for x, end in zip(xs, ends, strict=True):
            _accumulate(x, g[end - len(x) : end], False)

    _tape.append((out, (), pull))
    return out


def _watch(tree: Any) -> Any:
    """The same container, every float or float array in it a Var."""
    if isinstance(tree, list | tuple):
        return type(tree)(_watch(branch) for branch in tree)
    if isinstance(tree, dict):
        return {key: _watch(branch) for key, branch in tree.items()}
    return Var(tree)


def _gradient(tree: Any) -> Any:
    """The gradients of a watched container."""
    if isinstance(tree, list | tuple):
        return type(tree)(_gradient(branch) for branch in tree)
    if isinstance(tree, dict):
        return {key: _gradient(branch) for key, branch in tree.items()}
    if type(tree.value) is float:
        return 0.0 if tree.grad is None else tree.grad
    return _dense(tree)


def value_and_grad(
    f: Callable[..., Any], argnums: int | tuple[int, ...] = 0
) -> Callable[..., tuple[float, Any]]:
    """A function that gives f's value and its gradient.

    Args:
        f: Computes a scalar with the operations of this module.
        argnums: Positions to differentiate by: floats, float arrays, or lists, tuples
            and dicts of them.
    """
    positions = (argnums,) if isinstance(argnums, int) else argnums

    def call(*args: Any) -> tuple[float, Any]:
        _tape.clear()
        watched = list(args)
        for i in positions:
            watched[i] = _watch(args[i])
        out = f(*watched)
        _backward(out, 1.0)
        grads = tuple(_gradient(watched[i]) for i in positions)
        return float(out.value), grads[0] if isinstance(argnums, int) else grads

    return call
