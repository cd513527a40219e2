"""The same functions by another text: those of `gradjit.vectormath`.

The `vectorise` pass puts them into loops over elements. They are not in
the registry: programs cannot call them, and they come after differentiation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from gradjit.ir.op import Op, lookup
from gradjit.ops.region import MAP
from gradjit.vectormath import ARITY


@cache
def vectorised(module: str) -> Mapping[str, Op]:
    """Ops by the name of the one that they stand for.

    Args:
        module: A module of `gradjit.vectormath`, or "none".
    """
    if module == "none":
        return {}
    return {name: _vectorised(name, count, module) for name, count in ARITY.items()}


@cache
def branchless(module: str) -> Op:
    """`map_` with reductions to the largest or smallest number without branches."""
    return replace(MAP, imports=_import(module))


def _import(module: str) -> str:
    return f"from gradjit.vectormath import {module} as vm"


def _vectorised(name: str, count: int, module: str) -> Op:
    base = lookup(name)
    arguments = ", ".join(f"{{{k}}}" for k in range(count))
    return replace(
        base,
        name=f"vm.{name}",
        doc=f"{base.doc.rstrip('.')}, in a form that LLVM vectorises.",
        text=f"vm.{name}({arguments})",
        text32="",
        precedence=20,
        helper="",
        imports=_import(module),
        partials=None,
        why_not="it appears only after differentiation",
    )
