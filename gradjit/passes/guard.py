"""Checks that indices are inside, made explicit, few, and early.

An index that is provably inside costs nothing. Any other gets a `check`, once in a
block: in front of the loop where it is affine in the loop's index and no branch stands
between, since an affine index is inside if it is at the first and the last iteration.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from gradjit.errors import Loc
from gradjit.ir.bounds import Affine
from gradjit.ir.build import Builder, index
from gradjit.ir.graph import Atom, Const, Eqn, Value
from gradjit.ir.types import FLOAT64, TRUTH, ScalarType

_Key = tuple[object, ...]
Pair = tuple[Affine, Affine]


@dataclass(slots=True)
class _Scope:
    """A block that is being built.

    Attributes:
        loop: Its `for_`, if a check may move in front of it.
        index: The parameter of that loop.
        done: Index and extent pairs that were checked.
        equal: What checks in front of the block make equal inside.
        given: What checks in the block make equal where some ranges are not empty.
    """

    loop: Eqn | None = None
    index: Value | None = None
    done: set[_Key] = field(default_factory=set["_Key"])
    equal: list[Pair] = field(default_factory=list[Pair])
    given: list[_Need] = field(default_factory=list["_Need"])


@dataclass(frozen=True, slots=True)
class _Error:
    """What a check raises."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class _Need:
    """What must hold unless one of the ranges (start, stop) is empty.

    With `equal` that low == n (and high is low), else that -n <= low and high < n.
    """

    low: Affine
    high: Affine
    n: Affine
    ranges: tuple[Pair, ...] = ()
    equal: bool = False

    def forms(self) -> list[Affine]:
        ranges = (form for pair in self.ranges for form in pair)
        return [self.low, self.high, self.n, *ranges]

    def key(self) -> _Key:
        forms = ((f.constant, frozenset(f.terms.items())) for f in self.forms())
        return self.equal, *forms


