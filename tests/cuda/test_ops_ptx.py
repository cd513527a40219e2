"""Elementwise ops compiled for a GPU, which need not be there."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gradjit.cuda import shim
from gradjit.ir.op import lookup
from tests.cuda.every_op import DTYPES, every, kernel, signature
from tests.cuda.ptx import reason

pytestmark = pytest.mark.skipif(bool(reason()), reason=reason() or "PTX can be made")
# libdevice reduces large arguments in float64; and float64 is what a cast may ask for.
DOUBLE = ("sin", "cos", "tan", "digamma", "trigamma", "cast")
# What that reduction consists of: a conversion from int64, a product, and the way back.
REDUCTION = {"cvt.rn.f64.s64", "mul.f64", "cvt.rn.f32.f64"}


def compiled(dtype: str, cc: tuple[int, int], **chosen: Any) -> str:
    """The PTX of a kernel with the chosen ops."""
    found = every(dtype, **chosen)
    return shim.ptx(kernel(found), signature(found), cc)


@pytest.mark.parametrize(
    ("dtype", "cc"),
    [(d, (8, 0)) for d in DTYPES if d != "f4"] + [("f8", (9, 0)), ("i8", (9, 0))],
)
def test_ops_compile(dtype: str, cc: tuple[int, int]) -> None:
    text = compiled(dtype, cc)
    assert f".target sm_{cc[0]}{cc[1]}" in text


@pytest.mark.parametrize("cc", [(8, 0), (9, 0)])
def test_single_precision_computes_in_single_precision(cc: tuple[int, int]) -> None:
    assert ".f64" not in compiled("f4", cc, without=DOUBLE)


def test_single_precision_of_which_libdevice_is_in_double() -> None:
    assert all(lookup(name) for name in DOUBLE)
    text = compiled("f4", (8, 0), only=[n for n in DOUBLE if n != "cast"])
    assert set(re.findall(r"^\s+(\S*\.f64\S*)\s+%", text, re.MULTILINE)) <= REDUCTION


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_remainders_are_not_those_of_a_rounded_quotient(dtype: str) -> None:
    """`x % y` in PTX is x - floor(x / y) * y, which needs an exact quotient."""
    text = compiled(dtype, (8, 0), only=("mod",))
    assert f"cvt.rmi.f{(dtype[1] == '8' and 64) or 32}" not in text
