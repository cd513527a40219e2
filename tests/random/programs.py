"""Random programs: loops, branches, writes, views, exits, as people write them.

A program is the source of a function `program(x, w, s, p, n)` of two float arrays, a
float, a permutation and an int. Values stay small (every store goes through a bounded
function), so that derivatives are well conditioned. The same source runs as plain
Python, under gradjit, and on complex arrays for a complex-step derivative.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

SIZE = 5


@dataclass
class Scope:
    """What a statement can use."""

    ints: list[str] = field(default_factory=list)
    depth: int = 0
    in_loop: bool = False
    budget: int = 60


class Generator:
    """Writes one program."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.lines: list[str] = []
        self.counter = 0

    def source(self) -> str:
        """The whole function."""
        self.emit(0, "def program(x, w, s, p, n):")
        self.emit(1, "a = x.copy()")
        self.emit(1, "b = np.zeros(n)")
        self.emit(1, "m = np.zeros((n, 3))")
        self.emit(1, "t = 0.5")
        scope = Scope()
        for _ in range(self.rng.randint(2, 5)):
            self.statement(1, scope)
        self.emit(1, "r = np.sum(a * w) + np.sum(b * b) + np.sum(np.sin(m))")
        self.emit(1, "return r + s * t")
        return "\n".join(self.lines) + "\n"

    def emit(self, depth: int, text: str) -> None:
        self.lines.append("    " * depth + text)

    def fresh(self, stem: str) -> str:
        self.counter += 1
        return f"{stem}{self.counter}"

    # ------------------------------------------------------------- expressions

    def index(self, scope: Scope) -> str:
        """An index that is always inside, often computed."""
        options = ["0", "-1", "n - 1", "2"]
        for i in scope.ints:
            options += [i, f"n - 1 - {i}", f"({i} + 1) % n", f"p[{i}]", f"{i} - 1"]
        return self.rng.choice(options)

    def atom(self, scope: Scope) -> str:
        i = self.index(scope)
        column = self.rng.choice(["0", "1", "-1"])
        choices = ["s", "t", f"x[{i}]", f"a[{i}]", f"a[{i}]", f"b[{i}]", f"w[{i}]"]
        choices += [f"m[{i}, {column}]", repr(self.rng.choice([0.3, 0.7, -0.4, 1.2]))]
        if scope.ints:
            choices.append(f"0.1 * {self.rng.choice(scope.ints)}")
        return self.rng.choice(choices)

    def expr(self, scope: Scope, depth: int = 2) -> str:
        """A smooth bounded expression."""
        if depth == 0:
            return self.atom(scope)
        e, f = self.expr(scope, depth - 1), self.expr(scope, depth - 1)
        return self.rng.choice(
            [
                f"np.sin({e} + {f})",
                f"np.cos({e}) * {self.atom(scope)}",
                f"np.tanh({e}) - 0.5 * {self.atom(scope)}",
                f"{e} / (1.5 + np.sin({f}))",
                f"0.5 * ({e}) * np.cos({f})",
                f"np.sin({e}) ** 2",
                f"({e} if {self.condition(scope)} else {f})",
            ]
        )

    def bounded(self, scope: Scope) -> str:
        return self.rng.choice(["np.sin", "np.tanh"]) + f"({self.expr(scope)})"

    def condition(self, scope: Scope) -> str:
        level = self.rng.choice([0.1, 0.37, -0.21])
        choices = [f"{self.atom(scope)} > {level}", f"t < {level}", "n > 3"]
        if scope.ints:
            i = self.rng.choice(scope.ints)
            choices += [
                f"{i} % 2 == 0",
                f"{i} < 2",
                f"1 <= {i} < n - 1",
                f"{i} == p[{i}]",
            ]
        first = self.rng.choice(choices)
        if self.rng.random() < 0.2:
            return (
                f"{first} {self.rng.choice(['and', 'or'])} {self.rng.choice(choices)}"
            )
        return first

    # -------------------------------------------------------------- statements

    def statement(self, depth: int, scope: Scope) -> None:
        scope.budget -= 1
        simple = [
            self.scalar,
            self.store,
            self.store,
            self.slices,
            self.arrays,
            self.view,
        ]
        simple += [self.swap, self.matrix]
        compound = [self.loop, self.loop, self.branch, self.while_loop, self.ragged]
        if scope.depth < 3 and scope.budget > 0 and self.rng.random() < 0.55:
            self.rng.choice(compound)(depth, scope)
        elif scope.in_loop and self.rng.random() < 0.1:
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
        array = self.rng.choice(["a", "a", "b"])
        form = self.rng.choice(["{} = {}", "{} += 0.3 * {}", "{} *= {}", "{} -= {}"])
        target = f"{array}[{self.index(scope)}]"
        self.emit(depth, form.format(target, self.bounded(scope)))

    def matrix(self, depth: int, scope: Scope) -> None:
        i = self.index(scope)
        target, value = self.rng.choice(
            [
                (f"m[{i}]", f"np.sin({self.expr(scope, 1)})"),
                (f"m[:, {self.rng.choice('012')}]", "np.tanh(a * b)"),
                (f"m[{i}, 1:]", f"0.5 * m[{self.index(scope)}, :2]"),
                ("m[1:-1, 0]", "np.sin(a[2:])"),
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
            ]
        )
        self.emit(depth, text)

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
            ]
        )
        self.emit(depth, text)

    def view(self, depth: int, scope: Scope) -> None:
        name = self.fresh("v")
        self.emit(
            depth, f"{name} = {self.rng.choice(['a[1:4]', 'b[::-1]', 'a', 'm[1]'])}"
        )
        self.emit(depth, f"{name}[{self.rng.choice('012')}] = {self.bounded(scope)}")
        self.emit(depth, f"{name} *= 0.9")
        if self.rng.random() < 0.5:
            self.emit(depth, f"t += {name}[1] * 0.3")

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

    def inner(self, scope: Scope, ints: list[str], in_loop: bool = True) -> Scope:
        inner = Scope(scope.ints + ints, scope.depth + 1, in_loop, scope.budget // 2)
        return inner

    def loop(self, depth: int, scope: Scope) -> None:
        i = self.fresh("i")
        spans = ["range(n)", "range(1, n)", "range(n - 1, -1, -1)", "range(0, n, 2)"]
        spans += ["range(3)", "range(n - n)"]
        spans += [f"range({j}, n)" for j in scope.ints]
        spans += [f"range({j})" for j in scope.ints if j.startswith("i")]
        self.emit(depth, f"for {i} in {self.rng.choice(spans)}:")
        self.body(depth + 1, self.inner(scope, [i]))

    def ragged(self, depth: int, scope: Scope) -> None:
        if not scope.ints:
            return self.loop(depth, scope)
        i = self.fresh("i")
        self.emit(depth, f"for {i} in range(p[{self.rng.choice(scope.ints)}]):")
        return self.body(depth + 1, self.inner(scope, [i]))

    def while_loop(self, depth: int, scope: Scope) -> None:
        k = self.fresh("k")
        self.emit(depth, f"{k} = 0")
        limit = self.rng.choice(["3", "n", "2 + n % 2"])
        extra = self.rng.choice(
            ["", " and t * t < 4.0", f" and ({self.condition(scope)})"]
        )
        self.emit(depth, f"while {k} < {limit}{extra}:")
        self.emit(depth + 1, f"{k} += 1")
        self.body(depth + 1, self.inner(scope, [f"({k} % n)"]))

    def branch(self, depth: int, scope: Scope) -> None:
        self.emit(depth, f"if {self.condition(scope)}:")
        inner = self.inner(scope, [], scope.in_loop)
        self.body(depth + 1, inner)
        if self.rng.random() < 0.3:
            self.emit(depth, f"elif {self.condition(scope)}:")
            self.body(depth + 1, inner)
        if self.rng.random() < 0.6:
            self.emit(depth, "else:")
            self.body(depth + 1, inner)


def program(seed: int) -> str:
    """The source of a program."""
    return Generator(seed).source()


def arguments(seed: int) -> tuple[Any, ...]:
    """Arguments for a program."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1.0, 1.0, SIZE)
    w = rng.uniform(-1.0, 1.0, SIZE)
    return x, w, float(rng.uniform(-1, 1)), rng.permutation(SIZE), SIZE


def complex_numpy() -> SimpleNamespace:
    """What stands for NumPy in a complex-step run."""

    def zeros(shape: Any) -> Any:
        return np.zeros(shape, dtype=complex)

    names = ("sin", "cos", "tanh", "sum", "where", "dot")
    return SimpleNamespace(zeros=zeros, **{k: getattr(np, k) for k in names})


def complex_step(source: str, args: tuple[Any, ...]) -> list[Any]:
    """Derivatives by x, w and s: exact to rounding (Squire and Trapp, 1998)."""
    namespace: dict[str, Any] = {"np": complex_numpy()}
    exec(compile(source, "<complex>", "exec"), namespace)
    h = 1e-30
    grads: list[Any] = []
    for k in range(3):
        grad = np.zeros(np.shape(args[k]))
        for at in np.ndindex(grad.shape):
            moved = [np.array(a, dtype=complex) for a in args[:2]]
            moved += [np.complex128(args[2])]
            if at:
                moved[k][at] += 1j * h
            else:
                moved[k] += 1j * h
            grad[at] = np.imag(namespace["program"](*moved, *args[3:])) / h
        grads.append(grad)
    return grads
