"""gradjit: gradients of plain Python and NumPy functions, as readable Python.

f -> grad(f), value_and_grad(f), hvp(f), jacobian(f), hessian(f), jit(f)
vmap(f), vjp(f, *primals), jvp(f, primals, tangents), check_grads(f, args)
fori_loop, while_loop, scan, cond, switch: loops and branches as functions
"""

import importlib
from typing import TYPE_CHECKING, Any

from gradjit import config
from gradjit.api import (
    grad,
    hessian,
    hvp,
    jacobian,
    jit,
    jvp,
    value_and_grad,
    vjp,
)
from gradjit.checkpoint import checkpoint
from gradjit.errors import (
    CompileError,
    DtypeError,
    GradjitError,
    InternalError,
    NotDifferentiableError,
    ShapeError,
    UnsupportedError,
)
from gradjit.export import export
from gradjit.precompile import precompile
from gradjit.testing import check_grads
from gradjit.transformed import Transformed
from gradjit.version import VERSION as __version__
from gradjit.vmap import vmap

if TYPE_CHECKING:
    from gradjit.devicefunction import device
    from gradjit.functional import cond, fori_loop, scan, switch, while_loop
    from gradjit.ops.stop import stop_gradient

__all__ = [
    "CompileError",
    "DtypeError",
    "GradjitError",
    "InternalError",
    "NotDifferentiableError",
    "ShapeError",
    "Transformed",
    "UnsupportedError",
    "__version__",
    "check_grads",
    "checkpoint",
    "cond",
    "config",
    "device",
    "export",
    "fori_loop",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jit",
    "jvp",
    "precompile",
    "scan",
    "stop_gradient",
    "switch",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]

# What stands on the compiler is imported when it is asked for. No module here may have
# the name of a function: importing it would put the module in the function's place.
_LATER = {
    **dict.fromkeys(
        ("cond", "fori_loop", "scan", "switch", "while_loop"), "gradjit.functional"
    ),
    "stop_gradient": "gradjit.ops.stop",
    "device": "gradjit.devicefunction",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'gradjit' has no attribute {name!r}")
    value = getattr(importlib.import_module(_LATER[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
