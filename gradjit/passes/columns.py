"""The results of a `map_` body, writer by writer."""

from __future__ import annotations

from collections.abc import Iterator

from gradjit.ir.graph import Atom, Block, Eqn
from gradjit.ir.types import rank
from gradjit.ops.region import Writer


def columns(eqn: Eqn) -> Iterator[tuple[Atom, ...]]:
    """For each writer of a `map_`: its value and, for an update, its index."""
    at = 0
    results = eqn.regions[0].results
    dests = eqn.args[eqn.params["ndim"] :]
    writers: tuple[Writer, ...] = eqn.params["writers"]
    for writer in writers:
        width = 1 + (rank(dests[writer.dest].type) if writer.dest >= 0 else 0)
        yield results[at : at + width]
        at += width


def stored(eqn: Eqn, number: int, dest: Atom) -> Eqn:
    """The map with what was a new array, of one of its writers, in old memory.

    Args:
        eqn: A `map_`.
        number: Of the writer: one that fills a new array, or sums into one.
        dest: An array of that type; for a sum, one that is filled with zeros.
    """
    ndim = eqn.params["ndim"]
    dests = eqn.args[ndim:]
    (body,) = eqn.regions
    writers = list[Writer](eqn.params["writers"])
    old = writers[number]
    rows = list(columns(eqn))
    at = (p for axis, p in enumerate(body.params) if axis not in old.axes)
    rows[number] = (*rows[number], *at)
    writers[number] = Writer("store" if old.kind == "new" else "add", len(dests))
    results = tuple(atom for row in rows for atom in row)
    return eqn.with_(
        args=(*eqn.args, dest),
        params={**eqn.params, "writers": tuple(writers)},
        regions=(Block(body.params, body.eqns, results),),
    )
