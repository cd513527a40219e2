"""The CUDA target at run time: devices, memory, arrays in and out.

Nothing here is imported before it is asked for: numba.cuda takes a while to import, and
most programs do not use it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gradjit.errors import CudaTransferWarning

if TYPE_CHECKING:
    from gradjit.cuda import pool
    from gradjit.cuda.array import to_device
    from gradjit.cuda.shim import require
    from gradjit.cuda.status import synchronize

__all__ = ["CudaTransferWarning", "pool", "require", "synchronize", "to_device"]

_LATER = {
    "require": "gradjit.cuda.shim",
    "synchronize": "gradjit.cuda.status",
    "to_device": "gradjit.cuda.array",
}


def __getattr__(name: str) -> Any:
    if name == "pool":
        return importlib.import_module("gradjit.cuda.pool")
    if name not in _LATER:
        raise AttributeError(f"module 'gradjit.cuda' has no attribute {name!r}")
    value = getattr(importlib.import_module(_LATER[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), "pool", *_LATER})
