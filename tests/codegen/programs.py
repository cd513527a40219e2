"""Random placed programs: loops, branches, breaks, swaps, stacks, maps, writes."""

from __future__ import annotations

import random

from gradjit.ir.build import Builder, index
from gradjit.ir.graph import Atom, Block, Const, Graph, Value
from gradjit.ir.types import (
    FLOAT64,
    INDEX,
    TRUTH,
    ArrayType,
    ScalarType,
)
from gradjit.ops.region import Writer

FLOAT = ScalarType(FLOAT64)
SIZE = 4
VECTOR = ArrayType(FLOAT64, (SIZE,))
HINTS = ("", "", "", "s", "x", "t", "d_x")


class Scope:
    """What a block may use: numbers, indices, and current versions of arrays."""

    def __init__(
        self,
        numbers: list[Atom],
        indices: list[Atom],
        arrays: dict[str, Atom],
        writable: set[str],
    ) -> None:
        self.numbers = list(numbers)
        self.indices = list(indices)
        self.arrays = dict(arrays)
        self.writable = set(writable)

    def child(self, writable: set[str]) -> Scope:
        return Scope(self.numbers, self.indices, self.arrays, writable)


class Generator:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.b = Builder()

    def graph(self) -> Graph:
        params = [Value(FLOAT, "x"), Value(FLOAT, "y"), Value(VECTOR, "a")]
        params += [Value(VECTOR, "w"), Value(INDEX, "n")]
        self.b.open(params)
        scope = Scope(
            params[:2], [index(0)], {"a": params[2], "w": params[3]}, set("aw")
        )
        self.block(scope, 3, self.random.randint(3, 8), params[4])
        results = [self.number(scope) for _ in range(2)]
        results += [scope.arrays["a"], scope.arrays["w"]]
        return Graph("program", self.b.close(results))

    def hint(self) -> str:
        return self.random.choice(HINTS)

    def number(self, scope: Scope) -> Atom:
        if self.random.random() < 0.15:
            return Const(self.random.choice([0.5, -2.0, 1.0]), FLOAT)
        recent = scope.numbers[-4:] if self.random.random() < 0.6 else scope.numbers
        return self.random.choice(recent)

    def place(self, scope: Scope) -> Atom:
        i = self.random.choice(scope.indices)
        if isinstance(i, Value):
            if self.random.random() < 0.5:
                i = self.b.emit1("add", i, index(self.random.randint(1, 3)))
            return self.b.emit1("mod", i, index(SIZE))
        return index(self.random.randint(0, SIZE - 1))

    def block(self, scope: Scope, depth: int, count: int, n: Value) -> None:
        kinds = ["scalar"] * 5 + ["load"] * 2 + ["store"] * 2
        if depth:
            kinds += ["for_", "if_", "while_", "exits", "stack", "map_", "choice"]
        for _ in range(count):
            getattr(self, self.random.choice(kinds).rstrip("_") + "_")(scope, depth, n)

    def scalar_(self, scope: Scope, depth: int, n: Value) -> None:
        op = self.random.choice(["add", "sub", "mul", "neg", "abs", "add"])
        args = [self.number(scope) for _ in range(1 if op in ("neg", "abs") else 2)]
        out = self.b.emit1(op, *args, name=self.hint())
        self.clamp(scope, out)

    def clamp(self, scope: Scope, out: Atom) -> None:
        """Keep numbers small, so that nothing overflows."""
        if self.random.random() < 0.3:
            out = self.b.emit1("mul", out, Const(0.25, FLOAT), name=self.hint())
        scope.numbers.append(out)

    def load_(self, scope: Scope, depth: int, n: Value) -> None:
        x = scope.arrays[self.random.choice("aw")]
        out = self.b.emit1(
            "index", x, self.place(scope), spec="i", dims=(), checked=False
        )
        scope.numbers.append(out)

    def store_(self, scope: Scope, depth: int, n: Value) -> None:
        if not scope.writable:
            return
        key = self.random.choice(sorted(scope.writable))
        op = self.random.choice(["store", "add_at"])
        value = self.b.emit1("mul", self.number(scope), Const(0.5, FLOAT))
        at = self.place(scope)
        (out,) = self.b.emit(
            op, scope.arrays[key], value, at, spec="i", checked=False, names=(key,)
        )
        scope.arrays[key] = out

    def test(self, scope: Scope) -> Atom:
        op = self.random.choice(["lt", "gt", "le"])
        return self.b.emit1(op, self.number(scope), self.number(scope))

    def choice_(self, scope: Scope, depth: int, n: Value) -> None:
        out = self.b.emit1(
            "where", self.test(scope), self.number(scope), self.number(scope)
        )
        scope.numbers.append(out)

    def if_(self, scope: Scope, depth: int, n: Value) -> None:
        written = {k for k in scope.writable if self.random.random() < 0.5}
        width = self.random.randint(0, 2)
        pred = self.test(scope)
        regions = []
        for _ in range(2):
            regions.append(self.branch(scope, written, width, depth, n))
        names = [self.hint() for _ in range(width)] + sorted(written)
        outs = self.b.emit("if_", pred, regions=tuple(regions), names=names)
        scope.numbers += outs[:width]
        scope.arrays.update(zip(sorted(written), outs[width:], strict=True))

    def branch(
        self, scope: Scope, written: set[str], width: int, depth: int, n: Value
    ) -> Block:
        self.b.open(())
        inner = scope.child(written)
        self.block(inner, depth - 1, self.random.randint(0, 3), n)
        results = [self.number(inner) for _ in range(width)]
        return self.b.close([*results, *(inner.arrays[k] for k in sorted(written))])

    def body(
        self,
        scope: Scope,
        params: list[Value],
        written: list[str],
        depth: int,
        n: Value,
    ) -> list[Atom]:
        """Results of a loop's body: numbers, then arrays, perhaps exchanged."""
        numbers = params[: len(params) - len(written)]
        inner = scope.child(set(written))
        inner.numbers += numbers
        inner.arrays.update(
            zip(written, params[len(params) - len(written) :], strict=True)
        )
        self.block(inner, depth - 1, self.random.randint(1, 4), n)
        out = [
            self.b.emit1("mul", self.number(inner), Const(0.5, FLOAT), name=p.name)
            if self.random.random() < 0.5
            else self.number(inner)
            for p in numbers
        ]
        arrays = [inner.arrays[k] for k in written]
        if len(arrays) == 2 and self.random.random() < 0.4:
            arrays.reverse()
        return [*out, *arrays]

    def carried(self, scope: Scope) -> tuple[list[Atom], list[str], list[Value]]:
        width = self.random.randint(1, 3)
        written = sorted(k for k in scope.writable if self.random.random() < 0.6)
        inits = [self.number(scope) for _ in range(width)]
        inits += [scope.arrays[k] for k in written]
        names = [self.hint() for _ in range(width)] + written
        params = [Value(a.type, h) for a, h in zip(inits, names, strict=True)]
        return inits, written, params

    def finish(self, scope: Scope, outs: tuple[Atom, ...], written: list[str]) -> None:
        width = len(outs) - len(written)
        scope.numbers += outs[:width]
        scope.arrays.update(zip(written, outs[width:], strict=True))

    def for_(self, scope: Scope, depth: int, n: Value) -> None:
        inits, written, params = self.carried(scope)
        i = Value(INDEX, self.random.choice(["", "i"]))
        self.b.open((i, *params))
        inner = scope.child(set())
        inner.indices.append(i)
        block = self.b.close(self.body(inner, params, written, depth, n))
        bounds = self.random.choice(
            [
                (index(0), n, index(1)),
                (index(0), index(3), index(1)),
                (index(2), index(-1), index(-1)),
            ]
        )
        names = [p.name for p in params]
        outs = self.b.emit(
            "for_", *bounds, *inits, regions=(block,), names=names, exits=False
        )
        self.finish(scope, outs, written)

    def exits_(self, scope: Scope, depth: int, n: Value) -> None:
        inits, written, params = self.carried(scope)
        i, done = Value(INDEX, "i"), Value(TRUTH, "done")
        self.b.open((i, done, *params))
        inner = scope.child(set())
        inner.indices.append(i)
        inner.numbers += params[: len(params) - len(written)]
        results = self.exit_branch(inner, params, written, depth, n)
        block = self.b.close(results)
        start = Const(False, TRUTH)
        names = ["done", *(p.name for p in params)]
        outs = self.b.emit(
            "for_",
            *(index(0), index(4), index(1)),
            *(start, *inits),
            regions=(block,),
            names=names,
            exits=True,
        )
        self.finish(scope, outs[1:], written)
        if self.random.random() < 0.3:
            one, two = Const(1.0, FLOAT), Const(2.0, FLOAT)
            scope.numbers.append(self.b.emit1("where", outs[0], one, two))

    def exit_branch(
        self,
        scope: Scope,
        params: list[Value],
        written: list[str],
        depth: int,
        n: Value,
    ) -> list[Atom]:
        pred = self.test(scope)
        leave = self.random.randint(0, 1)
        regions = []
        for k in range(2):
            self.b.open(())
            results = self.body(scope, params, written, depth, n)
            flag: Atom = Const(k == leave, TRUTH)
            regions.append(self.b.close([flag, *results]))
        names = ["done", *(p.name for p in params)]
        return list(self.b.emit("if_", pred, regions=tuple(regions), names=names))

    def while_(self, scope: Scope, depth: int, n: Value) -> None:
        inits, written, params = self.carried(scope)
        k, c = Value(INDEX, "k"), Value(INDEX, "k")
        before = [Value(p.type, p.name) for p in params]
        self.b.open((c, *before))
        cond = self.b.close([self.b.emit1("lt", c, n)])
        self.b.open((k, *params))
        results = self.body(scope, params, written, depth, n)
        block = self.b.close([self.b.emit1("add", k, index(1), name="k"), *results])
        names = ["k", *(p.name for p in params)]
        outs = self.b.emit(
            "while_", index(0), *inits, regions=(cond, block), names=names
        )
        self.finish(scope, outs[1:], written)

    def stack_(self, scope: Scope, depth: int, n: Value) -> None:
        """Save in a loop, restore in its reverse."""
        (stack,) = self.b.emit("stack_new", item=FLOAT)
        for forward in (True, False):
            start = self.number(scope)
            p, s = Value(stack.type), Value(FLOAT, self.hint())
            i = Value(INDEX)
            self.b.open((i, p, s))
            inner = scope.child(set())
            inner.numbers.append(s)
            if forward:
                self.block(inner, 0, 2, n)
                (last,) = self.b.emit("push", p, self.number(inner))
            else:
                last, saved = self.b.emit("pop", p)
                inner.numbers.append(saved)
                self.block(inner, 0, 2, n)
            result = self.b.emit1("mul", self.number(inner), Const(0.5, FLOAT))
            block = self.b.close([last, result])
            bounds = (index(0), n, index(1))
            outs = self.b.emit(
                "for_", *bounds, stack, start, regions=(block,), exits=False
            )
            stack = outs[0]
            scope.numbers.append(outs[1])

    def map_(self, scope: Scope, depth: int, n: Value) -> None:
        ndim = self.random.randint(1, 2)
        at = [Value(INDEX) for _ in range(ndim)]
        self.b.open(at)
        inner = scope.child(set())
        inner.indices = list(at)
        x = scope.arrays["a"]
        for i in at:
            inner.numbers.append(
                self.b.emit1("index", x, i, spec="i", dims=(), checked=False)
            )
        inner.arrays["a"] = inner.arrays["w"]  # iterations are independent
        self.block(inner, 0, 2, n)
        writers, results = [], []
        kinds = ["sum", "prod", "max", "min", "argmax", "argmin"]
        axes = self.random.choice([(0,), (1,), (0, 1)][: 1 if ndim == 1 else 3])
        for _ in range(self.random.randint(1, 2)):
            kind = self.random.choice(kinds)
            over = axes[:1] if kind.startswith("arg") else axes
            kept = ndim - len(over)
            scalar = INDEX if kind.startswith("arg") else FLOAT
            type_ = ArrayType(scalar.dtype, (SIZE,)) if kept else scalar
            writers.append(Writer(kind, axes=over, type=type_))
            results.append(self.number(inner))
        dests = []
        if "a" in scope.writable and ndim == 1:
            writers.append(Writer("store", dest=0))
            half = self.b.emit1("mul", self.number(inner), Const(0.5, FLOAT))
            results += [half, at[0]]
            dests.append(x)
        block = self.b.close(results)
        outs = self.b.emit(
            "map_",
            *[index(SIZE)] * ndim,
            *dests,
            regions=(block,),
            ndim=ndim,
            writers=tuple(writers),
            parallel=False,
        )
        if dests:
            scope.arrays["a"] = outs[-1]
        for out in outs[: len(outs) - len(dests)]:
            self.read_back(scope, out)

    def read_back(self, scope: Scope, out: Atom) -> None:
        if isinstance(out.type, ArrayType):
            out = self.b.emit1("index", out, index(1), spec="i", dims=(), checked=False)
        if out.type.dtype == FLOAT64:
            scope.numbers.append(self.b.emit1("mul", out, Const(0.125, FLOAT)))
        else:
            scope.indices.append(out)


def random_graph(seed: int) -> Graph:
    """A random placed program; the same for the same seed."""
    return Generator(seed).graph()
