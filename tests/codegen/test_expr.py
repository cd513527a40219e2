"""Expressions: the right value, with no parenthesis too many or too few."""

from __future__ import annotations

import ast
import math
import random
import re

import numpy as np
import pytest

from gradjit.codegen.expr import Writer, number, template
from gradjit.ir.graph import Atom, Const, Eqn, Value
from gradjit.ir.named import Named
from gradjit.ir.op import lookup
from gradjit.ir.types import FLOAT32, FLOAT64, INT64, ScalarType
from tests.codegen.build import FLOAT, Program
from tests.codegen.build import number as variable

BINARY = ("add", "sub", "mul", "div", "pow", "mod", "maximum")
TESTS = ("lt", "ge", "eq")


class Trees:
    """Random trees of equations, all printed inline."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.leaves = [Value(FLOAT, n) for n in "xyz"]
        self.inlined: dict[Value, Eqn] = {}
        self.values = dict(zip(self.leaves, (1.25, 0.5, 2.0), strict=True))

    def tree(self, depth: int) -> Atom:
        if depth == 0 or self.random.random() < 0.15:
            if self.random.random() < 0.3:
                return Const(self.random.choice([2.0, 0.5, -1.5]), FLOAT)
            return self.random.choice(self.leaves)
        kind = self.random.random()
        if kind < 0.1:
            return self.apply("neg", self.tree(depth - 1))
        if kind < 0.2:
            n = self.random.choice([2, 3])
            return self.apply("powi", self.apply("abs", self.tree(depth - 1)), n=n)
        if kind < 0.3:
            branches = self.tree(depth - 1), self.tree(depth - 1)
            return self.apply("where", self.truth(depth - 1), *branches)
        op = self.random.choice(BINARY)
        args = [self.tree(depth - 1), self.tree(depth - 1)]
        if op == "pow" and isinstance(args[0], Const):
            op = "sub"  # Python's own floats have complex powers
        return self.apply(op, *args)

    def truth(self, depth: int) -> Atom:
        kind = self.random.random()
        if depth and kind < 0.2:
            return self.apply("logical_not", self.truth(depth - 1))
        if depth and kind < 0.5:
            op = self.random.choice(["logical_and", "logical_or"])
            return self.apply(op, self.truth(depth - 1), self.truth(depth - 1))
        op = self.random.choice(TESTS)
        return self.apply(op, self.tree(depth), self.tree(depth))

    def apply(self, name: str, *args: Atom, **params: int) -> Value:
        op = lookup(name)
        (type_,) = op.infer([a.type for a in args], params)
        out = Value(type_)
        self.inlined[out] = Eqn(op, args, (out,), params)
        return out

    def evaluate(self, atom: Atom) -> object:
        if isinstance(atom, Const):
            return np.float64(atom.value)
        if atom in self.values:
            return np.float64(self.values[atom])
        eqn = self.inlined[atom]
        assert eqn.op.evaluate is not None
        return eqn.op.evaluate(*map(self.evaluate, eqn.args), **eqn.params)


def text_of(trees: Trees, atom: Atom) -> str:
    names = {v: v.name for v in trees.leaves}
    graph = Program(*trees.leaves).graph()
    return Writer(Named(graph, names, trees.inlined)).atom(atom)


@pytest.mark.parametrize("seed", range(300))
def test_value_and_parentheses(seed: int) -> None:
    trees = Trees(seed)
    atom = trees.tree(4)
    text = text_of(trees, atom)
    space = {v.name: np.float64(x) for v, x in trees.values.items()}
    with np.errstate(all="ignore"):
        got = eval(text, {"np": np, "math": math, **space})
        expected = trees.evaluate(atom)
    np.testing.assert_allclose(got, expected, rtol=1e-14)  # x**3 may round otherwise
    assert not needless(text), text


def needless(text: str) -> list[str]:
    """What the text could be with a pair of parentheses less."""
    whole = ast.dump(ast.parse(text, mode="eval"))
    found: list[str] = []
    for start in (m.start() for m in re.finditer(r"(?<![\w.])\(", text)):
        depth, end = 0, start
        for end in range(start, len(text)):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            if depth == 0:
                break
        bare = text[:start] + text[start + 1 : end] + text[end + 1 :]
        # Parentheses that help the reader: a choice inside a choice, `-(-x)`.
        if " if " in text[start:end] or "--" in bare:
            continue
        try:
            if ast.dump(ast.parse(bare, mode="eval")) == whole:
                found.append(bare)
        except SyntaxError:
            continue
    return found


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        (2.0, FLOAT64, "2.0"),
        (1e-5, FLOAT64, "1e-05"),
        (-0.0, FLOAT64, "-0.0"),
        (math.inf, FLOAT64, "np.inf"),
        (-math.inf, FLOAT64, "-np.inf"),
        (math.nan, FLOAT64, "np.nan"),
        (0.1, FLOAT32, "np.float32(0.1)"),
        (math.nan, FLOAT32, "np.float32(np.nan)"),
        (3, INT64, "3"),
        (True, np.dtype(bool), "True"),
        (3, np.dtype(np.uint8), "np.uint8(3)"),
    ],
)
def test_constants(value: float, dtype: np.dtype, text: str) -> None:
    assert number(Const(value, ScalarType(dtype))).text == text


def test_templates() -> None:
    assert template("{0} - {1}", 2) == (10, (10, 11))
    assert template("{0}**{1}", 2) == (13, (14, 12))
    assert template("math.exp({0})", 1) == (20, (0,))


def test_negated_tests() -> None:
    x, y = variable("x"), variable("y")
    f = Program(x, y)
    test = f("eq", x, y)
    eqn = f.b.frames[-1].eqns[-1]
    named = Named(f.graph(), {x: "x", y: "y"}, {test: eqn})
    assert Writer(named).negated(test).text == "x != y"
