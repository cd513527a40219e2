"""Which loop carries keep their extents from one iteration to the next."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from gradjit.ir.graph import Atom, Block, Const, Eqn, Value, walk
from gradjit.ir.types import ArrayType, dims

_UPDATES = frozenset({"store", "add_at", "scatter", "scatter_add", "copy"})


# What was found for a body and the numbers of carries with equal extents.
Memo = dict[tuple[Block, tuple[int, ...]], list[bool]]


def kept_extents(
    body: Block,
    params: Sequence[Value],
    keys: Sequence[Hashable] = (),
    memo: Memo | None = None,
) -> list[bool]:
    """For each carry whether its extents are the same in every iteration.

    Args:
        body: Of the loop; its first results are those of `params`.
        params: The carries in the body.
        keys: What the extents of the initial values are; carries with equal keys may
            exchange places (`a, b = b, a`). By default no two are equal.
        memo: Of the loops inside, which are asked about again and again.
    """
    keys = keys or range(len(params))
    memo = {} if memo is None else memo
    numbers: dict[Hashable, int] = {}
    pattern = tuple(numbers.setdefault(key, k) for k, key in enumerate(keys))
    if (body, pattern) not in memo:
        memo[body, pattern] = _kept(body, params, pattern, memo)
    return memo[body, pattern]


def _kept(
    body: Block, params: Sequence[Value], keys: Sequence[int], memo: Memo
) -> list[bool]:
    kept = [isinstance(p.type, ArrayType) for p in params]
    while True:
        # If all that is in question keeps its extents, then what does not follow?
        first: dict[int, Value] = {}
        alike = {
            p: first.setdefault(key, p)
            for p, key, k in zip(params, keys, kept, strict=True)
            if k
        }
        origins = _Origins(body, alike, memo)
        now = [
            p in alike and origins.of(r) is alike[p]
            for p, r in zip(params, body.results, strict=False)
        ]
        if now == kept:
            return kept
        kept = now


def branch_origin(eqn: Eqn, k: int) -> Atom | None:
    """A value from outside with the extents of result `k` of an `if_`, if all have."""
    found = _Origins(Block((), (eqn,), ()), {}, {}).branch(eqn, k)
    inside = {o for r in eqn.regions for e in walk(r) for o in e.outs}
    return None if found in inside else found


class _Origins:
    """The values that arrays are updated versions of, as far as can be seen.

    Args:
        block: Where the arrays are.
        alike: Values with equal extents, by one of them.
        loops: What is known of loops.
        around: The same for the blocks around.
    """

    def __init__(
        self,
        block: Block,
        alike: dict[Value, Value],
        loops: Memo,
        around: _Origins | None = None,
    ) -> None:
        self.made = {out: e for e in block.eqns for out in e.outs}
        self.alike = alike
        self.loops = loops
        self.branches: dict[Eqn, list[_Origins]] = {}
        self.around = around
        self.memo: dict[Atom, Atom] = {}

    def of(self, atom: Atom) -> Atom:
        """A value with the extents of this one."""
        seen: list[Atom] = []
        last = atom
        while last not in self.memo:
            seen.append(last)
            before = self.step(last)
            if before is None:
                self.memo[last] = self.end(last)
            else:
                last = before
        found = self.memo[last]
        self.memo.update((a, found) for a in seen)
        return found

    def end(self, atom: Atom) -> Atom:
        if not isinstance(atom, Value):
            return atom
        if self.around is not None and atom not in self.made:
            return self.around.of(atom)
        return self.alike.get(atom, atom)

    def step(self, atom: Atom) -> Atom | None:
        """What the equation that makes an array takes its extents from."""
        eqn = self.made.get(atom) if isinstance(atom, Value) else None
        if eqn is None:
            return None
        name = eqn.op.name
        if name in _UPDATES:
            return eqn.args[0]
        if name in ("for_", "while_"):
            return self.loop(eqn, eqn.outs.index(atom))  # type: ignore[arg-type]
        if name == "if_":
            return self.branch(eqn, eqn.outs.index(atom))  # type: ignore[arg-type]
        if eqn.op.kind == "elementwise":
            rank = len(dims(atom.type))
            full = (len(dims(a.type)) == rank for a in eqn.args)
            wide = [a for a, f in zip(eqn.args, full, strict=True) if f]
            return next((a for a in wide if 1 not in dims(a.type)), None)
        return None

    def loop(self, eqn: Eqn, k: int) -> Atom | None:
        body, count = eqn.regions[-1], len(eqn.outs)
        inits = eqn.args[len(eqn.args) - count :]
        params = body.params[len(body.params) - count :]
        keys = [
            self.of(a) if isinstance(a.type, ArrayType) else j
            for j, a in enumerate(inits)
        ]
        return inits[k] if kept_extents(body, params, keys, self.loops)[k] else None

    def branch(self, eqn: Eqn, k: int) -> Atom | None:
        if eqn not in self.branches:
            inside = [_Origins(r, {}, self.loops, self) for r in eqn.regions]
            self.branches[eqn] = inside
        sides = list(zip(self.branches[eqn], eqn.regions, strict=True))
        if isinstance(eqn.args[0], Const) and eqn.args[0].value:
            sides = sides[:1]
        ends = [origins.of(region.results[k]) for origins, region in sides]
        return ends[0] if all(end is ends[0] for end in ends) else None
