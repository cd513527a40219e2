"""Arrays while tracing: handles on buffers.

A buffer is what NumPy calls an array's memory: it has a current SSA version, and a
write makes a new one. A handle is what the program holds: the buffer itself, or a view
of it - a chain of index, transpose and reshape steps. Reading a handle reads the
current version, so that aliases and views see writes; writing into a view writes
through it into the buffer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gradjit.errors import GradjitError, UnsupportedError
from gradjit.ir.build import current
from gradjit.ir.graph import Atom, Value
from gradjit.ir.types import dims
from gradjit.ops import array, indexing, subscript
from gradjit.ops.sym import Sym, lift

if TYPE_CHECKING:
    from gradjit.trace.builder import TraceBuilder


@dataclass(slots=True, eq=False)
class Buffer:
    """Memory. `version` is read and written through the builder only.

    Attributes:
        version: The current SSA value.
        birth: When it was made, to tell whether it is older than a loop.
        sources: Older buffers of which it may be the memory (see `memory`).
        derived: Buffers that have it as a source.
        apart: Older buffers that it is never the memory of, whatever the sources say.
        stale: Why it cannot be used any more, or ''.
        fixed: Why it cannot be written into, or ''.
    """

    version: Atom
    birth: int
    name: str = ""
    sources: list[Buffer] = field(default_factory=list["Buffer"])
    derived: list[Buffer] = field(default_factory=list["Buffer"])
    apart: set[Buffer] = field(default_factory=set["Buffer"])
    stale: str = ""
    fixed: str = ""
    writes: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a view."""

    op: str
    args: tuple[Atom, ...]
    params: dict[str, Any]

    def read(self, builder: TraceBuilder, base: Atom) -> Atom:
        return builder.emit1(self.op, base, *self.args, **self.params)

    def extents(self, base: tuple[Atom, ...]) -> tuple[Atom, ...]:
        """The extents of what the step shows."""
        if self.op == "transpose":
            perm: tuple[int, ...] = self.params["perm"]
            return tuple(base[k] for k in perm)
        if self.op == "reshape":
            return self.args
        return subscript.extents_of(
            subscript.Basic(self.params["spec"], self.args, checked=False), base
        )

    def write(self, builder: TraceBuilder, base: Atom, part: Atom) -> Atom:
        """The base with the part that this step shows replaced."""
        if self.op == "index":
            spec = self.params["spec"]
            return builder.emit1(
                "store", base, part, *self.args, spec=spec, checked=False
            )
        if self.op == "transpose":
            perm = array.inverse(self.params["perm"])
            return builder.emit1("transpose", part, perm=perm)
        extents = builder.extents(base)
        return builder.emit1("reshape", part, *extents, dims=dims(base.type))


class Handle(Sym):
    """An array of the program: a buffer, or a view of one."""

    __slots__ = ("__weakref__", "buffer", "steps")

    def __init__(self, buffer: Buffer, steps: tuple[Step, ...] = ()) -> None:
        super().__init__(buffer.version)
        self.buffer = buffer
        self.steps = steps

    @property
    def atom(self) -> Atom:
        builder = _builder()
        atom = builder.read(self.buffer)
        for step in self.steps:
            atom = step.read(builder, atom)
        return atom

    @property
    def type(self) -> Any:
        type_: Any = self.buffer.version.type
        for step in self.steps:
            if step.op == "transpose":
                known = tuple(type_.dims[k] for k in step.params["perm"])
            else:
                known = step.params["dims"]
            type_ = array.made(type_.dtype, known)
        return type_

    @property
    def shape(self) -> tuple[Any, ...]:
        """Extents, without reading a view."""
        builder = _builder()
        extents = builder.extents(builder.read(self.buffer))
        for step in self.steps:
            extents = step.extents(extents)
        return tuple(builder.wrap(e) for e in extents)

    def assign(self, value: Any) -> None:
        """Replace all elements (the value has the type of the handle)."""
        self._write(lift(value), len(self.steps))

    def _write(self, part: Atom, depth: int) -> None:
        """Write back through the first `depth` steps."""
        builder = _builder()
        bases = [builder.read(self.buffer)]
        for step in self.steps[:depth]:
            bases.append(step.read(builder, bases[-1]))
        for step, base in zip(
            reversed(self.steps[:depth]), reversed(bases[:-1]), strict=True
        ):
            part = step.write(builder, base, part)
        builder.write(self.buffer, part)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._update("store", key, value)

    def add_item(self, key: Any, value: Any) -> None:
        """self[key] += value, with one update."""
        self._update("add_at", key, value)

    def accumulate(self, key: Any, value: Any) -> None:
        """np.add.at(self, key, value): repeated indices add up."""
        new = indexing.accumulate_at(Sym(self.atom), key, value)
        self._write(new.atom, len(self.steps))

    def _update(self, op: str, key: Any, value: Any) -> None:
        """Store or add; a basic index of an index is one index of the base."""
        basic = subscript.resolve_basic(self, key)
        if basic is None:
            update = indexing.store_at if op == "store" else indexing.add_item
            self._write(update(Sym(self.atom), key, value).atom, len(self.steps))
            return
        depth = len(self.steps)
        if depth and self.steps[-1].op == "index" and "n" not in basic.spec:
            last = self.steps[-1]
            outer = subscript.Basic(last.params["spec"], last.args, checked=False)
            merged = subscript.compose(outer, basic, self.shape)
            if merged is not None:
                basic, depth = merged, depth - 1
        base = self._at(depth)
        new = indexing.update_basic(op, base, basic, value)
        self._write(new.atom, depth)

    def _at(self, depth: int) -> Sym:
        """What the first `depth` steps show."""
        builder = _builder()
        atom = builder.read(self.buffer)
        for step in self.steps[:depth]:
            atom = step.read(builder, atom)
        return Sym(atom)

    def __copy__(self) -> Any:
        return _builder().wrap(self.atom)

    def __deepcopy__(self, memo: Any) -> Any:
        return self.__copy__()


