"""The functions that kernels have in place of NumPy's, compiled, against NumPy's.

Numba's front end is the same for the CPU; there the compiled functions can be run.
"""

from __future__ import annotations

import itertools
import math
from types import FunctionType
from typing import Any

import numba
import numpy as np
import pytest

from gradjit.cuda import elementary as el
from gradjit.cuda import shim

pytestmark = pytest.mark.skipif(
    not shim.IMPORTED or shim.SIMULATED, reason="there are no compiled device functions"
)
FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 0.1, 7.3, 1e30, 1e-30]
FLOATS += [math.inf, -math.inf, math.nan]
WHOLE = [0, 1, -1, 2, -2, 3, -7, 100, -128, 127]
ORACLES: dict[str, Any] = {
    "sign": np.sign,
    "mod": np.mod,
    "floordiv": np.floor_divide,
    "logaddexp": np.logaddexp,
    "remainder": np.fmod,
    "power": lambda x, n: x**n,
    "larger": lambda x, y: y if y > x else x,
    "smaller": lambda x, y: y if y < x else x,
}
INTEGERS = ("sign", "remainder", "power", "larger", "smaller")


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(n, t) for n in ORACLES for t in ("f8", "f4") if n not in ("remainder", "power")]
    + [(n, t) for n in INTEGERS for t in ("i8", "i4")],
)
def test_functions(name: str, dtype: str) -> None:
    kind = np.dtype(dtype).type
    code = getattr(el, name).py_func.__code__
    # For the CPU, Numba has no math.fmod, and makes integers with math.floor.
    here = FunctionType(code, {**vars(el), "fmod": np.fmod, "floor": np.floor})
    compiled = numba.njit(error_model="numpy")(here)
    numbers = [kind(v) for v in (FLOATS if dtype[0] == "f" else WHOLE)]
    arity = 1 if name == "sign" else 2
    for args in itertools.product(numbers, repeat=arity):
        if name == "power" and args[1] < 0:
            continue
        with np.errstate(all="ignore"):
            want = ORACLES[name](*args)
        # Numba's arithmetic widens integers; what is printed around it narrows them.
        got = np.asarray(compiled(*args)).astype(dtype)
        np.testing.assert_allclose(got, want, rtol=4 * np.finfo("f4").eps)
        if want == 0 and dtype[0] == "f":
            assert math.copysign(1, got) == math.copysign(1, want), args
    (result,) = compiled.nopython_signatures
    wide = "int64" if dtype[0] == "i" else np.dtype(dtype).name
    assert str(result.return_type) in (wide, np.dtype(dtype).name)
