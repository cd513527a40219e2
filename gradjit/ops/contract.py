"""Products of two arrays summed over shared axes: a two-operand einsum.

    contract(x, y){a="ij", b="jk", out="ik"}        x @ y

Letters are unique within an operand. A letter of both operands and not of `out` is
summed; of both and of `out` it is a batch axis; of one operand only and not of `out`
it is summed over that operand alone. The derivative is a contraction again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradjit.ir.graph import Atom
from gradjit.ir.op import Op, Params, register
from gradjit.ir.types import BOOL, ArrayType, ScalarType, StackType, Type, dims, promote
from gradjit.ops.array import made, new_axes
from gradjit.ops.sym import apply, elementwise


def _contracted(types: Sequence[Type], params: Params) -> tuple[Type, ...]:
    known: dict[str, int | None] = {}
    plain: list[ScalarType | ArrayType] = []
    for letters, type_ in zip((params["a"], params["b"]), types, strict=True):
        assert not isinstance(type_, StackType)
        plain.append(type_)
        for letter, extent in zip(letters, dims(type_), strict=True):
            if known.get(letter) is None:
                known[letter] = extent
    shape = tuple(known[letter] for letter in params["out"])
    return (made(promote(*plain).dtype, shape),)


def _extents(
    args: Sequence[Atom], params: Params, extent: Callable[[Atom, int], Atom]
) -> list[Atom]:
    out: list[Atom] = []
    for letter in params["out"]:
        which = 0 if letter in params["a"] else 1
        letters = params["b"] if which else params["a"]
        out.append(extent(args[which], letters.index(letter)))
    return out


def _contract(x: Any, y: Any, a: str, b: str, out: str) -> Any:
    return np.einsum(f"{a},{b}->{out}", x, y)


def _vjp(g: Any, out: Any, args: Sequence[Any], params: Params) -> list[Any]:
    x, y = args
    a, b, c = params["a"], params["b"], params["out"]
    return [_adjoint(g, y, c, b, a, x), _adjoint(g, x, c, a, b, y)]


def _adjoint(g: Any, y: Any, c: str, b: str, a: str, x: Any) -> Any:
    """Cotangent with letters `a` of x, from g (letters `c`) and the other operand."""
    have = "".join(letter for letter in a if letter in c or letter in b)
    part = contract(g, y, c, b, have)
    if have == a:
        return part
    # Letters of x alone that were summed: the same cotangent all along them.
    gone = tuple(k for k, letter in enumerate(a) if letter not in have)
    column = new_axes(part, gone) if have else part
    return apply("broadcast", column, *x.shape, dims=dims(x.type))


def contract(x: Any, y: Any, a: str, b: str, out: str) -> Any:
    """Emit a contraction; a broadcast product where nothing is summed."""
    if set(a) | set(b) <= set(out):
        return _aligned(x, a, out) * _aligned(y, b, out)
    if a and b:
        return apply("contract", x, y, a=a, b=b, out=out)
    letters = a or b
    gone = tuple(k for k, letter in enumerate(letters) if letter not in out)
    total = total_of(x if a else y, gone)
    kept = "".join(letter for letter in letters if letter in out)
    return _aligned(total, kept, out) * (y if a else x)


def total_of(x: Any, axes: tuple[int, ...]) -> Any:
    """A sum at the dtype of its terms, as in a product: small integers wrap around."""
    if x.dtype == BOOL:
        return apply("reduce_or", x, axes=axes)
    total = apply("reduce_sum", x, axes=axes)
    if total.dtype == x.dtype:
        return total
    return elementwise("cast", total, dtype=x.dtype, weak=False)


def _aligned(x: Any, letters: str, out: str) -> Any:
    """x with its axes in the order of `out`, and extent 1 for other letters."""
    kept = [letter for letter in out if letter in letters]
    perm = tuple(letters.index(letter) for letter in kept)
    if perm != tuple(range(len(perm))):
        x = apply("transpose", x, perm=perm)
    if not letters:
        return x
    axes = tuple(k for k, letter in enumerate(out) if letter not in letters)
    return new_axes(x, axes)


def _jvp(tangents: Sequence[Any], out: Any, args: Sequence[Any], params: Params) -> Any:
    a, b, c = params["a"], params["b"], params["out"]
    (x, y), (dx, dy) = args, tangents
    left = None if dx is None else contract(dx, y, a, b, c)
    right = None if dy is None else contract(x, dy, a, b, c)
    if left is None or right is None:
        return right if left is None else left
    return left + right


_X = np.array([[3.0, -1.0, 2.5], [0.5, 4.0, -2.0]])
_Y = np.array([[1.0, -2.0], [0.5, 1.5], [2.0, 0.25]])
_V = np.array([0.5, -1.5, 2.0])
_B = np.arange(12.0).reshape(2, 3, 2) - 5.0

CONTRACT = register(
    Op(
        name="contract",
        kind="array",
        doc="Product of two arrays summed over shared axes (einsum of two operands).",
        infer=_contracted,
        evaluate=_contract,
        extents=_extents,
        vjp=_vjp,
        jvp=_jvp,
        samples=(
            ((_X, _Y), {"a": "ij", "b": "jk", "out": "ik"}),
            ((_X, _V), {"a": "ij", "b": "j", "out": "i"}),
            ((_V, _V), {"a": "i", "b": "i", "out": ""}),
            ((_V, _V), {"a": "i", "b": "j", "out": "ij"}),
            ((_X, _B), {"a": "bi", "b": "bij", "out": "bj"}),
            ((_X, _Y), {"a": "ij", "b": "kl", "out": "kj"}),
        ),
    )
)
