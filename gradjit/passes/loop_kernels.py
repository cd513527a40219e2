"""Counted loops whose iterations are independent, as kernels.

A thread for each iteration, in steps of the grid; where an iteration has nests over
elements, a block for each (`row_kernel`). A number that iterations add to is a part of
each thread, reduced over the grid; an array that they add to takes atomic additions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradjit.ir.build import index
from gradjit.ir.graph import Atom, Const, Eqn, Value, walk
from gradjit.ir.op import lookup
from gradjit.ir.types import ArrayType
from gradjit.passes.grid_kernel import GridKernel
from gradjit.passes.independent import Kind
from gradjit.passes.kernel import Kernel
from gradjit.passes.kernel_nest import identity

if TYPE_CHECKING:
    from gradjit.passes.host_code import Offload


class LoopKernel(GridKernel):
    """A loop of the program, its iterations spread over threads or blocks.

    Attributes:
        worker: The place that an iteration has in scratch arrays.
    """

    unit = "item"

    def __init__(self, host: Offload, eqn: Eqn) -> None:
        super().__init__(host, eqn.loc)
        self.eqn = eqn
        self.sizes: tuple[Atom, ...] = ()

    @property
    def worker(self) -> Atom:
        return self.position(self.unit)  # type: ignore[arg-type]

    def workers(self) -> Value:
        """How many places a scratch array has."""
        return self.host.geometry(f"count_{self.unit}s", self.sizes)

    # An array that an iteration makes is its own.
    def new_array(self, eqn: Eqn, out: Value, extents: Sequence[Atom]) -> Atom:
        return Kernel.new_array(self, eqn, out, extents)

    def big_array(self, eqn: Eqn, out: Value, extents: Sequence[Atom]) -> Atom:
        sizes = [self.outside(eqn, e) for e in extents]
        dtype = out.type.dtype
        dims = (None,) * (1 + len(sizes))
        like = Value(ArrayType(dtype, dims), out.name)
        scratch = self.host.empty(like, [self.workers(), *sizes])
        return self.view(self.given(scratch), self.worker, out.name)

    def outside(self, eqn: Eqn, extent: Atom) -> Atom:
        """An extent as the host knows it, who allocates."""
        if self.host.is_host(extent):
            return self.host.look(extent)
        made = self.made_by(extent)
        if (
            made is not None
            and made.op.name == "dim"
            and self.host.is_host(made.args[0])
        ):
            return self.host.b.extent(self.host.look(made.args[0]), made.params["axis"])
        self.refuse(eqn, "an array whose extents differ from iteration to iteration")
        raise AssertionError

    def made_by(self, atom: Atom) -> Eqn | None:
        return next((e for e in walk(self.eqn.regions[0]) if atom in e.outs), None)

    def view(self, array: Value, at: Atom, name: str) -> Value:
        """The part of an array at an index of its first axis."""
        assert isinstance(array.type, ArrayType)
        inner = array.type.dims[1:]
        out = Value(ArrayType(array.type.dtype, inner), name)
        params = {"spec": "i" + ":" * len(inner), "dims": inner, "checked": False}
        self.b.append(Eqn(lookup("index"), (array, at), (out,), params, (), self.b.loc))
        return out

    # ----------------------------------------------------------------------- loop

    def run(self, kinds: Sequence[Kind], config: str, *widths: Atom) -> None:
        """Append the loop, launch, and note what the loop leaves."""
        eqn, host = self.eqn, self.host
        start, step, count = counted(host, eqn)
        self.sizes = (count, *widths)
        homes = [
            self.home(k, init, kind)
            for k, (init, kind) in enumerate(zip(eqn.args[3:], kinds, strict=True))
        ]
        starts = [self.begun(k, home) for k, home in enumerate(homes)]
        ends = self.spread(start, step, count, starts)
        for k, (home, end) in enumerate(zip(homes, ends, strict=True)):
            self.ended(k, home, end)
        host.launch(self, config, self.sizes)
        self.folded(kinds, homes)

    def home(self, k: int, init: Atom, kind: Kind) -> Value | None:
        """The parameter for an array that is carried; None for a number."""
        if not isinstance(init.type, ArrayType):
            return None
        found = self.given(self.host.look(init), self.eqn.outs[k].name)
        if kind == "sum":
            self.shared.add(found)
        return found

    def begun(self, k: int, home: Value | None) -> Atom:
        """What a thread starts with."""
        return home or identity("sum", self.eqn.outs[k].type.dtype)

    def spread(
        self, start: Atom, step: int, count: Atom, starts: Sequence[Atom]
    ) -> Sequence[Atom]:
        """The loop, in steps of the grid."""
        (body,) = self.eqn.regions
        stop = self.given(count, "count") if isinstance(count, Value) else count
        first = self.given(start, "start") if isinstance(start, Value) else start

        def iteration(p: Value, now: Sequence[Atom]) -> Sequence[Atom]:
            at: Atom = p
            if step != 1:
                at = self.emit("mul", at, index(step))
            if not (isinstance(first, Const) and not first.value):
                at = self.emit("add", first, at)
            self.mapping.update(zip(body.params, (at, *now), strict=True))
            self.take_all(body)
            self.meet()
            return [self.atom(r) for r in body.results]

        units = self.position(f"{self.unit}s")  # type: ignore[arg-type]
        bounds = self.worker, stop, units
        return self.loop(bounds, starts, iteration, body.params[0].name)

    def meet(self) -> None:
        """What threads do at the end of an iteration."""

    def ended(self, k: int, home: Value | None, end: Atom) -> None:
        """Note what a carry is after the loop."""
        out, init = self.eqn.outs[k], self.eqn.args[3 + k]
        if home is not None:
            self.wrote(home, end)
            self.host.env[out] = self.host.look(init)
            return
        if isinstance(init, Const) and not init.value:
            self.whole("sum", (self.part_of(end),), out)
            return
        part = Value(out.type, out.name)
        self.host.device.add(part)
        self.whole("sum", (self.part_of(end),), part)
        self.host.late[out] = Eqn(lookup("add"), (init, part), (out,), loc=self.loc)

    def part_of(self, number: Atom) -> Atom:
        """What this thread has of a sum."""
        return number

    def folded(self, kinds: Sequence[Kind], homes: Sequence[Value | None]) -> None:
        """What has to be put together after the launch."""


def counted(host: Offload, eqn: Eqn) -> tuple[Atom, int, Atom]:
    """The first index of a loop, the way to the next, and how many there are."""
    start, stop, by = eqn.args[:3]
    assert isinstance(by, Const)
    step = int(by.value)
    first, last = host.number(start), host.number(stop)
    b = host.b
    span = b.emit1("sub", last, first) if step > 0 else b.emit1("sub", first, last)
    size = abs(step)
    if size != 1:
        span = b.emit1("floordiv", b.emit1("add", span, index(size - 1)), index(size))
    return first, step, span


def launch_items(host: Offload, eqn: Eqn, kinds: Sequence[Kind]) -> None:
    """A thread for each iteration."""
    LoopKernel(host, eqn).run(kinds, "items")
