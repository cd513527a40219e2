"""Graphs as text, for people and for tests of passes."""

from __future__ import annotations

from gradjit.ir.graph import Atom, Block, Const, Eqn, Graph, Value

_WIDTH = 60


class _Names:
    """Short unique names, after the hints."""

    def __init__(self) -> None:
        self.names: dict[Value, str] = {}
        self.taken: set[str] = set()

    def __call__(self, atom: Atom) -> str:
        if isinstance(atom, Const):
            return repr(atom.value)
        if atom not in self.names:
            self.names[atom] = self._fresh(atom.name)
        return self.names[atom]

    def _fresh(self, hint: str) -> str:
        name, k = hint or f"v{len(self.names)}", 1
        while name in self.taken:
            k += 1
            name = f"{hint or 'v'}_{k}"
        self.taken.add(name)
        return name


def show(graph: Graph) -> str:
    """The graph, an equation a line, with types and the user's lines.

    Example:
        >>> from gradjit.ir.graph import Block, Value
        >>> from gradjit.ir.types import FLOAT
        >>> x = Value(FLOAT, "x")
        >>> print(show(Graph("f", Block((x,), (), (x,)))))
        f(x: float64*)
          return x
    """
    names = _Names()
    head = ", ".join(f"{names(p)}: {p.type}" for p in graph.block.params)
    lines = [f"{graph.name}({head})"]
    _block(graph.block, names, lines, "  ", "return")
    return "\n".join(lines)


def _block(block: Block, names: _Names, lines: list[str], pad: str, end: str) -> None:
    for eqn in block.eqns:
        _eqn(eqn, names, lines, pad)
    lines.append(f"{pad}{end} {', '.join(map(names, block.results))}".rstrip())


def _eqn(eqn: Eqn, names: _Names, lines: list[str], pad: str) -> None:
    outs = ", ".join(f"{names(o)}: {o.type}" for o in eqn.outs)
    args = ", ".join(map(names, eqn.args))
    params = ", ".join(f"{k}={_param(v)}" for k, v in eqn.params.items())
    text = f"{pad}{outs} = " if outs else pad
    text += f"{eqn.op.name}({args})" + (f" {{{params}}}" if params else "")
    where = f"  # {eqn.loc.line}" if eqn.loc else ""
    lines.append(f"{text:{_WIDTH}}{where}".rstrip())
    for region in eqn.regions:
        head = ", ".join(f"{names(p)}: {p.type}" for p in region.params)
        lines.append(f"{pad}  ({head}):")
        _block(region, names, lines, pad + "    ", "yield")


def _param(value: object) -> str:
    if isinstance(value, tuple):
        items: tuple[object, ...] = value  # pyright: ignore[reportUnknownVariableType]
        return f"({', '.join(map(_param, items))})"
    return getattr(value, "name", None) or str(value)
