"""What a program computes twice, branches and loops included, it computes once.

Two pullbacks of one function bring two copies of its forward part along. Equations with
regions are the same if they look the same, however their values are called. A branch on
a condition on which another one has been taken joins it, if it needs nothing that was
computed in between: what both compute is then seen to be the same.

A check that has been passed once is passed again. Empty arrays of the same extents,
each for one use, are as good as one; what stacks hold is not looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

from gradjit.ir.build import key_of, look
from gradjit.ir.graph import (
    Atom,
    Block,
    Const,
    Eqn,
    Graph,
    Value,
    free,
    uses,
    values,
    walk,
)
from gradjit.ir.types import StackType
from gradjit.passes.dce import acts
from gradjit.passes.small import extents

Env = dict[Value, Atom]
Keys = Mapping[Value, Hashable]
Numbers = dict[Value, int]


def reuse(graph: Graph) -> Graph:
    """The graph without branches and loops that say what others have said.

    Args:
        graph: A valid graph of the `graph` stage.
    """
    if not any(e.regions for e in graph.block.eqns):
        return graph
    once = {v for v, n in Counter(uses(graph.block)).items() if n == 1}
    block = _Reuse([], once, {}).block(graph.block, {})
    return Graph(graph.name, block, graph.mutated)


class _Reuse:
    """Rebuilds a block.

    Attributes:
        scopes: What this block and those around it have computed so far.
        once: Values that are used once.
        blank: Empty arrays that are used once, by what makes them alike.
        out: The equations so far.
    """

    def __init__(
        self,
        around: Sequence[dict[Hashable, tuple[Value, ...]]],
        once: set[Value],
        blank: Keys,
    ) -> None:
        self.scopes = [*around, dict[Hashable, tuple[Value, ...]]()]
        self.once = once
        self.blank = dict(blank)
        self.out: list[Eqn] = []

    def block(self, block: Block, env: Env) -> Block:
        for eqn in block.eqns:
            self.eqn(eqn, env)
        results = tuple(look(r, env) for r in block.results)
        return Block(block.params, tuple(self.out), results)

    def eqn(self, eqn: Eqn, env: Env) -> None:
        """Append an equation, or find its results."""
        args = tuple(look(a, env) for a in eqn.args)
        regions = tuple(
            _Reuse(self.scopes, self.once, self.blank).block(r, env)
            for r in eqn.regions
        )
        eqn = eqn.with_(args=args, regions=regions)
        if eqn.op.name == "empty" and eqn.out in self.once:
            self.blank[eqn.out] = ("blank", key_of(eqn))
        key = _key(eqn, self.blank)
        found = self.find(key) if key is not None else None
        if found is not None:
            env.update(zip(eqn.outs, found, strict=True))
        elif key is None or eqn.op.name != "if_" or not self.join(eqn, env):
            self.out.append(eqn)
            if key is not None:
                self.scopes[-1][key] = eqn.outs

    def find(self, key: Hashable) -> tuple[Value, ...] | None:
        found = (scope.get(key) for scope in reversed(self.scopes))
        return next((outs for outs in found if outs is not None), None)

    def join(self, eqn: Eqn, env: Env) -> bool:
        """Have an earlier branch on the same condition compute this one too."""
        k = self.earliest(eqn)
        if k is None:
            return False
        needed = {v for r in eqn.regions for v in free(r)}
        along: list[Eqn] = []
        rest: list[Eqn] = []
        for later in reversed(self.out[k + 1 :]):
            if later.op.name == "empty" and later.out in needed:
                along.insert(0, later)
                needed.update(values(later.args))
            else:
                rest.insert(0, later)
        self.out[k:] = [*along, self.joined(self.out[k], eqn, env), *rest]
        return True

    def earliest(self, eqn: Eqn) -> int | None:
        """Where the first branch is that another one can join."""
        needed = {v for r in eqn.regions for v in free(r)}
        waits = acts(*eqn.regions)
        found: int | None = None
        for k in range(len(self.out) - 1, -1, -1):
            first = self.out[k]
            if first.op.name == "empty" and first.out in needed:
                needed.update(values(first.args))
                continue
            if needed.intersection(first.outs):
                break
            same = first.op.name == "if_" and first.args[0] is eqn.args[0]
            if same and _key(first, {}) is not None:
                found = k
            if waits and acts(Block((), (first,), ())):
                break
        return found

    def joined(self, first: Eqn, second: Eqn, env: Env) -> Eqn:
        """One branch for two; `env` learns which results are the same."""
        regions: list[Block] = []
        for a, b in zip(first.regions, second.regions, strict=True):
            both = Block((), (*a.eqns, *b.eqns), (*a.results, *b.results))
            regions.append(_Reuse([], self.once, self.blank).block(both, {}))
        outs = (*first.outs, *second.outs)
        columns: dict[Hashable, Value] = {}
        kept: list[int] = []
        for k, out in enumerate(outs):
            ends = tuple(_atom(r.results[k], self.blank, {}) for r in regions)
            if k >= len(first.outs) and ends in columns:
                env[out] = columns[ends]
                continue
            columns.setdefault(ends, out)
            kept.append(k)
        blocks = (Block((), r.eqns, tuple(r.results[k] for k in kept)) for r in regions)
        return first.with_(outs=tuple(outs[k] for k in kept), regions=tuple(blocks))


# ----------------------------------------------------------------------------- keys


def _key(eqn: Eqn, blank: Keys) -> Hashable | None:
    """What equations have in common that compute the same; None for others."""
    inside = [e for r in eqn.regions for e in walk(r)]
    if not all(map(_is_plain, (eqn, *inside))) or eqn.op.name == "empty":
        return None
    if any(isinstance(o.type, StackType) for o in eqn.outs):
        return None
    small = len(eqn.outs) == 1 and extents(eqn.out.type) is not None
    key = _form(eqn, blank if eqn.regions or small else {})
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _is_plain(eqn: Eqn) -> bool:
    """Whether an equation always does the same: computes, or checks."""
    return eqn.op.kind != "stack" and (eqn.op.pure or eqn.op.name == "check")


def _form(eqn: Eqn, blank: Keys, numbers: Numbers | None = None) -> Hashable:
    """An equation, with what can stand for its values.

    Args:
        eqn: The equation.
        blank: Empty arrays, by what makes them alike.
        numbers: Values of the regions around, in order.
    """
    inner = {} if numbers is None else numbers
    args = tuple(_atom(a, blank, inner) for a in eqn.args)
    regions = tuple(_block(r, blank, dict(inner)) for r in eqn.regions)
    params = tuple(sorted(_params(eqn)))
    return eqn.op.name, args, params, regions, tuple(str(o.type) for o in eqn.outs)


def _params(eqn: Eqn) -> Iterator[tuple[str, Any]]:
    for name, value in eqn.params.items():
        if name != "message":
            yield name, value


def _block(block: Block, blank: Keys, inner: Numbers) -> Hashable:
    types = tuple(str(p.type) for p in block.params)
    for param in block.params:
        inner[param] = len(inner)
    forms: list[Hashable] = []
    for eqn in block.eqns:
        forms.append(_form(eqn, blank, inner))
        for out in eqn.outs:
            inner[out] = len(inner)
    return types, tuple(forms), tuple(_atom(r, blank, inner) for r in block.results)


def _atom(atom: Atom, blank: Keys, inner: Numbers) -> Hashable:
    if isinstance(atom, Const):
        return atom.key()
    number = inner.get(atom)
    return blank.get(atom, atom) if number is None else ("inside", number)
