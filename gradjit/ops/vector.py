"""The same functions by another text: those of `gradjit.vectormath`.

The `vectorise` pass puts them into loops over elements. They are not in
the registry: programs cannot call them, and they come after differentiation.
"""

from __future__ import annotations

from dataclasses import replace

from gradjit.ir.op import Op, lookup
from gradjit.vectormath import NAMES


def _vectorised(name: str) -> Op:
    base = lookup(name)
    return replace(
        base,
        name=f"vm.{name}",
        doc=f"{base.doc.rstrip('.')}, in a form that LLVM vectorises.",
        text=f"vm.{name}({{0}})",
        text32="",
        partials=None,
        why_not="it appears only after differentiation",
    )


VECTORISED = {name: _vectorised(name) for name in NAMES}
