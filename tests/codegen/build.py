"""Short ways to write placed programs by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradjit.codegen.emit import emit
from gradjit.errors import Loc
from gradjit.ir.build import Builder, index
from gradjit.ir.graph import Atom, Block, Const, Graph, Value
from gradjit.ir.types import FLOAT64, INDEX, TRUTH, ArrayType, ScalarType
from gradjit.ops.evaluate import evaluate
from gradjit.ops.region import Writer
from gradjit.passes.name import name

FLOAT = ScalarType(FLOAT64)
VECTOR = ArrayType(FLOAT64, (None,))
MATRIX = ArrayType(FLOAT64, (None, None))


class Program:
    """A builder with fewer words."""

    def __init__(self, *params: Value, title: str = "f") -> None:
        self.b = Builder(checks=False)
        self.title = title
        self.params = params
        self.b.open(params)

    def line(self, number: int, text: str) -> None:
        """Give the next equations a place in the user's file."""
        self.b.loc = Loc("/home/me/model.py", number, text)

    def __call__(self, op: str, *args: Any, to: str = "", **params: Any) -> Any:
        """Emit an equation; numbers become constants."""
        names = to.split()
        outs = self.b.emit(op, *map(atom, args), names=names, **params)
        return outs[0] if len(outs) == 1 else outs

    def load(self, x: Atom, *at: Any, to: str = "") -> Any:
        """x[at]"""
        return self("index", x, *at, to=to, spec="i" * len(at), dims=(), checked=False)

    def write(self, op: str, x: Atom, v: Any, *at: Any, to: str = "") -> Any:
        """x[at] = v or x[at] += v"""
        return self(op, x, v, *at, to=to, spec="i" * len(at), checked=False)

    def region(self, params: Sequence[Value], body: Any) -> Block:
        """A block."""
        return self.b.region(params, lambda *a: [atom(r) for r in body(*a)])

    def loop(
        self, bounds: Sequence[Any], inits: Sequence[Any], to: str, body: Any
    ) -> Any:
        """A `for_`; `to` names the carried values."""
        names = to.split()
        atoms = [atom(i) for i in inits]
        params = [Value(a.type, n) for a, n in zip(atoms, names, strict=True)]
        i = Value(INDEX, "i")
        region_ = self.region([i, *params], body)
        return self("for_", *bounds, *atoms, to=to, regions=(region_,), exits=False)

    def choose(self, pred: Atom, then: Any, orelse: Any, to: str = "") -> Any:
        """An `if_`."""
        regions = (self.region([], then), self.region([], orelse))
        return self("if_", pred, to=to, regions=regions)

    def each(self, extents: Sequence[Any], writers: Any, body: Any, *dests: Any) -> Any:
        """A `map_`."""
        at = [Value(INDEX) for _ in extents]
        return self(
            "map_",
            *extents,
            *dests,
            regions=(self.region(at, body),),
            ndim=len(extents),
            writers=tuple(writers),
            parallel=False,
        )

    def graph(self, *results: Any) -> Graph:
        """The whole program."""
        return Graph(self.title, self.b.close([atom(r) for r in results]))


def atom(x: Any) -> Atom:
    """A constant of a number."""
    if isinstance(x, Value | Const):
        return x
    if isinstance(x, bool):
        return Const(x, TRUTH)
    return index(x) if isinstance(x, int) else Const(x, FLOAT)


def source(graph: Graph) -> str:
    """The emitted function, without a header."""
    return emit(name(graph))


def body(graph: Graph) -> str:
    """The emitted function without imports, as text to compare."""
    text = source(graph)
    return text[text.index("def ") :]


def run(graph: Graph, *args: Any) -> Any:
    """Results of the emitted function as plain Python."""
    space: dict[str, Any] = {}
    exec(compile(source(graph), "<emitted>", "exec"), space)
    with np.errstate(all="ignore"):
        return space[graph.name](*args)


def agree(graph: Graph, *args: Any) -> None:
    """The emitted function and the reference interpreter give the same."""
    expected = evaluate(graph, [np.copy(a) if np.ndim(a) else a for a in args])
    got = run(graph, *(np.copy(a) if np.ndim(a) else a for a in args))
    got = got if isinstance(got, tuple) else (got,)
    for e, g in zip(expected, got, strict=True):
        np.testing.assert_array_equal(g, e)


def vector(hint: str) -> Value:
    return Value(VECTOR, hint)


def matrix(hint: str) -> Value:
    return Value(MATRIX, hint)


def number(hint: str) -> Value:
    return Value(FLOAT, hint)


def new(rank: int = 1) -> Writer:
    return Writer("new", type=ArrayType(FLOAT64, (None,) * rank))
