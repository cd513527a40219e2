"""A `for_` in chunks (see `chunks`)."""

from __future__ import annotations

from collections.abc import Sequence

from gradjit.ir.build import Builder, index, zero
from gradjit.ir.graph import Atom, Block, Const, Eqn, Value
from gradjit.ir.op import lookup
from gradjit.ir.types import INDEX, ArrayType, ScalarType
from gradjit.passes.chunks import (
    PARALLEL,
    SERIAL,
    bounds_of,
    choose,
    chunk_count,
    clone,
    keep,
    make_parts,
    part_name,
    thread_count,
    total,
)
from gradjit.passes.independent import Kind
from gradjit.passes.work import Work, worth

# What an element of the part of a sum costs, for each thread: to make, to add up.
_PART = 32


def divided_loop(b: Builder, eqn: Eqn, kinds: Sequence[Kind], work: Work) -> None:
    """Append a `for_`, divided where it is worth it."""
    serial = eqn.with_(params=SERIAL)
    first, step, count = _forward(b, eqn)
    sums = [eqn.args[3 + k] for k, kind in enumerate(kinds) if kind == "sum"]
    arrays = [a for a in sums if isinstance(a.type, ArrayType)]
    threads = (thread_count(b),) if arrays else ()
    extra = Work(tuple((_PART, (*b.extents(a), *threads)) for a in arrays))
    test = worth(b, work, extra)

    def divided() -> Sequence[Atom]:
        return _Loop(b, eqn, kinds, first, step).run(count)

    choose(b, eqn, serial, test, divided)


def _forward(b: Builder, eqn: Eqn) -> tuple[Atom, Atom, Atom]:
    """The smallest index of a loop, the way to the next, and how many there are."""
    start, stop, step = eqn.args[:3]
    assert isinstance(step, Const)
    size = abs(int(step.value))
    up = step.value > 0
    span = b.emit1("sub", stop, start) if up else b.emit1("sub", start, stop)
    if size != 1:
        span = b.emit1("floordiv", b.emit1("add", span, index(size - 1)), index(size))
    if not up:
        back = b.emit1("mul", b.emit1("sub", span, index(1)), index(size))
        start = b.emit1("sub", start, back)
    return start, index(size), span


class _Loop:
    """The chunks of a `for_`."""

    def __init__(
        self, b: Builder, eqn: Eqn, kinds: Sequence[Kind], first: Atom, step: Atom
    ) -> None:
        self.b = b
        self.eqn = eqn
        self.inits = eqn.args[3:]
        self.first = first
        self.step = step
        self.rows = [k for k, kind in enumerate(kinds) if kind == "rows"]
        self.sums = [k for k, kind in enumerate(kinds) if kind == "sum"]

    def run(self, count: Atom) -> list[Atom]:
        """Append the chunks; the results in order."""
        b = self.b
        chunks = chunk_count(b, count)
        sizes = {k: b.extents(self.inits[k]) for k in self.sums}
        parts = {k: make_parts(b, chunks, self.named(k), sizes[k]) for k in self.sums}
        starts = [*(self.inits[k] for k in self.rows), *parts.values()]
        # Rows are written where they are, under one name: that of the loop's result.
        names = [
            *(self.named(k).name for k in self.rows),
            *(p.name for p in parts.values()),
        ]
        params = [Value(s.type, n) for s, n in zip(starts, names, strict=True)]
        chunk = Value(INDEX, "chunk")
        b.open((chunk, *params))
        low, size = bounds_of(b, chunk, chunks, count)
        body = b.close(self.chunk(chunk, low, size, params, sizes))
        outs = tuple(Value(p.type, p.name) for p in params)
        args = (index(0), chunks, index(1), *starts)
        b.append(Eqn(lookup("for_"), args, outs, PARALLEL, (body,), self.eqn.loc))
        at = len(self.rows)
        pairs = [(self.inits[k], outs[at + j]) for j, k in enumerate(self.sums)]
        found: dict[int, Atom] = dict(zip(self.rows, outs, strict=False))
        found.update(
            zip(self.sums, total(b, chunks, pairs, [*sizes.values()]), strict=True)
        )
        return [found[k] for k in range(len(self.inits))]

    def named(self, k: int) -> Value:
        """A result of the loop, for the names of its parts."""
        return self.eqn.outs[k]

    def chunk(
        self,
        chunk: Atom,
        low: Atom,
        size: Atom,
        params: Sequence[Value],
        sizes: dict[int, tuple[Atom, ...]],
    ) -> list[Atom]:
        """The body of a chunk: the loop over its indices."""
        b, eqn = self.b, self.eqn
        (body,) = eqn.regions
        rows = dict(zip(self.rows, params, strict=False))
        starts = [
            rows[k] if k in rows else self.nothing(k, sizes[k])
            for k in range(len(self.inits))
        ]
        names = {o.name: part_name(o.name) for o in (eqn.outs[k] for k in self.sums)}
        inner = clone(body, {}, {k: v for k, v in names.items() if k})
        at, *carries = inner.params
        position = Value(INDEX)
        b.open((position, *carries))
        made = b.emit1("mul", b.emit1("add", low, position), self.step)
        if not (isinstance(self.first, Const) and not self.first.value):
            made = b.emit1("add", self.first, made)
        frame = b.close(())
        eqns = tuple(e.with_(outs=(at,)) if made in e.outs else e for e in frame.eqns)
        block = Block((position, *carries), (*eqns, *inner.eqns), inner.results)
        outs = tuple(
            Value(o.type, o.name if k in rows else part_name(o.name))
            for k, o in enumerate(eqn.outs)
        )
        args = (index(0), size, index(1), *starts)
        b.append(Eqn(lookup("for_"), args, outs, SERIAL, (block,), eqn.loc))
        kept = params[len(self.rows) :]
        stored = [
            keep(b, parts, outs[k], chunk, sizes[k])
            for k, parts in zip(self.sums, kept, strict=True)
        ]
        return [*(outs[k] for k in self.rows), *stored]

    def nothing(self, k: int, extents: Sequence[Atom]) -> Atom:
        """What a sum of a chunk starts with."""
        type_ = self.inits[k].type
        assert isinstance(type_, ArrayType | ScalarType)
        if isinstance(type_, ScalarType):
            return zero(type_)
        # Not by `emit`, which finds zeros of the same shape: these are written into.
        out = Value(type_, part_name(self.eqn.outs[k].name))
        args = (zero(ScalarType(type_.dtype)), *extents)
        params = {"dtype": type_.dtype, "dims": type_.dims}
        self.b.append(Eqn(lookup("full"), args, (out,), params, (), self.eqn.loc))
        return out
