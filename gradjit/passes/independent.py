"""What the iterations of a counted loop have in common, carry by carry.

A loop can run on several threads if each of its carries is

    rows   an array of which an iteration reads and writes a part of its own: along some
           axis the index is c * i + r, with r the same each time, or 0 <= r < c
    sum    a number or an array that iterations only add to, and do not read

and nothing in it may raise. The program has been placed: what is one buffer, and is
written where it stands, can be read off. Incomplete, never wrong: a claim is made only
where affine forms prove it. After Feautrier (1991) for the former and, for the latter,
Rauchwerger and Padua, "The LRPD Test" (1995), of which this is the static part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gradjit.ir.bounds import Affine, Facts
from gradjit.ir.graph import (
    Atom,
    Block,
    Const,
    Eqn,
    Value,
    defined,
    eqn_uses,
    values,
    walk,
)
from gradjit.ir.types import INT64, ArrayType, ScalarType
from gradjit.ops.region import Writer
from gradjit.passes.alias import is_view
from gradjit.passes.columns import columns

Kind = Literal["rows", "sum"]
Access = Literal["read", "write", "add"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What each carry is; or, with `reason`, why the loop stays on one thread."""

    kinds: tuple[Kind, ...] = ()
    reason: str = ""


def judge(eqn: Eqn, facts: Facts, may_raise: bool = False) -> Verdict:
    """Whether the iterations of a `for_` can run at the same time.

    Args:
        eqn: A loop of a placed program.
        facts: Of the whole program.
        may_raise: Whether an iteration may find an error.
    """
    (body,) = eqn.regions
    reason = _obstacle(eqn, may_raise)
    if reason:
        return Verdict(reason=reason)
    look = _Look(body, facts)
    look.block(body)
    if look.lost:
        return Verdict(reason=look.lost)
    kinds: list[Kind] = []
    for k, (param, result) in enumerate(
        zip(body.params[1:], body.results, strict=True)
    ):
        kind = _kind(look, k, param, result)
        if kind is None:
            name = param.name or eqn.outs[k].name or "a value"
            return Verdict(reason=f"{name} goes from one iteration to the next")
        kinds.append(kind)
    return Verdict(tuple(kinds))


def _obstacle(eqn: Eqn, may_raise: bool) -> str:
    """Why a loop is out of the question, or ''."""
    if eqn.params.get("exits"):
        return "it has an exit"
    step = eqn.args[2]
    if not isinstance(step, Const) or not step.value:
        return "its step is not known"
    (body,) = eqn.regions
    if not all(isinstance(p.type, ArrayType | ScalarType) for p in body.params):
        return "it saves values on a stack, in the order of the iterations"
    if not may_raise and any(not e.op.pure for e in walk(body)):
        return "it may raise an error"
    return ""


def _kind(look: _Look, k: int, param: Value, result: Atom) -> Kind | None:
    if isinstance(param.type, ScalarType):
        return "sum" if reduces(look.body, param, result, SUMS) else None
    if not isinstance(result, Value) or look.owner.get(result) != k:
        return None
    found = look.found[k]
    if look.are_apart(found):
        return "rows"
    return "sum" if all(t.kind == "add" for t in found) else None


# ------------------------------------------------------------------------ reductions

SUMS = frozenset({"add", "sub"})
# What Numba takes for a reduction, by families: a chain of one of them.
REDUCTIONS = (
    SUMS,
    frozenset({"mul", "div"}),
    *map(frozenset, (["maximum"], ["minimum"], ["fmax"], ["fmin"])),
    *map(frozenset, (["pymax"], ["pymin"])),
    *map(frozenset, (["logical_and"], ["logical_or"])),
)
_FIRST_ONLY = frozenset({"sub", "div"})


def reduces(block: Block, start: Value, end: Atom, ops: frozenset[str]) -> bool:
    """Whether a value only goes through a chain of ops, and nothing else reads it.

    Args:
        block: Where the chain is.
        start: Its first value.
        end: Its last value, a result of the block.
        ops: What it may be made of; branches and loops may be on the way.
    """
    now = start
    while now is not end:
        users = [e for e in block.eqns if now in set(eqn_uses(e))]
        if len(users) != 1 or now in values(block.results):
            return False
        after = _passed(users[0], now, ops)
        if after is None:
            return False
        now = after
    alone = not any(now in set(eqn_uses(e)) for e in block.eqns)
    return alone and sum(r is now for r in block.results) == 1


