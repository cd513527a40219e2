"""Products of matrices and vectors on the device.

`matmul` and `add_matmul` are what `gradjit.blas` has for the CPU: operands of one or two
axes, or stacks of matrices.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradjit.cuda.buffers import empty
from gradjit.cuda.shim import SIMULATED


def matmul(a: Any, b: Any, out: Any = None) -> Any:
    """a @ b, in `out` if there is one."""
    if out is None:
        out = empty(_shape_of(a, b), a.dtype)
    _product(out, a, b, keep=False)
    return out


def add_matmul(out: Any, a: Any, b: Any) -> None:
    """out += a @ b."""
    _product(out, a, b, keep=True)


def _product(out: Any, a: Any, b: Any, keep: bool) -> None:
    if SIMULATED:
        product = np.matmul(a._ary, b._ary)
        out[...] = out._ary + product if keep else product
        return
    raise NotImplementedError


def _shape_of(a: Any, b: Any) -> tuple[int, ...]:
    left, right = tuple(a.shape), tuple(b.shape)
    stack = np.broadcast_shapes(left[:-2], right[:-2])
    down = (left[-2],) if len(left) > 1 else ()
    across = (right[-1],) if len(right) > 1 else ()
    return (*stack, *down, *across)
