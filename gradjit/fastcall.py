"""The Python function that stands between a call and the compiled code.

It is written for one signature: it takes the containers apart, tests only what Numba's
own dispatch cannot (a float that is a float, structure, pinned integers, extents that
are known to be 1, captured globals), calls, and builds the result. Anything that does
not fit goes to `slow`, which finds or compiles what does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradjit.errors import ShapeError
from gradjit.ir.tree import Tree, is_plain
from gradjit.leaf import Spec


@dataclass(frozen=True, slots=True)
class Result:
    """Where a leaf of the output comes from.

    Attributes:
        source: "const", "leaf" (an argument), or "result" (of the kernel).
        value: The constant, or a position.
        kind: What it is returned as: "float", "int", "bool" (Python's), "scalar"
            (NumPy's), "zero" (an array without axes) or "array".
        dtype: Of a scalar or zero.
        copy: Whether an array is returned as a copy.
    """

    source: str
    value: Any
    kind: str
    dtype: Any = None
    copy: bool = False


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


@dataclass(frozen=True, slots=True)
class Header:
    """Parameters of the generated function, as the user's function has them.

    Attributes:
        text: Between the parentheses of `def`.
        parts: Expressions, and the structure that each is expected to have.
        forward: How all of it is passed on.
        test: A condition under which nothing fits, or "".
    """

    text: str
    parts: tuple[tuple[str, Tree], ...]
    forward: str
    test: str = ""


def plain_header(
    signature: inspect.Signature | None, tree: Tree, text: Text
) -> Header | None:
    """Named parameters with their defaults; None where there are stars."""
    if signature is None:
        return None
    params = list(signature.parameters.values())
    kinds = inspect.Parameter
    if any(p.kind in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD) for p in params):
        return None
    if any(p.name.startswith("__") for p in params):
        return None
    named = [p.name for p in params if p.kind is kinds.KEYWORD_ONLY]
    args = [p.name for p in params if p.kind is not kinds.KEYWORD_ONLY]
    own, keywords, _ = tree.children
    if len(own.children) != len(args) or set(keywords.names) != set(named):
        return None
    parts = [*zip(args, own.children, strict=True)]
    parts += zip(keywords.names, keywords.children, strict=True)
    forward = ", ".join([*args, *(f"{k}={k}" for k in named)])
    return Header(_parameters(params, text), tuple(parts), forward)


def _parameters(params: Sequence[inspect.Parameter], text: Text) -> str:
    kinds = inspect.Parameter
    items: list[str] = []
    before: Any = None
    for p in params:
        if before is kinds.POSITIONAL_ONLY and p.kind is not before:
            items.append("/")
        if p.kind is kinds.KEYWORD_ONLY and before is not p.kind:
            items.append("*")
        before = p.kind
        default = ""
        if p.default is not kinds.empty:
            text.count += 1
            text.names[f"__default_{text.count}"] = p.default
            default = f"=__default_{text.count}"
        items.append(p.name + default)
    return ", ".join(items + ["/"] * (before is kinds.POSITIONAL_ONLY))


def star_header(tree: Tree, layout: str) -> Header:
    """Any arguments, tested by their number.

    Args:
        tree: The structure of (args, kwargs, extras).
        layout: Whether the function's arguments come one by one ("own", "trailing":
            with the extras behind them) or as one tuple ("packed": with another one of
            the extras, "pullback": with one extra).
    """
    args, kwargs, extras = tree.children
    packed = layout in ("packed", "pullback")
    positional = [args] if packed else list(args.children)
    positional += [extras] if layout == "packed" else extras.children
    parts = [(f"args[{i}]", child) for i, child in enumerate(positional)]
    keywords = [
        (f"kwargs[{k!r}]", child)
        for k, child in zip(kwargs.names, kwargs.children, strict=True)
    ]
    first = 1 if packed else len(args.children)
    ordered = (*parts[:first], *keywords, *parts[first:])
    test = f"__len(args) != {len(parts)} or __len(kwargs) != {len(keywords)}"
    return Header("*args, **kwargs", ordered, "*args, **kwargs", test)


@dataclass(frozen=True, slots=True)
class Site:
    """All that the generated function needs.

    Attributes:
        name: The user's function, for tracebacks.
        header: Its parameters.
        shape: What the call looks like.
        arguments: Expressions for what the kernel is called with.
        guards: Conditions under which captured values have changed.
        overlaps: Pairs of expressions, of which the first is written into.
        count: How many values the kernel returns.
        results: The leaves of the output.
        output: Its structure.
    """

    name: str
    header: Header
    shape: Shape
    arguments: tuple[str, ...]
    guards: tuple[str, ...]
    overlaps: tuple[tuple[str, str], ...]
    count: int
    results: tuple[Result, ...]
    output: Tree


_BUILTINS: dict[str, Any] = {
    "__type": type,
    "__len": len,
    "__float": float,
    "__int": int,
    "__bool": bool,
    "__ndarray": np.ndarray,
    "__shares": np.may_share_memory,
    "__TypeError": TypeError,
    "__KeyError": KeyError,
    "__AttributeError": AttributeError,
    "__OverflowError": OverflowError,
    "__MemoryError": MemoryError,
    "__ValueError": ValueError,
    "__ShapeError": ShapeError,
    "__Interrupted": InterruptedError,
    "__KeyboardInterrupt": KeyboardInterrupt,
}

# Structure that is not as expected, or leaves that the compiled code does not take. A
# ValueError is a failed check of extents: the slow way repeats it, with what it knows.
_MISFITS = "__TypeError, __KeyError, __AttributeError, __OverflowError"


# What compiled code raises for a signal: Numba knows no KeyboardInterrupt.
_INTERRUPT = [
    "    except __Interrupted:",
    "        raise __KeyboardInterrupt from None",
]


def fast_call(site: Site, text: Text, kernel: Any, slow: Any) -> Callable[..., Any]:
    """The function that a call of this shape goes through.

    Args:
        site: What is called, and how.
        text: Names that the site's expressions use.
        kernel: The compiled code.
        slow: Called with the arguments where they do not fit.
    """
    text.names.update(_BUILTINS, __kernel=kernel, __slow=slow)
    header = site.header
    lines = [f"def call({header.text}):"]
    if header.test:
        lines.append(f"    if {header.test}: return __slow(ARGS)")
    lines.append("    try:")
    leaf: list[str] = []
    for expr, child in header.parts:
        lines += opened(text, child, expr, leaf, " " * 8)
    tests = leaf_tests(text, site.shape, site.guards)
    tests += [f"__shares({a}, {b})" for a, b in site.overlaps]
    if tests:
        lines.append(f"        if {' or '.join(tests)}: return __slow(ARGS)")
    lines.append(f"        {_call_text(site)}")
    more = ", __MemoryError" + ("" if site.shape.strict else ", __ValueError")
    lines.append(f"    except ({_MISFITS}{more}):")
    lines.append("        return __slow(ARGS)")
    lines += _INTERRUPT
    if site.shape.strict:
        lines.append("    except __ValueError as error:")
        lines.append("        raise __ShapeError(str(error)) from None")
    lines.append(f"    return {_output_text(text, site, raw=True)}")
    text.lines = [line.replace("ARGS", header.forward) for line in lines]
    return text.compile(site.name)


def plain_call(site: Site, text: Text, kernel: Any) -> Callable[..., Any]:
    """The function of canonical leaves, and of the leaves as the caller has them."""
    text.names.update(_BUILTINS, __kernel=kernel)
    count = len(site.shape.specs)
    names = "".join(f"__l{k}, " for k in range(count))
    given = "".join(f"__o{k}, " for k in range(count))
    text.lines = ["def call(leaves, given):"]
    if count:
        text.lines += [f"    {names}= leaves", f"    {given}= given"]
    text.lines += [
        "    try:",
        f"        {_call_text(site)}",
        *_INTERRUPT,
        f"    return {_output_text(text, site, raw=False)}",
    ]
    return text.compile(site.name)


def _call_text(site: Site) -> str:
    call = f"__kernel({', '.join(site.arguments)})"
    if site.count == 0:
        return call
    return f"{', '.join(f'__r{k}' for k in range(site.count))} = {call}"


def _output_text(text: Text, site: Site, raw: bool) -> str:
    exprs = [result_text(text, r, raw) for r in site.results]
    return tree_text(text, site.output, exprs)
