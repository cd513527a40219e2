"""The order of the passes, from a graph to a program with names.

    induction  counters of loops, before derivatives     graph   -> graph
    forward    loads of what was just stored             graph   -> graph
    simplify   constants, repeated work                  graph   -> graph
    eliminate  dead code                                 graph   -> graph
    reuse      repeated branches and loops               graph   -> graph
    unread     stores that nobody reads                  graph   -> graph
    fuse       array ops become loops over elements      graph   -> program
    scalarise  small arrays of known shape               program -> program
    stagger    additions to neighbours                   program -> program
    unroll     loops over a few neighbours               program -> program
    settle     a zero and what is added to it, one store program -> program
    turn       loops that may count up                   program -> program
    rows       loops over the same rows in one           program -> program
    shrink     arrays of which a row is enough           program -> program
    skip       loops that would add zeros                program -> program
    pull       additions that would meet, on a device    program -> program
    rotate     elements that the next iteration reads    program -> program
    sink       stores that the next iteration overwrites program -> program
    vectorise  elementary functions that LLVM vectorises program -> program
    place      versions of an array become writes        program -> program
    deliver    results go into the caller's arrays       program -> program
    parallel   loops that threads share, if asked for    program -> program
    offload    kernels, and the host's code              program -> kernels and host
    name       Python names, what is printed inline      program -> named program

Each stage is kept, so that `f.stages["fuse"]` can be printed. Passes do not know one
another; each is a function from a valid graph to a valid graph.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gradjit.config import settings
from gradjit.ir.graph import Block, Eqn, Graph
from gradjit.ir.named import Named
from gradjit.ir.verify import Stage, verify
from gradjit.passes.dce import eliminate
from gradjit.passes.deliver import deliver
from gradjit.passes.forward import forward_stores
from gradjit.passes.fuse import fuse
from gradjit.passes.hoist import hoist
from gradjit.passes.induction import close_counters
from gradjit.passes.name import name
from gradjit.passes.parallel import parallelise, serialise
from gradjit.passes.place import place
from gradjit.passes.pull import pull
from gradjit.passes.remat import itself
from gradjit.passes.rerun import rerun
from gradjit.passes.reuse import reuse
from gradjit.passes.rotate import rotate
from gradjit.passes.rows import share_rows
from gradjit.passes.scalarise import scalarise
from gradjit.passes.settle import settle
from gradjit.passes.shrink import shrink
from gradjit.passes.simplify import simplify
from gradjit.passes.sink import sink
from gradjit.passes.skip import skip
from gradjit.passes.stagger import stagger
from gradjit.passes.turn import turn
from gradjit.passes.unread import unread
from gradjit.passes.unroll import unroll
from gradjit.passes.vectorise import vectorise

Pass = Callable[[Graph], Graph]


@dataclass(slots=True)
class Stages:
    """The stages of one function, in order.

    Attributes:
        graphs: The graph after each pass, by the pass's name.
    """

    graphs: dict[str, Graph] = field(default_factory=dict[str, Graph])

    def keep(self, key: str, graph: Graph, stage: Stage = "graph") -> Graph:
        """Take note of a stage; verify and print it where the settings say so."""
        if settings().check:
            verify(graph, stage)
        if settings().debug >= 3 and self._changed(graph):
            print(f"--- {key}\n{graph}", file=sys.stderr)
        self.graphs[key] = graph
        return graph

    def _changed(self, graph: Graph) -> bool:
        last = list(self.graphs.values())[-1:]
        return not last or str(last[0]) != str(graph)


def prepare(block: Block, target: str = "cpu") -> Block:
    """A traced block as a derivative should see it, which keeps what it cannot know."""
    block = forward_stores(close_counters(block))
    return rerun(block) if target == "cuda" else block


def optimise(graph: Graph, stages: Stages) -> Graph:
    """The simplified graph, from which it is seen what has to be returned."""
    graph = reuse(simplify(eliminate(simplify(graph))))
    return stages.keep("simplify", simplify(eliminate(simplify(unread(graph)))))


def _rows(graph: Graph, parallel: bool) -> Graph:
    """The program with loops over the same rows in one, and what that makes free."""
    if parallel:
        return skip(graph)
    graph = share_rows(graph, loops=True)
    block = forward_stores(graph.block)
    return skip(shrink(eliminate(Graph(graph.name, block, graph.mutated))))


@dataclass(frozen=True, slots=True)
class Device:
    """A program for a device that is printed.

    Attributes:
        host: What the host does.
        kernels: What it launches.
        checks: What kernels may find wrong, by its code.
        alone: Loops that one thread runs, and why.
    """

    host: Named
    kernels: tuple[Named, ...]
    checks: tuple[Eqn, ...]
    alone: tuple[tuple[Eqn, str], ...] = ()


def lower_device(
    graph: Graph, stages: Stages, into: Sequence[tuple[int, int]] = ()
) -> Device:
    """The program for a device: its kernels, and what the host does.

    What makes iterations depend on one another, for the sake of one thread, stays out.

    Args:
        graph: A simplified graph.
        stages: Where the stages in between are kept.
        into: Results that the caller has arrays for, each with a parameter like it.
    """
    graph = stages.keep("eliminate", eliminate(graph))
    graph = hoist(eliminate(fuse(graph, parallel=True)))
    # What is independent is seen once more; a claim would keep loops apart.
    graph = stages.keep("fuse", serialise(graph), "program")
    graph = stages.keep("scalarise", eliminate(scalarise(graph)), "program")
    graph = stages.keep("unroll", unroll(graph), "program")
    graph = stages.keep("settle", settle(graph), "program")
    graph = stages.keep("turn", eliminate(turn(graph)), "program")
    graph = share_rows(graph, parallel=True, loops=True, flat=True)
    block = forward_stores(graph.block, settled=True)
    graph = skip(eliminate(Graph(graph.name, block, graph.mutated)))
    graph = stages.keep("rows", graph, "program")
    graph = stages.keep("pull", pull(graph), "program")
    graph = stages.keep("place", itself(place(graph)), "program")
    if into:
        graph = stages.keep("deliver", deliver(graph, into, True), "program")
    from gradjit.passes.offload import offload  # for those who have a device

    divided = offload(graph)
    for kernel in divided.kernels:
        stages.graphs[kernel.name] = kernel
    stages.graphs["offload"] = divided.host
    kernels = tuple(map(name, divided.kernels))
    return Device(name(divided.host), kernels, divided.checks, divided.alone)


def lower(
    graph: Graph,
    stages: Stages,
    runtime: bool = True,
    parallel: bool = False,
    into: Sequence[tuple[int, int]] = (),
) -> Named:
    """The program that is printed.

    Args:
        graph: A simplified graph.
        stages: Where the stages in between are kept.
        runtime: Whether the program may call gradjit's runtime modules.
        parallel: Whether loops may run on several threads.
        into: Results that the caller has arrays for, each with a parameter like it.
    """
    graph = stages.keep("eliminate", eliminate(graph if parallel else serialise(graph)))
    graph = stages.keep(
        "fuse", hoist(eliminate(fuse(graph, parallel, runtime))), "program"
    )
    graph = stages.keep("scalarise", eliminate(scalarise(graph)), "program")
    if not parallel:
        graph = stages.keep("stagger", stagger(graph), "program")
    graph = stages.keep("unroll", unroll(graph), "program")
    graph = stages.keep("settle", settle(graph), "program")
    graph = stages.keep("turn", eliminate(turn(graph)), "program")
    graph = stages.keep("rows", _rows(graph, parallel), "program")
    graph = stages.keep("rotate", rotate(graph), "program")
    graph = stages.keep("sink", sink(graph), "program")
    if runtime:
        graph = stages.keep("vectorise", vectorise(graph), "program")
    graph = stages.keep("place", itself(place(graph)), "program")
    if into:
        graph = stages.keep("deliver", deliver(graph, into, parallel), "program")
    if parallel:
        graph = stages.keep("parallel", parallelise(graph), "program")
    return name(graph)
