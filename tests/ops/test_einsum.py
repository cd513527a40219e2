"""Products of several arrays are taken in an order that leaves little behind."""

from __future__ import annotations

from typing import Any

import numpy as np

import gradjit

RNG = np.random.default_rng(2)


def chain(a: Any, b: Any, v: Any) -> Any:
    return np.einsum("ij,jk,k->i", a, b, v)


def star(p: Any, q: Any, m: Any, n: Any, w: Any) -> Any:
    return np.einsum("i,j,jk,ik,l->l", p, q, m, n, w)


def test_a_vector_is_multiplied_before_matrices() -> None:
    args = [RNG.normal(size=s) for s in ((4, 5), (5, 6), (6,))]
    f = gradjit.jit(chain)
    np.testing.assert_allclose(f(*args), chain(*args), rtol=1e-12)
    products = [e for e in f.graph.block.eqns if e.op.name == "contract"]
    assert [len(e.out.type.dims) for e in products] == [1, 1]


def test_many_operands() -> None:
    args = [RNG.normal(size=s) for s in ((3,), (4,), (4, 5), (3, 5), (2,))]
    np.testing.assert_allclose(gradjit.jit(star)(*args), star(*args), rtol=1e-12)
