"""Products of arrays: dot, matmul, einsum and their relatives, by contraction."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import prod
from string import ascii_letters, ascii_uppercase
from typing import Any

import numpy as np

from gradjit.ir.build import current
from gradjit.ir.types import dims, promote
from gradjit.ops.array import new_axes
from gradjit.ops.contract import contract, total_of
from gradjit.ops.numpy_diagonal import diagonal_of
from gradjit.ops.surface import (
    CUBE,
    MATRIX,
    PLUS,
    SQUARE,
    TRIPLE,
    array_of,
    as_list,
    call,
    cast,
    function,
    listed,
    misfit,
    one_axis,
    static,
    symbol,
    view_index,
    view_transpose,
)
from gradjit.ops.sym import lift, require_equal

# ---------------------------------------------------------------------- contraction


def product_of(x: Any, y: Any, a: str, b: str, out: str, what: str) -> Any:
    """Contract two arrays after a look at their dtypes and their extents."""
    dtype = promote(lift(x).type, lift(y).type).dtype  # type: ignore[arg-type]
    x, y = cast(x, dtype), cast(y, dtype)
    for letter in dict.fromkeys(a):
        if letter not in b:
            continue
        i, j = a.index(letter), b.index(letter)
        one, two = dims(x.type)[i] == 1, dims(y.type)[j] == 1
        if one and not two:
            x, a = _dropped(x, a, letter)
        elif two and not one:
            y, b = _dropped(y, b, letter)
        else:
            builder = current()
            left, right = builder.extent(x.atom, i), builder.extent(y.atom, j)
            require_equal(
                builder, left, right, f"extents of the operands of {what} differ"
            )
    return contract(x, y, a, b, out)


def _dropped(x: Any, letters: str, letter: str) -> tuple[Any, str]:
    """x without an axis of extent 1."""
    spec = "".join("i" if k == letter else ":" for k in letters)
    return view_index(x, spec, 0), letters.replace(letter, "")


def _core_extents(x: Any, y: Any, i: int, j: int, what: str) -> None:
    """Summed axes do not broadcast, unlike those of einsum."""
    m, n = dims(x.type)[i], dims(y.type)[j]
    if m is not None and n is not None and m != n:
        misfit(f"{what}: {x.type} and {y.type} do not fit: {m} against {n}")
    builder = current()
    left = builder.extent(x.atom, i % x.ndim)
    right = builder.extent(y.atom, j % y.ndim)
    require_equal(builder, left, right, f"extents of the operands of {what} differ")


@function(
    np.matmul,
    method="__matmul__",
    samples=(
        call(MATRIX, SQUARE),
        call(MATRIX, TRIPLE),
        call(TRIPLE, SQUARE),
        call(TRIPLE, PLUS),
        call(CUBE, CUBE),
        call(CUBE, np.array([[0.5, 1.0], [2.0, -1.0]])),
        call(CUBE, np.array([0.5, -1.0])),
    ),
)
def matmul(x1: Any, x2: Any) -> Any:
    """Matrix product; leading axes are batch axes."""
    x, y = symbol(x1), symbol(x2)
    if not x.ndim or not y.ndim:
        misfit("matmul needs arrays, not scalars", "Use * for a product with a number.")
    _core_extents(x, y, -1, 0 if y.ndim == 1 else -2, "@")
    width = max(x.ndim, y.ndim) - 2
    batch = ascii_uppercase[: max(width, 0)]
    a = batch[len(batch) - max(x.ndim - 2, 0) :] + ("ij" if x.ndim > 1 else "j")
    b = batch[len(batch) - max(y.ndim - 2, 0) :] + ("jk" if y.ndim > 1 else "j")
    out = batch + "i" * (x.ndim > 1) + "k" * (y.ndim > 1)
    return product_of(x, y, a, b, out, "@")


@function(
    np.dot,
    method="dot",
    samples=(
        call(MATRIX, SQUARE),
        call(TRIPLE, PLUS),
        call(MATRIX, TRIPLE),
        call(TRIPLE, 2.0),
        call(CUBE, CUBE),
    ),
)
def dot(a: Any, b: Any) -> Any:
    """Sum over the last axis of one and the last but one of the other."""
    x, y = symbol(a), symbol(b)
    if not x.ndim or not y.ndim:
        return _scaled(x, y)
    return tensordot(x, y, ([x.ndim - 1], [max(y.ndim - 2, 0)]))


def _scaled(x: Any, y: Any) -> Any:
    """A product with a number, which counts as an array: it is not weak."""
    return cast(x, x.dtype) * cast(y, y.dtype)


@function(np.vdot, samples=(call(TRIPLE, PLUS), call(MATRIX, MATRIX)))
def vdot(a: Any, b: Any) -> Any:
    """Sum of the products of all elements."""
    x, y = symbol(a), symbol(b)
    if x.ndim != y.ndim:
        misfit(f"np.vdot of arrays of {x.ndim} and {y.ndim} axes")
    letters = ascii_letters[: x.ndim]
    return product_of(x, y, letters, letters, "", "np.vdot")


@function(
    np.inner, samples=(call(TRIPLE, PLUS), call(MATRIX, SQUARE), call(TRIPLE, 2.0))
)
def inner(a: Any, b: Any) -> Any:
    """Sum over the last axes."""
    x, y = symbol(a), symbol(b)
    if not x.ndim or not y.ndim:
        return _scaled(x, y)
    return tensordot(x, y, ([x.ndim - 1], [y.ndim - 1]))


@function(np.outer, samples=(call(TRIPLE, PLUS), call(MATRIX, PLUS)))
def outer(a: Any, b: Any) -> Any:
    """All products of an element of one with an element of the other."""
    from gradjit.ops.numpy_shape import ravel

    return new_axes(ravel(a), (1,)) * new_axes(ravel(b), (0,))


@function(
    np.tensordot,
    samples=(
        call(CUBE, CUBE),
        call(MATRIX, SQUARE, 1),
        call(MATRIX, PLUS, 0),
        call(CUBE, CUBE, ([0, 1], [1, 0])),
    ),
)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Sum over pairs of axes."""
    x, y = symbol(a), symbol(b)
    both = listed(axes)
    if both is None:
        n = static(axes)
        first, second = list(range(x.ndim - n, x.ndim)), list(range(n))
    else:
        first, second = as_list(both[0]), as_list(both[1])
    pairs = {
        one_axis(j, y.ndim): one_axis(i, x.ndim)
        for i, j in zip(first, second, strict=True)
    }
    letters = ascii_letters[: x.ndim]
    rest = iter(ascii_letters[x.ndim :])
    other = "".join(
        letters[pairs[k]] if k in pairs else next(rest) for k in range(y.ndim)
    )
    for j, i in pairs.items():
        _core_extents(x, y, i, j, "np.tensordot")
    out = "".join(k for k in letters + other if not (k in letters and k in other))
    return product_of(x, y, letters, other, out, "np.tensordot")


