"""Checks, at run time, that saved values take no more memory than is given."""

from __future__ import annotations

from collections.abc import Sequence

from gradjit.ir.build import Builder
from gradjit.ir.graph import Atom, Const, Eqn, Value
from gradjit.ir.op import lookup
from gradjit.ir.types import INDEX, REAL, ArrayType, ScalarType
from gradjit.passes.saved import Save

OVER_BUDGET = "what is saved for the way back takes more than the memory given"


class Budget:
    """The memory of one backward walk.

    Args:
        b: The builder of its code.
        most: In bytes; None for no limit, and 0 where nothing is looked at.
        saves: What is saved. Arrays and stacks share the memory by their numbers.
    """

    def __init__(self, b: Builder, most: int | None, saves: dict[Value, Save]) -> None:
        self.b = b
        self.most = most
        self.saves = saves

    def check_arrays(self) -> None:
        """A check, at run time, of the bytes that the arrays take."""
        every = dict.fromkeys(self.saves.values())
        arrays = [s for s in every if s.kind == "array"]
        if not self.most or not arrays:
            return
        total: Atom = Const(0.0, REAL)
        for save in arrays:
            size = self._bytes(save.type.dtype.itemsize, save.sizes)
            total = self.b.emit1("add", total, size)
        mine = self.most * len(arrays) / len(self.saves)
        fits = self.b.emit1("le", total, Const(mine, REAL))
        self.b.emit("check", fits, kind="memory", message=OVER_BUDGET)

    def limit_stack(self, save: Save, stack: Atom) -> None:
        """A check, at run time, that a stack may take one more value.

        Stacks are taken to be as long as one another, those of arrays to be as wide.
        """
        if not self.most:
            return
        b, value = self.b, save.value
        kinds = [s.value.type for s in self.saves.values() if s.kind == "stack"]
        numbers = sum(t.dtype.itemsize for t in kinds if isinstance(t, ScalarType))
        wide = sum(isinstance(t, ArrayType) for t in kinds)
        size: Atom = Const(float(numbers), REAL)
        if isinstance(value.type, ArrayType):
            here = [self._dim_of(value, k) for k in range(value.type.rank)]
            rows = self._bytes(value.type.dtype.itemsize * wide, here)
            size = b.emit1("add", rows, Const(numbers + 1.0, REAL))
        mine = Const(self.most * len(kinds) / len(self.saves), REAL)
        most = b.emit1("floor", b.emit1("div", mine, size))
        limit = b.emit1("cast", most, dtype=INDEX.dtype, weak=False)
        b.emit("limit", stack, limit, message=OVER_BUDGET)

    def _dim_of(self, value: Value, axis: int) -> Value:
        """An extent of a forward value, where the forward code is."""
        out = Value(INDEX)
        self.b.append(Eqn(lookup("dim"), (value,), (out,), {"axis": axis}))
        return out

    def _bytes(self, itemsize: int, extents: Sequence[Atom]) -> Atom:
        size: Atom = Const(float(itemsize), REAL)
        for extent in extents:
            factor = self.b.emit1("cast", extent, dtype=REAL.dtype, weak=False)
            size = self.b.emit1("mul", size, factor)
        return size
