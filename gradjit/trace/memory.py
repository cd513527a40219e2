"""Which buffers may be the same memory, depending on the path that is taken.

A buffer that comes out of a branch or goes around a loop has *sources*: it is the
memory of one of them, or of none. Sources are older than what is derived from them.
Buffers that come out of one branch or loop together may be known to be apart
(`a, b = b, a` under a condition), although they have sources in common.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from gradjit.trace.handle import Buffer


def derive(buffer: Buffer, sources: Iterable[Buffer | None]) -> None:
    """Note that a new buffer may be the memory of one of its sources."""
    for source in sources:
        if source is not None and source is not buffer:
            buffer.sources.append(source)
            source.derived.append(buffer)


def meets(a: Buffer | None, b: Buffer | None) -> bool:
    """Whether two buffers may be the same memory."""
    if a is None or b is None:
        return False
    stack = [(a, b)]
    seen: set[tuple[Buffer, Buffer]] = set()
    while stack:
        pair = stack.pop()
        if pair[0] is pair[1]:
            return True
        old, young = sorted(pair, key=_birth)
        if (old, young) in seen or old in young.apart:
            continue
        seen.add((old, young))
        stack.extend((old, source) for source in young.sources)
    return False


def _birth(buffer: Buffer) -> int:
    return buffer.birth


def sharers(buffer: Buffer) -> Iterator[Buffer]:
    """The other buffers that may be the same memory and can still be used."""
    seen = {buffer}
    stack = [buffer]
    while stack:
        here = stack.pop()
        for other in (*here.sources, *here.derived):
            if other not in seen:
                seen.add(other)
                stack.append(other)
                if not other.stale and meets(buffer, other):
                    yield other


def origins(buffer: Buffer, known: Callable[[Buffer], bool]) -> set[Buffer]:
    """The nearest known buffers that a buffer may be the memory of."""
    found: set[Buffer] = set()
    seen: set[Buffer] = set()
    stack = [buffer]
    while stack:
        here = stack.pop()
        if here in seen:
            continue
        seen.add(here)
        if known(here):
            found.add(here)
        else:
            stack.extend(here.sources)
    return found


class Family:
    """Buffers that come out of one branch or loop together."""

    def __init__(self) -> None:
        self.members: list[tuple[Buffer, tuple[Buffer | None, ...]]] = []

    def add(self, buffer: Buffer, sources: Sequence[Buffer | None]) -> None:
        """A buffer that is, path by path, the memory of one of its sources."""
        derive(buffer, sources)
        mine = tuple(sources)
        for other, theirs in self.members:
            if not any(map(meets, mine, theirs)):
                buffer.apart.add(other)
        self.members.append((buffer, mine))
