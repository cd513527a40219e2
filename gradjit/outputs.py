"""Outputs as trees of results, and what the compiled code has to return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradjit.calltext import Result
from gradjit.ir.graph import Atom, Block, Const, Graph, Value
from gradjit.ir.tree import Tree, flatten, tree_map
from gradjit.ir.types import FLOAT, INT, ArrayType, ScalarType
from gradjit.leaf import Spec
from gradjit.primal import GIVEN, Out, is_out
from gradjit.trace.trace import OutLeaf


def with_constants(block: Block, outputs: Any) -> tuple[Block, Any]:
    """Numbers in the output become results like the others."""
    results: list[Atom] = list(block.results)

    def place(leaf: Any) -> Out:
        if isinstance(leaf, OutLeaf):
            return Out(leaf.index, same=leaf.argument)
        results.append(_constant(leaf))
        return Out(len(results) - 1)

    tree = tree_map(place, outputs, lambda x: isinstance(x, OutLeaf) or _scalar(x))
    return Block(block.params, block.eqns, tuple(results)), tree


def _scalar(x: Any) -> bool:
    return type(x) in (int, float) or isinstance(x, np.number | np.bool_)


def _constant(x: Any) -> Const:
    if type(x) is int:
        return Const(x, INT)
    if type(x) is float:
        return Const(x, FLOAT)
    return Const(x.item(), ScalarType(x.dtype))


@dataclass(slots=True)
class _Returns:
    """Decides what the kernel returns, and what is known without it."""

    block: Block
    mutated: dict[int, int]
    params: tuple[int, ...]
    specs: tuple[Spec, ...]
    aliases: bool
    results: list[Value] = field(default_factory=list[Value])
    found: list[Result] = field(default_factory=list[Result])

    def add(self, out: Out) -> None:
        """Take note of a leaf of the output."""
        if out is GIVEN:
            self.found.append(Result("given", 0, "given"))
            return
        atom = self.block.results[out.index]
        kind = self._kind(atom, out)
        dtype = atom.type.dtype
        if isinstance(atom, Const):
            self.found.append(Result("const", _number(atom), kind, dtype))
            return
        same = self._argument(out.same) if self.aliases else None
        slot = same if same is not None else self._argument(self._equal(atom))
        if slot is not None:
            copy = same is None
            self.found.append(Result("leaf", slot, kind, dtype, copy))
            return
        again = atom in self.results
        if not again:
            self.results.append(atom)
        place = self.results.index(atom)
        like = out.like if kind == "array" and not again else None
        self.found.append(Result("result", place, kind, dtype, again, like))

    def _argument(self, param: int | None) -> int | None:
        """The leaf that a parameter is; None if it is a captured array."""
        if param is None or self.params[param] < 0:
            return None
        return self.params[param]

    def _equal(self, atom: Value) -> int | None:
        """The parameter that holds the same afterwards."""
        for param, result in self.mutated.items():
            if self.block.results[result] is atom:
                return param
        if atom not in self.block.params:
            return None
        param = self.block.params.index(atom)
        return None if param in self.mutated else param

    def _kind(self, atom: Atom, out: Out) -> str:
        if isinstance(atom.type, ArrayType):
            return "array"
        if out.like is not None:
            return self.specs[out.like].kind
        assert isinstance(atom.type, ScalarType)
        if not atom.type.weak:
            return "scalar"
        return {"f": "float", "b": "bool"}.get(atom.type.dtype.kind, "int")


def _number(atom: Const) -> Any:
    kind = {"f": float, "b": bool}.get(atom.type.dtype.kind, int)
    return kind(atom.value)


def pruned(
    graph: Graph,
    outputs: Any,
    params: tuple[int, ...],
    specs: tuple[Spec, ...],
    aliases: bool,
    written: Sequence[Out] = (),
) -> tuple[Graph, tuple[Result, ...], Tree]:
    """The graph with only the results that are needed, and how to build the output.

    Args:
        graph: A simplified graph.
        outputs: What the call returns, a tree with an `Out` for each leaf.
        params: The leaf that each parameter is; negative for captured arrays.
        specs: The leaves.
        aliases: Whether an argument that is returned is returned as itself.
        written: Results that follow those, for arrays of the caller.
    """
    leaves, tree = flatten(outputs, is_out)
    block = graph.block
    returns = _Returns(block, dict(graph.mutated), params, specs, aliases)
    for leaf in leaves:
        returns.add(leaf)
    last = [block.results[out.index] for out in written]
    count = len(returns.results) + len(last)
    last += [block.results[r] for r in graph.mutated.values()]
    mutated = {p: count + k for k, p in enumerate(graph.mutated)}
    block = Block(block.params, block.eqns, (*returns.results, *last))
    return Graph(graph.name, block, mutated), tuple(returns.found), tree