# --------------------------------------------------------------------------- einsum

# What an extent counts that is not known.
_LARGE = 1000

_EINSUMS = (
    call("ij,jk->ik", MATRIX, SQUARE),
    call("ij,kj", MATRIX, SQUARE),
    call("ii", SQUARE),
    call("ii->i", SQUARE),
    call("ij->j", MATRIX),
    call("ij->ji", MATRIX),
    call("i,i->", TRIPLE, PLUS),
    call("i,ij,j->", PLUS, SQUARE, TRIPLE),
    call("ij,jk,k->i", MATRIX, SQUARE, TRIPLE),
    call("i,j,jk,ik,l->l", PLUS, TRIPLE, SQUARE, SQUARE, PLUS),
    call("bij,bjk->bik", CUBE, CUBE),
    call("...ij,...jk->...ik", CUBE, CUBE),
    call("i,j->ij", TRIPLE, PLUS),
    call("ij,ij->ij", SQUARE, SQUARE),
    call("ij,k->i", MATRIX, PLUS),
)


@function(np.einsum, samples=_EINSUMS)
def einsum(subscripts: Any, *operands: Any) -> Any:
    """Sum of products in Einstein's notation."""
    if not isinstance(subscripts, str):
        misfit("np.einsum needs its subscripts as a string: 'ij,jk->ik'")
    xs = [symbol(x) for x in operands]
    inputs, out = _subscripts(subscripts.replace(" ", ""), [x.ndim for x in xs])
    terms = [_diagonals(x, letters) for x, letters in zip(xs, inputs, strict=True)]
    while len(terms) > 1:
        first, second = _cheapest(terms, out)
        y, letters = terms.pop(second)
        x, have = terms.pop(first)
        needed = set(out).union(*(t[1] for t in terms))
        x, have = _summed(x, have, needed | set(letters))
        y, letters = _summed(y, letters, needed | set(have))
        kept = [k for k in dict.fromkeys(have + letters) if k in needed]
        result = "".join(sorted(kept, key=lambda k: out.find(k) if k in out else 99))
        x = product_of(x, y, have, letters, result, "np.einsum")
        terms.insert(first, (x, result))
    x, have = _summed(*terms[0], set(out))
    return view_transpose(x, tuple(have.index(k) for k in out)) if out else x


