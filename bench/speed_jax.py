"""What JAX is given for `python -m bench speed`: the same functions in its idiom."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
VERSION = jax.__version__


def _with_jax(name: str) -> ModuleType:
    """A second copy of a module of array expressions, in which `np` is `jax.numpy`."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(module)["np"] = jnp
    return module


ARRAYS = _with_jax("bench.speed_arrays")


def _atax(matrix, x, weights):
    return jnp.sum(weights * (matrix.T @ (matrix @ x)))


def _gemm(alpha, beta, c, a, b, weights):
    return jnp.sum(weights * (alpha * (a @ b) + beta * c))


def _go_fast(a, weights):
    return jnp.sum(weights * (a + jnp.sum(jnp.tanh(jnp.diagonal(a)))))


def _compute(x, y, a, b, c, weights):
    return jnp.sum(weights * (jnp.clip(x, 2.0, 10.0) * a + y * b + c))


def _softmax(x, weights):
    return jnp.sum(weights * jax.nn.softmax(x, axis=1))


def cross_entropy(scores, labels):
    picked = jnp.take_along_axis(scores, labels[:, None], axis=1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(scores, axis=1) - picked)


def perceptron(layers, inputs, labels):
    (first, bias), (second, offset) = layers
    hidden = jax.nn.relu(inputs @ first + bias)
    return cross_entropy(hidden @ second + offset, labels)


def block(x, gain, shift, weights, bias, target):
    mean = jnp.mean(x, axis=1, keepdims=True)
    scale = jax.lax.rsqrt(jnp.var(x, axis=1, keepdims=True) + 1e-5)
    h = jax.nn.gelu((x - mean) * scale * gain + shift, approximate=True)
    return jnp.mean((h @ weights + bias - target) ** 2)


KERNELS: dict[str, Callable[..., Any]] = {
    "atax": _atax,
    "gemm": _gemm,
    "go_fast": _go_fast,
    "compute": _compute,
    "softmax": _softmax,
    "cross_entropy": cross_entropy,
    "perceptron": perceptron,
    "block": block,
}


def kernel(name: str) -> Callable[..., Any]:
    """The port of a kernel, a network or an objective."""
    from bench.loops_jax import BEST

    return KERNELS.get(name) or BEST.get(name) or getattr(ARRAYS, name)


def prepare(
    function: Callable[..., Any], argnums: tuple[int, ...], args: tuple[Any, ...]
) -> Callable[[], Any]:
    """A call from NumPy arrays to a value and NumPy gradients; integers are static."""
    static = tuple(i for i, x in enumerate(args) if type(x) is int)
    call = jax.jit(jax.value_and_grad(function, argnums), static_argnums=static)

    def run() -> Any:
        value, grads = call(*args)
        return np.asarray(value), [np.asarray(g) for g in jax.tree.leaves(grads)]

    return run


PROJECTION = _with_jax("bench.projection")


def jacobian(args: tuple[Any, ...]) -> Callable[[], Any]:
    """Residuals of bundle adjustment and their blocks, an observation at a time."""

    def one(camera, point, weight, feature):
        def twice(*wrt):
            out = PROJECTION.residual(*wrt, feature)
            return out, out

        blocks, out = jax.jacrev(twice, (0, 1, 2), has_aux=True)(camera, point, weight)
        return out, blocks

    call = jax.jit(jax.vmap(one))

    def run() -> Any:
        out, blocks = call(*args)
        return np.asarray(out), [np.asarray(b) for b in blocks]

    return run
