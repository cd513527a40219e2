"""Text of expressions, with parentheses only where Python needs them.

Precedence, loosest first, as in Python's grammar:

    1 if-else   2 or   3 and   4 not   5 comparison   6 |   7 ^   8 &   9 << >>
    10 + -   11 * / // %   12 unary - ~   13 **   20 names, numbers, calls, x[i]

The template of an op (`{0} + {1}`) is parsed once, to see how loosely each argument may
bind at its place.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable
from functools import cache
from typing import Literal, NamedTuple

import numpy as np

from gradjit.errors import InternalError
from gradjit.ir.graph import Atom, Const, Eqn, Value
from gradjit.ir.named import Named
from gradjit.ir.op import lookup
from gradjit.ir.types import BOOL, FLOAT32, FLOAT64, INT64, DType

CHOICE, OR, AND, NOT, COMPARE = 1, 2, 3, 4, 5
ADD, MULTIPLY, UNARY, POWER, ATOM = 10, 11, 12, 13, 20

_BINARY: dict[type[ast.AST], int] = {
    ast.BitOr: 6,
    ast.BitXor: 7,
    ast.BitAnd: 8,
    ast.LShift: 9,
    ast.RShift: 9,
    ast.Add: ADD,
    ast.Sub: ADD,
    ast.Mult: MULTIPLY,
    ast.Div: MULTIPLY,
    ast.FloorDiv: MULTIPLY,
    ast.Mod: MULTIPLY,
    ast.MatMult: MULTIPLY,
    ast.Pow: POWER,
}
# For which compiler: Numba's of functions on the host, or that of CUDA kernels.
Dialect = Literal["host", "cuda"]

_INVERSE = {"eq": "!=", "ne": "=="}
_DUAL = {"logical_or": ("and", AND), "logical_and": ("or", OR)}
_ORDER_INVERSE = {"lt": ">=", "le": ">", "gt": "<=", "ge": "<"}


class Text(NamedTuple):
    """An expression and how tightly it binds."""

    text: str
    precedence: int = ATOM

    def at(self, need: int) -> str:
        """The text where a precedence of at least `need` is wanted."""
        return self.text if self.precedence >= need else f"({self.text})"


class Template(NamedTuple):
    """A template: its own precedence, and what each argument needs."""

    precedence: int
    needs: tuple[int, ...]


@cache
def template(text: str, count: int) -> Template:
    """How a template of `count` arguments binds."""
    names = [f"_arg{k}_" for k in range(count)]
    tree = ast.parse(text.format(*names), mode="eval").body
    needs = [0] * count
    for node in ast.walk(tree):
        for child, need in _children(node):
            if isinstance(child, ast.Name) and child.id in names:
                k = names.index(child.id)
                needs[k] = max(needs[k], need)
    return Template(_precedence(tree), tuple(needs))


def _precedence(node: ast.AST) -> int:
    if isinstance(node, ast.BinOp):
        return _BINARY[type(node.op)]
    if isinstance(node, ast.UnaryOp):
        return NOT if isinstance(node.op, ast.Not) else UNARY
    if isinstance(node, ast.BoolOp):
        return OR if isinstance(node.op, ast.Or) else AND
    if isinstance(node, ast.IfExp):
        return CHOICE
    return COMPARE if isinstance(node, ast.Compare) else ATOM


def _children(node: ast.AST) -> list[tuple[ast.AST, int]]:
    """The operands of a node, each with the precedence that it needs."""
    own = _precedence(node)
    if isinstance(node, ast.BinOp):
        if own == POWER:
            return [(node.left, POWER + 1), (node.right, UNARY)]
        return [(node.left, own), (node.right, own + 1)]
    if isinstance(node, ast.UnaryOp):
        return [(node.operand, NOT if own == NOT else POWER)]
    if isinstance(node, ast.BoolOp):
        return [(v, own) for v in node.values]
    if isinstance(node, ast.Compare):
        return [(v, COMPARE + 1) for v in (node.left, *node.comparators)]
    if isinstance(node, ast.IfExp):
        return [(v, OR) for v in (node.test, node.body, node.orelse)]
    if isinstance(node, ast.Attribute):
        return [(node.value, ATOM)]
    if isinstance(node, ast.Subscript):
        return [(node.value, ATOM)]
    return []


class Writer:
    """Prints atoms of a named program.

    Attributes:
        named: The program.
        runtime: Whether gradjit's runtime modules may be called.
        dialect: For which compiler.
        arrays: The module whose functions make arrays.
        products: The module that multiplies matrices, if the runtime may be called.
    """

    products = "la"

    def __init__(
        self, named: Named, runtime: bool = True, dialect: Dialect = "host"
    ) -> None:
        self.named = named
        self.runtime = runtime
        self.dialect: Dialect = dialect
        self.arrays = "mem" if runtime else "np"
        self._special: dict[str, Callable[[Eqn], Text]] = {
            "cast": self._cast,
            "powi": self._powi,
            "dim": lambda e: Text(f"{self.atom(e.args[0])}.shape[{e.params['axis']}]"),
            "index": self._index,
            "transpose": self._transpose,
            "reshape": self._reshape,
            "if_": self._choice,
        }

    def atom(self, atom: Atom, need: int = 0) -> str:
        """The text of an atom where precedence `need` is wanted."""
        return self.term(atom).at(need)

    def copied(self, array: str) -> str:
        """A contiguous copy of an array or of a view."""
        return f"mem.copy({array})" if self.runtime else f"{array}.copy()"

    def turned(self, array: str) -> str:
        """The transpose of a matrix."""
        return f"{array}.T"

    def term(self, atom: Atom) -> Text:
        """An atom's text and precedence."""
        if isinstance(atom, Const):
            return number(atom)
        eqn = self.named.inlined.get(atom)
        return Text(self.named.names[atom]) if eqn is None else self.expression(eqn)

    def expression(self, eqn: Eqn) -> Text:
        """The right side of an equation."""
        special = self._special.get(eqn.op.name)
        if special is not None:
            return special(eqn)
        eqn = self.signed(eqn)
        words = wording(eqn, self.dialect)
        shape = template(words.text, len(eqn.args))
        parts = [
            f"float({self.atom(a)})"
            if words.floats and a.type.dtype.kind in "iu"
            else self.atom(a, n)
            for a, n in zip(eqn.args, shape.needs, strict=True)
        ]
        found = Text(words.text.format(*parts), shape.precedence)
        return _narrowed(found, eqn)

    def signed(self, eqn: Eqn) -> Eqn:
        """`a + -b` as `a - b`, and `a - -b` as `a + b`: the same number."""
        other = {"add": "sub", "sub": "add"}.get(eqn.op.name)
        if other is None:
            return eqn
        b = eqn.args[-1]
        inner = self.named.inlined.get(b) if isinstance(b, Value) else None
        if inner is None or inner.op.name != "neg":
            return eqn
        if inner.out.type.dtype != eqn.out.type.dtype:
            return eqn
        return eqn.with_(op=lookup(other), args=(eqn.args[0], inner.args[0]))

    def negated(self, atom: Atom) -> Text:
        """`not atom`, in the way a person would write it."""
        eqn = self.named.inlined.get(atom) if isinstance(atom, Value) else None
        if eqn is not None and eqn.op.name == "logical_not":
            return self.term(eqn.args[0])
        if eqn is not None and eqn.op.name in _DUAL:
            word, need = _DUAL[eqn.op.name]
            parts = [self.negated(a).at(need) for a in eqn.args]
            return Text(f" {word} ".join(parts), need)
        if eqn is not None and len(eqn.args) == 2:
            whole = all(a.type.dtype.kind in "iub" for a in eqn.args)
            table = {**_INVERSE, **(_ORDER_INVERSE if whole else {})}
            if eqn.op.name in table:
                a, b = (self.atom(x, COMPARE + 1) for x in eqn.args)
                return Text(f"{a} {table[eqn.op.name]} {b}", COMPARE)
        return Text(f"not {self.atom(atom, NOT)}", NOT)

    def subscript(self, spec: str, index: tuple[Atom, ...]) -> str:
        """What stands between the brackets."""
        if not spec:
            return "()"
        items: list[str] = []
        rest = list(index)
        for char in spec.rstrip(":") or ":":
            if char == "i":
                items.append(self.atom(rest.pop(0)))
            elif char == "s":
                items.append(self._slice(rest.pop(0), rest.pop(0), rest.pop(0)))
            else:
                items.append(":" if char == ":" else "None")
        return ", ".join(items)

    def _slice(self, start: Atom, count: Atom, step: Atom) -> str:
        if all(isinstance(a, Const) for a in (start, count, step)):
            return _constant_slice(start, count, step)
        first = self.atom(start, ADD)
        if isinstance(step, Const) and step.value == 1:
            if first == "0":
                return f":{self.atom(count)}"
            return f"{first}:{first} + {self.atom(count, ADD + 1)}"
        raise InternalError("a strided view of run-time extent reached the emitter")

    def _index(self, eqn: Eqn) -> Text:
        inside = self.subscript(eqn.params["spec"], eqn.args[1:])
        return Text(f"{self.atom(eqn.args[0], ATOM)}[{inside}]")

    def _transpose(self, eqn: Eqn) -> Text:
        perm = eqn.params["perm"]
        array = self.atom(eqn.args[0], ATOM)
        if perm == tuple(range(len(perm)))[::-1]:
            return Text(f"{array}.T")
        return Text(f"{array}.transpose({', '.join(map(str, perm))})")

    def _reshape(self, eqn: Eqn) -> Text:
        extents = tuple_text([self.atom(a) for a in eqn.args[1:]])
        array = self.atom(eqn.args[0], ATOM)
        if eqn.args[0] in self.named.inlined:
            array = self.copied(array)
        return Text(f"{array}.reshape({extents})")

    def _choice(self, eqn: Eqn) -> Text:
        (then,), (orelse,) = (r.results for r in eqn.regions)
        if isinstance(orelse, Const) and orelse.value is False:
            if isinstance(then, Const):
                return self.term(eqn.args[0])
            return Text(
                f"{self.atom(eqn.args[0], AND)} and {self.atom(then, AND)}", AND
            )
        if isinstance(then, Const) and then.value is True:
            return Text(f"{self.atom(eqn.args[0], OR)} or {self.atom(orelse, OR)}", OR)
        a, c, b = (self.atom(x, OR) for x in (then, eqn.args[0], orelse))
        return Text(f"{a} if {c} else {b}", CHOICE)

    def _powi(self, eqn: Eqn) -> Text:
        n = eqn.params["n"]
        if n == 2:  # Numba takes 0.1 s to compile its first power
            x = self.atom(eqn.args[0], MULTIPLY + 1)
            return _narrowed(Text(f"{x} * {x}", MULTIPLY), eqn)
        text = wording(eqn, self.dialect).text.replace("{n}", str(n))
        shape = template(text, 1)
        x = self.atom(eqn.args[0], shape.needs[0])
        return _narrowed(Text(text.format(x), shape.precedence), eqn)

    def _cast(self, eqn: Eqn) -> Text:
        (x,) = eqn.args
        dtype: DType = eqn.out.type.dtype
        if dtype == BOOL:
            return Text(f"{self.atom(x, COMPARE + 1)} != 0", COMPARE)
        plain = {FLOAT64: "float", INT64: "int"}
        if x.type.dtype == BOOL and dtype == FLOAT64:
            # Numba has no float(bool).
            return Text(f"1.0 if {self.atom(x, OR)} else 0.0", CHOICE)
        call = plain.get(dtype, f"np.{dtype.name}")
        return Text(f"{call}({self.atom(x)})")


