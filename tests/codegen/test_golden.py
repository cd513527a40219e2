"""The emitted gradients of a few programs, kept as text and executed.

`pytest tests/codegen/test_golden.py --update-golden` writes the files anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradjit.api import value_and_grad
from gradjit.config import override
from gradjit.ir.tree import flatten
from tests.codegen.golden_on_device import ON_DEVICE
from tests.codegen.golden_programs import GOLDEN, Golden

FOLDER = Path(__file__).parents[1] / "golden"
STEP = 1e-6
EVERY = GOLDEN | ON_DEVICE


def gradient(golden: Golden) -> Any:
    return value_and_grad(golden.function, argnums=golden.argnums, target=golden.target)


@pytest.mark.parametrize("name", EVERY)
def test_text(name: str, pytestconfig: pytest.Config) -> None:
    golden = EVERY[name]
    file = FOLDER / f"{name}.py"
    with override(vector_math="none"):  # the same text on every machine
        source = gradient(golden).lower(*golden.args).source
    assert max(map(len, source.splitlines())) <= 88
    if pytestconfig.getoption("--update-golden"):
        file.write_text(source)
    assert source == file.read_text()


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("name", GOLDEN)
def test_numbers(name: str, jit: bool) -> None:
    golden = GOLDEN[name]
    with override(jit=jit):
        value, gradients = gradient(golden)(*golden.args)
    np.testing.assert_allclose(value, golden.function(*golden.args), rtol=1e-13)
    for k, got in zip(golden.argnums, gradients, strict=True):
        leaves, tree = flatten(golden.args[k])
        for j, (leaf, slope) in enumerate(zip(leaves, flatten(got)[0], strict=True)):
            expected = differences(golden, k, leaves, tree, j, leaf)
            np.testing.assert_allclose(slope, expected, rtol=2e-8, atol=2e-8)


def differences(
    golden: Golden, k: int, leaves: list[Any], tree: Any, j: int, leaf: Any
) -> Any:
    """Central differences with respect to one leaf of argument k."""
    out = np.zeros(np.shape(leaf))
    for at in np.ndindex(np.shape(leaf)):
        ends = []
        for step in (STEP, -STEP):
            moved = np.array(leaf, dtype=float)
            moved[at] += step
            changed = list(leaves)
            changed[j] = moved if moved.ndim else float(moved)
            args = list(golden.args)
            args[k] = tree.unflatten(iter(changed))
            ends.append(golden.function(*args))
        out[at] = (ends[0] - ends[1]) / (2 * STEP)
    return out


@pytest.mark.parametrize("name", EVERY)
def test_the_same_text_twice(name: str) -> None:
    golden = EVERY[name]
    first, second = (gradient(golden).lower(*golden.args).source for _ in range(2))
    assert first == second


def test_the_numbers_of_the_circuit() -> None:
    golden = GOLDEN["circuit"]
    value, (d_x, d_y) = gradient(golden)(*golden.args)
    assert value == pytest.approx(1.5456448841066441, rel=1e-15)
    assert d_x == pytest.approx(2.0595697955721652, rel=1e-15)
    assert d_y == pytest.approx(1.5922327514838093, rel=1e-15)
