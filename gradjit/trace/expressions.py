"""Rewriting expressions: names, calls, subscripts, logic."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any, NoReturn

from gradjit.errors import UnsupportedError
from gradjit.trace.names import State, assigned
from gradjit.trace.source import Source
from gradjit.trace.syntax import (
    COMPREHENSIONS,
    RUNTIME,
    at_node,
    call,
    load,
    no_arguments,
)

_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Eq: "eq",
    ast.NotEq: "ne",
    ast.Lt: "lt",
    ast.LtE: "le",
    ast.Gt: "gt",
    ast.GtE: "ge",
    ast.Is: "is_",
    ast.IsNot: "is_not",
    ast.In: "in_",
    ast.NotIn: "not_in",
}
# Operators that make a new container of containers.
_JOINS = ast.Add | ast.Mult | ast.BitOr


@dataclass(slots=True)
class Scope:
    """A function under rewriting: its names, and those that may be unbound."""

    bound: set[str]
    controlled: set[str] = field(default_factory=set[str])
    state: State = None  # type: ignore[assignment]


class Expressions(ast.NodeTransformer):
    """The part of the rewriter that deals with expressions."""

    def __init__(self, source: Source, owner: str) -> None:
        self.source = source
        self.owner = owner
        self.scopes: list[Scope] = []
        self.globals_read: set[str] = set()
        self._count = 0
        self._quoted = 0

    def refusal(self, node: Any, what: str, hint: str = "") -> UnsupportedError:
        """The error for a piece of syntax."""
        return UnsupportedError(what, self.source.loc(node.lineno), hint)

    def fresh(self, word: str) -> str:
        """A name that no user has."""
        self._count += 1
        return f"__gj_{word}{self._count}"

    def mangle(self, name: str) -> str:
        """A private name as Python spells it inside a class."""
        private = name.startswith("__") and not name.endswith("__")
        if not (private and self.owner) or name.startswith("__gj_"):
            return name
        return f"_{self.owner.lstrip('_')}{name}"

    def thunk(self, body: ast.expr, at: ast.AST) -> ast.Lambda:
        """`lambda: body`; a name bound inside could not be seen outside."""
        for node in ast.walk(body):
            if isinstance(node, ast.NamedExpr):
                raise self.refusal(
                    at,
                    "an assignment expression stands in an operand that is not "
                    "always evaluated",
                    "Assign the name in a statement of its own.",
                )
        return at_node(ast.Lambda(no_arguments(), body), body)

    def quoted(self, node: ast.expr) -> ast.expr:
        """An error message, in which traced values may be formatted."""
        self._quoted += 1
        try:
            return self.visit(node)
        finally:
            self._quoted -= 1

    # -------------------------------------------------------------------- names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """A name whose value goes anywhere; see `access`."""
        new = self._name(node)
        return call("whole", new, at=node) if self._is_free(node) else new

    def _is_free(self, node: ast.Name) -> bool:
        return (
            isinstance(node.ctx, ast.Load)
            and not node.id.startswith("__gj_")
            and not any(node.id in scope.bound for scope in self.scopes)
        )

    def access(self, node: ast.expr) -> ast.expr:
        """What an item, an attribute or a result of a call is taken from.

        Of a container from outside only that item is read then; anywhere else it may be
        read as a whole.
        """
        if isinstance(node, ast.Name):
            return self._name(node)
        if isinstance(node, ast.Subscript):
            return self._subscript(node)
        if isinstance(node, ast.Attribute):
            return self._attribute(node)
        return self.visit(node)

    def _name(self, node: ast.Name) -> ast.expr:
        if not isinstance(node.ctx, ast.Load) or node.id.startswith("__gj_"):
            return node
        for scope in reversed(self.scopes):
            if node.id in scope.bound:
                if node.id in scope.controlled:
                    return call("load", ast.Constant(node.id), node, at=node)
                return node
        self.globals_read.add(node.id)
        return node

    def visit_NamedExpr(self, node: ast.NamedExpr) -> ast.expr:
        name = ast.Constant(node.target.id)
        value = call("named", name, self.visit(node.value), at=node)
        return at_node(ast.NamedExpr(node.target, value), node)

    def _comprehension(self, node: Any) -> ast.expr:
        """Python runs it; its own names are always bound."""
        first = node.generators[0]
        first.iter = self.visit(first.iter)
        own = assigned([g.target for g in node.generators])
        self.scopes.append(Scope(set(own)))
        for k, generator in enumerate(node.generators):
            if k:
                generator.iter = self.visit(generator.iter)
            generator.ifs = [self.visit(i) for i in generator.ifs]
        for part in ("elt", "key", "value"):
            if hasattr(node, part):
                setattr(node, part, self.visit(getattr(node, part)))
        self.scopes.pop()
        if isinstance(node, ast.GeneratorExp):
            return node
        return call("new", node, at=node)

    def visit(self, node: Any) -> Any:
        if isinstance(node, COMPREHENSIONS):
            return self._comprehension(node)
        return super().visit(node)

    def visit_Lambda(self, node: ast.Lambda) -> ast.expr:
        args = self._arguments(node.args)
        every = [*args.posonlyargs, *args.args, *args.kwonlyargs]
        every += [a for a in (args.vararg, args.kwarg) if a]
        self.scopes.append(Scope({a.arg for a in every}))
        body = self.visit(node.body)
        self.scopes.pop()
        return at_node(ast.Lambda(args, body), node)

    def _arguments(self, args: ast.arguments) -> ast.arguments:
        raise NotImplementedError

    # --------------------------------------------------------------- containers

    def visit_List(self, node: ast.List) -> ast.expr:
        return call("new", self.generic_visit(node), at=node)  # type: ignore

    visit_Dict = visit_Set = visit_List  # type: ignore[assignment]

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """`a + b`: of lists it is a new list."""
        new = self.generic_visit(node)
        return call("made", new, at=node) if isinstance(node.op, _JOINS) else new  # type: ignore

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        return call("whole", self._subscript(node), at=node)

    def _subscript(self, node: ast.Subscript) -> ast.expr:
        args = ast.Constant(node.lineno), self.access(node.value), self.key(node.slice)
        return call("item", *args, at=node)

    def key(self, node: ast.expr) -> ast.expr:
        """A subscript's key; slices become calls, so that they can stand anywhere."""
        if isinstance(node, ast.Slice):
            none = ast.Constant(None)
            parts = [
                self.visit(p) if p else none
                for p in (node.lower, node.upper, node.step)
            ]
            return call("slice", *parts, at=node)
        if isinstance(node, ast.Tuple):
            items = [self.key(e) for e in node.elts]
            return at_node(ast.Tuple(items, ast.Load()), node)
        return self.visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if _is_runtime(node):
            return node
        return call("whole", self._attribute(node), at=node)

    def _attribute(self, node: ast.Attribute) -> ast.expr:
        if _is_runtime(node):
            return node
        name = ast.Constant(self.mangle(node.attr))
        return call("attr", self.access(node.value), name, at=node)

    # -------------------------------------------------------------------- calls

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if isinstance(node.func, ast.Name) and node.func.id == "super":
            return node
        if _is_runtime(node.func):
            node.args = [self.visit(a) for a in node.args]
            return node
        args = [
            ast.Constant(node.lineno),
            self.access(node.func),
            *(self.visit(a) for a in node.args),
        ]
        new = call("call", *args, at=node)
        new.keywords = [ast.keyword(k.arg, self.visit(k.value)) for k in node.keywords]
        return at_node(new, node)

    # -------------------------------------------------------------------- logic

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        return call(
            "ifexp",
            ast.Constant(node.lineno),
            self.visit(node.test),
            self.thunk(self.visit(node.body), node),
            self.thunk(self.visit(node.orelse), node),
            at=node,
        )

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        first, *rest = (self.visit(v) for v in node.values)
        name = "and_" if isinstance(node.op, ast.And) else "or_"
        thunks = [self.thunk(r, node) for r in rest]
        return call(name, ast.Constant(node.lineno), first, *thunks, at=node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        operand = self.visit(node.operand)
        if isinstance(node.op, ast.Not):
            return call("not_", operand, at=node)
        return at_node(ast.UnaryOp(node.op, operand), node)

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        left = self.visit(node.left)
        others = [self.visit(c) for c in node.comparators]
        if len(others) == 1 and not isinstance(node.ops[0], ast.In | ast.NotIn):
            return at_node(ast.Compare(left, node.ops, others), node)
        first, *rest = others
        names: list[ast.expr] = [ast.Constant(_COMPARE[type(op)]) for op in node.ops]
        ops = ast.Tuple(names, ast.Load())
        thunks = [self.thunk(r, node) for r in rest]
        line = ast.Constant(node.lineno)
        return call("chain", line, ops, left, first, *thunks, at=node)

    # ------------------------------------------------------------------ strings

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.expr:
        value = self.visit(node.value)
        if not self._quoted:
            value = call("text", ast.Constant(node.lineno), value, at=node)
        spec = self.visit(node.format_spec) if node.format_spec else None
        return at_node(ast.FormattedValue(value, node.conversion, spec), node)

    # ----------------------------------------------------------------- refusals

    def _refuse(self, node: Any, what: str, hint: str) -> NoReturn:
        raise self.refusal(node, what, hint)

    def visit_Yield(self, node: ast.Yield) -> ast.expr:
        self._refuse(
            node,
            "a generator function cannot be traced",
            "Build a list, or return the values.",
        )

    visit_YieldFrom = visit_Yield  # type: ignore[assignment]

    def visit_Await(self, node: ast.Await) -> ast.expr:
        self._refuse(node, "await cannot be traced", "Call a plain function.")


def _is_runtime(node: ast.expr) -> bool:
    """Whether an expression is a method of the runtime already."""
    if not isinstance(node, ast.Attribute):
        return False
    return isinstance(node.value, ast.Name) and node.value.id == RUNTIME


__all__ = ["Expressions", "Scope", "load"]
