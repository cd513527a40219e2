"""The rows of kernels: their arguments, their primals, and what has to be reached.

The unit is the function itself under Numba, without a gradient. The targets are what
the best other way takes for value and gradient, in that unit: JAX jit, PyTorch eager,
or C++ derivatives by hand, each measured once; and 2.5 for any loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench import speed_arrays, speed_kernels, speed_objectives
from bench.loops_programs import PROGRAMS, normal
from bench.measure import TOLERANCE
from bench.speed_case import Call, Case, Prepare, Target, primal

LOOPS = 2.5
# The largest entry of lse gets 1 - sum(softmax), a difference of sums of 10^6 terms.
LOOSE = {"lse": 1e-7}

# --------------------------------------------------------------------------- arguments


def uniform(seed: int, size: int, *rest: int) -> Callable[[], Any]:
    return lambda: (np.random.default_rng(seed).uniform(size=size), *rest)


def clusters(k: int, n: int, d: int) -> Callable[[], Any]:
    """Centres that lie near some of the points."""

    def build() -> tuple[Any, ...]:
        rng = np.random.default_rng(21)
        points = rng.uniform(size=(n, d))
        near = rng.choice(n, size=k, replace=False)
        return points, points[near] + 0.01 * rng.normal(size=(k, d))

    return build


def mixture(d: int, k: int, n: int) -> Callable[[], Any]:
    def build() -> tuple[Any, ...]:
        rng = np.random.default_rng(22)
        below = rng.normal(size=(k, d * (d - 1) // 2))
        parts = rng.normal(size=k), rng.uniform(size=(k, d)), rng.normal(size=(k, d))
        return *parts, below, rng.normal(size=(n, d)), 1.0, 0

    return build


def places(d: int) -> np.ndarray:
    """Where the entries of a triangle under the diagonal stand, from 1, by columns."""
    out = np.zeros((d, d), dtype=np.int64)
    columns, rows = np.triu_indices(d, 1)
    out[rows, columns] = np.arange(1, rows.size + 1)
    return out


def with_places(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return *args, places(args[1].shape[1])


def observations(n: int) -> Callable[[], Any]:
    """Cameras, points before them, weights, and where the points are seen."""

    def build() -> tuple[Any, ...]:
        rng = np.random.default_rng(23)
        cameras = rng.uniform(-0.1, 0.1, size=(n, 11))
        cameras[:, :6] *= 4.0
        cameras[:, 6] += 1.0
        points = rng.uniform(-1.0, 1.0, size=(n, 3)) + np.array([0.0, 0.0, 4.0])
        return cameras, points, rng.uniform(0.5, 1.5, size=n), rng.normal(size=(n, 2))

    return build


def _clipped(n: int, m: int) -> Callable[[], Any]:
    def build() -> tuple[Any, ...]:
        rng = np.random.default_rng(24)
        x = rng.uniform(0.0, 14.0, size=(n, m))
        return x, rng.normal(size=(n, m)), 4.0, 3.0, 9.0, rng.normal(size=(n, m))

    return build


# ------------------------------------------------------------------------------- flops
# An addition, a multiplication, a division, a comparison and an elementary function
# count as one each.


def _llsq_flops(weights, samples):
    return 8.0 * samples * len(weights)


def _kmeans_flops(points, centres):
    return (3.0 * points.shape[0] + 4.0) * centres.size


def _gmm_flops(logits, means, log_scales, below, data, *rest):
    pairs = len(data) * len(logits)
    return pairs * (6.0 * below.shape[1] + 12.0 * means.shape[1] + 8.0)


# -------------------------------------------------------------------------------- cases


def _jax(name: str, argnums: tuple[int, ...]) -> Prepare:
    def prepare(args: tuple[Any, ...]) -> Call:
        from bench import speed_jax

        if name == "gmm" and len(args) == 7:
            args = with_places(args)
        return speed_jax.prepare(speed_jax.kernel(name), argnums, args)

    return prepare


def _loops(
    function: Callable[..., Any],
    note: str,
    argnums: tuple[int, ...],
    best: float,
    flops: Callable[..., float],
    *arguments: Callable[[], Any],
    name: str = "",
) -> Case:
    """A row of loops: the kernel against its primal. `arguments` are full, small."""
    return Case(
        name or function.__name__,
        "kernels",
        note,
        function,
        argnums,
        *arguments,
        {"primal": primal(function), "jax": _jax(function.__name__, argnums)},
        (Target(("primal",), min(best, LOOPS)),),
        flops,
        LOOSE.get(function.__name__, TOLERANCE),
    )


def _arrays(loops: Case, argnums: tuple[int, ...], best: float) -> Case:
    """The row of the same function as array expressions, against the same primal."""
    short = loops.name.removesuffix("_wide")
    function = getattr(speed_arrays, short)
    of_gmm = short == "gmm"

    def first_seven(args: tuple[Any, ...]) -> Call:
        return loops.peers["primal"](args[:7])

    def with_table(build: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: with_places(build())

    return Case(
        f"{loops.name}, arrays",
        "kernels",
        loops.note,
        function,
        argnums,
        with_table(loops.full) if of_gmm else loops.full,
        with_table(loops.small) if of_gmm else loops.small,
        {"primal": first_seven, "jax": _jax(short, argnums)},
        (Target(("primal",), best),),
        loops.flops,
        loops.tolerance,
    )


def _objectives() -> list[Case]:
    o = speed_objectives
    gmm, wrt, camera = o.gmm, (0, 1, 2, 3), (0, 1, 2)
    table = (
        (
            o.lse,
            "n = 10^6",
            (0,),
            0.45,
            lambda x: 5.0 * x.size,
            uniform(20, 10**6),
            uniform(20, 40),
        ),
        (
            o.llsq,
            "1024 samples, 128 weights",
            (0,),
            2.3,
            _llsq_flops,
            uniform(25, 128, 1024),
            uniform(25, 12, 16),
        ),
        (
            o.kmeans,
            "k = 100, n = 1000, d = 8",
            (1,),
            1.1,
            _kmeans_flops,
            clusters(100, 1000, 8),
            clusters(4, 20, 3),
        ),
        (
            gmm,
            "d = 10, k = 25, n = 1000",
            wrt,
            2.3,
            _gmm_flops,
            mixture(10, 25, 1000),
            mixture(3, 4, 6),
        ),
        (
            o.ba,
            "10^4 observations",
            camera,
            9.8,
            lambda c, *_: 250.0 * len(c),
            observations(10**4),
            observations(7),
        ),
        (
            gmm,
            "d = 64, k = 50, n = 1000",
            wrt,
            0.81,
            _gmm_flops,
            mixture(64, 50, 1000),
            mixture(5, 2, 4),
        ),
    )
    cases: list[Case] = []
    for entry in table:
        name = "gmm_wide" if "64" in entry[1] else ""
        loops = _loops(*entry, name=name)
        cases += [loops, _arrays(loops, entry[2], entry[3])]
    return cases


def _kernels() -> list[Case]:
    k = speed_kernels
    table = (
        (
            k.atax,
            "1000 x 1250",
            (0, 1),
            2.1,
            lambda a, *_: 11.0 * a.size,
            normal(26, (1000, 1250), (1250,), (1250,)),
            normal(26, (5, 7), (7,), (7,)),
        ),
        (
            k.gemm,
            "200 x 240 x 220",
            (0, 1, 2, 3, 4),
            0.61,
            lambda al, be, c, a, b, w: 6.0 * a.size * b.shape[1],
            normal(27, 1.5, 1.2, (200, 220), (200, 240), (240, 220), (200, 220)),
            normal(27, 1.5, 1.2, (4, 5), (4, 6), (6, 5), (4, 5)),
        ),
        (
            k.go_fast,
            "1000 x 1000",
            (0,),
            0.49,
            lambda a, w: 4.0 * a.size,
            normal(28, (1000, 1000), (1000, 1000)),
            normal(28, (5, 5), (5, 5)),
        ),
        (
            k.compute,
            "1000 x 1000",
            (0, 1, 2, 3, 4),
            1.5,
            lambda x, *_: 16.0 * x.size,
            _clipped(1000, 1000),
            _clipped(5, 6),
        ),
        (
            k.softmax,
            "4096 x 1000",
            (0,),
            0.43,
            lambda x, w: 10.0 * x.size,
            normal(29, (4096, 1000), (4096, 1000)),
            normal(29, (4, 5), (4, 5)),
        ),
    )
    return [_loops(*entry) for entry in table]


# Of the kernels in `bench/loops_kernels.py`: the best other way, and flops.
SHARED: dict[str, tuple[float, Callable[..., float]]] = {
    "cholesky": (0.85, lambda a, w: len(a) ** 3),
    "trisolv": (6.0, lambda low, b, w: 3.0 * low.size),
    "correlation": (0.82, lambda x, w: 3.0 * x.size * x.shape[1]),
    "jacobi_1d": (2.3, lambda a, b, steps, w: 12.0 * a.size * steps),
    "seidel_2d": (4.3, lambda a, steps, w: 20.0 * a.size * steps),
    "hdiff": (0.91, lambda field, coeff, w: 50.0 * coeff.size),
    "conv2d_bias": (1.2, lambda x, kernel, b, w: 6.0 * w.size * kernel[..., 0].size),
}


def _shared() -> list[Case]:
    by_name = {program.name: program for program in PROGRAMS}
    cases: list[Case] = []
    for name, (best, flops) in SHARED.items():
        p = by_name[name]
        rest = p.function, p.note, p.argnums, best, flops, p.full, p.small
        cases.append(_loops(*rest))
    return cases


KERNELS = (*_objectives(), *_kernels(), *_shared())
