"""The Python function that stands between a call and the compiled code.

It is written for one signature: it takes the containers apart, tests only what Numba's
own dispatch cannot (a float that is a float, structure, pinned integers, extents that
are known to be 1, captured globals), calls, and builds the result. Anything that does
not fit goes to `slow`, which finds or compiles what does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradjit.calltext import (
    Result,
    Shape,
    Text,
    leaf_tests,
    opened,
    result_text,
    tree_text,
)
from gradjit.errors import ShapeError
from gradjit.ir.tree import Static, Tree
from gradjit.leaf import meet


@dataclass(frozen=True, slots=True)
class Header:
    """Parameters of the generated function, as the user's function has them.

    Attributes:
        text: Between the parentheses of `def`.
        parts: Expressions, and the structure that each is expected to have.
        forward: How all of it is passed on.
        test: A condition under which nothing fits, or "".
        out: The container of arrays that the caller gave for the gradient.
    """

    text: str
    parts: tuple[tuple[str, Tree], ...]
    forward: str
    test: str = ""
    out: str = "out"


_NO_OUT = Tree("static", static=Static(None))


def plain_header(
    signature: inspect.Signature | None, tree: Tree, text: Text, takes_out: bool
) -> Header | None:
    """Named parameters with their defaults; None where there are stars.

    Args:
        signature: Of the user's function.
        tree: The structure of (args, kwargs, extras).
        text: Where objects are named.
        takes_out: Whether there is a keyword `out` as well, for what is in the extras.
    """
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
    own, keywords, extras = tree.children
    if len(own.children) != len(args) or set(keywords.names) != set(named):
        return None
    parts = [*zip(args, own.children, strict=True)]
    parts += zip(keywords.names, keywords.children, strict=True)
    if takes_out:
        params.append(inspect.Parameter("out", kinds.KEYWORD_ONLY, default=None))
        parts.append(("out", extras.children[0] if extras.children else _NO_OUT))
        named.append("out")
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
        layout: Whether the function's arguments come one by one ("own": with `out` as
            the only extra, if any; "trailing": with the extras behind them) or as one
            tuple ("packed": with another one of the extras, "pullback": with one
            extra).
    """
    args, kwargs, extras = tree.children
    packed = layout in ("packed", "pullback")
    positional = [args] if packed else list(args.children)
    if layout != "own":
        positional += [extras] if layout == "packed" else extras.children
    parts = [(f"args[{i}]", child) for i, child in enumerate(positional)]
    keywords = [
        (f"kwargs[{k!r}]", child)
        for k, child in zip(kwargs.names, kwargs.children, strict=True)
    ]
    out = "kwargs['out']"
    outs = [(out, child) for child in extras.children if layout == "own"]
    first = 1 if packed else len(args.children)
    ordered = (*parts[:first], *keywords, *parts[first:], *outs)
    count = len(keywords) + len(outs)
    test = f"__len(args) != {len(parts)} or __len(kwargs) != {count}"
    return Header("*args, **kwargs", ordered, "*args, **kwargs", test, out)


@dataclass(frozen=True, slots=True)
class Site:
    """All that the generated function needs.

    Attributes:
        name: The user's function, for tracebacks.
        header: Its parameters.
        shape: What the call looks like.
        arguments: Expressions for what the kernel is called with.
        guards: Conditions under which captured values have changed.
        written: Arrays that are written into.
        others: Arrays that are read.
        count: How many results the program has.
        given: Results that the kernel takes as arguments, with what makes them.
        results: The leaves of the output.
        output: Its structure.
    """

    name: str
    header: Header
    shape: Shape
    arguments: tuple[str, ...]
    guards: tuple[str, ...]
    written: tuple[str, ...]
    others: tuple[str, ...]
    count: int
    given: tuple[tuple[int, str], ...]
    results: tuple[Result, ...]
    output: Tree


_BUILTINS: dict[str, Any] = {
    "__type": type,
    "__len": len,
    "__float": float,
    "__int": int,
    "__bool": bool,
    "__ndarray": np.ndarray,
    "__empty": np.empty,
    "__zeros": np.zeros,
    "__shares": np.may_share_memory,
    "__meet": meet,
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
    if site.written:
        tests.append(_overlap_text(site.written, site.others))
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
    lines.append(f"    return {_output_text(text, site, header.out, raw=True)}")
    text.lines = [line.replace("ARGS", header.forward) for line in lines]
    return text.compile(site.name)


def _overlap_text(written: Sequence[str], others: Sequence[str]) -> str:
    if len(written) == len(others) == 1:
        (a,), (b,) = written, others
        # Arrays that own their memory are soon told apart.
        near = f"{a} is {b} or {a}.base is not None or {b}.base is not None"
        return f"({near} or not {a}.flags.owndata) and __shares({a}, {b})"
    both = ("".join(f"{name}, " for name in names) for names in (written, others))
    return "__meet({})".format(", ".join(f"({names})" for names in both))


def plain_call(site: Site, text: Text, kernel: Any) -> Callable[..., Any]:
    """The function of canonical leaves, and of the leaves as the caller has them."""
    text.names.update(_BUILTINS, __kernel=kernel)
    count = len(site.shape.specs)
    names = "".join(f"__l{k}, " for k in range(count))
    given = "".join(f"__o{k}, " for k in range(count))
    text.lines = ["def call(leaves, given, __out):"]
    if count:
        text.lines += [f"    {names}= leaves", f"    {given}= given"]
    text.lines += [
        "    try:",
        f"        {_call_text(site)}",
        *_INTERRUPT,
        f"    return {_output_text(text, site, '__out', raw=False)}",
    ]
    return text.compile(site.name)


def _call_text(site: Site) -> str:
    made = "".join(f"__r{k} = {expr}; " for k, expr in site.given)
    given = [f"__r{k}" for k, _ in site.given]
    call = f"{made}{{}}__kernel({', '.join((*site.arguments, *given))})"
    rest = [f"__r{k}" for k in range(site.count) if f"__r{k}" not in given]
    return call.format(f"{', '.join(rest)} = " if rest else "")


def _output_text(text: Text, site: Site, out: str, raw: bool) -> str:
    exprs = [
        out if r.source == "given" else result_text(text, r, raw) for r in site.results
    ]
    return tree_text(text, site.output, exprs)
