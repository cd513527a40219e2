"""Printing a named program as a Python function.

Each equation has its statement; nothing is decided here. Names, what is printed inside
its consumer and which exits are `break` come from the pass `name`; where an array is
written in place comes from `place`. What is left is Python's surface: `+=` where a name
is updated, `elif` chains, comments with the user's lines.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager

from gradjit.codegen import flow
from gradjit.codegen.contract import contraction, product_into
from gradjit.codegen.expr import (
    ATOM,
    Dialect,
    Writer,
    number,
    tuple_text,
    wording,
)
from gradjit.codegen.lines import Lines
from gradjit.codegen.nest import print_map
from gradjit.errors import InternalError, Loc
from gradjit.ir.graph import Atom, Block, Const, Eqn, Value, uses, walk
from gradjit.ir.named import Named
from gradjit.ir.types import FLOAT64, ArrayType, DType

_AUGMENTED = {"add": "+=", "sub": "-=", "mul": "*=", "div": "/="}
# Names in emitted files, and where they come from.
_RUNTIME = (
    ("la", "from gradjit import blas as la"),
    ("mem", "from gradjit import memory as mem"),
    ("co", "from gradjit.cuda import collective as co"),
    ("dev", "from gradjit.cuda import device as dev"),
    ("el", "from gradjit.cuda import elementary as el"),
    ("cuda", "from gradjit.cuda.shim import cuda"),
)
_RAISES = {
    "index": "IndexError",
    "assert": "AssertionError",
    "unbound": "UnboundLocalError",
    "memory": "MemoryError",
}


def emit(
    named: Named,
    title: str = "",
    notes: Sequence[str] = (),
    decorator: str = "",
    imports: Sequence[str] = (),
    runtime: bool = True,
    dialect: Dialect = "host",
) -> str:
    """The source of a module with one function (and the helpers that it calls).

    Args:
        named: The program.
        title: First line of the module's docstring.
        notes: More lines of it: version, options.
        decorator: What stands above the functions, if anything.
        imports: Import lines beyond those that the program needs.
        runtime: Whether gradjit's runtime modules may be called: its allocation and
            its matrix products in place of NumPy's.
        dialect: For which compiler.
    """
    body = Printer(named, runtime, dialect).function(decorator)
    functions = [*helpers(named, decorator, dialect), body]
    return assembled(functions, title, notes, imports, _imports(named))


def _imports(named: Named) -> set[str]:
    """Import lines that the records of the program's ops want."""
    return {e.op.imports for e in walk(named.graph.block) if e.op.imports}


def assembled(
    functions: Sequence[str],
    title: str,
    notes: Sequence[str],
    imports: Sequence[str] = (),
    own: Iterable[str] = (),
) -> str:
    """A module: its docstring, the imports that it needs, and its parts in order."""
    text = "\n".join(functions)
    used = {n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)}
    needed = ["import math"] if "math" in used else []
    third = [*imports, *(["import numpy as np"] if "np" in used else [])]
    if "numba" in used and "import numba" not in third:
        third.append("import numba")
    mine = {*own, *(line for k, line in _RUNTIME if k in used)}
    head = [_docstring(title, notes)] if title else []
    groups = ["\n".join(sorted(g)) for g in (needed, third, mine) if g]
    parts = [*head, *(["\n\n".join(groups)] if groups else [])]
    bodies = [f.strip("\n") for f in functions]
    return "\n\n\n".join(["\n\n".join(parts), *bodies] if parts else bodies) + "\n"


def _docstring(title: str, notes: Sequence[str]) -> str:
    lines = [line.replace("\\", "/").replace('"""', "'''") for line in (title, *notes)]
    if len(lines) == 1:
        return f'"""{lines[0]}"""'
    return "\n".join([f'"""{lines[0]}', "", *lines[1:], '"""'])


def helpers(named: Named, decorator: str, dialect: Dialect = "host") -> list[str]:
    """Sources of the helper functions that the program's ops call, each once."""
    found: dict[str, None] = {}
    for eqn in walk(named.graph.block):
        if eqn.op.helper or eqn.op.cuda_helper:
            source = wording(eqn, dialect).helper
            found |= dict.fromkeys([source] if source else [])
    return [_decorated(text, decorator) for text in found]


def _decorated(source: str, decorator: str) -> str:
    if not decorator:
        return source
    return re.sub(r"^def ", f"{decorator}\ndef ", source, flags=re.MULTILINE)


