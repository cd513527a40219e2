"""What the pages show is what the code prints."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _executed():
    spec = importlib.util.spec_from_file_location("execute", ROOT / "docs/execute.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.executed


PAGES = [
    "README.md",
    "docs/cuda.md",
    "docs/how-it-works.md",
    "docs/loops.md",
    "docs/parallel.md",
    "docs/small-arrays.md",
]


@pytest.mark.parametrize("page", PAGES)
def test_page_shows_what_its_code_prints(page):
    text = (ROOT / page).read_text()
    assert _executed()(text) == text, f"run: python docs/execute.py {page}"


def test_output_replaces_the_block_behind_the_marker():
    page = "```python\nprint(1 + 1)\n```\n\n<!-- prints -->\n```text\nold\n```\n"
    assert _executed()(page) == page.replace("old", "2")


def test_readme_has_exactly_two_set_up_commands():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert sum("pip install" in line for line in lines) == 2
