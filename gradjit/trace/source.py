"""Finding the syntax tree of a function.

The whole file is parsed once; a function is found in it by the line and, for lambdas
(of which a line can have several), by the columns of its code.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType, FunctionType

from gradjit.errors import Loc, UnsupportedError

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True, slots=True)
class Source:
    """A file and its lines."""

    file: str
    lines: tuple[str, ...]

    def loc(self, line: int) -> Loc:
        """The place of a line, with its text."""
        inside = 0 < line <= len(self.lines)
        return Loc(self.file, line, self.lines[line - 1].strip() if inside else "")


@dataclass(frozen=True, slots=True)
class Found:
    """A definition in its file; `owner` is the class that holds it, or ''."""

    source: Source
    node: Definition
    owner: str


def find(fn: FunctionType) -> Found:
    """The definition of a function."""
    code = fn.__code__
    try:
        lines, _ = inspect.findsource(fn)
    except (OSError, TypeError, IndexError):
        raise _no_source(fn) from None
    source = Source(code.co_filename, tuple(line.rstrip("\n") for line in lines))
    for node, owner in _definitions("".join(lines)):
        if _matches(node, code):
            return Found(source, node, owner)
    raise _no_source(fn)


def _no_source(fn: FunctionType) -> UnsupportedError:
    code = fn.__code__
    return UnsupportedError(
        f"the source of {fn.__qualname__} (from {code.co_filename}) is not available",
        hint="Define the function in a file or a notebook cell, not with exec or eval.",
    )


@lru_cache(maxsize=64)
def _definitions(text: str) -> tuple[tuple[Definition, str], ...]:
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return ()
    return tuple(_walk(tree, ""))


def _walk(node: ast.AST, owner: str) -> Iterator[tuple[Definition, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Definition):
            yield child, owner
        name = child.name if isinstance(child, ast.ClassDef) else owner
        yield from _walk(child, name)


def _matches(node: Definition, code: CodeType) -> bool:
    if isinstance(node, ast.Lambda):
        return code.co_name == "<lambda>" and _lambda_matches(node, code)
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    return node.name == code.co_name and first == code.co_firstlineno


def _lambda_matches(node: ast.Lambda, code: CodeType) -> bool:
    """Whether the code's instructions lie inside the lambda's body, and fill it."""
    if node.lineno != code.co_firstlineno:
        return False
    body = node.body
    spans = [p for p in code.co_positions() if None not in p and p[2] != p[3]]
    want = (body.lineno, body.end_lineno, body.col_offset, body.end_col_offset)
    return want in spans
