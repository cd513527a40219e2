"""Small pieces of syntax, and walks over it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeVar

RUNTIME = "__gj__"
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

Node = TypeVar("Node", bound=ast.AST)


def load(name: str) -> ast.Name:
    """A name that is read."""
    return ast.Name(name, ast.Load())


def at_node(node: Node, at: ast.AST) -> Node:
    """The node, and what in it has no place yet, at the place of another."""
    ast.copy_location(node, at)
    _place(node, at)
    return node


def _place(node: ast.AST, at: ast.AST) -> None:
    """Give new nodes a place. What has one was placed with all that is in it."""
    for child in ast.iter_child_nodes(node):
        if "lineno" in child._attributes:
            if hasattr(child, "lineno"):
                continue
            ast.copy_location(child, at)
        _place(child, at)


def assign(name: str, value: ast.expr, at: ast.AST) -> ast.Assign:
    """`name = value`."""
    return at_node(ast.Assign([ast.Name(name, ast.Store())], value), at)


def runtime(method: str) -> ast.Attribute:
    """`__gj__.method`."""
    return ast.Attribute(load(RUNTIME), method, ast.Load())


def call(method: str, *args: ast.expr, at: ast.AST) -> ast.Call:
    """`__gj__.method(*args)`."""
    return at_node(ast.Call(runtime(method), list(args), []), at)


def thunk(body: ast.expr) -> ast.Lambda:
    """`lambda: body`."""
    return at_node(ast.Lambda(no_arguments(), body), body)


def no_arguments(*names: str) -> ast.arguments:
    """The parameters of a function, by name."""
    return ast.arguments(
        posonlyargs=[],
        args=[ast.arg(n) for n in names],
        vararg=None,
        kwonlyargs=[],
        kw_defaults=[],
        kwarg=None,
        defaults=[],
    )


def walk_here(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all inside it, but not what is inside nested functions."""
    yield node
    if isinstance(node, SCOPES):
        return
    for child in ast.iter_child_nodes(node):
        yield from walk_here(child)
