"""Products of matrices go straight to where they are wanted.

    product = x.T @ d                     d_w += x.T @ d
    for i in range(n):
        for j in range(m):
            d_w[i, j] += product[i, j]

A loop over elements that only takes a product to its place, or adds it there, becomes
an update of the whole array by the product, which is printed as one call: BLAS adds to
its result, and writes into a part of an array. So does the sum of two products, of
which the second one is added to the first. This holds where the loop goes over the
whole product and the whole part: where their extents are known to be equal.
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
    substitute,
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

    def shape(self, array: Atom) -> tuple[Atom, ...] | None:
        return self.shapes.get(array) if isinstance(array, Value) else None

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
                self.move(self.summed(eqn))
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

    def loaded(self, value: Atom, eqn: Eqn) -> tuple[Eqn, Eqn] | None:
        """A load in the body of a loop that goes over a product, and the product."""
        (body,) = eqn.regions
        load = next((e for e in body.eqns if value in e.outs), None)
        if load is None or load.op.name != "index" or load.args[1:] != body.params:
            return None
        array = load.args[0]
        product = self.made.get(array) if isinstance(array, Value) else None
        shape = self.known.shape(array)
        if product is None or shape is None or self.known.counts[load.out] != 1:
            return None
        extents = eqn.args[: eqn.params["ndim"]]
        full = array in self.known.whole or _equal(shape, extents)
        uses = 1 + sum(a is array for a in eqn.args)
        return (load, product) if full and self.known.counts[array] == uses else None

    def take(self, *products: Eqn) -> None:
        """Take products from their places, to put them in front of a loop."""
        self.out = [e for e in self.out if all(e is not p for p in products)]
        for product in products:
            del self.made[product.out]

    # ------------------------------------------------------------ products moved

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
        base = eqn.args[eqn.params["ndim"] + writer.dest]
        spec = _spec(column[1:], eqn.regions[0])
        shape, found = self.known.shape(base), self.loaded(column[0], eqn)
        if spec is None or shape is None or found is None:
            return None
        _, product = found
        part = [n for n, c in zip(shape, spec, strict=True) if c == ":"]
        extents = eqn.args[: eqn.params["ndim"]]
        if product.out not in self.known.whole and not _equal(part, extents):
            return None
        if self.known.counts[product.out] != 1 or _shares(eqn, writer, base):
            return None
        same = product.out.type.dtype == out.type.dtype
        if not same or not self.known.apart(base, product):
            return None
        self.take(product)
        at = (a for a, c in zip(column[1:], spec, strict=True) if c == "i")
        op = lookup("add_at" if writer.kind == "add" else "store")
        params = {"spec": spec, "checked": False}
        return product, Eqn(op, (base, product.out, *at), (out,), params, (), eqn.loc)

    # ----------------------------------------------------------- sums of products

    def summed(self, eqn: Eqn) -> Eqn:
        """A loop that adds up two products: the second one is added to the first."""
        for inner in eqn.regions[0].eqns:
            if inner.op.name != "add":
                continue
            pairs = [self.loaded(a, eqn) for a in inner.args]
            pairs.sort(key=lambda p: p is not None and self.is_free(p[1]))
            first, second = pairs
            if first is None or second is None or not self.is_free(second[1]):
                continue
            if first[1] is not second[1] and first[0].out.type == inner.out.type:
                return self.added(eqn, inner, first, second)
        return eqn

    def is_free(self, product: Eqn) -> bool:
        """Whether a product is used only once, so that it need not exist."""
        return self.known.counts[product.out] == 1

    def added(
        self, eqn: Eqn, add: Eqn, first: tuple[Eqn, Eqn], second: tuple[Eqn, Eqn]
    ) -> Eqn:
        """The loop with one product, which has become the sum."""
        (kept, base), (gone, product) = first, second
        self.take(base, product)
        total = Value(base.out.type, base.out.name)
        params = {"spec": ":" * eqn.params["ndim"], "checked": False}
        args = (base.out, product.out)
        update = Eqn(lookup("add_at"), args, (total,), params, (), product.loc)
        self.out += [base, product, update]
        (body,) = eqn.regions
        rest = tuple(e for e in body.eqns if e is not gone and e is not add)
        block = Block(body.params, rest, body.results)
        block = substitute(block, {add.out: kept.out, base.out: total})
        swapped = (total if a is base.out else a for a in eqn.args)
        return eqn.with_(args=tuple(swapped), regions=(block,))


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


def _shares(eqn: Eqn, writer: Writer, base: Atom) -> bool:
    """Whether a loop uses an array for more than what one row puts there."""
    writers: Sequence[Writer] = eqn.params["writers"]
    if sum(w.dest == writer.dest for w in writers) != 1:
        return True
    if sum(a is base for a in eqn.args) != 1:
        return True
    return any(base in e.args for e in eqn.regions[0].eqns)


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
