"""An array of zeros that a loop adds to row by row is stored to instead.

The cotangent of scores that are both picked from and summed starts as zeros, gets a
term at one element of each row, and then one at all of them. The additions commute:
with the one to all elements first, it is a store, and nobody needs the zeros. (A sum
that is -0.0 stays that, where 0.0 + -0.0 is 0.0.)
"""

from __future__ import annotations

from typing import NamedTuple

from gradjit.ir.graph import Atom, Block, Const, Eqn, Graph, Value
from gradjit.ir.op import lookup
from gradjit.ops.region import Writer
from gradjit.passes.blocks import inside_out, is_zeros, use_counts
from gradjit.passes.columns import columns


def cover(graph: Graph) -> Graph:
    """The program without zeros that a loop over rows adds to everywhere.

    Args:
        graph: A valid graph of the `program` stage, before `place`.
    """
    return Graph(graph.name, _block(graph.block), graph.mutated)


class _Chain(NamedTuple):
    """Additions to some elements of a row, and the one to all of them behind them."""

    few: list[Eqn]
    all: Eqn


def _block(block: Block) -> Block:
    block = inside_out(block, _block)
    eqns = list(block.eqns)
    zeros = {e.out: k for k, e in enumerate(eqns) if is_zeros(e)}
    if not zeros:
        return block
    counts = use_counts(block)
    for at, eqn in enumerate(eqns):
        if eqn.op.name != "for_" or not _counts_up(eqn):
            continue
        for k, init in enumerate(eqn.args[3:]):
            made = zeros.get(init) if isinstance(init, Value) else None
            if made is None or counts[eqns[made].out] != 1:
                continue
            chain = _chain(eqns[at], k, eqns[made].args[1:])
            if chain is not None:
                eqns[made] = _unset(eqns[made])
                body = _covered(eqns[at].regions[0], k, chain)
                eqns[at] = eqns[at].with_(regions=(body,))
    return Block(block.params, tuple(eqns), block.results)


def _unset(eqn: Eqn) -> Eqn:
    """The same array without its zeros."""
    return eqn.with_(op=lookup("empty"), args=eqn.args[1:])


def _counts_up(eqn: Eqn) -> bool:
    start, _, step = eqn.args[:3]
    return (
        isinstance(start, Const)
        and isinstance(step, Const)
        and (start.value, step.value) == (0, 1)
        and not eqn.params.get("exits", False)
    )


def _chain(loop: Eqn, k: int, extents: tuple[Atom, ...]) -> _Chain | None:
    """The additions of a loop to its carry `k`, if all of each row is added to."""
    (body,) = loop.regions
    row, now = body.params[0], body.params[1 + k]
    if not _same(loop.args[1], extents[0]):
        return None
    counts = use_counts(body)
    few: list[Eqn] = []
    for eqn in body.eqns:
        if now not in eqn.args:
            continue
        if counts[now] != 1:
            return None  # somebody reads it
        if eqn.op.name == "add_at" and eqn.args[0] is now and eqn.args[2] is row:
            few.append(eqn)
            now = eqn.out
        elif eqn.op.name == "map_" and _adds_to_all(eqn, now, row, extents[1:]):
            return _Chain(few, eqn)
        else:
            return None
    return None


def _adds_to_all(eqn: Eqn, array: Value, row: Value, extents: tuple[Atom, ...]) -> bool:
    """Whether a nest adds to each element of a row once."""
    ndim: int = eqn.params["ndim"]
    if ndim != len(extents) or not all(map(_same, eqn.args[:ndim], extents)):
        return False
    axes = eqn.regions[0].params
    dests = eqn.args[ndim:]
    found = [
        (writer.kind, column[1:])
        for writer, column in zip(eqn.params["writers"], columns(eqn), strict=True)
        if writer.dest >= 0 and dests[writer.dest] is array
    ]
    return found == [("add", (row, *axes))]


def _same(a: Atom, b: Atom) -> bool:
    if isinstance(a, Const) and isinstance(b, Const):
        return a.value == b.value
    return a is b


def _covered(body: Block, k: int, chain: _Chain) -> Block:
    """The body of a loop with the addition to all of a row first, as a store."""
    few, nest = chain
    ndim: int = nest.params["ndim"]
    last = few[-1].out if few else body.params[1 + k]
    place = nest.args.index(last) - ndim
    writers: tuple[Writer, ...] = nest.params["writers"]
    which = next(w for w, writer in enumerate(writers) if writer.dest == place)
    final = nest.outs[which]
    stored = Value(final.type, final.name) if few else final
    args = list(nest.args)
    args[ndim + place] = body.params[1 + k]
    nest = nest.with_(
        args=tuple(args),
        outs=tuple(stored if o is final else o for o in nest.outs),
        params={
            **nest.params,
            "writers": tuple(
                Writer("store", w.dest) if n == which else w
                for n, w in enumerate(writers)
            ),
        },
    )
    eqns: list[Eqn] = []
    for eqn in body.eqns:
        if eqn is chain.all:
            eqns += [nest, *_moved(few, stored, final)]
        elif eqn not in few:
            eqns.append(eqn)
    return Block(body.params, tuple(eqns), body.results)


def _moved(few: list[Eqn], start: Value, final: Value) -> list[Eqn]:
    """Additions that come after `start`; the last one makes `final`."""
    out: list[Eqn] = []
    now = start
    for eqn in few:
        made = final if eqn is few[-1] else eqn.out
        out.append(eqn.with_(args=(now, *eqn.args[1:]), outs=(made,)))
        now = made
    return out
