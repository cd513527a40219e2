"""A `map_` in chunks (see `chunks`)."""

from __future__ import annotations

from collections.abc import Sequence

from gradjit.ir.build import Builder, index
from gradjit.ir.graph import Atom, Block, Eqn, Value
from gradjit.ir.op import lookup
from gradjit.ir.types import INDEX, ArrayType
from gradjit.ops.region import Writer
from gradjit.passes.chunks import (
    PARALLEL,
    bounds_of,
    choose,
    chunk_count,
    clone,
    keep,
    load,
    make_parts,
    part_name,
    update,
)
from gradjit.passes.columns import columns
from gradjit.passes.work import Work, worth


def divided_map(b: Builder, eqn: Eqn, work: Work) -> None:
    """Append a `map_`, divided along its first axis where it is worth it."""
    test = worth(b, work, Work(()))
    choose(b, eqn, eqn, test, lambda: _Map(b, eqn).run())


class _Map:
    """The chunks of a `map_`."""

    def __init__(self, b: Builder, eqn: Eqn) -> None:
        self.b = b
        self.eqn = eqn
        self.ndim: int = eqn.params["ndim"]
        self.extents = eqn.args[: self.ndim]
        self.dests = eqn.args[self.ndim :]
        self.writers: tuple[Writer, ...] = eqn.params["writers"]

    def run(self) -> list[Atom]:
        """Append the chunks; the results in order."""
        b = self.b
        chunks = chunk_count(b, self.extents[0])
        starts = [*self.dests, *(self.target(k, chunks) for k in self.fresh())]
        params = [Value(s.type, getattr(s, "name", "")) for s in starts]
        chunk = Value(INDEX, "chunk")
        b.open((chunk, *params))
        low, size = bounds_of(b, chunk, chunks, self.extents[0])
        body = b.close(self.chunk(chunk, low, size, params))
        outs = tuple(Value(p.type, p.name) for p in params)
        args = (index(0), chunks, index(1), *starts)
        b.append(Eqn(lookup("for_"), args, outs, PARALLEL, (body,), self.eqn.loc))
        count = len(self.dests)
        fresh = dict(zip(self.fresh(), outs[count:], strict=True))
        return [
            outs[w.dest] if w.dest >= 0 else self.whole(k, fresh[k], chunks)
            for k, w in enumerate(self.writers)
        ]

    def fresh(self) -> list[int]:
        """The writers that make something new."""
        return [k for k, w in enumerate(self.writers) if w.dest < 0]

    def reduced(self, k: int) -> bool:
        """Whether a writer reduces over the axis that is divided."""
        return 0 in self.writers[k].axes

    def kept(self, k: int) -> list[Atom]:
        """The extents of what a writer makes."""
        axes = self.writers[k].axes
        return [e for a, e in enumerate(self.extents) if a not in axes]

    def target(self, k: int, chunks: Atom) -> Value:
        """The array that a fresh result is stored in, or its parts."""
        out, kept = self.eqn.outs[k], self.kept(k)
        if self.reduced(k):
            return make_parts(self.b, chunks, out, kept)
        assert isinstance(out.type, ArrayType)
        made = self.b.emit1(
            "empty", *kept, dtype=out.type.dtype, dims=out.type.dims, name=out.name
        )
        assert isinstance(made, Value)
        return made

    def chunk(
        self, chunk: Atom, low: Atom, size: Atom, params: Sequence[Value]
    ) -> list[Atom]:
        """The body of a chunk: the nest over its indices."""
        b, eqn = self.b, self.eqn
        # What is read from a destination is read from what is there in this chunk.
        pairs = zip(self.dests, params, strict=False)
        inner = clone(eqn.regions[0], {d: p for d, p in pairs if isinstance(d, Value)})
        at, *axes = inner.params
        position = Value(INDEX)
        b.open((position, *axes))
        made = b.emit1("add", low, position)
        (shift,) = b.close(()).eqns
        assert made is shift.out
        eqns = (shift.with_(outs=(at,)), *inner.eqns)
        places = self.places(params)
        results: list[Atom] = []
        writers: list[Writer] = []
        dests = list(params)
        copied = eqn.with_(regions=(inner,))
        for k, (w, part) in enumerate(zip(self.writers, columns(copied), strict=True)):
            if w.kind == "new":
                writers.append(Writer("store", places[k]))
                results += [part[0], at, *axes]
            else:
                writers.append(_local(w))
                results += part
        block = Block((position, *axes), eqns, tuple(results))
        used = {w.dest for w in writers if w.dest >= 0}
        order = [d for d in range(len(dests)) if d in used]
        renumbered = tuple(
            Writer(w.kind, order.index(w.dest) if w.dest >= 0 else -1, w.axes, w.type)
            for w in writers
        )
        outs = tuple(self.out(k, w, dests) for k, w in enumerate(writers))
        settings = {"ndim": self.ndim, "writers": renumbered, "parallel": False}
        args = (size, *self.extents[1:], *(dests[d] for d in order))
        b.append(Eqn(lookup("map_"), args, outs, settings, (block,), eqn.loc))
        return self.stored(params, writers, outs, places, chunk, low)

    def places(self, params: Sequence[Value]) -> dict[int, int]:
        """The carry that takes what each fresh writer makes."""
        first = len(self.dests)
        return {k: first + j for j, k in enumerate(self.fresh())}

    def out(self, k: int, writer: Writer, dests: Sequence[Value]) -> Value:
        if writer.dest >= 0:
            return Value(dests[writer.dest].type, dests[writer.dest].name)
        assert writer.type is not None
        return Value(writer.type, part_name(self.eqn.outs[k].name))

    def stored(
        self,
        params: Sequence[Value],
        writers: Sequence[Writer],
        outs: Sequence[Value],
        places: dict[int, int],
        chunk: Atom,
        low: Atom,
    ) -> list[Atom]:
        """The arrays after a chunk."""
        ends: list[Atom] = list(params)
        for k, (writer, out) in enumerate(zip(writers, outs, strict=True)):
            if writer.dest >= 0:
                ends[writer.dest] = out
            elif self.reduced(k):
                ends[places[k]] = keep(
                    self.b, params[places[k]], out, chunk, self.kept(k)
                )
            else:
                ends[places[k]] = self.block_of(params[places[k]], out, low)
        return ends

    def block_of(self, dest: Value, source: Value, low: Atom) -> Atom:
        """Copy the rows of a chunk to where they belong."""
        b = self.b
        extents = b.extents(source)
        axes = [Value(INDEX) for _ in extents]
        b.open(axes)
        value = load(b, source, axes)
        row = b.emit1("add", low, axes[0])
        body = b.close((value, row, *axes[1:]))
        return update(b, "store", dest, extents, body)

    def whole(self, k: int, parts: Value, chunks: Atom) -> Atom:
        """A fresh result; the parts of a reduction are reduced in their turn."""
        if not self.reduced(k):
            return parts
        b, writer, out = self.b, self.writers[k], self.eqn.outs[k]
        kept = self.kept(k)
        axes = [Value(INDEX) for _ in (chunks, *kept)]
        b.open(axes)
        value = load(b, parts, axes)
        body = b.close((value,))
        made = Value(out.type, out.name)
        again = Writer(writer.kind, -1, (0,), writer.type)
        settings = {"ndim": len(axes), "writers": (again,), "parallel": False}
        args = (chunks, *kept)
        b.append(Eqn(lookup("map_"), args, (made,), settings, (body,), self.eqn.loc))
        return made


def _local(writer: Writer) -> Writer:
    """A writer of a chunk: arrays have the rows of the chunk only."""
    if not isinstance(writer.type, ArrayType) or 0 in writer.axes:
        return writer
    type_ = ArrayType(writer.type.dtype, (None, *writer.type.dims[1:]))
    return Writer(writer.kind, writer.dest, writer.axes, type_)


def divisible(eqn: Eqn) -> bool:
    """Whether the iterations of a `map_` can be divided."""
    if not eqn.params["parallel"]:
        return False
    (body,) = eqn.regions
    if any(not e.op.pure for e in body.eqns):
        return False
    for writer in eqn.params["writers"]:
        if 0 in writer.axes and writer.kind in ("argmax", "argmin"):
            return False
        if writer.kind not in ("new", "store", "add") and writer.type is None:
            return False
    return True
