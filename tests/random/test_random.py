"""Random programs: gradients against the complex step and finite differences.

The emitted Python runs without Numba here (a thousand compilations would take an hour);
a sample is compiled too. `python -m tests.random 0 10000` runs more of them.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit import config
from tests.random.check import Case, check, load
from tests.random.programs import arguments

CHUNK = 25
PROGRAMS = 500
SINGLE = 100
COMPILED = 12


def run(cases: list[Case], folder: Path) -> None:
    """Check programs; not many may be refused, or too close to call."""
    with config.override(jit=False):
        counts = Counter(check(case, folder) for case in cases)
    assert counts["refused"] <= 0.5 * len(cases), "too many programs are refused"
    assert counts["unclear"] <= 0.3 * len(cases), "too many programs say nothing"


@pytest.mark.parametrize("first", range(0, PROGRAMS, CHUNK))
def test_random_programs(first: int, tmp_path: Path) -> None:
    run([Case(seed) for seed in range(first, first + CHUNK)], tmp_path)


@pytest.mark.parametrize("first", range(0, SINGLE, CHUNK))
def test_random_programs_in_single_precision(first: int, tmp_path: Path) -> None:
    seeds = range(10_000 + first, 10_000 + first + CHUNK)
    run([Case(seed, np.float32) for seed in seeds], tmp_path)


@pytest.mark.parametrize("seed", range(COMPILED))
def test_compiled_random_programs(seed: int, tmp_path: Path) -> None:
    dtype = np.float32 if seed % 3 == 0 else np.float64
    check(Case(seed, dtype), tmp_path, limit=False)


@pytest.mark.parametrize("first", range(0, 100, CHUNK))
def test_random_programs_against_differences(first: int, tmp_path: Path) -> None:
    """A second oracle: central differences of the plain function, along a line."""
    with config.override(jit=False):
        for seed in range(first, first + CHUNK):
            compare_along_a_line(load(seed, tmp_path), seed)


def compare_along_a_line(function: Any, seed: int) -> None:
    x, w, s, p, n = arguments(seed)
    direction = np.random.default_rng(seed).normal(size=x.shape)
    try:
        grad = gradjit.grad(function)(x, w, s, p, n)
    except gradjit.UnsupportedError:
        return  # counted where the programs are checked

    def slope(h: float) -> float:
        up = function(x + h * direction, w.copy(), s, p.copy(), n)
        down = function(x - h * direction, w.copy(), s, p.copy(), n)
        return (up - down) / (2 * h)

    fine, coarse = slope(1e-6), slope(2e-6)
    if abs(fine - coarse) > 1e-4 * (1.0 + abs(fine)):
        return  # the line crosses a branch here: differences say nothing
    want = (4 * fine - coarse) / 3
    got = float(np.dot(grad, direction))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5, err_msg=str(seed))


@pytest.mark.parametrize("first", range(0, 50, CHUNK))
def test_second_derivatives_of_random_programs(first: int, tmp_path: Path) -> None:
    """Products with the Hessian against differences of the gradient."""
    with config.override(jit=False), np.errstate(all="ignore"):
        seeds = range(first, first + CHUNK)
        said = sum(compare_the_hessian(load(seed, tmp_path), seed) for seed in seeds)
    assert said >= 0.5 * CHUNK, "too many programs say nothing"


def compare_the_hessian(function: Any, seed: int) -> bool:
    """Whether the differences said anything."""
    x, *others = arguments(seed)
    direction = np.random.default_rng(seed).normal(size=x.shape)
    grad = gradjit.grad(function)

    def along(x: Any) -> Any:
        return np.sum(grad(x, *others) * direction)

    def difference(h: float) -> Any:
        up, down = grad(x + h * direction, *others), grad(x - h * direction, *others)
        return (up - down) / (2 * h)

    try:
        got = gradjit.grad(along)(x)
    except gradjit.UnsupportedError:
        return False  # counted where the programs are checked
    fine, coarse = difference(1e-5), difference(2e-5)
    scale = 1.0 + float(np.max(np.abs(fine)))
    if scale > 1e5 or not np.max(np.abs(fine - coarse)) <= 1e-4 * scale:
        return False  # a branch is near, or the slopes are too large for differences
    np.testing.assert_allclose(got, fine, atol=1e-3 * scale, err_msg=str(seed))
    return True
