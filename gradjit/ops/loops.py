"""Counted loops for functions that no array op expresses: running sums and products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gradjit.ir.build import current, index
from gradjit.ir.graph import Value
from gradjit.ir.types import INDEX
from gradjit.ops.sym import Sym, integer, lift

Body = Callable[..., Sequence[Any]]


def loop(stop: Any, carries: Sequence[Any], body: Body) -> tuple[Any, ...]:
    """`for i in range(stop): carries = body(i, *carries)`; the last carries.

    A carry keeps its type. Symbols in the body are plain values, not views.
    """
    b = current()
    inits = [lift(c) for c in carries]
    at = Value(INDEX, "i")
    params = tuple(Value(a.type) for a in inits)
    start, end, step = index(0), integer(stop), index(1)
    b.open((at, *params))
    try:
        b.facts.index_range(at, start, end, step)
        for param, init in zip(params, inits, strict=True):
            b.set_extents(param, b.extents(init))
        results = [lift(r) for r in body(Sym(at), *map(Sym, params))]
    except BaseException:
        b.frames.pop()
        raise
    block = b.close(results)
    outs = b.emit("for_", start, end, step, *inits, regions=(block,), exits=False)
    for out, init in zip(outs, inits, strict=True):
        if isinstance(out, Value):
            b.set_extents(out, b.extents(init))
    return tuple(Sym(o) for o in outs)