class Wording(NamedTuple):
    """A template, the source of what it calls, and whether it wants no integers."""

    text: str
    helper: str = ""
    floats: bool = False


def wording(eqn: Eqn, dialect: Dialect = "host") -> Wording:
    """How an equation's op is written."""
    op, text = eqn.op, eqn.op.text
    single = FLOAT32 in (a.type.dtype for a in (*eqn.args, *eqn.outs))
    if op.text32 and single:
        text = op.text32
    if dialect == "cuda" and op.cuda:
        dtype = FLOAT32 if single else _operands(eqn)
        keys = (dtype.str[1:], dtype.kind, "")
        found = next((op.cuda[key] for key in keys if key in op.cuda), "")
        if found:
            helper = op.cuda_helper if _calls(found, op.cuda_helper) else ""
            return Wording(found, helper, dtype.kind == "f")
    if not text:
        raise InternalError(f"no text for {op.name}")
    call = op.dtypes == "float" and op.precedence == ATOM
    return Wording(text.replace(" ** ", "**"), op.helper, dialect == "cuda" and call)


def _operands(eqn: Eqn) -> DType:
    """What an op computes in; integers next to float64 stay what they are."""
    dtypes = [a.type.dtype for a in eqn.args]
    return FLOAT64 if eqn.op.dtypes == "float" or FLOAT64 in dtypes else dtypes[0]


