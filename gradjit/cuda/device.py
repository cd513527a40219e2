"""What emitted host code calls: `from gradjit.cuda import device as dev`."""

from __future__ import annotations

from typing import Any

from gradjit.cuda.buffers import (
    copy,
    empty,
    full,
    item,
    nonzero,
    ones,
    reshape,
    transpose,
    zeros,
)
from gradjit.cuda.geometry import (
    columns,
    count_blocks,
    count_height,
    count_items,
    elements,
    grid2,
    items,
    one,
    rows,
)
from gradjit.cuda.place import MAX_BLOCKS, REDUCTIONS, current
from gradjit.cuda.products import add_matmul, matmul
from gradjit.cuda.status import register, synchronize

__all__ = [
    "MAX_BLOCKS",
    "REDUCTIONS",
    "add_matmul",
    "columns",
    "copy",
    "count_blocks",
    "count_height",
    "count_items",
    "counters",
    "elements",
    "empty",
    "full",
    "grid2",
    "item",
    "items",
    "matmul",
    "nonzero",
    "one",
    "ones",
    "parts",
    "register",
    "reshape",
    "rows",
    "status",
    "synchronize",
    "transpose",
    "zeros",
]


def parts() -> Any:
    """Scratch for partial results: `REDUCTIONS * WORDS * MAX_BLOCKS` float64."""
    return current().parts


def counters() -> Any:
    """Counters of finished blocks: `REDUCTIONS` int32, zero between kernels."""
    return current().counters


def status() -> Any:
    """One int32: where a kernel leaves the code of an error."""
    return current().status
