"""Checks of subscripts that move out of loops raise exactly where NumPy raises."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from gradjit.ops.evaluate import evaluate
from tests.passes.lowering import load, stages

X = np.array([0.3, -1.2, 0.8, 2.0, -0.4])
CALLS = 60


def source(rng: random.Random) -> str:
    """Two nested loops with affine subscripts."""
    sign = rng.choice(["", "-"])
    steps = [rng.choice(["1", "2", "3", "-1", "-2"]) for _ in range(2)]
    wide = rng.choice(["d", "d + i", "d - i", "i"])
    factors = [rng.choice(["1", "2", "-1", "0"]) for _ in range(2)]
    body = f"total += x[{sign}({factors[0]} * i + {factors[1]} * j + h)]"
    if rng.random() < 0.3:
        body = f"if j != 1:\n                {body}"
    return f"""def program(x, a, b, c, d, h):
    total = 0.0
    for i in range(a, b, {steps[0]}):
        for j in range(c, {wide}, {steps[1]}):
            {body}
    return total
"""


@pytest.mark.parametrize("seed", range(40))
def test_checks_raise_where_numpy_does(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    program = load(source(rng), tmp_path)
    graph = stages(program, X, 0, 1, 0, 1, 0)["fuse"]
    raised = 0
    for _ in range(CALLS):
        args = [X, *(rng.randint(-3, 5) for _ in range(5))]
        try:
            want = program(*args)
        except IndexError:
            raised += 1
            with pytest.raises(IndexError, match="out of bounds for axis 0"):
                evaluate(graph, args)
        else:
            np.testing.assert_allclose(evaluate(graph, args), [want])
    assert raised < CALLS


MISFIT = """def program(x, y, k):
    total = 0.0
    for i in range(k):
        if i > 1:
            total += 1.0
        total += np.sum(x * y)
        for j in range(k - 1):
            total += np.max(x + y)
    return total
"""


@pytest.mark.parametrize("k", [-1, 0, 1, 3])
@pytest.mark.parametrize("extents", [(4, 4), (4, 3), (0, 0)])
def test_extents_are_checked_only_if_the_loop_runs(
    k: int, extents: tuple[int, int], tmp_path: Path
) -> None:
    program = load(MISFIT, tmp_path)
    x, y = (np.arange(float(n)) for n in extents)
    graph = stages(program, X, X, 2)["fuse"]
    try:
        want = program(x, y, k)
    except ValueError:
        with pytest.raises(ValueError, match=r"differ|zero-size"):
            evaluate(graph, [x, y, k])
    else:
        np.testing.assert_allclose(evaluate(graph, [x, y, k]), [want])


# `h` may have other extents after the first iteration, as far as is known.
CARRIED = """def program(h, w, b, k):
    for i in range(k):
        h = h @ w + b
    return np.sum(h)
"""


@pytest.mark.parametrize("k", [0, 1, 2])
@pytest.mark.parametrize("wrong", ["w", "b", ""])
def test_checks_stay_where_a_carry_changes_its_extents(
    wrong: str, k: int, tmp_path: Path
) -> None:
    program = load(CARRIED, tmp_path)
    graph = stages(program, np.ones((2, 3)), np.ones((3, 3)), X[:3], 2)["fuse"]
    h = np.arange(6.0).reshape(2, 3)
    w = np.ones((2, 3)) if wrong == "w" else np.eye(3)
    b = np.ones(2 if wrong == "b" else 3)
    try:
        want = program(h, w, b, k)
    except ValueError:
        with pytest.raises(ValueError, match="differ"):
            evaluate(graph, [h, w, b, k])
    else:
        np.testing.assert_allclose(evaluate(graph, [h, w, b, k]), [want])
