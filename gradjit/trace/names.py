"""Which names a piece of a function assigns, and which of them are still needed.

After `exits.lower` a body has no jumps, so liveness is one walk backwards over the
tree: the state of a branch or a loop is what it assigns and what is read later. What
is assigned and never read again is scratch, and not carried.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from gradjit.trace.exits import Lowered
from gradjit.trace.syntax import COMPREHENSIONS, SCOPES

Names = frozenset[str]
Controlled = ast.If | ast.For | ast.While


def assigned(nodes: Iterable[ast.AST]) -> list[str]:
    """Names that the nodes bind in their function, in order."""
    return list(dict.fromkeys(n for node in nodes for n in _bound(node)))


def _bound(node: ast.AST) -> Iterator[str]:
    if isinstance(node, COMPREHENSIONS):
        yield from _walrus(node)
        return
    if isinstance(node, ast.Name):
        if not isinstance(node.ctx, ast.Load):
            yield node.id
    elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            yield (alias.asname or alias.name).split(".")[0]
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
        if node.name:
            yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest
    if not isinstance(node, SCOPES):
        for child in ast.iter_child_nodes(node):
            yield from _bound(child)


def _walrus(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.NamedExpr):
            yield inner.target.id


def reads(*nodes: ast.AST | None) -> Names:
    """Names read in the nodes, nested functions included."""
    return frozenset(
        n.id
        for node in nodes
        if node is not None
        for n in ast.walk(node)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
    )


def captured(stmts: Sequence[ast.stmt]) -> Names:
    """Names read in nested functions: they can be needed at any time."""
    lazy = (ast.FunctionDef, ast.Lambda, ast.GeneratorExp, ast.ClassDef)
    return reads(*(n for s in stmts for n in ast.walk(s) if isinstance(n, lazy)))


@dataclass(slots=True)
class State:
    """For each branch and loop of a function the names that are its state.

    `unread` are names of a branch that nobody reads after it: one side assigns them,
    and the other side has to find them as they were.
    """

    lowered: Lowered
    held: Names
    of: dict[ast.stmt, tuple[str, ...]] = field(
        default_factory=dict[ast.stmt, tuple[str, ...]]
    )
    unread: dict[ast.stmt, Names] = field(default_factory=dict[ast.stmt, Names])

    def before(self, stmts: Sequence[ast.stmt], after: Names) -> Names:
        """What is needed before the statements if `after` is needed after them."""
        live = after
        for stmt in reversed(stmts):
            live = self._statement(stmt, live)
        return live

    def _statement(self, stmt: ast.stmt, after: Names) -> Names:
        match stmt:
            case ast.If():
                return self._branch(stmt, after)
            case ast.For() | ast.While():
                return self._loop(stmt, after)
            case ast.With():
                inner = self.before(stmt.body, after)
                kept = inner - frozenset(assigned(stmt.items))
                return kept | reads(*stmt.items)
            case ast.Try():
                everything = after | reads(stmt)
                for block in (stmt.body, stmt.orelse, stmt.finalbody):
                    self.before(block, everything)
                for handler in stmt.handlers:
                    self.before(handler.body, everything)
                return everything
            case ast.Match():
                inner = [self.before(c.body, after) for c in stmt.cases]
                return after.union(*inner) | reads(stmt.subject, *stmt.cases)
            case ast.Assign():
                killed = frozenset(_plain(stmt.targets))
                return (after - killed) | reads(stmt.value, *stmt.targets)
            case ast.AugAssign():
                target = {stmt.target.id} if isinstance(stmt.target, ast.Name) else ()
                return after | frozenset(target) | reads(stmt.value, stmt.target)
            case ast.Delete():
                return after | frozenset(assigned(stmt.targets)) | reads(stmt)
            case _:
                return after | reads(stmt)

    def _branch(self, stmt: ast.If, after: Names) -> Names:
        inner = self.before(stmt.body, after) | self.before(stmt.orelse, after)
        self._record(stmt, after | inner, [*stmt.body, *stmt.orelse])
        self.unread[stmt] = inner - after - self.held
        return inner | reads(stmt.test)

    def _loop(self, stmt: ast.For | ast.While, after: Names) -> Names:
        header = stmt.iter if isinstance(stmt, ast.For) else stmt.test
        bound = [stmt.target] if isinstance(stmt, ast.For) else []
        own = frozenset(_plain(bound)) if bound else frozenset[str]()
        around = after | frozenset(self.lowered.exits.get(stmt, ()))
        if isinstance(stmt, ast.While):
            around |= reads(header)
        live = around
        while True:
            entry = self.before(stmt.body, live) - own | reads(*bound)
            if entry <= live:
                break
            live = live | entry
        self._record(stmt, live, [*bound, *stmt.body])
        return live | reads(header)

    def _record(self, stmt: ast.stmt, live: Names, parts: Sequence[ast.AST]) -> None:
        needed = live | self.held
        self.of[stmt] = tuple(n for n in assigned(parts) if n in needed)


def _plain(targets: Sequence[ast.expr]) -> Iterator[str]:
    """Names among targets that are plain names, also in tuples."""
    for target in targets:
        if isinstance(target, ast.Name):
            yield target.id
        elif isinstance(target, ast.Tuple | ast.List):
            yield from _plain(target.elts)
        elif isinstance(target, ast.Starred):
            yield from _plain([target.value])


def state_of(lowered: Lowered) -> State:
    """The state of all branches and loops of a lowered body."""
    state = State(lowered, captured(lowered.body))
    state.before(lowered.body, frozenset())
    return state


def controlled(stmts: Sequence[ast.stmt]) -> list[str]:
    """Names that some branch or loop assigns: they can be unbound where read."""
    out: list[str] = []
    for stmt in stmts:
        for node in _here(stmt):
            if isinstance(node, ast.If | ast.While):
                out += assigned([*node.body, *node.orelse])
            elif isinstance(node, ast.For):
                out += assigned([node.target, *node.body])
    return list(dict.fromkeys(out))


def _here(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, SCOPES):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _here(child)
