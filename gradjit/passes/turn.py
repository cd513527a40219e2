"""A loop that counts down counts up, where the order of its iterations is no matter.

The way back through a loop runs it from its end. Where iterations only add, or each has
elements of its own, they may as well come in the order of memory, in which loads need
no shuffles, what is fetched ahead is needed, and LLVM's vectoriser is at home.

Iterations commute if everything that they carry does:

- an array that they only add to;
- an array of which each iteration reads and writes another part: along one axis, all
  its subscripts are one affine form with the loop's index in it;
- a number that they only add to. As for all sums, the order of the terms is not kept.

Loops inside count as part of the iteration. A loop with checks inside is left alone,
since it may be seen by its error how far it came. So is one of several rows of an array
at once, such as `x[i, k] += a; x[i + 1, k] += b`: where LLVM understands the loop over
`i`, it asks only once, in front of it, whether the rows overlap in any of its
iterations; they do, and the loop over `k` runs one element at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gradjit.ir.bounds import Facts, gather_facts
from gradjit.ir.build import Builder, index
from gradjit.ir.graph import (
    Atom,
    Block,
    Const,
    Eqn,
    Graph,
    Value,
    defined,
    eqn_uses,
    values,
    walk,
)
from gradjit.ir.types import INT64, ArrayType, ScalarType, dims
from gradjit.ops.region import Writer
from gradjit.passes.subscript import WRITES, Subscript, same, subscript


def turn(graph: Graph) -> Graph:
    """The program with loops that count up where they may.

    Args:
        graph: A valid graph of the `program` stage, before `place`.

    Returns:
        The graph with the same equations in loops of other bounds.
    """
    facts = gather_facts(graph.block)
    return Graph(graph.name, _block(graph.block, facts), graph.mutated)


def _block(block: Block, facts: Facts, parent: Value | None = None) -> Block:
    """A block with turned loops; `parent` is the index of the loop around it."""
    out: list[Eqn] = []
    for eqn in block.eqns:
        around = eqn.regions[0].params[0] if eqn.op.name == "for_" else parent
        regions = tuple(_block(r, facts, around) for r in eqn.regions)
        inner = eqn.with_(regions=regions) if regions else eqn
        if _counts_down(inner) and _may_turn(inner, facts, parent):
            out.extend(_turned(inner, facts))
        else:
            out.append(inner)
    return Block(block.params, tuple(out), block.results)


def _counts_down(eqn: Eqn) -> bool:
    if eqn.op.name != "for_" or eqn.params.get("exits"):
        return False
    step = eqn.args[2]
    return (
        isinstance(step, Const)
        and step.value == -1
        and all(a.type.dtype == INT64 for a in eqn.args[:3])
        and all(e.op.pure for e in walk(eqn.regions[0]))
    )


def _turned(eqn: Eqn, facts: Facts) -> Iterator[Eqn]:
    """range(start, stop, -1) as range(stop + 1, start + 1)."""
    b = Builder(checks=False)
    b.facts = facts
    b.open(())
    start, stop, _, *inits = eqn.args
    with b.at(eqn.loc):
        first, last = (b.emit1("add", a, index(1)) for a in (stop, start))
    yield from b.close(()).eqns
    yield eqn.with_(args=(first, last, index(1), *inits))


# ------------------------------------------------------------------------- commuting


def _may_turn(eqn: Eqn, facts: Facts, parent: Value | None) -> bool:
    """Whether the iterations commute, and turning them helps."""
    (body,) = eqn.regions
    pairs = list(zip(body.params[1:], body.results, strict=True))
    found = _Accesses(facts, loops=(parent, body.params[0]))
    for k, (param, result) in enumerate(pairs):
        if isinstance(param.type, ArrayType):
            found.family[param] = k
        elif not isinstance(param.type, ScalarType) or not _is_sum(body, param, result):
            return False
    if not found.of_block(body) or any(
        found.member(result) != found.family[param]
        for param, result in pairs
        if param in found.family
    ):
        return False
    inside = defined(body) - {body.params[0]}
    return all(
        _is_apart(places, body.params[0], inside, facts) and not _has_rows(places)
        for places in found.places.values()
    )


def _is_sum(block: Block, param: Value, result: Atom) -> bool:
    """Whether all that a block does with a number is to add to it."""
    seen: Value = param
    while True:
        users = [e for e in block.eqns if seen in eqn_uses(e)]
        if seen is result:
            return not users
        if len(users) != 1 or seen in values(block.results):
            return False
        following = _added(users[0], seen)
        if following is None:
            return False
        seen = following


def _added(eqn: Eqn, seen: Value) -> Value | None:
    """What an equation makes of a number if it only adds to it."""
    if [a is seen for a in eqn.args].count(True) != 1:
        return None
    if eqn.op.name == "add" or (eqn.op.name == "sub" and eqn.args[0] is seen):
        return eqn.out
    if eqn.op.name != "for_" or eqn.params.get("exits") or seen in eqn.args[:3]:
        return None
    (body,) = eqn.regions
    k = eqn.args.index(seen) - 3
    whole = _is_sum(body, body.params[1 + k], body.results[k])
    inner = any(seen in eqn_uses(e) for e in body.eqns) or seen in body.results
    return eqn.outs[k] if whole and not inner else None


@dataclass(frozen=True, slots=True)
class _Access:
    """How an element of an array is used.

    Attributes:
        op: `index`, `store` or `add_at`.
        at: The element, or None if that is not known.
        loops: The indices of the loops around it, of which None stands for none.
    """

    op: str
    at: Subscript | None
    loops: tuple[Value | None, ...]


def _is_apart(
    places: Sequence[_Access], variable: Value, inside: set[Value], facts: Facts
) -> bool:
    """Whether iterations do not see what others do to an array."""
    if len({p.op for p in places} | {"add_at"}) == 1 or _only_reads(places):
        return True
    subscripts = [p.at for p in places if p.at is not None]
    if len(subscripts) != len(places):
        return False
    return any(
        all(form.same(axis[0]) for form in axis)
        and variable in axis[0].terms
        and not any(v in inside for v in axis[0].terms)
        and facts.nonnegative(axis[0])
        for axis in zip(*subscripts, strict=True)
    )


def _only_reads(places: Sequence[_Access]) -> bool:
    return all(p.op == "index" for p in places)


def _has_rows(places: Sequence[_Access]) -> bool:
    """Whether an innermost loop has several rows that the loop around it goes over."""
    for loops in {p.loops for p in places}:
        here = [p for p in places if p.loops == loops]
        known = [p.at for p in here if p.at is not None]
        if _only_reads(here) or all(same(at, known[0]) for at in known):
            continue
        if any(loops[-2] in form.terms for at in known for form in at):
            return True
    return False


@dataclass(slots=True)
class _Accesses:
    """What a loop does with the arrays that it carries.

    Attributes:
        facts: What is known of integers.
        loops: The indices of the loops around the equations at hand.
        family: For each version of an array, the number of the carry.
        places: For each carry, how its elements are used.
    """

    facts: Facts
    loops: tuple[Value | None, ...]
    family: dict[Value, int] = field(default_factory=dict[Value, int])
    places: dict[int, list[_Access]] = field(default_factory=dict[int, list[_Access]])

    def member(self, atom: Atom) -> int | None:
        """The carry of which this is a version."""
        return self.family.get(atom) if isinstance(atom, Value) else None

    def note(self, carry: int, op: str, at: Subscript | None) -> None:
        self.places.setdefault(carry, []).append(_Access(op, at, self.loops))

    def of_block(self, block: Block, *indices: Value) -> bool:
        """Take note of all equations; False if one is not understood."""
        around = self.loops
        self.loops += indices
        understood = all(self.of(e) for e in block.eqns)
        self.loops = around
        return understood

    def of(self, eqn: Eqn) -> bool:
        """Take note of an equation."""
        name = eqn.op.name
        if name == "for_":
            return not eqn.params.get("exits") and self.of_loop(eqn)
        if name == "if_":
            return self.of_branch(eqn)
        if name == "map_":
            return self.of_map(eqn)
        if name == "dim":
            return True
        if eqn.regions:
            return not any(v in self.family for v in eqn_uses(eqn))
        carry = self.member(eqn.args[0]) if eqn.args else None
        if any(self.member(a) is not None for a in eqn.args[1:]):
            return False
        if carry is None:
            return True
        at = subscript(eqn, self.facts)
        if at is None and name != "add_at":
            return False
        self.note(carry, name, at)
        if name in WRITES:
            self.family[eqn.out] = carry
        return True

    def of_loop(self, eqn: Eqn) -> bool:
        (body,) = eqn.regions
        carries = list(zip(eqn.args[3:], body.params[1:], eqn.outs, strict=True))
        for init, param, out in carries:
            carry = self.member(init)
            if carry is not None:
                self.family[param] = self.family[out] = carry
        pairs = zip(body.params[1:], body.results, strict=True)
        return self.of_block(body, body.params[0]) and all(
            self.member(param) == self.member(result) for param, result in pairs
        )

    def of_branch(self, eqn: Eqn) -> bool:
        if not all(self.of_block(r) for r in eqn.regions):
            return False
        for out, *results in zip(
            eqn.outs, *(r.results for r in eqn.regions), strict=True
        ):
            carries = {self.member(r) for r in results}
            if len(carries) > 1:
                return False
            (carry,) = carries
            if carry is not None:
                self.family[out] = carry
        return True

    def of_map(self, eqn: Eqn) -> bool:
        """Loops over elements: their loads, and where each writer writes."""
        (body,) = eqn.regions
        if not self.of_block(body, *body.params):
            return False
        around = self.loops
        self.loops += body.params
        understood = self.of_writers(eqn)
        self.loops = around
        return understood

    def of_writers(self, eqn: Eqn) -> bool:
        """Where the writers of loops over elements write."""
        (body,) = eqn.regions
        dests = eqn.args[eqn.params["ndim"] :]
        writers: tuple[Writer, ...] = eqn.params["writers"]
        rest = iter(body.results)
        for writer, out in zip(writers, eqn.outs, strict=True):
            if self.member(next(rest)) is not None:
                return False
            if writer.dest < 0:
                continue
            dest: Atom = dests[writer.dest]
            at = tuple(self.facts.affine(next(rest)) for _ in dims(dest.type))
            carry = self.member(dest)
            if carry is not None:
                self.note(carry, "add_at" if writer.kind == "add" else "store", at)
                self.family[out] = carry
        return True