def _passed(eqn: Eqn, value: Value, ops: frozenset[str]) -> Value | None:
    """What comes out where a value goes in, if that is a part of a chain."""
    name = eqn.op.name
    if name in ops:
        places = [k for k, a in enumerate(eqn.args) if a is value]
        fits = places == [0] or (places == [1] and name not in _FIRST_ONLY)
        return eqn.out if fits and eqn.out.type.dtype == value.type.dtype else None
    if name == "if_" and value not in eqn.args:
        for k, out in enumerate(eqn.outs):
            if all(reduces(r, value, r.results[k], ops) for r in eqn.regions):
                return out
    if name in ("for_", "while_"):
        return _through_loop(eqn, value, ops)
    return None


def _through_loop(eqn: Eqn, value: Value, ops: frozenset[str]) -> Value | None:
    """The carry of an inner loop that starts as the value."""
    first = len(eqn.args) - len(eqn.outs)
    if sum(u is value for u in eqn_uses(eqn)) != 1 or value not in eqn.args[first:]:
        return None
    k = [*eqn.args[first:]].index(value)
    *heads, body = eqn.regions
    params = [r.params[len(r.params) - len(eqn.outs) + k] for r in eqn.regions]
    if any(
        p in set(_used(h)) for h, p in zip(heads, params, strict=False)
    ) or not reduces(body, params[-1], body.results[k], ops):
        return None
    return eqn.outs[k]


def _used(block: Block) -> Iterator[Value]:
    for eqn in block.eqns:
        yield from eqn_uses(eqn)
    yield from values(block.results)


# --------------------------------------------------------------------------- accesses


@dataclass(frozen=True, slots=True)
class Touch:
    """A part of a carried array that is read or written; None: all of an axis."""

    kind: Access
    index: tuple[Atom | None, ...]


