"""Loops whose iterations have nests over elements: a block for each iteration.

The threads of the block share the elements of a nest, all of them compute what comes
between, and one of them stores single numbers. Before a thread meets what others have
written, or writes what others may still read, all of them meet at a barrier; whether
they do is found by the memory that equations touch, not by its elements. An array that
iterations add to has a part for each block, folded by a second kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradjit.ir.build import index
from gradjit.ir.graph import Atom, Block, Const, Eqn, Value, values, walk
from gradjit.ir.op import lookup
from gradjit.ir.types import ArrayType, ScalarType
from gradjit.ops.device import BARRIER
from gradjit.ops.region import MAP, Writer
from gradjit.passes.alias import is_array, is_view, overwritten
from gradjit.passes.grids import updates
from gradjit.passes.independent import Kind
from gradjit.passes.kernel import Element
from gradjit.passes.kernel_nest import (
    KernelNest,
    Loop,
    ScopedNest,
    identity,
    taken_apart,
)
from gradjit.passes.loop_kernels import LoopKernel
from gradjit.passes.parts import fold

if TYPE_CHECKING:
    from gradjit.passes.host_code import Offload

# A nest of fewer elements is not worth a block.
_FEW = 16
_TOUCHING = frozenset(
    {"map_", "store", "add_at", "index", "full", "copy", "for_", "if_"}
)
_BY_ALL = frozenset({"map_", "full", "copy"})
_IN_ROWS = frozenset(
    {
        "dim",
        "index",
        "map_",
        "check",
        "empty",
        "full",
        "copy",
        "for_",
        "if_",
        "store",
        "add_at",
    }
)


def has_rows(eqn: Eqn) -> bool:
    """Whether the iterations of a loop have nests that the threads of a block share."""
    body = eqn.regions[-1]
    nests = [e for e in walk(body) if e.op.name == "map_"]
    return any(not _is_small(e) for e in nests) and _fits(body)


def _is_small(eqn: Eqn) -> bool:
    sizes = eqn.args[: eqn.params["ndim"]]
    known = [int(e.value) for e in sizes if isinstance(e, Const)]
    total = 1
    for n in known:
        total *= n
    return len(known) == len(sizes) and total <= _FEW


def _fits(block: Block) -> bool:
    """Whether all threads of a block can run this together."""
    for eqn in block.eqns:
        name = eqn.op.name
        if name not in _IN_ROWS and eqn.op.kind != "elementwise":
            return False
        if name in ("store", "add_at") and set(eqn.params["spec"]) != {"i"}:
            return False
        if name == "for_" and not _fits(eqn.regions[0]):
            return False
        if name == "if_" and not _only_numbers(eqn):
            return False
    return True


def _only_numbers(eqn: Eqn) -> bool:
    inside = [e for r in eqn.regions for e in walk(r)]
    fine = all(
        e.op.kind == "elementwise" or e.op.name in ("dim", "index", "if_")
        for e in inside
    )
    outs = (o for e in (eqn, *inside) for o in e.outs)
    return fine and all(isinstance(o.type, ScalarType) for o in outs)


def launch_rows(host: Offload, eqn: Eqn, kinds: Sequence[Kind]) -> None:
    """A block for each iteration."""
    kernel = RowKernel(host, eqn)
    kernel.run(kinds, "rows", kernel.width())


class RowKernel(LoopKernel):
    """A loop whose iterations are shared by the threads of a block."""

    unit = "block"

    def __init__(self, host: Offload, eqn: Eqn) -> None:
        super().__init__(host, eqn)
        self.read: set[Atom] = set()
        self.touched: set[Atom] = set()
        self.scratched = False
        self.parts: dict[int, Value] = {}

    def width(self) -> Atom:
        """How many elements a nest of an iteration has, as far as the host knows."""
        for eqn in walk(self.eqn.regions[0]):
            if eqn.op.name != "map_" or _is_small(eqn):
                continue
            sizes = eqn.args[: eqn.params["ndim"]]
            if all(self.host.is_host(e) for e in sizes):
                return self.host.product([self.host.look(e) for e in sizes])
        return index(256)

    # -------------------------------------------------------------------- carries

    def home(self, k: int, init: Atom, kind: Kind) -> Value | None:
        """Blocks add to parts of their own."""
        if kind != "sum" or not isinstance(init.type, ArrayType):
            return super().home(k, init, kind)
        host, type_ = self.host, init.type
        sizes = host.b.extents(host.look(init))
        out = Value(ArrayType(type_.dtype, (None, *type_.dims)), "parts")
        args = (identity("sum", type_.dtype), self.workers(), *sizes)
        params = {"dtype": type_.dtype, "dims": (None, *type_.dims)}
        host.b.append(Eqn(lookup("full"), args, (out,), params, (), self.loc))
        self.parts[k] = out
        return self.given(out)

    def begun(self, k: int, home: Value | None) -> Atom:
        if k in self.parts:
            assert home is not None
            return self.view(home, self.worker, self.eqn.outs[k].name)
        return super().begun(k, home)

    def ended(self, k: int, home: Value | None, end: Atom) -> None:
        if k not in self.parts:
            super().ended(k, home, end)
        else:
            init = self.host.look(self.eqn.args[3 + k])
            self.host.env[self.eqn.outs[k]] = init

    def part_of(self, number: Atom) -> Atom:
        """All threads of a block have the same: one of them counts."""
        first = self.emit("eq", self.position("thread"), index(0))
        return self.emit("where", first, number, identity("sum", number.type.dtype))

    def folded(self, kinds: Sequence[Kind], homes: Sequence[Value | None]) -> None:
        host = self.host
        for k, parts in self.parts.items():
            out = self.eqn.outs[k]
            into = host.look(out)
            assert isinstance(into, Value)
            sizes = list(host.b.extents(into))
            assert isinstance(parts.type, ArrayType)
            count = host.b.extent(parts, 0)
            fold(host, self.eqn, [(out, parts)], ["sum"], sizes, count, [into])

    def meet(self) -> None:
        """The next row is in the scratch memory of this one."""
        if self.scratched or self.parts:
            self.barrier()

    def new_array(self, eqn: Eqn, out: Value, extents: Sequence[Atom]) -> Atom:
        """What an iteration makes is read by all threads."""
        if self.single_thread:
            return super().new_array(eqn, out, extents)
        self.scratched = True
        return self.big_array(eqn, out, extents)

    def big_array(self, eqn: Eqn, out: Value, extents: Sequence[Atom]) -> Atom:
        if self.single_thread:  # scratch memory has a place for the block, not for each
            self.refuse(eqn, "a big array for each element of an array")
        return super().big_array(eqn, out, extents)

    # ------------------------------------------------------------------- barriers

    def before(self, eqn: Eqn) -> None:
        """A barrier, if threads could meet what others have written or still read."""
        reads, writes = self.accesses(eqn)
        if (reads | writes) & self.touched or writes & self.read:
            self.barrier()
        self.read |= reads
        self.touched |= writes

    def accesses(self, eqn: Eqn) -> tuple[set[Atom], set[Atom]]:
        """The memory that an equation reads, and writes; its regions included."""
        root = self.host.memory.root
        inside = [eqn, *(e for r in eqn.regions for e in walk(r))]
        touching = [e for e in inside if not is_view(e)]
        reads = {root(a) for e in touching for a in _read(e)}
        writes = {root(a) for e in touching for a in overwritten(e)}
        made = (o for e in touching if not e.regions or e.op is MAP for o in e.outs)
        return reads, writes | {root(o) for o in made if is_array(o)}

    def barrier(self) -> None:
        latest = {
            self.host.memory.root(old): a
            for old, a in self.mapping.items()
            if is_array(old) and isinstance(a, Value) and self._is_visible(a)
        }
        touched = self.read | self.touched
        arrays = [a for root, a in latest.items() if root in touched]
        self.append(BARRIER, arrays, ())
        self.read.clear()
        self.touched.clear()

    def _is_visible(self, value: Value) -> bool:
        return value in self.params or any(
            value in frame.values for frame in self.b.frames
        )

    # ------------------------------------------------------------------ equations

    def take(self, eqn: Eqn) -> None:
        name = eqn.op.name
        if self.single_thread or not self.b.frames[1:]:
            super().take(eqn)  # an element, or arithmetic in front of the loop
            return
        if name in _TOUCHING and not is_view(eqn):
            self.before(eqn)
        if name in ("store", "add_at"):
            self.single(eqn)
        elif name == "for_":
            self.inner_loop(eqn)
        else:
            super().take(eqn)

    def inner_loop(self, eqn: Eqn) -> None:
        """A loop of an iteration, by all threads; it may run never, or often.

        A barrier inside of it is none for what was touched before it. And an iteration
        must not write what threads still read, or have written, in the one before.
        """
        read, touched = self.read, self.touched
        self.read, self.touched = set(), set()
        super().take(eqn)
        self.read |= read
        self.touched |= touched

    def leave(self, block: Block) -> None:
        if self.single_thread:
            return
        reads, writes = set[Atom](), set[Atom]()
        for eqn in block.eqns:
            for whole, part in zip((reads, writes), self.accesses(eqn), strict=True):
                whole |= part
        # What one thread stores, and nobody reads, can wait.
        several = any(e.op.name in _BY_ALL for e in walk(block))
        if reads & writes or (writes and several):
            self.barrier()

    def single(self, eqn: Eqn) -> None:
        """One number that is stored, or added, by one thread."""
        array, *store = map(self.atom, eqn.args)
        (value, *at), add = store, eqn.op.name == "add_at"
        self.mapping[eqn.out] = self.by_first((value, *at), array, add)

    def nest(self, eqn: Eqn) -> None:
        """The elements of a nest, shared by the threads."""
        if self.single_thread:
            super().nest(eqn)
            return
        ndim: int = eqn.params["ndim"]
        writers: Sequence[Writer] = eqn.params["writers"]
        groups: dict[tuple[int, ...], list[int]] = {}
        rest: list[int] = []
        for k, w in enumerate(writers):
            partial = w.dest < 0 and w.kind != "new" and len(w.axes) < ndim
            if partial:
                groups.setdefault(tuple(sorted(w.axes)), []).append(k)
            else:
                rest.append(k)
        shared = updates(self.host, eqn)
        for dest in eqn.args[ndim:] if shared else ():
            self.shared.add(self.atom(dest))
        for axes, chosen in groups.items():
            self.scoped(eqn, axes, chosen)
        if groups and any(writers[k].dest >= 0 for k in rest):
            self.barrier()  # what the reductions read
        if rest:
            self.elements(eqn, rest)

    def elements(self, eqn: Eqn, chosen: list[int]) -> None:
        nest = KernelNest(self, eqn, chosen)
        loop = self.shared_loop(eqn, tuple(range(nest.ndim)), "thread")
        for k, atoms in zip(chosen, nest.numbers([loop]), strict=True):
            writer, out = nest.eqn.params["writers"][k], eqn.outs[k]
            if writer.dest >= 0 or writer.kind == "new":
                self.mapping[out] = atoms[0]
            else:
                dtype = out.type.dtype
                self.mapping[out] = self.in_block(writer.kind, atoms, dtype)

    def scoped(self, eqn: Eqn, axes: tuple[int, ...], chosen: list[int]) -> None:
        """Reductions over some axes: each number that is kept by one thread."""
        nest = ScopedNest(self, eqn, chosen)
        keeps = tuple(k for k in range(nest.ndim) if k not in axes)
        arrays = [
            self.new_array(eqn, eqn.outs[k], [eqn.args[a] for a in keeps])
            for k in chosen
        ]
        outer = self.shared_loop(eqn, keeps, "thread")
        inner = self.shared_loop(eqn, axes, "")
        _, last = nest.run_scoped(
            outer, inner, arrays, lambda k, n, at, a: self.store(a, n[-1], at)
        )
        self.mapping.update((eqn.outs[k], a) for k, a in zip(chosen, last, strict=True))

    def shared_loop(self, eqn: Eqn, axes: tuple[int, ...], where: str) -> Loop:
        """The loop over some axes of a nest."""
        extents = tuple(self.atom(eqn.args[k]) for k in axes)
        names = [eqn.regions[0].params[k].name for k in axes]
        stop: Atom = index(1)
        for extent in extents:
            stop = self.emit("mul", stop, extent)
        start: Atom = self.position("thread") if where else index(0)
        step: Atom = self.position("threads") if where else index(1)
        name = names[0] if len(axes) == 1 else "at"
        return Loop((start, stop, step), axes, extents, name)

    def fill(self, array: Atom, extents: Sequence[Atom], value: Element) -> Atom:
        """The threads fill an array together."""
        if self.single_thread:
            return super().fill(array, extents, value)
        stop: Atom = index(1)
        for extent in extents:
            stop = self.emit("mul", stop, self.atom(extent))
        inside = tuple(map(self.atom, extents))
        axes = tuple(range(len(inside)))
        bounds = self.position("thread"), stop, self.position("threads")
        loop = Loop(bounds, axes, inside)

        def body(i: Value, now: Sequence[Atom]) -> Sequence[Atom]:
            places = taken_apart(self, loop, i)
            at = [places[k] for k in axes]
            return (self.store(now[0], value(at), at),)

        return self.loop(bounds, (array,), body)[0]


def _read(eqn: Eqn) -> list[Value]:
    """The arrays that an equation reads elements of."""
    args = eqn.args[1:] if eqn.op.name in ("store", "add_at") else eqn.args
    return [a for a in values(args) if is_array(a)]
