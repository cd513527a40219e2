"""An element that one iteration writes and the next one reads stays in a scalar.

    for j in range(1, m):                 last = u[i, 0]
        u[i, j] += u[i, j - 1]            for j in range(1, m):
                                              last = u[i, j] + last
                                              u[i, j] = last

The time of such a loop is that of the way from the store to the next load. Every store
stays, so memory is the same at each moment; only loads go. It is scalar replacement:
Callahan, Carr and Kennedy, "Improving Register Allocation for Subscripted Variables"
(1990), for distance one.

Versions of arrays are values, so the write that a load sees is found by going back from
version to version: past writes that are provably elsewhere, through the carry into the
iteration before, to a write of the same element. Anything else on the way, and the load
stays. What the first iteration reads is loaded in front of the loop, if it runs at all;
a loop with checks inside is left alone, since that load could come before its check.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gradjit.ir.bounds import Affine, Facts, gather_facts
from gradjit.ir.build import Builder, index, zero
from gradjit.ir.graph import (
    Atom,
    Block,
    Const,
    Eqn,
    Graph,
    Value,
    defined,
    substitute,
)
from gradjit.ir.op import lookup
from gradjit.ir.types import FLOAT32, FLOAT64, INT64, ScalarType, scalar_of
from gradjit.ops.region import IF
from gradjit.passes.subscript import (
    WRITES,
    Subscript,
    apart,
    emit_affine,
    is_simple_loop,
    moved,
    replaced,
    same,
    subscript,
)

# Scalars of these are in Numba what they are in NumPy.
_DTYPES = frozenset({FLOAT64, FLOAT32, INT64})


def rotate(graph: Graph) -> Graph:
    """The program with scalars in place of loads from the iteration before.

    Args:
        graph: A valid graph of the `program` stage, before `place`.

    Returns:
        The graph with the same stores and fewer loads.
    """
    facts = gather_facts(graph.block)
    return Graph(graph.name, _block(graph.block, facts, False), graph.mutated)


def _block(block: Block, facts: Facts, shared: bool) -> Block:
    out: list[Eqn] = []
    for eqn in block.eqns:
        if is_simple_loop(eqn):
            out.extend(_Loop(eqn, facts, shared).rotated())
        else:
            inside = shared or bool(eqn.params.get("parallel"))
            regions = tuple(_block(r, facts, inside) for r in eqn.regions)
            out.append(eqn.with_(regions=regions) if regions else eqn)
    return Block(block.params, tuple(out), block.results)


@dataclass(slots=True)
class _Scalar:
    """A write, and the scalar that takes its value to the next iteration.

    Attributes:
        param: The scalar at the start of an iteration.
        write: The version that the write makes.
        carry: The number of the array carry that the write is on.
        at: The element, as the next iteration calls it.
    """

    param: Value
    write: Value
    carry: int
    at: Subscript


class _Loop:
    """A loop whose loads are traced back to writes.

    Attributes:
        shared: Whether the loop is inside of one that threads may share.
        made: The equations of the body by their results.
        scalars: The writes whose values the next iteration reads.
        reads: What loads and additions read, by their results.
    """

    def __init__(self, eqn: Eqn, facts: Facts, shared: bool) -> None:
        self.eqn = eqn
        self.facts = facts
        self.shared = shared
        (self.body,) = eqn.regions
        self.index, *self.carries = self.body.params
        step = eqn.args[2]
        assert isinstance(step, Const)
        self.step = int(step.value)
        self.inside = defined(self.body) - {self.index}
        self.made = {e.out: e for e in self.body.eqns if len(e.outs) == 1}
        self.opaque = {o for e in self.body.eqns if len(e.outs) > 1 for o in e.outs}
        self.scalars: dict[tuple[Value, int], _Scalar] = {}
        self.reads: dict[Value, _Scalar] = {}

    def rotated(self) -> list[Eqn]:
        """The equations that stand for the loop."""
        for eqn in self.body.eqns:
            if eqn.op.name in ("index", "add_at"):
                self.trace(eqn)
        if not self.scalars:
            return [self.eqn]
        first, inits = self.first()
        body = self.rewritten()
        outs = tuple(Value(s.param.type, s.param.name) for s in self.scalars.values())
        loop = self.eqn.with_(
            args=(*self.eqn.args, *inits),
            outs=(*self.eqn.outs, *outs),
            regions=(body,),
        )
        return [*first, loop]

    # ----------------------------------------------------------------- tracing

    def trace(self, read: Eqn) -> None:
        """Find the write of the iteration before that a load or an addition sees."""
        at = subscript(read, self.facts)
        if at is None or any(v in self.inside for form in at for v in form.terms):
            return
        if self.shared and not any(self.index in form.terms for form in at):
            return  # a sum of all threads, which has to be seen as one
        start = self.seen(read.args[0], at, 0)
        if not isinstance(start, Value) or start not in self.carries:
            return
        k = self.carries.index(start)
        write = self.seen(self.body.results[k], at, self.step)
        if not isinstance(write, Eqn) or not (_is_plain(read) and _is_plain(write)):
            return
        name = f"{start.name}_last" if start.name else ""
        scalar = _Scalar(Value(_element(write), name), write.out, k, at)
        self.reads[read.out] = self.scalars.setdefault((write.out, k), scalar)

    def seen(self, array: Atom, at: Subscript, step: int) -> Eqn | Value | None:
        """The last write into an array version that a read, `step` later, sees.

        Returns:
            The write; the version from outside of the body that all writes leave as it
            is there; or None if that is not known.
        """
        later = moved(at, self.index, step)
        while isinstance(array, Value) and array not in self.opaque:
            write = self.made.get(array)
            if write is None:
                return array
            place = subscript(write, self.facts) if write.op.name in WRITES else None
            if place is None:
                return None
            if same(place, later):
                return write
            if not apart(self.facts, place, at, later):
                return None
            array = write.args[0]
        return None

    # --------------------------------------------------------------- rewriting

    def rewritten(self) -> Block:
        """The body with its scalars."""
        mapping: dict[Value, Atom] = {}
        touched = {*self.reads, *(s.write for s in self.scalars.values())}
        written: dict[Value, Atom] = {}
        out: list[Eqn] = []
        for eqn in self.body.eqns:
            if eqn.op.name == "index" and eqn.out in self.reads:
                mapping[eqn.out] = self.reads[eqn.out].param
            elif eqn.op.name == "add_at" and eqn.out in touched:
                *parts, write = self.split(eqn)
                out.extend((*parts, write))
                written[eqn.out] = write.args[1]
            else:
                out.append(eqn)
                if eqn.op.name == "store":
                    written[eqn.out] = eqn.args[1]
        params = tuple(s.param for s in self.scalars.values())
        results = tuple(written[s.write] for s in self.scalars.values())
        block = Block(
            (*self.body.params, *params),
            tuple(out),
            (*self.body.results, *results),
        )
        return substitute(block, mapping)

    def split(self, eqn: Eqn) -> Iterator[Eqn]:
        """`x[i] += v` as a load, where it is not a scalar, a sum and a store."""
        array, v, *at = eqn.args
        type_ = _element(eqn)
        if eqn.out in self.reads:
            old = self.reads[eqn.out].param
        else:
            old = Value(type_)
            params = {"spec": eqn.params["spec"], "dims": (), "checked": False}
            yield Eqn(lookup("index"), (array, *at), (old,), params, (), eqn.loc)
        new = Value(type_)
        yield Eqn(lookup("add"), (old, v), (new,), {}, (), eqn.loc)
        yield eqn.with_(op=lookup("store"), args=(array, new, *at))

    # --------------------------------------------------------- first iteration

    def first(self) -> tuple[tuple[Eqn, ...], tuple[Atom, ...]]:
        """Code in front of the loop for what its first iteration reads."""
        b = Builder(checks=False)
        b.facts = self.facts
        b.open(())
        start, stop = (self.facts.affine(a) for a in self.eqn.args[:2])
        span = stop - start if self.step > 0 else start - stop
        with b.at(self.eqn.loc):
            if self.facts.nonnegative(span.shift(-1)):
                inits = self.loads(b)
            else:
                wide = emit_affine(b, span.shift(-span.constant))
                runs = b.emit1("gt", wide, index(-span.constant))
                then = b.region((), lambda: self.loads(b))
                none = b.region((), lambda: [zero(_number(a)) for a in then.results])
                inits = b.emit(IF, runs, regions=(then, none), names=self.names())
        return b.close(()).eqns, tuple(inits)

    def names(self) -> list[str]:
        return [s.param.name for s in self.scalars.values()]

    def loads(self, b: Builder) -> tuple[Atom, ...]:
        """The elements that the first iteration reads."""
        start = {self.index: _form(self.eqn.args[0])}
        out: list[Atom] = []
        for scalar in self.scalars.values():
            array = self.eqn.args[3 + scalar.carry]
            at = [emit_affine(b, replaced(form, start)) for form in scalar.at]
            spec = "i" * len(at)
            out.append(b.emit1("index", array, *at, spec=spec, dims=(), checked=False))
        return tuple(out)


def _element(eqn: Eqn) -> ScalarType:
    """The type of an element of the array that an equation is about."""
    return scalar_of(eqn.args[0].type)


def _number(atom: Atom) -> ScalarType:
    return scalar_of(atom.type)


def _form(atom: Atom) -> Affine:
    """An integer as a form of its own."""
    return (
        Affine(int(atom.value), {}) if isinstance(atom, Const) else Affine(0, {atom: 1})
    )


def _is_plain(eqn: Eqn) -> bool:
    """Whether what is read or written has the dtype of the element, and a plain one."""
    dtype = _element(eqn).dtype
    value = eqn.out if eqn.op.name == "index" else eqn.args[1]
    return (
        dtype in _DTYPES
        and isinstance(value.type, ScalarType)
        and value.type.dtype == dtype
    )
