"""What JAX is given for `python -m bench cuda`: arrays, or `vmap` of one item."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bench import speed_jax
from bench.cuda_case import AbsentError
from bench.cuda_device import Way

# A product of float32 is one of float32: by default GPUs round its factors.
jax.config.update("jax_default_matmul_precision", "highest")


def _chain(x):
    return jnp.sum(x * jnp.exp(-x * x) + jnp.tanh(x))


def _step(layers, inputs, labels, rate):
    loss, grads = jax.value_and_grad(speed_jax.perceptron)(layers, inputs, labels)
    return loss, jax.tree.map(lambda x, d: x - rate * d, layers, grads)


def _price(spot, strike, vol, rate, time):
    width = vol * jnp.sqrt(time)
    near = (jnp.log(spot / strike) + (rate + 0.5 * vol * vol) * time) / width
    discount = jnp.exp(-rate * time)
    normal = jax.scipy.special.ndtr
    return spot * normal(near) - strike * discount * normal(near - width)


def _greeks(*options):
    """A price depends on its own option alone: one gradient of the sum is all."""

    def total(*options):
        prices = _price(*options)
        return jnp.sum(prices), prices

    (_, prices), slopes = jax.value_and_grad(total, range(5), has_aux=True)(*options)
    return prices, slopes


def _heat(u, steps, weights):
    def spread(u, _):
        around = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]
        return u.at[1:-1, 1:-1].set(0.2 * u[1:-1, 1:-1] + 0.2 * around), None

    return jnp.sum(weights * jax.lax.scan(spread, u, None, length=steps)[0])


def _gmm(logits, means, log_scales, points):
    white = (points[:, None, :] - means) * jnp.exp(log_scales)
    scores = logits + jnp.sum(log_scales, axis=1) - 0.5 * jnp.sum(white**2, axis=2)
    fit = jnp.mean(jax.nn.logsumexp(scores, axis=1))
    return jax.nn.logsumexp(logits) - fit


def _gradient(function: Callable[..., Any], *argnums: int) -> Callable[..., Any]:
    return jax.value_and_grad(function, argnums)


ARRAYS: dict[str, Callable[..., Any]] = {
    "chain": _gradient(_chain, 0),
    "cross_entropy": _gradient(speed_jax.cross_entropy, 0),
    "block": _gradient(speed_jax.block, 0, 1, 2, 3, 4),
    "step": _step,
    "greeks": _greeks,
    "heat": _gradient(_heat, 0),
    "kmeans": _gradient(speed_jax.kernel("kmeans"), 1),
    "gmm": _gradient(_gmm, 0, 1, 2),
}


# ------------------------------------------------------------------ a program an item


def _root(a, b):
    def busy(state):
        x, change = state
        return jnp.abs(change) > 1e-6 * jnp.abs(x)

    def once(state):
        x, _ = state
        change = (x**3 + a * x - b) / (3.0 * x**2 + a)
        return x - change, change

    return jax.lax.while_loop(busy, once, (b / a, b / a))[0]


def _newton(a, b):
    """Forwards: JAX has no reverse mode through `while_loop`."""

    def twice(a, b):
        x = _root(a, b)
        return x, x

    slopes, x = jax.jacfwd(twice, (0, 1), has_aux=True)(a, b)
    return x, slopes


def _block(camera, point, weight, feature):
    def twice(*wrt):
        out = speed_jax.PROJECTION.residual(*wrt, feature)
        return out, out

    blocks, out = jax.jacrev(twice, (0, 1, 2), has_aux=True)(camera, point, weight)
    return out, blocks


ITEMS: dict[str, Callable[..., Any]] = {
    "newton": jax.vmap(_newton),
    "newton_forward": jax.vmap(_newton),
    "greeks": jax.vmap(jax.value_and_grad(_price, range(5))),
    "jacobian": jax.vmap(_block),
}


def version(device: str) -> str:
    if device == "cuda" and jax.default_backend() != "gpu":
        raise AbsentError(f"jax {jax.__version__} finds no GPU")
    return jax.__version__


def prepare(key: str, args: tuple[Any, ...], device: str, items: bool) -> Way:
    """A call on JAX's arrays; integers, the numbers of steps, are static."""
    function = (ITEMS if items else ARRAYS).get(key)
    if function is None:
        raise AbsentError("no version of it")
    static = tuple(i for i, x in enumerate(args) if type(x) is int)
    call = jax.jit(function, static_argnums=static)
    moved = [x if i in static else jax.device_put(x) for i, x in enumerate(args)]

    def host(result: Any) -> Any:
        return jax.tree.map(np.asarray, result)

    return Way(lambda: call(*moved), host, jax.block_until_ready)


def free() -> None:
    jax.clear_caches()
