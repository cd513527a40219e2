"""Comparison, logic and bits: ops whose results carry no derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from gradjit.ir.op import Infer, Op, register
from gradjit.ops.elementwise import LINE
from gradjit.ops.result_types import infer_arithmetic, infer_same, infer_truth

TRUTHS = (0.0, 1.0)
COUNTS = (0.0, 7.0)


def _flat(
    name: str,
    doc: str,
    evaluate: Callable[..., Any],
    infer: Infer,
    text: str,
    precedence: int,
    *,
    dtypes: Literal["promote", "float", "keep"] = "promote",
    commutes: bool = False,
    domain: tuple[tuple[float, float], ...] = (LINE, LINE),
    **more: Any,
) -> Op:
    """A cheap op whose derivative is zero."""
    return register(
        Op(
            name=name,
            kind="elementwise",
            doc=doc,
            infer=infer,
            evaluate=evaluate,
            text=text,
            precedence=precedence,
            dtypes=dtypes,
            commutes=commutes,
            domain=domain,
            flat=True,
            cheap=True,
            **more,
        )
    )


def _comparison(name: str, sign: str, doc: str, commutes: bool = False) -> Op:
    function = {"eq": "equal", "ne": "not_equal", "lt": "less", "gt": "greater"}
    function |= {"le": "less_equal", "ge": "greater_equal"}
    text = f"{{0}} {sign} {{1}}"
    ufunc = getattr(np, function[name])
    return _flat(name, doc, ufunc, infer_truth, text, 4, commutes=commutes)


EQ = _comparison("eq", "==", "Whether two are equal.", commutes=True)
NE = _comparison("ne", "!=", "Whether two differ.", commutes=True)
LT = _comparison("lt", "<", "Whether the first is less.")
LE = _comparison("le", "<=", "Whether the first is no greater.")
GT = _comparison("gt", ">", "Whether the first is greater.")
GE = _comparison("ge", ">=", "Whether the first is no less.")


def _logical(name: str, text: str, precedence: int, doc: str, arity: int = 2) -> Op:
    return _flat(
        f"logical_{name}",
        doc,
        getattr(np, f"logical_{name}"),
        infer_truth,
        text,
        precedence,
        dtypes="keep",
        commutes=arity == 2,
        domain=(TRUTHS,) * arity,
    )


LOGICAL_AND = _logical("and", "{0} and {1}", 2, "Whether both bools hold.")
LOGICAL_OR = _logical("or", "{0} or {1}", 1, "Whether one of two bools holds.")
LOGICAL_XOR = _logical("xor", "{0} ^ {1}", 6, "Whether exactly one bool holds.")
LOGICAL_NOT = _logical("not", "not {0}", 3, "Whether a bool does not hold.", 1)


def _bits(name: str, ufunc: Any, text: str, precedence: int, doc: str) -> Op:
    shift = name.startswith("sh")
    return _flat(
        name,
        doc,
        ufunc,
        infer_arithmetic if shift or name == "invert" else infer_same,
        text,
        precedence,
        commutes=name.startswith("bit"),
        domain=(COUNTS,) * (1 if name == "invert" else 2),
    )


BITAND = _bits("bitand", np.bitwise_and, "{0} & {1}", 7, "Bitwise and.")
BITOR = _bits("bitor", np.bitwise_or, "{0} | {1}", 5, "Bitwise or.")
BITXOR = _bits("bitxor", np.bitwise_xor, "{0} ^ {1}", 6, "Bitwise exclusive or.")
INVERT = _bits("invert", np.invert, "~{0}", 11, "All bits of an integer inverted.")
SHL = _bits("shl", np.left_shift, "{0} << {1}", 8, "Bits shifted to the left.")
SHR = _bits("shr", np.right_shift, "{0} >> {1}", 8, "Bits shifted to the right.")


def _test(name: str, doc: str) -> Op:
    return _flat(
        name,
        doc,
        getattr(np, name),
        infer_truth,
        f"np.{name}({{0}})",
        20,
        domain=(LINE,),
        cuda={"": f"math.{name}({{0}})"},
    )


ISNAN = _test("isnan", "Whether a number is nan.")
ISINF = _test("isinf", "Whether a number is infinite.")
ISFINITE = _test("isfinite", "Whether a number is neither infinite nor nan.")
