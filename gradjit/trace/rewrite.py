"""Rewriting a function so that running it traces it.

Branches and loops become calls of the runtime `__gj__`, with their blocks as nested
functions and their state behind a getter and a setter:

    if x > 0:                   def then(): nonlocal y; y = x
        y = x                   def orelse(): nonlocal y; y = 0.0
    else:               ->      def get(): return (y,)
        y = 0.0                 def put(values): nonlocal y; (y,) = values
                                __gj__.if_(12, x > 0, then, orelse, get, put, ("y",))

Subscripts, attributes, calls, `and`, `or`, `not`, comparison chains and assertions are
calls of the runtime too. The code keeps the user's file name and lines, its globals and
its closure cells.
"""

from __future__ import annotations

import ast
from typing import Any

from gradjit.trace.exits import lower
from gradjit.trace.expressions import Expressions, Scope
from gradjit.trace.names import assigned, controlled, state_of
from gradjit.trace.syntax import (
    assign,
    at_node,
    call,
    load,
    no_arguments,
    runtime,
    walk_here,
)

_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "truediv",
    ast.FloorDiv: "floordiv",
    ast.Mod: "mod",
    ast.Pow: "pow",
    ast.MatMult: "matmul",
    ast.BitAnd: "and_",
    ast.BitOr: "or_",
    ast.BitXor: "xor",
    ast.LShift: "lshift",
    ast.RShift: "rshift",
}