class Guard:
    """Emits the checks of a graph while it is rebuilt by a builder."""

    def __init__(self, builder: Builder) -> None:
        self.b = builder
        self.scopes = [_Scope()]

    @contextmanager
    def block(self, loop: Eqn | None = None) -> Generator[None]:
        """Enter a region; `loop` is its `for_` with rebuilt arguments, if it is one."""
        movable = loop is not None and not loop.params.get("exits")
        self.scopes.append(_Scope(loop if movable else None))
        if loop is not None:
            self._recall(loop)
        try:
            yield
        finally:
            self.scopes.pop()

    def state(self) -> list[tuple[set[_Key], list[Pair], list[_Need]]]:
        """What has been checked so far, to go back to."""
        return [(set(s.done), list(s.equal), list(s.given)) for s in self.scopes]

    def go_back(self, state: list[tuple[set[_Key], list[Pair], list[_Need]]]) -> None:
        """Forget the checks since a state: their equations are gone."""
        for scope, (done, equal, given) in zip(self.scopes, state, strict=True):
            scope.done, scope.equal, scope.given = set(done), list(equal), list(given)

    def require(self, i: Atom, n: Atom, axis: int, loc: Loc | None) -> None:
        """See to it that an index is inside, or counts from the end."""
        facts = self.b.facts
        if facts.inside(i, n):
            return
        where = f"{loc}: " if loc else ""
        error = _Error("index", f"{where}index out of bounds for axis {axis}")
        form = facts.affine(i)
        self._once(_Need(form, form, facts.affine(n)), error)

    def require_equal(self, a: Atom, b: Atom, message: str) -> None:
        """See to it that two extents are equal."""
        facts = self.b.facts
        left, right = facts.affine(a), facts.affine(b)
        if not left.same(right):
            need = _Need(left, left, right, equal=True)
            self._once(need, _Error("shape", message))

    def require_some(self, extent: Atom, message: str) -> None:
        """See to it that an extent is not zero."""
        facts = self.b.facts
        n = facts.affine(extent)
        if not facts.nonnegative(n.shift(-1)):
            zero = Affine(0, {})
            self._once(_Need(zero, zero, n), _Error("shape", message))

    def _once(self, need: _Need, error: _Error) -> None:
        depth = len(self.scopes) - 1
        if not self._is_done(need, depth):
            self._hoist(need, depth, error)
            self.scopes[-1].done.add(need.key())

    def _is_done(self, need: _Need, depth: int) -> bool:
        key = need.key()
        return any(key in scope.done for scope in self.scopes[: depth + 1])

    def from_front(self, i: Atom, n: Atom, surely: bool) -> Atom:
        """The index counted from the front, where its sign is known or `surely`."""
        b = self.b
        form = b.facts.affine(i)
        if b.facts.nonnegative(form):
            return i
        if b.facts.nonnegative(form.scale(-1).shift(-1)):
            return b.emit1("add", i, n)
        if not surely:
            return i
        below = b.emit1("lt", i, index(0))
        return b.emit1("where", below, b.emit1("add", i, n), i)

    def _recall(self, loop: Eqn) -> None:
        """Take note of what earlier checks say about the body of a loop that runs."""
        facts, scope = self.b.facts, self.scopes[-1]
        start, stop, step = (facts.affine(a) for a in loop.args[:3])
        if step.terms or step.constant == 0:
            return
        count = (stop - start).scale(1 if step.constant > 0 else -1)
        for need in [n for s in self.scopes[:-1] for n in s.given]:
            open_ = tuple(
                (low, high)
                for low, high in need.ranges
                if not facts.nonnegative(high - low - count)
            )
            if open_:
                scope.given.append(replace(need, ranges=open_))
            else:
                scope.equal.append((need.low, need.n))
                facts.vanish(need.low - need.n)

    # ------------------------------------------------------------------- moving

    def _hoist(self, need: _Need, depth: int, error: _Error) -> None:
        outer = self._outside(need, depth)
        if outer is None:
            self._emit(need, depth, error)
            return
        if need.equal:
            self.scopes[depth].equal.append((need.low, need.n))
        self._hoist(outer, depth - 1, error)

    def _outside(self, need: _Need, depth: int) -> _Need | None:
        """What to require in front of the loop, or None to stay inside."""
        scope = self.scopes[depth]
        if scope.loop is None or scope.index is None:
            return None
        start, stop, step = scope.loop.args[:3]
        if not isinstance(step, Const) or step.value == 0:
            return None
        first, end = (self.b.facts.affine(a) for a in (start, stop))
        span = (first, end) if step.value > 0 else (end, first)
        ends = (first, _last(first, end, int(step.value)))
        low, high = (
            _extreme(form, scope.index, ends, up)
            for form, up in ((need.low, step.value < 0), (need.high, step.value > 0))
        )
        if low is None or high is None or (need.equal and low is not need.low):
            return None
        moved = _Need(low, high, need.n, (*need.ranges, span), need.equal)
        inside = self._frame_values(depth)
        if any(v in inside for form in moved.forms() for v in form.terms):
            return None
        return moved

    def _frame_values(self, depth: int) -> set[Value]:
        """Values that the block at this depth defines."""
        return self.b.frames[depth - len(self.scopes)].values

    def _emit(self, need: _Need, depth: int, error: _Error) -> None:
        b = self.b
        if self._is_done(need, depth):
            return
        self.scopes[depth].done.add(need.key())
        if need.equal and need.ranges:
            self.scopes[depth].given.append(need)
        cut = len(b.frames) - (len(self.scopes) - 1 - depth)
        rest = b.frames[cut:]
        del b.frames[cut:]
        try:
            cond = self._equality(need) if need.equal else self._bounds(need)
            if not (isinstance(cond, Const) and cond.value):
                b.emit("check", cond, kind=error.kind, message=error.message)
        finally:
            b.frames.extend(rest)

    def _equality(self, need: _Need) -> Atom:
        cond = self.b.emit1("eq", self._atom(need.low), self._atom(need.n))
        return self._or_empty(cond, need.ranges)

    def _bounds(self, need: _Need) -> Atom:
        """Code for an index that has to be inside, where the loops run."""
        b, facts = self.b, self.b.facts
        counts = [(stop - start).shift(-1) for start, stop in need.ranges]
        below = any(facts.nonnegative(need.low - c) for c in [Affine(0, {}), *counts])
        if below and facts.nonnegative((need.n - need.high).shift(-1)):
            return Const(True, TRUTH)
        end = need.high.shift(1)
        cond = self._positive(need.n - need.high, need.ranges)
        if not below:
            low = self._positive((need.low + need.n).shift(1), need.ranges)
            return self._or_empty(b.emit1("logical_and", low, cond), need.ranges)
        # A range that ends at the bound: if it is empty, the bound holds anyhow.
        rest = tuple(
            (start, stop)
            for start, stop in need.ranges
            if not (stop.same(end) and facts.nonnegative(need.n - start))
        )
        return self._or_empty(cond, rest)

    def _positive(self, gap: Affine, ranges: Sequence[Pair]) -> Atom:
        """Code for: gap > 0, which is not true because a sum has wrapped around.

        One value that may be anything stands alone on its side. On the other one are
        extents, and at most one end of a range that is not empty and starts at 0 or
        above; their difference is an int64. Else floats tell whether the gap is one.
        """
        b, extents = self.b, self.b.facts.extents
        ends = {
            v
            for start, stop in ranges
            if not start.terms and start.constant >= 0
            for v in stop.terms
        }
        wild = [v for v in gap.terms if v not in extents]
        wild.sort(key=ends.__contains__)
        if not wild:
            return self._compare(gap, None)
        single = all(abs(gap.terms[v]) == 1 for v in wild)
        if single and (len(wild) == 1 or (len(wild) == 2 and wild[1] in ends)):
            return self._compare(gap, wild[0])
        size = b.emit1("abs", self._float(gap))
        small = b.emit1("lt", size, Const(2.0**62, ScalarType(FLOAT64)))
        cond = b.emit1("lt", index(0), self._atom(gap))
        return b.emit1("logical_and", small, cond)

    def _compare(self, gap: Affine, alone: Value | None) -> Atom:
        """Code for gap > 0: a value against the rest, or each term where it is +."""
        if alone is None:
            less = {v: c for v, c in gap.terms.items() if c < 0}
            left = Affine(min(gap.constant, 0), less).scale(-1)
        else:
            left = Affine(0, {alone: 1})
        above = alone is not None and gap.terms[alone] > 0
        right = left - gap if above else left + gap
        weak = right.constant == (-1 if above else 1)
        if weak:
            right = Affine(0, right.terms)
        name = ("ge" if weak else "gt") if above else ("le" if weak else "lt")
        return self.b.emit1(name, self._atom(left), self._atom(right))

    def _or_empty(self, cond: Atom, ranges: Sequence[Pair]) -> Atom:
        """Code for: the condition holds, or one of the ranges is empty."""
        b = self.b
        for start, stop in ranges:
            if not b.facts.nonnegative((stop - start).shift(-1)):
                empty = b.emit1("le", self._atom(stop), self._atom(start))
                cond = b.emit1("logical_or", empty, cond)
        return cond

    def _atom(self, form: Affine) -> Atom:
        """Code for an affine form, what is added before what is taken away."""
        b = self.b
        out: Atom | None = None
        for v, c in sorted(form.terms.items(), key=lambda item: item[1] < 0):
            term = v if abs(c) == 1 else b.emit1("mul", v, index(abs(c)))
            if out is None:
                out = term if c > 0 else b.emit1("neg", term)
            else:
                out = b.emit1("add" if c > 0 else "sub", out, term)
        if out is None or form.constant == 0:
            return index(form.constant) if out is None else out
        name = "add" if form.constant > 0 else "sub"
        return b.emit1(name, out, index(abs(form.constant)))

    def _float(self, form: Affine) -> Atom:
        """Code for an affine form in floats, which do not wrap around."""
        b = self.b
        out: Atom = Const(float(form.constant), ScalarType(FLOAT64))
        for v, c in form.terms.items():
            wide = b.emit1("cast", v, dtype=FLOAT64, weak=False)
            term = b.emit1("mul", wide, Const(float(c), ScalarType(FLOAT64)))
            out = b.emit1("add", out, term)
        return out


