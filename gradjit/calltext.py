"""Parts of the generated functions: tests of what came, expressions for what goes.

The lines test that arguments have the structure and the types of a signature, and
build the containers of the output; `fastcall` puts them together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradjit.ir.tree import Tree, is_plain
from gradjit.leaf import Spec


@dataclass(frozen=True, slots=True)
class Result:
    """Where a leaf of the output comes from.

    Attributes:
        source: "const", "leaf" (an argument), "result" (of the kernel), or "given"
            (all of what the caller gave as `out`).
        value: The constant, or a position.
        kind: What it is returned as: "float", "int", "bool" (Python's), "scalar"
            (NumPy's), "zero" (an array without axes) or "array".
        dtype: Of a scalar or zero.
        copy: Whether an array is returned as a copy.
        like: The leaf, an array, whose shape and element type it has.
    """

    source: str
    value: Any
    kind: str
    dtype: Any = None
    copy: bool = False
    like: int | None = None


@dataclass(slots=True)
class Text:
    """Lines of a function, and the objects that they name."""

    lines: list[str] = field(default_factory=list[str])
    names: dict[str, Any] = field(default_factory=dict[str, Any])
    count: int = 0

    def name(self, value: Any, hint: str) -> str:
        """A name for an object."""
        for known, other in self.names.items():
            if other is value:
                return known
        self.count += 1
        name = f"__{hint}_{self.count}"
        self.names[name] = value
        return name

    def compile(self, name: str) -> Callable[..., Any]:
        """The function that the lines define."""
        source = "\n".join(self.lines)
        namespace = self.names
        exec(compile(source, f"<gradjit call of {name}>", "exec"), namespace)
        return namespace["call"]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a call looks like.

    Attributes:
        tree: The structure of (args, kwargs, extras).
        specs: The leaves.
        pinned: Leaves whose value is part of the key.
        known: For each array leaf its extents, where the code knows them.
        strict: Whether an extent of 1 that the code does not know is a misfit (the
            code writes into arguments, so that a failed run cannot be repeated).
    """

    tree: Tree
    specs: tuple[Spec, ...]
    pinned: dict[int, int]
    known: dict[int, tuple[int | None, ...]]
    strict: bool


_CAST = {"float": "__float({})", "int": "__int({})", "bool": "__bool({})"}


def result_text(text: Text, result: Result, raw: bool) -> str:
    """The expression for a leaf of the output.

    Args:
        text: Where objects are named.
        result: The leaf.
        raw: Whether scalars come as Python numbers (compiled code gives those).
    """
    if result.source == "const":
        value = f"{text.name(result.value, 'const')}"
        if result.kind in _CAST:
            return value
    else:
        value = f"__{'l' if result.source == 'leaf' else 'r'}{result.value}"
    if result.kind == "scalar" and raw and result.dtype.kind != "b":
        # The quickest way from a Python number to NumPy's: as exact, and NaN stays NaN.
        return f"{text.name(result.dtype.type(1), result.dtype.name)} * {value}"
    if result.kind == "scalar":
        return f"{text.name(result.dtype.type, result.dtype.name)}({value})"
    if result.kind == "zero":
        array = text.name(np.array, "array")
        return f"{array}({value}, {text.name(result.dtype, 'dtype')})"
    if result.kind == "array":
        if result.source == "leaf" and not result.copy and not raw:
            return f"__o{result.value}"
        return f"{value}.copy()" if result.copy else value
    return value if raw else _CAST[result.kind].format(value)


def tree_text(text: Text, tree: Tree, leaves: Sequence[str]) -> str:
    """The expression that builds a container."""
    rest = iter(leaves)

    def build(t: Tree) -> str:
        if t.kind == "leaf":
            return next(rest)
        if t.kind == "static":
            assert t.static is not None
            value = t.static.value
            if value is None or value is True or value is False:
                return repr(value)
            return text.name(value, "static")
        inner = [build(c) for c in t.children]
        if t.kind == "tuple":
            return f"({''.join(f'{c}, ' for c in inner)})" if inner else "()"
        if t.kind == "list":
            return f"[{', '.join(inner)}]"
        if t.kind == "dict":
            return _dict_text(text, t, inner)
        cls = text.name(t.type, "cls")
        if t.kind == "namedtuple":
            return f"{cls}({', '.join(inner)})"
        rebuild = text.name(_rebuild, "rebuild")
        return f"{rebuild}({cls}, {t.names!r}, ({''.join(f'{c}, ' for c in inner)}))"

    return build(tree)


def _dict_text(text: Text, tree: Tree, inner: Sequence[str]) -> str:
    pairs = [f"{_key(text, k)}: {v}" for k, v in zip(tree.names, inner, strict=True)]
    plain = f"{{{', '.join(pairs)}}}"
    return plain if tree.type is dict else f"{text.name(tree.type, 'cls')}({plain})"


def _key(text: Text, key: Any) -> str:
    return repr(key) if type(key) in (str, int) else text.name(key, "key")


def _rebuild(cls: type[Any], names: Sequence[str], values: Sequence[Any]) -> Any:
    out = object.__new__(cls)
    for name, value in zip(names, values, strict=True):
        object.__setattr__(out, name, value)
    return out


def opened(text: Text, tree: Tree, expr: str, leaf: list[str], pad: str) -> list[str]:
    """Tests that `expr` is such a container; its leaves get the names l0, l1, ...

    Returns the lines; each test that fails ends in the slow path.
    """
    if tree.kind == "leaf":
        name = f"__l{len(leaf)}"
        leaf.append(name)
        return [] if name == expr else [f"{pad}{name} = {expr}"]
    if tree.kind == "static":
        return [f"{pad}if {_static_test(text, tree, expr)}: return __slow(ARGS)"]
    return _container_lines(text, tree, expr, leaf, pad)


def _static_test(text: Text, tree: Tree, expr: str) -> str:
    assert tree.static is not None
    value = tree.static.value
    if value is None or value is True or value is False:
        return f"{expr} is not {value!r}"
    known = text.name(value, "static")
    same = f"{expr} is not {known}"
    if not is_plain(value):
        return same
    kind = text.name(type(value), "kind")
    return f"{same} and (__type({expr}) is not {kind} or {expr} != {known})"


def _container_lines(
    text: Text, tree: Tree, expr: str, leaf: list[str], pad: str
) -> list[str]:
    cls = text.name(tree.type, "cls")
    text.count += 1
    inside = f"__c{text.count}"
    lines = [f"{pad}if __type({expr}) is not {cls}: return __slow(ARGS)"]
    if not expr.isidentifier():
        lines = [f"{pad}{inside} = {expr}", lines[0].replace(expr, inside)]
        expr = inside
    if tree.kind in ("tuple", "list", "dict"):
        test = f"{pad}if __len({expr}) != {len(tree.children)}: return __slow(ARGS)"
        lines.append(test)
    if tree.kind == "dataclass":
        lines += _no_more_fields(tree, expr, pad)
    steps = tree.steps()
    if tree.kind == "dict":
        steps = [f"[{_key(text, k)}]" for k in tree.names]
    for step, child in zip(steps, tree.children, strict=True):
        lines += opened(text, child, f"{expr}{step}", leaf, pad)
    return lines


def _no_more_fields(tree: Tree, expr: str, pad: str) -> list[str]:
    if tree.type is None or not hasattr(tree.type, "__dict__"):
        return []
    if "__slots__" in vars(tree.type) and "__dict__" not in dir(tree.type):
        return []
    return [f"{pad}if len({expr}.__dict__) != {len(tree.names)}: return __slow(ARGS)"]


def leaf_tests(text: Text, shape: Shape, captured: Sequence[str]) -> list[str]:
    """Conditions under which the leaves do not fit."""
    tests: list[str] = []
    for k, spec in enumerate(shape.specs):
        name = f"__l{k}"
        if spec.kind in ("float", "int"):
            tests.append(f"__type({name}) is not __{spec.kind}")
        elif spec.kind == "array":
            # Numba takes subclasses for plain arrays; their operators may differ.
            tests.append(f"__type({name}) is not __ndarray")
        elif spec.kind == "scalar":
            cls = text.name(spec.dtype.type, spec.dtype.name)
            tests.append(f"type({name}) is not {cls}")
        if k in shape.pinned:
            tests.append(f"{name} != {shape.pinned[k]}")
        known = shape.known.get(k, ())
        if known and None not in known:
            tests.append(f"{name}.shape != {known}")
        else:
            tests += [
                f"{name}.shape[{axis}] != {n}"
                for axis, n in enumerate(known)
                if n is not None
            ]
            if shape.strict:
                tests += [
                    f"{name}.shape[{axis}] == 1"
                    for axis, n in enumerate(known)
                    if n is None
                ]
    return [*tests, *captured]
