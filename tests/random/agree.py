"""Whether gradjit computes what a plain function does, for given arguments."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

import gradjit
from tests.random.oracle import differences


def floats(args: tuple[Any, ...]) -> tuple[int, ...]:
    """The positions of arguments that have a gradient."""
    kinds = [np.asarray(a).dtype.kind for a in args]
    return tuple(k for k, kind in enumerate(kinds) if kind == "f")


def agree(function: Callable[..., Any], *args: Any) -> None:
    """Value, effects, gradients and untouched arguments are those of plain Python.

    In float64, and again with the arrays in float32.
    """
    plain, ours = copy.deepcopy(args), copy.deepcopy(args)
    want = function(*plain)
    np.testing.assert_allclose(gradjit.jit(function)(*ours), want, rtol=1e-10)
    _equal(ours, plain, 1e-10)
    ours = copy.deepcopy(args)
    which = floats(args)
    value, grads = gradjit.value_and_grad(function, argnums=which)(*ours)
    np.testing.assert_allclose(value, want, rtol=1e-10)
    _equal(ours, args, 0.0)
    for k, grad in zip(which, grads, strict=True):
        slopes = differences(function, args, k)
        assert np.shape(grad) == np.shape(slopes)
        np.testing.assert_allclose(grad, slopes, rtol=1e-6, atol=1e-7)
    single = tuple(map(narrowed, args))
    if any(a is not b for a, b in zip(single, args, strict=True)):
        _agree_in_single(function, single)


def _agree_in_single(function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """In float32: dtypes as NumPy's, numbers near those of float64."""
    want = function(*copy.deepcopy(args))
    which = floats(args)
    value, grads = gradjit.value_and_grad(function, argnums=which)(*args)
    if isinstance(want, np.generic):  # else no iteration has met an array
        assert np.asarray(value).dtype == want.dtype
    np.testing.assert_allclose(value, want, rtol=1e-4, atol=1e-4)
    wide = tuple(a.astype(float) if _is_single(a) else a for a in args)
    for k, grad in zip(which, grads, strict=True):
        assert np.asarray(grad).dtype == np.asarray(args[k]).dtype
        slopes = differences(function, wide, k)
        np.testing.assert_allclose(grad, slopes, rtol=1e-3, atol=1e-3)


def narrowed(x: Any) -> Any:
    """An array of float64 as one of float32; anything else as it is."""
    wide = isinstance(x, np.ndarray) and x.dtype == np.float64
    return x.astype(np.float32) if wide else x


def _is_single(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype == np.float32


def _equal(got: tuple[Any, ...], want: tuple[Any, ...], rtol: float) -> None:
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol)