def _last(first: Affine, end: Affine, step: int) -> Affine | None:
    """The last index of a range that is not empty."""
    if abs(step) == 1:
        return end.shift(-step)
    span = end - first
    if span.terms:
        return None
    return first.shift((span.constant - (1 if step > 0 else -1)) // step * step)


def _extreme(
    form: Affine, index: Value, ends: tuple[Affine, Affine | None], up: bool
) -> Affine | None:
    """The largest (`up`: with a rising index) or smallest value over a range.

    Args:
        form: A form in the index.
        index: The index of a loop.
        ends: Its first and its last value, if that is known.
        up: Whether the last index gives what is looked for where the slope is positive.
    """
    slope = form.terms.get(index, 0)
    if not slope:
        return form
    rest = Affine(
        form.constant, {v: c for v, c in form.terms.items() if v is not index}
    )
    edge = ends[1] if (slope > 0) == up else ends[0]
    return None if edge is None else rest + edge.scale(slope)


def axes_of(spec: str, args: Sequence[Atom]) -> Iterator[tuple[int, int]]:
    """Axis and argument position of each integer of a basic subscript."""
    axis, at = 0, 0
    for char in spec:
        if char == "i":
            yield axis, at
            at += 1
        elif char == "s":
            at += 3
        axis += char != "n"
