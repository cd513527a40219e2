"""Compiled loops without a known end stop at Ctrl-C.

Python's signal handlers run between bytecodes, so machine code would never see one. In
the compiled copy of a function (the emitted file stays as it is) each `while` asks
Python every thousandth time around whether a signal is waiting; asking takes the GIL,
which the compiled code does not hold. Counting costs 0.3 ns an iteration.
"""

from __future__ import annotations

import ast
import importlib
from typing import Any

# Neither llvmlite nor Numba has types.
ir: Any = importlib.import_module("llvmlite.ir")
types: Any = importlib.import_module("numba.core.types")
extending: Any = importlib.import_module("numba.extending")
cgutils: Any = importlib.import_module("numba.core.cgutils")

# Numba can only raise what is an Exception, which KeyboardInterrupt is not.
Interrupted = InterruptedError
_EVERY = 1024


def _signal() -> bool:
    """Whether a signal's handler has raised."""
    return False


def _typer(context: Any) -> Any:
    return lambda: types.boolean


def _lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """PyErr_CheckSignals, with the GIL."""
    word = ir.IntType(32)

    def function(name: str, out: Any, *takes: Any) -> Any:
        kind = ir.FunctionType(out, takes)
        return cgutils.get_or_insert_function(builder.module, kind, name)

    state = builder.call(function("PyGILState_Ensure", word), ())
    raised = builder.call(function("PyErr_CheckSignals", word), ())
    builder.call(function("PyGILState_Release", ir.VoidType(), word), (state,))
    return builder.icmp_signed("!=", raised, word(0))


extending.type_callable(_signal)(_typer)
extending.lower_builtin(_signal)(_lower)


def watch(node: ast.FunctionDef) -> dict[str, Any]:
    """Put a look for signals into each `while` of a function.

    Returns the names that the function reads then; none if it has no `while`.
    """
    loops = [n for n in ast.walk(node) if isinstance(n, ast.While)]
    if not loops:
        return {}
    for loop in loops:
        loop.body[:0] = _placed(_LOOK, loop.body[0])
    node.body[:0] = _placed("__gj_turns = 0", node.body[0])
    return _NAMES


_NAMES = {"__gj_signal": _signal, "__gj_Interrupted": Interrupted}
_LOOK = f"""
__gj_turns += 1
if __gj_turns % {_EVERY} == 0 and __gj_signal():
    raise __gj_Interrupted
"""


def _placed(text: str, at: ast.stmt) -> list[ast.stmt]:
    """Statements that stand where another one does."""
    body = ast.parse(text).body
    for stmt in body:
        for node in ast.walk(stmt):
            ast.copy_location(node, at)
    return body
