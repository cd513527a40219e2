"""Claims about integers: proven where they should be, never where they are false."""

from __future__ import annotations

import itertools
import random

from gradjit.ir.bounds import Affine
from gradjit.ir.build import Builder, index
from gradjit.ir.graph import Value
from gradjit.ir.types import FLOAT64, INDEX, ArrayType
from gradjit.ops import array  # noqa: F401  (the ops register themselves)


def extents(b: Builder, count: int) -> list[Value]:
    """Extents of fresh arrays."""
    arrays = [Value(ArrayType(FLOAT64, (None,)), f"a{k}") for k in range(count)]
    b.open(arrays)
    return [b.extent(a, 0) for a in arrays]  # type: ignore[misc]


def test_indices_of_a_triangular_nest_are_inside() -> None:
    b = Builder()
    (n,) = extents(b, 1)
    i, j = Value(INDEX, "i"), Value(INDEX, "j")
    b.facts.index_range(i, index(1), b.emit1("sub", n, index(1)), index(1))
    b.facts.index_range(j, b.emit1("add", i, index(1)), n, index(1))
    inside = [i, j, b.emit1("sub", i, index(1)), b.emit1("add", i, index(1))]
    assert all(b.facts.inside(k, n) for k in inside)
    outside = [b.emit1("add", i, index(2)), b.emit1("add", j, index(1))]
    assert not any(b.facts.inside(k, n) for k in outside)


def test_equal_extents_that_refer_to_each_other_end() -> None:
    """h == 2 * (h // 2), as a reshape says, made the proof go round in circles."""
    b = Builder()
    h, m = extents(b, 2)
    half = b.emit1("floordiv", h, index(2))
    b.facts.equate(b.emit1("mul", half, index(2)), h)
    b.facts.equate(m, b.emit1("floordiv", b.emit1("add", m, h), index(2)))
    below = b.facts.affine(half).shift(-3)
    assert not b.facts.nonnegative(below)


def test_claims_hold_for_all_indices() -> None:
    """Random affine forms of two nested indices, against enumeration."""
    rng = random.Random(4)
    proven = 0
    for _ in range(400):
        b = Builder()
        (n,) = extents(b, 1)
        i, j = Value(INDEX, "i"), Value(INDEX, "j")
        low, high = rng.randint(0, 2), rng.randint(0, 2)
        b.facts.index_range(i, index(low), b.emit1("sub", n, index(high)), index(1))
        b.facts.index_range(j, i, n, index(1))
        c = [rng.randint(-2, 2) for _ in range(3)]
        k = rng.randint(-3, 3)
        terms = {v: f for v, f in zip((i, j, n), c, strict=True) if f}
        if not b.facts.nonnegative(Affine(k, terms)):
            continue
        proven += 1
        for size in range(7):
            for x, y in itertools.product(range(low, size - high), range(size)):
                if y >= x:
                    assert c[0] * x + c[1] * y + c[2] * size + k >= 0
    assert proven > 50
