"""What random programs compute with: names, indices, expressions, conditions."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass
class Scope:
    """What a statement can use.

    Attributes:
        ints: Expressions that are inside of range(n).
        views: Names of views of one axis with at least three elements.
        helpers: Whether functions of the program may be called.
    """

    ints: list[str] = field(default_factory=list)
    views: list[str] = field(default_factory=list)
    depth: int = 0
    in_loop: bool = False
    budget: int = 60


class Expressions:
    """Writes expressions that are smooth, bounded, and the same on complex numbers."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def index(self, scope: Scope) -> str:
        """An index that is always inside, often computed."""
        options = ["0", "-1", "n - 1", "2", "q[1]"]
        for i in scope.ints:
            options += [i, f"n - 1 - {i}", f"({i} + 1) % n", f"p[{i}]", f"{i} - 1"]
            options += [f"q[{i}]"]
        return self.rng.choice(options)

    def span(self, scope: Scope) -> str:
        """A slice of an axis of n elements, perhaps empty."""
        options = ["1:", ":-1", "::2", "::-1", "1:4", ":"]
        for i in scope.ints:
            options += [f"{i}:", f":{i}", f"{i}:{i} + 2", f":{i} + 1", f"{i}::-1"]
            options += [f"max({i} - 1, 0):{i} + 2", f"p[{i}]:n - 1", f"-1 - {i}:"]
        return self.rng.choice(options)

    def atom(self, scope: Scope) -> str:
        i = self.index(scope)
        column = self.rng.choice(["0", "1", "-1"])
        choices = ["s", "t", f"x[{i}]", f"a[{i}]", f"a[{i}]", f"b[{i}]", f"w[{i}]"]
        choices += [f"m[{i}, {column}]", repr(self.rng.choice([0.3, 0.7, -0.4, 1.2]))]
        choices += [f"{v}[{self.rng.choice('012')}]" for v in scope.views]
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
                f"max({e}, {f})",
            ]
        )

    def bounded(self, scope: Scope) -> str:
        return self.rng.choice(["np.sin", "np.tanh"]) + f"({self.expr(scope)})"

    def condition(self, scope: Scope) -> str:
        level = self.rng.choice([0.1, 0.37, -0.21])
        choices = [f"{self.atom(scope)} > {level}", f"t < {level}", "n > 3"]
        choices += ["q[0] > q[-1]", f"{self.atom(scope)} <= {self.atom(scope)}"]
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
