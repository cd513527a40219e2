"""An array of which each iteration uses a row of its own becomes one row.

What the forward code of an iteration leaves for its backward code is an array over all
iterations. Where both are in the same iteration (`rows`), a buffer for one of them is
enough, and it stays in the cache: the array contraction of Gao et al. (1992).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gradjit.ir.graph import Atom, Block, Eqn, Graph, Value, free, values, walk
from gradjit.ir.types import ArrayType, rank
from gradjit.ops.region import Writer
from gradjit.passes.alias import Memory, carried, is_array, is_home
from gradjit.passes.blocks import inside_out, use_counts
from gradjit.passes.columns import columns
from gradjit.passes.row_group import RowUses

_FIRST = {"index": 1, "store": 2, "add_at": 2}
# What may make a version of the array.
_FOLLOWED = frozenset({"store", "add_at", "map_", "for_", "while_", "if_"})


def shrink(graph: Graph) -> Graph:
    """The program with buffers of one row where that is enough.

    Args:
        graph: A valid graph of the `program` stage, before `place`.
    """
    return Graph(graph.name, _block(graph.block), graph.mutated)


def _block(block: Block) -> Block:
    block = inside_out(block, _block)
    eqns = list(block.eqns)
    fresh = {e.out: k for k, e in enumerate(eqns) if e.op.name == "empty"}
    if not fresh:
        return block
    counts = use_counts(block)
    for at, eqn in enumerate(eqns):
        if eqn.op.name != "for_":
            continue
        for k, init, _, _ in list(carried(eqn)):
            made = fresh.get(init) if isinstance(init, Value) else None
            if made is None or counts[eqns[made].out] != 1 or counts.get(eqn.outs[k]):
                continue
            row = _Row(eqns[at], k)
            if row.is_enough():
                small = _cut(init.type)
                eqns[made] = eqns[made].with_(
                    args=eqns[made].args[1:],
                    outs=(Value(small, eqns[made].out.name),),
                    params={**eqns[made].params, "dims": small.dims},
                )
                eqns[at] = row.loop(eqns[made].out)
    return Block(block.params, tuple(eqns), block.results)


def _cut(type_: object) -> ArrayType:
    """The type of a row."""
    assert isinstance(type_, ArrayType)
    return ArrayType(type_.dtype, type_.dims[1:])


@dataclass(slots=True)
class _Row:
    """A carry of a loop that may be one row."""

    eqn: Eqn
    k: int
    memory: Memory = field(init=False)
    root: Atom = field(init=False)
    new: dict[Value, Value] = field(default_factory=dict[Value, Value])

    def __post_init__(self) -> None:
        self.memory = Memory(self.body)
        self.root = self.memory.root(self.body.params[1 + self.k])

    @property
    def body(self) -> Block:
        return self.eqn.regions[0]

    def is_enough(self) -> bool:
        """Whether all that is used of the array is the row of the iteration."""
        param = self.body.params[1 + self.k]
        if rank(param.type) < 2 or self.eqn.params.get("parallel"):
            return False
        others = [p for p in self.body.params[1:] if p is not param]
        if any(self.memory.root(p) is self.root for p in others):
            return False
        if not is_home(self.body, self.body.results[self.k], param):
            return False
        if sum(self._has(r) for r in self.body.results) != 1:
            return False
        if any(map(self._has, free(self.body))):
            return False
        if not RowUses(self.body, self.memory).only(param):
            return False
        return all(map(self._is_simple, walk(self.body)))

    def _has(self, atom: Atom) -> bool:
        return is_array(atom) and self.memory.root(atom) is self.root

    def _is_simple(self, eqn: Eqn) -> bool:
        """Whether an equation goes on with a row as it does with the array."""
        name = eqn.op.name
        if any(map(self._has, eqn.outs)) and name not in _FOLLOWED:
            return False
        return name != "dim" or not self._has(eqn.args[0])

    # ------------------------------------------------------------------ rewriting

    def loop(self, init: Value) -> Eqn:
        """The loop with the row as its carry."""
        eqn, k = self.eqn, self.k
        args = (*eqn.args[: 3 + k], init, *eqn.args[4 + k :])
        out = Value(init.type, eqn.outs[k].name)
        outs = (*eqn.outs[:k], out, *eqn.outs[k + 1 :])
        return eqn.with_(args=args, outs=outs, regions=(self._block(self.body),))

    def _value(self, value: Value) -> Value:
        if not self._has(value):
            return value
        if value not in self.new:
            self.new[value] = Value(_cut(value.type), value.name)
        return self.new[value]

    def _atom(self, atom: Atom) -> Atom:
        return self._value(atom) if isinstance(atom, Value) else atom

    def _block(self, block: Block) -> Block:
        return Block(
            tuple(map(self._value, block.params)),
            tuple(map(self._eqn, block.eqns)),
            tuple(map(self._atom, block.results)),
        )

    def _eqn(self, eqn: Eqn) -> Eqn:
        if not any(map(self._has, (*values(eqn.args), *eqn.outs))) and not eqn.regions:
            return eqn
        args, params = list(map(self._atom, eqn.args)), eqn.params
        first = _FIRST.get(eqn.op.name)
        if first is not None and self._has(eqn.args[0]):
            del args[first]
            params = {**params, "spec": params["spec"][1:]}
        if eqn.op.name == "map_":
            eqn = self._map(eqn)
        return eqn.with_(
            args=tuple(args),
            outs=tuple(map(self._value, eqn.outs)),
            params=params,
            regions=tuple(map(self._block, eqn.regions)),
        )

    def _map(self, eqn: Eqn) -> Eqn:
        """A nest that writes into the row without the index of the row."""
        ndim: int = eqn.params["ndim"]
        dests = eqn.args[ndim:]
        writers: tuple[Writer, ...] = eqn.params["writers"]
        results: list[Atom] = []
        for writer, column in zip(writers, columns(eqn), strict=True):
            inside = writer.dest >= 0 and self._has(dests[writer.dest])
            results += (column[0], *column[2:]) if inside else column
        (body,) = eqn.regions
        return eqn.with_(regions=(Block(body.params, body.eqns, tuple(results)),))
