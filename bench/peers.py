"""What gradjit is compared with: for each peer, each workload in its own idiom.

A peer is built by importing what it needs, so one that is not installed raises
ImportError here and nowhere else. `peer.prepare(workload, args)` gives a function of no
arguments that starts from the NumPy arguments and gives `(value, flat list of NumPy
gradients)`: what it costs to go into a library and out again is part of its time.

Each version is the fastest that we found for that library and kept simple. None of
them writes into arrays. Their stencil solves a row at once: a row of the Gauss-Seidel
sweep is a linear map of the old row and of the rows above and below, with constant
matrices.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from bench.workloads import Workload

Result = tuple[float, list[Any]]
Prepare = Callable[[Workload, tuple[Any, ...]], Callable[[], Result]]


@dataclass(frozen=True, slots=True)
class Peer:
    """A library, or a way, to compute a gradient."""

    name: str
    version: str
    prepare: Prepare


def leaves(tree: Any) -> list[Any]:
    """The arrays and numbers of a container, in order."""
    if isinstance(tree, list | tuple):
        return [leaf for branch in tree for leaf in leaves(branch)]
    if isinstance(tree, dict):
        return [leaf for branch in tree.values() for leaf in leaves(branch)]
    return [tree]


@functools.cache
def row_maps(m: int) -> tuple[np.ndarray, np.ndarray]:
    """P, Q with new row = P @ old row + Q @ (row above + row below)."""
    inner = np.zeros((m, m))
    inner[range(1, m - 1), range(1, m - 1)] = 0.2
    left = np.eye(m, k=-1)
    right = np.eye(m, k=1)
    edges = np.eye(m) - 5.0 * inner
    solve = np.linalg.inv(np.eye(m) - inner @ left)
    return solve @ (inner @ (np.eye(m) + right) + edges), solve @ inner


def _gradjit() -> Peer:
    import gradjit

    def prepare(workload: Workload, args: tuple[Any, ...]) -> Callable[[], Result]:
        call = gradjit.value_and_grad(workload.function, workload.argnums)
        return functools.partial(call, *args)

    return Peer("gradjit", _version("gradjit"), prepare)


def _handwritten() -> Peer:
    import numba

    from bench import handwritten

    def prepare(workload: Workload, args: tuple[Any, ...]) -> Callable[[], Result]:
        adjoint = getattr(handwritten, workload.function.__name__)
        return functools.partial(adjoint, *leaves(args))

    return Peer("handwritten", f"numba {numba.__version__}", prepare)


def _tape() -> Peer:
    from bench import tape as t

    def circuit(x, y):
        sigy = 1.0 / (1.0 + t.exp(-y))
        sigx = 1.0 / (1.0 + t.exp(-x))
        return (x + sigy) * (1.0 / (sigx + (x + y) ** 2))

    def rosenbrock(x):
        head = x[:-1]
        return t.sum_(100.0 * (x[1:] - head**2) ** 2 + (1.0 - head) ** 2)

    def logistic(w, images, labels):
        return t.sum_(t.log1p(t.exp(-labels * (images @ w))))

    def network(layers, images, labels):
        h = images
        for weights, bias in layers[:-1]:
            h = t.relu(t.matmul(h, weights) + bias)
        weights, bias = layers[-1]
        scores = t.matmul(h, weights) + bias
        # The shift changes no result, so it needs no derivative.
        scores = scores - scores.value.max(axis=1, keepdims=True)
        log_total = t.log(t.sum_(t.exp(scores), axis=1))
        return t.mean(log_total - scores[np.arange(len(labels)), labels])

    def recurrence(x, a):
        s = 0.0
        total = 0.0
        for i in range(len(x)):
            s = t.tanh(a * s + x[i])
            total = total + s * s
        return total

    def stencil(grid, sweeps):
        p, q = row_maps(grid.shape[1])
        rows = [grid[i] for i in range(len(grid))]
        for _ in range(sweeps):
            for i in range(1, len(rows) - 1):
                rows[i] = p @ rows[i] + q @ (rows[i - 1] + rows[i + 1])
        return t.sum_(t.stack(rows) ** 2)

    def eight(tree):
        total = 0.0
        for x in tree.values():
            total = t.sum_(x**2) + total
        return total

    functions = locals()

    def prepare(workload: Workload, args: tuple[Any, ...]) -> Callable[[], Result]:
        function = functions[workload.function.__name__]
        call = t.value_and_grad(function, workload.argnums)
        return lambda: call(*args)

    return Peer("tape", f"numpy {np.__version__}", prepare)


def _autograd() -> Peer:
    import autograd
    import autograd.numpy as anp
    from autograd.builtins import tuple as boxed

    functions = _functional(anp)
    version = _version("autograd")

    def prepare(workload: Workload, args: tuple[Any, ...]) -> Callable[[], Result]:
        function = functions[workload.function.__name__]

        def of_tuple(wrt: Any) -> Any:
            full = list(args)
            for i, x in zip(workload.argnums, wrt, strict=True):
                full[i] = x
            return function(*full)

        call = autograd.value_and_grad(of_tuple)
        return lambda: call(boxed(tuple(args[i] for i in workload.argnums)))

    return Peer("autograd", version, prepare)


def _functional(np: ModuleType) -> dict[str, Callable[..., Any]]:
    """Versions for a library that mirrors NumPy without stores, loops in Python."""

    def circuit(x, y):
        sigy = 1.0 / (1.0 + np.exp(-y))
        sigx = 1.0 / (1.0 + np.exp(-x))
        return (x + sigy) * (1.0 / (sigx + (x + y) ** 2))

    def rosenbrock(x):
        return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)

    def logistic(w, images, labels):
        return np.sum(np.log1p(np.exp(-labels * (images @ w))))

    def network(layers, images, labels):
        h = images
        for weights, bias in layers[:-1]:
            h = np.maximum(h @ weights + bias, 0.0)
        weights, bias = layers[-1]
        scores = h @ weights + bias
        scores = scores - np.max(scores, axis=1, keepdims=True)
        log_total = np.log(np.sum(np.exp(scores), axis=1))
        return np.mean(log_total - scores[np.arange(len(labels)), labels])

    def recurrence(x, a):
        s = 0.0
        total = 0.0
        for i in range(len(x)):
            s = np.tanh(a * s + x[i])
            total = total + s * s
        return total

    def stencil(grid, sweeps):
        p, q = row_maps(grid.shape[1])
        rows = list(grid)
        for _ in range(sweeps):
            for i in range(1, len(rows) - 1):
                rows[i] = np.dot(p, rows[i]) + np.dot(q, rows[i - 1] + rows[i + 1])
        return np.sum(np.stack(rows) ** 2)

    def eight(tree):
        total = 0.0
        for x in tree.values():
            total = total + np.sum(x**2)
        return total

    return locals()


def _jax() -> Peer:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    functions = _functional(jnp)

    def recurrence(x, a):
        def step(s, xi):
            s = jnp.tanh(a * s + xi)
            return s, s * s

        return jnp.sum(jax.lax.scan(step, 0.0, x)[1])

    def stencil(grid, sweeps):
        p, q = map(jnp.asarray, row_maps(grid.shape[1]))

        def row(above, rows):
            old, below = rows
            new = p @ old + q @ (above + below)
            return new, new

        def sweep(u, _):
            inner = jax.lax.scan(row, u[0], (u[1:-1], u[2:]))[1]
            return jnp.concatenate([u[:1], inner, u[-1:]]), None

        return jnp.sum(jax.lax.scan(sweep, grid, None, length=sweeps)[0] ** 2)

    functions |= {"recurrence": recurrence, "stencil": stencil}

    def prepare(workload: Workload, args: tuple[Any, ...]) -> Callable[[], Result]:
        function = functions[workload.function.__name__]
        static = tuple(i for i, x in enumerate(args) if type(x) is int)
        call = jax.jit(
            jax.value_and_grad(function, workload.argnums), static_argnums=static
        )

        def run() -> Result:
            value, grads = call(*args)
            return float(value), [np.asarray(g) for g in jax.tree.leaves(grads)]

        return run

    return Peer("jax", jax.__version__, prepare)


def _torch() -> Peer:
    import torch

    def circuit(x, y):
        sigy = torch.sigmoid(y)
        sigx = torch.sigmoid(x)
        return (x + sigy) * (1.0 / (sigx + (x + y) ** 2))

    def rosenbrock(x):
        return torch.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)

    def logistic(w, images, labels):
        return torch.sum(torch.log1p(torch.exp(-labels * (images @ w))))

    def network(layers, images, labels):
        h = images
        for weights, bias in layers[:-1]:
            h = torch.relu(torch.addmm(bias, h, weights))
        weights, bias = layers[-1]
        scores = torch.addmm(bias, h, weights)
        return torch.nn.functional.cross_entropy(scores, labels)

    def recurrence(x, a):
        s = torch.zeros((), dtype=torch.float64)
        total = torch.zeros((), dtype=torch.float64)
        for xi in x.unbind():
            s = torch.tanh(a * s + xi)
            total = total + s * s
        return total

    def stencil(grid, sweeps):
        p, q = map(torch.from_numpy, row_maps(grid.shape[1]))
        rows = list(grid.unbind())
        for _ in range(sweeps):
            for i in range(1, len(rows) - 1):
                rows[i] = p @ rows[i] + q @ (rows[i - 1] + rows[i + 1])
        return torch.sum(torch.stack(rows) ** 2)

    def eight(tree):
        total = torch.zeros((), dtype=torch.float64)
        for x in tree.values():
            total = total + torch.sum(x**2)
        return total

    functions = locals()

    def tensors(tree: Any, watched: list[Any] | None) -> Any:
        if isinstance(tree, list | tuple):
            return [tensors(branch, watched) for branch in tree]
        if isinstance(tree, dict):
            return {key: tensors(branch, watched) for key, branch in tree.items()}
        if type(tree) is int:
            return tree
        if type(tree) is float:
            leaf = torch.tensor(tree, dtype=torch.float64)
        else:
            leaf = torch.from_numpy(tree)
        if watched is not None:
            watched.append(leaf.requires_grad_())
        return leaf

    def prepare(workload: Workload, args: tuple[Any, ...]) -> Callable[[], Result]:
        function = functions[workload.function.__name__]

        def run() -> Result:
            watched: list[Any] = []
            inputs = [
                tensors(x, watched if i in workload.argnums else None)
                for i, x in enumerate(args)
            ]
            out = function(*inputs)
            grads = torch.autograd.grad(out, watched)
            return out.item(), [g.numpy() for g in grads]

        return run

    return Peer("torch", torch.__version__, prepare)


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


PEERS: dict[str, Callable[[], Peer]] = {
    "gradjit": _gradjit,
    "handwritten": _handwritten,
    "tape": _tape,
    "autograd": _autograd,
    "jax": _jax,
    "torch": _torch,
}
