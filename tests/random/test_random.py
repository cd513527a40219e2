"""Random programs: gradients against the complex step and finite differences.

The emitted Python runs without Numba here (a thousand compilations would take an hour);
a sample is compiled too. `python -m tests.random 0 10000` runs more of them.
"""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit import config
from tests.random.programs import arguments, complex_step, program

CHUNK = 25
PROGRAMS = 600
COMPILED = 12


def load(seed: int, folder: Path) -> FunctionType:
    """The program as a function of a module, so that its source can be found."""
    path = folder / f"program_{seed}.py"
    path.write_text("import numpy as np\n\n\n" + program(seed))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.program


def check(seed: int, folder: Path) -> None:
    """Value, gradients and untouched arguments of one program."""
    args = arguments(seed)
    kept = [np.copy(a) for a in args]
    function = load(seed, folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = function(*arguments(seed))
        slopes = complex_step(program(seed), args)
    value, grads = gradjit.value_and_grad(function, argnums=(0, 1, 2))(*args)
    note = f"program {seed}"
    np.testing.assert_allclose(value, want, rtol=1e-12, err_msg=note)
    for got, slope in zip(grads, slopes, strict=True):
        assert np.shape(got) == np.shape(slope), note
    if not all(map(close, grads, slopes)):
        compare_with_noise(seed, grads, slopes)
    for before, after in zip(kept, args, strict=True):
        np.testing.assert_array_equal(before, after, err_msg=note)


def close(got: Any, want: Any, slack: Any = 0.0) -> bool:
    """Equal to nine digits, or to eleven of the largest entry."""
    scale = max(1.0, float(np.max(np.abs(want), initial=0.0)))
    bound = 1e-9 * np.abs(want) + 1e-11 * scale + slack
    return bool(np.all(np.abs(got - want) <= bound))


def compare_with_noise(seed: int, grads: Any, slopes: list[Any]) -> None:
    """For programs so ill-conditioned that rounding the arguments shows in the slopes.

    Few do: about one in five hundred, with slopes of 1e8 and more.
    """
    x, w, s, p, n = arguments(seed)
    noise = [np.zeros(np.shape(slope)) for slope in slopes]
    for ulps in (-3, -1, 2, 5):
        nudge = 1.0 + ulps * np.finfo(float).eps
        moved = complex_step(program(seed), (x * nudge, w * nudge, s * nudge, p, n))
        noise = [
            np.maximum(k, abs(m - g))
            for k, m, g in zip(noise, moved, slopes, strict=True)
        ]
    for got, slope, slack in zip(grads, slopes, noise, strict=True):
        assert close(got, slope, 20.0 * slack), f"program {seed}: {got} and {slope}"


@pytest.mark.parametrize("first", range(0, PROGRAMS, CHUNK))
def test_gradients_of_random_programs(first: int, tmp_path: Path) -> None:
    with config.override(jit=False):
        for seed in range(first, first + CHUNK):
            check(seed, tmp_path)


@pytest.mark.parametrize("seed", range(COMPILED))
def test_gradients_of_compiled_random_programs(seed: int, tmp_path: Path) -> None:
    check(seed, tmp_path)


@pytest.mark.parametrize("first", range(0, 200, CHUNK))
def test_random_programs_against_differences(first: int, tmp_path: Path) -> None:
    """A second oracle: central differences of the plain function, along a line."""
    with config.override(jit=False):
        for seed in range(first, first + CHUNK):
            compare_along_a_line(load(seed, tmp_path), seed)


def compare_along_a_line(function: Any, seed: int) -> None:
    x, w, s, p, n = arguments(seed)
    direction = np.random.default_rng(seed).normal(size=x.shape)
    grad = gradjit.grad(function)(x, w, s, p, n)

    def slope(h: float) -> float:
        up = function(x + h * direction, w, s, p, n)
        return (up - function(x - h * direction, w, s, p, n)) / (2 * h)

    fine, coarse = slope(1e-6), slope(2e-6)
    if abs(fine - coarse) > 1e-4 * (1.0 + abs(fine)):
        return  # the line crosses a branch here: differences say nothing
    want = (4 * fine - coarse) / 3
    got = float(np.dot(grad, direction))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5, err_msg=str(seed))