def _calls(text: str, source: str) -> bool:
    """Whether a text calls a function of a source."""
    names = re.findall(r"^def (\w+)", source, re.MULTILINE)
    return any(f"{name}(" in text for name in names)


def _narrowed(found: Text, eqn: Eqn) -> Text:
    """Integers narrower than 64 bits wrap around, as in NumPy."""
    dtype = eqn.out.type.dtype
    if dtype.kind in "iu" and dtype != INT64 and eqn.op.name != "where":
        return Text(f"np.{dtype.name}({found.text})")
    return found


def number(const: Const) -> Text:
    """A constant, at its dtype."""
    value, dtype = const.value, const.type.dtype
    if dtype == FLOAT32:
        return Text(f"np.float32({_plain(float(value)).text})")
    if dtype.kind == "f":
        return _plain(float(value))
    if dtype.kind == "u":
        return Text(f"np.{dtype.name}({value})")
    text = str(bool(value)) if dtype.kind == "b" else str(int(value))
    return Text(text, UNARY if text.startswith("-") else ATOM)


def _plain(value: float) -> Text:
    if math.isnan(value):
        return Text("np.nan")
    if math.isinf(value):
        return Text("np.inf") if value > 0 else Text("-np.inf", UNARY)
    text = repr(value)
    return Text(text, UNARY if text.startswith("-") else ATOM)


def _constant_slice(start: Atom, count: Atom, step: Atom) -> str:
    at, length, by = (
        int(a.value) if isinstance(a, Const) else 0 for a in (start, count, step)
    )
    stop = at + length * by
    return f"{at or ''}:{stop if stop >= 0 else ''}{'' if by == 1 else f':{by}'}"


def tuple_text(items: list[str]) -> str:
    """A tuple's text; one item stands alone."""
    return items[0] if len(items) == 1 else f"({', '.join(items)})"


def lowest(dtype: DType, sign: int = -1) -> Text:
    """Where a search for a largest (-1) or smallest (1) element starts."""
    if dtype == FLOAT32:
        return Text(f"np.float32({'-' if sign < 0 else ''}np.inf)")
    if dtype.kind == "f":
        return Text("-np.inf" if sign < 0 else "np.inf", UNARY if sign < 0 else ATOM)
    if dtype.kind == "b":
        return Text(str(sign > 0))
    limits = np.iinfo(dtype)
    edge = int(limits.min if sign < 0 else limits.max)
    return Text(f"np.{dtype.name}({edge})")
