"""The equation of a loop, from what the last attempt to trace its body has left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gradjit.ir.graph import Atom, Block, Const, Eqn, Value, substitute
from gradjit.ir.op import lookup
from gradjit.ir.types import TRUTH
from gradjit.trace import branch, control, merge
from gradjit.trace.handle import Buffer
from gradjit.trace.memory import Family
from gradjit.trace.region import Carry, Leafs, Region, is_clear


@dataclass(slots=True)
class Column:
    """One carry of the finished equation."""

    init: Atom
    params: tuple[Value, ...]
    final: Atom
    out: Value


class Assembly:
    """Builds the equation of a loop from what its attempts have left."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self.builder = region.builder
        self.columns: list[Column] = []
        self.mapping: dict[Value, Atom] = {}

    def column(
        self, init: Atom, params: tuple[Value, ...], final: Atom, name: str
    ) -> Atom:
        """The value after the loop; a carry only if the body changes it."""
        if final in params or _equal(final, init):
            self.mapping.update(dict.fromkeys(params, init))
            return init
        out = Value(params[0].type, name)
        self.columns.append(Column(init, params, final, out))
        return out

    def flag(self, name: str, atom: Atom, blocks: int) -> Value:
        """A bool that starts as False and is not read in the body."""
        no = Const(False, TRUTH)
        params = tuple(Value(atom.type, "") for _ in range(blocks))
        out = Value(atom.type, name)
        self.columns.insert(0, Column(no, params, atom, out))
        return out

    def blocks(
        self,
        frames: Sequence[Any],
        results: Sequence[Sequence[Atom] | None],
        first: Sequence[tuple[Value, ...]],
    ) -> tuple[Block, ...]:
        """The regions; results None: those of the carries."""
        out: list[Block] = []
        for k, frame in enumerate(frames):
            params = (*first[k], *(c.params[k] for c in self.columns))
            ends = results[k]
            if ends is None:
                ends = [c.final for c in self.columns]
            block = Block(params, tuple(frame.eqns), tuple(ends))
            out.append(substitute(block, self.mapping))
        return tuple(out)

    def settle_inits(self) -> None:
        """Initial values never are parameters that have dropped out."""
        for column in self.columns:
            while isinstance(column.init, Value) and column.init in self.mapping:
                column.init = self.mapping[column.init]

    def finish(
        self,
        carries: Sequence[Carry],
        leafs: Leafs,
        atoms: Sequence[Atom],
        buffers: Sequence[tuple[Buffer, Atom]],
        flags: dict[str, Any],
    ) -> None:
        """Bind names, cells and buffers to what comes out of the loop."""
        builder, body = self.builder, self.region.body
        sources = iter(
            [
                (i.buffer, n.buffer)
                for i, n in zip(leafs.inits, leafs.finals, strict=True)
            ]
        )
        family = Family()

        def make(atom: Atom, spec: merge.Arr) -> Any:
            out = builder.wrap(atom)
            family.add(out.buffer, next(sources))
            return out

        results = branch.counting(atoms, sources)
        values: dict[str, Any] = dict(flags)
        for carry in carries:
            value = merge.build(builder, carry.spec, results, make, body.site)
            if carry.cell is None:
                values[carry.name] = value
            else:
                builder.log(carry.cell.owner, carry.cell.key, carry.cell.attribute)
                carry.cell.put(value)
        body.set(values)
        for buffer, atom in buffers:
            builder.write(buffer, atom, merged=True)


def _equal(a: Atom, b: Atom) -> bool:
    if isinstance(a, Const) and isinstance(b, Const):
        return a.key() == b.key()
    return a is b


def finished_flags(region: Region, plan: Assembly, blocks: int) -> dict[str, Any]:
    """The flags after the loop; the first carry says that it is done."""
    builder = region.builder
    live = {n: f for n, f in region.flags.items() if not is_clear(f)}
    out: dict[str, Any] = {}
    if region.done is None:
        return out
    if len(live) > 1:
        for name, flag in live.items():
            out[name] = builder.wrap(plan.flag("", control.bool_atom(flag), blocks))
    done = plan.flag("", region.done, blocks)
    if len(live) == 1:
        out[next(iter(live))] = builder.wrap(done)
    return out


def emit_loop(
    plan: Assembly,
    op: str,
    first: Sequence[Atom],
    blocks: tuple[Block, ...],
    params: dict[str, Any],
) -> None:
    """Append the equation, unless the loop has neither carries nor effects."""
    builder = plan.builder
    idle = not plan.columns and not any(branch.effects(b) for b in blocks)
    if idle and op == "for_":
        return
    args = (*first, *(c.init for c in plan.columns))
    outs = tuple(c.out for c in plan.columns)
    eqn = Eqn(lookup(op), args, outs, params, blocks, plan.region.body.site)
    builder.append(eqn)


def keep_extents(
    plan: Assembly, leafs: Leafs, atoms: Sequence[Atom], adopted: dict[Buffer, Any]
) -> None:
    """What comes out of the loop has the extents that went in, where they stay."""
    builder = plan.builder
    outs = {c.out for c in plan.columns}
    for atom, init, spec in zip(atoms, leafs.inits, leafs.specs, strict=True):
        if atom in outs and isinstance(spec, merge.Arr) and spec.kept:
            builder.set_extents(atom, builder.extents(init.atom))  # type: ignore
    for column in plan.columns:
        for before, _ in adopted.values():
            if column.params[0] is before.param:
                builder.set_extents(column.out, builder.extents(before.before))
