"""`gradjit.checkpoint` and `memory=`: the same derivatives with less that is saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit import config

RNG = np.random.default_rng(5)
U, V = RNG.normal(size=12), RNG.normal(size=12)
X, W = RNG.normal(size=(4, 5)), RNG.normal(size=(5, 5))


def spring(u0: Any, v0: Any, c: Any, n: int) -> Any:
    """In place, with the nonlinearity that makes the state needed."""
    u, v = u0.copy(), v0.copy()
    for _ in range(n):
        for i in range(1, u.shape[0] - 1):
            v[i] += 0.1 * c * (u[i - 1] - 2 * u[i] + u[i + 1] - u[i] ** 3)
        for i in range(1, u.shape[0] - 1):
            u[i] += 0.1 * v[i]
    return np.sum(u * u)


def leapfrog(u0: Any, v0: Any, c: Any, n: int) -> Any:
    """Two arrays that exchange places."""
    u, v = u0.copy(), v0.copy()
    for _ in range(n):
        for i in range(1, u.shape[0] - 1):
            lap = u[i - 1] - 2 * u[i] + u[i + 1]
            v[i] = 2 * u[i] - v[i] + c * 0.1 * lap - 0.01 * u[i] ** 3
        u, v = v, u
    return np.sum(u * u)


def decay(u0: Any, v0: Any, c: Any, n: int) -> Any:
    """A `while` whose length only a run shows."""
    y, k = u0 + v0, 0
    while np.sum(y * y) > 1e-2 and k < 10 * n:
        y = y * 0.97 * np.cos(0.3 * c * y)
        k += 1
    return np.sum(np.sin(y)) * k


def until(u0: Any, v0: Any, c: Any, n: int) -> Any:
    """A loop that is left early, downwards."""
    y, total = u0 * v0, c
    for t in range(3 * n, -1, -2):
        y[1:] = np.tanh(y[1:] + 0.1 * y[:-1] ** 2)
        total += y[2] * y[1] + 1e-3 * t
        if total > 8.0:
            break
    return total + np.sum(y)


def sometimes(u0: Any, v0: Any, c: Any, n: int) -> Any:
    """A long loop in a branch, and a loop in the loop."""
    y = u0.copy()
    if v0[0] < 10.0:
        for t in range(n):
            s = c
            while s < 3.0 + 0.01 * t:
                s = s * 1.5 + 0.01 * y[0]
            y = np.sin(0.1 * y * s) + v0
    return np.sum(y)


PROGRAMS = [spring, leapfrog, decay, until, sometimes]


@pytest.mark.parametrize("budget", [5000, 15000, 10**9])
@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_less_memory_gives_the_same(f: Callable[..., Any], budget: int) -> None:
    with config.override(jit=False):
        want = gradjit.value_and_grad(f, argnums=(0, 1, 2))(U, V, 1.3, 90)
        limited = gradjit.value_and_grad(f, argnums=(0, 1, 2), memory=budget)
        got = limited(U, V, 1.3, 90)
    np.testing.assert_allclose(got[0], want[0], rtol=1e-12)
    for a, b in zip(got[1], want[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_against_differences(f: Callable[..., Any]) -> None:
    with config.override(jit=False):
        limited = gradjit.grad(f, argnums=(0, 1, 2), memory=5000)
        grads = limited(U, V, 1.3, 90)
    memory = limited.lowering.function.options.memory
    assert memory.levels > 1
    h = 1e-6
    way = RNG.normal(size=12)
    up, down = (f(U + s * h * way, V + s * h * way, 1.3, 90) for s in (1, -1))
    slope = (grads[0] + grads[1]) @ way
    np.testing.assert_allclose(slope, (up - down) / (2 * h), rtol=2e-5)
    up, down = (f(U, V, 1.3 + s * h, 90) for s in (1, -1))
    np.testing.assert_allclose(grads[2], (up - down) / (2 * h), rtol=2e-5, atol=1e-8)


def test_compiled_and_called_again_with_longer_loops() -> None:
    limited = gradjit.value_and_grad(leapfrog, memory="8 kB")
    for n in (2, 5, 300, 0, 40):
        want = gradjit.value_and_grad(leapfrog)(U, V, 1.3, n)
        got = limited(U, V, 1.3, n)
        np.testing.assert_allclose(got[0], want[0], rtol=1e-12)
        np.testing.assert_allclose(got[1], want[1], rtol=1e-9)
    assert limited.lowering.function.options.memory.levels > 1


def test_arrays_that_are_saved_fit_into_the_memory() -> None:
    """The budget of each level is checked before its arrays are made."""
    with config.override(jit=False):
        limited = gradjit.grad(leapfrog, memory=8000)
        limited(U, V, 1.3, 300)
        memory = limited.lowering.function.options.memory
    assert memory.share * memory.levels <= 8000
    assert 300 * 2 * U.nbytes > 8000


def test_too_little_memory_is_refused() -> None:
    with config.override(jit=False), pytest.raises(MemoryError, match="way back"):
        gradjit.grad(spring, memory=100)(U, V, 1.3, 1000)


@pytest.mark.parametrize("memory", [0, -1, True, 1.5, "many", "0MB", "5 parsecs"])
def test_memory_is_a_number_of_bytes(memory: Any) -> None:
    with pytest.raises(gradjit.GradjitError, match="number of bytes"):
        gradjit.grad(spring, memory=memory)


# -------------------------------------------------------------------- checkpoint


@gradjit.checkpoint
def layer(x: Any, w: Any) -> Any:
    h = np.tanh(x @ w)
    return np.sin(h) * h


def deep(x: Any, w: Any) -> Any:
    return np.sum(layer(layer(x, w), w))


def deep_loop(x: Any, w: Any) -> Any:
    for _ in range(3):
        x = layer(x, w)
    return np.sum(x)


@gradjit.checkpoint
def into(state: dict[str, Any], k: Any) -> Any:
    """Writes what it was given, and returns more than arrays."""
    state["x"][1:] += np.sin(state["x"][:-1]) * k
    return {"y": state["x"] * k, "name": "y", "pair": (k * k, None)}


def writes(x: Any, k: Any) -> Any:
    state = {"x": x}
    total = 0.0
    for _ in range(4):
        out = into(state, k)
        total += np.sum(out["y"] ** 2) + out["pair"][0]
    return total


def plain(f: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its checkpoints taken away."""
    names = {n: getattr(v, "__wrapped__", v) for n, v in f.__globals__.items()}
    return type(f)(f.__code__, names, f.__name__)


