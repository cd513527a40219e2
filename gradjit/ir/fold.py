"""Expressions that are worked out, or put in a canonical form, while they are built."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradjit.ir.bounds import Affine, Facts
from gradjit.ir.graph import Atom, Const, Value
from gradjit.ir.op import Op
from gradjit.ir.types import INDEX, ScalarType, Type


class Folding:
    """The part of a builder that folds; the other part emits.

    Attributes:
        facts: What is known of integers.
    """

    facts: Facts

    def emit1(self, op: Op | str, *args: Atom, name: str = "", **params: Any) -> Atom:
        raise NotImplementedError

    def raw(self, name: str, *args: Atom) -> Atom:
        """Emit without folding again."""
        raise NotImplementedError

    def fold(self, op: Op, args: tuple[Atom, ...], params: Any) -> Atom | None:
        if op.kind != "elementwise":
            return None
        if all(isinstance(a, Const) for a in args) and op.evaluate is not None:
            return _fold_constants(op, args, params)
        if op.name in ("add", "sub", "neg", "mul"):
            return (
                self._fold_integer(op, args)
                or _fold_identity(op, args)
                or self._fold_sign(op, args)
            )
        if op.name in ("maximum", "minimum"):
            return self._fold_extreme(op, args)
        return _fold_identity(op, args) or self._fold_sign(op, args)

    def _fold_integer(self, op: Op, args: tuple[Atom, ...]) -> Atom | None:
        """Integer sums as value + constant where that says it all."""
        if not all(
            isinstance(a.type, ScalarType) and a.type.dtype == INDEX.dtype for a in args
        ):
            return None
        forms = [self.facts.affine(a) for a in args]
        if op.name == "add":
            form = forms[0] + forms[1]
        elif op.name == "sub":
            form = forms[0] - forms[1]
        elif op.name == "neg":
            form = forms[0].scale(-1)
        elif not forms[0].terms or not forms[1].terms:
            k, rest = (forms[0], forms[1]) if not forms[0].terms else forms[::-1]
            form = rest.scale(k.constant)
        else:
            return None
        return self._canonical(op, args, form)

    def _canonical(self, op: Op, args: tuple[Atom, ...], form: Affine) -> Atom | None:
        weak = all(isinstance(a.type, ScalarType) and a.type.weak for a in args)
        type_ = ScalarType(INDEX.dtype, weak)
        if not form.terms:
            return Const(form.constant, type_)
        if len(form.terms) > 1:
            return None
        ((value, factor),) = form.terms.items()
        if factor != 1:
            return None
        if form.constant == 0:
            same = isinstance(value.type, ScalarType) and value.type == type_
            return value if same else None
        name, k = (
            ("add", form.constant) if form.constant > 0 else ("sub", -form.constant)
        )
        second = args[1] if len(args) == 2 else None
        if (
            op.name == name
            and args[0] is value
            and isinstance(second, Const)
            and second.value == k
        ):
            return None
        return self.raw(name, value, Const(k, type_))

    def _fold_sign(self, op: Op, args: tuple[Atom, ...]) -> Atom | None:
        """Minus signs move outward and into sums; every value stays the same bits."""
        if args[0].type.dtype.kind != "f" or op.name not in _SIGNED:
            return None
        inner = [self._negated(a) for a in args]
        if op.name == "neg":
            return inner[0]
        x, y = args
        if op.name in ("mul", "div"):
            if inner[0] is not None and inner[1] is not None:
                return self.emit1(op, inner[0], inner[1])
            if inner[0] is not None:
                return self.emit1("neg", self.emit1(op, inner[0], y))
            if inner[1] is not None:
                return self.emit1("neg", self.emit1(op, x, inner[1]))
            return None
        if inner[1] is not None:
            return self.emit1("sub" if op.name == "add" else "add", x, inner[1])
        if inner[0] is not None and op.name == "add":
            return self.emit1("sub", y, inner[0])
        return None

    def _negated(self, atom: Atom) -> Atom | None:
        """What an atom is the negative of."""
        eqn = self.facts.defs.get(atom) if isinstance(atom, Value) else None
        if eqn is None or eqn.op.name != "neg" or atom.name:  # type: ignore[union-attr]
            return None
        return eqn.args[0]

    def _fold_extreme(self, op: Op, args: tuple[Atom, ...]) -> Atom | None:
        """max(a, b) of integers where one is provably no smaller."""
        if not all(a.type == INDEX for a in args):
            return None
        a, b = (self.facts.affine(x) for x in args)
        if self.facts.nonnegative(a - b):
            return args[0] if op.name == "maximum" else args[1]
        if self.facts.nonnegative(b - a):
            return args[1] if op.name == "maximum" else args[0]
        return None


_SIGNED = frozenset({"neg", "add", "sub", "mul", "div"})


def _fold_constants(op: Op, args: tuple[Atom, ...], params: Any) -> Atom | None:
    (type_,) = op.infer([a.type for a in args], params)
    if not isinstance(type_, ScalarType) or op.evaluate is None:
        return None
    operands = [
        a.type.dtype.type(a.value)  # type: ignore[union-attr]
        for a in args
    ]
    with np.errstate(all="ignore"):
        try:
            result = op.evaluate(*operands, **params)
        except (ArithmeticError, ValueError):
            return None
    return Const(np.asarray(result, dtype=type_.dtype).item(), type_)


def _fold_identity(op: Op, args: tuple[Atom, ...]) -> Atom | None:
    """x * 1, x / 1, 1 * x, x - 0 and x + (-0.0) are x, exactly, at every value."""
    types: list[Type] = [a.type for a in args]
    if op.name == "cast":
        return None
    if op.name in ("mul", "div") and len(args) == 2:
        (out,) = op.infer(types, {})
        if _is(args[1], 1) and types[0] == out:
            return args[0]
        if op.name == "mul" and _is(args[0], 1) and types[1] == out:
            return args[1]
    if op.name == "sub" and _is(args[1], 0):
        (out,) = op.infer(types, {})
        if types[0] == out:
            return args[0]
    return None


def _is(atom: Atom, number: int) -> bool:
    return (
        isinstance(atom, Const)
        and atom.value == number
        and repr(float(atom.value)) == repr(float(number))
    )