def _cheapest(terms: Sequence[tuple[Any, str]], out: str) -> tuple[int, int]:
    """The two operands to multiply first, as in the greedy path of `np.einsum_path`.

    The pair that leaves least behind, then the one with the fewest multiplications;
    what shares no letter comes last. Extents that are not known count as large.
    """
    sizes: dict[str, int] = {}
    for x, letters in terms:
        for letter, extent in zip(letters, dims(x.type), strict=True):
            sizes[letter] = min(extent or _LARGE, sizes.get(letter, _LARGE))

    def size(letters: set[str]) -> int:
        return prod(sizes[k] for k in letters)

    def rank(pair: tuple[int, int]) -> tuple[bool, int, int]:
        a, b = (set(terms[k][1]) for k in pair)
        others = (t[1] for k, t in enumerate(terms) if k not in pair)
        left = size((a | b) & set(out).union(*others))
        return not a & b, left - size(a) - size(b), size(a | b)

    return min(combinations(range(len(terms)), 2), key=rank)


def _subscripts(text: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """Letters of the operands and of the result, `...` replaced by letters."""
    left, arrow, out = text.partition("->")
    inputs = left.split(",")
    if len(inputs) != len(ranks):
        misfit(f"np.einsum: {len(inputs)} subscripts for {len(ranks)} operands")
    spare = [k for k in reversed(ascii_letters) if k not in text]
    widths = [
        r - len(s.replace("...", "")) if "..." in s else 0
        for s, r in zip(inputs, ranks, strict=True)
    ]
    batch = "".join(spare[: max(widths)])[::-1]
    if not arrow:
        plain = left.replace(",", "").replace("...", "")
        once = sorted(k for k in set(plain) if plain.count(k) == 1)
        out = ("..." if "..." in left else "") + "".join(once)
    full = [
        s.replace("...", batch[len(batch) - w :])
        for s, w in zip(inputs, widths, strict=True)
    ]
    for letters, r in zip(full, ranks, strict=True):
        if len(letters) != r:
            misfit(f"np.einsum: subscripts {letters!r} for an operand of {r} axes")
    return full, out.replace("...", batch)


def _diagonals(x: Any, letters: str) -> tuple[Any, str]:
    """The diagonal wherever an operand repeats a letter."""
    for letter in dict.fromkeys(letters):
        while letters.count(letter) > 1:
            i = letters.index(letter)
            j = letters.index(letter, i + 1)
            x = diagonal_of(x, 0, i, j)
            letters = letters[:i] + letters[i + 1 : j] + letters[j + 1 :] + letter
    return x, letters


def _summed(x: Any, letters: str, keep: set[str]) -> tuple[Any, str]:
    """x without the axes whose letters nobody needs."""
    gone = tuple(k for k, letter in enumerate(letters) if letter not in keep)
    if not gone:
        return x, letters
    kept = "".join(letter for letter in letters if letter in keep)
    return total_of(x, gone), kept


# ------------------------------------------------------------------ other products


@function(np.kron, samples=(call(MATRIX, SQUARE), call(TRIPLE, PLUS)))
def kron(a: Any, b: Any) -> Any:
    """Kronecker product."""
    from gradjit.ops.numpy_shape import reshape

    x, y = array_of(a, "np.kron"), array_of(b, "np.kron")
    if x.ndim != y.ndim:
        misfit(f"np.kron of arrays of {x.ndim} and {y.ndim} axes")
    extents = [m * n for m, n in zip(x.shape, y.shape, strict=True)]
    wide = new_axes(x, tuple(2 * k + 1 for k in range(x.ndim)))
    tall = new_axes(y, tuple(2 * k for k in range(y.ndim)))
    return reshape(wide * tall, tuple(extents))


@function(np.cross, samples=(call(TRIPLE, PLUS), call(SQUARE, TRIPLE)))
def cross(a: Any, b: Any) -> Any:
    """Cross product of vectors along the last axis."""
    from gradjit.ops.numpy_join import stack

    x, y = array_of(a, "np.cross"), array_of(b, "np.cross")
    for v in (x, y):
        if dims(v.type)[-1] not in (3, None):
            misfit(f"np.cross needs vectors of three elements, not {v.type}")

    def part(v: Any, k: int) -> Any:
        return view_index(v, ":" * (v.ndim - 1) + "i", k)

    u, w = [part(x, k) for k in range(3)], [part(y, k) for k in range(3)]
    parts = [
        u[1] * w[2] - u[2] * w[1],
        u[2] * w[0] - u[0] * w[2],
        u[0] * w[1] - u[1] * w[0],
    ]
    return stack(parts, axis=-1)
