"""Fixtures that all tests share: a cache folder of the test run, verified graphs."""

from __future__ import annotations

import os
import tempfile

# Before gradjit is imported: it reads the environment once.
os.environ.setdefault("GRADJIT_CACHE_DIR", tempfile.mkdtemp(prefix="gradjit-tests-"))
os.environ.setdefault("GRADJIT_CHECK", "1")

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update-golden`: write the files of `tests/golden` anew."""
    parser.addoption("--update-golden", action="store_true")
