"""Matrix products brought to what BLAS has, or to a product and a sum.

A contraction of two arrays with both free and summed letters is a matrix product: it
becomes `contract` on matrices and vectors as they stand in memory, inside a loop over
the letters that both operands and the result share. Everything else (outer and inner
products, small known extents, integers) is a product of elements and a sum over them,
which fuses with what is around it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from gradjit.ir.build import Builder, index
from gradjit.ir.graph import Atom, Const, Eqn, Value
from gradjit.ir.op import lookup
from gradjit.ir.types import BOOL, INDEX, ArrayType, dims

# Below this many products a loop nest beats a call.
SMALL = 64
# And where one operand has so few elements: each of the other one is used as often.
FEW = 16


@dataclass(frozen=True, slots=True)
class _Term:
    """An operand or a result: an atom and a letter for each axis."""

    atom: Atom
    letters: str


def contracted(
    b: Builder, x: Atom, y: Atom, a: str, bb: str, out: str, name: str = ""
) -> Atom:
    """Code for `out = x[a] * y[bb]`, summed over letters that are not in `out`."""
    left = _alone(b, _Term(x, a), set(bb) | set(out))
    right = _alone(b, _Term(y, bb), set(a) | set(out))
    left, right = _without_ones(b, left, right, set(out))
    shared = set(left.letters) & set(right.letters)
    batch = "".join(c for c in out if c in shared)
    summed = "".join(c for c in left.letters if c in shared - set(out))
    free = [
        "".join(c for c in out if c in t.letters and c not in shared)
        for t in (left, right)
    ]
    sizes = _sizes(b, left, right)
    if not summed:
        return _product(b, left, right, out)
    small = _is_small(sizes) or any(_is_tiny(t, batch, sizes) for t in (left, right))
    if not any(free) or small or not _has_blas(left, right):
        return _summed_product(b, left, right, out, summed)
    if batch:
        return _batched(b, left, right, out, batch[0], sizes)
    if all(free) and out == free[1] + free[0]:  # no transpose afterwards
        left, right, free = right, left, free[::-1]
    return _matrix_product(b, left, right, out, summed, free, sizes, name)


def _sizes(b: Builder, *terms: _Term) -> dict[str, Atom]:
    """The extent of each letter; a known one where there is one."""
    out: dict[str, Atom] = {}
    for term in terms:
        for letter, extent in zip(term.letters, b.extents(term.atom), strict=True):
            if not isinstance(out.get(letter), Const):
                out[letter] = extent
    return out


def _is_small(sizes: dict[str, Atom]) -> bool:
    known = [e.value for e in sizes.values() if isinstance(e, Const)]
    return len(known) == len(sizes) and prod(known) <= SMALL


def _is_tiny(term: _Term, batch: str, sizes: dict[str, Atom]) -> bool:
    """Whether an operand is a small matrix of known extents, one for each batch."""
    extents = [sizes[c] for c in term.letters if c not in batch]
    known = [e.value for e in extents if isinstance(e, Const)]
    return len(known) == len(extents) > 1 and prod(known) <= FEW


def _has_blas(left: _Term, right: _Term) -> bool:
    dtypes = {left.atom.type.dtype, right.atom.type.dtype}
    return len(dtypes) == 1 and dtypes.pop().kind == "f"


def _alone(b: Builder, term: _Term, others: set[str]) -> _Term:
    """Sum over letters that occur nowhere else."""
    axes = tuple(k for k, c in enumerate(term.letters) if c not in others)
    if not axes:
        return term
    atom = _total(b, term.atom, axes)
    return _Term(atom, "".join(c for c in term.letters if c in others))


def _without_ones(
    b: Builder, left: _Term, right: _Term, kept: set[str]
) -> tuple[_Term, _Term]:
    """The operands without summed letters of extent one: there is nothing to sum."""
    sizes = _sizes(b, left, right)
    ones = {c for c, n in sizes.items() if isinstance(n, Const) and n.value == 1}
    return _first(b, left, ones - kept), _first(b, right, ones - kept)


def _first(b: Builder, term: _Term, letters: set[str]) -> _Term:
    """The first part of a term along some letters."""
    if letters.isdisjoint(term.letters):
        return term
    spec = "".join("i" if c in letters else ":" for c in term.letters)
    extents = zip(dims(term.atom.type), spec, strict=True)
    shape = tuple(d for d, c in extents if c == ":")
    zeros = [index(0)] * spec.count("i")
    atom = b.emit1("index", term.atom, *zeros, spec=spec, dims=shape, checked=False)
    return _Term(atom, "".join(c for c in term.letters if c not in letters))


# --------------------------------------------------------------- products and sums


def _total(b: Builder, terms: Atom, axes: tuple[int, ...]) -> Atom:
    """A sum at the dtype of its terms: small integers wrap around in a product."""
    if terms.type.dtype == BOOL:
        return b.emit1("reduce_or", terms, axes=axes)
    total = b.emit1("reduce_sum", terms, axes=axes)
    if total.type.dtype == terms.type.dtype:
        return total
    return b.emit1("cast", total, dtype=terms.type.dtype, weak=False)


def _product(b: Builder, left: _Term, right: _Term, space: str) -> Atom:
    """The products over a space of letters."""
    name = "logical_and" if left.atom.type.dtype == BOOL else "mul"
    return b.emit1(name, _spread(b, left, space), _spread(b, right, space))


def _spread(b: Builder, term: _Term, space: str) -> Atom:
    """A term with its axes in the order of `space`, and new ones where it has none."""
    if not term.letters:
        return term.atom
    order = [c for c in space if c in term.letters]
    atom = _ordered(b, term, "".join(order))
    spec = "".join(":" if c in term.letters else "n" for c in space).lstrip("n")
    if "n" not in spec:
        return atom
    wide = iter(dims(atom.type))
    shape = tuple(next(wide) if c == ":" else 1 for c in spec)
    return b.emit1("index", atom, spec=spec, dims=shape, checked=False)


def _ordered(b: Builder, term: _Term, letters: str) -> Atom:
    """The term's array with its axes in this order."""
    if letters == term.letters:
        return term.atom
    perm = tuple(term.letters.index(c) for c in letters)
    return b.emit1("transpose", term.atom, perm=perm)


