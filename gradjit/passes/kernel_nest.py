"""The loops of a `map_` inside of a kernel.

Each loop of the kernel runs over one axis of the nest, or over several of them as one
index that is taken apart. A reduction over all axes is carried as a number, the part of
this thread; where the kernel's outer loop runs over what a reduction keeps, its number
starts anew in each iteration (`scoped`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradjit.ir.build import index
from gradjit.ir.graph import Atom, Const, Eqn, Value
from gradjit.ir.types import BOOL, ScalarType
from gradjit.ops.region import Writer
from gradjit.passes.columns import columns
from gradjit.passes.kernel import Bounds, Kernel

_COMBINE = {
    "sum": "add",
    "prod": "mul",
    "max": "maximum",
    "min": "minimum",
    "and": "logical_and",
    "or": "logical_or",
}
_CANONICAL = {"maximum": "max", "minimum": "min"}


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop of a kernel over some axes of a nest, with the extents of these."""

    bounds: Bounds
    axes: tuple[int, ...]
    extents: tuple[Atom, ...]
    name: str = ""


def each_axis(kernel: Kernel, eqn: Eqn) -> list[Loop]:
    """A loop for each axis, by one thread."""
    ndim: int = eqn.params["ndim"]
    extents = [kernel.atom(e) for e in eqn.args[:ndim]]
    names = [p.name for p in eqn.regions[0].params]
    return [
        Loop((index(0), e, index(1)), (k,), (e,), names[k])
        for k, e in enumerate(extents)
    ]


Finish = Callable[[int, Sequence[Atom], Sequence[Atom], Atom], Atom]


