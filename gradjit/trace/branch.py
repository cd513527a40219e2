"""Branches on traced conditions.

Both sides are traced, each in a frame of its own and from the same state; what they
leave behind is joined into the results of one `if_`. What may be the same memory on one
side only is noted: a write into one array refuses later uses of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gradjit.errors import Loc, UnsupportedError
from gradjit.ir.graph import Atom, Block, Const, Eqn, Value
from gradjit.ir.op import lookup
from gradjit.ir.types import BOOL, ArrayType, dims
from gradjit.ops.sym import Sym, elementwise
from gradjit.trace import merge
from gradjit.trace.builder import UNDEF, Cell, TraceBuilder
from gradjit.trace.handle import Buffer, Handle, same_view
from gradjit.trace.memory import Family
from gradjit.trace.merge import Leaf, MaybeValue

Get = Callable[[], tuple[Any, ...]]
Put = Callable[[tuple[Any, ...]], None]
# Names of the tracer's own: what is unbound in them is never read.
TRUSTED = ("__gj_",)


def truth(builder: TraceBuilder, x: Any) -> Any:
    """A Python bool where the condition is known, else the symbol of a bool."""
    if not isinstance(x, Sym):
        return bool(x)
    atom = x.atom
    if isinstance(atom, Const):
        return bool(atom.value)
    if isinstance(atom.type, ArrayType):
        raise UnsupportedError(
            f"an array of type {atom.type} is used as a condition",
            builder.loc,
            "Use np.where or a mask for a choice by element, np.any or np.all for one "
            "of the whole array.",
        )
    if atom.type.dtype != BOOL:
        return elementwise("ne", x, 0)
    return x


@dataclass(slots=True)
class _Side:
    """What one branch leaves behind."""

    frame: Any
    values: tuple[Any, ...]
    nodes: list[merge.Node]
    versions: dict[Buffer, Atom]
    cells: dict[Any, Any]
    cell_nodes: dict[Any, merge.Node]
    dead: bool
    spoiled: list[tuple[Buffer, str]]
    results: list[Atom] = field(default_factory=list[Atom])


def branch(
    builder: TraceBuilder,
    cond: Any,
    then: Callable[[], Any],
    orelse: Callable[[], Any],
    get: Get,
    put: Put,
    names: Sequence[str],
) -> None:
    """`if cond: then() else: orelse()`; state is behind `get` and `put`."""
    test = truth(builder, cond)
    if isinstance(test, bool):
        (then if test else orelse)()
        return
    loc = builder.loc
    start = get()
    first = trace_side(builder, test.atom, then, get, put, start)
    builder.loc = loc
    second = trace_side(builder, test.atom, orelse, get, put, start)
    builder.loc = loc
    Join(builder, test.atom, first, second, loc).finish(put, names)
    for buffer, reason in (*first.spoiled, *second.spoiled):
        builder.spoil(buffer, reason)


def trace_side(
    builder: TraceBuilder,
    pred: Atom,
    run: Callable[[], Any],
    get: Get,
    put: Put,
    start: tuple[Any, ...],
) -> _Side:
    """One branch, traced in a frame of its own."""

    def trace() -> _Side:
        frame = builder.open(())
        scope = builder.enter("branch", frame)
        scope.pred = pred
        mark = len(builder.spoiled)
        run()
        values = get()
        nodes = [
            merge.Undef() if scope.dead else _node(v, s)
            for v, s in zip(values, start, strict=True)
        ]
        versions = {b: b.version for b in scope.versions}
        cells = {k: (cell, cell.get()) for k, (cell, _) in scope.cells.items()}
        cell_nodes = {k: merge.node_of(v) for k, (_, v) in cells.items()}
        builder.leave(scope)
        builder.frames.pop()
        put(start)
        spoiled = builder.forgive(mark)
        return _Side(
            frame, values, nodes, versions, cells, cell_nodes, scope.dead, spoiled
        )

    try:
        return builder.region_scope(trace)
    except BaseException:
        put(start)
        raise


def _node(value: Any, start: Any) -> merge.Node:
    """Values that a branch has not touched need no atoms."""
    return merge.Plain(value) if value is start else merge.node_of(value)


def unchanged(value: Any, start: Any) -> bool:
    """Whether a name still holds what it held."""
    return value is start or same_view(value, start)


class Join:
    """Puts two sides together into one `if_`."""

    def __init__(
        self,
        builder: TraceBuilder,
        pred: Atom,
        first: _Side,
        second: _Side,
        loc: Loc | None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        self.builder = builder
        self.pred = pred
        self.params = params or {}
        self.sides = (first, second)
        self.outs: list[Value] = []
        self.family = Family()
        self.loc = loc

    def finish(self, put: Put, names: Sequence[str]) -> None:
        first, second = self.sides
        if first.dead and second.dead:
            self._die()
        makers = [self._value(k, name) for k, name in enumerate(names)]
        cells = self._cells()
        buffers = self._buffers()
        self._emit()
        put(tuple(make() for make in makers))
        for cell, make in cells:
            self.builder.log(cell.owner, cell.key, cell.attribute)
            cell.put(make())
        for buffer, atom in buffers:
            self.builder.write(buffer, atom, merged=True)

    def _die(self) -> None:
        """Both sides raise: what is around them does."""
        for scope in self.builder.scopes[-1:]:
            scope.dead = True

    def _value(self, k: int, name: str) -> Callable[[], Any]:
        first, second = self.sides
        if not name:
            return lambda: UNDEF
        mine, other = first.values[k], second.values[k]
        if second.dead and not first.dead:
            other = mine
        if first.dead and not second.dead:
            mine = other
        if unchanged(mine, other) and self._outside(mine):
            return lambda: mine
        nodes = [self._full(s, k) for s in self.sides]
        trusted = name.startswith(TRUSTED) or first.dead or second.dead
        return self._merged(nodes[0], nodes[1], name, trusted)

    def _outside(self, value: Any) -> bool:
        """Whether a value made on one side only can be used after it."""
        if isinstance(value, Handle):
            return self.builder.visible(value.buffer.version)
        if isinstance(value, Sym):
            return self.builder.visible(value.atom)
        return not isinstance(value, tuple | list | dict | MaybeValue)

    def _full(self, side: _Side, k: int) -> merge.Node:
        """The node of a value, also where the branch has not touched it."""
        node = side.nodes[k]
        if isinstance(node, merge.Plain) and not side.dead:
            with self._inside(side):
                return merge.node_of(node.value)
        return node

    def _inside(self, side: _Side) -> Any:
        return reopened(self.builder, side.frame, side.versions, side.spoiled)

    def _merged(
        self, a: merge.Node, b: merge.Node, name: str, trusted: bool
    ) -> Callable[[], Any]:
        builder = self.builder
        spec = merge.join(merge.spec_of(a, False), merge.spec_of(b, False), trusted)
        leaves: list[tuple[Leaf, Leaf]] = []
        columns: list[list[Leaf]] = []
        for side, node in zip(self.sides, (a, b), strict=True):
            with self._inside(side):
                columns.append(merge.conform(builder, node, spec))
        leaves = list(zip(*columns, strict=True))
        specs = merge.leaf_specs(spec)
        atoms = [
            self._result(x.atom, y.atom, s, name)
            for (x, y), s in zip(leaves, specs, strict=True)
        ]

        def make() -> Any:
            buffers = iter([[x.buffer, y.buffer] for x, y in leaves])
            maker = _maker(builder, buffers, self.family)
            return merge.build(builder, spec, counting(atoms, buffers), maker, None)

        return make

    def _cells(self) -> list[tuple[Any, Callable[[], Any]]]:
        first, second = self.sides
        out: list[tuple[Any, Callable[[], Any]]] = []
        for key in {**first.cells, **second.cells}:
            cell = (first.cells.get(key) or second.cells[key])[0]
            nodes = [self._cell_node(s, key, cell) for s in self.sides]
            out.append((cell, self._merged(nodes[0], nodes[1], cell.name, False)))
        return out

    def _cell_node(self, side: _Side, key: Any, cell: Cell) -> merge.Node:
        known = side.cell_nodes.get(key)
        if known is not None:
            return known
        with self._inside(side):
            return merge.node_of(cell.get())

    def _buffers(self) -> list[tuple[Buffer, Atom]]:
        first, second = self.sides
        out: list[tuple[Buffer, Atom]] = []
        for buffer in {**first.versions, **second.versions}:
            a, b = (
                buffer.version if s.dead else s.versions.get(buffer, buffer.version)
                for s in self.sides
            )
            if first.dead != second.dead:
                a, b = (b, b) if first.dead else (a, a)
                a, b = self._dead_side(buffer, a)
            spec = merge.Arr(a.type)  # type: ignore[arg-type]
            out.append((buffer, self._result(a, b, spec, buffer.name)))
        return out

    def _dead_side(self, buffer: Buffer, live: Atom) -> tuple[Atom, Atom]:
        first, _ = self.sides
        return (buffer.version, live) if first.dead else (live, buffer.version)

    def _result(self, a: Atom, b: Atom, spec: merge.Num | merge.Arr, name: str) -> Atom:
        """One result of the `if_`, unless both sides have the same atom."""
        if a is b or (
            isinstance(a, Const) and isinstance(b, Const) and a.key() == b.key()
        ):
            return a
        if spec.type.dtype == BOOL and isinstance(spec, merge.Num):
            known = self._flag(a, b)
            if known is not None:
                return known
        out = Value(spec.type, "" if name.startswith("__gj") else name)
        if isinstance(spec, merge.Arr):
            self.builder.set_extents(out, self._extents(a, b))
        for side, atom in zip(self.sides, (a, b), strict=True):
            side.results.append(atom)
        self.outs.append(out)
        return out

    def _flag(self, a: Atom, b: Atom) -> Atom | None:
        """True | False is the condition itself."""
        if isinstance(a, Const) and isinstance(b, Const):
            if a.value:
                return self.pred
            return self.builder.emit1("logical_not", self.pred)
        return None

    def _extents(self, a: Atom, b: Atom) -> list[Atom | None]:
        builder = self.builder
        out: list[Atom | None] = []
        for axis in range(len(dims(a.type))):
            found: list[Atom] = []
            for side, atom in zip(self.sides, (a, b), strict=True):
                with self._inside(side):
                    found.append(builder.extent(atom, axis))
            out.append(found[0] if _same(builder, *found) else None)
        return out

    def _emit(self) -> None:
        builder = self.builder
        blocks = tuple(
            Block((), tuple(s.frame.eqns), tuple(s.results)) for s in self.sides
        )
        if not self.outs and not any(effects(b) for b in blocks):
            return
        builder.append(
            Eqn(
                lookup("if_"),
                (self.pred,),
                tuple(self.outs),
                self.params,
                blocks,
                self.loc,
            )
        )


def effects(block: Block) -> bool:
    return any(not e.op.pure or any(effects(r) for r in e.regions) for e in block.eqns)


def _same(builder: TraceBuilder, a: Atom, b: Atom) -> bool:
    """Whether two extents are equal, and defined outside of the branches."""
    if not (builder.visible(a) and builder.visible(b)):
        return False
    return builder.facts.affine(a).same(builder.facts.affine(b))


class reopened:
    """The end of a branch once more: its frame, and arrays as it has left them."""

    def __init__(
        self,
        builder: TraceBuilder,
        frame: Any,
        versions: dict[Buffer, Atom],
        spoiled: Sequence[tuple[Buffer, str]],
    ) -> None:
        self.builder = builder
        self.frame = frame
        self.versions = versions
        self.spoiled = spoiled
        self.mark = len(builder.spoiled)

    def __enter__(self) -> None:
        self.builder.frames.append(self.frame)
        for buffer, reason in self.spoiled:
            self.builder.spoil(buffer, reason)
        self._swap()

    def __exit__(self, *_: Any) -> None:
        self._swap()
        self.builder.forgive(self.mark)
        self.builder.frames.pop()

    def _swap(self) -> None:
        before = {b: b.version for b in self.versions}
        for buffer, version in self.versions.items():
            buffer.version = version
        self.versions = before


def counting(atoms: Sequence[Atom], buffers: Iterator[Any]) -> Iterator[Atom]:
    """Atoms in order; the buffers of numbers are skipped along."""
    for atom in atoms:
        if not isinstance(atom.type, ArrayType):
            next(buffers)
        yield atom


def _maker(builder: TraceBuilder, buffers: Iterator[Any], family: Family) -> merge.Make:
    def make(atom: Atom, spec: merge.Arr) -> Any:
        sources = next(buffers)
        out = builder.wrap(atom)
        family.add(out.buffer, sources)
        return out

    return make
