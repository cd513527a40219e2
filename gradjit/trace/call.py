"""What calling something means while tracing.

Functions of the surface (NumPy, math, scipy.special, builtins) are replaced by their
implementation on symbols. The user's own Python functions are rewritten and traced in
their turn, methods, closures and `numba.njit` functions included. The rest runs as it
is, as long as no traced value goes into it.
"""

from __future__ import annotations

import collections
import functools
import os
import random
import sys
import sysconfig
from collections.abc import Iterator
from types import BuiltinMethodType, FunctionType, MethodType, ModuleType
from typing import Any
from typing import cast as typed

import numpy as np

from gradjit.errors import GradjitError, UnsupportedError
from gradjit.ir.types import ScalarType
from gradjit.ops.surface import Function, cast, lookup_function
from gradjit.ops.sym import Sym
from gradjit.trace import concrete, iterate, recode
from gradjit.trace.builder import TraceBuilder, is_array, is_traced, items_in
from gradjit.trace.classes import class_of
from gradjit.trace.outside import whole
from gradjit.trace.special import special

DEPTH_LIMIT = 100

_LIBRARIES = tuple(
    os.path.realpath(p) + os.sep
    for p in {
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("platstdlib"),
        sysconfig.get_path("purelib"),
        sysconfig.get_path("platlib"),
        os.path.dirname(np.__path__[0]),
    }
    if p
)
# gradjit's own functions run as they are.
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_GENERATED = ("<frozen", "<attrs", "<__array_function__")
_GROWING = frozenset(
    {
        *("append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse"),
        *("add", "discard", "popitem", "setdefault", "update"),
    }
)
# Modules whose functions only move values about.
_PASSING = frozenset(
    {
        "operator",
        "_operator",
        "itertools",
        "functools",
        "_functools",
        "collections",
        "_collections",
        "copy",
        "dataclasses",
        "builtins",
        "typing",
        "contextlib",
        "types",
        "_abc",
        "abc",
        "enum",
    }
)


