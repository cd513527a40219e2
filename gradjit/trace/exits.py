"""`break`, `continue` and early `return` become flags.

Afterwards a body has no jumps: each exit sets a flag (and the value to return), and
what would have been skipped stands in the other branch or behind a test of the flag:

    for x in xs:                for x in xs:
        if x > 1: break             if x > 1: brk = True
        s += x                      else: s += x
    return s                    return s

A flag that never depends on a traced value stays a Python bool, and costs nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from gradjit.trace.syntax import assign, at_node, call, load, runtime, walk_here

RETURNED = "__gj_ret"
RESULT = "__gj_val"


@dataclass(slots=True)
class Lowered:
    """A body without jumps, and for each loop the flags that end it."""

    body: list[ast.stmt]
    exits: dict[ast.stmt, list[str]]


@dataclass(slots=True)
class _Loop:
    broke: str
    skipped: str


@dataclass(slots=True)
class _Lowering:
    """State of the pass over one function."""

    loops: list[_Loop] = field(default_factory=list[_Loop])
    exits: dict[ast.stmt, list[str]] = field(default_factory=dict[ast.stmt, list[str]])
    broke: dict[ast.stmt, str] = field(default_factory=dict[ast.stmt, str])
    count: int = 0

    # ---------------------------------------------------------------- questions

    def always(self, stmts: Sequence[ast.stmt]) -> bool:
        """Whether control never reaches the end of the statements."""
        return any(self._always(s) for s in stmts)

    def _always(self, stmt: ast.stmt) -> bool:
        if isinstance(stmt, ast.Return | ast.Break | ast.Continue | ast.Raise):
            return True
        if isinstance(stmt, ast.If):
            return self.always(stmt.body) and self.always(stmt.orelse)
        if isinstance(stmt, ast.With):
            return self.always(stmt.body)
        if isinstance(stmt, ast.While):
            return _is_true(stmt.test) and not _breaks(stmt.body)
        return False

    # ----------------------------------------------------------------- lowering

    def block(self, stmts: Sequence[ast.stmt]) -> tuple[list[ast.stmt], set[str]]:
        """The statements without jumps, and the flags that they may set."""
        todo = list(stmts)
        out: list[ast.stmt] = []
        flags: set[str] = set()
        while todo:
            stmt = todo.pop(0)
            if isinstance(stmt, ast.For | ast.While) and stmt.orelse:
                stmt, todo = self._without_else(stmt, todo)
            if isinstance(stmt, ast.If) and todo:
                stmt, todo = self._absorb(stmt, todo)
            new, may = self.statement(stmt)
            out += new
            flags |= may
            if self._always(stmt):
                break
            if may and todo:
                inner, more = self.block(todo)
                return [*out, *self._guarded(stmt, sorted(may), inner)], flags | more
        return out, flags

    def _guarded(
        self, at: ast.stmt, flags: list[str], inner: list[ast.stmt]
    ) -> list[ast.stmt]:
        if not flags or not inner:
            return inner
        test = call("clear", *[load(f) for f in flags], at=at)
        return [ast.copy_location(ast.If(test, inner, []), at)]

    def _absorb(
        self, stmt: ast.If, rest: list[ast.stmt]
    ) -> tuple[ast.If, list[ast.stmt]]:
        """Move what follows a branch that always leaves into the other branch."""
        then, orelse = self.always(stmt.body), self.always(stmt.orelse)
        if then and not orelse:
            new = ast.If(stmt.test, stmt.body, [*stmt.orelse, *rest])
        elif orelse and not then:
            new = ast.If(stmt.test, [*stmt.body, *rest], stmt.orelse)
        else:
            return stmt, [] if then else rest
        return ast.copy_location(new, stmt), []

    def _without_else(
        self, stmt: ast.For | ast.While, rest: list[ast.stmt]
    ) -> tuple[ast.For | ast.While, list[ast.stmt]]:
        """`else` of a loop is a branch on its flag."""
        orelse = stmt.orelse
        bare: ast.For | ast.While
        if isinstance(stmt, ast.For):
            bare = ast.For(stmt.target, stmt.iter, stmt.body, [])
        else:
            bare = ast.While(stmt.test, stmt.body, [])
        bare = ast.copy_location(bare, stmt)
        if not _breaks(stmt.body):
            return bare, [*orelse, *rest]
        self.count += 1
        self.broke[bare] = f"__gj_brk{self.count}"
        test = call("clear", load(self.broke[bare]), at=stmt)
        return bare, [ast.copy_location(ast.If(test, orelse, []), stmt), *rest]

    def statement(self, stmt: ast.stmt) -> tuple[list[ast.stmt], set[str]]:
        """One statement without jumps, and the flags that it may set."""
        match stmt:
            case ast.Return():
                value = stmt.value or ast.copy_location(ast.Constant(None), stmt)
                out = [assign(RESULT, value, stmt), self._set(RETURNED, stmt)]
                return out, {RETURNED}
            case ast.Break():
                return self._leave(self.loops[-1].broke, stmt)
            case ast.Continue():
                return self._leave(self.loops[-1].skipped, stmt)
            case ast.For() | ast.While():
                return self._loop(stmt)
            case ast.If():
                body, first = self.block(stmt.body)
                orelse, second = self.block(stmt.orelse)
                new = ast.If(stmt.test, body, orelse)
                return [ast.copy_location(new, stmt)], first | second
            case ast.With():
                body, flags = self.block(stmt.body)
                return [ast.copy_location(ast.With(stmt.items, body), stmt)], flags
            case ast.Try():
                return self._try(stmt)
            case ast.Match():
                return self._match(stmt)
            case _:
                return [stmt], set()

    def _set(self, flag: str, at: ast.stmt) -> ast.stmt:
        return assign(flag, ast.copy_location(ast.Constant(True), at), at)

    def _leave(self, flag: str, at: ast.stmt) -> tuple[list[ast.stmt], set[str]]:
        return [self._set(flag, at)], {flag}

    def _loop(self, stmt: ast.For | ast.While) -> tuple[list[ast.stmt], set[str]]:
        self.count += 1
        broke = self.broke.get(stmt, f"__gj_brk{self.count}")
        loop = _Loop(broke, f"__gj_cont{self.count}")
        if isinstance(stmt, ast.While) and _binds(stmt.test):
            stmt = _test_inside(stmt)
        self.loops.append(loop)
        body, flags = self.block(stmt.body)
        self.loops.pop()
        no = ast.copy_location(ast.Constant(False), stmt)
        if loop.skipped in flags:
            body.insert(0, assign(loop.skipped, no, stmt))
        new: ast.For | ast.While
        if isinstance(stmt, ast.For):
            new = ast.For(stmt.target, stmt.iter, body, [])
        else:
            new = ast.While(stmt.test, body, [])
        self.exits[new] = [f for f in (broke, RETURNED) if f in flags]
        out: list[ast.stmt] = [ast.copy_location(new, stmt)]
        if broke in flags:
            out.insert(0, assign(broke, no, stmt))
        return out, flags & {RETURNED}

    def _try(self, stmt: ast.Try) -> tuple[list[ast.stmt], set[str]]:
        flags: set[str] = set()

        def inner(block: list[ast.stmt]) -> list[ast.stmt]:
            out, may = self.block(block)
            flags.update(may)
            return out

        handlers = [
            ast.copy_location(ast.ExceptHandler(h.type, h.name, inner(h.body)), h)
            for h in stmt.handlers
        ]
        new = ast.Try(
            inner(stmt.body), handlers, inner(stmt.orelse), inner(stmt.finalbody)
        )
        return [ast.copy_location(new, stmt)], flags

    def _match(self, stmt: ast.Match) -> tuple[list[ast.stmt], set[str]]:
        flags: set[str] = set()
        cases: list[ast.match_case] = []
        for case in stmt.cases:
            body, may = self.block(case.body)
            flags |= may
            cases.append(ast.match_case(case.pattern, case.guard, body))
        return [ast.copy_location(ast.Match(stmt.subject, cases), stmt)], flags


def lower(node: ast.FunctionDef) -> Lowered:
    """The body of a function without jumps; it ends with its only `return`."""
    lowering = _Lowering()
    *head, last = node.body
    returns = isinstance(last, ast.Return)
    if not _returns(head) and (returns or not _returns([last])):
        body, _ = lowering.block(head if returns else node.body)
        body += [last] if returns else []
        return Lowered(_tidy(body, lowering.exits), lowering.exits)
    end = ast.copy_location(ast.Return(None), last)
    lowered, _ = lowering.block([*node.body, end])
    no = ast.copy_location(ast.Constant(False), node)
    start = [
        assign(RETURNED, no, node),
        assign(RESULT, at_node(runtime("undef"), node), node),
    ]
    value = call("result", load(RESULT), at=last)
    end = ast.copy_location(ast.Return(value), last)
    body = _tidy([*start, *lowered, end], lowering.exits)
    return Lowered(body, lowering.exits)


def _returns(stmts: Sequence[ast.stmt]) -> bool:
    return any(isinstance(n, ast.Return) for s in stmts for n in walk_here(s))


def _tidy(stmts: list[ast.stmt], exits: dict[ast.stmt, list[str]]) -> list[ast.stmt]:
    """Drop flags that nobody reads."""
    module = ast.Module(stmts, [])
    read = {
        n.id
        for n in ast.walk(module)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
    }
    for flags in exits.values():
        read.update(flags)
    return _Unread(read).visit(module).body


class _Unread(ast.NodeTransformer):
    def __init__(self, read: set[str]) -> None:
        self.read = read

    def visit_Assign(self, node: ast.Assign) -> ast.stmt | None:
        target = node.targets[0]
        if not isinstance(target, ast.Name) or not target.id.startswith("__gj_"):
            return node
        return node if target.id == RESULT or target.id in self.read else None

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt:
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, ast.stmt) and getattr(node, "body", None) == []:
            node.body = [ast.copy_location(ast.Pass(), node)]  # type: ignore
        return node


def _is_true(test: ast.expr) -> bool:
    return isinstance(test, ast.Constant) and bool(test.value)


def _breaks(stmts: Sequence[ast.stmt]) -> bool:
    """Whether the statements break out of the loop that holds them."""
    for stmt in stmts:
        if isinstance(stmt, ast.Break):
            return True
        if isinstance(stmt, ast.For | ast.While):
            if _breaks(stmt.orelse):
                return True
        elif not isinstance(stmt, ast.FunctionDef | ast.ClassDef):
            inner = [s for s in ast.iter_child_nodes(stmt) if isinstance(s, ast.stmt)]
            for child in ast.iter_child_nodes(stmt):
                if isinstance(child, ast.ExceptHandler | ast.match_case):
                    inner += child.body
            if _breaks(inner):
                return True
    return False


def _binds(test: ast.expr) -> bool:
    return any(isinstance(n, ast.NamedExpr) for n in ast.walk(test))


def _test_inside(stmt: ast.While) -> ast.While:
    """`while (y := f(y)) > 1` with the test as the first statement of the body."""
    leave = ast.If(
        ast.copy_location(ast.UnaryOp(ast.Not(), stmt.test), stmt),
        [ast.copy_location(ast.Break(), stmt)],
        [],
    )
    true = ast.copy_location(ast.Constant(True), stmt)
    body = [ast.copy_location(leave, stmt), *stmt.body]
    return ast.copy_location(ast.While(true, body, []), stmt)
