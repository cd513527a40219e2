"""The ops: one record each, and the NumPy surface written on them."""

# Importing the modules registers their records.
from gradjit.ops import (
    array,
    array_records,
    contract,
    elementwise,
    indexing,
    logic,
    numpy_diagonal,
    numpy_join,
    numpy_linalg,
    numpy_make,
    numpy_math,
    numpy_reduce,
    numpy_repeat,
    numpy_running,
    numpy_shape,
    python_math,
    reduce,
    region,
    special,
    stop,
    threads,
    transcendental,
)
from gradjit.ops.surface import later

later("scipy.special", "gradjit.ops.scipy_special")

__all__ = [
    "array",
    "array_records",
    "contract",
    "elementwise",
    "indexing",
    "logic",
    "numpy_diagonal",
    "numpy_join",
    "numpy_linalg",
    "numpy_make",
    "numpy_math",
    "numpy_reduce",
    "numpy_repeat",
    "numpy_running",
    "numpy_shape",
    "python_math",
    "reduce",
    "region",
    "special",
    "stop",
    "threads",
    "transcendental",
]
