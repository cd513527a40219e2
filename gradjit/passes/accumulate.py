"""Products of matrices go straight to where they are wanted.

    product = x.T @ d                     d_w += x.T @ d
    for i in range(n):
        for j in range(m):
            d_w[i, j] += product[i, j]

A loop over elements that only takes a product to its place, or adds it there, becomes
an update of the whole array by the product, which is printed as one call: BLAS adds to
its result, and writes into a part of an array. This holds where the loop goes over the
whole product and the whole part: where the update is one of arrays for the user too, or
where their extents are known to be equal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from gradjit.ir.graph import (
    Atom,
    Block,
    Const,
    Eqn,
    Graph,
    Value,
    values,
    walk,
)
from gradjit.ir.op import lookup
from gradjit.ir.types import rank
from gradjit.ops.region import Writer
from gradjit.passes.alias import Memory, apart, is_view, overwritten
from gradjit.passes.columns import columns

Shapes = Mapping[Value, tuple[Atom, ...]]


def whole_values(block: Block) -> Iterator[Value]:
    """What updates put into the whole of an array, or of a part by integers alone.

    Args:
        block: Of a graph with array expressions, where extents have been checked.
    """
    for eqn in walk(block):
        if eqn.op.name in ("store", "add_at") and isinstance(eqn.args[1], Value):
            spec: str = eqn.params["spec"]
            if set(spec) <= {"i", ":"} and spec.count(":") == rank(eqn.args[1].type):
                yield eqn.args[1]


def accumulate(graph: Graph, shapes: Shapes, whole: Set[Atom]) -> Graph:
    """The program with updates by products in place of loops over their elements.

    Args:
        graph: A valid graph of the `program` stage, before `place`.
        shapes: The extents of arrays, equal ones as the same atoms.
        whole: Arrays that loops put into the whole of another one, or of a part of it.
    """
    counts = Counter[Value]()
    _count(graph.block, counts)
    defs = {o: e for e in walk(graph.block) for o in e.outs}
    known = _Known(shapes, whole, counts, Memory(graph.block), defs)
    return Graph(graph.name, _block(graph.block, known), graph.mutated)


@dataclass(slots=True)
class _Known:
    """What is known of the values of a graph.

    Attributes:
        shapes: Their extents.
        whole: Arrays that go into the whole of another one, or of a part.
        counts: How often each is used.
        memory: Which arrays may be in the same memory.
        defs: The equations that make them.
        views: For each view so far, the array that it shows.
    """

    shapes: Shapes
    whole: Set[Atom]
    counts: Counter[Value]
    memory: Memory
    defs: Mapping[Value, Eqn]
    views: dict[Atom, Atom] = field(default_factory=dict[Atom, Atom])

    def is_whole(
        self, value: Value, base: Atom, spec: str, extents: Sequence[Atom]
    ) -> bool:
        """Whether loops go over all of an array and the part that it goes into."""
        if value in self.whole:
            return True
        shape = self.shapes.get(base) if isinstance(base, Value) else None
        own = self.shapes.get(value)
        if shape is None or own is None:
            return False
        part = [n for n, c in zip(shape, spec, strict=True) if c == ":"]
        return _equal(own, extents) and _equal(part, extents)

    def reads(self, product: Eqn) -> set[Atom]:
        """The operands of a product, and the arrays that they are views of."""
        return {*product.args, *(self.views.get(a, a) for a in product.args)}

    def apart(self, base: Atom, product: Eqn) -> bool:
        """Whether a product's operands are surely not in the memory of an array."""
        return apart(self.memory, self.defs, self.counts, base, product)


def _count(block: Block, counts: Counter[Value]) -> None:
    for eqn in block.eqns:
        counts.update(values(eqn.args))
        for region in eqn.regions:
            _count(region, counts)
    counts.update(values(block.results))


def _block(block: Block, known: _Known) -> Block:
    return _Products(known).of(block)


