"""The host's code of a program for a device, on its way.

What it does itself, and what it launches. A number that the device computes stays
there, in an array without axes (a cell); the host waits for it only where it needs it:
an extent, a branch, the condition of a loop. Arithmetic on such numbers is done in the
kernels that use them (`late`); single loads, stores and checks wait in a queue and
become one kernel of one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gradjit.ir.bounds import gather_facts
from gradjit.ir.build import Builder, index
from gradjit.ir.graph import Atom, Block, Const, Eqn, Graph, Value, uses, walk
from gradjit.ir.op import lookup
from gradjit.ir.types import INDEX, ArrayType, ScalarType
from gradjit.ops.device import GEOMETRY, ITEM, LAUNCH, SCRATCH
from gradjit.passes import host_regions as regions
from gradjit.passes.alias import Memory
from gradjit.passes.device_numbers import device_numbers
from gradjit.passes.grid_kernel import GridKernel
from gradjit.passes.grids import launch_nest
from gradjit.passes.independent import Verdict
from gradjit.passes.kernel import Kernel


@dataclass(slots=True)
class State:
    """What is known at a place of the host's code, and is forgotten behind a region."""

    env: dict[Value, Atom] = field(default_factory=dict[Value, Atom])
    cells: dict[Value, Value] = field(default_factory=dict[Value, Value])
    late: dict[Value, Eqn] = field(default_factory=dict[Value, Eqn])

    def copy(self) -> State:
        return State(dict(self.env), dict(self.cells), dict(self.late))


