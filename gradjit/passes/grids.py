"""Nests over arrays as kernels.

Elements: a thread for each, in steps of the grid; the last axis along x, so that the
threads of a warp read neighbours, and the others, as one, along y. Reductions over all
axes are parts of threads, put together over the grid.

A reduction over some axes, the last among them: a block for each number that is kept,
whose threads share what is reduced. Over other axes: a thread for each number that is
kept and each y of the grid; the parts of the y are folded by a second kernel.
Reductions over different axes are kernels of their own, which come first: what they
read may be written by the last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradjit.errors import UnsupportedError
from gradjit.ir.build import index
from gradjit.ir.graph import Atom, Eqn, Value
from gradjit.ir.types import ArrayType
from gradjit.ops.region import Writer
from gradjit.passes.columns import columns
from gradjit.passes.grid_kernel import GridKernel
from gradjit.passes.kernel_nest import (
    KernelNest,
    Loop,
    ScopedNest,
    is_search,
)
from gradjit.passes.overlap import are_apart, is_injective, same_index
from gradjit.passes.parts import fold

if TYPE_CHECKING:
    from gradjit.passes.host_code import Offload

Axes = tuple[int, ...]


def launch_nest(host: Offload, eqn: Eqn) -> None:
    """The kernels of a `map_` of the host."""
    shared = updates(host, eqn)
    ndim: int = eqn.params["ndim"]
    writers: Sequence[Writer] = eqn.params["writers"]
    groups: dict[Axes, list[int]] = {}
    rest: list[int] = []
    for k, writer in enumerate(writers):
        partial = writer.dest < 0 and writer.kind != "new" and len(writer.axes) < ndim
        if partial:
            groups.setdefault(tuple(sorted(writer.axes)), []).append(k)
        else:
            rest.append(k)
    searched = any(is_search(writers[k]) for ks in groups.values() for k in ks)
    if len(groups) == 1 and not searched:
        ((axes, chosen),) = groups.items()
        _Scoped(host, eqn, sorted([*rest, *chosen]), axes, shared).run()
        return
    for axes, chosen in groups.items():
        _Scoped(host, eqn, chosen, axes, shared).run()
    if rest:
        _elements(host, eqn, rest, shared)


def updates(host: Offload, eqn: Eqn) -> bool:
    """Whether the additions of a nest meet; refuses stores that do."""
    if eqn.params["parallel"]:
        return False
    writers: Sequence[Writer] = eqn.params["writers"]
    axes = eqn.regions[0].params
    shared = False
    rows = list(columns(eqn))
    for k, (writer, row) in enumerate(zip(writers, rows, strict=True)):
        if writer.dest < 0:
            continue
        apart = is_injective(host.facts, row[1:], axes, set(axes))
        others = [
            (w.kind, other[1:])
            for j, (w, other) in enumerate(zip(writers, rows, strict=True))
            if j != k and w.dest == writer.dest
        ]
        if apart and all(_is_own(host, row[1:], at, axes) for _, at in others):
            continue  # an element is one thread's, however often it is written
        if writer.kind != "add" or any(kind != "add" for kind, _ in others):
            raise UnsupportedError(
                'with target="cuda", several threads would store into the same element'
                " here, and which of them is the last is left to chance",
                eqn.loc,
                "Make the indices of each element its own, or use the CPU.",
            )
        shared = True
    return shared


def _is_own(
    host: Offload, a: Sequence[Atom], b: Sequence[Atom], axes: Sequence[Value]
) -> bool:
    """Whether two places of an iteration are the same element, or never meet."""
    return same_index(host.facts, a, b) or are_apart(host.facts, a, b, set(axes))


def _given_dests(kernel: GridKernel, eqn: Eqn, shared: bool) -> list[Value]:
    """The arrays that a nest updates, as parameters."""
    dests: list[Value] = []
    for dest in eqn.args[eqn.params["ndim"] :]:
        param = kernel.atom(dest)
        assert isinstance(param, Value)
        dests.append(param)
        if shared:
            kernel.shared.add(param)
    return dests


def _elements(host: Offload, eqn: Eqn, chosen: list[int], shared: bool) -> None:
    """A thread for each element."""
    kernel = GridKernel(host, eqn.loc)
    dests = _given_dests(kernel, eqn, shared)
    nest = KernelNest(kernel, eqn, chosen)
    extents = eqn.args[: nest.ndim]
    inner = tuple(map(kernel.atom, extents))
    names = [p.name for p in eqn.regions[0].params]
    if nest.ndim == 1:
        size = host.number(extents[0])
        bounds = kernel.position("item"), inner[0], kernel.position("items")
        loops = [Loop(bounds, (0,), inner, names[0])]
        config = "elements", (size,)
    else:
        loops = [
            _along_y(kernel, extents[:-1], names),
            _along_x(kernel, extents, names),
        ]
        lead = host.product([host.number(e) for e in extents[:-1]])
        config = "grid2", (lead, host.number(extents[-1]))
    _end(kernel, nest, nest.numbers(loops), dests)
    host.launch(kernel, *config)


def _along_y(kernel: GridKernel, extents: Sequence[Atom], names: Sequence[str]) -> Loop:
    """The loop over the leading axes."""
    axes = tuple(range(len(extents)))
    size = kernel.size(extents) if len(extents) > 1 else kernel.atom(extents[0])
    bounds = kernel.position("y"), size, kernel.position("height")
    name = names[0] if len(axes) == 1 else "row"
    return Loop(bounds, axes, tuple(map(kernel.atom, extents)), name)


def _along_x(kernel: GridKernel, extents: Sequence[Atom], names: Sequence[str]) -> Loop:
    """The loop over the last axis."""
    last = kernel.atom(extents[-1])
    bounds = kernel.position("x"), last, kernel.position("width")
    return Loop(bounds, (len(extents) - 1,), (last,), names[len(extents) - 1])


def _end(
    kernel: GridKernel,
    nest: KernelNest,
    ends: Sequence[Sequence[Atom]],
    dests: Sequence[Value],
) -> None:
    """Note what a kernel has written, and reduce what its threads have."""
    eqn = nest.eqn
    for k, atoms in zip(nest.chosen, ends, strict=True):
        writers: Sequence[Writer] = eqn.params["writers"]
        writer, out = writers[k], eqn.outs[k]
        if writer.dest >= 0:
            kernel.wrote(dests[writer.dest], atoms[0])
            kernel.host.env[out] = kernel.host.look(eqn.args[nest.ndim + writer.dest])
        elif writer.kind == "new":
            kernel.wrote(kernel.given(kernel.host.look(out)), atoms[0])
        elif len(writer.axes) == nest.ndim:
            kernel.whole(writer.kind, atoms, out)


class _Scoped:
    """Reductions over the same axes, and what else the nest does."""

    def __init__(
        self, host: Offload, eqn: Eqn, chosen: list[int], axes: Axes, shared: bool
    ) -> None:
        self.host = host
        self.eqn = eqn
        self.axes = axes
        self.shared = shared
        self.kernel = GridKernel(host, eqn.loc)
        self.dests = _given_dests(self.kernel, eqn, shared)
        self.nest = ScopedNest(self.kernel, eqn, chosen)
        self.extents = eqn.args[: self.nest.ndim]
        self.names = [p.name for p in eqn.regions[0].params]
        self.keeps = tuple(k for k in range(self.nest.ndim) if k not in axes)
        self.inside = [k for k, s in zip(chosen, self.nest.scoped, strict=True) if s]
        host_sizes = [host.number(e) for e in self.extents]
        self.kept = host.product([host_sizes[k] for k in self.keeps])
        self.reduced = host.product([host_sizes[k] for k in axes])

    def run(self) -> None:
        """Launch the kernel, and what folds its parts."""
        searched = any(is_search(self.eqn.params["writers"][k]) for k in self.inside)
        if self.nest.ndim - 1 in self.axes:
            self.launch("block", "thread", "rows", (self.kept, self.reduced))
        elif searched:
            self.launch("item", "", "items", (self.kept,))
        else:
            self.in_parts()

    def loops(self, outer: str, inner: str) -> tuple[Loop, Loop]:
        return (
            self.loop(self.keeps, outer, self.kept),
            self.loop(self.axes, inner, self.reduced),
        )

    def loop(self, axes: Axes, where: str, size: Atom) -> Loop:
        """The loop over some axes, in steps of what it is spread over."""
        kernel = self.kernel
        extents = tuple(kernel.atom(self.extents[k]) for k in axes)
        if len(axes) == 1:
            stop, name = extents[0], self.names[axes[0]]
        else:
            stop = kernel.given(size, "size") if isinstance(size, Value) else size
            name = "at"
        steps = {
            "block": "blocks",
            "thread": "threads",
            "item": "items",
            "x": "width",
            "y": "height",
        }
        if not where:
            return Loop((index(0), stop, index(1)), axes, extents, name)
        start = kernel.position(where)  # type: ignore[arg-type]
        step = kernel.position(steps[where])  # type: ignore[arg-type]
        return Loop((start, stop, step), axes, extents, name)

    def results(self, lead: Sequence[Atom] = ()) -> list[Value]:
        """The arrays for the scoped reductions, made by the host."""
        made: list[Value] = []
        sizes = [self.host.number(self.extents[k]) for k in self.keeps]
        for k in self.inside:
            out = self.eqn.outs[k]
            if lead:
                dims = (None,) * (len(lead) + len(sizes))
                out = Value(ArrayType(out.type.dtype, dims), "parts")
            array = self.host.empty(out, [*lead, *sizes])
            if not lead:
                self.host.env[out] = array
            made.append(self.kernel.given(array))
        return made

    def launch(
        self, outer: str, inner: str, config: str, sizes: tuple[Atom, ...]
    ) -> None:
        """A kernel that reduces all at once."""
        arrays = self.results()
        kernel, writers = self.kernel, self.eqn.params["writers"]

        def finish(
            k: int, numbers: Sequence[Atom], at: Sequence[Atom], array: Atom
        ) -> Atom:
            out = self.eqn.outs[self.nest.chosen[k]]
            kind = writers[self.nest.chosen[k]].kind
            if inner:
                number = kernel.in_block(kind, numbers, out.type.dtype)
                return kernel.by_first((number, *at), array)
            return kernel.store(array, numbers[-1], at)

        ends, last = self.nest.run_scoped(*self.loops(outer, inner), arrays, finish)
        self.done(ends, arrays, last)
        self.host.launch(kernel, config, sizes)

    def done(
        self,
        ends: Sequence[Sequence[Atom]],
        arrays: Sequence[Value],
        last: Sequence[Atom],
    ) -> None:
        _end(self.kernel, self.nest, ends, self.dests)
        for array, end in zip(arrays, last, strict=True):
            self.kernel.wrote(array, end)

    def in_parts(self) -> None:
        """A part for each y of the grid, and a kernel that folds them."""
        host, kernel = self.host, self.kernel
        count = host.geometry("count_height", (self.reduced, self.kept))
        arrays = self.results((count,))
        y = kernel.position("y")

        def finish(
            k: int, numbers: Sequence[Atom], at: Sequence[Atom], array: Atom
        ) -> Atom:
            return kernel.store(array, numbers[0], (y, *at))

        ends, last = self.nest.run_scoped(*self.loops("x", "y"), arrays, finish)
        self.done(ends, arrays, last)
        parts = [kernel.actuals[kernel.params.index(a)] for a in arrays]
        host.launch(kernel, "columns", (self.reduced, self.kept))
        fold(
            host,
            self.eqn,
            [(self.eqn.outs[k], p) for k, p in zip(self.inside, parts, strict=True)],
            [self.eqn.params["writers"][k].kind for k in self.inside],
            [host.number(self.extents[k]) for k in self.keeps],
            count,
        )
