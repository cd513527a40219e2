"""Random programs of what a device is for: arrays, rows, scalar functions, time steps.

A program is the source of a function `program(x, y, z, k, p, q)` of a matrix, an array
for its columns, one for its rows, a small int, and indices of rows and columns. Values
stay near one, so that derivatives are well conditioned.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

_UNARY = ("np.sin({})", "np.tanh({})", "0.5 * {}", "-{}", "np.exp(-{} * {})")
_BINARY = (
    "({} + {})",
    "({} - {})",
    "({} * {})",
    "np.maximum({}, {})",
    "{} / (1.5 + {} ** 2)",
)


def program(seed: int) -> str:
    """The source of a program."""
    return _Generator(seed).source()


def arguments(seed: int, dtype: Any) -> tuple[Any, ...]:
    """Arguments for it; one axis in five has an awkward extent."""
    rng = np.random.default_rng(seed)
    n, m = (
        int(rng.choice([0, 1, 2, 31, 33])) if rng.random() < 0.2 else int(usual)
        for usual in rng.integers(3, 9, size=2)
    )
    x, y, z = (rng.normal(size=s).astype(dtype) for s in ((n, m), m, n))
    if rng.random() < 0.3:
        x = np.asfortranarray(x)
    if rng.random() < 0.2:
        x = np.repeat(x, 2, axis=1)[:, ::-2]
    p = rng.integers(0, max(n, 1), size=n)
    q = rng.permutation(m)
    return x, y, z, int(rng.integers(0, 4)), p, q


class _Generator:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.lines: list[str] = []
        self.matrices = ["x"]
        self.rows = ["y"]
        self.columns = ["z"]
        self.numbers: list[str] = []
        self.counter = 0

    def source(self) -> str:
        self.emit(0, "def program(x, y, z, k, p, q):")
        for text in ("n, m = x.shape", "a = x.copy()", "b = np.sin(x)"):
            self.emit(1, text)
        for text in ("r = y.copy()", "c = np.zeros(n, x.dtype)", "t = 0.5"):
            self.emit(1, text)
        self.matrices += ["a", "b"]
        self.rows.append("r")
        self.columns.append("c")
        self.numbers.append("t")
        for _ in range(self.rng.randint(1, 4)):
            self.statement()
        self.emit(1, "return np.sum(a * b) + np.sum(r * r) + np.sum(np.sin(c)) + t")
        return "\n".join(self.lines) + "\n"

    def emit(self, depth: int, text: str) -> None:
        self.lines.append("    " * depth + text)

    def pick(self, texts: Sequence[str]) -> str:
        return self.rng.choice(texts)

    # -------------------------------------------------------------- expressions

    def combined(self, leaf: Any, depth: int) -> str:
        """An expression over what `leaf` makes."""
        if depth <= 0 or self.rng.random() < 0.3:
            return leaf(depth)
        if self.rng.random() < 0.4:
            inside = self.combined(leaf, depth - 1)
            template = self.pick(_UNARY)
            return template.format(*[f"({inside})"] * template.count("{}"))
        parts = [self.combined(leaf, depth - 1) for _ in range(2)]
        return self.pick(_BINARY).format(*(f"({part})" for part in parts))

    def matrix(self, depth: int = 2) -> str:
        return self.combined(self.matrix_leaf, depth)

    def matrix_leaf(self, depth: int) -> str:
        if depth <= 0 or self.rng.random() < 0.5:
            return self.pick(self.matrices)
        inner = self.matrix(depth - 1)
        return self.pick(
            [
                self.row(depth - 1),
                f"{self.column(depth - 1)}[:, None]",
                f"({inner})[::-1]",
                f"({inner})[:, ::-1]",
                f"({inner})[p]",
                f"({inner})[:, q]",
                f"({inner}).sum(axis=0)",
                f"({inner}).mean(axis=1, keepdims=True)",
                f"({inner}).max(axis=1, keepdims=True)",
                f"np.where(({inner}) > 0.1, {self.matrix(0)}, {self.row(0)})",
                f"({inner}).T.copy().T",
                self.number(depth - 1),
            ]
        )

    def row(self, depth: int = 2) -> str:
        return self.combined(self.row_leaf, depth)

    def row_leaf(self, depth: int) -> str:
        if depth <= 0 or self.rng.random() < 0.5:
            return self.pick(self.rows)
        inner = self.matrix(depth - 1)
        return self.pick(
            [
                f"({inner}).sum(axis=0)",
                f"({inner}).mean(axis=0)",
                f"({inner}).T.sum(axis=1)",
                f"({self.row(0)})[::-1]",
                f"({self.row(0)})[q]",
                f"({inner})[0]",
                f"({self.column(0)} @ {self.matrix(0)})",
                self.number(depth - 1),
            ]
        )

    def column(self, depth: int = 2) -> str:
        return self.combined(self.column_leaf, depth)

    def column_leaf(self, depth: int) -> str:
        if depth <= 0 or self.rng.random() < 0.5:
            return self.pick(self.columns)
        inner = self.matrix(depth - 1)
        return self.pick(
            [
                f"({inner}).sum(axis=1)",
                f"np.prod(np.cos({self.matrix(0)}), axis=1)",
                f"({self.matrix(0)})[np.arange(n), np.argmax({inner}, axis=1)]",
                f"({self.column(0)})[p]",
                f"({self.matrix(0)} @ {self.row(0)})",
                f"({inner})[:, -1]",
            ]
        )

    def number(self, depth: int = 2) -> str:
        inner = self.matrix(depth - 1)
        return self.pick(
            [
                *self.numbers,
                "0.5",
                f"np.sum({inner}) * 0.1",
                f"np.max({self.row(0)})",
                f"np.mean({self.matrix(0)}, axis=(0, 1))",
                f"{self.pick(self.columns)}[-1]",
                f"{self.pick(self.rows)}[np.argmin({self.row(0)})]",
                f"(0.3 if np.sum({self.row(0)}) > 0.2 else 0.7)",
            ]
        )

    # --------------------------------------------------------------- statements

    def statement(self) -> None:
        self.rng.choice(
            [
                self.whole,
                self.part,
                self.part,
                self.masked,
                self.row_loop,
                self.row_loop,
                self.row_loop,
                self.scalar_loop,
                self.steps,
                self.scattered,
                self.view,
            ]
        )()

    def whole(self) -> None:
        kind = self.rng.randrange(4)
        if kind == 0:
            self.emit(1, f"{self.pick('ab')} = np.tanh({self.matrix()}) + 0.0 * x")
        elif kind == 1:
            self.emit(1, f"r = np.tanh({self.row()}) + 0.0 * y")
        elif kind == 2:
            self.emit(1, f"c = np.tanh({self.column()}) + 0.0 * z")
        else:
            self.emit(1, f"t = t + np.tanh({self.number()})")

    def part(self) -> None:
        a, b = self.pick("ab"), self.pick("ab")
        matrix, row = self.matrix(1), self.row(1)
        self.emit(
            1,
            self.pick(
                [
                    f"{a}[1:-1] += 0.3 * np.sin(({matrix}) + x)[2:]",
                    f"{a}[::2] = np.sin(({matrix}) + x)[::2]",
                    f"{a}[:, 1:] = 0.5 * {b}[:, :-1]",
                    f"{a}[:-1] -= 0.5 * {b}[1:]",
                    f"{a}[::-1, 1:] *= np.cos({b})[:, 1:]",
                    f"{a}[:] = np.tanh({row})",
                    f"{a}[0] = np.tanh({row})",
                    f"{a}[:, -1] += np.tanh({self.column(1)})",
                    "r[1:] = r[:-1] * 0.5",
                    f"r[::-1] = np.tanh({row})",
                    "r[2:-2] += r[:-4] - r[4:]",
                    f"c[::-2] = np.sin({self.column(1)} + z)[::-2]",
                    f"r[0] = np.tanh({self.number(1)})",
                ]
            ),
        )

    def masked(self) -> None:
        name = self.pick(["a", "b", "r", "c"])
        value = self.pick(["0.2", "0.2", "0.1 * t", "{0}[{0} > 0.3] * 0.5"])
        sign = self.pick(["=", "=", "+=", "*="])
        self.emit(1, f"{name}[{name} > 0.3] {sign} {value.format(name)}")

    def scattered(self) -> None:
        self.emit(
            1,
            self.pick(
                [
                    f"np.add.at(c, p, np.tanh({self.column(1)}) * 0.3)",
                    "np.add.at(a, (p, 0), np.tanh(c) + np.cos(z))",
                    f"r[q] = np.tanh({self.row(1)}) + 0.0 * y",
                    f"r[q] += np.tanh({self.row(1)})",
                    f"a[p, 0] += np.tanh({self.column(1)})",
                    f"np.add.at(a, p, 0.2 * np.tanh({self.matrix(1)}))",
                ]
            ),
        )

    def view(self) -> None:
        name = f"v{self.counter}"
        self.counter += 1
        a = self.pick("ab")
        self.emit(1, f"{name} = {a}[{self.pick(['::-1', ':, ::-1', '1:', 'p'])}]")
        self.emit(1, f"{name} {self.pick(['*=', '+='])} np.cos({name}) * 0.5")
        self.emit(1, f"{self.pick('ab')} *= 0.9")

    def scalar_loop(self) -> None:
        """A thread for each iteration."""
        where = self.pick(["numba.prange(n)", "range(n)"])
        self.emit(1, f"for i in {where}:")
        self.emit(2, f"u = {self.pick(['z[i]', 'c[i]', 'np.sin(z[i]) + t'])}")
        body = self.rng.sample(
            [
                ["while u > 0.3:", "    u = u * 0.7 * np.cos(0.1 * u)"],
                [
                    "for j in range(m):",
                    "    if r[j] > u + 1.0:",
                    "        break",
                    "    u += 0.1 * r[j] * x[i, j]",
                ],
                ["if u > 0.0:", "    u = np.sin(u)", "else:", "    u = u * u * 0.3"],
                ["s = np.zeros(3)", "s[0] = u", "s[1:] = s[:-1] + u", "u = np.sum(s)"],
                ["for j in range(1, m):", "    a[i, j] = 0.5 * a[i, j - 1] + u * 0.1"],
                ["u = max(u, 0.1) * min(u, 2.0)"],
                ["u = u * b[p[i], 0]"],
                ["if u > 0.4:", "    c[i] = u", "    continue"],
            ],
            self.rng.randint(1, 3),
        )
        for line in (line for part in body for line in part):
            self.emit(2, line)
        self.emit(2, self.pick(["c[i] = np.tanh(u)", "c[i] += u", "t += 0.1 * u"]))

    def row_loop(self) -> None:
        """A block for each iteration."""
        where = self.pick(["numba.prange(n)", "range(n)", "range(n - 1, -1, -1)"])
        self.emit(1, f"for i in {where}:")
        start = ["a[i].copy()", "np.sin(b[i])", "np.zeros(m)", "x[i] * y", "x[i] - t"]
        self.emit(2, f"v = {self.pick(start)}")
        self.emit(2, "w = np.cos(x[i])")
        self.emit(2, "u = 0.3")
        for _ in range(self.rng.randint(1, 5)):
            for line in self.in_row():
                self.emit(2, line)
        ends = ["a[i] = v", "a[i] += np.tanh(v)", "b[i, :] = np.tanh(v) * u"]
        ends += [
            "c[i] = np.tanh(u) + np.tanh(np.sum(v))",
            "t += np.tanh(np.sum(v * w))",
        ]
        ends += ["r += 0.1 * np.tanh(v)", "a[i, 1:] = np.tanh(v)[:-1]"]
        for line in self.rng.sample(ends, self.rng.randint(1, 2)):
            self.emit(2, line)

    def in_row(self) -> list[str]:
        """A statement of an iteration."""
        name, other = self.rng.sample(["v", "w"], 2)
        return self.rng.choice(
            [
                [f"{name} = {name} / (1.0 + np.sum({other} * {other}))"],
                [f"{name}[1:] = {name}[1:] + {name}[:-1] * 0.3"],
                [f"{name}[::2] += {other}[::2]"],
                [f"{name}[0] = np.tanh(u)"],
                [f"u = u + {name}[m // 2] * {other}[0]"],
                [f"u = np.max({name}) * 0.5"],
                [f"u = {name}[np.argmax({other})]"],
                ["for j in range(m):", f"    u += 0.1 * v[j] * {name}[j]"],
                ["for j in range(1, m):", f"    {name}[j] += 0.3 * {name}[j - 1]"],
                [
                    "for _ in range(k):",
                    f"    {name} = np.sin({name} + np.sum({other}))",
                ],
                ["for _ in range(k):", "    v, w = w, v * 0.5 + np.mean(w)"],
                [
                    "for j in range(k):",
                    f"    {name}[0] = 0.5 * {name}[m - 1] + 0.1 * {other}[j % m]",
                    f"    {name} *= 0.9",
                ],
                ["if u > 0.2:", f"    u = {name}[0] * 0.5"],
                ["if u > 0.2:", f"    {name} = {name} * 0.5"],
                [f"{name}[{name} > 0.4] = 0.4"],
                [f"{name} += r"],
                [f"{name} = {name}[::-1] * 0.5 + {other}"],
                [f"{name} = {name}[q] * 0.8"],
                [f"{name}[m - 1] = {other}[q[0]]"],
                [f"np.add.at({name}, q // 2, {other} * 0.2)"],
                [f"{name}[-1] *= {other}[-1]"],
                ["for j in range(m):", f"    {name}[j] = np.sin({other}[j]) * u"],
                [
                    "for j in range(m):",
                    f"    {name}[j] = np.sum(np.tanh(b[i] * {other}[j])) * 0.1",
                ],
            ]
        )

    def steps(self) -> None:
        """A loop of the host."""
        self.emit(1, "for step in range(k):")
        self.rng.choice([self.swapped, self.settled, self.in_place])()

    def swapped(self) -> None:
        self.emit(2, "g = a.copy()")
        self.emit(2, "g[1:-1] = 0.4 * (a[2:] + a[:-2]) - 0.1 * np.sin(a[1:-1])")
        self.emit(2, self.pick(["a = g", "a, b = g, a", "b = g * 0.5"]))

    def settled(self) -> None:
        self.emit(2, f"t = np.tanh(t + {self.number(1)})")
        self.emit(2, "if t > 0.4:")
        self.emit(3, self.pick(["r = r * 0.5", "r *= t", "break", "a[0] = r"]))
        self.emit(2, "r = np.sin(r + t)")

    def in_place(self) -> None:
        self.emit(2, "a[1:-1, 1:-1] += 0.1 * (b[2:, 1:-1] - b[:-2, 1:-1])")
        self.emit(2, "b[1:] -= 0.1 * (a[1:] - a[:-1])")
        self.emit(2, self.pick(["r[step % m] += 0.1", "t += 0.1 * np.sum(a)", "pass"]))
