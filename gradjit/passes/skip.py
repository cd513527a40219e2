"""A loop that adds multiples of a number is left out where the number is zero.

    d_distance = d_nearest if taken else 0.0        if taken:
    for c in range(d):                                  for c in range(d):
        d_x[c] += d_distance * t[c]                         d_x[c] += d_nearest * t[c]

The adjoint of a branch gives a zero to what the branch has not used. What follows is
linear in it, however long: with the minimum of a hundred candidates, ninety-nine loops
add zeros. That a cotangent is zero where a branch says so is structure, not a rounded
result: infinities elsewhere do not make it NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradjit.ir.graph import Atom, Block, Const, Eqn, Graph, Value, walk
from gradjit.ir.op import lookup
from gradjit.ir.types import ScalarType, is_float
from gradjit.ops.region import Writer
from gradjit.passes.blocks import inside_out
from gradjit.passes.columns import columns

_SCALED = frozenset({"neg", "cast", "div"})


def skip(graph: Graph) -> Graph:
    """The program with loops of zeros inside of a branch.

    Args:
        graph: A valid graph of the `program` stage, before `place`.
    """
    return Graph(graph.name, _block(graph.block), graph.mutated)


def _block(block: Block) -> Block:
    block = inside_out(block, _block)
    eqns = list(block.eqns)
    for at, eqn in enumerate(eqns):
        for zero in (0, 1) if eqn.op.name == "if_" else ():
            outs = {
                o for o, r in _paired(eqn, zero) if _is_zero(r) and is_float(o.type)
            }
            if outs:
                _skipped(eqns, at, zero, _Multiples(outs))
    return Block(block.params, tuple(eqns), block.results)


def _paired(eqn: Eqn, region: int) -> Sequence[tuple[Value, Atom]]:
    return list(zip(eqn.outs, eqn.regions[region].results, strict=True))


def _is_zero(atom: Atom) -> bool:
    return isinstance(atom, Const) and atom.value == 0


def _skipped(eqns: list[Eqn], at: int, zero: int, multiples: _Multiples) -> None:
    """Put loops behind a branch into branches on the same condition."""
    branch = eqns[at]
    for k in range(at + 1, len(eqns)):
        eqn = eqns[k]
        if eqn.op.name == "for_" and multiples.adds_nothing(eqn):
            eqns[k] = _guarded(eqn, branch.args[0], zero)
        multiples.note(eqn)


def _guarded(eqn: Eqn, pred: Atom, zero: int) -> Eqn:
    """The loop in the other branch than the one of the zero."""
    outs = tuple(Value(o.type, o.name) for o in eqn.outs)
    inside = Block((), (eqn.with_(outs=outs),), outs)
    nothing = Block((), (), eqn.args[3:])
    regions = (nothing, inside) if zero == 0 else (inside, nothing)
    return Eqn(lookup("if_"), (pred,), eqn.outs, {}, regions, eqn.loc)


class _Multiples:
    """Scalars that are a number times something, at each point of a walk."""

    def __init__(self, start: set[Value]) -> None:
        self.found: set[Value] = set(start)

    def has(self, atom: Atom) -> bool:
        return _is_zero(atom) or (isinstance(atom, Value) and atom in self.found)

    def note(self, eqn: Eqn) -> None:
        """Take note of what an equation makes."""
        if len(eqn.outs) == 1 and is_float(eqn.out.type) and self._is_multiple(eqn):
            self.found.add(eqn.out)

    def _is_multiple(self, eqn: Eqn) -> bool:
        name = eqn.op.name
        if name == "mul":
            return any(map(self.has, eqn.args))
        if name in _SCALED:
            return self.has(eqn.args[0])
        if name in ("add", "sub"):
            return all(map(self.has, eqn.args))
        return name == "where" and all(map(self.has, eqn.args[1:]))

    # -------------------------------------------------------------------- loops

    def adds_nothing(self, eqn: Eqn) -> bool:
        """Whether a loop leaves its carries as they are if the number is zero."""
        if not eqn.outs or eqn.params.get("exits"):
            return False
        if any(not e.op.pure for e in walk(eqn.regions[0])):
            return False
        (body,) = eqn.regions
        self._walk(body)
        pairs = zip(body.params[1:], body.results, strict=True)
        return all(self._stays(body, result, param) for param, result in pairs)

    def _walk(self, body: Block) -> None:
        for eqn in body.eqns:
            if eqn.op.name == "map_":
                self._walk(eqn.regions[0])
            self.note(eqn)

    def _stays(self, body: Block, array: Atom, param: Value) -> bool:
        """Whether what becomes of a carry is the carry with zeros added."""
        made = {o: e for e in body.eqns for o in e.outs}
        while array is not param:
            eqn = made.get(array) if isinstance(array, Value) else None
            before = self._before(eqn, array, param) if eqn is not None else None
            if before is None:
                return False
            array = before
        return True

    def _before(self, eqn: Eqn, array: Atom, param: Value) -> Atom | None:
        name = eqn.op.name
        if name == "add_at":
            return eqn.args[0] if self.has(eqn.args[1]) else None
        if name in ("add", "sub") and isinstance(param.type, ScalarType):
            one, other = eqn.args
            if self.has(other):
                return one
            return other if name == "add" and self.has(one) else None
        k = next(n for n, out in enumerate(eqn.outs) if out is array)
        if name == "map_":
            return self._added(eqn, k)
        if name == "for_" and self.adds_nothing(eqn):
            return eqn.args[3 + k]
        return None

    def _added(self, eqn: Eqn, k: int) -> Atom | None:
        """What a nest adds multiples to."""
        writers: Sequence[Writer] = eqn.params["writers"]
        column = list(columns(eqn))[k]
        if writers[k].kind != "add" or not self.has(column[0]):
            return None
        same = [w for w in writers if w.dest == writers[k].dest]
        dests = eqn.args[int(eqn.params["ndim"]) :]
        return dests[writers[k].dest] if len(same) == 1 else None