def view(
    builder: TraceBuilder, base: Handle, op: str, args: Sequence[Atom], params: Any
) -> Any:
    """The view that a step makes of a handle; a number where all axes are gone."""
    steps = base.steps
    if op == "index":
        basic = subscript.Basic(params["spec"], tuple(args), params["checked"])
        if steps and steps[-1].op == "index":
            last = steps[-1]
            outer = subscript.Basic(last.params["spec"], last.args, checked=False)
            merged = subscript.compose(outer, basic, base.shape)
            if merged is not None:
                return _indexed(builder, base.buffer, steps[:-1], merged)
        return _indexed(builder, base.buffer, steps, basic)
    if op == "reshape" and not _contiguous(steps):
        return builder.wrap(builder.emit1(op, base.atom, *args, **params))
    if op == "reshape" and not params["dims"]:
        return builder.wrap(builder.emit1(op, base.atom, *args, **params))
    return Handle(base.buffer, (*steps, Step(op, tuple(args), dict(params))))


def _indexed(
    builder: TraceBuilder,
    buffer: Buffer,
    steps: tuple[Step, ...],
    basic: subscript.Basic,
) -> Any:
    base = Handle(buffer, steps)
    if set(basic.spec) <= {"i"}:
        return builder.wrap(lift(indexing.read_basic(base, basic)))
    basic = subscript.guarded(basic, base.shape)
    shape = array.index_dims(base, basic.spec, [Sym(a) for a in basic.args])
    params = {"spec": basic.spec, "dims": shape, "checked": False}
    return Handle(buffer, (*steps, Step("index", basic.args, params)))


def _contiguous(steps: tuple[Step, ...]) -> bool:
    """Whether NumPy would reshape without a copy."""
    for step in steps:
        if step.op == "transpose":
            return False
        if step.op == "index":
            spec = step.params["spec"].replace("n", "").lstrip("i")
            if "i" in spec or "s" in spec[1:]:
                return False
            if spec.startswith("s") and not _unit(step):
                return False
    return True


def _unit(step: Step) -> bool:
    """Whether the first slice of an index step has step 1."""
    spec: str = step.params["spec"]
    at = spec.replace("n", "").index("s")
    return getattr(step.args[at + 2], "value", None) == 1


def shares(x: Any, y: Any) -> bool:
    """Whether two are handles on one buffer."""
    return isinstance(x, Handle) and isinstance(y, Handle) and x.buffer is y.buffer


def same_view(x: Any, y: Any) -> bool:
    """Whether two handles are the same view of the same buffer."""
    if not shares(x, y) or len(x.steps) != len(y.steps):
        return False
    return all(
        a.op == b.op and a.params == b.params and _same_args(a.args, b.args)
        for a, b in zip(x.steps, y.steps, strict=True)
    )


def _same_args(a: Sequence[Atom], b: Sequence[Atom]) -> bool:
    return len(a) == len(b) and all(
        x is y
        or (
            not isinstance(x, Value) and not isinstance(y, Value) and x.key() == y.key()
        )
        for x, y in zip(a, b, strict=True)
    )


def refuse_stale(buffer: Buffer) -> GradjitError:
    """The error for a use of memory that another name may have changed."""
    return UnsupportedError(
        f"this array {buffer.stale}",
        current().loc,
        "Make a copy (x.copy()) before the branch or the loop, so that each name has "
        "an array of its own.",
    )


def _builder() -> TraceBuilder:
    return current()  # type: ignore[return-value]
