"""Short lines: subexpressions that make one too long become statements again.

Lengths are estimated from the templates of the ops, before there are names. A value
that a reduction prints more than once (`if x > best: best = x`) gets a name too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gradjit.ir.graph import Atom, Block, Const, Eqn, Graph, Value, values
from gradjit.passes.inline import Inlining, map_rows, times_printed

WIDTH = 80
_REPEATED = frozenset({"max", "min", "argmax", "argmin"})


def shorten(graph: Graph, inlining: Inlining) -> None:
    """Make statements of subexpressions where a line would become too long."""
    _Shortener(inlining, {}).block(graph.block, 1)
    inlining.forget()


@dataclass(slots=True)
class _Shortener:
    inlining: Inlining
    lengths: dict[Value, int]

    def block(self, block: Block, depth: int) -> None:
        for eqn in block.eqns:
            room = WIDTH - 4 * depth
            if eqn.op.name == "map_":
                for result in repeated_results(eqn):
                    self._name(result)
            if eqn.outs and eqn.outs[0] in self.inlining.choices:
                self._choice(eqn, room)
                continue
            for region in eqn.regions:
                self.block(region, depth + _levels(eqn))
            length = self._fit(eqn, eqn.args, room - _target(eqn))
            if len(eqn.outs) == 1:
                self.lengths[eqn.out] = length
        self._results(block, WIDTH - 4 * depth - 8)

    def _results(self, block: Block, room: int) -> None:
        for result in values(block.results):
            if result in self.inlining.inlined and self.lengths.get(result, 0) > room:
                self._name(result)

    def _choice(self, eqn: Eqn, room: int) -> None:
        inside = 10
        for region in eqn.regions:
            for e in region.eqns:
                self.lengths[e.out] = _own_length(e) + sum(map(self._length, e.args))
            inside += self._length(region.results[0])
        length = self._fit(eqn, eqn.args, room - inside) + inside
        self.lengths[eqn.out] = length

    def _fit(self, eqn: Eqn, args: Iterable[Atom], room: int) -> int:
        atoms = list(args)
        own = _own_length(eqn)
        while True:
            total = own + sum(
                self._length(a) * times_printed(eqn, k) for k, a in enumerate(atoms)
            )
            inner = [a for a in values(atoms) if a in self.inlining.inlined]
            longest = max(inner, key=self._length, default=None)
            if total <= room or longest is None or self._length(longest) < 12:
                return total
            self._name(longest)

    def _length(self, atom: Atom) -> int:
        if isinstance(atom, Const):
            return len(repr(atom.value))
        if atom in self.inlining.inlined:
            return self.lengths.get(atom, 8)
        return len(atom.name) or 3

    def _name(self, atom: Atom) -> None:
        if isinstance(atom, Value):
            self.inlining.inlined.pop(atom, None)


def _levels(eqn: Eqn) -> int:
    return max(1, eqn.params["ndim"]) if eqn.op.name == "map_" else 1


def _own_length(eqn: Eqn) -> int:
    """Characters of an equation's text without its arguments, parentheses included."""
    if eqn.op.text:
        text = eqn.op.text
        for k in range(len(eqn.args)):
            text = text.replace(f"{{{k}}}", "")
        return len(text) + 2
    return 2 + 2 * len(eqn.args)


def _target(eqn: Eqn) -> int:
    return 3 + max((len(o.name) or 3 for o in eqn.outs), default=8)


def repeated_results(eqn: Eqn) -> Iterator[Atom]:
    """Values of a map's body that its writers print more than once."""
    for value, writer, _ in map_rows(eqn):
        if writer.kind in _REPEATED:
            yield value
