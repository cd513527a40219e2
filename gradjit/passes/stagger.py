"""Two additions to neighbours, in each iteration, become one store.

    for i in range(n - 1):                    last = 0.0
        d[i + 1] += b                         for i in range(n - 1):
        d[i] += a                                 d[i] = last + a
                                                  last = b
                                              d[n - 1] = last

What an element reads from itself and the next one, as in a difference, has an adjoint
that adds to both. Where the array starts as zeros and is added to nowhere else, an
element is complete when the next iteration has added to it: no zeros, and one write for
each element in place of three reads and writes. LLVM vectorises it as a recurrence of
first order. (A sum that is -0.0 stays that, where 0.0 + -0.0 is 0.0.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gradjit.ir.bounds import Affine, Facts, gather_facts
from gradjit.ir.build import Builder, index, zero
from gradjit.ir.graph import Atom, Block, Const, Eqn, Graph, Value
from gradjit.ir.op import lookup
from gradjit.ir.types import ScalarType
from gradjit.ops.region import Writer
from gradjit.passes.blocks import inside_out, is_zeros, use_counts
from gradjit.passes.columns import columns
from gradjit.passes.row_loop import row_loop


def stagger(graph: Graph) -> Graph:
    """The program with one store in place of additions to neighbours.

    Args:
        graph: A valid graph of the `program` stage, before `place`.
    """
    facts = gather_facts(graph.block)
    return Graph(graph.name, _block(graph.block, facts), graph.mutated)


def _block(block: Block, facts: Facts) -> Block:
    block = inside_out(block, lambda region: _block(region, facts))
    zeros = {e.out: e for e in block.eqns if _is_vector_of_zeros(e)}
    if not zeros:
        return block
    counts = use_counts(block)
    out: list[Eqn] = []
    for eqn in block.eqns:
        array = _array(eqn, zeros, counts, facts) if eqn.op.name == "map_" else None
        out += [eqn] if array is None else _staggered(eqn, array, counts)
    return Block(block.params, tuple(out), block.results)


def _is_vector_of_zeros(eqn: Eqn) -> bool:
    """Whether an equation makes a vector of zeros, which is not known to be empty."""
    if not is_zeros(eqn) or len(eqn.args) != 2:
        return False
    extent = eqn.args[1]
    return not (isinstance(extent, Const) and extent.value == 0)


def _array(
    eqn: Eqn, zeros: dict[Value, Eqn], counts: Mapping[Value, int], facts: Facts
) -> Eqn | None:
    """The zeros of which a nest adds to each element and to the next one."""
    ndim: int = eqn.params["ndim"]
    writers: Sequence[Writer] = eqn.params["writers"]
    if ndim != 1 or any(w.kind not in ("sum", "new", "add") for w in writers):
        return None
    adds = _adds(eqn)
    dests = eqn.args[1:]
    if len(adds) != 2 or len(dests) != 1:
        return None
    if [eqn.outs[k] in counts for k in adds] != [False, True]:
        return None
    made = zeros.get(dests[0]) if isinstance(dests[0], Value) else None
    if made is None or counts[made.out] != 1 or not _is_next(made, eqn, facts):
        return None
    i = Affine(0, {eqn.regions[0].params[0]: 1})
    parts = list(columns(eqn))
    gaps = [facts.affine(parts[k][1]) - i for k in adds]
    if any(g.terms for g in gaps) or [g.constant for g in gaps] not in ([0, 1], [1, 0]):
        return None
    same = all(parts[k][0].type.dtype == made.out.type.dtype for k in adds)
    return made if same else None


def _adds(eqn: Eqn) -> list[int]:
    """The writers of a nest that add."""
    writers: Sequence[Writer] = eqn.params["writers"]
    return [k for k, w in enumerate(writers) if w.kind == "add"]


def _is_next(made: Eqn, eqn: Eqn, facts: Facts) -> bool:
    """Whether an array has one element more than a loop has iterations, or none."""
    stop = eqn.args[0]
    before = facts.affine(made.args[1]).shift(-1)
    maker = facts.defs.get(stop) if isinstance(stop, Value) else None
    if maker is not None and maker.op.name == "maximum":
        ends = [facts.affine(a) for a in maker.args]
        return any(e.same(before) for e in ends) and any(
            e.same(Affine(0, {})) for e in ends
        )
    return facts.affine(stop).same(before)


def _staggered(eqn: Eqn, made: Eqn, counts: Mapping[Value, int]) -> list[Eqn]:
    """The loop with one store for each element."""
    *setup, loop = row_loop([eqn], eqn.args[0], set(counts), False)
    (body,) = loop.regions
    last = eqn.outs[_adds(eqn)[1]]
    k = loop.outs.index(last)
    fresh = Value(made.out.type, made.out.name)
    empty = made.with_(op=lookup("empty"), args=made.args[1:], outs=(fresh,))
    element = ScalarType(made.out.type.dtype)
    carry = Value(element, f"{last.name}_last" if last.name else "")
    body, given = _merged(body, body.params[1 + k], carry)
    end, final = (Value(v.type, v.name) for v in (carry, last))
    outs = tuple(final if o is last else o for o in loop.outs)
    args = tuple(fresh if a is made.out else a for a in loop.args)
    loop = loop.with_(
        args=(*args, zero(element)),
        outs=(*outs, end),
        regions=(Block((*body.params, carry), body.eqns, (*body.results, given)),),
    )
    return [*setup, empty, loop, *_closed(final, end, last, made.args[1], eqn)]


def _merged(body: Block, array: Value, carry: Value) -> tuple[Block, Atom]:
    """The body with a store in place of the additions, and what the next one adds."""
    first = next(e for e in body.eqns if e.op.name == "add_at" and e.args[0] is array)
    second = next(
        e for e in body.eqns if e.op.name == "add_at" and e.args[0] is first.out
    )
    here, there = (
        (first, second) if first.args[2] is body.params[0] else (second, first)
    )
    total = Value(carry.type)
    add = Eqn(lookup("add"), (carry, here.args[1]), (total,), {}, (), here.loc)
    store = here.with_(
        op=lookup("store"), args=(array, total, body.params[0]), outs=(second.out,)
    )
    eqns = [e for e in body.eqns if e not in (first, second)]
    at = max(body.eqns.index(first), body.eqns.index(second)) - 1
    eqns[at:at] = [add, store]
    return Block(body.params, tuple(eqns), body.results), there.args[1]


def _closed(
    array: Value, end: Value, out: Value, extent: Atom, eqn: Eqn
) -> tuple[Eqn, ...]:
    """Store what is left in the last element, if there is one."""
    b = Builder(checks=False)
    b.open(())
    some = b.emit1("gt", extent, index(0))
    known = isinstance(some, Const)
    if not known:
        b.open(())
    at = b.emit1("sub", extent, index(1))
    made = out if known else Value(out.type, out.name)
    params = {"spec": "i", "checked": False}
    b.append(Eqn(lookup("store"), (array, end, at), (made,), params, (), eqn.loc))
    if not known:
        regions = (b.close([made]), Block((), (), (array,)))
        b.append(Eqn(lookup("if_"), (some,), (out,), {}, regions, eqn.loc))
    return b.close(()).eqns