class _Products:
    """The products of one block, and the loops over elements that use them.

    Attributes:
        made: Products so far whose operands are as they were, by their results.
        out: The new equations.
    """

    def __init__(self, known: _Known) -> None:
        self.known = known
        self.made: dict[Value, Eqn] = {}
        self.out: list[Eqn] = []

    def of(self, block: Block) -> Block:
        """The block with its products where they are wanted."""
        for eqn in block.eqns:
            if eqn.op.name == "map_":
                self.move(eqn)
            elif eqn.regions:
                regions = tuple(_block(r, self.known) for r in eqn.regions)
                self.out.append(eqn.with_(regions=regions))
            else:
                self.out.append(eqn)
            self.note(eqn)
        return Block(block.params, tuple(self.out), block.results)

    def note(self, eqn: Eqn) -> None:
        """Follow products until something that they read may be overwritten."""
        if is_view(eqn):
            self.known.views[eqn.out] = self.known.views.get(eqn.args[0], eqn.args[0])
        gone = set[Atom](overwritten(eqn))
        if eqn.regions and eqn.op.name != "map_":
            gone.update(eqn.args)
        for value, product in list(self.made.items()):
            if gone & {value, *self.known.reads(product)}:
                del self.made[value]
        if eqn.op.name == "contract":
            self.made[eqn.out] = eqn

    def loaded(self, value: Atom, eqn: Eqn) -> Eqn | None:
        """The product whose elements a loop takes one by one, and nobody else."""
        (body,) = eqn.regions
        load = next((e for e in body.eqns if value in e.outs), None)
        if load is None or load.op.name != "index" or load.args[1:] != body.params:
            return None
        array = load.args[0]
        if not isinstance(array, Value) or array not in self.made:
            return None
        if self.known.counts[array] != 1 or self.known.counts[load.out] != 1:
            return None
        return self.made[array]

    def term(self, column: Sequence[Atom], eqn: Eqn, base: Atom) -> Atom | None:
        """What is added to the element that a loop stores, if it stores such a sum."""
        made = {e.out: e for e in eqn.regions[0].eqns if len(e.outs) == 1}
        total = made.get(column[0])  # type: ignore[call-overload]
        if total is None or total.op.name != "add" or self.known.counts[total.out] != 1:
            return None
        for old, new in (total.args, total.args[::-1]):
            load = made.get(old)  # type: ignore[call-overload]
            if load is None or load.op.name != "index":
                continue
            if load.args == (base, *column[1:]) and self.known.counts[load.out] == 1:
                return new
        return None

    def take(self, product: Eqn) -> None:
        """Take a product from its place, to put it in front of its update."""
        self.out = [e for e in self.out if e is not product]
        del self.made[product.out]

    def move(self, eqn: Eqn) -> None:
        """Split updates by products off a loop."""
        ndim = eqn.params["ndim"]
        rows = list(zip(eqn.params["writers"], columns(eqn), eqn.outs, strict=True))
        for row in list(rows):
            update = self.update(eqn, *row)
            if update is not None:
                rows.remove(row)
                self.out += update
        if len(rows) == len(eqn.outs):
            self.out.append(eqn)
        elif rows:
            self.out.append(_with_rows(eqn, ndim, rows))

    def update(
        self, eqn: Eqn, writer: Writer, column: Sequence[Atom], out: Value
    ) -> tuple[Eqn, Eqn] | None:
        """A product and the update by it that a row of a loop amounts to."""
        if writer.kind not in ("store", "add"):
            return None
        ndim: int = eqn.params["ndim"]
        base, extents = eqn.args[ndim + writer.dest], eqn.args[:ndim]
        spec = _spec(column[1:], eqn.regions[0])
        adds = writer.kind == "add"
        term = None if adds else self.term(column, eqn, base)
        product = self.loaded(term or column[0], eqn)
        if spec is None or product is None:
            return None
        if _uses(eqn, base) != (1 if term is None else 2):
            return None
        if not self.known.is_whole(product.out, base, spec, extents):
            return None
        same = product.out.type.dtype == out.type.dtype
        if not same or not self.known.apart(base, product):
            return None
        self.take(product)
        at = (a for a, c in zip(column[1:], spec, strict=True) if c == "i")
        op = lookup("add_at" if adds or term is not None else "store")
        params = {"spec": spec, "checked": False}
        return product, Eqn(op, (base, product.out, *at), (out,), params, (), eqn.loc)


def _equal(a: Sequence[Atom], b: Sequence[Atom]) -> bool:
    """Whether extents are the same atoms, or equal numbers."""
    return len(a) == len(b) and all(
        x is y or (isinstance(x, Const) and isinstance(y, Const) and x.value == y.value)
        for x, y in zip(a, b, strict=True)
    )


def _spec(at: Sequence[Atom], body: Block) -> str | None:
    """Which part of an array a loop updates: fixed indices, and those of the loop."""
    inside = {o for e in body.eqns for o in e.outs}
    spec = "".join(":" if a in body.params else "i" for a in at)
    moving = tuple(a for a in at if a in body.params)
    fixed = all(a not in inside for a in at)
    return spec if fixed and moving == body.params else None


def _uses(eqn: Eqn, base: Atom) -> int:
    """How often a loop writes into an array or reads it."""
    dests = eqn.args[eqn.params["ndim"] :]
    writers: Sequence[Writer] = eqn.params["writers"]
    written = sum(w.dest >= 0 and dests[w.dest] is base for w in writers)
    return written + sum(a is base for e in eqn.regions[0].eqns for a in e.args)


def _with_rows(
    eqn: Eqn, ndim: int, rows: Sequence[tuple[Writer, tuple[Atom, ...], Value]]
) -> Eqn:
    """A loop with some of its rows, and with their destinations."""
    used = sorted({w.dest for w, _, _ in rows if w.dest >= 0})
    dests = [eqn.args[ndim + k] for k in used]
    writers = tuple(
        replace(w, dest=used.index(w.dest)) if w.dest >= 0 else w for w, _, _ in rows
    )
    (body,) = eqn.regions
    results = tuple(a for _, column, _ in rows for a in column)
    return eqn.with_(
        args=(*eqn.args[:ndim], *dests),
        outs=tuple(out for *_, out in rows),
        params={**eqn.params, "writers": writers},
        regions=(Block(body.params, body.eqns, results),),
    )
