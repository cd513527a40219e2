"""The golden files for a device, executed as they are in the repository."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit.cuda import array as arrays
from gradjit.cuda.place import using
from tests.codegen.golden_on_device import ON_DEVICE
from tests.random.oracle import differences

FOLDER = Path(__file__).parents[2] / "golden"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def executed(name: str, args: Any) -> list[Any]:
    """What the host's function of a golden file returns, as arrays of NumPy."""
    function = getattr(
        loaded(name), f"value_and_grad_{ON_DEVICE[name].function.__name__}"
    )
    with using(arrays.place_of([])):
        found = function(*map(arrays.enter, args))
        return arrays.leave_all(list(found), arrays.Kind.NUMPY)


@pytest.mark.parametrize("name", ON_DEVICE)
def test_value_and_gradients(name: str) -> None:
    golden = ON_DEVICE[name]
    value, *gradients = executed(name, golden.args)
    np.testing.assert_allclose(value, golden.function(*golden.args), rtol=1e-13)
    on_cpu = gradjit.grad(golden.function, argnums=golden.argnums)(*golden.args)
    for k, got, want in zip(golden.argnums, gradients, on_cpu, strict=True):
        slopes = differences(golden.function, golden.args, k)
        np.testing.assert_allclose(got, slopes, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12)


def test_awkward_extents() -> None:
    for n in (0, 1, 2, 31, 33, 65):
        x = np.linspace(-1.0, 2.0, n)
        value, d_x = executed("cuda_chain", (x,))
        np.testing.assert_allclose(value, np.sum(np.tanh(x) * np.exp(-x * x)))
        inner = 1.0 - np.tanh(x) ** 2 - 2.0 * x * np.tanh(x)
        np.testing.assert_allclose(d_x, inner * np.exp(-x * x), rtol=1e-12)


@pytest.mark.parametrize("n", [0, 1, 2, 37])
def test_roots_have_a_closed_form(n: int) -> None:
    a = np.linspace(0.5, 3.0, n)
    value, d_a = executed("cuda_roots", (a,))
    np.testing.assert_allclose(value, np.sum(a**1.5), rtol=1e-12)
    np.testing.assert_allclose(d_a, 1.5 * np.sqrt(a), rtol=1e-9)


def test_a_stack_that_is_full_is_an_error() -> None:
    """After more steps than a thread keeps the call fails; it returns no number."""
    with pytest.raises(MemoryError, match=r"golden_on_device\.py:\d+: .*120 times"):
        executed("cuda_roots", (np.array([4.0**130, 2.0]),))


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (3, 2), (33, 1), (1, 65), (0, 4)])
def test_rows_of_other_shapes(shape: tuple[int, int]) -> None:
    x = np.cos(np.arange(1.0, np.prod(shape) + 1)).reshape(shape)
    g, b = np.linspace(0.5, 1.5, shape[1]), np.linspace(-1.0, 1.0, shape[1])
    golden = ON_DEVICE["cuda_layer_norm"]
    value, *gradients = executed("cuda_layer_norm", (x, g, b))
    np.testing.assert_allclose(value, golden.function(x, g, b), rtol=1e-12)
    for k, got in enumerate(gradients):
        slopes = differences(golden.function, (x, g, b), k)
        scale = 1e-6 * np.max(np.abs(slopes), initial=1.0)
        np.testing.assert_allclose(got, slopes, rtol=1e-5, atol=scale)
