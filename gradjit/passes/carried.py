"""Branches and loops that hand on the elements of small arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from gradjit.ir.graph import Atom, Block, Const, Eqn, Value, substitute
from gradjit.ir.types import ScalarType
from gradjit.passes.aggregates import Aggregates, Item, element_name
from gradjit.passes.small import Small, extents, indices

_A = TypeVar("_A", bound=Atom)


class Carried(Aggregates):
    """Rebuilds equations with regions."""

    # ---------------------------------------------------------------- branches

    def branch(self, eqn: Eqn) -> None:
        """A branch: what both sides leave alike is no result of it."""
        pred = self.scalar(eqn.args[0])
        if isinstance(pred, Const):
            region = eqn.regions[0 if pred.value else 1]
            self.run(region)
            pairs = zip(eqn.outs, region.results, strict=True)
            self.env.update([(out, self.look(r)) for out, r in pairs])
            return
        sides = [self._side(eqn, region) for region in eqn.regions]
        results: list[tuple[Atom, Atom]] = []
        outs: list[Value] = []
        inside = [values for _, _, values in sides]
        for k, old in enumerate(eqn.outs):
            columns = zip(*(flat(items[k]) for _, items, _ in sides), strict=True)
            parts: list[Atom] = []
            for (a, b), part in zip(columns, self.parts(old), strict=True):
                if self.groups.dissolves(old) and _alike(a, b, *inside):
                    parts.append(a)
                    continue
                results.append((a, b))
                outs.append(part)
                parts.append(part)
            self.env[old] = self.joined(old, parts)
        regions = tuple(
            Block((), tuple(eqns), tuple(pair[s] for pair in results))
            for s, (eqns, _, _) in enumerate(sides)
        )
        new = eqn.with_(args=(pred,), outs=tuple(outs), regions=regions, loc=self.b.loc)
        self.b.append(new)

    def _side(
        self, eqn: Eqn, region: Block
    ) -> tuple[list[Eqn], list[Item], set[Value]]:
        """The equations of a side, its results, and what it defines."""
        frame = self.b.open(())
        self.run(region)
        items = [
            self.handed(out, r) for out, r in zip(eqn.outs, region.results, strict=True)
        ]
        self.b.frames.pop()
        return frame.eqns, items, frame.values

    # ------------------------------------------------------------------- loops

    def loop(self, eqn: Eqn) -> None:
        """A loop: elements that no iteration changes are no carries of it."""
        first = len(eqn.args) - len(eqn.outs)
        head = [self.scalar(a) for a in eqn.args[:first]]
        pairs = zip(eqn.outs, eqn.args[first:], strict=True)
        inits = [a for out, old in pairs for a in flat(self.handed(out, old))]
        regions = [self._body(eqn, region, head) for region in eqn.regions]
        still = self._still(eqn, regions[-1], inits)
        rows = [self.parts(old) for old in eqn.outs]
        every = [part for row in rows for part in row]
        new = eqn.with_(
            args=(*head, *_without(inits, still)),
            outs=tuple(_without(every, still)),
            regions=tuple(
                _narrowed(r, still, inits, r is regions[-1]) for r in regions
            ),
        )
        self.b.append(new)
        at = 0
        for old, row in zip(eqn.outs, rows, strict=True):
            numbers = range(at, at + len(row))
            atoms = [inits[k] if k in still else every[k] for k in numbers]
            self.env[old] = self.joined(old, atoms)
            at += len(row)

    def _body(self, eqn: Eqn, region: Block, head: Sequence[Atom]) -> Block:
        """A region of a loop, with all elements as parameters and results."""
        count = len(eqn.outs)
        lead = region.params[: len(region.params) - count]
        params = [Value(p.type, p.name) for p in lead]
        self.env.update(zip(lead, params, strict=True))
        if head:
            self.b.facts.index_range(params[0], head[0], head[1], head[2])
        for out, old in zip(eqn.outs, region.params[len(lead) :], strict=True):
            row = self.parts(out, old)
            self.env[old] = self.joined(out, row)
            params += row
        frame = self.b.open(params)
        self.run(region)
        if region is eqn.regions[-1]:
            pairs = zip(eqn.outs, region.results, strict=True)
            results = [a for out, r in pairs for a in flat(self.handed(out, r))]
        else:
            results = list(map(self.scalar, region.results))
        self.b.frames.pop()
        return Block(frame.params, tuple(frame.eqns), tuple(results))

    def _still(self, eqn: Eqn, body: Block, inits: Sequence[Atom]) -> set[int]:
        """The carried elements that the body does not change.

        One that ends as the number it starts with is that in between, too. A Python
        number stays a carry, which has the width of an element.
        """
        params = body.params[len(body.params) - len(inits) :]
        out: set[int] = set()
        at = 0
        for old in eqn.outs:
            row = range(at, at + len(self.parts(old)))
            if self.groups.dissolves(old):
                out |= {
                    k
                    for k in row
                    if body.results[k] is params[k]
                    or _is_same(body.results[k], inits[k])
                }
            at += len(row)
        return {k for k in out if not is_weak(inits[k])}

    # -------------------------------------------------------------------- maps

    def map(self, eqn: Eqn) -> None:
        """A loop over elements that stays one; its arrays are in memory."""
        args = tuple(map(self.memory, eqn.args))
        (body,) = eqn.regions
        params = tuple(Value(p.type, p.name) for p in body.params)
        self.env.update(zip(body.params, params, strict=True))
        self.b.open(params)
        self.run(body)
        region = self.b.close([self.scalar(r) for r in body.results])
        outs = tuple(Value(o.type, o.name) for o in eqn.outs)
        self.b.append(eqn.with_(args=args, outs=outs, regions=(region,)))
        self.env.update(zip(eqn.outs, outs, strict=True))

    # ------------------------------------------------------------------- parts

    def handed(self, out: Value, atom: Atom) -> Item:
        """What is handed on for a result: scalars if it is to be such."""
        shape = extents(out.type)
        if shape is None or not self.groups.dissolves(out):
            return self.memory(atom)
        small = self.exploded(self.look(atom), shape)
        items = tuple(self.fitted(a, out.type.dtype) for a in small.items)
        return Small(shape, items)

    def parts(self, out: Value, like: Value | None = None) -> list[Value]:
        """New values for a result, or for its elements."""
        value = out if like is None else like
        shape = extents(out.type)
        if shape is None or not self.groups.dissolves(out):
            return [Value(value.type, value.name)]
        type_ = ScalarType(out.type.dtype)
        return [Value(type_, element_name(value.name, at)) for at in indices(shape)]

    def joined(self, out: Value, parts: Sequence[Atom]) -> Item:
        """A result from its parts."""
        shape = extents(out.type)
        if shape is None or not self.groups.dissolves(out):
            (part,) = parts
            return part
        return Small(shape, tuple(parts))


def flat(item: Item) -> tuple[Atom, ...]:
    """The atoms that an item is made of."""
    return item.items if isinstance(item, Small) else (item,)


def is_weak(atom: Atom) -> bool:
    """Whether an atom is a Python number, which has no width of its own."""
    return isinstance(atom.type, ScalarType) and atom.type.weak


def _without(atoms: Sequence[_A], which: set[int]) -> list[_A]:
    return [a for k, a in enumerate(atoms) if k not in which]


def _narrowed(
    region: Block, still: set[int], inits: Sequence[Atom], is_body: bool
) -> Block:
    """A region of a loop without carries that are always their initial values."""
    skip = len(region.params) - len(inits)
    lead, params = region.params[:skip], region.params[skip:]
    results = _without(region.results, still) if is_body else region.results
    block = Block((*lead, *_without(params, still)), region.eqns, tuple(results))
    return substitute(block, {params[k]: inits[k] for k in still})


def _alike(a: Atom, b: Atom, *inside: set[Value]) -> bool:
    """Whether both sides of a branch leave the same, which is not of their making."""
    if isinstance(a, Const) or isinstance(b, Const):
        return isinstance(a, Const) and isinstance(b, Const) and a.key() == b.key()
    return a is b and not any(a in values for values in inside)


def _is_same(a: Atom, b: Atom) -> bool:
    """Whether two atoms are the same number."""
    return isinstance(a, Const) and isinstance(b, Const) and a.key() == b.key()
