"""Which values can share a name.

A backward walk finds, for each definition, the values that are alive after it: they
must not have the same name (Chaitin's interference graph, built on structured code; a
copy `a = b` is no conflict between a and b). Sets of values are bits of an int. The
versions of an array, and a loop's carried value inside and after the loop, are one
thing from the start; a loop's initial values and results, and the results of the
branches of an `if_`, are joined to it where nothing is in the way.
"""

from __future__ import annotations

from collections.abc import Iterable

from gradjit.ir.graph import Atom, Block, Eqn, Graph, Value, defined, walk
from gradjit.ir.types import ScalarType
from gradjit.ops.region import Writer
from gradjit.passes.inline import Inlining


class Sharing:
    """Classes of values that share a name, and the conflicts between classes."""

    def __init__(self, graph: Graph, inlining: Inlining) -> None:
        self.inlining = inlining
        self.slots: dict[Value, int] = {}
        self._parents: list[int] = []
        self._free: dict[int, frozenset[Value]] = {}
        self._alias(graph.block)
        self._hints: dict[int, str] = {}
        made = {e.out for e in walk(graph.block) if _is_own_copy(e)}
        for value, slot in self.slots.items():
            if value.name and value not in made:
                self._hints.setdefault(slot, value.name)
        self.members = [1 << k for k in range(len(self._parents))]
        self.conflicts = [0] * len(self._parents)
        live = self._mask(graph.block.results)
        live = self._block(graph.block, live)
        self._define(graph.block.params, live)
        self._join_copies(graph.block)

    # ------------------------------------------------------ what is one thing

    def _alias(self, block: Block) -> None:
        for param in block.params:
            self._slot(param)
        for eqn in block.eqns:
            self._alias_outs(eqn)
            for region in eqn.regions:
                self._alias(region)

    def _slot(self, value: Value) -> int:
        if value not in self.slots:
            self.slots[value] = len(self._parents)
            self._parents.append(len(self._parents))
        return self.slots[value]

    def _alias_outs(self, eqn: Eqn) -> None:
        name = eqn.op.name
        for k, out in enumerate(eqn.outs):
            source = _continues(eqn, k)
            if isinstance(source, Value):
                self.slots[out] = self._slot(source)
            else:
                self._slot(out)
        if name == "for_":
            self._same(eqn.regions[0].params[1:], eqn.outs)
        elif name == "while_":
            self._same(eqn.regions[0].params, eqn.outs)
            self._same(eqn.regions[1].params, eqn.outs)

    def _same(self, inner: Iterable[Value], outer: Iterable[Value]) -> None:
        for p, o in zip(inner, outer, strict=True):
            self.slots[p] = self.slots[o]

    # ------------------------------------------------------------------- bits

    def _mask(self, atoms: Iterable[Atom]) -> int:
        mask = 0
        for atom in atoms:
            for leaf in self.inlining.leaves(atom):
                mask |= 1 << self._slot(leaf)
        return mask

    def _bits(self, block_values: Iterable[Value]) -> int:
        mask = 0
        for value in block_values:
            mask |= 1 << self.slots[value]
        return mask

    def _outside(self, block: Block) -> frozenset[Value]:
        """What a region mentions of the values around it."""
        found = self._free.get(id(block))
        if found is None:
            inside = defined(block)
            used = set(self._leaves(block.results))
            for eqn in block.eqns:
                if eqn.outs and eqn.outs[0] in self.inlining.inlined:
                    continue
                used |= self._leaves(eqn.args)
                for region in eqn.regions:
                    used |= self._outside(region)
            found = frozenset(used - inside)
            self._free[id(block)] = found
        return found

    def _leaves(self, atoms: Iterable[Atom]) -> set[Value]:
        return {leaf for a in atoms for leaf in self.inlining.leaves(a)}

    # ---------------------------------------------------------- the backward walk

    def _define(self, outs: Iterable[Value], live: int, source: int = 0) -> None:
        outs = list(outs)
        after = live | self._bits(outs)
        for out in outs:
            slot = self.slots[out]
            self.conflicts[slot] |= after & ~(1 << slot) & ~source

    def _block(self, block: Block, live: int) -> int:
        for eqn in reversed(block.eqns):
            live = self._equation(eqn, live)
        return live

    def _equation(self, eqn: Eqn, live: int) -> int:
        if eqn.outs and eqn.outs[0] in self.inlining.inlined:
            return live
        name = eqn.op.name
        if name == "for_":
            return self._for(eqn, live)
        if name == "while_":
            return self._while(eqn, live)
        if name == "if_":
            return self._if(eqn, live)
        if name == "map_":
            return self._map(eqn, live)
        self._define(eqn.outs, live)
        return (live & ~self._bits(eqn.outs)) | self._mask(eqn.args)

    def _for(self, eqn: Eqn, live: int) -> int:
        body = eqn.regions[0]
        around = live & ~self._bits(eqn.outs)
        around |= self._bits(self._outside(body))
        head = around | self._bits(eqn.outs)
        index = self._bits(body.params[:1])
        self._block(body, around | index | self._mask(body.results))
        self._define(body.params[:1], head)
        bounds = self._mask(eqn.args[:3])
        # An exit's test may be printed after the copies, at the end of the body.
        test = self._mask(body.results[:1]) if eqn.params.get("exits") else 0
        self._copy_all(eqn.outs, body.results, head | index | test)
        self._copy_all(eqn.outs, eqn.args[3:], head | bounds)
        return around | self._mask(eqn.args)

    def _while(self, eqn: Eqn, live: int) -> int:
        cond, body = eqn.regions
        around = live & ~self._bits(eqn.outs)
        around |= self._bits(self._outside(cond) | self._outside(body))
        head = around | self._bits(eqn.outs)
        self._block(body, around | self._mask(body.results))
        self._block(cond, head | self._mask(cond.results))
        self._copy_all(eqn.outs, body.results, head)
        self._copy_all(eqn.outs, eqn.args, head)
        return around | self._mask(eqn.args)

    def _copy_all(
        self, targets: tuple[Value, ...], sources: tuple[Atom, ...], live: int
    ) -> None:
        for target, source in zip(targets, sources, strict=True):
            self._copy(target, source, live)

    def _copy(self, target: Value, source: Atom, live: int) -> None:
        same = 0
        if isinstance(source, Value) and source not in self.inlining.inlined:
            same = 1 << self.slots[source]
        self._define((target,), live, same)

    def _if(self, eqn: Eqn, live: int) -> int:
        if eqn.outs and eqn.outs[0] in self.inlining.choices:
            self._define(eqn.outs, live)
            leaves = self._bits(self.inlining.leaves_of(eqn))
            return (live & ~self._bits(eqn.outs)) | leaves
        before = self._mask(eqn.args)
        outs = self._bits(eqn.outs)
        for region in eqn.regions:
            self._copy_all(eqn.outs, region.results, live | outs)
            end = (live & ~outs) | self._mask(region.results)
            before |= self._block(region, end)
        return before

    def _map(self, eqn: Eqn, live: int) -> int:
        body = eqn.regions[0]
        used = self._mask(eqn.args) | self._bits(self._outside(body))
        around = live | used | self._bits(eqn.outs)
        indices = self._bits(body.params)
        self._block(body, around | indices | self._mask(body.results))
        self._define(body.params, around)
        self._define(eqn.outs, around)
        return (live & ~self._bits(eqn.outs)) | used

    # ----------------------------------------------------------------- joining

    def _join_copies(self, block: Block) -> None:
        for eqn in block.eqns:
            for region in eqn.regions:
                self._join_copies(region)
            if eqn.op.name == "if_" and eqn.outs[:1]:
                if eqn.outs[0] not in self.inlining.choices:
                    for region in eqn.regions:
                        self._join(eqn.outs, region.results)
            elif eqn.op.name in ("for_", "while_"):
                first = 3 if eqn.op.name == "for_" else 0
                self._join(eqn.outs, eqn.regions[-1].results)
                self._join(eqn.outs, eqn.args[first:])

    def _join(self, targets: Iterable[Value], sources: Iterable[Atom]) -> None:
        for target, source in zip(targets, sources, strict=True):
            if isinstance(source, Value) and source not in self.inlining.inlined:
                self._join_two(target, source)

    def _join_two(self, target: Value, source: Value) -> None:
        a, b = self.root(target), self.root(source)
        if a == b or self.clash(a, b):
            return
        names = self._hint(a), self._hint(b)
        if all(names) and names[0] != names[1]:
            return
        if not same_kind(target, source):
            return
        self._parents[b] = a
        self.members[a] |= self.members[b]
        self.conflicts[a] |= self.conflicts[b]
        self._hints[a] = names[0] or names[1]

    def clash(self, a: int, b: int) -> bool:
        """Whether two classes are ever alive together."""
        return bool(
            self.conflicts[a] & self.members[b] or self.conflicts[b] & self.members[a]
        )

    def root(self, value: Value) -> int:
        """The class of a value."""
        slot = self.slots[value]
        while self._parents[slot] != slot:
            self._parents[slot] = self._parents[self._parents[slot]]
            slot = self._parents[slot]
        return slot

    def _hint(self, slot: int) -> str:
        return self._hints.get(slot, "")

    def hint(self, value: Value) -> str:
        """The name that the values of a class ask for."""
        return self._hint(self.root(value))


def _continues(eqn: Eqn, k: int) -> Atom | None:
    """The argument that result k is a new version of."""
    name = eqn.op.name
    if name in ("store", "add_at", "push") or (name == "pop" and k == 0):
        return eqn.args[0]
    if name == "map_":
        writer: Writer = eqn.params["writers"][k]
        if writer.kind in ("store", "add"):
            return eqn.args[int(eqn.params["ndim"]) + writer.dest]
    return None


def _is_own_copy(eqn: Eqn) -> bool:
    """Whether an equation copies an array for a pass, not for the user."""
    if eqn.op.name != "copy" or not isinstance(eqn.args[0], Value):
        return False
    return eqn.args[0].name == eqn.out.name


def same_kind(a: Value, b: Value) -> bool:
    """Whether two values are of one type for Numba."""
    if isinstance(a.type, ScalarType) or isinstance(b.type, ScalarType):
        return type(a.type) is type(b.type) and a.type.dtype == b.type.dtype
    if type(a.type) is not type(b.type) or a.type.dtype != b.type.dtype:
        return False
    return getattr(a.type, "rank", None) == getattr(b.type, "rank", None)
