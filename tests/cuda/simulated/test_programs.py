"""Programs in the simulator: the results of the CPU, of its types, and no more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradjit
from tests.cuda.programs import PROGRAMS

# One in four in single precision as well; there a search that stops at 1e-12 does not.
CALLS = [(name, "float64") for name in PROGRAMS]
CALLS += [(name, "float32") for name in list(PROGRAMS)[::4] if name != "roots"]


def flat(found: Any) -> list[Any]:
    value, gradients = found
    return [value, *gradients]


@pytest.mark.parametrize(("name", "dtype"), CALLS)
def test_value_and_gradient(name: str, dtype: str) -> None:
    program = PROGRAMS[name]
    args = program.at(dtype)
    kept = program.at(dtype)
    wanted = flat(gradjit.value_and_grad(program.function, program.wrt)(*args))
    on_device = gradjit.value_and_grad(program.function, program.wrt, target="cuda")
    found = flat(on_device(*args))
    scale = 1e-12 if dtype == "float64" else 2e-5
    for value, want in zip(found, wanted, strict=True):
        assert type(value) is type(want)
        assert getattr(value, "dtype", None) == getattr(want, "dtype", None)
        assert np.shape(value) == np.shape(want)
        largest = np.max(np.abs(want), initial=1e-3)
        np.testing.assert_allclose(value, want, rtol=0, atol=scale * largest)
    for given, before in zip(args, kept, strict=True):
        np.testing.assert_array_equal(given, before)


@pytest.mark.parametrize("name", ["chain", "bias", "layer norm", "cross entropy"])
def test_same_bits_again(name: str) -> None:
    program = PROGRAMS[name]
    on_device = gradjit.value_and_grad(program.function, program.wrt, target="cuda")
    first, second = (flat(on_device(*program.args)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


@pytest.mark.parametrize("n", [0, 1, 31, 33, 1025])
def test_awkward_extents(n: int) -> None:
    x = np.random.default_rng(n).normal(size=n)
    value, gradient = gradjit.value_and_grad(_weighted, target="cuda")(x)
    np.testing.assert_allclose(value, np.sum(x * np.sin(x)), rtol=1e-12)
    np.testing.assert_allclose(gradient, np.sin(x) + x * np.cos(x), rtol=1e-12)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (33, 2), (2, 65)])
def test_awkward_matrices(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    got = gradjit.grad(_centred, target="cuda")(x)
    np.testing.assert_allclose(got, gradjit.grad(_centred)(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["roots", "cubics", "options, a loop", "chain"])
def test_one_item(name: str) -> None:
    function, args = PROGRAMS[name].function, [x[:1] for x in PROGRAMS[name].args]
    wrt = tuple(range(len(args)))
    wanted = flat(gradjit.value_and_grad(function, wrt)(*args))
    found = flat(gradjit.value_and_grad(function, wrt, target="cuda")(*args))
    for value, want in zip(found, wanted, strict=True):
        assert np.shape(value) == np.shape(want)
        np.testing.assert_allclose(value, want, rtol=1e-12)


def _weighted(x):
    return np.sum(x * np.sin(x))


def _centred(x):
    rows = np.sum(x, axis=1, keepdims=True)
    columns = np.sum(x, axis=0)
    return np.sum((x - 0.1 * rows) ** 3) + np.sum(columns**2)
