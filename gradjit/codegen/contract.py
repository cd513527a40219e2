"""Matrix products as calls of `np.dot`, which Numba hands to BLAS.

The axes of each operand fall into two groups: those that are summed over and those that
are kept. With one axis in each group, `np.dot` of the operands or of their transposes
is the product; BLAS takes transposed operands as they are.
"""

from __future__ import annotations

from gradjit.codegen.expr import ATOM, Writer
from gradjit.errors import InternalError
from gradjit.ir.graph import Atom, Eqn, Value


def contraction(eqn: Eqn, expr: Writer) -> str:
    """The right side of a `contract` equation."""
    call = f"{expr.products}.matmul" if expr.runtime else "np.dot"
    return f"{call}({', '.join(_operands(eqn, expr))})"


def product_into(eqn: Eqn, expr: Writer, target: str, sign: str) -> str:
    """The statement by which a product goes into an array, or is added to it."""
    operands = ", ".join(_operands(eqn, expr))
    if sign == "+=":
        return f"{expr.products}.add_matmul({target}, {operands})"
    return f"{expr.products}.matmul({operands}, out={target})"


def _operands(eqn: Eqn, expr: Writer) -> tuple[str, str]:
    """What is multiplied, in the order of the axes of the result."""
    x, y = eqn.args
    a, b, out = (eqn.params[k] for k in ("a", "b", "out"))
    summed = [c for c in a if c in b]
    if len(summed) != 1 or summed[0] in out or len(a) > 2 or len(b) > 2:
        raise InternalError(f"contract {a},{b}->{out} is not one call of np.dot")
    (inner,) = summed
    left = a.replace(inner, "")
    if out and left != out[0] and len(out) == 2:
        x, y, a, b = y, x, b, a
    first = _operand(expr, x, transposed=len(a) == 2 and a[0] == inner)
    second = _operand(expr, y, transposed=len(b) == 2 and b[1] == inner)
    return first, second


def _operand(expr: Writer, atom: Atom, transposed: bool) -> str:
    """An operand as BLAS takes it: contiguous, or the transpose of that."""
    eqn = expr.named.inlined.get(atom) if isinstance(atom, Value) else None
    text = expr.atom(atom, ATOM)
    strided = eqn is not None and eqn.op.name == "index" and not contiguous(eqn)
    if strided and not expr.runtime:
        text = f"np.ascontiguousarray({text})"
    if not transposed:
        return text
    if eqn is not None and eqn.op.name == "transpose":
        return expr.atom(eqn.args[0], ATOM)
    return expr.turned(text)


def contiguous(eqn: Eqn) -> bool:
    """Whether a view of a contiguous array is contiguous for Numba."""
    spec: str = eqn.params["spec"].replace("n", "")
    kept = spec.lstrip("i")
    return "i" not in kept and "s" not in kept
