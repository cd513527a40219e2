"""Stacks of numbers that a thread has for itself: arrays of a fixed size.

The first element is the depth, so that a stack is one array; a loop of unknown length
pushes what its way back needs.
"""

# Numba sees the types of the functions below, and nobody else:
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from typing import Any

from gradjit.cuda.shim import cuda


@cuda.jit(device=True)
def push(stack: Any, value: Any) -> Any:
    """Put a value on a stack; whether there was room for it."""
    depth = int(stack[0]) + 1
    if depth >= stack.shape[0]:
        return False
    stack[0] = depth
    stack[depth] = value
    return True


@cuda.jit(device=True)
def pop(stack: Any) -> Any:
    """Take the last value from a stack."""
    depth = int(stack[0])
    stack[0] = depth - 1
    return stack[depth]
