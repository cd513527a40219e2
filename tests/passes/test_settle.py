"""Zeros that are added to at once, against the reference interpreter."""

from __future__ import annotations

import numpy as np

from gradjit.ir.graph import Value, walk
from gradjit.ir.types import INDEX
from gradjit.passes.settle import settle
from tests.codegen.build import Program, vector
from tests.passes.test_rotate import changed, same


def test_a_zero_that_is_read_stays() -> None:
    x, k = vector("x"), Value(INDEX, "k")
    p = Program(x, k)
    y = p.write("store", x, 0.0, 1)
    seen = p.load(y, k)
    z = p.write("add_at", y, 3.0, 1)
    before = p.graph(z, seen)
    assert sum(e.op.name == "add_at" for e in walk(settle(before).block)) == 1
    same(before, changed(before), np.arange(4.0), 1)


def test_a_write_that_may_be_to_the_zero_keeps_it() -> None:
    for op in ("add_at", "store"):
        x, k = vector("x"), Value(INDEX, "k")
        p = Program(x, k)
        y = p.write(op, p.write("store", x, 0.0, 1), 2.0, k)
        before = p.graph(p.write("add_at", y, 3.0, 1))
        for k_at in (0, 1, -3):
            same(before, changed(before), np.arange(4.0), k_at)


def test_a_zero_whose_version_is_a_result_stays() -> None:
    x = vector("x")
    p = Program(x)
    y = p.write("store", x, 0.0, 1)
    before = p.graph(p.write("add_at", y, 3.0, 1), y)
    assert sum(e.op.name == "add_at" for e in walk(settle(before).block)) == 1
    same(before, changed(before), np.arange(4.0))


def test_writes_elsewhere_do_not_matter() -> None:
    x = vector("x")
    p = Program(x)
    y = p.write("store", x, 0.0, 1)
    y = p.write("add_at", y, 3.0, 2)
    seen = p.load(y, 0)
    before = p.graph(p.write("add_at", y, 5.0, 1), seen)
    after = settle(before)
    assert [e.op.name for e in after.block.eqns] == ["add_at", "index", "store"]
    same(before, after, np.arange(4.0))
