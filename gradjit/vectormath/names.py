"""The functions that there are, without importing Numba."""

from __future__ import annotations

# Name, as in NumPy and as that of the op -> number of arguments.
ARITY = {
    **dict.fromkeys(("exp", "exp2", "expm1", "log", "log1p", "log2", "log10"), 1),
    **dict.fromkeys(("sin", "cos", "tan", "arcsin", "arccos", "arctan"), 1),
    **dict.fromkeys(("sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh"), 1),
    **dict.fromkeys(("cbrt", "erf", "erfc", "expit"), 1),
    **dict.fromkeys(("pow", "hypot", "arctan2", "logaddexp", "xlogy", "xlog1py"), 2),
}
