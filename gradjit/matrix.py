"""Jacobians: a loop over the rows, each the pullback of a one-hot cotangent.

One compiled function makes the whole matrix. By scalars alone it is the other way
round: one tangent for each of them, whatever the size of the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gradjit.errors import DtypeError
from gradjit.ir.build import Builder, index
from gradjit.ir.graph import Atom, Block, Const, Value
from gradjit.ir.tree import flatten
from gradjit.ir.types import INDEX, ArrayType, ScalarType, dims, is_float
from gradjit.ops import array
from gradjit.ops.sym import Sym, lift
from gradjit.passes.ad import vjp
from gradjit.passes.jvp import jvp
from gradjit.primal import Derived, Out, Primal, is_out
from gradjit.transform import Jacobian
from gradjit.wanted import wanted


def matrix(transform: Jacobian, primal: Primal) -> Derived:
    """The derivatives of all results by the arguments that are asked for."""
    wrt = wanted(transform.name, primal, transform.argnums)
    outs, tree = flatten(primal.outputs, is_out)
    positions = [primal.position(s) for s in wrt.slots]
    block = primal.block
    scalars = all(isinstance(block.params[p].type, ScalarType) for p in positions)
    b = Builder(checks=False)
    results: list[Atom] = []
    rows: list[Any] = []
    with b.active():
        b.open(block.params)
        for out in outs:
            picked = _only(primal, out)
            make = _columns if scalars else _rows
            made = make(b, picked, positions)
            at = len(results)
            likes = _likes(picked, positions, wrt.slots)
            rows.append(wrt.fill([Out(at + j, k) for j, k in enumerate(likes)]))
            results += made
        return Derived(b.close(results), tree.unflatten(rows))


def _only(primal: Primal, out: Out) -> Block:
    """The block with a single result."""
    block = primal.block
    result = block.results[out.index]
    if not is_float(result.type):
        raise DtypeError(
            f"jacobian needs float results; {primal.name} returned {result.type}"
        )
    return Block(block.params, block.eqns, (result,))


def _likes(
    block: Block, positions: Sequence[int], slots: Sequence[int]
) -> list[int | None]:
    """A scalar derivative is returned in the kind of its argument."""
    wide = dims(block.results[0].type)
    return [
        None if wide or dims(block.params[p].type) else s
        for p, s in zip(positions, slots, strict=True)
    ]


def _columns(b: Builder, block: Block, positions: Sequence[int]) -> list[Atom]:
    """One pushforward for each scalar argument."""
    made: list[Atom] = []
    for p in positions:
        joint = jvp(block, [p])
        one = Const(1.0, ScalarType(block.params[p].type.dtype))
        made.append(b.inline(joint, [*block.params, one])[1])
    return made


def _rows(b: Builder, block: Block, positions: Sequence[int]) -> list[Atom]:
    """A nest of loops over the elements of the result, a pullback in each."""
    joint = vjp(block, positions)
    result = block.results[0]
    if isinstance(result.type, ScalarType):
        one = Const(1.0, ScalarType(result.type.dtype))
        return list(b.inline(joint, [*block.params, one])[1:])
    (value,) = b.inline(block, block.params)
    extents = b.extents(value)
    nest = _Nest(b, joint, value, extents, block.params)
    return nest.run([block.params[p] for p in positions])


@dataclass(frozen=True, slots=True)
class _Nest:
    b: Builder
    joint: Block
    value: Atom
    extents: tuple[Atom, ...]
    params: tuple[Value, ...]

    def run(self, wrt: Sequence[Value]) -> list[Atom]:
        starts = [self._zeros(p) for p in wrt]
        return self._loop((), starts)

    def _zeros(self, param: Value) -> Atom:
        """Zeros of the extents of the result, then those of the argument."""
        within = self.b.extents(param)
        shape = (*dims(self.value.type), *dims(param.type))
        every = [Sym(e) for e in (*self.extents, *within)]
        return lift(array.full(0.0, every, param.type.dtype, shape))

    def _loop(self, at: tuple[Value, ...], carries: Sequence[Atom]) -> list[Atom]:
        if len(at) == len(self.extents):
            return self._row(at, carries)
        b = self.b
        i = Value(INDEX, "row" if len(self.extents) == 1 else f"row{len(at)}")
        params = tuple(Value(c.type, "jac") for c in carries)
        stop = self.extents[len(at)]
        b.facts.index_range(i, index(0), stop, index(1))
        for param, carry in zip(params, carries, strict=True):
            b.set_extents(param, b.extents(carry))
        body = b.region((i, *params), lambda *_: self._loop((*at, i), params))
        args = (index(0), stop, index(1), *carries)
        outs = b.emit("for_", *args, regions=(body,), exits=False, parallel="derived")
        for out, carry in zip(outs, carries, strict=True):
            if isinstance(out, Value):
                b.set_extents(out, b.extents(carry))
        return list(outs)

    def _row(self, at: tuple[Value, ...], carries: Sequence[Atom]) -> list[Atom]:
        """One row: the pullback of the cotangent that is 1 at this element."""
        b = self.b
        where = [Sym(i) for i in at]
        type_ = self.value.type
        assert isinstance(type_, ArrayType)
        spec = "i" * len(at)
        every = [Sym(e) for e in self.extents]
        zero = array.full(0.0, every, type_.dtype, type_.dims)
        seed = lift(array.store(zero, 1.0, *where, spec=spec, checked=False))
        grads = b.inline(self.joint, [*self.params, seed])[1:]
        return [
            lift(
                array.store(
                    Sym(jac),
                    Sym(g),
                    *where,
                    spec=spec + ":" * len(dims(g.type)),
                    checked=False,
                )
            )
            for jac, g in zip(carries, grads, strict=True)
        ]
