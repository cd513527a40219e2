"""The rows of calls from Python, of networks, and of bundle adjustment's Jacobian."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from bench import networks, projection
from bench.peers import PEERS, Peer, leaves
from bench.speed_case import TIE, Call, Case, Prepare, Target
from bench.speed_programs import observations
from bench.workloads import WORKLOADS

HAND, JAX, TORCH = ("handwritten",), ("jax",), ("torch",)
BEST = (*JAX, *TORCH)
SINGLE = 2e-4  # the largest difference that rounding of float32 explains

# -------------------------------------------------- the workloads of `python -m bench`


@functools.cache
def _peer(name: str) -> Peer:
    return PEERS[name]()


def _shared(
    name: str, flops: Callable[..., float], peers: str, *targets: Target
) -> Case:
    """A workload of `bench/workloads.py`, with peers from there."""
    workload = next(w for w in WORKLOADS if w.name == name)

    def way(peer: str) -> Prepare:
        return lambda args: _peer(peer).prepare(workload, args)

    ways = {peer: way(peer) for peer in peers.split()}
    what = workload.note, workload.function, workload.argnums
    arguments = workload.full, workload.small
    return Case(name, "calls", *what, *arguments, ways, targets, flops)


# ----------------------------------------------------------------------------- networks


def _network(
    function: Callable[..., Any],
    name: str,
    note: str,
    argnums: tuple[int, ...],
    arguments: tuple[Callable[[], Any], Callable[[], Any]],
    flops: Callable[..., float],
    *targets: Target,
    tolerance: float = SINGLE,
) -> Case:
    short = function.__name__

    def by_hand(args: tuple[Any, ...]) -> Call:
        from bench import handwritten_networks

        adjoint = getattr(handwritten_networks, short)
        return functools.partial(adjoint, *leaves(args))

    def jax(args: tuple[Any, ...]) -> Call:
        from bench import speed_jax

        return speed_jax.prepare(speed_jax.kernel(short), argnums, args)

    def torch(args: tuple[Any, ...]) -> Call:
        from bench import speed_torch

        return speed_torch.prepare(getattr(speed_torch, short), argnums, args)

    ways: dict[str, Prepare] = {"jax": jax, "torch": torch}
    if short != "block":
        ways = {"handwritten": by_hand, **ways}
    what = note, function, argnums
    return Case(name, "calls", *what, *arguments, ways, targets, flops, tolerance)


def _perceptron_flops(layers, inputs, labels):
    """Three products for a layer, two for the first, which has no cotangent to give."""
    (first, _), (second, _) = layers
    return len(inputs) * (4.0 * first.size + 6.0 * second.size + 8.0 * second.shape[1])


def _perceptron(batch: int, widths: tuple[int, ...], jax: float) -> Case:
    arguments = networks.perceptrons(batch, *widths), networks.perceptrons(3, 5, 4, 3)
    return _network(
        networks.perceptron,
        f"MLP {'-'.join(map(str, widths))}",
        f"batch of {batch}, float32",
        (0,),
        arguments,
        _perceptron_flops,
        Target(HAND, 1.3),
        Target(JAX, 1.0 / jax if jax > 1.0 else TIE),
    )


def _cross_entropy(dtype: type, tolerance: float) -> Case:
    return _network(
        networks.cross_entropy,
        f"cross-entropy, {dtype.__name__}",
        "4096 x 1000",
        (0,),
        (networks.scored(4096, 1000, dtype), networks.scored(5, 7, dtype)),
        lambda scores, labels: 6.0 * scores.size,
        Target(BEST, 0.5),
        tolerance=tolerance,
    )


def _block() -> Case:
    return _network(
        networks.block,
        "layer-norm, GELU, linear",
        "1024 x 768, float32",
        (0, 1, 2, 3, 4),
        (networks.blocks(1024, 768), networks.blocks(5, 8)),
        lambda x, g, s, w, *_: 6.0 * len(x) * w.size + 45.0 * x.size,
        Target(BEST, TIE),
    )


# ---------------------------------------------------------------- the sparse Jacobian


def _jacobian() -> Case:
    def by_hand(args: tuple[Any, ...]) -> Call:
        from bench import handwritten_ba

        return functools.partial(handwritten_ba.jacobian, *args)

    def primal(args: tuple[Any, ...]) -> Call:
        from bench import handwritten_ba

        return functools.partial(handwritten_ba.residuals, *args)

    def jax(args: tuple[Any, ...]) -> Call:
        from bench import speed_jax

        return speed_jax.jacobian(args)

    return Case(
        "ba, Jacobian",
        "calls",
        "10^4 observations, 2 vjps each",
        projection.jacobian,
        (0, 1, 2),
        observations(10**4),
        observations(7),
        {"handwritten": by_hand, "primal": primal, "jax": jax},
        (Target(HAND, 1.3), Target(("primal",), 9.8)),
        lambda cameras, *_: 330.0 * len(cameras),
        transform=projection.transform,
    )


CALLS = (
    _shared(
        "rosenbrock-10",
        lambda x: 16.0 * x.size,
        "handwritten jax torch autograd",
        Target(HAND, 1.5),
        Target(JAX, 1.0 / 15.0),
        Target(TORCH, 1.0 / 100.0),
        Target(("autograd",), 1.0 / 200.0),
    ),
    _shared(
        "circuit",
        lambda x, y: 40.0,
        "handwritten jax",
        Target(HAND, 1.7),
        Target(JAX, 1.0 / 50.0),
    ),
    _shared(
        "rosenbrock-1e6",
        lambda x: 16.0 * x.size,
        "handwritten jax",
        Target(HAND, 1.1),
        Target(JAX, 1.0 / 5.0),
    ),
    _shared(
        "logistic",
        lambda w, x, y: 4.0 * x.size + 8.0 * y.size,
        "handwritten jax torch",
        Target(BEST, 1.0 / 1.8),
    ),
    _cross_entropy(np.float32, SINGLE),
    _cross_entropy(np.float64, 1e-9),
    _perceptron(8, (4, 16, 2), 12.0),
    _perceptron(32, (64, 128, 10), 4.0),
    _perceptron(128, (784, 512, 10), 1.0),
    _block(),
    _jacobian(),
)
