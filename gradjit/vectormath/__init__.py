"""Elementary functions that LLVM vectorises inside emitted loops.

Numba calls libm once an element, several times slower than NumPy's own loops. There are
two modules with the same functions, which emitted files import as `vm`:

    libmvec      libm's functions, declared with the vector versions of glibc's libmvec
    polynomial   sums and products instead of calls, on any machine

`chosen` says which is used. It is part of what is emitted: a compiled file in the disk
cache that refers to libmvec is never loaded where libmvec is not.

    coefficients  <- docs/make_coefficients.py
    lane          arithmetic on an element: instructions of LLVM, or NumPy
    exponential, logarithm, trigonometry, power, composed    the functions, on lanes
    extreme       the larger and the smaller of two
    variants      scalar functions with vector versions, in LLVM
    binding       a function for Numba and for plain Python
    names         the functions that there are
    choice        which module is used
"""

from gradjit.vectormath.choice import chosen, describe, module
from gradjit.vectormath.names import ARITY

__all__ = ["ARITY", "chosen", "describe", "module"]
