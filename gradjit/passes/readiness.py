"""What has to be computed before an equation can stay as it is."""

from __future__ import annotations

from collections.abc import Iterator, Set

from gradjit.ir.graph import Block, Eqn, Value, values, walk
from gradjit.passes.demand import Recorder
from gradjit.passes.element import is_array
from gradjit.passes.usage import Defs


def waits_for(
    eqn: Eqn, recorder: Recorder, defs: Defs, memory: Set[Value]
) -> Iterator[Value]:
    """Scalars and arrays in memory that an equation and its regions read.

    Args:
        eqn: The equation.
        recorder: Knows the extents, which loops inside of the equation will need.
        defs: Definitions of lazy arrays.
        memory: Lazy arrays that are put in memory.
    """
    waits = _Waits(recorder, defs, memory)
    yield from waits.atoms(eqn)
    for region in eqn.regions:
        yield from waits.block(region)
        for inner in walk(region):
            yield from waits.inside(inner)


class _Waits:
    def __init__(self, recorder: Recorder, defs: Defs, memory: Set[Value]) -> None:
        self.recorder = recorder
        self.defs = defs
        self.memory = memory

    def atoms(self, eqn: Eqn) -> Iterator[Value]:
        for a in values(eqn.args):
            yield from self.value(a)
        own = eqn.op.name == "nonzero"  # its extent is known when it is there
        if eqn.outs and is_array(eqn.outs[0]) and not eqn.regions and not own:
            yield from values(self.recorder.extents(eqn.outs[0]))

    def inside(self, eqn: Eqn) -> Iterator[Value]:
        for a in (*values(eqn.args), *eqn.outs):
            yield from values(self.recorder.extents(a))
        for a in values(eqn.args):
            yield from self.value(a)
        for region in eqn.regions:
            yield from self.block(region)

    def block(self, block: Block) -> Iterator[Value]:
        for p in block.params:
            yield from values(self.recorder.extents(p))
        for r in values(block.results):
            yield from self.value(r)

    def value(self, value: Value) -> Iterator[Value]:
        """What has to be there before `value` can be read."""
        eqn = self.defs.get(value)
        if eqn is None or value in self.memory:
            yield value
            return
        yield from values(self.recorder.extents(value))
        for a in values(eqn.args):
            yield from values(self.recorder.extents(a))
            yield from self.value(a)
