"""A store that the next iteration overwrites is left to the last iteration.

    for i in range(1, m):                 for i in range(1, m):
        x[i] = last + v                       last2 = last + v
        last2 = x[i]                          x[i - 1] = last2 + w
        x[i - 1] = last2 + w                  ...
        ...                               x[m - 1] = last2

It is the other half of `rotate`, which keeps elements in scalars: a store whose element
nobody loads before a later store comes to it has no effect but at the end, when the
later one does not come any more. There the scalar that carries its value is stored,
behind the loop, if that has run at all. What is left is often one load and one store
for an element, which LLVM vectorises; and an element that stays the same through the
whole loop is stored once.

Accesses of an array are put in the order in which they come to one element: along the
axis that the loop moves on, by their distances, and within an iteration as they stand.
An array with an access whose element is not known is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gradjit.ir.bounds import Affine, Facts, gather_facts
from gradjit.ir.build import Builder, index
from gradjit.ir.graph import Block, Const, Eqn, Graph, Value, eqn_uses, substitute
from gradjit.ir.op import lookup
from gradjit.ir.types import ArrayType
from gradjit.ops.region import IF
from gradjit.passes.subscript import (
    WRITES,
    Subscript,
    emit_affine,
    is_simple_loop,
    replaced,
    subscript,
)


def sink(graph: Graph) -> Graph:
    """The program with fewer stores inside of loops.

    Args:
        graph: A valid graph of the `program` stage, before `place`, after `rotate`.
    """
    facts = gather_facts(graph.block)
    return Graph(graph.name, _block(graph.block, facts), graph.mutated)


def _block(block: Block, facts: Facts) -> Block:
    out: list[Eqn] = []
    for eqn in block.eqns:
        if is_simple_loop(eqn):
            out.extend(_Loop(eqn, facts).sunk())
        else:
            regions = tuple(_block(r, facts) for r in eqn.regions)
            out.append(eqn.with_(regions=regions) if regions else eqn)
    return Block(block.params, tuple(out), block.results)


@dataclass(frozen=True, slots=True)
class _Access:
    """An equation that reads or writes an element.

    Attributes:
        eqn: A load, a store or an addition.
        at: The element.
        phase: When it comes to an element, in iterations; larger is later.
    """

    eqn: Eqn
    at: Subscript
    phase: int = 0


@dataclass(frozen=True, slots=True)
class _Late:
    """A store that is done behind the loop.

    Attributes:
        store: The store.
        carry: The number of the scalar that has its value.
        at: The element.
    """

    store: Eqn
    carry: int
    at: Subscript


class _Loop:
    """A loop whose stores are followed to the next use of their elements."""

    def __init__(self, eqn: Eqn, facts: Facts) -> None:
        self.eqn = eqn
        self.facts = facts
        (self.body,) = eqn.regions
        self.index = self.body.params[0]
        step = eqn.args[2]
        assert isinstance(step, Const)
        self.step = int(step.value)

    def sunk(self) -> list[Eqn]:
        """The equations that stand for the loop."""
        late: dict[int, list[_Late]] = {}
        for k, param in enumerate(self.body.params[1:]):
            if isinstance(param.type, ArrayType):
                found = self.late(k)
                if found:
                    late[k] = found
        if not late:
            return [self.eqn]
        gone = {d.store.out: d.store.args[0] for ds in late.values() for d in ds}
        eqns = tuple(e for e in self.body.eqns if len(e.outs) != 1 or e.out not in gone)
        body = substitute(Block(self.body.params, eqns, self.body.results), gone)
        outs = tuple(
            Value(o.type, o.name) if k in late else o
            for k, o in enumerate(self.eqn.outs)
        )
        loop = self.eqn.with_(outs=outs, regions=(body,))
        return [loop, *self.behind(late, outs)]

    # ------------------------------------------------------------- what is late

    def late(self, k: int) -> list[_Late]:
        """The stores into an array that can wait."""
        accesses = self.accesses(k)
        out: list[_Late] = []
        while accesses:
            group = self.group(accesses)
            if group is None:
                return []
            accesses = [a for a in accesses if all(a.eqn is not g.eqn for g in group)]
            out.extend(self.late_of(group))
        return out

    def accesses(self, k: int) -> list[_Access]:
        """All uses of an array in order; none if one of them is not understood."""
        latest = self.body.params[1 + k]
        versions = {latest}
        out: list[_Access] = []
        for eqn in self.body.eqns:
            if eqn.op.name == "dim" or not any(v in versions for v in eqn_uses(eqn)):
                continue
            at = subscript(eqn, self.facts)
            rest = any(isinstance(a, Value) and a in versions for a in eqn.args[1:])
            if at is None or rest or eqn.args[0] is not latest:
                return []
            out.append(_Access(eqn, at))
            if eqn.op.name in WRITES:
                latest = eqn.out
                versions.add(latest)
        others = [r for j, r in enumerate(self.body.results) if j != k]
        if self.body.results[k] is not latest or any(r in versions for r in others):
            return []
        return out

    def group(self, accesses: Sequence[_Access]) -> list[_Access] | None:
        """The accesses to the same elements as the first one, sooner or later.

        None if another one may be to these elements at times that are not known.
        """
        first = accesses[0].at
        moving = [n for n, form in enumerate(first) if self.index in form.terms]
        shifts = [self.step * first[n].terms[self.index] for n in moving]
        if len(moving) > 1 or any(abs(s) != 1 for s in shifts):
            return None
        out: list[_Access] = []
        for access in accesses:
            gaps = [q - p for p, q in zip(first, access.at, strict=True)]
            if any(
                gap.constant and not gap.terms and n not in moving
                for n, gap in enumerate(gaps)
            ) and self.from_the_front(first, access.at):
                continue
            if any(gap.terms for gap in gaps) or any(
                gap.constant for n, gap in enumerate(gaps) if n not in moving
            ):
                return None
            phase = sum(
                -gaps[n].constant * s for n, s in zip(moving, shifts, strict=True)
            )
            out.append(_Access(access.eqn, access.at, phase))
        if moving and not all(self.from_the_front(a.at) for a in out):
            return None
        return out

    def from_the_front(self, *subscripts: Subscript) -> bool:
        """Whether no index counts from the end."""
        return all(self.facts.nonnegative(form) for at in subscripts for form in at)

    def late_of(self, group: Sequence[_Access]) -> Iterator[_Late]:
        """The stores of a group whose next use is a store, an iteration later."""
        moves = any(self.index in form.terms for form in group[0].at)
        order = sorted(group, key=lambda a: a.phase)
        for n, access in enumerate(order):
            last = n + 1 == len(order)
            if access.eqn.op.name != "store" or (last and moves):
                continue
            after = order[0] if last else order[n + 1]
            gap = 1 if last else after.phase - access.phase
            if after.eqn.op.name != "store" or gap != 1:
                continue
            carry = self.carried(access.eqn)
            if carry is not None:
                yield _Late(access.eqn, carry, access.at)

    def carried(self, store: Eqn) -> int | None:
        """The number of the scalar that takes what is stored out of the loop."""
        value = store.args[1]
        if not isinstance(value, Value):
            return None
        found = [k for k, r in enumerate(self.body.results) if r is value]
        return found[0] if found else None

    # --------------------------------------------------------- behind the loop

    def behind(
        self, late: dict[int, list[_Late]], outs: Sequence[Value]
    ) -> tuple[Eqn, ...]:
        """The stores of the last iteration, if there was one."""
        b = Builder(checks=False)
        b.facts = self.facts
        b.open(())
        start, stop = (self.facts.affine(a) for a in self.eqn.args[:2])
        span = stop - start if self.step > 0 else start - stop
        results = tuple(self.eqn.outs[k] for k in late)
        with b.at(self.eqn.loc):
            if self.facts.nonnegative(span.shift(-1)):
                for k, result in zip(late, results, strict=True):
                    self.store(b, late[k], outs[k], outs, result)
            else:
                wide = emit_affine(b, span.shift(-span.constant))
                runs = b.emit1("gt", wide, index(-span.constant))
                then = b.region(
                    (), lambda: [self.store(b, late[k], outs[k], outs) for k in late]
                )
                none = b.region((), lambda: [outs[k] for k in late])
                regions = (then, none)
                b.append(Eqn(IF, (runs,), results, {}, regions, self.eqn.loc))
        return b.close(()).eqns

    def store(
        self,
        b: Builder,
        late: Sequence[_Late],
        array: Value,
        outs: Sequence[Value],
        result: Value | None = None,
    ) -> Value:
        """Store the values of the last iteration; the last version is `result`."""
        end = self.facts.affine(self.eqn.args[1]).shift(-1 if self.step > 0 else 1)
        last: dict[Value, Affine] = {self.index: end}
        for n, one in enumerate(late):
            at = [emit_affine(b, replaced(form, last)) for form in one.at]
            out = result if n + 1 == len(late) and result else None
            new = out or Value(array.type, array.name)
            params = {"spec": "i" * len(at), "checked": False}
            args = (array, outs[one.carry], *at)
            b.append(Eqn(lookup("store"), args, (new,), params, (), one.store.loc))
            array = new
        return array
