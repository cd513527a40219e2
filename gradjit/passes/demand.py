"""What each step of a block needs, found by writing its scalar code on trial.

Every step over arrays gets a `Demand`: the elements that its loop body loads, as arrays
and indices in terms of common loop variables, and the scalars. Two demands on one array
can then be compared: the same element at each iteration means that producer and
consumer can share the iteration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gradjit.ir.bounds import Facts
from gradjit.ir.build import Builder
from gradjit.ir.graph import Atom, Const, Eqn, Value
from gradjit.ir.types import INDEX, scalar_of
from gradjit.passes.element import (
    REDUCTIONS,
    UPDATES,
    ZERO,
    Elements,
    Index,
    is_pick,
    slice_extents,
)
from gradjit.passes.overlap import may_share, same_index

Space = tuple[Atom, ...]
Load = tuple[Value, Index]


@dataclass(slots=True)
class Demand:
    """What the scalar code of one step reads.

    Attributes:
        space: Extents of its loops: those that are not known to be 1.
        loads: Arrays and indices at which the code stops.
        scalars: Scalars of the block.
        writes: Where an update writes.
    """

    space: Space = ()
    loads: list[Load] = field(default_factory=list[Load])
    scalars: set[Value] = field(default_factory=set[Value])
    writes: Index | None = None


class Recorder:
    """Writes scalar code into a frame that is thrown away, and notes what it reads."""

    def __init__(
        self,
        defs: Mapping[Value, Eqn],
        extents: Mapping[Value, tuple[Atom, ...]],
        facts: Facts,
    ) -> None:
        self.facts = facts
        self.rows = extents
        self.axes: list[Value] = []
        self.now = Demand()
        self.stops: Callable[[Value], bool] = lambda v: True
        self.b = Builder(checks=False)
        self.b.facts = facts
        self.b.open(())
        self.elements = Elements(self.b, defs, self.extents, self._stop, self._scalar)
        self.loaded: dict[tuple[object, ...], Value] = {}

    def extents(self, atom: Atom) -> tuple[Atom, ...]:
        """The extents of an array; () for a scalar."""
        return self.rows.get(atom, ()) if isinstance(atom, Value) else ()

    def record(self, eqn: Eqn, stops: Callable[[Value], bool]) -> Demand:
        """The demand of a step, going on where `stops` says no."""
        self.now, self.stops = Demand(), stops
        self.elements.memo.clear()
        name = eqn.op.name
        if is_pick(eqn):
            self.elements.of(eqn, ())
            return self.now
        if name in REDUCTIONS:
            space, at = self.loops(self.extents(eqn.args[0]))
            self.elements.at(eqn.args[0], at)
        elif name in UPDATES:
            space, at = self.loops(slice_extents(eqn, self.extents))
            self.now.writes = self.elements.written(eqn, at)[1]
        else:
            space, at = self.loops(self.extents(eqn.out))
            self.elements.of(eqn, at)
        self.now.space = space
        self.now.scalars.update(e for e in space if isinstance(e, Value))
        return self.now

    def loops(self, extents: Sequence[Atom]) -> tuple[Space, Index]:
        """The loops over an array, and its index in them."""
        space = tuple(e for e in extents if not is_one(e))
        while len(self.axes) < len(space):
            self.axes.append(Value(INDEX, f"i{len(self.axes)}"))
        return space, spread(extents, self.axes)

    def identity(self, array: Value) -> Index:
        """The index of an array in loops over itself."""
        return self.loops(self.rows[array])[1]

    def _stop(self, array: Value, at: Index) -> Atom | None:
        if not self.stops(array):
            return None
        self.now.loads.append((array, at))
        key = (array, *(a.key() if isinstance(a, Const) else a for a in at))
        if key not in self.loaded:
            self.loaded[key] = Value(scalar_of(array.type))
        return self.loaded[key]

    def _scalar(self, atom: Atom) -> Atom:
        if isinstance(atom, Value) and atom not in self.axes:
            self.now.scalars.add(atom)
        return atom

    # ------------------------------------------------------------- comparisons

    def same(self, a: Index, b: Index) -> bool:
        """Whether two indices are the same element at each iteration."""
        return same_index(self.facts, a, b)

    def same_space(self, a: Space, b: Space) -> bool:
        """Whether two loop nests run over the same indices."""
        return self.same(a, b)

    def harmless(self, read: Index, write: Index, space: Space) -> bool:
        """Whether loops may read here and write there in one array, in any order."""
        axes = self.axes[: len(space)]
        return may_share(self.facts, read, write, axes, set(self.loaded.values()))


def spread(extents: Sequence[Atom], axes: Sequence[Atom]) -> Index:
    """Loop variables for the axes that have a loop, 0 for the others."""
    variables = iter(axes)
    return tuple(ZERO if is_one(e) else next(variables) for e in extents)


def is_one(atom: Atom) -> bool:
    """Whether an extent is known to be 1."""
    return isinstance(atom, Const) and atom.value == 1
