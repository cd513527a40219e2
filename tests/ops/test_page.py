"""docs/ops.md is what the registry says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from gradjit.ops.surface import surface_functions

DOCS = Path(__file__).parents[2] / "docs"


def test_page_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("make_ops", DOCS / "make_ops.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = (DOCS / "ops.md").read_text()
    assert page == module.page(), "run: python docs/make_ops.py"


def test_every_function_has_a_line() -> None:
    without = [f.name for f in surface_functions() if not f.meaning.endswith(".")]
    assert not without
