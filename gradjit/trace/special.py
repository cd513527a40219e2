"""Builtins that mean something else while tracing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from gradjit.errors import UnsupportedError
from gradjit.ops.sym import Sym
from gradjit.trace import control, iterate
from gradjit.trace.builder import TraceBuilder, is_array, is_traced
from gradjit.trace.classes import example, is_instance
from gradjit.trace.handle import Handle
from gradjit.trace.outside import whole

Special = Callable[..., Any]


def _range(builder: TraceBuilder, *args: Any) -> Any:
    if any(isinstance(a, Sym) for a in args):
        return iterate.traced_range(*args)
    return range(*args)


def _independent(builder: TraceBuilder, *args: Any) -> Any:
    """numba.prange(...): what it runs over is independent."""
    traced = any(isinstance(a, Sym) for a in args)
    if not traced and len(range(*args)) <= 1:
        return range(*args)
    return iterate.traced_range(*args, parallel=True)


def _len(builder: TraceBuilder, x: Any) -> Any:
    if isinstance(x, iterate.Lazy):
        return x.traversal.count()
    if not isinstance(x, Sym):
        return len(x)
    if not x.ndim:
        raise TypeError("len() of a number")
    return x.shape[0]


def _isinstance(builder: TraceBuilder, x: Any, classes: Any) -> bool:
    return is_instance(x, classes)


def _getattr(builder: TraceBuilder, owner: Any, name: Any, *default: Any) -> Any:
    from gradjit.trace.runtime import attribute

    if default and not hasattr(owner, name):
        builder.guards.follow("attribute", owner, name, None)
        return default[0]
    return whole(builder, attribute(builder, owner, name))


def _hasattr(builder: TraceBuilder, owner: Any, name: Any) -> bool:
    found = hasattr(owner, name)
    value = getattr(owner, name) if found else None
    builder.guards.follow("attribute", owner, name, value)
    return found


def _type(builder: TraceBuilder, x: Any, *rest: Any) -> Any:
    made: Any = type
    return made(x, *rest) if rest else made(example(x))


def _print(builder: TraceBuilder, *args: Any, **kwargs: Any) -> None:
    _refuse_text(builder, "print", args)
    print(*args, **kwargs)


def _text(fn: Any) -> Special:
    def run(builder: TraceBuilder, *args: Any, **kwargs: Any) -> Any:
        _refuse_text(builder, fn.__name__, args)
        return fn(*args, **kwargs)

    return run


def _refuse_text(builder: TraceBuilder, name: str, args: Any) -> None:
    if is_traced(args):
        raise UnsupportedError(
            f"{name} of a traced value",
            builder.loc,
            "Return the value, and print or format it outside.",
        )


def _reduce(word: str) -> Special:
    def run(builder: TraceBuilder, items: Any) -> Any:
        out: Any = word == "and"
        for item in items:
            if isinstance(out, bool):
                out = item if out == (word == "and") else out
            else:
                out = control.connect(builder, word, out, [lambda item=item: item])
        return out if isinstance(out, Sym) else bool(out)

    return run


def _sorted(builder: TraceBuilder, items: Any, **kwargs: Any) -> Any:
    return builder.new(sorted(items, **kwargs))


def _container(kind: Any) -> Special:
    def run(builder: TraceBuilder, *args: Any, **kwargs: Any) -> Any:
        return builder.new(kind(*args, **kwargs))

    return run


def _accumulate(op: str) -> Special:
    def run(builder: TraceBuilder, x: Any, key: Any, value: Any) -> None:
        if is_array(x):
            x = builder.outside(x)
        if not isinstance(x, Handle):
            raise UnsupportedError(f"np.{op}.at needs an array", builder.loc)
        x.accumulate(key, -value if op == "subtract" else value)

    return run


def _without_builder(fn: Any) -> Special:
    def run(builder: TraceBuilder, *args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return run


_SPECIAL: dict[Any, Special] = {
    range: _range,
    len: _len,
    isinstance: _isinstance,
    getattr: _getattr,
    hasattr: _hasattr,
    type: _type,
    print: _print,
    str: _text(str),
    repr: _text(repr),
    format: _text(format),
    any: _reduce("or"),
    all: _reduce("and"),
    sorted: _sorted,
    enumerate: _without_builder(iterate.traced_enumerate),
    zip: _without_builder(iterate.traced_zip),
    reversed: _without_builder(iterate.traced_reversed),
    list: _container(list),
    tuple: _container(tuple),
    dict: _container(dict),
    set: _container(set),
    np.add.at: _accumulate("add"),
    np.subtract.at: _accumulate("subtract"),
}


def special(fn: Any) -> Special | None:
    try:
        found = _SPECIAL.get(fn)
    except TypeError:
        return None
    return _independent if found is None and fn is _prange() else found


def _prange() -> Any:
    """numba.prange, if Numba is there."""
    numba = sys.modules.get("numba")
    return getattr(numba, "prange", None)
