"""Random programs of loops over the same rows, for the tests of `rows` and `shrink`.

A program is the source of `program(x, w)`, of an n by m array and an array of n: two to
four loops over rows, or statements on whole arrays. They fill arrays row by row, and
read what others have filled: mostly the row, sometimes a neighbour, another version, or
the whole. It returns a number.
"""

from __future__ import annotations

import random

_WIDE, _LONG = ("a", "b"), ("u", "v")


class Rows:
    """Writes one program."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.lines: list[str] = []

    def source(self) -> str:
        self.lines = [
            "def program(x, w):",
            "    n, m = x.shape",
            f"    a, b = {self.start()}, {self.start()}",
            "    u, v = np.zeros(n), w.copy()",
            "    s = 0.0",
        ]
        for _ in range(self.rng.randint(2, 4)):
            self.rng.choice([self.loop, self.loop, self.loop, self.whole])()
        total = "s + np.sum(np.sin(a)) + np.sum(b * x) + np.sum(u * w) + np.sum(v * v)"
        self.lines.append(f"    return {total}")
        return "\n".join(self.lines) + "\n"

    def start(self) -> str:
        return self.rng.choice(["np.zeros((n, m))", "x.copy()", "0.5 * x"])

    def row(self) -> str:
        return self.rng.choice(["i"] * 12 + ["n - 1 - i", "(i + 1) % n", "0"])

    def element(self, inner: bool) -> str:
        j = self.rng.choice(["j"] * 6 + ["m - 1 - j"]) if inner else "0"
        wide = [f"x[i, {j}]"] + [f"{a}[{self.row()}, {j}]" for a in _WIDE]
        long = ["w[i]"] + [f"{u}[{self.row()}]" for u in _LONG] + ["r", "s"]
        return self.rng.choice(wide * 2 + long)

    def term(self, inner: bool) -> str:
        one, two = self.element(inner), self.element(inner)
        return self.rng.choice(
            [
                f"np.sin({one}) * {two}",
                f"np.tanh({one} - {two})",
                f"0.5 * {one} + np.cos({two})",
                f"max({one}, np.sin({two}))",
                f"(np.sin({one}) if {two} > 0.3 else 0.5 * {one})",
            ]
        )

    def loop(self) -> None:
        add = self.lines.append
        add("    for i in range(n):")
        add("        r = 0.3")
        for _ in range(self.rng.randint(1, 3)):
            if self.rng.random() < 0.3:
                add(f"        {self.target(False)} {self.term(False)}")
                continue
            span = self.rng.choice(["range(m)"] * 3 + ["range(1, m)"])
            add(f"        for j in {span}:")
            for _ in range(self.rng.randint(1, 2)):
                add(f"            {self.target(True)} {self.term(True)}")
        if self.rng.random() < 0.4:
            add("        s += 0.3 * r")

    def target(self, inner: bool) -> str:
        sign = self.rng.choice(["=", "+=", "="])
        if self.rng.random() < 0.3:
            return "r = 0.5 * r +"
        if inner and self.rng.random() < 0.7:
            return f"{self.rng.choice(_WIDE)}[{self.row()}, j] {sign}"
        return f"{self.rng.choice(_LONG)}[{self.row()}] {sign}"

    def whole(self) -> None:
        a, b = self.rng.choice(_WIDE), self.rng.choice(_WIDE)
        u = self.rng.choice(_LONG)
        self.lines.append(
            "    "
            + self.rng.choice(
                [
                    f"{a} = np.sin({b}) * {u}[:, None]",
                    f"{u} = np.tanh(np.sum({a}, axis=1))",
                    f"{u} = np.max({a} + x, axis=1)",
                    f"{a} = {b} - np.mean({a}, axis=1, keepdims=True)",
                    f"{a} = np.exp(np.sin({b}) - np.max(x, axis=1, keepdims=True))",
                    f"s = s + np.sum(np.tanh({a}) * x)",
                    f"{b} = {a}",
                    f"{a} = np.cos({b} + np.sum({a}, axis=0))",
                ]
            )
        )
