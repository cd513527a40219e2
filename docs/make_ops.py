"""Write docs/ops.md from the registry: `python docs/make_ops.py`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import gradjit.ops  # noqa: F401  (registers everything)
from gradjit.ir.op import Op, all_ops
from gradjit.ops.surface import Function, surface_functions

PAGE = Path(__file__).with_name("ops.md")

HEAD = """\
# Functions and ops

Written by `python docs/make_ops.py` from the registry; a test compares them.

## What a program can call

Besides these: Python's operators, comparisons, subscripts (integers, slices, `None`,
`...`, integer arrays, boolean masks) on both sides of an assignment, `np.add.at`, and
the user's own functions. A function is replaced where it is called with a traced value;
on plain numbers it runs as it is. Parameters that a function takes are those of NumPy
that are listed; another one is refused by name, unless it has its default value.
Functions that are not listed are refused where a traced value goes into them.
"""

KINKS = """\
## Conventions at kinks

| Function | Slope |
| --- | --- |
| `abs(x)`, `np.sign(x)`, `np.copysign(x, y)` at `x = 0` | 0 |
| `np.maximum`, `np.minimum`, `max`, `min`, `np.clip` where two are equal | 1/2 each |
| `np.max`, `np.min` over axes | the slope is shared equally among ties |
| comparisons, logic, `np.floor`, `np.round`, `np.argmax`, integer results | 0 |
| `np.sqrt(x)`, `np.cbrt(x)` at 0 | inf: what the formula gives |
| `np.linalg.norm(x)`, `np.hypot(x, y)` at the origin | nan: what the formula gives |
| `x**y` in `y` at `x = 0` | 0 |
| `x**y` in `y` for negative `x` | nan |
| `np.logaddexp(x, y)` where both are the same infinity | 1 |
| `np.prod` over elements of which some are 0 | the product of the others |
| `np.where(c, x, y)` | that of the element that is taken |
"""

# Headings of the modules, in the order of the page.
MODULES = {
    "numpy_math": "Elements",
    "numpy_reduce": "Reductions",
    "numpy_running": "Running sums, differences",
    "numpy_linalg": "Products",
    "numpy_diagonal": "Diagonals and triangles",
    "numpy_shape": "Axes, extents and dtypes",
    "numpy_make": "Making arrays",
    "numpy_join": "Joining, splitting, shifting",
    "numpy_repeat": "Margins and repetition",
    "python_math": "`math` and builtins",
    "scipy_special": "`scipy.special`",
}


def page() -> str:
    """The text of docs/ops.md."""
    parts = [HEAD]
    for module, title in MODULES.items():
        found = [
            f
            for f in surface_functions()
            if f.impl.__module__ == f"gradjit.ops.{module}"
        ]
        parts.append(f"### {title}\n\n{_functions(found)}")
    parts += [KINKS, _ops()]
    return "\n".join(parts)


def _table(head: str, rows: Iterable[tuple[str, ...]]) -> str:
    cells = [tuple(h.strip() for h in head.split("|"))]
    lines = [f"| {' | '.join(row)} |" for row in [*cells, *rows]]
    lines.insert(1, f"| {' | '.join('---' for _ in cells[0])} |")
    return "\n".join(lines) + "\n"


def _functions(functions: Iterable[Function]) -> str:
    rows: dict[str, tuple[str, ...]] = {}
    for f in functions:
        names = _names(f)
        rows[names] = (names, _parameters(f), f.meaning.replace("|", "\\|"))
    return _table("Function | Parameters | Meaning", rows.values())


def _names(f: Function) -> str:
    names = [f.name] if f.targets else []
    if f.method and not f.method.startswith("__") and f.method != "array":
        names.append(f"x.{f.method}")
    if f.method == "__matmul__":
        names.append("x @ y")
    return ", ".join(f"`{n}`" for n in names)


def _parameters(f: Function) -> str:
    """Parameters with a default, which a call may give."""
    names = [
        p.name
        for p in f.signature.parameters.values()
        if p.default is not p.empty and not p.name.startswith("_")
    ]
    return ", ".join(f"`{n}`" for n in names)


def _ops() -> str:
    text = "## The ops of the graph\n\nWhat the functions above become.\n"
    for kind, title in (
        ("elementwise", "On elements"),
        ("reduce", "Reductions"),
        ("array", "On arrays"),
    ):
        ops = [o for o in all_ops() if o.kind == kind]
        rows = [(f"`{o.name}`", _emitted(o), o.doc, _slope(o)) for o in ops]
        table = _table("Op | Emitted | Meaning | Derivative", rows)
        text += f"\n### {title}\n\n{table}"
    return text


def _emitted(op: Op) -> str:
    if not op.text:
        return ""
    names = ("x", "y", "z") if op.name != "where" else ("c", "x", "y")
    return f"`{op.text.format(*names, n='n', dtype='dtype')}`".replace("|", "\\|")


def _slope(op: Op) -> str:
    if op.flat:
        return "0"
    if op.why_not:
        return f"none: {op.why_not}"
    return "linear" if op.linear else "yes"


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"{PAGE}\n")