@dataclass(slots=True)
class _Look:
    """All that a body does with the arrays that it carries.

    Attributes:
        owner: The carry in whose buffer an array is.
        within: For views, the part of the buffer that they are.
        found: By carry, what is read and written.
        lost: Why something is not known, or ''.
    """

    body: Block
    facts: Facts
    owner: dict[Value, int] = field(default_factory=dict[Value, int])
    within: dict[Value, tuple[Atom | None, ...]] = field(
        default_factory=dict[Value, tuple[Atom | None, ...]]
    )
    found: list[list[Touch]] = field(default_factory=list[list[Touch]])
    lost: str = ""

    def __post_init__(self) -> None:
        carries = self.body.params[1:]
        self.owner = {p: k for k, p in enumerate(carries) if _is_array(p)}
        self.found = [[] for _ in carries]

    def block(self, block: Block) -> None:
        for eqn in block.eqns:
            self.eqn(eqn)

    def eqn(self, eqn: Eqn) -> None:
        name = eqn.op.name
        if name == "dim":
            return
        if name in ("store", "add_at"):
            self.update(eqn)
        elif is_view(eqn):
            self.view(eqn)
        elif name == "map_":
            self.map(eqn)
        elif name in ("for_", "while_"):
            self.loop(eqn)
        elif name == "if_":
            self.branch(eqn)
        else:
            index = eqn.args[1:] if name == "index" else None
            for value in values(eqn.args):
                self.touch("read", value, index)

    def touch(
        self, kind: Access, value: Atom, index: Sequence[Atom | None] | None
    ) -> None:
        """Note that a part of an array is read or written."""
        if not isinstance(value, Value) or value not in self.owner:
            return
        part = self.within.get(value)
        if part is None:
            assert isinstance(value.type, ArrayType)
            part = tuple(index) if index is not None else (None,) * value.type.rank
        self.found[self.owner[value]].append(Touch(kind, part))

    def update(self, eqn: Eqn) -> None:
        base, value, *at = eqn.args
        self.touch("read", value, None)
        if not isinstance(base, Value) or base not in self.owner:
            return
        kind: Access = "add" if eqn.op.name == "add_at" else "write"
        self.touch(kind, base, by_axis(eqn.params["spec"], at))
        self.follow(eqn.out, base)

    def follow(self, out: Value, base: Value) -> None:
        """A new version of an array, or a view of it."""
        self.owner[out] = self.owner[base]
        if base in self.within:
            self.within[out] = self.within[base]

    def view(self, eqn: Eqn) -> None:
        base = eqn.args[0]
        if not isinstance(base, Value) or base not in self.owner:
            return
        self.owner[eqn.out] = self.owner[base]
        part = self.within.get(base)
        if part is None and eqn.op.name == "index":
            part = by_axis(eqn.params["spec"], eqn.args[1:])
        assert isinstance(base.type, ArrayType)
        self.within[eqn.out] = part or (None,) * base.type.rank

    def map(self, eqn: Eqn) -> None:
        ndim: int = eqn.params["ndim"]
        dests = eqn.args[ndim:]
        writers: Sequence[Writer] = eqn.params["writers"]
        parts = columns(eqn)
        for writer, out, part in zip(writers, eqn.outs, parts, strict=True):
            if writer.dest < 0:
                continue
            dest = dests[writer.dest]
            kind: Access = "add" if writer.kind == "add" else "write"
            self.touch(kind, dest, part[1:])
            if isinstance(dest, Value) and dest in self.owner:
                self.follow(out, dest)
        for region in eqn.regions:
            self.block(region)

    def loop(self, eqn: Eqn) -> None:
        first = len(eqn.args) - len(eqn.outs)
        inits = eqn.args[first:]
        for region in eqn.regions:
            params = region.params[len(region.params) - len(inits) :]
            for param, init in zip(params, inits, strict=True):
                if isinstance(init, Value) and init in self.owner:
                    self.follow(param, init)
        for region in eqn.regions:
            self.block(region)
        for init, out, result in zip(
            inits, eqn.outs, eqn.regions[-1].results, strict=True
        ):
            self.join(out, (init, result))

    def branch(self, eqn: Eqn) -> None:
        for region in eqn.regions:
            self.block(region)
        for k, out in enumerate(eqn.outs):
            self.join(out, [r.results[k] for r in eqn.regions])

    def join(self, out: Value, sources: Sequence[Atom]) -> None:
        """What is one of several arrays: all of them one buffer, or none carried."""
        if not _is_array(out):
            return
        owners = {self.owner.get(s) for s in sources if isinstance(s, Value)}
        if owners == {None}:
            return
        source = next(s for s in sources if isinstance(s, Value) and s in self.owner)
        parts = [self.within.get(s) for s in sources if isinstance(s, Value)]
        if len(owners) > 1 or any(p is not parts[0] for p in parts):
            self.lost = f"{out.name or 'an array'} is one of several arrays"
        self.follow(out, source)

    # ---------------------------------------------------------------- disjointness

    def are_apart(self, found: Sequence[Touch]) -> bool:
        """Whether different iterations touch different elements."""
        if not found:
            return True
        return any(
            self.is_split([t.index[axis] for t in found])
            for axis in range(len(found[0].index))
        )

    def is_split(self, places: Sequence[Atom | None]) -> bool:
        """Whether the index of an axis tells iterations apart."""
        known = [p for p in places if p is not None]
        if len(known) != len(places):
            return False
        forms = [self.facts.affine(p) for p in known]
        index = self.body.params[0]
        factors = {f.terms.get(index, 0) for f in forms}
        if len(factors) != 1 or 0 in factors:
            return False
        (factor,) = factors
        if not all(self.facts.nonnegative(f) and _exact(f) for f in forms):
            return False
        rests = [f - Affine(0, {index: factor}) for f in forms]
        inside = defined(self.body)
        fixed = not any(v in inside for v in rests[0].terms)
        if fixed and all(r.same(rests[0]) for r in rests):
            return True
        return all(
            self.facts.nonnegative(r)
            and self.facts.nonnegative(r.scale(-1).shift(abs(factor) - 1))
            for r in rests
        )


def _is_array(value: Value) -> bool:
    return isinstance(value.type, ArrayType)


def _exact(form: Affine) -> bool:
    """Whether no integer in a form is of a type that wraps around early."""
    return all(v.type.dtype == INT64 for v in form.terms)


def by_axis(spec: str, index: Sequence[Atom]) -> tuple[Atom | None, ...]:
    """The integer that picks a place along each axis, or None."""
    out: list[Atom | None] = []
    rest = list(index)
    for char in spec:
        if char == "i":
            out.append(rest.pop(0))
        elif char == "s":
            del rest[:3]
            out.append(None)
        elif char == ":":
            out.append(None)
    return tuple(out)
