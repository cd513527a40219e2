"""The copy of an emitted function that Numba compiles.

The emitted file stays as it is. The copy looks for signals (`interrupt`), and takes the
arrays that it would make and return: for each of them Numba needs 0.4 us to make a
Python object, and NumPy 0.1 us to make an array that is one.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any


def variant(
    function: FunctionType, wanted: Sequence[int]
) -> tuple[FunctionType, dict[int, str]]:
    """The function that is compiled, and the results that it takes as arguments.

    Args:
        function: A function of a module that is a file.
        wanted: Positions of returned arrays that could be arguments.

    Returns:
        The copy (or the function itself, if nothing changes). For each of its further
        parameters, in order, the position of the result that it stands for and the
        function of NumPy that makes it: "empty" or "zeros".
    """
    path = function.__code__.co_filename
    module = ast.parse(Path(path).read_text(encoding="utf-8"), path)
    (node,) = (
        n
        for n in module.body
        if isinstance(n, ast.FunctionDef) and n.name == function.__name__
    )
    given = _give(node, wanted)
    # Needs Numba, and is imported only when something is compiled.
    names: Any = importlib.import_module("gradjit.codegen.interrupt").watch(node)
    if not given and not names:
        return function, {}
    function.__globals__.update(names)
    alone = ast.fix_missing_locations(ast.Module([node], []))
    (code,) = (
        c for c in compile(alone, path, "exec").co_consts if isinstance(c, CodeType)
    )
    return FunctionType(code, function.__globals__, function.__name__), given


def _give(node: ast.FunctionDef, wanted: Sequence[int]) -> dict[int, str]:
    """Make parameters of arrays that are made once and returned."""
    last = node.body[-1]
    returns = [n for n in ast.walk(node) if isinstance(n, ast.Return)]
    if returns != [last] or not isinstance(last, ast.Return) or last.value is None:
        return {}
    value = last.value
    results = list(value.elts) if isinstance(value, ast.Tuple) else [value]
    given: dict[int, str] = {}
    for position in wanted:
        result = results[position]
        made = _made_once(node, result.id) if isinstance(result, ast.Name) else None
        if made is None:
            continue
        at, how, extents = made
        assert isinstance(result, ast.Name)
        node.args.args.append(ast.arg(result.id))
        node.body[at : at + 1] = [
            ast.copy_location(check, node.body[at])
            for check in _checks(result.id, extents)
        ]
        given[position] = how
    rest = [r for k, r in enumerate(results) if k not in given]
    if given:
        last.value = ast.Tuple(rest, ast.Load()) if len(rest) > 1 else None
        if len(rest) == 1:
            (last.value,) = rest
    return given


def _made_once(
    node: ast.FunctionDef, name: str
) -> tuple[int, str, list[ast.expr]] | None:
    """The statement `name = mem.empty(...)`, if the name stands for nothing else."""
    bound = [n for n in ast.walk(node) if isinstance(n, ast.Name) and n.id == name]
    if sum(isinstance(n.ctx, ast.Store) for n in bound) != 1:
        return None
    for at, stmt in enumerate(node.body):
        match stmt:
            case ast.Assign(
                targets=[ast.Name(id=target)],
                value=ast.Call(
                    func=ast.Attribute(
                        value=ast.Name(id="np" | "mem"), attr="empty" | "zeros" as how
                    ),
                    args=[shape, *_],
                ),
            ) if target == name:
                several = isinstance(shape, ast.Tuple)
                return at, how, list(shape.elts) if several else [shape]
            case _:
                pass
    return None


def _checks(name: str, extents: Sequence[ast.expr]) -> list[ast.stmt]:
    """What would write past the end of an array, had it another shape, raises."""
    text = "".join(
        f"if {name}.shape[{axis}] != {ast.unparse(extent)}:\n"
        f"    raise ValueError('an argument has other extents than its gradient')\n"
        for axis, extent in enumerate(extents)
    )
    return ast.parse(text).body
