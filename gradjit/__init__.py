"""gradjit: gradients of plain Python and NumPy functions, as readable Python.

f -> grad(f), value_and_grad(f), hvp(f), jacobian(f), hessian(f), jit(f)
vjp(f, *primals), jvp(f, primals, tangents), check_grads(f, args)
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
from gradjit.testing import check_grads
from gradjit.transformed import Transformed
from gradjit.version import VERSION as __version__

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
    "config",
    "export",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jit",
    "jvp",
    "stop_gradient",
    "value_and_grad",
    "vjp",
]
