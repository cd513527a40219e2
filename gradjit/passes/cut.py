"""What to save so that everything needed can be computed again: a minimum cut.

Each value has a weight, what saving it takes. The cut separates what cannot be computed
again from what is needed, through edges from arguments to cheap results. After Ford and
Fulkerson (1956), with the shortest augmenting paths of Edmonds and Karp (1972); for the
use of it in differentiation, Naumann, "The Art of Differentiating Computer Programs"
(2012), and He and Yu, "Transcending runtime-memory tradeoffs" (2023).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

Node = TypeVar("Node", bound=Hashable)
_INFINITE = float("inf")


def minimum_cut(
    needed: Sequence[Node],
    args: Mapping[Node, Sequence[Node]],
    weights: Mapping[Node, float],
) -> list[Node]:
    """The nodes to save, as near to what is needed as the minimum allows.

    Args:
        needed: The nodes that have to be there.
        args: For nodes that can be computed again, from which others; a node that is
            not a key can only be saved.
        weights: What saving a node takes, for all nodes.
    """
    # Node n is split into 2n -> 2n + 1 with its weight as the capacity.
    order = list(weights)
    number = {node: k for k, node in enumerate(order)}
    source, sink = 2 * len(order), 2 * len(order) + 1
    flow = _Network(2 * len(order) + 2)
    for node, k in number.items():
        flow.edge(2 * k, 2 * k + 1, weights[node])
        if node not in args:
            flow.edge(source, 2 * k, _INFINITE)
        for arg in args.get(node, ()):
            flow.edge(2 * number[arg] + 1, 2 * k, _INFINITE)
    for node in needed:
        flow.edge(2 * number[node] + 1, sink, _INFINITE)
    flow.fill(source, sink)
    late = flow.reaching(sink)
    return [n for n, k in number.items() if 2 * k not in late and 2 * k + 1 in late]


class _Network:
    """A network with residual capacities."""

    def __init__(self, count: int) -> None:
        self.capacity: list[dict[int, float]] = [{} for _ in range(count)]

    def edge(self, a: int, b: int, capacity: float) -> None:
        self.capacity[a][b] = self.capacity[a].get(b, 0.0) + capacity
        self.capacity[b].setdefault(a, 0.0)

    def fill(self, source: int, sink: int) -> None:
        """Augment along shortest paths until there is none."""
        while (path := self._path(source, sink)) is not None:
            least = min(self.capacity[a][b] for a, b in path)
            for a, b in path:
                self.capacity[a][b] -= least
                self.capacity[b][a] += least

    def _path(self, source: int, sink: int) -> list[tuple[int, int]] | None:
        before = {source: source}
        queue = deque([source])
        while queue:
            a = queue.popleft()
            for b, capacity in self.capacity[a].items():
                if capacity > 0 and b not in before:
                    before[b] = a
                    queue.append(b)
        if sink not in before:
            return None
        path: list[tuple[int, int]] = []
        while sink != source:
            path.append((before[sink], sink))
            sink = before[sink]
        return path

    def reaching(self, sink: int) -> set[int]:
        """The nodes from which the sink can still be reached."""
        found, queue = {sink}, [sink]
        while queue:
            b = queue.pop()
            for a in self.capacity[b]:
                if a not in found and self.capacity[a][b] > 0:
                    found.add(a)
                    queue.append(a)
        return found
