"""Which numba.cuda the tests run on, and where the simulator's tests are collected.

`tests/cuda/simulated` needs Numba's CUDA simulator, which is chosen by an environment
variable before numba is imported: `test_simulated.py` starts a process for each file.
"""

from __future__ import annotations

import os
import sys

collect_ignore: list[str] = []
if os.environ.get("NUMBA_ENABLE_CUDASIM") != "1":
    collect_ignore.append("simulated")

if os.environ.get("GRADJIT_TEST_FLAVOUR") == "numba":
    # numba-cuda redirects `numba.cuda` to itself by a finder; without it, the module is
    # the one that Numba ships.
    sys.meta_path[:] = [
        finder for finder in sys.meta_path if type(finder).__name__ != "NumbaCudaFinder"
    ]
