"""What a program computes twice, branches and loops included, it computes once.

Two pullbacks of one function bring two copies of its forward part along. Equations with
regions are the same if they look the same, however their values are called. A branch on
a condition on which another one has been taken joins it, if it needs nothing that was
computed in between: what both compute is then seen to be the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from gradjit.ir.build import key_of, look
from gradjit.ir.graph import Atom, Block, Const, Eqn, Graph, Value, free, values, walk
from gradjit.ir.types import StackType
from gradjit.passes.dce import acts

Env = dict[Value, Atom]
Seen = dict[Hashable, tuple[Value, ...]]


def reuse(graph: Graph) -> Graph:
    """The graph without branches and loops that say what others have said.

    Args:
        graph: A valid graph of the `graph` stage.
    """
    if not any(e.op.name == "if_" or e.op.name == "for_" for e in walk(graph.block)):
        return graph
    block = _Reuse([], _places(graph.block)).block(graph.block, {})
    return Graph(graph.name, block, graph.mutated)


class _Reuse:
    """Rebuilds a block.

    Args:
        around: What the blocks around have computed so far.
        places: Empty arrays that only stand where a branch has no result.
    """

    def __init__(self, around: Sequence[Seen], places: set[Value]) -> None:
        self.places = places
        self.seen: Seen = {}
        self.scopes = [*around, self.seen]
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
            _Reuse(self.scopes, self.places).block(r, env) for r in eqn.regions
        )
        eqn = eqn.with_(args=args, regions=regions)
        key = self.key(eqn)
        found = self.find(key) if key is not None else None
        if found is not None:
            env.update(zip(eqn.outs, found, strict=True))
            return
        if key is not None and eqn.op.name == "if_" and self.join(eqn, env):
            return
        self.out.append(eqn)
        if key is not None:
            self.seen[key] = eqn.outs

    def key(self, eqn: Eqn) -> Hashable | None:
        """What equations have in common that compute the same; None for others."""
        if eqn.op.name == "empty":
            return _hashed(key_of(eqn)) if eqn.out in self.places else None
        return _key(eqn)

    def find(self, key: Hashable) -> tuple[Value, ...] | None:
        found = (scope.get(key) for scope in reversed(self.scopes))
        return next((outs for outs in found if outs is not None), None)

    # ---------------------------------------------------------------- branches

    def join(self, eqn: Eqn, env: Env) -> bool:
        """Have an earlier branch on the same condition compute this one too."""
        needed = {v for r in eqn.regions for v in free(r)}
        for k in range(len(self.out) - 1, -1, -1):
            first = self.out[k]
            if needed.intersection(first.outs):
                return False
            if first.op.name == "if_" and first.args[0] is eqn.args[0]:
                if _key(first) is None:
                    return False
                self.out[k] = _joined(first, eqn, env)
                return True
        return False


def _places(block: Block) -> set[Value]:
    """Empty arrays that no equation takes, or writes into."""
    eqns = list(walk(block))
    taken = {v for e in eqns for v in values(e.args)}
    return {e.out for e in eqns if e.op.name == "empty" and e.out not in taken}


def _joined(first: Eqn, second: Eqn, env: Env) -> Eqn:
    """One branch for two; `env` learns which results are the same."""
    regions = [
        _appended(a, b) for a, b in zip(first.regions, second.regions, strict=True)
    ]
    count = len(first.outs)
    columns: dict[Hashable, Value] = {}
    kept: list[int] = []
    outs = (*first.outs, *second.outs)
    for k, out in enumerate(outs):
        ends = [r.results[k] for r in regions]
        key = tuple(a.key() if isinstance(a, Const) else a for a in ends)
        if k >= count and columns.get(key) is not None:
            env[out] = columns[key]
            continue
        columns.setdefault(key, out)
        kept.append(k)
    return first.with_(
        outs=tuple(outs[k] for k in kept),
        regions=tuple(
            Block((), r.eqns, tuple(r.results[k] for k in kept)) for r in regions
        ),
    )


def _appended(first: Block, second: Block) -> Block:
    """One block after another, and the results of both."""
    both = Block((), (*first.eqns, *second.eqns), (*first.results, *second.results))
    return _Reuse([], set()).block(both, {})


# ----------------------------------------------------------------------------- keys


def _key(eqn: Eqn) -> Hashable | None:
    """The same for equations that are not `empty`."""
    if not eqn.op.pure or eqn.op.kind == "stack" or eqn.op.name == "empty":
        return None
    if not eqn.regions:
        return None if eqn.params.get("checked") else _hashed(key_of(eqn))
    if any(isinstance(o.type, StackType) for o in eqn.outs) or acts(*eqn.regions):
        return None
    return _hashed(_form(eqn, {}))


def _hashed(key: Hashable) -> Hashable | None:
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _form(eqn: Eqn, numbers: Mapping[Value, int]) -> Hashable:
    """An equation with numbers in place of the values that a region defines."""
    inner = dict(numbers)
    args = tuple(_atom(a, inner) for a in eqn.args)
    regions = tuple(_block(r, inner) for r in eqn.regions)
    params = tuple(sorted(eqn.params.items(), key=_first))
    return eqn.op.name, args, params, regions, tuple(str(o.type) for o in eqn.outs)


def _first(item: tuple[str, Any]) -> str:
    return item[0]


def _block(block: Block, numbers: Mapping[Value, int]) -> Hashable:
    inner = dict(numbers)
    types = [str(p.type) for p in block.params]
    for param in block.params:
        inner[param] = len(inner)
    forms: list[Hashable] = []
    for eqn in block.eqns:
        forms.append(_form(eqn, inner))
        for out in eqn.outs:
            inner[out] = len(inner)
    return tuple(types), tuple(forms), tuple(_atom(r, inner) for r in block.results)


def _atom(atom: Atom, numbers: Mapping[Value, int]) -> Hashable:
    if isinstance(atom, Const):
        return atom.key()
    number = numbers.get(atom)
    return atom if number is None else ("inside", number)
