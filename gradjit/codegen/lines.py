"""Lines of Python: indentation, and breaking of calls and tuples that are too long."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

WIDTH = 88


@dataclass(slots=True)
class Lines:
    """Source text in the making."""

    lines: list[str] = field(default_factory=list[str])
    depth: int = 0

    def add(self, text: str = "") -> None:
        """A line at the current depth."""
        self.lines.append(f"{'    ' * self.depth}{text}" if text else "")

    @contextmanager
    def block(self, head: str) -> Generator[None]:
        """A header line and an indented block below it; `pass` if it stays empty."""
        self.add(head)
        before = len(self.lines)
        with self.indented():
            yield
            if all(line.lstrip().startswith("#") for line in self.lines[before:]):
                self.add("pass")

    @contextmanager
    def indented(self) -> Generator[None]:
        """One level deeper."""
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    def fits(self, text: str) -> bool:
        """Whether a line of this text is short enough."""
        return 4 * self.depth + len(text) <= WIDTH

    def add_list(
        self,
        head: str,
        items: Sequence[str],
        tail: str,
        wrap: tuple[str, str] = ("", ""),
    ) -> None:
        """`head` + items + `tail` on one line, or with the items below one another.

        `wrap` are brackets that are needed only if the line is broken.
        """
        line = f"{head}{', '.join(items)}{tail}"
        if self.fits(line):
            self.add(line)
            return
        self.add(f"{head}{wrap[0]}")
        with self.indented():
            if len(items) == 1:
                self.add(items[0])
            for row in _rows(items[1:] and items, WIDTH - 4 * self.depth):
                self.add(row)
        self.add(f"{wrap[1]}{tail}")

    def add_text(self, head: str, text: str, tail: str) -> None:
        """`head` + a string literal + `tail`, the string in pieces if it is long."""
        line = f"{head}{_literal(text)}{tail}"
        if self.fits(line):
            self.add(line)
            return
        self.add(head.rstrip())
        with self.indented():
            for piece in _pieces(text, WIDTH - 4 * self.depth):
                self.add(_literal(piece))
        self.add(tail)

    def comment(self, text: str) -> None:
        """A comment, cut to the width."""
        room = WIDTH - 4 * self.depth - 2
        self.add(f"# {text}" if len(text) <= room else f"# {text[: room - 4]} ...")

    def text(self) -> str:
        """The source."""
        return "\n".join(self.lines) + "\n"


def _literal(text: str) -> str:
    """A string literal with double quotes."""
    inner = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{inner}"'


def _pieces(text: str, width: int) -> Iterator[str]:
    """The text cut after spaces, so that each literal is short enough."""
    piece = ""
    for word in re.findall(r"\S*\s*", text):
        if piece and len(_literal(piece + word)) > width:
            yield piece
            piece = ""
        piece += word
    yield piece


def _rows(items: Sequence[str], width: int) -> Iterator[str]:
    row = ""
    for item in items:
        if row and len(row) + len(item) + 2 > width:
            yield row
            row = ""
        row = f"{row} {item}," if row else f"{item},"
    if row:
        yield row
