"""The graph under construction while a function is traced.

Scopes are the branches and loops that are open. State - versions of buffers, items of
lists and dicts, attributes - that is older than a scope is put back when the scope is
left, and what was written inside becomes a result of the branch or a carry of the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from gradjit.errors import Loc, UnsupportedError
from gradjit.ir.build import Builder, Frame
from gradjit.ir.graph import Atom, Const, Value
from gradjit.ir.types import ArrayType, dims
from gradjit.ops.sym import Sym
from gradjit.trace import concrete, handle, memory
from gradjit.trace.classes import class_of
from gradjit.trace.guards import Guards
from gradjit.trace.handle import Buffer, Handle

ScopeKind = Literal["branch", "loop", "inner"]
Path = tuple[Any, ...]


@dataclass(slots=True)
class Adopted:
    """A buffer that is older than a loop: its version before, and in the body."""

    before: Atom
    param: Value


@dataclass(slots=True, eq=False)
class Cell:
    """An item of a list or dict, or an attribute, that a scope has written."""

    owner: Any
    key: Any
    attribute: bool

    def get(self) -> Any:
        if self.attribute:
            return self.owner.__dict__.get(self.key, UNDEF)
        owner = self.owner
        return owner[self.key] if not self.missing() else UNDEF

    def missing(self) -> bool:
        """Whether a dict does not have the key."""
        kind = class_of(self.owner)
        return issubclass(kind, dict) and self.key not in self.owner

    def put(self, value: Any) -> None:
        if self.attribute:
            if value is UNDEF:
                self.owner.__dict__.pop(self.key, None)
            else:
                object.__setattr__(self.owner, self.key, value)
        elif value is UNDEF:
            self.owner.pop(self.key, None)
        else:
            self.owner[self.key] = value

    @property
    def name(self) -> str:
        return f".{self.key}" if self.attribute else f"[{self.key!r}]"

    def id(self) -> tuple[int, Any, bool]:
        return id(self.owner), self.key, self.attribute


class Undefined:
    """What a name holds before it is bound."""

    def __repr__(self) -> str:
        return "<unbound>"


UNDEF = Undefined()


@dataclass(slots=True, eq=False)
class Scope:
    """An open branch or loop.

    Attributes:
        start: Count of births when it was opened: what is older is from outside.
        adopted: For loops: the buffers from outside that were touched.
        versions: For branches: versions of written buffers as they were before.
        cells: Items and attributes written, with their values before.
        site: For loops, the place in the source, to unroll it.
        pred: For branches, the condition.
        dead: Whether the end of a branch is never reached (it raises).
    """

    kind: ScopeKind
    start: int
    path: Path
    adopted: dict[Buffer, Adopted] = field(default_factory=dict[Buffer, Adopted])
    versions: dict[Buffer, Atom] = field(default_factory=dict[Buffer, Atom])
    cells: dict[Any, tuple[Cell, Any]] = field(
        default_factory=dict[Any, tuple[Cell, Any]]
    )
    site: Loc | None = None
    pred: Atom | None = None
    dead: bool = False
    children: int = 0
    frame: Frame | None = None


class TraceBuilder(Builder):
    """Builds the graph of a user's function.

    Args:
        hints: What earlier attempts found: pins, loops to unroll, carry types.
    """

    def __init__(self, hints: concrete.Hints) -> None:
        super().__init__()
        self.hints = hints
        self.scopes: list[Scope] = []
        self.origins: dict[Value, concrete.Origin] = {}
        self.spoiled: list[tuple[Buffer, str]] = []
        self.aliases: dict[Value, Atom] = {}
        self.guards = Guards()
        self.captured: dict[int, tuple[np.ndarray, Value]] = {}
        self.births = 0
        self.born: dict[int, tuple[Any, int]] = {}
        self.depth = 0
        self.touched = 0
        self.top_loops = 0
        self.outsiders: dict[Atom, Handle] = {}

    # ------------------------------------------------- what symbols ask of it

    def wrap(self, atom: Atom) -> Any:
        if isinstance(atom.type, ArrayType):
            return Handle(self.buffer(atom))
        return super().wrap(atom)

    def view(self, base: Any, op: str, args: Sequence[Atom], **params: Any) -> Any:
        if isinstance(base, Handle):
            return handle.view(self, base, op, args, params)
        return self.wrap(self.emit1(op, base.atom, *args, **params))

    def capture(self, array: np.ndarray) -> Atom:
        """The parameter that stands for an array from outside of the function."""
        found = self.captured.get(id(array))
        if found is None:
            if array.dtype.kind not in "biuf":
                raise UnsupportedError(
                    f"an array of dtype {array.dtype} cannot be traced", self.loc
                )
            name = self.guards.name_of(array)
            value = Value(ArrayType(array.dtype, array.shape), name)
            self.frames[0].values.add(value)
            found = array, value
            self.captured[id(array)] = found
        return found[1]

    def outside(self, array: np.ndarray) -> Any:
        """The handle of an array from outside: it can be read, not written into.

        One without axes is a number, that of a view which is read at each call.
        """
        if not array.ndim:
            view = self.guards.copies.setdefault(id(array), array.reshape(1))
            return self.outside(view)[0]
        atom = self.capture(array)
        found = self.outsiders.get(atom)
        if found is None:
            found = Handle(Buffer(atom, 0))
            found.buffer.fixed = (
                "the function writes into an array from outside of it (a global, a "
                "closure or an attribute)"
            )
            self.outsiders[atom] = found
        return found

    def concrete(self, sym: Any, kind: str) -> Any:
        return concrete.number(self, sym, kind)

    def concrete_length(self, sym: Any) -> int:
        extents = sym.shape
        if not extents:
            raise UnsupportedError("a number has no length", self.loc)
        first = extents[0]
        return first if isinstance(first, int) else self.concrete(first, "int")

    def iterate(self, sym: Any) -> Iterator[Any]:
        count = self.concrete_length(sym)
        return iter([sym[k] for k in range(count)])

    def append(self, eqn: Any) -> None:
        self.touched += 1
        super().append(eqn)

    # ------------------------------------------------------------------ buffers

    def buffer(self, atom: Atom) -> Buffer:
        """New memory with a value."""
        self.births += 1
        return Buffer(atom, self.births)

    def read(self, buffer: Buffer) -> Atom:
        """The current version of a buffer; a loop's own one inside loops."""
        if buffer.stale:
            raise handle.refuse_stale(buffer)
        for scope in self.scopes:
            if (
                scope.kind == "loop"
                and buffer.birth <= scope.start
                and buffer not in scope.adopted
            ):
                self._adopt(scope, buffer)
        return buffer.version

    def _adopt(self, scope: Scope, buffer: Buffer) -> None:
        before = buffer.version
        param = Value(before.type, buffer.name or getattr(before, "name", ""))
        self.set_extents(param, self.extents(before))
        assert scope.frame is not None
        scope.frame.values.add(param)
        scope.adopted[buffer] = Adopted(before, param)
        buffer.version = param

    def write(self, buffer: Buffer, version: Atom, merged: bool = False) -> None:
        """Give a buffer a new version.

        With `merged` it is what a branch or a loop has left: the writes inside have
        already spoiled what may be the same memory.
        """
        old = self.read(buffer)
        if old is version:
            return
        if buffer.fixed:
            raise UnsupportedError(
                buffer.fixed, self.loc, "Write into a copy, or pass it in."
            )
        self._log_write(buffer, old)
        buffer.writes += 1
        buffer.version = version
        if buffer.name:
            name_value(version, buffer.name)
        for other in () if merged else list(memory.sharers(buffer)):
            self.spoil(
                other,
                "may be the same memory as an array that was written into, depending "
                "on the path taken",
            )

    def spoil(self, buffer: Buffer, reason: str) -> None:
        """Refuse later uses of a buffer."""
        if not buffer.stale:
            buffer.stale = reason
            self.spoiled.append((buffer, reason))

    def forgive(self, mark: int) -> list[tuple[Buffer, str]]:
        """Undo `spoil` back to a mark: that path was not, or not yet, taken."""
        undone = self.spoiled[mark:]
        del self.spoiled[mark:]
        for buffer, _ in undone:
            buffer.stale = ""
        return undone

    def _log_write(self, buffer: Buffer, old: Atom) -> None:
        """Note the version before a write in the branches inside the same loop."""
        older = [s for s in self.scopes if buffer.birth <= s.start]
        if any(s.kind == "inner" for s in older):
            raise UnsupportedError(
                "a function that is differentiated inside of another one writes into "
                "an array from outside",
                self.loc,
                "Pass the array as an argument, or write into a copy.",
            )
        for scope in reversed(older):
            if scope.kind == "loop":
                break
            scope.versions.setdefault(buffer, old)

    # -------------------------------------------------------------- containers

    def new(self, thing: Any) -> Any:
        """Take note of a container or an object that the program has made."""
        self.births += 1
        self.born[id(thing)] = thing, self.births
        return thing

    def birth(self, thing: Any) -> int:
        """When something was made; 0 for what was there before."""
        found = self.born.get(id(thing))
        return found[1] if found is not None else 0

    def log(self, owner: Any, key: Any, attribute: bool) -> None:
        """Note the value of a cell before it is written."""
        birth = self.birth(owner)
        for scope in reversed([s for s in self.scopes if birth <= s.start]):
            cell = Cell(owner, key, attribute)
            if cell.id() not in scope.cells:
                scope.cells[cell.id()] = cell, cell.get()
            if scope.kind == "loop":
                break

    def require_growable(self, thing: Any, what: str) -> None:
        """Refuse, or unroll the loop, where a container changes its length."""
        birth = self.birth(thing)
        for scope in self.scopes:
            if birth <= scope.start:
                if scope.kind == "loop" and scope.site is not None:
                    raise concrete.unroll(self, scope.site, what)
                raise UnsupportedError(
                    f"{what} under a condition that is only known at run time",
                    self.loc,
                    "Make the container of the same length on both paths.",
                )

    # ------------------------------------------------------------------- scopes

    def enter(self, kind: ScopeKind, frame: Frame, path: Path = ()) -> Scope:
        """Open a scope on a frame that is open."""
        parent = self.scopes[-1] if self.scopes else None
        if parent is not None:
            parent.children += 1
            path = (*parent.path, parent.children, *path)
        scope = Scope(kind, self.births, path, frame=frame)
        self.scopes.append(scope)
        return scope

    def leave(self, scope: Scope) -> None:
        """Close the innermost scope and put back what is older than it."""
        popped = self.scopes.pop()
        assert popped is scope
        for buffer, adopted in scope.adopted.items():
            buffer.version = adopted.before
        for buffer, version in scope.versions.items():
            buffer.version = version
        for cell, value in scope.cells.values():
            cell.put(value)

    def region_scope(self, run: Callable[[], Any]) -> Any:
        """Run, and close all frames and scopes opened inside if it fails."""
        frames, scopes = len(self.frames), len(self.scopes)
        try:
            return run()
        except BaseException:
            while len(self.scopes) > scopes:
                self.leave(self.scopes[-1])
            self.abandon(frames)
            raise

    def in_loop(self, buffer: Buffer) -> bool:
        """Whether a loop is open that is younger than the buffer."""
        return any(s.kind == "loop" and buffer.birth <= s.start for s in self.scopes)

    def visible(self, atom: Atom | None) -> bool:
        """Whether an atom is defined in an open frame."""
        return isinstance(atom, Const) or any(atom in f.values for f in self.frames)


def name_value(atom: Any, name: str) -> None:
    """Name a value that has no name yet.

    Values are frozen for the passes, which share them; while a graph is being traced
    they belong to the tracer alone, and a name is a hint that no rule depends on.
    """
    if isinstance(atom, Value) and not atom.name:
        object.__setattr__(atom, "name", name)


def is_traced(x: Any) -> bool:
    """Whether something is, or holds, a value of run time."""
    return isinstance(x, Sym) or any(is_traced(i) for i in items_in(x))


def items_in(x: Any) -> Iterable[Any]:
    """What a Python container holds; nothing for anything else."""
    if isinstance(x, dict):
        return list(x.values())  # type: ignore[reportUnknownArgumentType]
    return x if isinstance(x, list | tuple | set) else ()  # type: ignore


def is_array(x: Any) -> bool:
    """Whether x is an array from outside of the function."""
    return isinstance(x, np.ndarray)


def is_number(x: Any) -> bool:
    """Whether x is a Python or NumPy number or bool."""
    return isinstance(x, bool | int | float | np.number | np.bool_)


def rank_of(x: Sym) -> int:
    return len(dims(x.type))