class Printer:
    """Prints one function."""

    def __init__(
        self, named: Named, runtime: bool = True, dialect: Dialect = "host"
    ) -> None:
        self.named = named
        self.out = Lines()
        self.expr = self.writer(named, runtime, dialect)
        self.read = set(uses(named.graph.block))
        self._line: tuple[str, int] | None = None
        self._around: list[tuple[str, int]] = []
        self._statements: dict[str, Callable[[Eqn], None]] = {
            "store": lambda e: self._store(e, "="),
            "add_at": lambda e: self._store(e, "+="),
            "empty": self._empty,
            "full": self._full,
            "copy": lambda e: self.assign(e, self.expr.copied(self._base(e))),
            "contract": lambda e: self.assign(e, contraction(e, self.expr)),
            "check": self._check,
            "stack_new": self._stack_new,
            "nonzero": self._nonzero,
            "limit": self._limit,
            "push": self._push,
            "pop": self._pop,
            "for_": lambda e: flow.print_for(self, e),
            "while_": lambda e: flow.print_while(self, e),
            "if_": lambda e: flow.print_if(self, e),
            "map_": lambda e: print_map(self, e),
        }

    def writer(self, named: Named, runtime: bool, dialect: Dialect) -> Writer:
        """What prints expressions."""
        return Writer(named, runtime, dialect)

    def function(self, decorator: str = "") -> str:
        """The whole function."""
        block = self.named.graph.block
        params = [self.named.names[p] for p in block.params]
        if decorator:
            self.out.add(decorator)
        self.out.add_list(f"def {self.named.graph.name}(", params, "):")
        with self.out.indented():
            start = len(self.out.lines)
            self.block(block)
            written = self.named.graph.mutated.values()
            results = [r for k, r in enumerate(block.results) if k not in written]
            if results:
                texts = [self.expr.atom(r) for r in results]
                self.out.add_list("return ", texts, "", ("(", ")"))
            elif len(self.out.lines) == start:
                self.out.add("pass")
        return self.out.text()

    # -------------------------------------------------------------- statements

    def block(self, block: Block) -> None:
        """The statements of a block."""
        for eqn in block.eqns:
            if self.is_statement(eqn):
                if eqn.op.name not in ("for_", "while_"):  # they have values to set
                    self.comment(eqn.loc)
                self.statement(eqn)

    @contextmanager
    def body(self, head: str, loc: Loc | None) -> Generator[None]:
        """The body of a loop; what has the loop's own line needs no comment in it."""
        self._around.append((loc.file, loc.line) if loc is not None else ("", 0))
        with self.out.block(head):
            yield
        self._around.pop()

    def is_statement(self, eqn: Eqn) -> bool:
        """Whether an equation is printed on lines of its own."""
        return not eqn.outs or eqn.outs[0] not in self.named.inlined

    def statement(self, eqn: Eqn) -> None:
        """One equation as statements."""
        special = self._statements.get(eqn.op.name)
        if special is not None:
            special(eqn)
            return
        if eqn.op.name == "index" and eqn.params.get("checked"):
            raise InternalError("a checked load reached the emitter")
        if not self._augmented(eqn):
            self.assign(eqn, self.expr.expression(eqn).text)

    def assign(self, eqn: Eqn, text: str) -> None:
        """`name = text`."""
        self.out.add(f"{self.name(eqn.out)} = {text}")

    def name(self, value: Value) -> str:
        """The name of a value."""
        return self.named.names[value]

    def _base(self, eqn: Eqn) -> str:
        """The first argument, as something that can be called or subscripted."""
        return self.expr.atom(eqn.args[0], ATOM)

    def _augmented(self, eqn: Eqn) -> bool:
        """Print `x += y` for `x = x + y`; whether that was possible."""
        eqn = self.expr.signed(eqn)
        sign = _AUGMENTED.get(eqn.op.name)
        if sign is None or eqn.out.type.dtype.kind not in "fi":
            return False
        a, b = eqn.args
        own = self.name(eqn.out)
        if eqn.op.commutes and self.named.name_of(b) == own:
            a, b = b, a
        if self.named.name_of(a) != own or a.type.dtype != eqn.out.type.dtype:
            return False
        self.add_to(own, sign, b)
        return True

    def comment(self, loc: Loc | None) -> None:
        if loc is None or (loc.file, loc.line) in (self._line, *self._around):
            return
        self._line = (loc.file, loc.line)
        self.out.comment(f"line {loc.line}: {' '.join(loc.text.split())}")

    def _store(self, eqn: Eqn, sign: str) -> None:
        array, value, *index = eqn.args
        if eqn.params.get("checked"):
            raise InternalError("a checked store reached the emitter")
        spec, base = eqn.params["spec"], self.expr.atom(array, ATOM)
        target = f"{base}[{self.expr.subscript(spec, tuple(index))}]"
        product = self.named.inlined.get(value) if isinstance(value, Value) else None
        if product is None or product.op.name != "contract" or not self.expr.runtime:
            self.write(target, value, sign)
            return
        whole = set(spec) == {":"}
        self.out.add(product_into(product, self.expr, base if whole else target, sign))

    def write(self, target: str, value: Atom, sign: str = "=") -> None:
        """`target = value`, or `target += ...` if the value starts from the target."""
        eqn = self.named.inlined.get(value) if isinstance(value, Value) else None
        if eqn is not None and sign == "=" and eqn.op.name in _AUGMENTED:
            eqn = self.expr.signed(eqn)
            a, b = eqn.args
            same = a.type.dtype == eqn.out.type.dtype and a.type.dtype.kind in "fi"
            if same and self.expr.atom(a) == target:
                sign, value = _AUGMENTED[eqn.op.name], b
        self.add_to(target, sign, value)

    def add_to(self, target: str, sign: str, value: Atom) -> None:
        """`target += value`, and `target -= x` for `target += -x`."""
        eqn = self.named.inlined.get(value) if isinstance(value, Value) else None
        if eqn is not None and eqn.op.name == "neg" and sign in ("+=", "-="):
            sign = "-=" if sign == "+=" else "+="
            value = eqn.args[0]
        self.out.add(f"{target} {sign} {self.expr.atom(value)}")

    def _empty(self, eqn: Eqn) -> None:
        self.assign(eqn, self.allocation("empty", eqn.args, eqn.out.type.dtype))

    def allocation(
        self, how: str, extents: Sequence[Atom], dtype: DType, fill: str = ""
    ) -> str:
        """`np.empty((n, m))`, `np.full(n, 0.5)` and the like."""
        items = [tuple_text([self.expr.atom(e) for e in extents]) or "()"]
        items += [fill] if fill else []
        items += [] if dtype == FLOAT64 else [dtype_text(dtype)]
        return f"{self.expr.arrays}.{how}({', '.join(items)})"

    def _full(self, eqn: Eqn) -> None:
        value, *extents = eqn.args
        dtype = eqn.out.type.dtype
        if isinstance(value, Const) and str(float(value.value)) in ("0.0", "1.0"):
            how = "ones" if value.value else "zeros"
            self.assign(eqn, self.allocation(how, extents, dtype))
            return
        fill = self.expr.atom(value)
        fill = fill if value.type.dtype.kind == dtype.kind else f"float({fill})"
        self.assign(eqn, self.allocation("full", extents, dtype, fill))

    def _check(self, eqn: Eqn) -> None:
        kind = exception(eqn)
        message = located(eqn.params["message"], eqn.loc)
        with self.out.block(f"if {self.expr.negated(eqn.args[0]).text}:"):
            self.out.add_text(f"raise {kind}(", message, ")")

    def _stack_new(self, eqn: Eqn) -> None:
        item = eqn.params["item"]
        name = self.name(eqn.out)
        # An element that is taken away at once tells Numba the type of the list.
        if isinstance(item, ArrayType):
            shape = tuple_text(["0"] * item.rank)
            tail = "" if item.dtype == FLOAT64 else f", {dtype_text(item.dtype)}"
            self.out.add(f"{name} = [{self.expr.arrays}.empty({shape}{tail})]")
        else:
            self.out.add(f"{name} = [{number(Const(0, item)).text}]")
        self.out.add(f"{name}.pop()")

    def _nonzero(self, eqn: Eqn) -> None:
        """The places of a mask, an array for each axis."""
        call = f"np.nonzero({self.expr.atom(eqn.args[0])})"
        if len(eqn.outs) == 1:
            return self.assign(eqn, f"{call}[0]")
        names = [self.name(o) if o in self.read else "_" for o in eqn.outs]
        return self.out.add(f"{', '.join(names)} = {call}")

    def _limit(self, eqn: Eqn) -> None:
        stack, limit = map(self.expr.atom, eqn.args)
        message = located(eqn.params["message"], eqn.loc)
        with self.out.block(f"if len({stack}) >= {limit}:"):
            self.out.add_text("raise MemoryError(", message, ")")

    def _push(self, eqn: Eqn) -> None:
        stack, value = eqn.args
        self.out.add(f"{self.expr.atom(stack)}.append({self.expr.atom(value)})")

    def _pop(self, eqn: Eqn) -> None:
        call = f"{self.expr.atom(eqn.args[0])}.pop()"
        value = eqn.outs[1]
        self.out.add(f"{self.name(value)} = {call}" if value in self.read else call)


def exception(eqn: Eqn) -> str:
    """The name of the exception that a check raises."""
    return _RAISES.get(eqn.params["kind"], "ValueError")


def dtype_text(dtype: DType) -> str:
    """A dtype as an argument."""
    return "np.bool_" if dtype.kind == "b" else f"np.{dtype.name}"


def located(message: str, loc: Loc | None) -> str:
    """A message with the user's file (without its folder) and line in front."""
    already = re.match(r"(.*?)(:\d+: .*)", message, re.DOTALL)
    if already:
        return os.path.basename(already[1]) + already[2]
    if loc is None:
        return message
    text = " ".join(loc.text.split()).removesuffix(":")
    return f"{os.path.basename(loc.file)}:{loc.line}: {text}: {message}"
