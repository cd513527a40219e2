"""Elementwise ops compiled for a GPU, which need not be there."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from gradjit.cuda import shim
from gradjit.ir.op import lookup
from tests.cuda.every_op import DTYPES, every
from tests.cuda.ptx import reason

pytestmark = pytest.mark.skipif(bool(reason()), reason=reason() or "PTX can be made")
# libdevice reduces large arguments in float64; and float64 is what a cast may ask for.
DOUBLE = ("sin", "cos", "tan", "digamma", "trigamma", "cast")
# What that reduction consists of: a conversion from int64, a product, and the way back.
REDUCTION = {"cvt.rn.f64.s64", "mul.f64", "cvt.rn.f32.f64"}


def kernel(dtype: str, **chosen: Any) -> tuple[Any, tuple[Any, ...]]:
    """A kernel that stores what each op gives, and its signature."""
    from numba import from_dtype
    from numba.core import types

    found = every(dtype, **chosen)
    outs = [f"out_{d.str[1:]}" for d in found.outs]
    names = ["x0", "x1", "test", *outs]
    given = [f"{n}[i]" for n in names]
    lines = ["@cuda.jit", f"def kernel({', '.join(names)}):", "    i = cuda.grid(1)"]
    lines += [f"    every({', '.join(given)})"]
    space: dict[str, Any] = {}
    exec("\n".join([found.source, *lines]), space)
    kinds = [np.dtype(dtype), np.dtype(dtype), np.dtype(bool), *found.outs]
    ranks = [1, 1, 1, *(2 for _ in outs)]
    pairs = zip(kinds, ranks, strict=True)
    return space["kernel"], tuple(types.Array(from_dtype(t), n, "C") for t, n in pairs)


@pytest.mark.parametrize(
    ("dtype", "cc"),
    [(d, (8, 0)) for d in DTYPES if d != "f4"] + [("f8", (9, 0)), ("i8", (9, 0))],
)
def test_ops_compile(dtype: str, cc: tuple[int, int]) -> None:
    made, signature = kernel(dtype)
    text = shim.ptx(made, signature, cc)
    assert f".target sm_{cc[0]}{cc[1]}" in text


@pytest.mark.parametrize("cc", [(8, 0), (9, 0)])
def test_single_precision_computes_in_single_precision(cc: tuple[int, int]) -> None:
    made, signature = kernel("f4", without=DOUBLE)
    assert ".f64" not in shim.ptx(made, signature, cc)


def test_single_precision_of_which_libdevice_is_in_double() -> None:
    assert all(lookup(name) for name in DOUBLE)
    made, signature = kernel("f4", only=[n for n in DOUBLE if n != "cast"])
    text = shim.ptx(made, signature, (8, 0))
    assert set(re.findall(r"^\s+(\S*\.f64\S*)\s+%", text, re.MULTILINE)) <= REDUCTION


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_remainders_are_not_those_of_a_rounded_quotient(dtype: str) -> None:
    """`x % y` in PTX is x - floor(x / y) * y, which needs an exact quotient."""
    made, signature = kernel(dtype, only=("mod",))
    text = shim.ptx(made, signature, (8, 0))
    assert f"cvt.rmi.f{(dtype[1] == '8' and 64) or 32}" not in text