class Offload:
    """The host's code on its way.

    Attributes:
        b: Of the host's code.
        env: What arrays, and numbers that the host has, are in it.
        cells: For numbers of the device, the arrays without axes that they are in.
        late: Arithmetic on numbers of the device that no kernel has done yet.
        queue: Loads, stores and checks for which there was no kernel yet.
        sequential: Loops over numbers that one thread runs.
        raises: Whether kernels may note errors.
    """

    def __init__(self, graph: Graph) -> None:
        self.name = graph.name
        self.b = Builder(checks=False)
        self.state = State()
        self.queue: list[Eqn] = []
        self.sequential: list[Eqn] = []
        self.kernels: list[Graph] = []
        self.checks: list[Eqn] = []
        self.facts = gather_facts(graph.block)
        self.memory = Memory(graph.block)
        self.verdicts: dict[Eqn, Verdict] = {}
        self.program_block = graph.block
        self.device = device_numbers(graph.block, lambda e: regions.verdict(self, e))
        self.raises = self._may_raise(graph.block)
        self._scratch: dict[str, Value] = {}
        self.uses: dict[Value, int] = {}
        for value in uses(graph.block):
            self.uses[value] = self.uses.get(value, 0) + 1

    def _may_raise(self, block: Block) -> bool:
        """Whether kernels may find an error: not what the host tests alone."""
        for eqn in block.eqns:
            inside = [e for r in eqn.regions for e in walk(r)]
            if any(e.op.name in ("check", "push") for e in inside):
                return True
            if eqn.op.name == "check" and eqn.args[0] in self.device:
                return True
        return False

    @property
    def env(self) -> dict[Value, Atom]:
        return self.state.env

    @property
    def cells(self) -> dict[Value, Value]:
        return self.state.cells

    @property
    def late(self) -> dict[Value, Eqn]:
        return self.state.late

    # -------------------------------------------------------------------- program

    def demote(self, eqn: Eqn) -> None:
        """Let the host run a loop that could be no kernel."""
        self.verdicts[eqn] = Verdict(reason="it is no kernel")
        more = device_numbers(self.program_block, lambda e: regions.verdict(self, e))
        self.device |= more

    def mark(self) -> Callable[[], None]:
        """What undoes all that is done from now on."""
        state, emitted = self.state.copy(), self.b.mark()
        counts = len(self.kernels), len(self.checks)

        def undo() -> None:
            emitted()
            self.state = state
            del self.kernels[counts[0] :]
            del self.checks[counts[1] :]

        return undo

    def program(self, graph: Graph) -> Block:
        """The host's code of the whole program."""

        def body() -> Sequence[Atom]:
            self.block(graph.block)
            return [self.result(r) for r in graph.block.results]

        return self.around(graph.block, body)

    def around(self, old: Block, body: Callable[[], Sequence[Atom]]) -> Block:
        """The host's function: its parameters and scratch memory around a body."""
        params = tuple(Value(p.type, p.name) for p in old.params)
        self.env.update(zip(old.params, params, strict=True))
        self.b.open(params)
        for what in ("parts", "counters", "status"):
            type_ = SCRATCH.infer((), {"what": what})[0]
            self._scratch[what] = Value(type_, what)
        block = self.b.close(body())
        used = set(uses(block))
        heads = tuple(
            Eqn(SCRATCH, (), (value,), {"what": what})
            for what, value in self._scratch.items()
            if value in used
        )
        return replace(block, eqns=(*heads, *block.eqns))

    def result(self, old: Atom) -> Atom:
        """A result of the program: numbers of the device are arrays without axes."""
        if isinstance(old, Const) or isinstance(old.type, ArrayType):
            return self.look(old)
        return self.look(old) if self.is_host(old) else self.cell(old)

    def block(self, block: Block) -> None:
        for eqn in block.eqns:
            with self.b.at(eqn.loc or self.b.loc):
                self.eqn(eqn)
        self.flush()

    # -------------------------------------------------------------------- values

    def look(self, old: Atom) -> Atom:
        """What an array, or a number that the host has, is in the host's code."""
        return self.env[old] if isinstance(old, Value) else old

    def is_host(self, old: Atom) -> bool:
        """Whether the host has the value, or, of an array, its handle."""
        return not isinstance(old, Value) or old in self.env

    def number(self, old: Atom) -> Atom:
        """A number for the host, which waits for the device if it must."""
        if self.is_host(old):
            return self.look(old)
        assert isinstance(old, Value)
        cell = self.cell(old)
        out = Value(old.type, old.name)
        self.b.append(Eqn(ITEM, (cell,), (out,), {}, (), self.b.loc))
        self.env[old] = out
        return out

    def cell(self, old: Atom) -> Value:
        """The array without axes that has a number, for the device."""
        if isinstance(old, Value) and old not in self.cells:
            self.flush()
        if isinstance(old, Value) and old in self.cells:
            return self.cells[old]
        if isinstance(old, Value) and old in self.late:
            kernel = GridKernel(self, self.b.loc)
            value = kernel.atom(old)
            made = self.cell_for(old)
            param = kernel.given(made, old.name)
            kernel.wrote(param, kernel.store(param, value, ()))
            self.launch(kernel, "one", ())
            return made
        out = Value(ArrayType(old.type.dtype, ()), getattr(old, "name", ""))
        args = (self.look(old),)
        params = {"dtype": old.type.dtype, "dims": ()}
        self.b.append(Eqn(lookup("full"), args, (out,), params, (), self.b.loc))
        return out

    def cell_for(self, old: Value) -> Value:
        """A new cell for a number that a kernel is about to compute."""
        like = Value(ArrayType(old.type.dtype, ()), old.name)
        self.cells[old] = made = self.empty(like, ())
        return made

    def empty(self, like: Value, extents: Sequence[Atom]) -> Value:
        """A new array of the device."""
        assert isinstance(like.type, ArrayType)
        dims = tuple(e.value if isinstance(e, Const) else None for e in extents)
        out = Value(ArrayType(like.type.dtype, dims), like.name)  # type: ignore[arg-type]
        params = {"dtype": like.type.dtype, "dims": dims}
        eqn = Eqn(lookup("empty"), tuple(extents), (out,), params, (), self.b.loc)
        self.b.append(eqn)
        return out

    def product(self, sizes: Sequence[Atom]) -> Atom:
        """The product of some extents."""
        out: Atom = index(1)
        for size in sizes:
            out = self.b.emit1("mul", out, size)
        return out

    def geometry(self, what: str, sizes: Sequence[Atom]) -> Value:
        """How many threads or blocks a launch has."""
        out = Value(INDEX, what.removeprefix("count_"))
        self.b.append(Eqn(GEOMETRY, tuple(sizes), (out,), {"what": what}))
        return out

    def scratch(self, what: str) -> Value:
        """Memory that all launches share."""
        return self._scratch[what]

    def code(self, eqn: Eqn) -> Const:
        """The code of an error that a kernel may note."""
        self.checks.append(eqn)
        return index(len(self.checks) - 1)

    # A stack that is full is an error like the others.
    full_code = code

    # ------------------------------------------------------------------ equations

    def eqn(self, eqn: Eqn) -> None:
        special = _HOST.get(eqn.op.name)
        if special is not None:
            special(self, eqn)
        elif eqn.op.kind == "elementwise" and not all(map(self.is_host, eqn.args)):
            self.late[eqn.out] = eqn
        else:
            self.copied(eqn)

    def copied(self, eqn: Eqn) -> None:
        """An equation of the host as it is."""
        args = tuple(
            self.number(a) if isinstance(a.type, ScalarType) else self.look(a)
            for a in eqn.args
        )
        outs = tuple(Value(o.type, o.name) for o in eqn.outs)
        self.env.update(zip(eqn.outs, outs, strict=True))
        self.b.append(eqn.with_(args=args, outs=outs))

    def after_queue(self, eqn: Eqn) -> None:
        """What reads or writes whole arrays comes after what waits."""
        self.flush()
        self.copied(eqn)

    def nest(self, eqn: Eqn) -> None:
        self.flush()
        launch_nest(self, eqn)

    def load(self, eqn: Eqn) -> None:
        """A view, or a number of the device."""
        if isinstance(eqn.out.type, ArrayType):
            self.copied(eqn)
        else:
            self.queue.append(eqn)

    def update(self, eqn: Eqn) -> None:
        """An element of an array, or a part of it."""
        if isinstance(eqn.args[1].type, ScalarType) and set(eqn.params["spec"]) <= {
            "i"
        }:
            self.queue.append(eqn)
            self.env[eqn.out] = self.look(eqn.args[0])
            return
        self.flush()
        regions.part(self, eqn)

    def check(self, eqn: Eqn) -> None:
        if self.is_host(eqn.args[0]):
            self.copied(eqn)
        else:
            self.queue.append(eqn)

    def filled(self, eqn: Eqn) -> None:
        """`full`, of a number that may be on the device."""
        value, *extents = eqn.args
        if self.is_host(value):
            self.copied(eqn)
            return
        made = self.empty(eqn.out, [self.number(e) for e in extents])
        self.env[eqn.out] = made
        regions.spread(self, eqn, made, value, [self.number(e) for e in extents])

    # --------------------------------------------------------------------- queue

    def flush(self) -> None:
        """Launch a kernel for what waits, if anything does."""
        if not self.queue:
            return
        queue, self.queue = self.queue, []
        kernel = GridKernel(self, queue[0].loc)
        inside: dict[Value, int] = {}
        for eqn in queue:
            for value in uses(Block((), (eqn,), ())):
                inside[value] = inside.get(value, 0) + 1
            kernel.take(eqn)
        self._end_queue(kernel, queue, inside)

    def _end_queue(
        self, kernel: GridKernel, queue: Sequence[Eqn], inside: dict[Value, int]
    ) -> None:
        """What a kernel of one thread leaves: numbers in cells, arrays written."""
        for eqn in queue:
            for out in eqn.outs:
                last = kernel.mapping.get(out)
                if isinstance(out.type, ArrayType):
                    home = self.look(out)
                    param = kernel.given(home)
                    assert last is not None
                    kernel.wrote(param, last)
                elif self.uses.get(out, 0) > inside.get(out, 0):
                    cell = self.cell_for(out)
                    param = kernel.given(cell, out.name)
                    assert last is not None
                    kernel.wrote(param, kernel.store(param, last, ()))
        self.launch(kernel, "one", ())

    # -------------------------------------------------------------------- launch

    def launch(self, kernel: Kernel, config: str, sizes: Sequence[Atom]) -> None:
        """Append a launch.

        Args:
            kernel: What is launched.
            config: How its grid is found, by the name of a function of the runtime.
            sizes: The arguments of that.
        """
        name = f"{self.name}_{len(self.kernels) + 1}"
        self.kernels.append(kernel.finish(name))
        args = (*sizes, *kernel.actuals)
        params: dict[str, Any] = {
            "kernel": name,
            "config": config,
            "sizes": len(sizes),
        }
        self.b.append(Eqn(LAUNCH, args, (), params, (), kernel.loc))


_HOST: dict[str, Callable[[Offload, Eqn], None]] = {
    "map_": Offload.nest,
    "index": Offload.load,
    "store": Offload.update,
    "add_at": Offload.update,
    "check": Offload.check,
    "full": Offload.filled,
    "copy": Offload.after_queue,
    "contract": Offload.after_queue,
    "nonzero": Offload.after_queue,
    "reshape": Offload.after_queue,
    "for_": regions.for_loop,
    "while_": regions.while_loop,
    "if_": regions.branch,
    "push": regions.push,
    "pop": regions.pop,
    "limit": Offload.copied,
}
