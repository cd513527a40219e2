"""What rewritten code calls: `__gj__`.

There is one for each rewritten function, so that a line number is a place. The methods
find the builder that is current and hand on to the parts of the tracer.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from gradjit.errors import GradjitError, Loc, UnsupportedError
from gradjit.ir.build import current
from gradjit.ops.sym import METHODS, Sym
from gradjit.trace import branch, concrete, control, inplace, loops
from gradjit.trace import call as calls
from gradjit.trace.branch import Get, Put
from gradjit.trace.builder import (
    UNDEF,
    TraceBuilder,
    is_array,
    is_number,
    is_traced,
)
from gradjit.trace.classes import class_of
from gradjit.trace.handle import Handle
from gradjit.trace.merge import MaybeValue, Poison
from gradjit.trace.outside import whole
from gradjit.trace.region import Body
from gradjit.trace.source import Source

Thunk = Callable[[], Any]

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "is_": operator.is_,
    "is_not": operator.is_not,
    "in_": lambda a, b: control.contains(_builder(), a, b),
    "not_in": lambda a, b: control.negation(
        _builder(), control.contains(_builder(), a, b)
    ),
}

# Attributes of arrays from outside that are part of the program.
_STRUCTURE = frozenset({"shape", "ndim", "size", "dtype", "itemsize", "nbytes"})
_MUTABLE = (list, dict, set)


def _builder() -> TraceBuilder:
    return current()  # type: ignore[return-value]


class Runtime:
    """The runtime of one source file."""

    undef = UNDEF
    slice = slice

    def __init__(self, source: Source) -> None:
        self.source = source

    def at(self, line: int) -> TraceBuilder:
        """Set the place of what is traced next."""
        builder = _builder()
        builder.loc = self.source.loc(line)
        return builder

    # -------------------------------------------------------------------- names

    def load(self, name: str, value: Any) -> Any:
        """The value of a name that some path may have left unbound."""
        if value is UNDEF:
            raise _unbound(name)
        return checked(f"the name {name!r}", value)

    def result(self, value: Any) -> Any:
        """What a function with several returns gives back."""
        return None if value is UNDEF else checked("the returned value", value)

    def named(self, name: str, value: Any) -> Any:
        """The value, named after the variable it is assigned to."""
        control.mark(value, name)
        return value

    def delete(self, line: int, name: str, value: Any) -> Any:
        """`del name`."""
        self.at(line)
        if is_traced(value):
            raise _refusal(
                f"del of the traced name {name!r}",
                "Leave it out: memory is freed when a value is not needed any more.",
            )
        return UNDEF

    def new(self, thing: Any) -> Any:
        return _builder().new(thing)

    def made(self, thing: Any) -> Any:
        """What an operator has made, which may be a container."""
        return _builder().new(thing) if isinstance(thing, _MUTABLE) else thing

    def whole(self, value: Any) -> Any:
        """A value of which all that is inside may be read."""
        return whole(_builder(), value)

    # --------------------------------------------------------------- attributes

    def attr(self, owner: Any, name: str) -> Any:
        """`owner.name`."""
        return attribute(_builder(), owner, name)

    def set_attr(self, line: int, owner: Any, name: str, value: Any) -> None:
        """`owner.name = value`."""
        builder = self.at(line)
        if isinstance(owner, Sym):
            raise _refusal(
                f"the attribute {name!r} of an array is assigned",
                "Make a new array: x.reshape(shape), x.astype(dtype).",
            )
        _refuse_outside(builder, owner, f"the attribute {name!r} of")
        if hasattr(owner, "__dict__"):
            builder.log(owner, name, attribute=True)
        setattr(owner, name, value)

    def aug_attr(self, line: int, op: str, owner: Any, name: str, value: Any) -> None:
        """`owner.name op= value`."""
        old = self.attr(owner, name)
        self.set_attr(line, owner, name, self.aug(line, op, old, value))

    # --------------------------------------------------------------- subscripts

    def item(self, line: int, owner: Any, key: Any) -> Any:
        """`owner[key]`."""
        builder = self.at(line)
        if is_array(owner):
            return builder.outside(owner)[key]
        if isinstance(owner, Sym):
            return owner[key]
        getter = calls.own_method(owner, "__getitem__")
        if getter is not None:
            return calls.call(builder, getter, (owner, key), {})
        if isinstance(key, Sym):
            key = builder.concrete(key, "int")
        value = owner[key]
        if isinstance(key, slice):
            self.whole(owner)
            if type(value) is list:
                builder.new(value)
        elif isinstance(owner, list | tuple | dict):
            builder.guards.follow("item", owner, key, value)
        return checked(f"the item {key!r}", value)

    def set_item(self, line: int, owner: Any, key: Any, value: Any) -> None:
        """`owner[key] = value`."""
        builder = self.at(line)
        if is_array(owner):
            owner = builder.outside(owner)
        if isinstance(owner, Handle):
            owner[key] = value
            return
        if isinstance(owner, Sym):
            raise _refusal(
                f"an element of a number ({owner.type}) is assigned",
                "0-d arrays are numbers here: assign the name instead.",
            )
        _refuse_outside(builder, owner, "an item of")
        if isinstance(key, Sym):
            key = builder.concrete(key, "int")
        self._log_item(builder, owner, key)
        owner[key] = value

    def _log_item(self, builder: TraceBuilder, owner: Any, key: Any) -> None:
        kind = class_of(owner)
        if issubclass(kind, dict) and key not in owner:
            builder.require_growable(owner, "a dict gets a new key")
        if issubclass(kind, list) and type(key) is slice:
            builder.require_growable(owner, "a slice of a list is assigned")
            return
        if issubclass(kind, list) and isinstance(key, int) and key < 0:
            key += len(owner)
        if issubclass(kind, list | dict):
            builder.log(owner, key, attribute=False)

    def del_item(self, line: int, owner: Any, key: Any) -> None:
        """`del owner[key]`."""
        builder = self.at(line)
        if isinstance(owner, Sym):
            raise _refusal(
                "del of an element of an array", "Use np.delete, or copy what is left."
            )
        _refuse_outside(builder, owner, "an item of")
        builder.require_growable(owner, "an item of a container is deleted")
        del owner[key]

    # ------------------------------------------------------ augmented assignment

    def aug(self, line: int, op: str, old: Any, value: Any) -> Any:
        """`old op= value`, the new value of the name."""
        builder = self.at(line)
        if is_array(old):
            old = builder.outside(old)
        if isinstance(old, Handle):
            inplace.update(builder, old, op, value)
            return old
        if isinstance(old, list | set | dict) and not isinstance(value, Sym):
            _refuse_outside(builder, old, "a container is changed:")
            builder.require_growable(old, "a container changes its length")
        if isinstance(old, Sym) or is_number(old):
            return getattr(operator, op)(old, value)
        return getattr(operator, f"i{op.rstrip('_')}")(old, value)

    def aug_item(self, line: int, op: str, owner: Any, key: Any, value: Any) -> None:
        """`owner[key] op= value`."""
        builder = self.at(line)
        if is_array(owner):
            owner = builder.outside(owner)
        if not isinstance(owner, Handle):
            if isinstance(owner, Sym) or isinstance(key, Sym):
                key = builder.concrete(key, "int") if isinstance(key, Sym) else key
            old = self.item(line, owner, key)
            self.set_item(line, owner, key, self.aug(line, op, old, value))
            return
        inplace.update_item(owner, key, op, value)

    # -------------------------------------------------------------------- logic

    def and_(self, line: int, first: Any, *rest: Thunk) -> Any:
        return control.connect(self.at(line), "and", first, rest)

    def or_(self, line: int, first: Any, *rest: Thunk) -> Any:
        return control.connect(self.at(line), "or", first, rest)

    def not_(self, x: Any) -> Any:
        return control.negation(_builder(), x)

    def clear(self, *flags: Any) -> Any:
        return control.clear(_builder(), flags)

    def chain(
        self, line: int, ops: tuple[str, ...], left: Any, right: Any, *rest: Thunk
    ) -> Any:
        """`a < b <= c`: each operand is evaluated once, and only if needed."""
        builder = self.at(line)
        first = _COMPARE[ops[0]](left, right)
        if not rest:
            return first
        return control.connect(
            builder,
            "and",
            first,
            [lambda: self.chain(line, ops[1:], right, rest[0](), *rest[1:])],
        )

    def ifexp(self, line: int, cond: Any, then: Thunk, orelse: Thunk) -> Any:
        return control.choose(self.at(line), cond, then, orelse)

    # ------------------------------------------------------------- control flow

    def if_(
        self,
        line: int,
        cond: Any,
        then: Thunk,
        orelse: Thunk,
        get: Get,
        put: Put,
        names: tuple[str, ...],
    ) -> None:
        branch.branch(self.at(line), cond, then, orelse, get, put, names)

    def for_(
        self,
        line: int,
        iterable: Any,
        bind: Callable[[Any], Any],
        run: Thunk,
        get: Get,
        put: Put,
        names: tuple[str, ...],
        exits: tuple[str, ...],
    ) -> None:
        body = Body(run, get, put, names, exits, self.source.loc(line))
        loops.for_(self.at(line), iterable, bind, body)

    def while_(
        self,
        line: int,
        test: Thunk,
        run: Thunk,
        get: Get,
        put: Put,
        names: tuple[str, ...],
        exits: tuple[str, ...],
    ) -> None:
        body = Body(run, get, put, names, exits, self.source.loc(line))
        loops.while_(self.at(line), test, body)

    # ------------------------------------------------------- errors and messages

    def assert_(self, line: int, cond: Any, message: Thunk) -> None:
        """`assert cond, message`."""
        builder = self.at(line)
        test = branch.truth(builder, cond)
        if isinstance(test, bool):
            if not test:
                raise AssertionError(message())
            return
        control.check(builder, test, "assert", str(message()))

    def raise_(self, line: int, error: Any) -> None:
        """`raise error`; under a traced condition it becomes a check."""
        builder = self.at(line)
        if not builder.scopes or not any(s.kind != "inner" for s in builder.scopes):
            raise error
        kind = error if isinstance(error, type) else type(error)
        if kind.__module__ != "builtins":
            raise _refusal(
                f"{kind.__name__} is raised where only a run-time value decides",
                "Raise one of Python's own exceptions, as ValueError, or use assert.",
            )
        message = "" if isinstance(error, type) else str(error)
        control.check(builder, False, kind.__name__, message)
        if builder.scopes[-1].kind == "branch":
            builder.scopes[-1].dead = True

    def text(self, line: int, value: Any) -> Any:
        """A value that is formatted."""
        if is_traced(value):
            self.at(line)
            raise _refusal(
                "a traced value is formatted as a string",
                "Return the value and format it outside; in the message of an error "
                "it is allowed.",
            )
        return value

    def try_(self, line: int) -> int:
        return self.at(line).touched

    def tried(self, line: int, mark: int) -> None:
        """Refuse a `try` in which something was traced."""
        builder = _builder()
        if builder.touched != mark:
            self.at(line)
            raise _refusal(
                "try around traced values",
                "Compiled code does not catch exceptions: test for the condition "
                "with an if, and keep traced values out of the try block.",
            )

    # -------------------------------------------------------------------- calls

    def call(self, line: int, fn: Any, *args: Any, **kwargs: Any) -> Any:
        """`fn(*args, **kwargs)`."""
        builder = self.at(line)
        loc = builder.loc
        try:
            return calls.call(builder, fn, args, kwargs)
        except GradjitError as error:
            raise _placed(error, loc) from error.__cause__
        finally:
            builder.loc = loc


def _placed(error: GradjitError, loc: Loc | None) -> GradjitError:
    """The error with a place, if it has none."""
    if error.loc is not None:
        return error
    return type(error)(error.what, loc, error.hint)


def checked(name: str, value: Any) -> Any:
    """A value of a name, an item or an attribute, if it can be used."""
    if isinstance(value, MaybeValue):
        return _bound(name, value)
    if isinstance(value, Poison):
        builder = _builder()
        if value.site is not None and value.site not in builder.hints.unroll:
            raise concrete.unroll(builder, value.site, f"{name} {value.reason}")
        raise _refusal(
            f"{name} {value.reason}",
            "Give it the same kind of value on all paths.",
        )
    return value


def _bound(name: str, value: MaybeValue) -> Any:
    """Check at run time that a name is bound, once in each block."""
    builder = _builder()
    if not any(f in value.checked for f in builder.frames):
        value.checked.append(builder.frames[-1])
        message = f"{name} is not bound here"
        control.check(builder, value.bound, "unbound", message)
    if isinstance(value.value, Poison):
        return checked(name, value.value)
    return value.value


def attribute(builder: TraceBuilder, owner: Any, name: str) -> Any:
    """`owner.name`; of an object from outside the read is noted."""
    if is_array(owner) and name not in _STRUCTURE and name in METHODS:
        return getattr(builder.outside(owner), name)
    if isinstance(owner, Sym) and name not in METHODS and not hasattr(Sym, name):
        raise _refusal(
            f"the attribute {name!r} of a traced value is not supported",
            "What is supported is listed in docs/ops.md.",
        )
    getter = calls.own_property(owner, name)
    if getter is not None:
        return calls.call(builder, getter, (owner,), {})
    value = getattr(owner, name)
    builder.guards.follow("attribute", owner, name, value)
    return checked(f"the attribute {name!r}", value)


def _unbound(name: str) -> GradjitError:
    return _refusal(
        f"the name {name!r} is not bound on the way here",
        "Give it a value before the branch or the loop.",
    )


def _refusal(what: str, hint: str = "") -> UnsupportedError:
    return UnsupportedError(what, _builder().loc, hint)


def _refuse_outside(builder: TraceBuilder, owner: Any, what: str) -> None:
    if builder.guards.is_outside(owner):
        raise _refusal(
            f"{what} an object from outside of the function is written",
            "Return the new value instead, or pass the object in as an argument.",
        )
