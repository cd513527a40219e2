"""What the surface refuses, and how it says so; what fails at run time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gradjit.errors import DtypeError, ShapeError, UnsupportedError
from gradjit.ops.surface import lookup_function
from tests.ops.tracing import Traced

X = np.arange(6.0).reshape(2, 3)
V = np.arange(3.0)


def run(target: Any, *args: Any, exact: bool = False, **kwargs: Any) -> Any:
    function = lookup_function(target)
    assert function is not None
    return Traced(function, args, kwargs, exact)()


REFUSED = [
    (
        np.sum,
        (X,),
        {"axis": 2},
        ShapeError,
        "axis 2 is out of bounds for an array of 2 axes",
    ),
    (np.sum, (X,), {"axis": (0, 0)}, ShapeError, "an axis is given twice: (0, 0)"),
    (
        np.sum,
        (X,),
        {"out": V},
        UnsupportedError,
        "np.sum does not take out= in a traced function\n"
        "  Leave it out, or write what it does in separate steps.",
    ),
    (
        np.where,
        (X,),
        {},
        UnsupportedError,
        "np.where with one argument cannot be traced\n"
        "  Use np.where(condition, x, y), or index with the mask: x[condition].",
    ),
    (
        math.sin,
        (V,),
        {},
        DtypeError,
        "math.sin takes a number, not an array\n"
        "  Use the function of the same name in numpy.",
    ),
    (
        np.linalg.norm,
        (X, 2),
        {},
        UnsupportedError,
        "np.linalg.norm with ord=2 over 2 axes\n"
        "  Orders None, 'fro', 1 and inf are supported for matrices.",
    ),
    (
        np.pad,
        (V, 1),
        {"mode": "median"},
        UnsupportedError,
        "np.pad with mode='median'\n"
        "  The modes 'constant', 'edge', 'wrap' and 'reflect' are supported.",
    ),
    (
        np.concatenate,
        ((X, V),),
        {},
        ShapeError,
        "np.concatenate of different numbers of axes: float64[?, ?], float64[?]",
    ),
    (np.einsum, ("ij,jk", X), {}, ShapeError, "np.einsum: 2 subscripts for 1 operands"),
    (
        np.einsum,
        ("ijk->i", X),
        {},
        ShapeError,
        "np.einsum: subscripts 'ijk' for an operand of 2 axes",
    ),
    (
        np.matmul,
        (X, 2.0),
        {},
        ShapeError,
        "matmul needs arrays, not scalars\n  Use * for a product with a number.",
    ),
    (
        np.zeros,
        (3, complex),
        {},
        DtypeError,
        "arrays of complex128 cannot be traced\n"
        "  Use bool, an integer type, float32 or float64.",
    ),
    (np.zeros, (-1,), {}, ShapeError, "negative extents are not allowed, got -1"),
    (
        max,
        (V, V),
        {},
        UnsupportedError,
        "max of arrays\n  Use np.maximum for elements, np.max for an array.",
    ),
    (
        float,
        (V,),
        {},
        DtypeError,
        "only an array of one element is a number, not float64[?]\n"
        "  Index it, or reduce it: x[0], np.sum(x).",
    ),
]


@pytest.mark.parametrize(
    ("target", "args", "kwargs", "error", "text"),
    REFUSED,
    ids=lambda x: getattr(x, "__name__", None),
)
def test_refused(target: Any, args: Any, kwargs: Any, error: Any, text: str) -> None:
    with pytest.raises(error) as caught:
        run(target, *args, **kwargs)
    assert str(caught.value) == text


def test_known_extents_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match=r"np.max of an empty array: it has no value"):
        run(np.max, np.zeros(0), exact=True)
    with pytest.raises(ShapeError, match="3 against 2"):
        run(np.matmul, X, X, exact=True)
    with pytest.raises(ShapeError, match="6 elements do not fill 8"):
        run(np.reshape, X, (2, 4), exact=True)
    with pytest.raises(ShapeError, match="do not broadcast"):
        run(np.add, X, np.ones(2), exact=True)
    with pytest.raises(ShapeError, match="extents differ along axis 1: 3 and 2"):
        run(np.concatenate, (X, np.ones((2, 2))), exact=True)


@pytest.mark.parametrize(
    ("target", "args", "text"),
    [
        (np.matmul, (X, X), "extents of the operands of @ differ"),
        (np.reshape, (X, (2, 4)), "reshape: the number of elements differs"),
        (np.reshape, (X, (4, -1)), "reshape: the number of elements does not divide"),
        (np.add, (X, np.ones(2)), "extents of the operands of add differ"),
        (
            np.concatenate,
            ((X, np.ones((2, 2))),),
            "np.concatenate: extents differ along axis 1",
        ),
        (np.split, (V, 2), "np.split: the extent does not divide into equal parts"),
    ],
)
def test_run_time_checks(target: Any, args: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        run(target, *args)


@pytest.mark.parametrize(
    ("target", "args", "kwargs"),
    [
        (np.sum, (np.zeros((0, 3)),), {}),
        (np.sum, (np.zeros((0, 3)),), {"axis": 0}),
        (np.prod, (np.zeros((0, 3)),), {"axis": 0}),
        (np.max, (np.zeros((0, 3)),), {"axis": 1}),
        (np.cumsum, (np.zeros(0),), {}),
        (np.concatenate, ((np.zeros(0), V),), {}),
        (np.matmul, (np.zeros((2, 0)), np.zeros((0, 3))), {}),
        (np.roll, (np.zeros(0), 1), {}),
        (np.flip, (np.zeros(0),), {}),
        (np.diff, (np.zeros(1),), {}),
        (np.tril, (np.zeros((0, 0)),), {}),
        (np.any, (np.zeros(0),), {}),
        (np.all, (np.zeros(0),), {}),
        (np.arange, (3.0, 1.0), {}),
        (np.linspace, (0.0, 1.0, 0), {}),
        (np.reshape, (np.zeros((0, 4)), (2, -1)), {}),
        (np.einsum, ("ij,jk->ik", np.zeros((2, 0)), np.zeros((0, 2))), {}),
    ],
    ids=lambda x: getattr(x, "__name__", None),
)
def test_empty_arrays(target: Any, args: Any, kwargs: Any) -> None:
    (got,) = run(target, *args, **kwargs)
    want = target(*args, **kwargs)
    np.testing.assert_array_equal(got, want)
    assert np.shape(got) == np.shape(want)


@pytest.mark.parametrize("name", ["order", "subok"])
def test_parameters_at_their_defaults_are_taken(name: str) -> None:
    (got,) = run(np.array, X, **{name: {"order": "C", "subok": True}[name]})
    np.testing.assert_array_equal(got, X)
