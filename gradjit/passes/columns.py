"""The results of a `map_` body, writer by writer."""

from __future__ import annotations

from collections.abc import Iterator

from gradjit.ir.graph import Atom, Eqn
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