class KernelNest:
    """A nest in a kernel.

    Args:
        kernel: The kernel.
        eqn: The `map_`.
        chosen: The numbers of the writers that are meant (None: all).
    """

    def __init__(
        self, kernel: Kernel, eqn: Eqn, chosen: Sequence[int] | None = None
    ) -> None:
        self.kernel = kernel
        self.eqn = eqn
        self.ndim: int = eqn.params["ndim"]
        self.dests = eqn.args[self.ndim :]
        every: tuple[Writer, ...] = eqn.params["writers"]
        rows = list(columns(eqn))
        self.chosen = list(range(len(every))) if chosen is None else list(chosen)
        self.writers = [every[k] for k in self.chosen]
        self.rows = [rows[k] for k in self.chosen]
        self.scoped = [False] * len(self.writers)

    # ------------------------------------------------------------- without scopes

    def run(self, loops: Sequence[Loop]) -> None:
        """Append the loops; the results are what this thread has of them."""
        starts = [self.start(k) for k in range(len(self.writers))]
        ends = self.level(loops, {}, self.carried(starts))
        for k, atoms in enumerate(self.parted(ends)):
            self.kernel.mapping[self.eqn.outs[self.chosen[k]]] = atoms[-1]

    def numbers(self, loops: Sequence[Loop]) -> list[list[Atom]]:
        """Append the loops; for each writer what it leaves, a search as a pair."""
        starts = [self.start(k) for k in range(len(self.writers))]
        return self.parted(self.level(loops, {}, self.carried(starts)))

    def carried(self, starts: Sequence[Sequence[Atom]]) -> list[Atom]:
        """All that is carried: destinations, then what each writer makes."""
        dests = [self.kernel.atom(d) for d in self.dests]
        return [*dests, *(a for start in starts for a in start)]

    def widths(self) -> list[int]:
        """How many carries each writer has of its own."""
        return [self.width(k) for k in range(len(self.writers))]

    def width(self, k: int) -> int:
        writer = self.writers[k]
        if writer.dest >= 0 or self.scoped[k]:
            return 0
        return 2 if is_search(writer) and len(writer.axes) == self.ndim else 1

    def parted(self, ends: Sequence[Atom]) -> list[list[Atom]]:
        """The carries writer by writer; a destination for one that updates it."""
        out: list[list[Atom]] = []
        place = len(self.dests)
        for k, writer in enumerate(self.writers):
            if writer.dest >= 0:
                out.append([ends[writer.dest]])
                continue
            out.append(list(ends[place : place + self.width(k)]))
            place += self.width(k)
        return out

    def start(self, k: int) -> list[Atom]:
        """What a writer starts with, if it makes something."""
        kernel, writer = self.kernel, self.writers[k]
        if writer.dest >= 0 or self.scoped[k]:
            return []
        made = self.eqn.outs[self.chosen[k]]
        extents = self.eqn.args[: self.ndim]
        kept = [e for axis, e in enumerate(extents) if axis not in writer.axes]
        if writer.kind == "new":
            return [kernel.new_array(self.eqn, made, kept)]
        if not kept:
            return self.identities(k)
        if is_search(writer):
            kernel.refuse(self.eqn, f"{writer.kind} over some axes")
        array = kernel.new_array(self.eqn, made, kept)
        start = identity(writer.kind, made.type.dtype)
        return [kernel.fill(array, kept, lambda at: start)]

    def identities(self, k: int) -> list[Atom]:
        """The numbers that a reduction starts with."""
        writer = self.writers[k]
        if is_search(writer):
            return [identity(writer.kind[3:], self.rows[k][0].type.dtype), index(0)]
        return [identity(writer.kind, self.eqn.outs[self.chosen[k]].type.dtype)]

    def level(
        self, loops: Sequence[Loop], at: dict[int, Atom], now: Sequence[Atom]
    ) -> Sequence[Atom]:
        """The loops from the first of these inwards."""
        if not loops:
            return self.element(at, list(now))
        first, *rest = loops

        def body(i: Value, carries: Sequence[Atom]) -> Sequence[Atom]:
            return self.level(
                rest, {**at, **taken_apart(self.kernel, first, i)}, carries
            )

        return self.kernel.loop(first.bounds, now, body, first.name)

    # ------------------------------------------------------------------- elements

    def element(self, at: dict[int, Atom], now: list[Atom]) -> list[Atom]:
        """One iteration: the carries after it."""
        kernel, (body,) = self.kernel, self.eqn.regions
        for axis, param in enumerate(body.params):
            kernel.mapping[param] = at[axis]
        # What is read from a destination is read from what is there now.
        old = [(d, kernel.mapping[d]) for d in self.dests if isinstance(d, Value)]
        for dest, atom in zip(self.dests, now, strict=False):
            assert isinstance(dest, Value)
            kernel.mapping[dest] = atom
        with kernel.alone():
            kernel.take_all(body)
        place = len(self.dests)
        for k in range(len(self.writers)):
            width = self.width(k)
            self.write(k, at, now, place)
            place += width
        kernel.mapping.update(old)
        return now

    def write(self, k: int, at: dict[int, Atom], now: list[Atom], place: int) -> None:
        """Let a writer take its value; `place` is that of its own carries."""
        kernel, writer = self.kernel, self.writers[k]
        value = kernel.atom(self.rows[k][0])
        if writer.dest >= 0:
            inside = [kernel.atom(i) for i in self.rows[k][1:]]
            add = writer.kind == "add"
            now[writer.dest] = kernel.store(now[writer.dest], value, inside, add)
            return
        kept = [at[axis] for axis in range(self.ndim) if axis not in writer.axes]
        if writer.kind == "new":
            now[place] = kernel.store(now[place], value, kept)
        elif kept and not self.scoped[k]:
            old = kernel.load(now[place], kept)
            new = combine(kernel, writer.kind, old, value)
            now[place] = kernel.store(now[place], new, kept)
        elif is_search(writer):
            (axis,) = writer.axes
            now[place : place + 2] = search(
                kernel, writer.kind, now[place : place + 2], value, at[axis]
            )
        else:
            now[place] = combine(kernel, writer.kind, now[place], value)