def _summed_product(
    b: Builder, left: _Term, right: _Term, out: str, summed: str
) -> Atom:
    """Products in the memory order of the larger operand, then their sum."""
    letters = set(out) | set(summed)
    space = out + summed
    for term in (left, right):
        if set(term.letters) == letters:
            space = term.letters
            break
    terms = _product(b, left, right, space)
    axes = tuple(k for k, c in enumerate(space) if c in summed)
    total = _total(b, terms, axes)
    rest = "".join(c for c in space if c in out)
    return _ordered(b, _Term(total, rest), out)


# --------------------------------------------------------------------------- BLAS


def _matrix_product(
    b: Builder,
    left: _Term,
    right: _Term,
    out: str,
    summed: str,
    free: Sequence[str],
    sizes: dict[str, Atom],
    name: str,
) -> Atom:
    """A product of matrices or vectors, each group of letters as one axis."""
    rows, columns = free
    x = _grouped(b, left, [g for g in (rows, summed) if g], sizes)
    y = _grouped(b, right, [g for g in (summed, columns) if g], sizes)
    a, bb = "i" * bool(rows) + "j", "j" + "k" * bool(columns)
    target = "i" * bool(rows) + "k" * bool(columns)
    flat = b.emit1("contract", x, y, a=a, b=bb, out=target, name=name)
    groups = rows + columns
    if len(rows) > 1 or len(columns) > 1:
        extents = [sizes[c] for c in groups]
        flat = b.emit1("reshape", flat, *extents, dims=_dims(extents))
    return _ordered(b, _Term(flat, groups), out)


def _grouped(
    b: Builder, term: _Term, groups: Sequence[str], sizes: dict[str, Atom]
) -> Atom:
    """The term with each group of letters as one axis, in this order."""
    if all(len(g) == 1 for g in groups):
        return _ordered(b, term, "".join(groups))
    atom = _ordered(b, term, "".join(groups))
    extents: list[Atom] = []
    for group in groups:
        total: Atom = index(1)
        for c in group:
            total = b.emit1("mul", total, sizes[c])
        extents.append(total)
    return b.emit1("reshape", atom, *extents, dims=_dims(extents))


def _dims(extents: Sequence[Atom]) -> tuple[int | None, ...]:
    return tuple(int(e.value) if isinstance(e, Const) else None for e in extents)


def _batched(
    b: Builder,
    left: _Term,
    right: _Term,
    out: str,
    letter: str,
    sizes: dict[str, Atom],
) -> Atom:
    """A loop over a letter that the operands and the result share."""
    extents = [sizes[c] for c in out]
    shape = _dims(extents)
    fresh = b.emit1("empty", *extents, dtype=left.atom.type.dtype, dims=shape)
    axis = out.index(letter)
    spec = "".join("i" if c == letter else ":" for c in out)

    def body(i: Value, acc: Value) -> list[Atom]:
        b.set_extents(acc, extents)
        x, y = (_row(b, t, letter, i) for t in (left, right))
        rest = out[:axis] + out[axis + 1 :]
        part = contracted(b, x.atom, y.atom, x.letters, y.letters, rest)
        return [b.emit1("store", acc, part, i, spec=spec, checked=False)]

    return _loop(b, sizes[letter], fresh, body)


def _row(b: Builder, term: _Term, letter: str, i: Atom) -> _Term:
    """The part of a term at one value of a letter."""
    spec = "".join("i" if c == letter else ":" for c in term.letters)
    pairs = zip(term.letters, dims(term.atom.type), strict=True)
    shape = tuple(d for c, d in pairs if c != letter)
    atom = b.emit1("index", term.atom, i, spec=spec, dims=shape, checked=False)
    return _Term(atom, term.letters.replace(letter, ""))


def _loop(
    b: Builder, count: Atom, init: Atom, body: Callable[[Value, Value], list[Atom]]
) -> Atom:
    """A counted loop with one array carried."""
    i, acc = Value(INDEX), Value(init.type)
    start, step = index(0), index(1)
    b.facts.index_range(i, start, count, step)
    region = b.region((i, acc), body)
    out = Value(init.type)
    args = (start, count, step, init)
    b.append(Eqn(lookup("for_"), args, (out,), {"exits": False}, (region,), b.loc))
    assert isinstance(init.type, ArrayType)
    b.set_extents(out, b.extents(init))
    return out
