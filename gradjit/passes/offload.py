"""From a placed program to kernels and the host's code that launches them.

What is left of the program on the host (`host_code`) are extents, allocations, views,
matrix products and loops over these; a nest over elements is a kernel (`grids`), and a
loop whose iterations are independent is one too (`loop_kernels`, `row_kernel`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradjit.errors import UnsupportedError
from gradjit.ir.graph import Block, Eqn, Graph, walk
from gradjit.ir.types import ArrayType
from gradjit.ops.device import LAUNCH
from gradjit.passes import host_regions as regions
from gradjit.passes.host_code import Offload
from gradjit.passes.single import by_one_thread, has_single_elements


@dataclass(frozen=True, slots=True)
class Offloaded:
    """A program for a device.

    Attributes:
        host: What the host does.
        kernels: What it launches.
        checks: The equations whose failure a kernel notes, by their codes; a push that
            finds its stack full is one.
        alone: Loops over numbers that one thread runs, and why.
    """

    host: Graph
    kernels: tuple[Graph, ...]
    checks: tuple[Eqn, ...]
    alone: tuple[tuple[Eqn, str], ...] = ()


def offload(graph: Graph) -> Offloaded:
    """Divide a placed program between the host and the device.

    Args:
        graph: A placed program.

    Raises:
        UnsupportedError: A part of it can run neither as a kernel nor on the host.
    """
    try:
        return _divided(graph)
    except UnsupportedError:
        if not has_single_elements(graph):
            raise
        return _single(graph)


def _single(graph: Graph) -> Offloaded:
    """A program of arrays of one element."""
    host = Offload(graph)
    whole = Graph(graph.name, by_one_thread(host, graph))
    return Offloaded(whole, tuple(host.kernels), tuple(host.checks))


def _divided(graph: Graph) -> Offloaded:
    host = Offload(graph)
    block = host.program(graph)
    arrays = any(isinstance(p.type, ArrayType) for p in graph.block.params)
    if not _is_parallel(block) and (host.sequential or not arrays):
        _refuse_scalars(graph, host.sequential)
    alone = tuple((e, regions.why_alone(host, e)) for e in host.sequential)
    whole = Graph(graph.name, block, graph.mutated)
    return Offloaded(whole, tuple(host.kernels), tuple(host.checks), alone)


def _is_parallel(block: Block) -> bool:
    """Whether there is a launch of more than one thread, or a product."""
    return any(
        e.op.name == "contract" or (e.op is LAUNCH and e.params["config"] != "one")
        for e in walk(block)
    )


def _refuse_scalars(graph: Graph, sequential: Sequence[Eqn]) -> None:
    for eqn in sequential:
        raise regions.sequential_error(eqn, "and there is nothing else to run")
    loc = next((e.loc for e in walk(graph.block) if e.loc is not None), None)
    raise UnsupportedError(
        'there is nothing here that target="cuda" could run in parallel: no array'
        " operation, and no loop whose iterations are independent",
        loc,
        "Run it on the CPU; or map it over many inputs, with gradjit.vmap or a loop"
        " over numba.prange; or call gradjit.device(f) in a kernel of your own.",
    )
