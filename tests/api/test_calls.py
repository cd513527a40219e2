"""What stands between a call and compiled code: leaves, keys, effects, guards."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit import DtypeError, GradjitError, ShapeError

X = np.array([0.5, -1.25, 2.0, 3.5])

SCALE = 2.0
OPTIONS: Any = {"k": [2.0]}
INNER = gradjit.grad(lambda x: x * x)
TABLE = np.array([1.0, 2.0, 3.0, 4.0])


def scaled(x: Any) -> Any:
    return np.sum(SCALE * x * TABLE)


def square(x: Any) -> Any:
    return np.sum(x * x)


def count(f: Any) -> int:
    """How often a function has been compiled."""
    return sum(len(found) for found in f._compiled.values())


def is_fast(f: Any) -> bool:
    return f.__call__.__name__ == "call"


class TestLeaves:
    @pytest.mark.parametrize(
        "x",
        [
            np.arange(8.0)[::2],
            np.arange(4.0)[::-1],
            np.arange(12.0).reshape(3, 4).T[1],
            np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            np.arange(4.0).astype(">f8"),
            np.broadcast_to(1.5, (3,)),
            np.zeros((0,)),
            np.zeros((3, 0)),
        ],
        ids=[
            "strided",
            "reversed",
            "column",
            "fortran",
            "swapped",
            "broadcast",
            "empty",
            "empty2",
        ],
    )
    def test_any_layout(self, x: Any) -> None:
        f = gradjit.grad(square)
        before = x.copy()
        got = f(x)
        np.testing.assert_array_equal(got, 2 * np.asarray(x, float))
        np.testing.assert_array_equal(x, before)
        np.testing.assert_array_equal(f(x), got)

    def test_read_only(self) -> None:
        f = gradjit.grad(square)
        x = X.copy()
        x.flags.writeable = False
        np.testing.assert_array_equal(f(x), 2 * X)
        np.testing.assert_array_equal(f(X), 2 * X)
        np.testing.assert_array_equal(f(x), 2 * X)

    def test_one_function_many_dtypes(self) -> None:
        f = gradjit.grad(lambda x, y: np.sum(x * y))
        for dtype in (np.float64, np.float32):
            for y in (2.0, np.float64(2.0), 2, np.arange(4), np.float32(2.0)):
                x = X.astype(dtype)
                got = f(x, y)
                assert got.dtype == dtype
                np.testing.assert_allclose(got, np.broadcast_to(y, (4,)), rtol=1e-6)

    def test_masked_arrays_and_matrices_are_refused(self) -> None:
        with pytest.raises(DtypeError, match="MaskedArray is not a plain array"):
            gradjit.grad(square)(np.ma.masked_array(X))

    def test_an_integer_that_does_not_fit(self) -> None:
        f = gradjit.jit(lambda x, n: x * n)
        assert f(2.0, 3) == 6.0
        with pytest.raises(DtypeError, match="does not fit into int64"):
            f(2.0, 2**64)

    def test_ints_are_values_and_not_structure(self) -> None:
        def power(x: Any, n: Any) -> Any:
            out = 1.0
            for _ in range(n):
                out *= x
            return out

        f = gradjit.grad(power)
        for n in range(5):
            assert f(2.0, n) == pytest.approx(n * 2.0 ** (n - 1) if n else 0.0)
        assert count(f) == 1

    def test_ints_are_pinned_where_python_needs_them(self) -> None:
        def f(x: Any, n: Any) -> Any:
            parts = [x * x] * n
            return parts[n - 1] * len(parts)

        g = gradjit.grad(f)
        assert [g(3.0, n) for n in (1, 2, 1, 2)] == [6.0, 12.0, 6.0, 12.0]
        assert count(g) == 2

    def test_structure_is_part_of_the_key(self) -> None:
        def f(x: Any, kind: Any) -> Any:
            if kind == "sin":
                return np.sin(x)
            return x * x if kind else -x

        g = gradjit.grad(f)
        for _ in range(2):
            assert g(0.5, "sin") == pytest.approx(np.cos(0.5))
            assert g(0.5, True) == 1.0
            assert g(0.5, None) == -1.0
            assert g(0.5, kind=False) == -1.0


class TestArguments:
    def test_keywords_and_defaults(self) -> None:
        def f(x: Any, y: Any = 3.0, *, z: Any = 2.0) -> Any:
            return x * y * z

        g = gradjit.grad(f)
        for _ in range(2):
            assert g(1.0) == 6.0
            assert g(1.0, 5.0) == 10.0
            assert g(1.0, y=5.0, z=1.0) == 5.0
            assert g(x=1.0, z=4.0) == 12.0
        with pytest.raises(TypeError, match="unexpected keyword"):
            g(1.0, w=2.0)
        with pytest.raises(TypeError, match="missing"):
            g()

    def test_stars(self) -> None:
        def f(*xs: Any, **named: Any) -> Any:
            total = named["bias"]
            for x in xs:
                total = total + x * x
            return total

        g = gradjit.grad(f, (0, 2))
        for _ in range(2):
            assert g(1.0, 2.0, 3.0, bias=0.5) == (2.0, 6.0)
            assert g(1.0, 2.0, 3.0, 4.0, bias=0.5) == (2.0, 6.0)

    def test_positional_only(self) -> None:
        def f(x: Any, /, y: Any) -> Any:
            return x * y

        g = gradjit.grad(f)
        assert (g(2.0, 3.0), g(2.0, y=4.0)) == (3.0, 4.0)

    def test_a_method(self) -> None:
        class Model:
            def __init__(self, w: Any) -> None:
                self.w = w

            @gradjit.grad(argnums=1)
            def slope(self, x: Any) -> Any:
                return np.sum(self.w * x * x)

        model = Model(X)
        np.testing.assert_allclose(model.slope(X), 2 * X * X)
        np.testing.assert_allclose(model.slope(X), 2 * X * X)
        np.testing.assert_allclose(Model(X + 1).slope(X), 2 * (X + 1) * X)
        model.w = 3 * X
        np.testing.assert_allclose(model.slope(X), 6 * X * X)
        assert "grad_slope" in model.slope.source

    def test_a_bound_method(self) -> None:
        class Model:
            k = 3.0

            def loss(self, x: Any) -> Any:
                return self.k * x * x

        model = Model()
        slope = gradjit.grad(model.loss)
        assert slope(2.0) == 12.0
        assert slope(2.0) == 12.0
        model.k = 1.0
        assert slope(2.0) == 4.0

    def test_a_callable_object(self) -> None:
        class Model:
            def __init__(self) -> None:
                self.k = 3.0

            def __call__(self, x: Any) -> Any:
                return self.k * x * x

        model = Model()
        slope = gradjit.grad(model)
        assert slope(2.0) == 12.0
        model.k = 1.0
        assert slope(2.0) == 4.0

    def test_pickle(self) -> None:
        f = gradjit.grad(square)
        f(X)
        again = pickle.loads(pickle.dumps(f))
        np.testing.assert_array_equal(again(X), 2 * X)
        assert again.__name__ == "square"

    def test_signature(self) -> None:
        import inspect

        assert str(inspect.signature(gradjit.grad(scaled))).startswith("(x: ")


class TestExtents:
    def test_no_compilation_for_another_length(self) -> None:
        f = gradjit.grad(lambda x, y: np.sum(x * y))
        for n in (3, 5, 1, 0, 2):
            np.testing.assert_array_equal(
                f(np.ones(n), np.full(n, 2.0)), np.full(n, 2.0)
            )
        assert count(f) == 1

    def test_an_extent_of_one_broadcasts(self) -> None:
        f = gradjit.grad(lambda x, y: np.sum(x * y), (0, 1))
        y = np.arange(4.0)
        f(X, y)
        dx, dy = f(np.array([2.0]), y)
        np.testing.assert_array_equal(dx, [6.0])
        np.testing.assert_array_equal(dy, np.full(4, 2.0))
        assert count(f) == 2
        np.testing.assert_array_equal(f(X, y)[0], y)
        np.testing.assert_array_equal(f(np.array([2.0]), y)[0], [6.0])
        assert count(f) == 2

    def test_code_for_one_is_not_used_for_more(self) -> None:
        f = gradjit.grad(lambda x, y: np.sum(x * y), (0, 1))
        one, y = np.array([2.0]), np.arange(4.0)
        for _ in range(2):
            np.testing.assert_array_equal(f(one, y)[0], [6.0])
            np.testing.assert_array_equal(f(X, y)[0], y)

    def test_extents_that_do_not_fit(self) -> None:
        def f(x: Any, y: Any) -> Any:
            return np.sum(x * y)

        g = gradjit.grad(f)
        g(X, X)
        for _ in range(2):
            with pytest.raises(ShapeError, match=r"return np\.sum"):
                g(X, np.ones(3))
        assert count(g) == 1
        np.testing.assert_array_equal(g(X, X), X)

    def test_static_extents(self) -> None:
        f = gradjit.grad(lambda x: np.sum(x * x), static="x")
        np.testing.assert_array_equal(f(X), 2 * X)
        np.testing.assert_array_equal(f(X[:2]), 2 * X[:2])
        assert count(f) == 2
        assert "shape" not in f.source

    def test_static_extents_of_some_axes(self) -> None:
        f = gradjit.grad(lambda m: np.sum(m[:, 0] * m[:, -1]), static={"m": -1})
        for rows in (2, 5, 4):
            m = np.arange(3.0 * rows).reshape(rows, 3)
            want = np.zeros((rows, 3))
            want[:, 0], want[:, 2] = m[:, 2], m[:, 0]
            np.testing.assert_array_equal(f(m), want)
        assert count(f) == 1
        assert "static: m[-1]" in f.source
        f(np.ones((2, 4)))
        assert count(f) == 2

    def test_static_axes_of_all_arrays_in_a_container(self) -> None:
        f = gradjit.jit(lambda p: p["a"].sum() + p["b"].sum(), static={"p": (0,)})
        f({"a": np.ones(3), "b": np.ones((3, 2))})
        f({"a": np.ones(3), "b": np.ones((3, 5))})
        assert count(f) == 1
        f({"a": np.ones(2), "b": np.ones((3, 5))})
        assert count(f) == 2

    def test_static_that_names_nothing(self) -> None:
        f = gradjit.jit(lambda x, y: x + y, static="z")
        with pytest.raises(
            GradjitError, match=r"static names z, which is no parameter"
        ):
            f(X, X)
        f = gradjit.jit(lambda x: x + 1.0, static={"x": 1})
        with pytest.raises(GradjitError, match="axis 1 of an array of 1 axes"):
            f(X)
        with pytest.raises(GradjitError, match="static takes names of parameters"):
            gradjit.jit(lambda x: x, static=0)
        with pytest.raises(GradjitError, match=r"static gives x the axes 'rows'"):
            gradjit.jit(lambda x: x, static={"x": "rows"})


class TestEffects:
    def test_jit_writes_into_arguments(self) -> None:
        @gradjit.jit
        def f(x: Any, v: Any) -> Any:
            x[0] = v
            return np.sum(x)

        for _ in range(2):
            x = X.copy()
            assert f(x, 7.0) == pytest.approx(np.sum(X[1:]) + 7.0)
            assert x[0] == 7.0

    def test_jit_writes_into_views(self) -> None:
        @gradjit.jit
        def f(x: Any) -> None:
            x[:] = x * 2.0

        for _ in range(2):
            base = np.arange(8.0)
            assert f(base[::2]) is None
            np.testing.assert_array_equal(base, [0, 1, 4, 3, 8, 5, 12, 7])

    def test_jit_returns_the_argument_itself(self) -> None:
        @gradjit.jit
        def f(x: Any) -> Any:
            x[1] = 0.0
            return x

        for _ in range(2):
            x = X.copy()
            assert f(x) is x
            assert x[1] == 0.0

    def test_a_derivative_leaves_arguments_alone(self) -> None:
        def f(x: Any) -> Any:
            x[0] = x[1] * x[2]
            return np.sum(x * x)

        g = gradjit.grad(f)
        for _ in range(2):
            x = X.copy()
            got = g(x)
            np.testing.assert_array_equal(x, X)
            want = 2 * X
            want[0] = 0.0
            want[1] += 2 * X[1] * X[2] * X[2]
            want[2] += 2 * X[1] * X[2] * X[1]
            np.testing.assert_allclose(got, want)

    def test_overlap_is_refused(self) -> None:
        def f(x: Any, y: Any) -> Any:
            x[0] = 1.0
            return np.sum(x * y)

        for make in (gradjit.jit, gradjit.grad):
            g = make(f)
            x = np.arange(6.0)
            g(x[:3].copy(), x[3:].copy())
            for _ in range(2):
                with pytest.raises(GradjitError) as caught:
                    g(x[:3], x[1:4])
                assert str(caught.value) == (
                    "f writes into x, which shares memory with y\n"
                    "  Pass a copy of one of them."
                )
            g(x[:3], x[3:])

    def test_read_only_arguments_are_not_written(self) -> None:
        @gradjit.jit
        def f(x: Any) -> None:
            x[0] = 1.0

        x = X.copy()
        x.flags.writeable = False
        with pytest.raises(ValueError, match="read-only"):
            f(x)
        assert x[0] == X[0]


class TestGuards:
    def test_a_global_number_that_changes(self, monkeypatch: Any) -> None:
        f = gradjit.grad(scaled)
        np.testing.assert_array_equal(f(X), 2.0 * TABLE)
        np.testing.assert_array_equal(f(X), 2.0 * TABLE)
        monkeypatch.setitem(globals(), "SCALE", 5.0)
        np.testing.assert_array_equal(f(X), 5.0 * TABLE)
        monkeypatch.setitem(globals(), "SCALE", 2.0)
        np.testing.assert_array_equal(f(X), 2.0 * TABLE)
        assert count(f) == 2

    def test_a_global_array_that_is_rebound(self, monkeypatch: Any) -> None:
        f = gradjit.grad(scaled)
        f(X)
        monkeypatch.setitem(globals(), "TABLE", np.full(4, 9.0))
        for _ in range(3):
            np.testing.assert_array_equal(f(X), np.full(4, 18.0))
        assert count(f) == 1
        assert is_fast(f)
        monkeypatch.setitem(globals(), "TABLE", np.arange(8.0)[::2])
        for _ in range(2):
            np.testing.assert_array_equal(f(X), 2.0 * np.arange(8.0)[::2])

    def test_a_global_array_that_is_written_into(self) -> None:
        table = X.copy()
        f = gradjit.grad(lambda x: np.sum(x * table))
        np.testing.assert_array_equal(f(X), X)
        table[2] = 100.0
        np.testing.assert_array_equal(f(X), table)

    def test_a_closure_that_changes(self) -> None:
        k = 2.0

        def f(x: Any) -> Any:
            return k * x

        g = gradjit.grad(f)
        assert g(1.0) == 2.0
        k = 3.0
        assert g(1.0) == 3.0

    def test_a_helper_that_is_replaced(self, monkeypatch: Any) -> None:
        f = gradjit.grad(lambda x: square(x))
        np.testing.assert_array_equal(f(X), 2 * X)
        monkeypatch.setitem(globals(), "square", np.sum)
        np.testing.assert_array_equal(f(X), np.ones(4))

    def test_a_global_container_that_is_rebound(self, monkeypatch: Any) -> None:
        f = gradjit.grad(lambda x: x * OPTIONS["k"][0])
        assert f(1.0) == 2.0
        monkeypatch.setitem(globals(), "OPTIONS", {"k": [5.0]})
        assert f(1.0) == 5.0
        OPTIONS["k"][0] = 7.0
        assert f(1.0) == 7.0

    def test_a_global_transform_that_is_rebound(self, monkeypatch: Any) -> None:
        f = gradjit.grad(lambda x: INNER(x))
        assert f(2.0) == 2.0
        monkeypatch.setitem(globals(), "INNER", gradjit.grad(lambda x: x**3))
        assert f(2.0) == 12.0
