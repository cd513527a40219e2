"""gradjit: gradients of plain Python and NumPy functions, as readable Python.

f -> grad(f), value_and_grad(f), hvp(f), jacobian(f), hessian(f), jit(f)
vmap(f), vjp(f, *primals), jvp(f, primals, tangents), check_grads(f, args)
fori_loop, while_loop, scan, cond, switch: loops and branches as functions
"""

from gradjit import config
from gradjit.api import (
    grad,
    hessian,
    hvp,
    jacobian,
    jit,
    jvp,
    stop_gradient,
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
from gradjit.functional import cond, fori_loop, scan, switch, while_loop
from gradjit.testing import check_grads
from gradjit.transformed import Transformed
from gradjit.version import VERSION as __version__
from gradjit.vmap import vmap

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
    "export",
    "fori_loop",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jit",
    "jvp",
    "scan",
    "stop_gradient",
    "switch",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]
