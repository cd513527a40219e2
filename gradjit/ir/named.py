"""A program with names: what the pass `name` finds and the emitter prints.

A value is either printed where it is used (`inlined`), or has a Python name. Values
that share a name are never alive at the same time, or are the same thing: the versions
of an array, a loop's carried value before and after an iteration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gradjit.ir.graph import Atom, Eqn, Graph, Value


@dataclass(frozen=True, slots=True)
class Named:
    """A placed program and the tables for printing it.

    Attributes:
        graph: The program.
        names: The Python name of each value that has one.
        inlined: For each value that is printed inside its consumer, its equation.
        choices: Results of `if_` that are printed as `a if c else b`.
        scratch: Names that a reduction needs, by its result: an accumulator, the best
            value so far.
        breaks: First results of `for_` loops whose exits are printed as `break`.
        dropped: Values whose assignments are not printed: nobody reads them.
    """

    graph: Graph
    names: Mapping[Value, str]
    inlined: Mapping[Value, Eqn] = field(default_factory=dict[Value, Eqn])
    choices: frozenset[Value] = frozenset()
    scratch: Mapping[Value, str] = field(default_factory=dict[Value, str])
    breaks: frozenset[Value] = frozenset()
    dropped: frozenset[Value] = frozenset()

    def copies(
        self, targets: Sequence[Value], sources: Sequence[Atom]
    ) -> list[tuple[Value, Atom]]:
        """The assignments that are needed so that targets have sources' values."""
        return [
            (t, s)
            for t, s in zip(targets, sources, strict=True)
            if t not in self.dropped and self.names[t] != self.name_of(s)
        ]

    def name_of(self, atom: Atom) -> str | None:
        """The name of an atom; None for constants and inlined values."""
        return self.names.get(atom) if isinstance(atom, Value) else None
