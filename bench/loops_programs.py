"""What `python -m bench loops` measures: kernels, their arguments, and the targets.

Those with `against="handwritten"` have an adjoint written by hand in
`bench/loops_stencils.py` or `bench/loops_adjoints.py`, and all have ports to JAX in
`bench/loops_jax.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bench import loops_kernels as kernels


@dataclass(frozen=True, slots=True)
class Program:
    """A kernel, its arguments, what it is measured against, and what it has to reach.

    `full` builds the arguments of the table, `small` those of `--quick` and the tests.
    `literal`, if given, are the arguments at which the literal port to JAX is measured,
    where it would take too long at full size.
    """

    name: str
    note: str
    function: Callable[..., Any]
    argnums: tuple[int, ...]
    full: Callable[[], tuple[Any, ...]]
    small: Callable[[], tuple[Any, ...]]
    against: Literal["handwritten", "primal"]
    target: float
    literal: Callable[[], tuple[Any, ...]] | None = None
    literal_note: str = ""


# --------------------------------------------------------------------------- arguments


def normal(seed: int, *shapes: tuple[int, ...] | float) -> Callable[[], Any]:
    """Arrays of normal numbers; a number stands for itself."""

    def build() -> tuple[Any, ...]:
        rng = np.random.default_rng(seed)
        return tuple(
            rng.normal(size=shape) if isinstance(shape, tuple) else shape
            for shape in shapes
        )

    return build


def waves(n: int, steps: int) -> Callable[[], Any]:
    def build() -> tuple[Any, ...]:
        rng = np.random.default_rng(3)
        at = np.linspace(-3.0, 3.0, n)
        bump = np.exp(-(at[:, None] ** 2) - at[None, :] ** 2)
        speed = rng.uniform(0.1, 0.3, size=(n, n))
        return bump, speed, steps, rng.normal(size=(n, n))

    return build


def _bodies(n: int, steps: int) -> Callable[[], Any]:
    def build() -> tuple[Any, ...]:
        rng = np.random.default_rng(5)
        place, speed = rng.normal(size=(n, 3)), 0.3 * rng.normal(size=(n, 3))
        return place, speed, rng.uniform(0.5, 1.5, size=n), steps

    return build


def _cell(steps: int, k: int, n: int) -> Callable[[], Any]:
    def build() -> tuple[Any, ...]:
        rng = np.random.default_rng(6)
        own = [rng.normal(size=s) / np.sqrt(n) for s in ((n, k), (n, n), n) * 2]
        return rng.normal(size=(steps, k)), *own

    return build


def _equations(n: int) -> Callable[[], Any]:
    def build() -> tuple[Any, ...]:
        rng = np.random.default_rng(7)
        return rng.uniform(-0.8, 0.8, size=n), rng.uniform(-3.0, 3.0, size=n)

    return build


def _positive(n: int) -> Callable[[], Any]:
    def build() -> tuple[Any, ...]:
        rng = np.random.default_rng(8)
        half = rng.normal(size=(n, n))
        return half @ half.T / n + np.eye(n), rng.normal(size=(n, n))

    return build


def _triangle(n: int) -> Callable[[], Any]:
    def build() -> tuple[Any, ...]:
        rng = np.random.default_rng(9)
        low = np.tril(rng.normal(size=(n, n)), -1) / n
        low[range(n), range(n)] = rng.uniform(1.0, 2.0, size=n)
        return low, rng.normal(size=n), rng.normal(size=n)

    return build


def _columns(n: int, m: int) -> Callable[[], Any]:
    """One column varies by less than the threshold."""

    def build() -> tuple[Any, ...]:
        rng = np.random.default_rng(10)
        data = rng.normal(size=(n, m)) + rng.normal(size=m)
        data[:, 1] *= 0.01
        return data, rng.normal(size=(m, m))

    return build


def _images(count: int, side: int, size: int, c_in: int, c_out: int) -> Any:
    out = (count, side - size + 1, side - size + 1, c_out)
    shapes = (count, side, side, c_in), (size, size, c_in, c_out), (c_out,), out
    return normal(11, *shapes)


def cells(ni: int, nj: int, nk: int) -> Callable[[], Any]:
    return normal(12, (ni + 4, nj + 4, nk), (ni, nj, nk), (ni, nj, nk))


# ---------------------------------------------------------------------------- the list

HAND: dict[str, Any] = {"against": "handwritten"}
PRIMAL: dict[str, Any] = {"against": "primal", "target": 4.0}

PROGRAMS = (
    Program(
        "seidel_2d",
        "9 points in place, 4 sweeps of 160 x 160",
        kernels.seidel_2d,
        (0,),
        normal(1, (160, 160), 4, (160, 160)),
        normal(1, (6, 7), 3, (6, 7)),
        target=1.3,
        literal=normal(1, (160, 160), 1, (160, 160)),
        literal_note="1 sweep of 160 x 160",
        **HAND,
    ),
    Program(
        "jacobi_1d",
        "3 points to and fro, 800 steps of 3200",
        kernels.jacobi_1d,
        (0, 1),
        normal(2, (3200,), (3200,), 800, (3200,)),
        normal(2, (10,), (10,), 4, (10,)),
        target=1.3,
        literal=normal(2, (3200,), (3200,), 10, (3200,)),
        literal_note="10 steps of 3200",
        **HAND,
    ),
    Program(
        "hdiff",
        "limited diffusion of 64 x 64 x 60",
        kernels.hdiff,
        (0, 1),
        cells(64, 64, 60),
        cells(4, 5, 3),
        target=1.3,
        literal=cells(24, 24, 24),
        literal_note="24 x 24 x 24",
        **HAND,
    ),
    Program(
        "wave",
        "cubic wave, 100 steps of 128 x 128",
        kernels.wave,
        (0, 1),
        waves(128, 100),
        waves(8, 5),
        target=1.3,
        literal=waves(128, 2),
        literal_note="2 steps of 128 x 128",
        **HAND,
    ),
    Program(
        "nbody",
        "5 bodies, 1000 steps",
        kernels.nbody,
        (0, 1, 2),
        _bodies(5, 1000),
        _bodies(4, 10),
        target=1.5,
        **HAND,
    ),
    Program(
        "gated",
        "8 inputs, 16 states, 1000 steps",
        kernels.gated,
        (1, 2, 3, 4, 5, 6),
        _cell(1000, 8, 16),
        _cell(10, 3, 4),
        target=1.5,
        **HAND,
    ),
    Program(
        "newton",
        "10^5 equations, a `while` for each",
        kernels.newton,
        (0, 1),
        _equations(10**5),
        _equations(10),
        target=1.5,
        **HAND,
    ),
    Program(
        "edit",
        "soft alignment, 200 x 200",
        kernels.edit,
        (0, 1, 2),
        normal(7, (200,), (200,), 1.0),
        normal(7, (5,), (7,), 1.0),
        target=1.5,
        **HAND,
    ),
    Program(
        "cholesky",
        "in place, 100 x 100",
        kernels.cholesky,
        (0,),
        _positive(100),
        _positive(6),
        **PRIMAL,
    ),
    Program(
        "trisolv",
        "forward substitution, 1000",
        kernels.trisolv,
        (0, 1),
        _triangle(1000),
        _triangle(6),
        **PRIMAL,
    ),
    Program(
        "syrk",
        "lower triangle of 200 x 200 by 240",
        kernels.syrk,
        (0, 1, 2, 3),
        normal(15, 1.5, 1.2, (200, 200), (200, 240), (200, 200)),
        normal(15, 1.5, 1.2, (5, 5), (5, 6), (5, 5)),
        **PRIMAL,
    ),
    Program(
        "correlation",
        "of 500 columns of 600",
        kernels.correlation,
        (0,),
        _columns(600, 500),
        _columns(6, 4),
        **PRIMAL,
    ),
    Program(
        "conv2d_bias",
        "8 images of 32 x 32 x 3, 16 kernels of 5 x 5",
        kernels.conv2d_bias,
        (0, 1, 2),
        _images(8, 32, 5, 3, 16),
        _images(2, 5, 2, 2, 3),
        **PRIMAL,
    ),
    Program(
        "logistic_map",
        "10^6 steps of one number",
        kernels.logistic_map,
        (0, 1),
        lambda: (0.3, 3.2, 10**6),
        lambda: (0.3, 3.2, 50),
        against="primal",
        target=3.0,
    ),
)
