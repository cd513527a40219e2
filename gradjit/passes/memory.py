"""How much of what is computed may be saved for the way back."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Memory:
    """What saved values may take.

    Attributes:
        budget: In bytes.
        levels: Of nested loops that a loop is cut into; 1 leaves it as it is.
    """

    budget: int
    levels: int = 1

    @property
    def share(self) -> int:
        """The bytes of one level."""
        return self.budget // self.levels
