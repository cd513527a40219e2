"""Random placed programs: the emitted code computes what the program means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradjit.codegen.emit import emit
from gradjit.codegen.module import compile_function, load
from gradjit.config import override
from gradjit.ops.evaluate import evaluate
from gradjit.passes.name import name
from tests.codegen.programs import random_graph


def arguments() -> list[Any]:
    a = np.array([0.5, -1.0, 2.0, 0.25])
    w = np.array([1.5, 0.125, -0.5, 3.0])
    return [1.25, -0.75, a, w, 3]


def check(got: Any, seed: int, rtol: float = 0.0) -> None:
    for g, e in zip(got, evaluate(random_graph(seed), arguments()), strict=True):
        np.testing.assert_allclose(g, e, rtol=rtol, atol=0)


@pytest.mark.parametrize("first", range(0, 600, 100))
def test_as_plain_python(first: int) -> None:
    for seed in range(first, first + 100):
        space: dict[str, Any] = {}
        text = emit(name(random_graph(seed)))
        assert text == emit(name(random_graph(seed)))
        exec(compile(text, f"<seed {seed}>", "exec"), space)
        with np.errstate(all="ignore"):
            check(space["program"](*arguments()), seed)


@pytest.mark.parametrize("seed", range(7, 13))
def test_with_numba(seed: int, tmp_path: Any) -> None:
    with override(cache_dir=str(tmp_path)):
        graph = random_graph(seed)
        module = load(emit(name(graph)), "program")
        types = [p.type for p in graph.block.params]
        run = compile_function(module.program, types)
        check(run(*arguments()), seed, rtol=1e-14)
