"""`check_grads` accepts what is right, and names what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradjit

X = np.array([0.5, -1.25, 2.0])


def test_accepts_what_is_right() -> None:
    def f(x: Any, p: Any, n: Any) -> Any:
        for _ in range(n):
            x = np.sin(x) * p["w"] + p["b"]
        return np.sum(x)

    gradjit.check_grads(f, (X, {"w": X + 1, "b": 0.5}, 3), order=2)


def test_single_precision() -> None:
    gradjit.check_grads(lambda x: np.sum(x * x), (X.astype(np.float32),))


def test_names_argument_and_element() -> None:
    def f(x: Any, p: Any) -> Any:
        return np.sum(x) + gradjit.stop_gradient(p["w"][1]) * 3.0

    with pytest.raises(AssertionError) as caught:
        gradjit.check_grads(f, (X, {"w": X}))
    assert str(caught.value) == (
        "derivatives of f:\n  reverse mode: argument 1['w'][1] is 0, and finite "
        "differences give 3"
    )


def test_arguments_are_left_alone() -> None:
    def f(x: Any) -> Any:
        x[0] = x[1] * x[2]
        return np.sum(x * x)

    x = X.copy()
    gradjit.check_grads(f, (x,), order=2)
    np.testing.assert_array_equal(x, X)


@pytest.mark.parametrize(
    ("args", "order", "message"),
    [((X,), 3, "order is 1 or 2, not 3"), ((2,), 1, "there is no float in args")],
)
def test_what_it_does_not_take(args: Any, order: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gradjit.check_grads(lambda x: x * x, args, order=order)
