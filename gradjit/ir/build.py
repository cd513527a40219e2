"""Building graphs: a stack of open frames to which equations are appended.

A builder folds constants, removes repeated pure equations and keeps integer arithmetic
in a canonical form while it appends, so that equal extents and indices are the same
value. `extent(value, axis)` answers with one atom for an extent wherever it is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from gradjit.errors import InternalError, Loc
from gradjit.ir.bounds import Facts
from gradjit.ir.fold import Folding
from gradjit.ir.graph import Atom, Block, Const, Eqn, Value
from gradjit.ir.op import Op, lookup
from gradjit.ir.shape import branch_origin, kept_extents
from gradjit.ir.types import INDEX, ArrayType, ScalarType, Type, dims

_CURRENT: ContextVar[Builder] = ContextVar("builder")


def current() -> Builder:
    """The builder that operators append to."""
    return _CURRENT.get()


@dataclass(slots=True)
class Frame:
    """An open block."""

    params: tuple[Value, ...]
    eqns: list[Eqn] = field(default_factory=list[Eqn])
    seen: dict[Any, tuple[Value, ...]] = field(
        default_factory=dict[Any, tuple[Value, ...]]
    )
    values: set[Value] = field(default_factory=set[Value])


class Builder(Folding):
    """Appends equations to the innermost open frame.

    Args:
        checks: Whether to emit run-time checks of extents. Off in the transforms,
            whose operands fit by construction.
    """

    # The class of symbols, set by the layer above.
    symbol: Callable[[Atom], Any]

    def __init__(self, checks: bool = True) -> None:
        self.frames: list[Frame] = []
        self.facts = Facts()
        self.loc: Loc | None = None
        self.checks = checks
        self._extents: dict[Value, tuple[Atom | None, ...]] = {}

    # ------------------------------------------------- what symbols ask of it

    def wrap(self, atom: Atom) -> Any:
        """What a program or a rule gets for an atom: a number or a symbol."""
        if isinstance(atom, Const) and atom.type.weak:
            return atom.value
        return self.symbol(atom)

    def view(self, base: Any, op: str, args: Sequence[Atom], **params: Any) -> Any:
        """A view of an array: index, transpose or reshape."""
        return self.wrap(self.emit1(op, base.atom, *args, **params))

    def capture(self, array: Any) -> Atom:
        """The atom of an array that the program closes over."""
        raise InternalError("a rule does not capture arrays")

    def concrete(self, sym: Any, kind: str) -> Any:
        """The Python number of a symbol, where Python needs one."""
        raise InternalError(f"a rule needs the {kind} of {sym!r}")

    def concrete_length(self, sym: Any) -> int:
        raise InternalError(f"a rule needs the length of {sym!r}")

    def iterate(self, sym: Any) -> Iterator[Any]:
        raise InternalError(f"a rule iterates over {sym!r}")

    # ------------------------------------------------------------------ frames

    @contextmanager
    def active(self) -> Generator[Builder]:
        """Make this the current builder."""
        token = _CURRENT.set(self)
        try:
            yield self
        finally:
            _CURRENT.reset(token)

    @contextmanager
    def at(self, loc: Loc | None) -> Generator[None]:
        """Give this location to the equations emitted inside."""
        before, self.loc = self.loc, loc
        try:
            yield
        finally:
            self.loc = before

    def open(self, params: Sequence[Value]) -> Frame:
        """Open a block."""
        frame = Frame(tuple(params), values=set(params))
        self.frames.append(frame)
        return frame

    def close(self, results: Sequence[Atom]) -> Block:
        """Close the innermost block."""
        frame = self.frames.pop()
        return Block(frame.params, tuple(frame.eqns), tuple(results))

    def mark(self) -> Callable[[], None]:
        """What undoes all that is emitted from now on."""
        frames = [
            replace(f, eqns=list(f.eqns), seen=dict(f.seen), values=set(f.values))
            for f in self.frames
        ]
        known = dict(self._extents)

        def undo() -> None:
            self.frames[:] = frames
            self._extents = known

        return undo

    def region(
        self, params: Sequence[Value], body: Callable[..., Sequence[Atom]]
    ) -> Block:
        """A block made by calling `body` with its parameters."""
        self.open(params)
        try:
            results = body(*params)
        except BaseException:
            self.frames.pop()
            raise
        return self.close(results)

    def abandon(self, depth: int) -> None:
        """Drop frames opened beyond a depth, after an exception."""
        del self.frames[depth:]

    # --------------------------------------------------------------- equations

    def emit(
        self,
        op: Op | str,
        *args: Atom,
        regions: tuple[Block, ...] = (),
        names: Sequence[str] = (),
        **params: Any,
    ) -> tuple[Atom, ...]:
        """Append an equation, or find one that already says it; its results."""
        op = lookup(op) if isinstance(op, str) else op
        folded = self.fold(op, args, params)
        if folded is not None:
            return (folded,)
        types = op.infer([a.type for a in args], {**params, "regions": regions})
        key = None
        if op.pure and not regions and op.kind != "stack" and op.name != "empty":
            key = (op.name, tuple(map(_key, args)), _frozen(params))
            found = self.seen(key)
            if found is not None:
                return found
        outs = tuple(
            Value(t, names[i] if i < len(names) else "") for i, t in enumerate(types)
        )
        eqn = Eqn(op, args, outs, params, regions, self.loc)
        self.append(eqn)
        if key is not None:
            self.frames[-1].seen[key] = outs
        return outs

    def seen(self, key: Hashable) -> tuple[Atom, ...] | None:
        """The results of an equation that says this already."""
        found = (frame.seen.get(key) for frame in reversed(self.frames))
        return next((outs for outs in found if outs is not None), None)

    def emit1(self, op: Op | str, *args: Atom, name: str = "", **params: Any) -> Atom:
        """The only result of `emit`."""
        (out,) = self.emit(op, *args, names=(name,), **params)
        return out

    def append(self, eqn: Eqn) -> None:
        """Append an equation as it is."""
        frame = self.frames[-1]
        frame.eqns.append(eqn)
        frame.values.update(eqn.outs)
        self.facts.define(eqn)

    def inline(self, block: Block, args: Sequence[Atom]) -> tuple[Atom, ...]:
        """Append a copy of a block's equations with its parameters replaced."""
        mapping: dict[Value, Atom] = dict(zip(block.params, args, strict=True))
        for eqn in block.eqns:
            self.copy(eqn, mapping)
        return tuple(look(a, mapping) for a in block.results)

    def copy(self, eqn: Eqn, mapping: dict[Value, Atom]) -> None:
        """Append a copy of an equation; `mapping` learns its results."""
        args = tuple(look(a, mapping) for a in eqn.args)
        regions = tuple(self.copy_block(r, mapping, eqn) for r in eqn.regions)
        names = [o.name for o in eqn.outs]
        with self.at(eqn.loc or self.loc):
            if eqn.op.name == "dim":
                outs = (self.extent(args[0], eqn.params["axis"]),)
            elif regions or not eqn.op.pure:
                outs = tuple(Value(o.type, o.name) for o in eqn.outs)
                self.append(Eqn(eqn.op, args, outs, eqn.params, regions, self.loc))
            else:
                outs = self.emit(eqn.op, *args, names=names, **eqn.params)
        mapping.update(zip(eqn.outs, outs, strict=True))

    def copy_block(
        self, block: Block, mapping: dict[Value, Atom], owner: Eqn | None = None
    ) -> Block:
        """A copy of a region with fresh parameters and replaced free values."""
        params = tuple(Value(p.type, p.name) for p in block.params)
        self.open(params)
        inner = {**mapping, **dict(zip(block.params, params, strict=True))}
        if owner is not None and owner.op.name == "for_":
            start, stop, step = (look(a, mapping) for a in owner.args[:3])
            self.facts.index_range(params[0], start, stop, step)
        if owner is not None and owner.op.name in ("for_", "while_"):
            inits = [look(a, mapping) for a in owner.args]
            self.carry_extents(owner.regions[-1], params, inits)
        for eqn in block.eqns:
            self.copy(eqn, inner)
        return self.close(tuple(look(a, inner) for a in block.results))

    # ----------------------------------------------------------------- extents

    def extent(self, atom: Atom, axis: int) -> Atom:
        """The extent of an array along an axis: always the same atom."""
        known_extent = dims(atom.type)[axis]
        if known_extent is not None:
            return index(known_extent)
        if not isinstance(atom, Value):
            raise InternalError("a constant has no run-time extent")
        known = self._known(atom)[axis]
        return self._dim(atom, axis) if known is None else known

    def extents(self, atom: Atom) -> tuple[Atom, ...]:
        """All extents of an array; () for a scalar."""
        return tuple(self.extent(atom, k) for k in range(len(dims(atom.type))))

    def known_extent(self, value: Value, axis: int) -> Atom | None:
        """An extent, if it is known without another equation."""
        extent = dims(value.type)[axis]
        return self._known(value)[axis] if extent is None else index(extent)

    def learn_extent(self, value: Value, axis: int, extent: Atom) -> None:
        """Say what an extent is that was not known."""
        row = list(self._known(value))
        row[axis] = extent
        self._extents[value] = tuple(row)

    def set_extents(self, value: Value, extents: Sequence[Atom | None]) -> None:
        """Say what the extents of a value are."""
        self._extents[value] = tuple(extents)

    def carry_extents(
        self,
        body: Block,
        params: Sequence[Value],
        inits: Sequence[Atom],
    ) -> None:
        """Give loop parameters the extents of their initial values where they keep.

        `params` are those of `body`, of a copy of it, or of its condition.
        """
        count = len(body.results)
        inits = inits[len(inits) - count :]
        kept = self._kept(body, inits)
        rows = zip(kept, params[len(params) - count :], inits, strict=True)
        for keeps, param, init in rows:
            if keeps:
                self.set_extents(param, self.extents(init))

    def _kept(self, body: Block, inits: Sequence[Atom]) -> list[bool]:
        """Which carries keep the extents of their initial values."""
        params = body.params[len(body.params) - len(inits) :]
        keys = [tuple(map(_key, self.extents(a))) for a in inits]
        return kept_extents(body, params, keys)

    def _known(self, value: Value) -> tuple[Atom | None, ...]:
        found = self._extents.get(value)
        if found is not None:
            return found
        eqn = self.facts.defs.get(value)
        row: tuple[Atom | None, ...] = (None,) * len(dims(value.type))
        if eqn is not None and eqn.op.name in ("for_", "while_"):
            row = self._loop_extents(eqn, value)
        elif eqn is not None and eqn.op.name == "if_":
            origin = branch_origin(eqn, eqn.outs.index(value))
            row = row if origin is None else self.extents(origin)
        elif eqn is not None and len(eqn.outs) == 1 and not eqn.regions:
            if eqn.op.kind == "elementwise":
                row = self._elementwise_extents(eqn)
            elif eqn.op.extents is not None:
                self._extents[value] = row
                row = tuple(eqn.op.extents(eqn.args, eqn.params, self.extent))
        self._extents[value] = row
        return row

    def _loop_extents(self, eqn: Eqn, value: Value) -> tuple[Atom | None, ...]:
        k, count = eqn.outs.index(value), len(eqn.outs)
        inits = eqn.args[len(eqn.args) - count :]
        if self._kept(eqn.regions[-1], inits)[k]:
            return self.extents(inits[k])
        return (None,) * len(dims(value.type))

    def _elementwise_extents(self, eqn: Eqn) -> tuple[Atom | None, ...]:
        wide = dims(eqn.out.type)
        row: list[Atom | None] = []
        for axis in range(-len(wide), 0):
            for arg in eqn.args:
                shape = dims(arg.type)
                if len(shape) >= -axis and shape[axis] != 1:
                    row.append(self.extent(arg, len(shape) + axis))
                    break
            else:
                row.append(index(1))
        return tuple(row)

    def _dim(self, value: Value, axis: int) -> Atom:
        """A `dim` equation, in the frame that defines the value."""
        for depth in range(len(self.frames) - 1, -1, -1):
            if value in self.frames[depth].values:
                rest = self.frames[depth + 1 :]
                del self.frames[depth + 1 :]
                try:
                    found = self.emit1("dim", value, axis=axis)
                finally:
                    self.frames.extend(rest)
                row = list(self._extents[value])
                row[axis] = found
                self._extents[value] = tuple(row)
                return found
        # Defined outside of this builder (a transform at work on an inner block).
        return self.emit1("dim", value, axis=axis)

    # ----------------------------------------------------------------- folding

    def raw(self, name: str, *args: Atom) -> Atom:
        """Emit without folding again."""
        op = lookup(name)
        key = (name, tuple(map(_key, args)), ())
        for frame in reversed(self.frames):
            if key in frame.seen:
                return frame.seen[key][0]
        (type_,) = op.infer([a.type for a in args], {})
        out = Value(type_)
        self.append(Eqn(op, args, (out,), {}, (), self.loc))
        self.frames[-1].seen[key] = (out,)
        return out


def index(value: int) -> Const:
    """An integer constant."""
    return Const(int(value), INDEX)


def look(atom: Atom, mapping: Mapping[Value, Atom]) -> Atom:
    """What an atom is replaced by."""
    return mapping.get(atom, atom) if isinstance(atom, Value) else atom


def key_of(eqn: Eqn) -> Hashable:
    """What two equations have in common that say the same."""
    return eqn.op.name, tuple(map(_key, eqn.args)), _frozen(eqn.params)


def _key(atom: Atom) -> Any:
    return atom.key() if isinstance(atom, Const) else atom


def _frozen(params: Mapping[str, Any]) -> Any:
    return tuple(sorted(params.items(), key=lambda item: item[0]))


def fresh(type_: Type, name: str = "") -> Value:
    """A new value."""
    return Value(type_, name)


def zero(type_: ScalarType | ArrayType) -> Const:
    """The scalar zero of a type's dtype."""
    kind = {"f": 0.0, "b": False}.get(type_.dtype.kind, 0)
    weak = isinstance(type_, ScalarType) and type_.weak
    return Const(kind, ScalarType(type_.dtype, weak))
