"""What is assumed of the memory of the arrays that go around a loop.

At first, arrays that are one before a loop are taken to stay one, those that are apart
to stay apart, and each to be the memory that it was. The body is traced with that; what
it leaves then proves the assumptions, or says which to drop for the next attempt. What
may be the same memory is no error: only a use after a write into the other one is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from gradjit.trace import memory
from gradjit.trace.handle import Buffer
from gradjit.trace.merge import Leaf


@dataclass(frozen=True, slots=True)
class Entry:
    """One array that goes around: what it is, before, inside and at the end."""

    key: Any
    init: Leaf
    fresh: Buffer
    final: Leaf


class Sharing:
    """The assumptions of one loop; they only get fewer.

    Attributes:
        alone: Arrays that do not stay one with another.
        meeting: Pairs that may become one.
        others: What else an array may be the memory of.
    """

    def __init__(self) -> None:
        self.alone: set[Any] = set()
        self.meeting: set[frozenset[Any]] = set()
        self.others: dict[Any, set[Buffer]] = {}
        self.known: dict[Buffer, Buffer] = {}
        self.begun: list[tuple[Any, Buffer | None, Buffer]] = []

    def begin(self) -> None:
        """A new attempt."""
        self.known = {}
        self.begun = []

    def enter(self, key: Any, init: Leaf, fresh: Buffer) -> Buffer:
        """The buffer of an array inside: a fresh one, or that of another array."""
        source = init.buffer
        whole = source is not None and source.version is init.atom
        mine = fresh
        if source is not None and whole and key not in self.alone:
            mine = self.known.setdefault(source, fresh)
        extra = self.others.get(key, set())
        if mine is not fresh:
            memory.derive(mine, extra - set(mine.sources))
            return mine
        memory.derive(fresh, [source, *extra])
        for other, start, buffer in self.begun:
            pair = frozenset((key, other))
            if pair not in self.meeting and not memory.meets(source, start):
                fresh.apart.add(buffer)
        self.begun.append((key, source, fresh))
        return fresh

    def holds(self, entries: Sequence[Entry], start: int) -> bool:
        """Whether the body has kept to the assumptions; else drop those that fail.

        Args:
            entries: The arrays.
            start: The last birth before the loop.
        """
        before = len(self.alone), len(self.meeting), self._extras()
        for a, b in combinations(entries, 2):
            self._compare(a, b)
        for entry, outer in _reached(entries, start):
            missing = outer - set(entry.fresh.sources) - {entry.init.buffer}
            self.others.setdefault(entry.key, set()).update(missing)
        return before == (len(self.alone), len(self.meeting), self._extras())

    def _extras(self) -> int:
        return sum(map(len, self.others.values()))

    def _compare(self, a: Entry, b: Entry) -> None:
        x, y = a.final, b.final
        if a.fresh is b.fresh:
            if x.buffer is None or x.buffer is not y.buffer or x.atom is not y.atom:
                self.alone |= {a.key, b.key}
        elif memory.meets(x.buffer, y.buffer):
            self.meeting.add(frozenset((a.key, b.key)))


def _reached(
    entries: Sequence[Entry], start: int
) -> Iterator[tuple[Entry, set[Buffer]]]:
    """The buffers from before the loop that each array may be the memory of."""
    inside = {e.fresh for e in entries}
    ends: dict[Buffer, set[Buffer]] = {e.fresh: set() for e in entries}
    for e in entries:
        ends[e.fresh] |= {e.init.buffer} if e.init.buffer else set()
        if e.final.buffer is not None:
            ends[e.fresh] |= memory.origins(
                e.final.buffer, lambda b: b in inside or b.birth <= start
            )
    for e in entries:
        reached: set[Buffer] = set()
        stack = [e.fresh]
        while stack:
            here = stack.pop()
            if here not in reached:
                reached.add(here)
                stack.extend(ends.get(here, ()))
        yield e, reached - inside
