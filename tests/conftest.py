"""Fixtures that all tests share: a cache folder of the test run, verified graphs."""

from __future__ import annotations

import os
import sys
import tempfile

# Before gradjit is imported: it reads the environment once.
os.environ.setdefault("GRADJIT_CACHE_DIR", tempfile.mkdtemp(prefix="gradjit-tests-"))
os.environ.setdefault("GRADJIT_CHECK", "1")

# Before numba.cuda is imported: numba-cuda redirects it to itself by a finder. Without
# the finder, it is the one that Numba ships.
if os.environ.get("GRADJIT_TEST_FLAVOUR") == "numba":
    sys.meta_path[:] = [
        finder for finder in sys.meta_path if type(finder).__name__ != "NumbaCudaFinder"
    ]

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update-golden`: write the files of `tests/golden` anew."""
    parser.addoption("--update-golden", action="store_true")
