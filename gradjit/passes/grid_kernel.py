"""A kernel over a grid: what it makes are arrays of the host, and it reduces.

What all threads have is reduced over the grid into a cell, and what the threads of a
block have over the block.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradjit.ir.build import index
from gradjit.ir.graph import Atom, Block, Eqn, Value
from gradjit.ir.types import BOOL, FLOAT32, FLOAT64, INT64, DType
from gradjit.ops.device import BLOCK_REDUCE, GRID_REDUCE
from gradjit.ops.region import IF
from gradjit.passes.kernel import Kernel
from gradjit.passes.kernel_nest import canonical


class GridKernel(Kernel):
    """A kernel whose new arrays are arrays of the host."""

    def new_array(self, eqn: Eqn, out: Value, extents: Sequence[Atom]) -> Atom:
        if self.single_thread:
            return super().new_array(eqn, out, extents)
        made = self.host.empty(out, [self.host.number(e) for e in extents])
        self.host.env[out] = made
        return self.given(made)

    def size(self, extents: Sequence[Atom]) -> Atom:
        """The product of extents, by the host."""
        found = self.host.product([self.host.number(e) for e in extents])
        return self.given(found, "size") if isinstance(found, Value) else found

    def wrote(self, array: Value, last: Atom) -> None:
        """Note the last version of an array that the kernel was given."""
        if last is not array:
            self.written[array] = last

    def whole(self, kind: str, numbers: Sequence[Atom], out: Value) -> None:
        """Reduce the numbers of all threads into a number of the device."""
        cell = self.host.cell_for(out)
        param = self.given(cell, out.name)
        k = sum(e.op is GRID_REDUCE for f in self.b.frames for e in f.eqns)
        args = (
            *self.widened(numbers),
            self.given(self.host.scratch("parts")),
            self.given(self.host.scratch("counters")),
            index(k),
            param,
        )
        self.append(GRID_REDUCE, args, (), how=canonical(kind))

    def in_block(self, kind: str, numbers: Sequence[Atom], dtype: DType) -> Atom:
        """Reduce the numbers of a block's threads; all of them get the result."""
        wide = self.widened(numbers)
        out = Value(wide[-1].type)
        self.append(BLOCK_REDUCE, wide, (out,), how=canonical(kind))
        if out.type.dtype == dtype:
            return out
        return self.emit("cast", out, dtype=dtype, weak=False)

    def widened(self, numbers: Sequence[Atom]) -> list[Atom]:
        """Numbers at a type that collectives are written for."""
        out: list[Atom] = []
        for number in numbers:
            dtype = number.type.dtype
            if dtype not in (FLOAT32, FLOAT64, INT64, BOOL):
                number = self.emit("cast", number, dtype=INT64, weak=False)
            out.append(number)
        return out

    def by_first(self, store: Sequence[Atom], array: Atom, add: bool = False) -> Atom:
        """The array with `store` = (value, *index) done by one thread of a block."""
        value, *at = store
        first = self.emit("eq", self.position("thread"), index(0))
        self.b.open(())
        if add:  # here: nobody else may read it while it is written
            value = self.emit("add", self.load(array, at), value)
        then = self.b.close((self.store(array, value, at),))
        out = Value(array.type, getattr(array, "name", ""))
        self.append(IF, (first,), (out,), (then, Block((), (), (array,))))
        return out
