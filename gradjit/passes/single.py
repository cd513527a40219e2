"""A program whose arrays have one element each, as a kernel of one thread.

A batch may have one item. The tracer then runs its loop over items once, without a
loop, and what is left are numbers, one after the other; that is no reason to refuse
what works with two items.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradjit.ir.build import index
from gradjit.ir.graph import Atom, Block, Graph, Value
from gradjit.ir.types import ArrayType, ScalarType, dims
from gradjit.passes.grid_kernel import GridKernel
from gradjit.passes.host_code import Offload


def has_single_elements(graph: Graph) -> bool:
    """Whether a program takes arrays, all of them of one element, and keeps them."""
    arrays = [p.type for p in graph.block.params if isinstance(p.type, ArrayType)]
    inside = all(set(dims(type_)) <= {1} for type_ in arrays)
    known = all(None not in dims(r.type) for r in graph.block.results)
    return bool(arrays) and inside and known and not graph.mutated


def by_one_thread(host: Offload, graph: Graph) -> Block:
    """The host's code: one launch of one thread, which does it all."""
    block = graph.block
    return host.around(block, lambda: _launch(host, block))


def _launch(host: Offload, block: Block) -> Sequence[Atom]:
    kernel = GridKernel(host, next((e.loc for e in block.eqns if e.loc), None))
    kernel.single_thread = True
    kernel.take_all(block)
    results = [_result(host, kernel, r) for r in block.results]
    host.launch(kernel, "one", ())
    return results


def _result(host: Offload, kernel: GridKernel, old: Atom) -> Atom:
    """A result, in memory of the device."""
    if not isinstance(old, Value):
        return old
    value = kernel.atom(old)
    if isinstance(old.type, ScalarType):
        cell = host.cell_for(old)
        param = kernel.given(cell, old.name)
        kernel.wrote(param, kernel.store(param, value, ()))
        return cell
    extents = [index(n) for n in dims(old.type) if n is not None]
    made = host.empty(old, extents)
    param = kernel.given(made)
    last = kernel.fill(param, extents, lambda at: kernel.load(value, at))
    kernel.wrote(param, last)
    return made