class Rewriter(Expressions):
    """One pass over a definition; nested definitions are part of it."""

    # ------------------------------------------------------------- definitions

    def definition(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """The rewritten function, without decorators and annotations."""
        self._refuse_declarations(node)
        lowered = lower(node)
        names = controlled(lowered.body)
        params = _parameters(node.args)
        bound = {*params, *assigned(lowered.body)}
        scope = Scope(bound, set(names), state_of(lowered))
        defaults = self._arguments(node.args)
        self.scopes.append(scope)
        start = [
            assign(n, at_node(runtime("undef"), node), node)
            for n in names
            if n not in params
        ]
        if (rest := node.args.kwarg) is not None:
            start.append(assign(rest.arg, call("new", load(rest.arg), at=node), node))
        body = [*start, *self.block(lowered.body)]
        self.scopes.pop()
        new = ast.FunctionDef(node.name, defaults, body, [], None)
        return at_node(new, node)

    def _refuse_declarations(self, node: ast.FunctionDef) -> None:
        stored = set(assigned(node.body))
        for inner in (n for s in node.body for n in walk_here(s)):
            if isinstance(inner, ast.Global | ast.Nonlocal):
                written = [n for n in inner.names if n in stored]
                if written:
                    word = type(inner).__name__.lower()
                    raise self.refusal(
                        inner,
                        f"the {word} name {written[0]!r} is assigned",
                        "Return the new value, or keep it in an array or an object "
                        "that is passed in.",
                    )

    def _arguments(self, args: ast.arguments) -> ast.arguments:
        """The same parameters without annotations."""

        def bare(a: ast.arg) -> ast.arg:
            return ast.copy_location(ast.arg(a.arg), a)

        return ast.arguments(
            posonlyargs=[bare(a) for a in args.posonlyargs],
            args=[bare(a) for a in args.args],
            vararg=bare(args.vararg) if args.vararg else None,
            kwonlyargs=[bare(a) for a in args.kwonlyargs],
            kw_defaults=[self.visit(d) if d else None for d in args.kw_defaults],
            kwarg=bare(args.kwarg) if args.kwarg else None,
            defaults=[self.visit(d) for d in args.defaults],
        )

    # --------------------------------------------------------------- statements

    def block(self, stmts: list[ast.stmt]) -> list[ast.stmt]:
        """Rewritten statements, each preceded by its line."""
        out: list[ast.stmt] = []
        for stmt in stmts:
            new = self.statement(stmt)
            if not isinstance(stmt, ast.FunctionDef | ast.Pass | ast.Import):
                line = at_node(ast.Constant(stmt.lineno), stmt)
                out.append(at_node(ast.Expr(call("at", line, at=stmt)), stmt))
            out += [at_node(n, stmt) for n in new]
        return out or [ast.Pass()]

    def statement(self, stmt: ast.stmt) -> list[ast.stmt]:
        """What a statement becomes."""
        method = getattr(self, f"do_{type(stmt).__name__}", None)
        if method is None:
            word = type(stmt).__name__
            raise self.refusal(stmt, f"the statement {word!r} is not supported")
        return method(stmt)

    def do_FunctionDef(self, stmt: ast.FunctionDef) -> list[ast.stmt]:
        new = self.definition(stmt)
        new.decorator_list = [self.visit(d) for d in stmt.decorator_list]
        return [new]

    def do_ClassDef(self, stmt: ast.ClassDef) -> list[ast.stmt]:
        return [stmt]

    do_Import = do_ImportFrom = do_Pass = do_ClassDef  # type: ignore

    def do_Global(self, stmt: ast.stmt) -> list[ast.stmt]:
        return [ast.Pass()]

    do_Nonlocal = do_Global

    def do_Return(self, stmt: ast.Return) -> list[ast.stmt]:
        return [ast.Return(self.visit(stmt.value) if stmt.value else None)]

    def do_Expr(self, stmt: ast.Expr) -> list[ast.stmt]:
        if isinstance(stmt.value, ast.Constant):
            return [stmt]
        return [ast.Expr(self.visit(stmt.value))]

    def do_Assign(self, stmt: ast.Assign) -> list[ast.stmt]:
        value = self.visit(stmt.value)
        if len(stmt.targets) == 1:
            return self.store(stmt.targets[0], value)
        name = self.fresh("t")
        out: list[ast.stmt] = [assign(name, value, stmt)]
        for target in stmt.targets:
            out += self.store(target, load(name))
        return out

    def do_AnnAssign(self, stmt: ast.AnnAssign) -> list[ast.stmt]:
        if stmt.value is None:
            return [ast.Pass()]
        return self.store(stmt.target, self.visit(stmt.value))

    def do_AugAssign(self, stmt: ast.AugAssign) -> list[ast.stmt]:
        line = ast.Constant(stmt.lineno)
        op = ast.Constant(_OPERATORS[type(stmt.op)])
        value = self.visit(stmt.value)
        target = stmt.target
        if isinstance(target, ast.Name):
            read = self.visit(ast.copy_location(load(target.id), target))
            return self.store(target, call("aug", line, op, read, value, at=stmt))
        obj = self.visit(target.value)
        if isinstance(target, ast.Attribute):
            name = ast.Constant(self.mangle(target.attr))
            return [ast.Expr(call("aug_attr", line, op, obj, name, value, at=stmt))]
        key = self.key(target.slice)
        return [ast.Expr(call("aug_item", line, op, obj, key, value, at=stmt))]

    def do_Delete(self, stmt: ast.Delete) -> list[ast.stmt]:
        out: list[ast.stmt] = []
        line = ast.Constant(stmt.lineno)
        for target in stmt.targets:
            if isinstance(target, ast.Name):
                name = ast.Constant(target.id)
                read = self.visit(ast.copy_location(load(target.id), target))
                gone = call("delete", line, name, read, at=stmt)
                out += [assign(target.id, gone, stmt)]
                self.scopes[-1].controlled.add(target.id)
            elif isinstance(target, ast.Subscript):
                args = self.visit(target.value), self.key(target.slice)
                out.append(ast.Expr(call("del_item", line, *args, at=stmt)))
            else:
                raise self.refusal(stmt, "del of an attribute is not supported")
        return out

    def do_Assert(self, stmt: ast.Assert) -> list[ast.stmt]:
        text = stmt.msg or ast.copy_location(ast.Constant(""), stmt)
        message = self.thunk(self.quoted(text), stmt)
        line = ast.Constant(stmt.lineno)
        return [
            ast.Expr(call("assert_", line, self.visit(stmt.test), message, at=stmt))
        ]

    def do_Raise(self, stmt: ast.Raise) -> list[ast.stmt]:
        if stmt.exc is None:
            return [stmt]
        line = ast.Constant(stmt.lineno)
        return [ast.Expr(call("raise_", line, self.quoted(stmt.exc), at=stmt))]

    def do_With(self, stmt: ast.With) -> list[ast.stmt]:
        items = [
            ast.withitem(self.visit(i.context_expr), i.optional_vars)
            for i in stmt.items
        ]
        return [ast.With(items, self.block(stmt.body))]

    def do_Try(self, stmt: ast.Try) -> list[ast.stmt]:
        """Left to Python; refused afterwards if something was traced inside."""
        mark = self.fresh("try")
        line = ast.Constant(stmt.lineno)
        first = assign(mark, call("try_", line, at=stmt), stmt)
        last = ast.Expr(call("tried", line, load(mark), at=stmt))
        handlers = [
            ast.copy_location(
                ast.ExceptHandler(
                    h.type,
                    h.name,
                    [
                        ast.Expr(call("tried", line, load(mark), at=stmt)),
                        *self.block(h.body),
                    ],
                ),
                h,
            )
            for h in stmt.handlers
        ]
        body = [*self.block(stmt.body), at_node(last, stmt)]
        orelse = self.block(stmt.orelse) if stmt.orelse else []
        final = self.block(stmt.finalbody) if stmt.finalbody else []
        return [first, ast.Try(body, handlers, orelse, final)]

    def do_Match(self, stmt: ast.Match) -> list[ast.stmt]:
        cases = [
            ast.match_case(
                c.pattern, self.visit(c.guard) if c.guard else None, self.block(c.body)
            )
            for c in stmt.cases
        ]
        return [ast.Match(self.visit(stmt.subject), cases)]

    # ------------------------------------------------------------- control flow

    def do_If(self, stmt: ast.If) -> list[ast.stmt]:
        names = self.state(stmt)
        unread = self.scopes[-1].state.unread[stmt]
        then = self.closure("then", stmt.body, stmt)
        orelse = self.closure("else", stmt.orelse, stmt)
        get, put = self.accessors(names, stmt)
        run = call(
            "if_",
            ast.Constant(stmt.lineno),
            self.visit(stmt.test),
            *(load(f.name) for f in (then, orelse, get, put)),
            _strings(tuple("" if n in unread else n for n in names)),
            at=stmt,
        )
        return [then, orelse, get, put, ast.Expr(run)]

    def do_For(self, stmt: ast.For) -> list[ast.stmt]:
        names = self.state(stmt)
        item = self.fresh("item")
        bind = self.function("bind", [stmt.target], stmt, item)
        bind.body += self.store(stmt.target, load(item))
        body = self.closure("body", stmt.body, stmt)
        get, put = self.accessors(names, stmt)
        run = call(
            "for_",
            ast.Constant(stmt.lineno),
            self.visit(stmt.iter),
            *(load(f.name) for f in (bind, body, get, put)),
            _strings(names),
            _strings(self.exits(stmt)),
            at=stmt,
        )
        return [bind, body, get, put, ast.Expr(run)]

    def do_While(self, stmt: ast.While) -> list[ast.stmt]:
        names = self.state(stmt)
        test = self.function("test", [], stmt)
        test.body = [ast.Return(self.visit(stmt.test))]
        body = self.closure("body", stmt.body, stmt)
        get, put = self.accessors(names, stmt)
        run = call(
            "while_",
            ast.Constant(stmt.lineno),
            *(load(f.name) for f in (test, body, get, put)),
            _strings(names),
            _strings(self.exits(stmt)),
            at=stmt,
        )
        return [test, body, get, put, ast.Expr(run)]

    def state(self, stmt: ast.stmt) -> tuple[str, ...]:
        return self.scopes[-1].state.of.get(stmt, ())

    def exits(self, stmt: ast.stmt) -> tuple[str, ...]:
        return tuple(self.scopes[-1].state.lowered.exits.get(stmt, ()))

    def closure(
        self, word: str, stmts: list[ast.stmt], at: ast.stmt
    ) -> ast.FunctionDef:
        """A block as a function."""
        new = self.function(word, stmts, at)
        new.body += self.block(stmts)
        return new

    def function(
        self, word: str, binds: list[Any], at: ast.stmt, *params: str
    ) -> ast.FunctionDef:
        """An empty function that may assign what the nodes assign."""
        names = [n for n in assigned(binds) if n in self.scopes[-1].bound]
        body: list[ast.stmt] = [ast.Nonlocal(names)] if names else []
        name = self.fresh(word)
        return at_node(ast.FunctionDef(name, no_arguments(*params), body, [], None), at)

    def accessors(
        self, names: tuple[str, ...], at: ast.stmt
    ) -> tuple[ast.FunctionDef, ast.FunctionDef]:
        """The getter and the setter of some names."""
        get = ast.FunctionDef(
            self.fresh("get"),
            no_arguments(),
            [ast.Return(ast.Tuple([load(n) for n in names], ast.Load()))],
            [],
            None,
        )
        body: list[ast.stmt] = [ast.Pass()]
        if names:
            targets = ast.Tuple([ast.Name(n, ast.Store()) for n in names], ast.Store())
            body = [
                ast.Nonlocal(list(names)),
                ast.Assign([targets], load("__gj_values")),
            ]
        put = ast.FunctionDef(
            self.fresh("put"), no_arguments("__gj_values"), body, [], None
        )
        return at_node(get, at), at_node(put, at)

    # ------------------------------------------------------------------- stores

    def store(self, target: ast.expr, value: ast.expr) -> list[ast.stmt]:
        """The assignment of a value to a target of any kind."""
        line = ast.Constant(target.lineno)
        if isinstance(target, ast.Name):
            if not target.id.startswith("__gj_"):
                name = ast.Constant(target.id)
                value = call("named", name, value, at=target)
            return [assign(target.id, value, target)]
        if isinstance(target, ast.Attribute):
            name = ast.Constant(self.mangle(target.attr))
            args = self.visit(target.value), name, value
            return [at_node(ast.Expr(call("set_attr", line, *args, at=target)), target)]
        if isinstance(target, ast.Subscript):
            args = self.visit(target.value), self.key(target.slice), value
            return [at_node(ast.Expr(call("set_item", line, *args, at=target)), target)]
        if isinstance(target, ast.Starred):
            return self.store(target.value, value)
        assert isinstance(target, ast.Tuple | ast.List)
        return self._unpack(target, value)

    def _unpack(self, target: ast.Tuple | ast.List, value: ast.expr) -> list[ast.stmt]:
        """Python unpacks into plain names; then each is stored where it belongs."""
        places: list[ast.expr] = []
        after: list[ast.stmt] = []
        for element in target.elts:
            inner = element.value if isinstance(element, ast.Starred) else element
            name = self.fresh("t")
            place: ast.expr = ast.Name(name, ast.Store())
            item = at_node(load(name), inner)
            if isinstance(element, ast.Starred):
                place = ast.Starred(place, ast.Store())
                item = call("new", item, at=inner)
            places.append(place)
            after += self.store(inner, item)
        unpacked = ast.Assign([ast.Tuple(places, ast.Store())], value)
        return [at_node(unpacked, target), *after]


def _strings(names: tuple[str, ...]) -> ast.expr:
    return ast.Tuple([ast.Constant(n) for n in names], ast.Load())


def _parameters(args: ast.arguments) -> list[str]:
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs]
    every += [a for a in (args.vararg, args.kwarg) if a]
    return [a.arg for a in every]
