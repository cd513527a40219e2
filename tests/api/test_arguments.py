"""Arguments, positions and pullbacks: what is taken, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import gradjit

X = np.array([1.0, 2.0, 3.0])


def test_pullback_is_of_the_arguments_as_they_were() -> None:
    x = X.copy()
    _, pullback = gradjit.vjp(lambda v: v**3, x)
    x[:] = 0.0
    np.testing.assert_allclose(pullback(np.ones(3))[0], 3 * X**2)


def test_masked_array_after_a_plain_one_is_refused() -> None:
    f = gradjit.grad(lambda v: np.sum(v * v))
    f(X)
    with pytest.raises(gradjit.DtypeError, match="MaskedArray is not a plain array"):
        f(np.ma.masked_array(X, [0, 1, 0]))


@pytest.mark.parametrize("argnums", [(0, -2), (0, 0), (0, 1.5), "x", True])
def test_argnums_name_different_arguments(argnums: object) -> None:
    with pytest.raises(gradjit.GradjitError, match="argnums"):
        gradjit.grad(lambda x, y: x * y, argnums=argnums)(2.0, 3.0)  # type: ignore


def test_functions_of_numpy_are_functions() -> None:
    assert gradjit.grad(np.sin)(2.0) == pytest.approx(np.cos(2.0))


def test_has_aux_without_a_pair() -> None:
    with pytest.raises(gradjit.GradjitError, match="returned one value"):
        gradjit.grad(lambda x: x * x, has_aux=True)(2.0)


def test_no_function() -> None:
    with pytest.raises(gradjit.GradjitError, match="takes a function, not 3"):
        gradjit.grad(3)  # type: ignore[arg-type]


def test_captured_number_array_is_read_at_each_call() -> None:
    scale = np.array(2.0)
    f = gradjit.jit(lambda x: x * (scale + 1.0))
    assert f(1.5) == 4.5
    scale[...] = 5.0
    assert f(1.5) == 9.0
    scale = np.array(9.0)
    assert f(1.5) == 15.0