@pytest.mark.parametrize(
    ("f", "args"), [(deep, (X, W)), (deep_loop, (X, W)), (writes, (U, 0.7))]
)
def test_checkpoint_changes_no_number(f: Any, args: Any) -> None:
    with config.override(jit=False):
        want = gradjit.value_and_grad(plain(f), argnums=(0, 1))(*map(np.copy, args))
        got = gradjit.value_and_grad(f, argnums=(0, 1))(*map(np.copy, args))
        again = gradjit.hvp(f)(*map(np.copy, args), args[0])
        want_again = gradjit.hvp(plain(f))(*map(np.copy, args), args[0])
    np.testing.assert_allclose(got[0], want[0], rtol=1e-13)
    for a, b in zip(got[1], want[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    np.testing.assert_allclose(again, want_again, rtol=1e-10)
    gradjit.check_grads(f, args)


def test_checkpoint_runs_again_what_it_does_not_save() -> None:
    with config.override(jit=False):
        twice = gradjit.grad(deep, argnums=(0, 1)).lower(X, W).source
        once = gradjit.grad(plain(deep), argnums=(0, 1)).lower(X, W).source
    assert twice.count("la.matmul(") > once.count("la.matmul(")


def test_checkpoint_outside_of_a_derivative_is_the_function() -> None:
    np.testing.assert_array_equal(layer(X, W), layer.__wrapped__(X, W))
    np.testing.assert_allclose(gradjit.jit(deep)(X, W), deep(X, W), rtol=1e-13)
    assert layer.__name__ == "layer"


class Model:
    """A method that is checkpointed."""

    def __init__(self, w: Any) -> None:
        self.w = w

    @gradjit.checkpoint
    def __call__(self, x: Any) -> Any:
        return np.tanh(x @ self.w)


def test_checkpoint_of_a_method() -> None:
    model = Model(W)
    grad = gradjit.grad(lambda x: np.sum(model(x) ** 2))(X)
    t = np.tanh(X @ W)
    np.testing.assert_allclose(grad, (2 * t * (1 - t * t)) @ W.T, rtol=1e-12)
