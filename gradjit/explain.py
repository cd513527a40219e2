"""What a compiled function keeps, loops over and was compiled for, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gradjit.ir.graph import Atom, Block, Const, Eqn, Value, walk
from gradjit.ir.types import ArrayType, StackType, Type

if TYPE_CHECKING:
    from gradjit.lowered import Lowered

Row = tuple[str, ...]


def explain(lowered: Lowered) -> str:
    """Tables of arguments, of what is kept for the way back, of buffers and loops."""
    block = lowered.program.graph.block
    head = ("name", "type", "part of the program")
    parts = [table("arguments", head, _arguments(lowered)), _saved(lowered)]
    if lowered.device is not None:
        from gradjit import deviceexplain

        parts += deviceexplain.device_tables(lowered, lowered.device)
        parts.append(_made_by(lowered, block))
        parts.append(deviceexplain.device_memory())
    else:
        loops = _loops(lowered, block)
        parts.append(_made_by(lowered, block))
        parts.append(table("loops", ("over", "computes", "line"), loops))
        parts.append(_threads(block))
    return "\n\n".join(p for p in parts if p)


def _made_by(lowered: Lowered, block: Block) -> str:
    head = ("name", "shape", "bytes", "made by")
    return table("buffers", head, _buffers(lowered, block))


def table(title: str, head: Row, rows: Sequence[Row]) -> str:
    """Rows below a title, their columns aligned."""
    if not rows:
        return f"{title}: none"
    every = [head, *rows]
    widths = [max(len(r[k]) for r in every) for k in range(len(head))]
    lines = [
        "  " + "  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip()
        for r in every
    ]
    return "\n".join([f"{title}:", *lines])


def _arguments(lowered: Lowered) -> list[Row]:
    """Each leaf, and what of it the code was compiled for."""
    rows: list[Row] = []
    types = dict(zip(lowered.params, lowered.types, strict=True))
    for k, spec in enumerate(lowered.call.specs):
        pins = {**lowered.traced.pinned, **lowered.traced.shaped}
        known = str(spec)
        type_ = types.get(k)
        if isinstance(type_, ArrayType):
            known = str(type_)
        note = ""
        if k in pins:
            value, reason = pins[k]
            note = f"{value}, needed by {reason}"
        rows.append((lowered.paths[k], known, note))
    return rows


def _saved(lowered: Lowered) -> str:
    """What the backward code needs of the forward code, with bytes for this call."""
    rows: list[Row] = []
    total, values = 0, lowered.parameters()
    more = ""
    for note in lowered.notes:
        size = note.size(values) if note.how == "array" else None
        amount = f"{size}" if size is not None else ""
        if note.how == "variable" and not note.extents:
            size, amount = note.dtype.itemsize, f"{note.dtype.itemsize}"
        if note.how == "stack":
            amount, more = "grows", " and what grows"
        if note.how == "array" and size is None:
            amount, more = "a segment's", more or " and those of a segment"
        total += size or 0
        line = str(note.loc.line) if note.loc is not None else ""
        shape = f"({', '.join(note.shape())})"
        kind = f"{note.dtype.name} {shape}" if note.extents else note.dtype.name
        rows.append((note.name or "_", line, kind, amount, note.how, note.reason))
    head = ("name", "line", "shape", "bytes", "how", "reason")
    shown = table("kept for the way back", head, rows)
    return f"{shown}\n  in all: {total} bytes{more}" if rows else shown


def _buffers(lowered: Lowered, block: Block) -> list[Row]:
    """Arrays and stacks that the code makes."""
    rows: list[Row] = []
    for eqn in walk(block):
        for out, how in _made(eqn):
            rows.append((name_of(lowered, out), *_size(lowered, eqn, out), how))
    return rows


_MAKERS = {
    "empty": "empty",
    "full": "filled",
    "copy": "a copy",
    "stack_new": "a stack: one value an iteration, for the way back",
    "contract": "matrix product",
}


def _made(eqn: Eqn) -> Iterator[tuple[Value, str]]:
    name = eqn.op.name
    if name in _MAKERS:
        yield from ((o, _MAKERS[name]) for o in eqn.outs if _is_memory(o.type))
    elif name == "map_":
        for writer, out in zip(eqn.params["writers"], eqn.outs, strict=True):
            if writer.kind not in ("store", "add") and _is_memory(out.type):
                yield out, "a loop over its elements"


def _is_memory(type_: Type) -> bool:
    return isinstance(type_, ArrayType | StackType)


def _size(lowered: Lowered, eqn: Eqn, out: Value) -> tuple[str, str]:
    """Shape and bytes, as far as they are known; extents by their names."""
    type_ = out.type
    if isinstance(type_, StackType):
        return str(type_.item), "grows"
    assert isinstance(type_, ArrayType)
    extents = [str(d) if d is not None else "?" for d in type_.dims]
    if eqn.op.name in ("empty", "full", "map_"):
        skip = 1 if eqn.op.name == "full" else 0
        given = eqn.args[skip : skip + len(extents)]
        if len(given) == len(extents):
            extents = [text(lowered, a) for a in given]
    known = all(e.isdigit() for e in extents)
    size = type_.dtype.itemsize
    total = size
    for e in extents:
        total = total * int(e) if known else total
    amount = str(total) if known else " * ".join([str(size), *extents])
    return f"({', '.join(extents)})", amount


def _loops(lowered: Lowered, block: Block) -> list[Row]:
    rows: list[Row] = []
    for eqn in walk(block):
        line = str(eqn.loc.line) if eqn.loc is not None else ""
        if eqn.op.name == "map_":
            over = " x ".join(text(lowered, a) for a in eqn.args[: eqn.params["ndim"]])
            what = ", ".join(
                f"{w.kind} {name_of(lowered, o)}"
                for w, o in zip(eqn.params["writers"], eqn.outs, strict=True)
            )
            rows.append((f"elements: {over}", what, line))
        elif eqn.op.name == "for_":
            bounds = ", ".join(text(lowered, a) for a in eqn.args[:3])
            carried = ", ".join(name_of(lowered, o) for o in eqn.outs)
            rows.append((f"range({bounds})", carried, line))
        elif eqn.op.name == "while_":
            carried = ", ".join(name_of(lowered, o) for o in eqn.outs)
            rows.append(("while", carried, line))
    return rows


def _threads(block: Block) -> str:
    """Loops that may run on several threads, and those that may not."""
    rows: list[Row] = []
    for eqn in walk(block):
        line = str(eqn.loc.line) if eqn.loc is not None else ""
        if eqn.params.get("parallel") == "chunks":
            rows.append((line, "in chunks, if there is enough to do", ""))
        elif "serial" in eqn.params:
            rows.append((line, "one after the other", eqn.params["serial"]))
    head = ("line", "iterations", "because")
    return table("threads", head, rows) if rows else ""


def name_of(lowered: Lowered, value: Value) -> str:
    """What a value is called in the emitted code."""
    return lowered.program.names.get(value, value.name or "_")


def text(lowered: Lowered, atom: Atom) -> str:
    """What stands for a value in the emitted code."""
    if isinstance(atom, Const):
        return str(atom.value)
    found = lowered.program.names.get(atom)
    if found is not None:
        return found
    eqn = lowered.program.inlined.get(atom)
    if eqn is None:
        return "?"
    inner = ", ".join(text(lowered, a) for a in eqn.args)
    if eqn.op.name == "dim":
        return f"{inner}.shape[{eqn.params['axis']}]"
    return f"{eqn.op.name}({inner})"
