"""A loop divided into chunks, one for each thread.

    if n * 40 >= 300000:                        # else the loop as it was
        chunks = min(threads, n)
        s_parts = np.empty(chunks)
        for chunk in prange(chunks):
            low = max(chunk * n // chunks, 0)
            s_part = 0.0
            for j in range((chunk + 1) * n // chunks - low):
                i = low + j
                ...                             # the body, adding to s_part
            s_parts[chunk] = s_part
        for chunk in range(chunks):
            s += s_parts[chunk]

Chunks depend on the number of threads only, and the parts are added in order: the same
number of threads gives the same bits. (The maximum lets LLVM see that no index is
negative; without it such loops do not vectorise, and take eight times as long.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gradjit.ir.build import Builder, index, look
from gradjit.ir.graph import Atom, Block, Const, Eqn, Value
from gradjit.ir.op import lookup
from gradjit.ir.types import INDEX, ArrayType, ScalarType
from gradjit.ops.region import IF, Writer, WriterKind

PARALLEL: Mapping[str, Any] = {"exits": False, "parallel": "chunks"}
SERIAL: Mapping[str, Any] = {"exits": False}
NOTHING: Mapping[str, str] = {}


def choose(
    b: Builder, eqn: Eqn, serial: Eqn, test: Atom, divided: Callable[[], Sequence[Atom]]
) -> None:
    """`outs = divided() if test else serial`."""
    if isinstance(test, Const) and not test.value:
        b.append(serial)
        return
    outs = tuple(Value(o.type, o.name) for o in eqn.outs)
    b.open(())
    results = tuple(divided())
    then = b.close(results)
    orelse = Block((), (serial.with_(outs=outs),), outs)
    b.append(Eqn(IF, (test,), eqn.outs, {}, (then, orelse), eqn.loc))


def clone(
    block: Block, mapping: dict[Value, Atom], names: Mapping[str, str] = NOTHING
) -> Block:
    """A copy of a block with values of its own, some by other names."""

    def new(value: Value) -> Value:
        made = Value(value.type, names.get(value.name, value.name))
        mapping[value] = made
        return made

    params = tuple(map(new, block.params))
    eqns: list[Eqn] = []
    for eqn in block.eqns:
        args = tuple(look(a, mapping) for a in eqn.args)
        regions = tuple(clone(r, mapping, names) for r in eqn.regions)
        outs = tuple(map(new, eqn.outs))
        eqns.append(eqn.with_(args=args, regions=regions, outs=outs))
    return Block(params, tuple(eqns), tuple(look(r, mapping) for r in block.results))


def part_name(name: str) -> str:
    return f"{name}_part" if name else "part"


def chunk_count(b: Builder, count: Atom) -> Atom:
    """The number of chunks; none of a loop that is not run."""
    some = b.emit1("minimum", thread_count(b), count, name="chunks")
    return b.emit1("maximum", some, index(0), name="chunks")


def thread_count(b: Builder) -> Value:
    """The number of threads."""
    threads = b.emit1("threads", name="threads")
    assert isinstance(threads, Value)
    b.facts.extents.add(threads)
    return threads


def bounds_of(b: Builder, chunk: Atom, chunks: Atom, count: Atom) -> tuple[Atom, Atom]:
    """The first index of a chunk, and how many there are in it."""
    low = b.emit1("floordiv", b.emit1("mul", chunk, count), chunks)
    low = b.emit1("maximum", low, index(0), name="low")
    high = b.emit1("mul", b.emit1("add", chunk, index(1)), count)
    high = b.emit1("floordiv", high, chunks)
    return low, b.emit1("sub", high, low, name="size")


def make_parts(b: Builder, chunks: Atom, like: Atom, extents: Sequence[Atom]) -> Value:
    """The array of the parts of a sum."""
    inner = like.type.dims if isinstance(like.type, ArrayType) else ()
    name = like.name if isinstance(like, Value) else ""
    made = b.emit1(
        "empty",
        chunks,
        *extents,
        dtype=like.type.dtype,
        dims=(None, *inner),
        name=f"{part_name(name)}s",
    )
    assert isinstance(made, Value)
    return made


def load(b: Builder, array: Atom, at: Sequence[Atom]) -> Atom:
    """An element."""
    spec = "i" * len(at)
    return b.emit1("index", array, *at, spec=spec, dims=(), checked=False)


def keep(
    b: Builder, parts: Value, part: Atom, chunk: Atom, extents: Sequence[Atom]
) -> Atom:
    """Store the part of a chunk."""
    if isinstance(part.type, ScalarType):
        return b.emit1("store", parts, part, chunk, spec="i", checked=False)
    axes = [Value(INDEX) for _ in extents]
    b.open(axes)
    body = b.close((load(b, part, axes), chunk, *axes))
    return update(b, "store", parts, extents, body)


def update(
    b: Builder, kind: WriterKind, dest: Value, extents: Sequence[Atom], body: Block
) -> Value:
    """A nest that stores into an array, or adds to it."""
    out = Value(dest.type, dest.name)
    params = {
        "ndim": len(extents),
        "writers": (Writer(kind, 0),),
        "parallel": False,
    }
    b.append(Eqn(lookup("map_"), (*extents, dest), (out,), params, (body,), b.loc))
    return out


def total(
    b: Builder,
    chunks: Atom,
    pairs: Sequence[tuple[Atom, Atom]],
    sizes: Sequence[Sequence[Atom]],
) -> tuple[Atom, ...]:
    """The parts of each sum, added to what it starts with, in order."""
    if not pairs:
        return ()
    params = [Value(start.type, getattr(start, "name", "")) for start, _ in pairs]
    chunk = Value(INDEX, "chunk")
    b.open((chunk, *params))
    results: list[Atom] = []
    for param, (_, parts), extents in zip(params, pairs, sizes, strict=True):
        if isinstance(param.type, ScalarType):
            results.append(b.emit1("add", param, load(b, parts, (chunk,))))
            continue
        axes = [Value(INDEX) for _ in extents]
        b.open(axes)
        inner = b.close((load(b, parts, (chunk, *axes)), *axes))
        results.append(update(b, "add", param, extents, inner))
    body = b.close(results)
    outs = tuple(Value(p.type, p.name) for p in params)
    args = (index(0), chunks, index(1), *(start for start, _ in pairs))
    b.append(Eqn(lookup("for_"), args, outs, SERIAL, (body,), b.loc))
    return outs