def call(
    builder: TraceBuilder, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """fn(*args, **kwargs)."""
    replaced = special(fn)
    if replaced is not None:
        return replaced(builder, *args, **kwargs)
    inline = getattr(fn, "__gradjit_inline__", None)
    if inline is not None and not isinstance(fn, Sym | type):
        return inline(*args, **kwargs)
    record = lookup_function(fn)
    if record is not None:
        return _surface(record, fn, args, kwargs)
    fn = getattr(fn, "py_func", fn)
    if isinstance(fn, MethodType):
        return _method(builder, fn, args, kwargs)
    if isinstance(fn, FunctionType):
        return _function(builder, fn, args, kwargs)
    if isinstance(fn, functools.partial):
        given = _read(builder, fn, "args"), _read(builder, fn, "keywords")
        return call(builder, fn.func, (*given[0], *args), {**given[1], **kwargs})
    if isinstance(fn, type):
        return _class(builder, fn, args, kwargs)
    if isinstance(fn, Function):
        return fn(*args, **kwargs)
    return _other(builder, fn, args, kwargs)


def _surface(
    record: Function, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """A function of the surface; on plain numbers it is left to the library."""
    if _is_python(fn):
        # These run over iterators, which can be done once.
        args = tuple(map(_collected, args))
    if record.makes or _is_data(args) or _is_data(kwargs):
        out = record(*args, **kwargs)
        return out if _is_python(fn) else _own_float(out)
    with np.errstate(all="ignore"):
        value = fn(*args, **kwargs)
    return record(*args, **kwargs) if isinstance(value, np.ndarray) else value


def _is_python(fn: Any) -> bool:
    return getattr(fn, "__module__", "") in ("builtins", "math")


def _own_float(x: Any) -> Any:
    """NumPy's functions make a float64 of a Python float, which does not yield."""
    kind = x.type if isinstance(x, Sym) else None
    if isinstance(kind, ScalarType) and kind.weak and kind.dtype.kind == "f":
        return cast(x, kind.dtype)
    return x


def _collected(x: Any) -> Any:
    """The items of an iterator, which can be run over more than once."""
    return tuple(typed("Iterator[Any]", x)) if isinstance(x, Iterator) else x


def _is_data(x: Any) -> bool:
    """Whether something holds traced values, or arrays whose elements may change."""
    if isinstance(x, Sym | np.ndarray | iterate.Lazy):
        return True
    return any(_is_data(i) for i in items_in(x))


# ---------------------------------------------------------------- Python functions


def _function(
    builder: TraceBuilder,
    fn: FunctionType,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    if recode.is_rewritten(fn):
        return _enter(builder, fn, fn, args, kwargs)
    if fn.__code__.co_filename.startswith(_OURS):
        return fn(*args, **kwargs)
    wrapped = getattr(fn, "__wrapped__", None)
    if is_library(fn):
        if isinstance(wrapped, FunctionType) and not is_library(wrapped):
            return _function(builder, wrapped, args, kwargs)
        return _library(builder, fn, args, kwargs)
    return _enter(builder, traced_version(builder, fn), fn, args, kwargs)


def traced_version(builder: TraceBuilder, fn: FunctionType) -> FunctionType:
    """The function, rewritten, with what it reads from outside noted."""
    from gradjit.trace.runtime import Runtime

    found = recode.rewritten(fn)
    for name in sorted(found.globals_read):
        if name in fn.__globals__:
            builder.guards.note("global", fn.__globals__, name, fn.__globals__[name])
    for cell in fn.__closure__ or ():
        try:
            builder.guards.note("cell", cell, None, cell.cell_contents)
        except ValueError:
            continue
    new = recode.instantiate(fn, Runtime(found.source))
    new.__defaults__ = _read(builder, fn, "__defaults__")
    new.__kwdefaults__ = _read(builder, fn, "__kwdefaults__")
    return new


def _read(builder: TraceBuilder, owner: Any, name: str) -> Any:
    """A container that a function from outside carries, read as a whole."""
    value = getattr(owner, name)
    if value and not is_traced(value):
        builder.guards.note("attribute", owner, name, value)
    return whole(builder, value)


def _enter(
    builder: TraceBuilder,
    traced: FunctionType,
    fn: FunctionType,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Run rewritten code, not deeper than the limit."""
    if builder.depth >= DEPTH_LIMIT:
        _refuse_depth(builder, fn)
    builder.depth += 1
    try:
        return traced(*args, **kwargs)
    finally:
        builder.depth -= 1


def _refuse_depth(builder: TraceBuilder, fn: FunctionType) -> None:
    """Recursion that a run-time condition would end: pin what it depends on."""
    for scope in builder.scopes:
        if scope.kind == "branch" and scope.pred is not None:
            try:
                concrete.require(builder, scope.pred, "bool")
            except GradjitError:
                break
            raise concrete.Restart
    raise UnsupportedError(
        f"{fn.__qualname__} calls itself more than {DEPTH_LIMIT} times deep",
        builder.loc,
        "Write the recursion as a loop: its depth has to be known while tracing.",
    )


def is_library(fn: Any) -> bool:
    """Whether a function belongs to an installed library or to Python."""
    code = getattr(fn, "__code__", None)
    file = code.co_filename if code is not None else ""
    if file.startswith("<"):
        generated = fn.__name__.startswith("__") and fn.__name__.endswith("__")
        return generated or file.startswith(_GENERATED)
    return os.path.realpath(file).startswith(_LIBRARIES)


def _library(
    builder: TraceBuilder, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    module = (getattr(fn, "__module__", None) or "").split(".")[0]
    generated = fn.__code__.co_filename.startswith("<")
    if generated or module in _PASSING or not _is_data((args, kwargs)):
        return builder.new(fn(*args, **kwargs))
    raise _refusal(builder, fn)


def _method(
    builder: TraceBuilder, fn: MethodType, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    own = fn.__self__
    if isinstance(own, Sym):
        return fn(*args, **kwargs)
    if _random(fn):
        raise _refusal(builder, fn)
    if builder.birth(own) == 0 and not isinstance(own, type):
        builder.guards.note("attribute", own, None, own)
    return call(builder, fn.__func__, (own, *args), kwargs)


def _class(
    builder: TraceBuilder, cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """A new object; the user's own __init__ is traced."""
    init = cls.__init__
    if isinstance(init, FunctionType) and not is_library(init):
        thing = builder.new(cls.__new__(cls, *args, **kwargs))
        if type(thing) is cls:
            call(builder, init, (thing, *args), kwargs)
        return thing
    passing = cls.__module__.split(".")[0] in _PASSING or not _is_data((args, kwargs))
    if passing or not _from_library(cls) or issubclass(cls, BaseException):
        return builder.new(cls(*_callable_args(builder, args), **kwargs))
    raise _refusal(builder, cls)


def _from_library(cls: Any) -> bool:
    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None) or ""
    return os.path.realpath(file).startswith(_LIBRARIES)


def own_property(owner: Any, name: str) -> FunctionType | None:
    """The user's function behind a property."""
    if isinstance(owner, Sym | ModuleType):
        return None
    kind = class_of(owner)
    found = getattr(kind, name, None)
    getter = found.fget if isinstance(found, property) else None
    if isinstance(getter, FunctionType) and not is_library(getter):
        return getter
    return None


def own_method(owner: Any, name: str) -> FunctionType | None:
    """The user's own special method, if a class of theirs has it."""
    kind = class_of(owner)
    found = getattr(kind, name, None)
    if isinstance(found, FunctionType) and not is_library(found):
        return found
    return None


# -------------------------------------------------------------------- the rest


def _other(
    builder: TraceBuilder, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Built-in functions and methods, and objects that can be called."""
    own = getattr(fn, "__self__", None)
    if isinstance(fn, BuiltinMethodType) and not isinstance(own, ModuleType | None):
        return _builtin_method(builder, fn, own, args, kwargs)
    caller = own_method(fn, "__call__")
    if caller is not None:
        return call(builder, caller, (fn, *args), kwargs)
    wrapped = getattr(fn, "__wrapped__", None)
    if isinstance(wrapped, FunctionType) and not is_library(wrapped):
        return call(builder, wrapped, args, kwargs)
    module = (getattr(fn, "__module__", None) or type(fn).__module__).split(".")[0]
    passing = module in _PASSING and not isinstance(fn, np.ufunc)
    if _random(fn) or (not passing and _is_data((args, kwargs))):
        raise _refusal(builder, fn)
    return builder.new(fn(*_callable_args(builder, args), **kwargs))


def _builtin_method(
    builder: TraceBuilder, fn: Any, own: Any, args: Any, kwargs: Any
) -> Any:
    """A method of a list, a dict, a string or of another built-in type."""
    kind = class_of(own)
    if issubclass(kind, list | tuple | dict | set | collections.deque):
        return _container_method(builder, fn, own, args, kwargs)
    if is_array(own):
        record = getattr(builder.outside(own), fn.__name__, None)
        if record is not None:
            return record(*args, **kwargs)
    if _random(fn) or _is_data((args, kwargs)):
        raise _refusal(builder, fn)
    return fn(*args, **kwargs)


def _container_method(
    builder: TraceBuilder, fn: Any, own: Any, args: Any, kwargs: Any
) -> Any:
    """A method of a list, a tuple, a dict, a set or a deque."""
    if builder.guards.is_outside(own):
        if fn.__name__ in _GROWING:
            raise UnsupportedError(
                f"a {class_of(own).__name__} from outside of the function is changed",
                builder.loc,
                "Make it inside, or return what is added.",
            )
        if isinstance(own, dict) and fn.__name__ == "get" and args and args[0] in own:
            builder.guards.follow("item", own, args[0], own[args[0]])
            return whole(builder, own[args[0]])
        fn = getattr(whole(builder, own), fn.__name__)
    elif fn.__name__ in _GROWING:
        what = f"a {class_of(own).__name__} changes its length ({fn.__name__})"
        builder.require_growable(own, what)
    return builder.new(fn(*args, **kwargs))


def _random(fn: Any) -> bool:
    """Whether calling it draws random numbers."""
    own = getattr(fn, "__self__", None)
    if isinstance(own, np.random.Generator | np.random.RandomState):
        return True
    return isinstance(own, random.Random)


def _refusal(builder: TraceBuilder, fn: Any) -> UnsupportedError:
    name = spelled(fn)
    if _random(fn):
        return UnsupportedError(
            f"{name} draws random numbers",
            builder.loc,
            "Draw them outside, and pass them in as an array.",
        )
    return UnsupportedError(
        f"{name} is not supported: it is called with a traced value",
        builder.loc,
        "Write it with supported functions (docs/ops.md), or call it outside and pass "
        "the result in.",
    )


def spelled(fn: Any) -> str:
    """A callable's name, as users write it."""
    name = getattr(fn, "__qualname__", None) or getattr(fn, "__name__", None)
    if name is None:
        return repr(fn)
    if isinstance(fn, np.ufunc) and not hasattr(np, fn.__name__):
        return f"scipy.special.{name}"
    module = getattr(fn, "__module__", None) or ""
    module = {"numpy": "np", "builtins": "", "__main__": ""}.get(module, module)
    if module.startswith("numpy."):
        module = "np" + module[5:]
    if isinstance(fn, np.ufunc):
        module = "np"
    own = getattr(fn, "__self__", None)
    if isinstance(own, np.ufunc):
        return f"np.{own.__name__}.{fn.__name__}"
    if own is not None and not isinstance(own, ModuleType | type):
        module = ""
    return f"{module}.{name}" if module else str(name)


def _callable_args(builder: TraceBuilder, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Functions among the arguments, so that they are traced when called."""
    return tuple(traceable(builder, a) for a in args)


def traceable(builder: TraceBuilder, fn: Any) -> Any:
    """A function that Python calls for us."""
    if isinstance(fn, FunctionType | MethodType) and not is_library(fn):

        def run(*args: Any, **kwargs: Any) -> Any:
            return call(builder, fn, args, kwargs)

        return run
    return fn