class ScopedNest(KernelNest):
    """A nest whose outer loop runs over what some of its reductions keep."""

    def __init__(self, kernel: Kernel, eqn: Eqn, chosen: Sequence[int]) -> None:
        super().__init__(kernel, eqn, chosen)
        self.scoped = [
            w.dest < 0 and w.kind != "new" and len(w.axes) < self.ndim
            for w in self.writers
        ]

    def run_scoped(
        self, outer: Loop, inner: Loop, arrays: Sequence[Atom], finish: Finish
    ) -> tuple[list[list[Atom]], list[Atom]]:
        """Append both loops.

        Args:
            outer: Over what is kept.
            inner: Over what is reduced.
            arrays: Of each scoped reduction, in order: where its results go.
            finish: Of the number of a writer, its numbers at the end of the inner
                loop, the indices that are kept, and the array: the array with them.

        Returns:
            What each writer leaves, as in `numbers`, and the arrays.
        """
        starts = [self.start(k) for k in range(len(self.writers))]
        own = self.carried(starts)
        ends = self.kernel.loop(
            outer.bounds,
            [*own, *arrays],
            lambda i, c: self.kept(outer, inner, i, c, len(own), finish),
            outer.name,
        )
        return self.parted(ends[: len(own)]), list(ends[len(own) :])

    def kept(
        self,
        outer: Loop,
        inner: Loop,
        i: Value,
        carries: Sequence[Atom],
        count: int,
        finish: Finish,
    ) -> list[Atom]:
        """One iteration of the outer loop."""
        at = taken_apart(self.kernel, outer, i)
        inside = [k for k, scoped in enumerate(self.scoped) if scoped]
        numbers = [self.identities(k) for k in inside]
        flat = [a for one in numbers for a in one]

        def body(j: Value, now: Sequence[Atom]) -> Sequence[Atom]:
            there = {**at, **taken_apart(self.kernel, inner, j)}
            return self.within(there, list(now), count, inside)

        ends = self.kernel.loop(
            inner.bounds, [*carries[:count], *flat], body, inner.name
        )
        arrays = list(carries[count:])
        place = count
        indices = [at[axis] for axis in outer.axes]
        for n, k in enumerate(inside):
            own = ends[place : place + len(numbers[n])]
            arrays[n] = finish(k, own, indices, arrays[n])
            place += len(own)
        return [*ends[:count], *arrays]

    def within(
        self, at: dict[int, Atom], now: list[Atom], count: int, inside: Sequence[int]
    ) -> list[Atom]:
        """One element: the carries, and the numbers of the scoped reductions."""
        out = self.element(at, now[:count])
        rest = now[count:]
        place = 0
        for k in inside:
            width = 2 if is_search(self.writers[k]) else 1
            value = self.kernel.atom(self.rows[k][0])
            mine = rest[place : place + width]
            if width == 2:
                (axis,) = self.writers[k].axes
                kind = self.writers[k].kind
                mine = search(self.kernel, kind, mine, value, at[axis])
            else:
                kind = self.writers[k].kind
                mine = [combine(self.kernel, kind, mine[0], value)]
            rest[place : place + width] = mine
            place += width
        return [*out, *rest]

    def write(self, k: int, at: dict[int, Atom], now: list[Atom], place: int) -> None:
        if not self.scoped[k]:
            super().write(k, at, now, place)


def taken_apart(kernel: Kernel, loop: Loop, i: Atom) -> dict[int, Atom]:
    """The index along each axis that a loop runs over."""
    out: dict[int, Atom] = {}
    for axis, extent in list(zip(loop.axes, loop.extents, strict=True))[:0:-1]:
        out[axis] = kernel.emit("mod", i, extent)
        i = kernel.emit("floordiv", i, extent)
    out[loop.axes[0]] = i
    return out


def is_search(writer: Writer) -> bool:
    """Whether a writer looks for the place of an element."""
    return writer.kind in ("argmax", "argmin")


def canonical(kind: str) -> str:
    """A reduction by its one name."""
    return _CANONICAL.get(kind, kind)


def combine(kernel: Kernel, kind: str, a: Atom, b: Atom) -> Atom:
    """Two parts of a reduction as one."""
    if a.type.dtype != b.type.dtype:
        b = kernel.emit("cast", b, dtype=a.type.dtype, weak=False)
    return kernel.emit(_COMBINE[canonical(kind)], a, b)


def search(
    kernel: Kernel, kind: str, pair: Sequence[Atom], value: Atom, at: Atom
) -> list[Atom]:
    """The best element so far with its place; the first NaN wins, as in NumPy."""
    best, place = pair
    better = kernel.emit("gt" if kind == "argmax" else "lt", value, best)
    if value.type.dtype.kind == "f":
        nan = kernel.emit("isnan", value)
        known = kernel.emit("logical_not", kernel.emit("isnan", best))
        first = kernel.emit("logical_and", nan, known)
        better = kernel.emit("logical_or", better, first)
    return [
        kernel.emit("where", better, value, best),
        kernel.emit("where", better, at, place),
    ]


def identity(kind: str, dtype: np.dtype[Any]) -> Const:
    """What a reduction starts with."""
    type_ = ScalarType(dtype)
    kind = canonical(kind)
    if kind in ("and", "or"):
        return Const(kind == "and", ScalarType(BOOL))
    if kind in ("sum", "prod"):
        one = 1 if kind == "prod" else 0
        return Const(float(one) if dtype.kind == "f" else one, type_)
    if dtype.kind == "f":
        return Const(-np.inf if kind == "max" else np.inf, type_)
    if dtype.kind == "b":
        return Const(kind == "min", type_)
    limits = np.iinfo(dtype)
    return Const(int(limits.min if kind == "max" else limits.max), type_)
