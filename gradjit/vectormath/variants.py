"""Functions in LLVM with versions for vectors.

The attribute "vector-function-abi-variant" names, for a scalar function, those that
take 2, 4, ... elements at once; the loop vectoriser calls them, without fastmath.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

# llvmlite has no types.
ir: Any = importlib.import_module("llvmlite.ir")

_DOUBLE: Any = ir.DoubleType()
_INDEX: Any = ir.IntType(32)
_VARIANTS = "vector-function-abi-variant"
# "readnone" is understood by all versions of LLVM, which write it as memory(none).
_PURE = ("nounwind", "willreturn", "readnone")


def declared(module: Any, name: str, kind: Any, count: int) -> Any:
    """A pure function of `count` numbers of a kind, as it stands in the module."""
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(kind, [kind] * count), name)
    attribute(function, *_PURE)
    return function


def attribute(function: Any, *names: str) -> None:
    """llvmlite checks names of attributes against a list that ours are not on."""
    for name in names:
        set[str].add(function.attributes, name)


def vary(module: Any, function: Any, versions: Mapping[int, Any]) -> None:
    """Name the versions of a function for numbers of lanes, if that is not done."""
    if not versions or any(_VARIANTS in a for a in function.attributes):
        return
    shape = "v" * len(function.args)
    mappings: list[str] = []
    for lanes, version in versions.items():
        mappings.append(f"_ZGV_LLVM_N{lanes}{shape}_{function.name}({version.name})")
        # Referred to, or it is dropped as unused before loops are vectorised.
        keep = ir.GlobalVariable(module, version.type, f"keep.{version.name}")
        keep.linkage = "weak_odr"
        keep.initializer = version
    attribute(function, f'"{_VARIANTS}"="{",".join(mappings)}"')


def patch(module: Any, limit: float, name: str) -> Any:
    """The function (x, y) that is y, but libm's function of x where |x| > limit.

    Its versions look whether any lane is that large, and only then go through them.
    """
    title = f"gradjit_{name}_beyond"
    if title in module.globals:
        return module.globals[title]
    libm = declared(module, name, _DOUBLE, 1)
    function = _patch(module, title, limit, libm, 1)
    attribute(function, "noinline")  # before loops are vectorised
    lanes = (2, 4, 8)
    versions = {n: _patch(module, f"{title}_{n}", limit, libm, n) for n in lanes}
    vary(module, function, versions)
    return function


def _patch(module: Any, title: str, limit: float, libm: Any, lanes: int) -> Any:
    kind = _DOUBLE if lanes == 1 else ir.VectorType(_DOUBLE, lanes)
    function = declared(module, title, kind, 2)
    function.linkage = "linkonce_odr"
    x, y = function.args
    entry, large, rest = (function.append_basic_block() for _ in range(3))
    builder = ir.IRBuilder(entry)
    over = builder.or_(
        builder.fcmp_ordered(">", x, _filled(kind, lanes, limit), flags=("afn",)),
        builder.fcmp_ordered("<", x, _filled(kind, lanes, -limit), flags=("afn",)),
    )
    some = over
    if lanes > 1:
        some = builder.bitcast(over, ir.IntType(lanes))
        some = builder.icmp_unsigned("!=", some, ir.IntType(lanes)(0))
    builder.cbranch(some, large, rest)
    builder.position_at_end(rest)
    builder.ret(y)
    builder.position_at_end(large)
    if lanes == 1:
        builder.ret(builder.call(libm, [x]))
        return function
    out = y
    for k in range(lanes):
        here = _INDEX(k)
        value = builder.call(libm, [builder.extract_element(x, here)])
        kept = builder.extract_element(y, here)
        value = builder.select(builder.extract_element(over, here), value, kept)
        out = builder.insert_element(out, value, here)
    builder.ret(out)
    return function


def _filled(kind: Any, lanes: int, value: float) -> Any:
    return kind(value) if lanes == 1 else kind([value] * lanes)
