"""The layers of the design: imports go downwards only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import gradjit

ROOT = Path(gradjit.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

# Each layer may import those before it. trace, passes and codegen share a level.
LEVELS = {
    "errors": 0,
    "version": 0,
    "vectormath": 0,
    "memory": 0,
    "blas": 0,
    "config": 0,
    "cuda": 0,
    "ir": 1,
    "ops": 2,
    "trace": 3,
    "passes": 3,
    "codegen": 3,
}
API = 4
APART = {"trace", "passes", "codegen"}


def layer(parts: tuple[str, ...]) -> str:
    return parts[0] if parts and parts[0] in LEVELS else "api"


def level(name: str) -> int:
    return LEVELS.get(name, API)


def imported(file: Path) -> Iterator[tuple[int, str]]:
    """Lines and layers of the imports of gradjit's own modules, lazy ones too."""
    for node in ast.walk(ast.parse(file.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: relative import"
            names = [node.module or ""]
            if node.module == "gradjit":
                names = [f"gradjit.{alias.name}" for alias in node.names]
        for name in names:
            if name.split(".")[0] == "gradjit":
                yield node.lineno, layer(tuple(name.split(".")[1:]))


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_go_downwards(file: Path) -> None:
    own = layer(file.relative_to(ROOT).with_suffix("").parts)
    for line, other in imported(file):
        if own == "api" or other == own:
            continue
        where = f"{file.relative_to(ROOT)}:{line} ({own}) imports {other}"
        assert level(other) <= level(own), where
        assert not {own, other} <= APART, where


def test_pipeline_names_no_module_of_other_layers() -> None:
    layers = {other for _, other in imported(ROOT / "passes" / "pipeline.py")}
    assert layers <= {"config", "ir", "passes", "errors", "ops"}
