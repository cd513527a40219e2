"""The tape's gradients against finite differences."""

import numpy as np
import pytest

from bench import tape as t

rng = np.random.default_rng(0)
A = rng.uniform(0.5, 1.5, size=(3, 4))
B = rng.uniform(0.5, 1.5, size=(4, 2))
ROW = rng.uniform(0.5, 1.5, size=4)
COLUMN = rng.uniform(0.5, 1.5, size=(3, 1))
PICK = np.array([0, 2, 2])

CASES = {
    "add": (lambda x, y: t.sum_((x + y) ** 2), A, ROW),
    "add constant": (lambda x: t.sum_((1.0 + x + ROW) ** 2), A),
    "subtract": (lambda x, y: t.sum_((x - y) ** 3), COLUMN, A),
    "subtract from constant": (lambda x: t.sum_((2.0 - x) ** 2 - x), A),
    "multiply": (lambda x, y: t.sum_(x * y * 3.0), A, COLUMN),
    "multiply rows by columns": (lambda x, y: t.sum_(x * y), ROW, COLUMN),
    "multiply by a number": (lambda x, y: t.sum_(x * y), A, 2.0),
    "multiply by oneself": (lambda x: t.sum_(x * x), A),
    "divide": (lambda x, y: t.sum_(x / y), A, ROW),
    "divide by constant": (lambda x: t.sum_(x / ROW), A),
    "divide constant": (lambda x: t.sum_(ROW / x), A),
    "negate": (lambda x: t.sum_(-x * x), A),
    "power": (lambda x: t.sum_(x**2.5 + x**-1), A),
    "add number to array": (lambda x, y: t.sum_(x + y), 2.0, A),
    "exp": (lambda x: t.sum_(t.exp(x)), A),
    "log": (lambda x: t.sum_(t.log(x)), A),
    "log1p": (lambda x: t.sum_(t.log1p(x)), A),
    "tanh": (lambda x: t.sum_(t.tanh(x)), A),
    "sin": (lambda x: t.sum_(t.sin(x)), A),
    "sqrt": (lambda x: t.sum_(t.sqrt(x)), A),
    "relu": (lambda x: t.sum_(t.relu(x - 1.0) ** 2), A),
    "scalars": (
        lambda x, y: t.tanh(t.sin(x * y)) + t.log(t.sqrt(t.exp(y) + x)) / t.log1p(x),
        0.7,
        1.3,
    ),
    "sum of an axis": (lambda x: t.sum_(t.sum_(x, axis=0) ** 2), A),
    "sum, keepdims": (lambda x: t.sum_((x / x.sum(1, keepdims=True)) ** 2), A),
    "mean": (lambda x: t.mean(x**2), A),
    "transpose": (lambda x, y: t.sum_((x.T @ y) ** 2), A, A[:, :2]),
    "reshape": (lambda x: t.sum_((x.reshape(4, 3) @ COLUMN) ** 2), A),
    "matmul": (lambda x, y: t.sum_((x @ y) ** 2), A, B),
    "matmul of a constant": (lambda y: t.sum_(t.matmul(A, y) ** 2), B),
    "matrix and vector": (lambda x, y: t.sum_((x @ y) ** 2), A, ROW),
    "vector and matrix": (lambda x, y: t.sum_((x @ y) ** 2), ROW, B),
    "inner product": (lambda x, y: (x @ y) ** 2, ROW, ROW + 1.0),
    "element": (lambda x: x[1, 2] * x[0, 0] * x[1, 2], A),
    "slices": (lambda x: t.sum_(x[1:] * x[:-1] ** 2), A),
    "index array": (lambda x: t.sum_(x[PICK] ** 2), A),
    "two index arrays": (lambda x: t.sum_(x[PICK, PICK] ** 2), A),
    "mask": (lambda x: t.sum_(x[A > 1.0] ** 2), A),
    "stack": (lambda x: t.sum_(t.stack([x[2], x[0] * x[1]]) ** 2), A),
    "stack numbers": (lambda x: t.sum_(t.stack([x[2], x[0]]) ** 2), ROW),
    "concatenate": (lambda x: t.sum_(t.concatenate([x[2], x[0]]) ** 2), A),
    "used in many places": (lambda x: t.sum_(x) * t.sum_(x * x) + x[0, 0], A),
    "unused": (lambda x, y: t.sum_(x), A, ROW),
}


def _differences(f, args, i, h=1e-6):
    base = np.array(args[i], dtype=float)
    out = np.zeros(base.shape)
    for at in np.ndindex(base.shape):
        ends = []
        for step in (h, -h):
            moved = base.copy()
            moved[at] += step
            changed = list(args)
            changed[i] = moved if base.ndim else float(moved)
            ends.append(t.value_and_grad(f)(*changed)[0])
        out[at] = (ends[0] - ends[1]) / (2 * h)
    return out


@pytest.mark.parametrize("name", CASES)
def test_gradient_is_the_limit_of_differences(name):
    f, *args = CASES[name]
    positions = tuple(range(len(args)))
    wrt = t.value_and_grad(_on_vars(f, len(args)), positions)
    _, grads = wrt(*args)
    for i, grad in enumerate(grads):
        assert np.shape(grad) == np.shape(args[i])
        expected = _differences(_on_vars(f, len(args)), args, i)
        np.testing.assert_allclose(grad, expected, rtol=1e-6, atol=1e-7)


def _on_vars(f, count):
    """f with every argument on the tape, whichever are differentiated."""
    return lambda *xs: f(*(x if type(x) is t.Var else t.Var(x) for x in xs[:count]))


def test_containers_come_back_as_they_went_in():
    def f(tree):
        return t.sum_(tree["w"][0] * tree["w"][1]) * tree["b"]

    tree = {"w": [ROW, ROW + 1.0], "b": 2.0}
    value, grad = t.value_and_grad(f)(tree)
    assert value == 2.0 * np.sum(ROW * (ROW + 1.0))
    np.testing.assert_array_equal(grad["w"][0], 2.0 * (ROW + 1.0))
    np.testing.assert_array_equal(grad["w"][1], 2.0 * ROW)
    assert grad["b"] == np.sum(ROW * (ROW + 1.0))


def test_arguments_are_left_alone():
    x, y = A.copy(), ROW.copy()
    t.value_and_grad(lambda x, y: t.sum_(x[0] + y + y), (0, 1))(x, y)
    np.testing.assert_array_equal(x, A)
    np.testing.assert_array_equal(y, ROW)
