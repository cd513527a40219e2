"""Arrays of parts, one for each block or row of a grid, folded in order.

So sums are the same bits each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradjit.ir.build import index
from gradjit.ir.graph import Atom, Eqn, Value
from gradjit.passes.grid_kernel import GridKernel
from gradjit.passes.kernel_nest import (
    Loop,
    combine,
    identity,
    taken_apart,
)

if TYPE_CHECKING:
    from gradjit.passes.host_code import Offload


def fold(
    host: Offload,
    eqn: Eqn,
    pairs: Sequence[tuple[Value, Atom]],
    kinds: Sequence[str],
    sizes: Sequence[Atom],
    count: Atom,
    into: Sequence[Value | None] = (),
) -> None:
    """A kernel that reduces arrays of parts along their first axis.

    Args:
        host: Where it is launched.
        eqn: What the parts are of.
        pairs: For each reduction its value in the program, and the parts.
        kinds: How each is reduced.
        sizes: The extents of the results.
        count: How many parts there are.
        into: Arrays of the host that the results are added to; None makes a new one.
    """
    kernel = GridKernel(host, eqn.loc)
    size = host.product(list(sizes))
    stop = kernel.given(size, "size") if isinstance(size, Value) else size
    extents = tuple(kernel.given(s) if isinstance(s, Value) else s for s in sizes)
    height = kernel.given(count, "count") if isinstance(count, Value) else count
    targets: list[Value] = []
    for (out, _), old in zip(pairs, into or [None] * len(pairs), strict=True):
        if old is None:
            host.env[out] = old = host.empty(out, list(sizes))
        targets.append(kernel.given(old))
    axes = tuple(range(len(sizes)))
    bounds = kernel.position("item"), stop, kernel.position("items")
    loop = Loop(bounds, axes, extents)

    def body(i: Value, now: Sequence[Atom]) -> list[Atom]:
        at = taken_apart(kernel, loop, i)
        places = [at[k] for k in axes]
        ends = list(now)
        for k, ((_, parts), kind) in enumerate(zip(pairs, kinds, strict=True)):
            start: Atom = identity(kind, parts.type.dtype)
            if into:
                start = kernel.load(ends[k], places)
            ends[k] = kernel.store(
                ends[k], folded(kernel, parts, kind, start, height, places), places
            )
        return ends

    last = kernel.loop(bounds, targets, body)
    for array, end in zip(targets, last, strict=True):
        kernel.wrote(array, end)
    host.launch(kernel, "items", (size,))


def folded(
    kernel: GridKernel,
    parts: Atom,
    kind: str,
    start: Atom,
    count: Atom,
    at: Sequence[Atom],
) -> Atom:
    """One number of the results: its parts, in order."""
    param = kernel.given(parts)

    def body(y: Value, now: Sequence[Atom]) -> list[Atom]:
        return [combine(kernel, kind, now[0], kernel.load(param, (y, *at)))]

    (end,) = kernel.loop((index(0), count, index(1)), (start,), body)
    return end
