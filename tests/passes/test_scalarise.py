"""Small arrays in scalars: values, slopes, and what is left of the arrays."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit import config
from tests.passes import small_programs as programs

RNG = np.random.default_rng(5)
V3 = np.array([0.4, -0.7, 1.1])
Case = tuple[Callable[..., Any], tuple[Any, ...], Any]

CASES: dict[str, Case] = {
    "bodies": (
        programs.bodies,
        (RNG.normal(size=(3, 3)), RNG.normal(size=(3, 3)), 5),
        ("pos", "vel"),
    ),
    "turned": (programs.turned, (RNG.normal(size=4), V3), ("q", "v")),
    "kalman": (programs.kalman, (RNG.normal(size=7), 0.1, 0.5), ()),
    "arm": (programs.arm, (RNG.normal(size=5), V3), "target"),
    "rays": (
        programs.rays,
        (
            np.zeros(3),
            np.array([0.05, 0.0, 1.0]),
            RNG.normal(size=(6, 3)) + np.array([0.0, 0.0, 5.0]),
            1.4,
        ),
        {"origin": None, "direction": None, "centres": -1},
    ),
    "newton": (programs.newton, (np.array([3.0, 1.5]),), "c"),
    "settled": (programs.settled, (3.0 * V3,), "v"),
    "one side": (programs.one_side, (V3,), "v"),
    "other side": (programs.one_side, (-V3,), "v"),
    "extremes": (programs.extremes, (V3, V3[::-1] + 0.3), ("v", "w")),
    "table": (programs.table, (V3, 2), "v"),
}


def copied(args: tuple[Any, ...]) -> list[Any]:
    return [a.copy() if isinstance(a, np.ndarray) else a for a in args]


def slope(f: Any, args: tuple[Any, ...], k: int) -> Any:
    """Central differences by argument k."""
    base = np.asarray(args[k], dtype=float)
    out = np.zeros(base.shape)
    for at in np.ndindex(base.shape):
        ends: list[float] = []
        for h in (1e-6, -1e-6):
            moved = base.copy()
            moved[at] += h
            given = copied(args)
            given[k] = moved if base.ndim else float(moved)
            ends.append(f(*given))
        out[at] = (ends[0] - ends[1]) / 2e-6
    return out


def floats(args: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(k for k, a in enumerate(args) if np.asarray(a).dtype.kind == "f")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("jit", [False, True])
def test_values_and_slopes(name: str, jit: bool) -> None:
    f, args, static = CASES[name]
    with config.override(jit=jit):
        g = gradjit.value_and_grad(f, argnums=floats(args), static=static)
        given = copied(args)
        value, grads = g(*given)
    assert value == pytest.approx(f(*copied(args)), rel=1e-12)
    for k, d in zip(floats(args), grads, strict=True):
        np.testing.assert_allclose(d, slope(f, args, k), rtol=1e-6, atol=1e-8)
    for a, b in zip(args, given, strict=True):
        np.testing.assert_array_equal(a, b)


def allocated(g: Any) -> list[str]:
    """Names of the arrays that the emitted code makes, in order."""
    return re.findall(
        r"^ *(\w+) = (?:mem\.(?:empty|zeros|full)|\w+\.copy)\(", g.source, re.M
    )


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("turned", ["d_q", "d_v"]),
        ("newton", ["d_c"]),
        ("one side", ["d_v"]),
        ("extremes", ["d_w", "d_v2"]),
    ],
)
def test_only_results_are_arrays(name: str, made: list[str]) -> None:
    f, args, static = CASES[name]
    g = gradjit.value_and_grad(f, argnums=floats(args), static=static).lower(*args)
    assert [a for a in allocated(g) if not a.endswith("tape")] == made


def lowered(f: Any, *args: Any, **options: Any) -> Any:
    return gradjit.jit(f, **options).lower(*args)


class TestWhatStaysInMemory:
    def test_an_element_that_only_the_call_knows(self) -> None:
        f, args, _ = CASES["table"]
        assert "x = mem.zeros(3)" in lowered(f, *args, static="v").source

    def test_an_array_that_is_filled_and_returned(self) -> None:
        g = lowered(lambda x: 2.0 * x, V3, static="x")
        assert "for i in range(3):" in g.source

    def test_a_large_one(self) -> None:
        def f(x: Any) -> Any:
            y = x * x
            y[0] = 1.0
            return np.sum(np.sin(y) * y)

        assert allocated(lowered(f, np.ones(32), static="x")) == []
        assert allocated(lowered(f, np.ones(33), static="x")) == ["y"]

    def test_a_loop_that_would_become_too_long(self) -> None:
        def f(x: Any) -> Any:
            y = np.zeros(30)
            for _ in range(20):
                for j in range(30):
                    y[j] += np.sin(x[0] * y[j]) + np.cos(x[1] * y[j - 1])
            return np.sum(y)

        g = lowered(f, V3)
        assert len(g.source.splitlines()) < 60
        assert g(V3) == pytest.approx(f(V3))

    def test_a_triangle_that_would_become_too_long(self) -> None:
        def f(x: Any) -> Any:
            y = np.zeros(30)
            for i in range(30):
                for j in range(i):
                    y[i] += x[0] * y[j] + x[1]
            return np.sum(y)

        g = lowered(f, V3)
        assert len(g.source.splitlines()) < 150
        assert g(V3) == pytest.approx(f(V3))

    def test_an_argument_that_is_written_into(self) -> None:
        def f(x: Any) -> Any:
            x[0] = x[1] + 1.0
            for i in range(2):
                x[i + 1] += x[i]
            return x[2]

        g = gradjit.jit(f, static="x")
        got, want = V3.copy(), V3.copy()
        assert g(got) == pytest.approx(f(want))
        np.testing.assert_array_equal(got, want)
        assert allocated(g) == []


class TestWhatIsMadeInMemory:
    def test_a_factor_of_large_products_is_made_once(self) -> None:
        def f(points: Any, x: Any, n: int) -> Any:
            turn = np.zeros((3, 3))
            turn[0, 1], turn[1, 0], turn[2, 2] = x[0], -x[0], 1.0
            for _ in range(n):
                points = points @ turn
            return points

        g = gradjit.jit(f, static={"points": -1})
        points = np.arange(12.0).reshape(4, 3)
        np.testing.assert_allclose(g(points, V3, 3), f(points, V3, 3))
        assert g.source.index("turn[0, 1] = ") < g.source.index("\n    for ")

    def test_a_result_that_is_written_into_as_well(self) -> None:
        def f(x: Any, k: int) -> Any:
            y = x * 2.0
            y[0] += 1.0
            z = y.copy()
            z[k] = 9.0
            return y, z, y[0] * x

        out = gradjit.jit(f, static="x")(V3, 1)
        for got, want in zip(out, f(V3, 1), strict=True):
            np.testing.assert_array_equal(got, want)
        assert not np.shares_memory(out[0], out[1])


class TestDtypes:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_floats_keep_their_width(self, dtype: Any) -> None:
        def f(x: Any) -> Any:
            y = np.zeros(3, dtype=x.dtype)
            y[0] = 0.1
            y[1:] = x[:2] * 0.3
            y += x
            return y * y[0], np.sum(y)

        x = np.array([0.1, 0.7, 0.9], dtype=dtype)
        out, total = gradjit.jit(f, static="x")(x)
        want, sum_ = f(x)
        assert out.dtype == total.dtype == dtype
        np.testing.assert_array_equal(out, want)
        assert total == pytest.approx(sum_, rel=4 * float(np.finfo(dtype).eps))

    def test_a_python_number_in_an_array_is_of_its_width(self) -> None:
        def f(x: Any, s: float) -> Any:
            y = np.zeros(2)
            y[0] = s
            return y * x

        x = np.array([0.1, 0.2], dtype=np.float32)
        out = gradjit.jit(f, static="x")(x, 0.3)
        assert out.dtype == np.float64
        np.testing.assert_array_equal(out, f(x, 0.3))

    def test_a_python_number_that_a_loop_hands_on(self) -> None:
        def f(x: Any, s: float, n: int) -> Any:
            y = np.zeros(2)
            y[0] = s
            for i in range(n):
                y[1] += np.sum(y[0] * x) * i
            if n > 2:
                y[1] = y[0] * x[1]
            return y[0] * x[0], y[1]

        x = np.array([0.1, 0.2], dtype=np.float32)
        g = gradjit.jit(f, static="x")
        for n in (2, 3):
            for got, want in zip(g(x, 0.3, n), f(x, 0.3, n), strict=True):
                assert got == pytest.approx(want, rel=1e-15)
                assert got.dtype == np.float64

    def test_integers_and_bools(self) -> None:
        def f(k: Any) -> Any:
            y = np.zeros(3, dtype=np.int64)
            y[0] = 7
            y[1] = y[0] // k[0]
            y[2] -= y[1] * 2
            mask = y > 1
            mask[0] = not mask[0]
            return np.sum(mask), y, mask

        k = np.array([2, 3, 4])
        for a, b in zip(gradjit.jit(f, static="k")(k), f(k), strict=True):
            np.testing.assert_array_equal(a, b)
            assert np.asarray(a).dtype == np.asarray(b).dtype

    def test_narrow_integers_wrap_around(self) -> None:
        def f(k: Any) -> Any:
            y = np.zeros(2, dtype=np.int8)
            y[0] = k[0]
            y += k
            return y

        k = np.array([100, 100], dtype=np.int8)
        np.testing.assert_array_equal(gradjit.jit(f, static="k")(k), f(k))


class TestEdges:
    def test_nan_is_the_largest(self) -> None:
        def f(x: Any) -> Any:
            y = x * 2.0
            y[0] = np.nan
            return np.max(y), np.min(y[1:]), np.sum(0.0 * y)

        top, low, total = gradjit.jit(f, static="x")(V3)
        assert np.isnan(top)
        assert np.isnan(total)
        assert low == -1.4

    def test_out_of_range_on_a_path_that_is_not_taken(self) -> None:
        def f(x: Any) -> Any:
            y = x * 1.0
            for i in range(4):
                if i < 3:
                    y[i] = y[i] * i
            return np.sum(y)

        assert gradjit.jit(f, static="x")(V3) == pytest.approx(f(V3.copy()))

    def test_out_of_range_is_an_error_with_the_line(self) -> None:
        def f(x: Any) -> Any:
            y = x * 1.0
            for i in range(4):
                y[i] = y[i] * 2.0
            return np.sum(y)

        with pytest.raises(IndexError, match=r"y\[i\] = y\[i\] \* 2\.0"):
            gradjit.jit(f, static="x")(V3)

    def test_no_elements(self) -> None:
        def f(x: Any) -> Any:
            y = np.zeros((0, 3))
            z = np.sum(y, axis=0)
            z[1] = x[0]
            return np.sum(z) + np.sum(y)

        assert gradjit.grad(f, static="x")(V3).tolist() == [1.0, 0.0, 0.0]

    def test_what_no_iteration_changes_is_not_carried(self) -> None:
        def f(x: Any, n: int) -> Any:
            y = x * 2.0
            for i in range(n):
                y[1] = np.sin(y[1] + y[0] * i)
            return y[0] + y[1] + y[2]

        g = gradjit.jit(f, static="x")
        assert g(V3, 4) == pytest.approx(f(V3, 4))
        inside = g.source.split("for i in range(n):")[1]
        assert "y_0 =" not in inside
        assert "y_2 =" not in inside

    def test_a_swap_in_a_loop(self) -> None:
        def f(x: Any, n: int) -> Any:
            a, b = x * 1.0, x * 2.0
            for i in range(n):
                a, b = b, a
                a[0] += i * b[1]
            return np.sum(a * a) + b[0]

        g = gradjit.value_and_grad(f, static="x")
        value, grad = g(V3, 5)
        assert value == pytest.approx(f(V3, 5))
        np.testing.assert_allclose(grad, slope(f, (V3, 5), 0), rtol=1e-6)

    def test_second_derivatives(self) -> None:
        def f(x: Any) -> Any:
            y = np.cross(x, np.array([1.0, 2.0, 3.0]))
            return np.sum(y**3) * x[0]

        h = gradjit.hessian(f, static="x")(V3)
        g = gradjit.grad(f)
        want = [(g(V3 + e) - g(V3 - e)) / 2e-5 for e in 1e-5 * np.eye(3)]
        np.testing.assert_allclose(h, want, rtol=1e-6, atol=1e-7)
