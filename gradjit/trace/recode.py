"""Compiling rewritten functions, and keeping them.

The rewritten definition is compiled inside a factory whose parameters are the free
variables, so that they are free in it too; its code then gets the user's globals, cells
and defaults. One code object is rewritten once.
"""

from __future__ import annotations

import ast
from types import CellType, CodeType, FunctionType
from typing import Any

from gradjit.trace.rewrite import Rewriter
from gradjit.trace.source import Found, Source, find
from gradjit.trace.syntax import RUNTIME, at_node, load, no_arguments


class Rewritten:
    """Code of a rewritten definition, and its source."""

    def __init__(self, code: CodeType, source: Source, globals_read: set[str]) -> None:
        self.code = code
        self.source = source
        self.globals_read = globals_read


_CACHE: dict[int, tuple[CodeType, Rewritten]] = {}
_DONE: dict[int, CodeType] = {}


def is_rewritten(fn: FunctionType) -> bool:
    """Whether a function was made by rewritten code."""
    return id(fn.__code__) in _DONE


def rewritten(fn: FunctionType) -> Rewritten:
    """The rewritten code of a function, made once for each code object."""
    code = fn.__code__
    found = _CACHE.get(id(code))
    if found is None:
        found = code, _rewrite(fn)
        _CACHE[id(code)] = found
    return found[1]


def instantiate(fn: FunctionType, runtime_: Any) -> FunctionType:
    """The function with rewritten code: same globals, cells and defaults."""
    code = rewritten(fn).code
    cells = dict(zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True))
    cells[RUNTIME] = CellType(runtime_)
    closure = tuple(cells[name] for name in code.co_freevars)
    new = FunctionType(code, fn.__globals__, fn.__name__, fn.__defaults__, closure)
    new.__kwdefaults__ = fn.__kwdefaults__
    new.__qualname__ = fn.__qualname__
    return new


def _rewrite(fn: FunctionType) -> Rewritten:
    found = find(fn)
    rewriter = Rewriter(found.source, found.owner)
    new = _definition(found, rewriter)
    new.args = _without_defaults(new.args)
    new.name = "__gj_function"  # its own name may mean the global that wraps it
    free = (RUNTIME, *(n for n in fn.__code__.co_freevars if n != RUNTIME))
    outer = ast.FunctionDef(
        "__gj_factory__",
        no_arguments(*free),
        [new, ast.Return(load(new.name))],
        [],
        None,
    )
    module = ast.Module([at_node(outer, found.node)], [])
    code = compile(
        ast.fix_missing_locations(module), found.source.file, "exec", dont_inherit=True
    )
    (factory,) = (c for c in code.co_consts if isinstance(c, CodeType))
    inner = next(
        c
        for c in factory.co_consts
        if isinstance(c, CodeType) and c.co_name == new.name
    )
    _mark(inner)
    inner = inner.replace(co_name=fn.__name__, co_qualname=fn.__qualname__)
    _mark(inner)
    return Rewritten(inner, found.source, rewriter.globals_read)


def _definition(found: Found, rewriter: Rewriter) -> ast.FunctionDef:
    node = found.node
    if isinstance(node, ast.AsyncFunctionDef):
        raise rewriter.refusal(node, "an async function cannot be traced")
    if isinstance(node, ast.Lambda):
        body = ast.copy_location(ast.Return(node.body), node.body)
        node = at_node(
            ast.FunctionDef("__gj_lambda", node.args, [body], [], None), found.node
        )
    return rewriter.definition(node)


def _without_defaults(args: ast.arguments) -> ast.arguments:
    """Defaults come from the function itself; here they only keep their places."""
    none = ast.Constant(None)
    args.defaults = [none for _ in args.defaults]
    args.kw_defaults = [none if d else None for d in args.kw_defaults]
    return args


def _mark(code: CodeType) -> None:
    _DONE[id(code)] = code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            _mark(const)
