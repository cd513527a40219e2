"""Random programs: loops, branches, writes, views, exits, as people write them.

A program is the source of a function `program(x, w, s, p, n)` of two float arrays, a
float, a permutation and an int, with the functions that it calls. Values stay small
(every store goes through a bounded function), so that derivatives are well conditioned.
The same source runs as plain Python, under gradjit, and on complex arrays for a
complex-step derivative.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.random.expressions import Expressions, Scope

SIZE = 5

HELPERS = """\
def smooth(v, k):
    for i in range(1, len(v)):
        if i == k:
            continue
        v[i] = 0.6 * v[i - 1] + np.sin(v[i])
    return v[0] + v[-1]


def fold(v, low, high):
    if high - low == 1:
        return np.sin(v[low])
    half = (low + high) // 2
    return fold(v, low, half) * 0.7 + fold(v, half, high)


"""


class Generator(Expressions):
    """Writes one program."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.lines: list[str] = []
        self.counter = 0
        self.dtype = self.rng.choice(["", ", dtype=x.dtype"])

    def source(self) -> str:
        """The functions of the program."""
        self.emit(0, "def program(x, w, s, p, n):")
        self.emit(1, self.rng.choice(["a = x.copy()", "a = x.copy()", "a = x"]))
        self.emit(1, f"b = np.zeros(n{self.dtype})")
        self.emit(1, f"m = np.zeros((n, 3){self.dtype})")
        self.emit(1, "q = p.copy()")
        self.emit(1, "t = 0.5")
        scope = Scope()
        for _ in range(self.rng.randint(2, 5)):
            self.statement(1, scope)
        self.emit(1, "r = np.sum(a * w) + np.sum(b * b) + np.sum(np.sin(m))")
        self.emit(1, "return r + s * t + 0.3 * x[q[0]]")
        return HELPERS + "\n".join(self.lines) + "\n"

    def emit(self, depth: int, text: str) -> None:
        self.lines.append("    " * depth + text)

    def fresh(self, stem: str) -> str:
        self.counter += 1
        return f"{stem}{self.counter}"

    # -------------------------------------------------------------- statements

    def statement(self, depth: int, scope: Scope) -> None:
        scope.budget -= 1
        simple = [
            self.scalar,
            self.store,
            self.store,
            self.slices,
            self.traced_slices,
            self.arrays,
            self.view,
            self.kept_view,
            self.integers,
            self.scratch,
            self.calls,
            self.items,
        ]
        simple += [self.swap, self.matrix]
        compound = [self.loop, self.loop, self.branch, self.while_loop, self.ragged]
        compound += [self.converge, self.rows]
        if scope.depth < 3 and scope.budget > 0 and self.rng.random() < 0.5:
            self.rng.choice(compound)(depth, scope)
        elif scope.in_loop and self.rng.random() < 0.12:
            self.exit(depth, scope)
        else:
            self.rng.choice(simple)(depth, scope)

    def body(self, depth: int, scope: Scope) -> None:
        for _ in range(self.rng.randint(1, 3)):
            self.statement(depth, scope)

    def scalar(self, depth: int, scope: Scope) -> None:
        name = self.rng.choice(["s", "t"])
        form = self.rng.choice(["{} = {}", "{} += 0.2 * {}", "{} *= {}"])
        self.emit(depth, form.format(name, self.bounded(scope)))

    def store(self, depth: int, scope: Scope) -> None:
        array = self.rng.choice(["a", "a", "b", "x", *scope.views])
        form = self.rng.choice(["{} = {}", "{} += 0.3 * {}", "{} *= {}", "{} -= {}"])
        index = self.index(scope)
        if array in scope.views:
            index = self.rng.choice("012")
        self.emit(depth, form.format(f"{array}[{index}]", self.bounded(scope)))

    def matrix(self, depth: int, scope: Scope) -> None:
        i = self.index(scope)
        target, value = self.rng.choice(
            [
                (f"m[{i}]", f"np.sin({self.expr(scope, 1)})"),
                (f"m[:, {self.rng.choice('012')}]", "np.tanh(a * b)"),
                (f"m[{i}, 1:]", f"0.5 * m[{self.index(scope)}, :2]"),
                ("m[1:-1, 0]", "np.sin(a[2:])"),
                ("m.T[1]", "np.sin(m[:, 0] + a)"),
                (f"m[:, ({i}) % 3]", "0.4 * b"),
                ("m.reshape(-1)[::3]", "np.cos(a)"),
                ("m[p, 0]", "np.sin(b)"),
            ]
        )
        self.emit(depth, f"{target} {self.rng.choice(['=', '+='])} {value}")

    def slices(self, depth: int, scope: Scope) -> None:
        f = self.rng.choice(["np.sin", "np.cos", "np.tanh"])
        text = self.rng.choice(
            [
                f"a[1:] += 0.4 * {f}(a[:-1])",
                f"b[:-1] = {f}(a[1:] * {self.atom(scope)})",
                f"a[::2] = {f}(b[::2]) * 0.7",
                f"b[1:-1] *= {f}(a[:-2] + a[2:])",
                f"a[::-1] = {f}(a)",
                f"a[a > 0.3] = {self.atom(scope)}",
                f"b[p] = {f}(a)",
                f"b += {f}(a[p])",
                f"b[:] = {f}({self.atom(scope)})",
                f"np.add.at(b, p // 2, {f}(a))",
                f"a[q] += 0.3 * {f}(b)",
                f"x[1:] = {f}(x[:-1] + a[1:])",
            ]
        )
        self.emit(depth, text)

    def traced_slices(self, depth: int, scope: Scope) -> None:
        f = self.rng.choice(["np.sin", "np.tanh"])
        array, span = self.rng.choice("abx"), self.span(scope)
        value = self.rng.choice(
            [
                f"{f}({array}[{span}]) * {self.atom(scope)}",
                f"{f}(w[{span}] + {self.expr(scope, 1)})",
                f"0.3 * {array}[{span}][::-1]",
                self.bounded(scope),
            ]
        )
        sign = self.rng.choice(["=", "+=", "*="])
        self.emit(depth, f"{array}[{span}] {sign} {value}")

    def arrays(self, depth: int, scope: Scope) -> None:
        e = self.expr(scope, 1)
        text = self.rng.choice(
            [
                f"a = np.tanh(a + 0.5 * b * {self.atom(scope)})",
                f"b = np.where(a > 0.1, np.sin(a), {e} * b)",
                "t += 0.1 * np.sum(a * b)",
                "t = np.tanh(np.dot(a, w))",
                "a = b.copy()",
                "b = np.sin(m @ a[:3])",
                "a = np.sin(np.sum(m, axis=1) + a)",
                "b = np.sin(np.cumsum(a))",
                "t += 0.2 * np.max(a)",
                "a = np.concatenate((a[2:], np.sin(b[:2])))",
                "m = np.tanh(np.outer(a, w[:3]) + m)",
                f"t = 0.5 * t + 0.1 * np.sum(a[{self.span(scope)}])",
            ]
        )
        self.emit(depth, text)

    def view(self, depth: int, scope: Scope) -> None:
        name = self.fresh("v")
        self.emit(depth, f"{name} = {self.viewed(scope)}")
        self.emit(depth, f"{name}[{self.rng.choice('012')}] = {self.bounded(scope)}")
        self.emit(depth, f"{name} *= 0.9")
        if self.rng.random() < 0.5:
            self.emit(depth, f"t += {name}[1] * 0.3")

    def kept_view(self, depth: int, scope: Scope) -> None:
        """A view that later statements of the block read and write."""
        name = self.fresh("v")
        self.emit(depth, f"{name} = {self.viewed(scope)}")
        scope.views.append(name)

    def viewed(self, scope: Scope) -> str:
        choices = ["a[1:4]", "b[::-1]", "a", "m[1]", "m[:, 1]", "m.T[2]", "a[::2]"]
        choices += ["m.reshape(-1)[2:8]", "m[1:4][::-1, 0]", "x[1:]"]
        choices += [f"m[{i}]" for i in scope.ints]
        return self.rng.choice(choices)

    def integers(self, depth: int, scope: Scope) -> None:
        """Permutations change, and stay permutations."""
        i, j = self.index(scope), self.index(scope)
        text = self.rng.choice(
            [
                f"q[{i}], q[{j}] = q[{j}], q[{i}]",
                "q = q[::-1]",
                "q = p[q]",
                "q[:] = np.roll(q, 1)",
                f"q[:] = (q + {j}) % n",
            ]
        )
        self.emit(depth, text)

    def scratch(self, depth: int, scope: Scope) -> None:
        """An array that lives for a few statements."""
        name = self.fresh("u")
        make = self.rng.choice(["np.zeros(3{})", "np.ones(4{})", "np.empty(3{})"])
        self.emit(depth, f"{name} = {make.format(self.dtype)}")
        i = self.fresh("i")
        self.emit(depth, f"for {i} in range(len({name})):")
        before = f" + 0.5 * {name}[{i} - 1] * ({i} > 0)" if "empty" not in make else ""
        self.emit(depth + 1, f"{name}[{i}] = a[{i}] * {self.atom(scope)}{before}")
        self.emit(depth, f"t += 0.1 * np.sum(np.sin({name}))")

    def calls(self, depth: int, scope: Scope) -> None:
        k = self.index(scope)
        text = self.rng.choice(
            [
                f"t += 0.1 * smooth(a, {k})",
                f"t = 0.2 * smooth(m[{k}], 1)",
                f"s = 0.3 * smooth(m[:, 1], {k})",
                "t = np.sin(fold(a, 0, 4))",
                "s += 0.1 * fold(b, 1, 4)",
            ]
        )
        self.emit(depth, text)

    def items(self, depth: int, scope: Scope) -> None:
        """A list of numbers that a loop carries."""
        name, i = self.fresh("c"), self.fresh("i")
        self.emit(depth, f"{name} = [t, {self.atom(scope)}, 0.2]")
        self.emit(depth, f"for {i} in range(n - 2):")
        inner = self.inner(scope, [i])
        text = self.rng.choice(
            [
                f"{name} = [{name}[1], np.sin({name}[0] * {self.atom(inner)}), s]",
                f"{name}[1] = np.sin({name}[0] + {self.atom(inner)})",
                f"{name} = {name}[1:] + [{self.bounded(inner)}]",
                f"{name}[0], {name}[2] = {name}[2], 0.7 * {name}[0]",
            ]
        )
        self.emit(depth + 1, text)
        self.emit(depth, f"t += 0.2 * {name}[0] - {name}[1] * {name}[2]")

    def swap(self, depth: int, scope: Scope) -> None:
        i, j = self.index(scope), self.index(scope)
        text = self.rng.choice(["a, b = b, a", f"a[{i}], a[{j}] = a[{j}], a[{i}]"])
        self.emit(depth, text)

    def exit(self, depth: int, scope: Scope) -> None:
        self.emit(depth, f"if {self.condition(scope)}:")
        if self.rng.random() < 0.5:
            self.emit(depth + 1, f"t = {self.bounded(scope)}")
        kind = self.rng.random()
        self.emit(
            depth + 1,
            "break" if kind < 0.45 else "continue" if kind < 0.9 else "return t * s",
        )

    # ---------------------------------------------------------- with a body

    def inner(self, scope: Scope, ints: list[str], in_loop: bool = True) -> Scope:
        return Scope(
            scope.ints + ints,
            list(scope.views),
            scope.depth + 1,
            in_loop,
            scope.budget // 2,
        )

    def after(self, depth: int, scope: Scope) -> None:
        """What may follow a loop: its else."""
        if self.rng.random() < 0.15:
            self.emit(depth, "else:")
            self.body(depth + 1, self.inner(scope, [], scope.in_loop))

    def loop(self, depth: int, scope: Scope) -> None:
        i = self.fresh("i")
        spans = ["range(n)", "range(1, n)", "range(n - 1, -1, -1)", "range(0, n, 2)"]
        spans += ["range(3)", "range(n - n)", "range(2, -3, -1)[:3]"]
        spans += [f"range({j}, n)" for j in scope.ints]
        spans += [f"range({j})" for j in scope.ints if j.startswith("i")]
        last = self.rng.random() < 0.2
        if last:
            self.emit(depth, f"{i} = 1")
        self.emit(depth, f"for {i} in {self.rng.choice(spans)}:")
        self.body(depth + 1, self.inner(scope, [i]))
        self.after(depth, scope)
        if last:
            self.emit(depth, f"t += 0.1 * {i} * a[{i}]")

    def ragged(self, depth: int, scope: Scope) -> None:
        if not scope.ints:
            return self.loop(depth, scope)
        i, array = self.fresh("i"), self.rng.choice("pq")
        k = self.rng.choice(scope.ints)
        self.emit(depth, f"for {i} in range({array}[{k}]):")
        return self.body(depth + 1, self.inner(scope, [i]))

    def rows(self, depth: int, scope: Scope) -> None:
        """A loop over rows, which are views, or over elements."""
        i, row = self.fresh("i"), self.fresh("v")
        what, view = self.rng.choice([("m", True), ("a", False), ("m.T", True)])
        self.emit(depth, f"for {i}, {row} in enumerate({what}):")
        inner = self.inner(scope, [f"({i} % 3)"])
        if view:
            inner.views.append(row)
        else:
            self.emit(depth + 1, f"t += 0.1 * {row} * {row}")
        self.body(depth + 1, inner)

    def while_loop(self, depth: int, scope: Scope) -> None:
        k = self.fresh("k")
        self.emit(depth, f"{k} = 0")
        limit = self.rng.choice(["3", "n", "2 + n % 2", "q[0]"])
        extra = self.rng.choice(
            ["", " and t * t < 4.0", f" and ({self.condition(scope)})"]
        )
        self.emit(depth, f"while {k} < {limit}{extra}:")
        self.emit(depth + 1, f"{k} += 1")
        self.body(depth + 1, self.inner(scope, [f"({k} % n)"]))
        self.after(depth, scope)

    def converge(self, depth: int, scope: Scope) -> None:
        """Steps until nothing moves, at most a few."""
        k, old = self.fresh("k"), self.fresh("old")
        self.emit(depth, f"for {k} in range(9):")
        self.emit(depth + 1, f"{old} = t")
        self.emit(depth + 1, f"t = 0.3 * np.cos(t + {self.atom(scope)})")
        self.body(depth + 1, self.inner(scope, [f"({k} % n)"]))
        self.emit(depth + 1, f"if (t - {old}) ** 2 < 1e-3:")
        self.emit(depth + 2, "break")

    def branch(self, depth: int, scope: Scope) -> None:
        self.emit(depth, f"if {self.condition(scope)}:")
        self.body(depth + 1, self.inner(scope, [], scope.in_loop))
        if self.rng.random() < 0.3:
            self.emit(depth, f"elif {self.condition(scope)}:")
            self.body(depth + 1, self.inner(scope, [], scope.in_loop))
        if self.rng.random() < 0.6:
            self.emit(depth, "else:")
            self.body(depth + 1, self.inner(scope, [], scope.in_loop))


def program(seed: int) -> str:
    """The source of a program."""
    return Generator(seed).source()


def arguments(seed: int, dtype: Any = np.float64) -> tuple[Any, ...]:
    """Arguments for a program; arrays of floats have the dtype."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1.0, 1.0, SIZE).astype(dtype)
    w = rng.uniform(-1.0, 1.0, SIZE).astype(dtype)
    return x, w, float(rng.uniform(-1, 1)), rng.permutation(SIZE), SIZE
