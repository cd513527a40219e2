"""Random array programs: slices, broadcasts, reductions, products, updates, aliases.

A program is the source of `program(x, y, m, p, s, n)`: two vectors of n, a square
matrix, a permutation, a float and an int. It returns arrays and numbers. Values stay
within a few units, so that reordered sums agree to many digits.
"""

from __future__ import annotations

import random

VECTORS = ("a", "b", "c")
MATRICES = ("f", "g")


class Sources:
    """Writes one program."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.lines: list[str] = []
        self.depth = 1
        self.loops: list[str] = []
        self.count = 0

    def source(self) -> str:
        self.add("a, b = x.copy(), np.sin(y)")
        self.add("c = np.zeros(n)")
        self.add("f, g = m.copy(), np.zeros((n, n))")
        self.add("t = 0.5 * s")
        for _ in range(self.rng.randint(3, 9)):
            self.statement()
        self.add("return t, a, b, c, f, g")
        head = "def program(x, y, m, p, s, n):"
        return "\n".join([head, *self.lines]) + "\n"

    def scalar_source(self) -> str:
        """The same with one number as its result."""
        text = self.source()
        total = "return t + np.sum(a * y) + np.sum(b) + np.sum(np.cos(c))"
        last = f"{total} + np.sum(f * m) + np.sum(np.sin(g))"
        return text.replace("return t, a, b, c, f, g", last)

    def add(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    def pick(self, *choices: str) -> str:
        return self.rng.choice(choices)

    # ------------------------------------------------------------- expressions

    def number(self) -> str:
        i = self.index()
        return self.pick(
            "s", "t", "0.7", "-1.2", f"a[{i}]", f"b[{i}]", f"f[{i}, {self.index()}]",
            f"np.tanh(np.sum({self.vector(1)}))", f"np.max({self.vector(1)})",
            f"np.mean({self.matrix(1)})", "np.sin(np.dot(a, b))",
            f"a[np.argmax({self.vector(0)})]",
        )  # fmt: skip

    def index(self) -> str:
        return self.pick("0", "1", "-1", "n - 1", "p[0]", "p[2]", *self.loops)

    def vector(self, depth: int = 2) -> str:
        """A vector of n."""
        if depth == 0:
            return self.pick(*VECTORS, "x", "y")
        v, w = self.vector(depth - 1), self.vector(depth - 1)
        i = self.index()
        return self.pick(
            f"({v} + {w})", f"({v} - {self.leaf()})", f"np.sin({v})", f"({v} * {w})",
            f"np.tanh({v} * {self.leaf()})", f"np.exp(-({v}) ** 2)", f"({v})[::-1]",
            f"({v})[p]", f"np.where({v} > 0.2, {w}, {self.leaf()})", f"f[{i}]",
            f"f[:, {i}]", f"np.tanh(f @ {v})", f"np.tanh({v} @ g)",
            f"np.mean({self.matrix(depth - 1)}, axis=0)", f"0.1 * np.arange(n) + {v}",
            f"np.max({self.matrix(depth - 1)}, axis=1)", f"np.abs({v})", v,
            f"np.cos(np.sum({self.matrix(depth - 1)}, axis=1))",
            f"np.full(n, {self.leaf()})",
            f"({v}).reshape(n, 1)[:, 0]", f"np.maximum({v}, {w})", "f.diagonal()",
        )  # fmt: skip

    def leaf(self) -> str:
        return self.pick("s", "t", "0.5", f"a[{self.index()}]", f"x[{self.index()}]")

    def matrix(self, depth: int = 2) -> str:
        """A square matrix of n."""
        if depth == 0:
            return self.pick(*MATRICES, "m")
        v, u = self.matrix(depth - 1), self.matrix(depth - 1)
        w = self.vector(depth - 1)
        return self.pick(
            f"({v} + {u})", f"({v} * {self.leaf()})", f"np.sin({v})", f"({v}).T",
            f"np.tanh({v} @ {u})", f"np.tanh(({v}).T @ {u})", f"np.outer({w}, {w})",
            f"({v} + ({w})[:, None])", f"({v} * {w})", f"({v})[p]", f"({v})[:, p]",
            f"({v} - np.max({v}, axis=1, keepdims=True))", f"({v})[::-1, ::-1]",
            f"({v}).reshape(-1).reshape(n, n)", f"np.where({v} > {u}, {v}, 0.1)", v,
        )  # fmt: skip

    # -------------------------------------------------------------- statements

    def statement(self) -> None:
        simple = [self.assign, self.slices, self.slices, self.element, self.alias]
        simple += [self.stencil, self.scatter, self.rows, self.swap]
        if len(self.loops) < 2 and self.depth < 4 and self.rng.random() < 0.25:
            self.rng.choice([self.loop, self.loop, self.branch, self.while_loop])()
        else:
            self.rng.choice(simple)()

    def assign(self) -> None:
        kind = self.rng.random()
        if kind < 0.4:
            self.add(f"{self.pick(*VECTORS)} = np.sin({self.vector()})")
        elif kind < 0.7:
            self.add(f"{self.pick(*MATRICES)} = np.tanh({self.matrix()})")
        else:
            self.add(f"t = np.sin({self.number()})")

    def slices(self) -> None:
        v = self.pick(*VECTORS)
        sign = self.pick("=", "+=", "-=", "*=")
        to, of = self.rng.choice(
            [
                ("1:", ":-1"),
                (":-1", "1:"),
                ("1:-1", "2:"),
                ("::2", "::2"),
                (":", "::-1"),
            ]
        )
        source = f"({self.vector(1)})" if self.rng.random() < 0.4 else v
        self.add(f"{v}[{to}] {sign} np.sin({source}[{of}])")

    def stencil(self) -> None:
        f = self.pick(*MATRICES)
        g = self.pick(f, f, *MATRICES)
        sign = self.pick("=", "+=")
        self.add(
            f"{f}[1:-1, 1:-1] {sign} 0.2 * ({g}[:-2, 1:-1] + {g}[2:, 1:-1]"
            f" + {g}[1:-1, 2:] - {g}[1:-1, 1:-1])"
        )

    def element(self) -> None:
        sign = self.pick("=", "+=")
        if self.rng.random() < 0.6:
            self.add(
                f"{self.pick(*VECTORS)}[{self.index()}] {sign} np.sin({self.number()})"
            )
        else:
            at = f"{self.index()}, {self.index()}"
            self.add(f"{self.pick(*MATRICES)}[{at}] {sign} np.sin({self.number()})")

    def rows(self) -> None:
        f, sign = self.pick(*MATRICES), self.pick("=", "+=")
        at = self.pick(f"{self.index()}", f":, {self.index()}", f"{self.index()}, ::-1")
        source = self.pick(f"{f}[:, 1]", f"{f}[0]", self.vector(1))
        self.add(f"{f}[{at}] {sign} np.sin({source})")

    def scatter(self) -> None:
        v = self.pick(*VECTORS)
        source = self.pick(v, self.vector(1))
        self.add(f"{v}[p] {self.pick('=', '+=')} np.cos({source})")

    def alias(self) -> None:
        """Another name, or a view, that is written through or read later."""
        self.count += 1
        name, v = f"v{self.count}", self.pick(*VECTORS)
        view = self.pick(f"{v}", f"{v}[1:]", f"{v}[::2]", f"{v}.copy()", f"{v}[:]")
        self.add(f"{name} = {view}")
        for _ in range(self.rng.randint(0, 2)):
            self.statement()
        self.add(f"{name}[0] = np.sin({name}[1] + t)")
        if self.rng.random() < 0.5:
            self.add(f"t = np.sin(np.sum({name}))")

    def swap(self) -> None:
        which = self.rng.random()
        if which < 0.5:
            v, w = self.rng.sample(VECTORS, 2)
            self.add(f"{v}, {w} = {w}, {v}")
        else:
            self.add("f, g = g, f" if which < 0.8 else "g = f.copy()")

    def loop(self) -> None:
        self.count += 1
        i = f"i{self.count}"
        span = self.pick("n", "1, n", "n - 1, -1, -1", "2", "n - n")
        self.add(f"for {i} in range({span}):")
        self.loops.append(i)
        self.body()
        self.loops.pop()

    def while_loop(self) -> None:
        self.count += 1
        k = f"k{self.count}"
        self.add(f"{k} = 0")
        test = self.pick("np.sum(a * a) < 9.0", "t < 0.9", "b[0] < 0.8")
        self.add(f"while {k} < 3 and {test}:")
        self.loops.append(f"({k} % n)")
        self.body()
        self.loops.pop()
        self.add(f"    {k} += 1")

    def branch(self) -> None:
        test = self.pick("t > 0.1", "n > 2", f"a[{self.index()}] < 0.3", "s < 0")
        self.add(f"if {test}:")
        self.body()
        if self.rng.random() < 0.5:
            self.add("else:")
            self.body()

    def body(self) -> None:
        self.depth += 1
        for _ in range(self.rng.randint(1, 3)):
            self.statement()
        self.depth -= 1
