"""What a loop carries.

The body is run with parameters in the place of what it changes. Which names, arrays
and cells those are, and of what types, is found by running it: it is traced again until
nothing new turns up (total = 0 and total += 0.5 make a float of total). Arrays are
carried from the first touch on; those that are only read drop out afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from gradjit.errors import InternalError, Loc, UnsupportedError
from gradjit.ir.graph import Atom, Block, Value, uses
from gradjit.ops.sym import Sym
from gradjit.trace import branch, concrete, control, merge
from gradjit.trace.branch import Get, Put
from gradjit.trace.builder import Adopted, Cell, Scope, TraceBuilder, is_number
from gradjit.trace.handle import Buffer, Handle
from gradjit.trace.sharing import Entry, Sharing

ATTEMPTS = 20


@dataclass(slots=True)
class Body:
    """The code of a loop, and the access to its state."""

    run: Callable[[], Any]
    get: Get
    put: Put
    names: tuple[str, ...]
    exits: tuple[str, ...]
    site: Loc

    def values(self) -> dict[str, Any]:
        return dict(zip(self.names, self.get(), strict=True))

    def set(self, changes: dict[str, Any]) -> None:
        if changes:
            values = {**self.values(), **changes}
            self.put(tuple(values[n] for n in self.names))

    def flags(self) -> dict[str, Any]:
        values = self.values()
        return {name: values[name] for name in self.exits}


@dataclass(slots=True)
class Carry:
    """A value that goes around the loop: where it lives and what is known of it."""

    name: str
    cell: Cell | None
    before: Any
    node: merge.Node
    spec: merge.Spec

    @property
    def key(self) -> Any:
        """What tells it apart from others, also in the next attempt."""
        return self.name if self.cell is None else self.cell.id()

    @property
    def trusted(self) -> bool:
        return self.name.startswith(branch.TRUSTED)


@dataclass(slots=True)
class Leafs:
    """The parameters of the carries of one attempt, with where they started."""

    params: list[Value] = field(default_factory=list[Value])
    inits: list[merge.Leaf] = field(default_factory=list[merge.Leaf])
    fresh: list[Buffer | None] = field(default_factory=list[Buffer | None])
    finals: list[merge.Leaf] = field(default_factory=list[merge.Leaf])
    names: list[str] = field(default_factory=list[str])
    specs: list[merge.Num | merge.Arr] = field(
        default_factory=list[merge.Num | merge.Arr]
    )
    keys: list[Any] = field(default_factory=list[Any])

    def entries(self) -> list[Entry]:
        """The arrays."""
        rows = zip(self.keys, self.inits, self.fresh, self.finals, strict=True)
        return [Entry(k, i, f, n) for k, i, f, n in rows if f is not None]


class Region:
    """One loop that becomes a region."""

    def __init__(self, builder: TraceBuilder, body: Body) -> None:
        self.builder = builder
        self.body = body
        self.path = self._path()
        self.start = body.values()
        self.hints: dict[Any, merge.Spec] = dict(
            builder.hints.carries.get(self.path, {})
        )
        self.cells: dict[Any, Cell] = {}
        self.sharing = Sharing()
        self.done: Atom | None = None
        self.flags: dict[str, Any] = {}

    def _path(self) -> Any:
        scopes = self.builder.scopes
        outer = (*scopes[-1].path, scopes[-1].children) if scopes else (len(scopes),)
        if not scopes:
            self.builder.top_loops += 1
            outer = (self.builder.top_loops,)
        return (*outer, self.body.site)

    # ----------------------------------------------------------------- attempts

    def settle(self, attempt: Callable[[], bool]) -> None:
        """Trace the body until what it carries is known."""
        children = self.builder.scopes[-1].children if self.builder.scopes else 0
        for _ in range(ATTEMPTS):
            if self.builder.scopes:
                self.builder.scopes[-1].children = children
            settled = False
            mark = len(self.builder.spoiled)
            try:
                settled = self.builder.region_scope(attempt)
            finally:
                if not settled:
                    self.builder.forgive(mark)
                    self.body.put(tuple(self.start.values()))
            self.builder.hints.carries[self.path] = {
                k: v for k, v in self.hints.items() if isinstance(k, str)
            }
            if settled:
                return
        raise InternalError(
            f"the types of a loop do not settle: {self.hints}", self.body.site
        )

    def carries(self) -> list[Carry]:
        """What is carried in this attempt."""
        out: list[Carry] = []
        for name, value in self.start.items():
            if name in self.body.exits:
                continue
            hint = self.hints.get(name)
            if hint is None and not _counts(name, value):
                continue
            out.append(self._carry(name, None, value, hint))
        for key, cell in self.cells.items():
            out.append(self._carry(cell.name, cell, cell.get(), self.hints.get(key)))
        return out

    def _carry(
        self, name: str, cell: Cell | None, value: Any, hint: merge.Spec | None
    ) -> Carry:
        node = merge.node_of(value)
        spec = merge.spec_of(node, general=True)
        if hint is not None:
            trusted = name.startswith(branch.TRUSTED)
            spec = merge.join(spec, hint, trusted)
        return Carry(name, cell, value, node, spec)

    def prepare(self, carries: Sequence[Carry]) -> Leafs:
        """Parameters and initial values for the carries (in the frame around)."""
        leafs = Leafs()
        for carry in carries:
            inits = merge.conform(self.builder, carry.node, carry.spec)
            specs = merge.leaf_specs(carry.spec)
            for k, (leaf, spec) in enumerate(zip(inits, specs, strict=True)):
                leafs.keys.append((carry.key, k))
                name = "" if carry.trusted or carry.cell else carry.name
                leafs.inits.append(leaf)
                leafs.specs.append(spec)
                leafs.names.append(name)
        return leafs

    def parameters(self, leafs: Leafs) -> list[Value]:
        """Fresh parameters; extents that are taken to stay are those before."""
        out: list[Value] = []
        for leaf, spec, name in zip(leafs.inits, leafs.specs, leafs.names, strict=True):
            param = Value(spec.type, name)
            if isinstance(spec, merge.Arr) and spec.kept:
                self.builder.set_extents(param, self.builder.extents(leaf.atom))
            self.builder.origins[param] = concrete.Origin("loop", site=self.body.site)
            out.append(param)
        return out

    def enter(
        self,
        carries: Sequence[Carry],
        leafs: Leafs,
        params: Sequence[Value],
        scope: Scope,
    ) -> dict[str, Any]:
        """Put parameters where the program will look; what each name starts with."""
        builder = self.builder
        self.sharing.begin()

        def make(atom: Any, spec: merge.Arr) -> Any:
            k = at_of[atom]
            out = builder.wrap(atom)
            buffer = self.sharing.enter(leafs.keys[k], leafs.inits[k], out.buffer)
            leafs.fresh[k] = buffer
            return out if buffer is out.buffer else Handle(buffer)

        at_of = {p: k for k, p in enumerate(params)}
        leafs.fresh = [None] * len(params)
        atoms = iter(params)
        values: dict[str, Any] = {}
        for carry in carries:
            value = merge.build(builder, carry.spec, atoms, make, self.body.site)
            if carry.cell is None:
                values[carry.name] = value
            else:
                scope.cells[carry.cell.id()] = carry.cell, carry.before
                carry.cell.put(value)
        self.body.set({**values, **dict.fromkeys(self.body.exits, False)})
        return values

    def again(self, scope: Scope) -> bool:
        """Give up an attempt; what it has found is in the hints."""
        self.builder.leave(scope)
        self.builder.frames.pop()
        return False

    # ------------------------------------------------------------------ results

    def compare(
        self, carries: Sequence[Carry], begun: dict[str, Any], scope: Scope
    ) -> bool:
        """Whether the body leaves what the attempt assumed; else note what not."""
        before = dict(self.hints)
        known = {c.name: c for c in carries if c.cell is None}
        for name, value in self.body.values().items():
            if name in self.body.exits:
                continue
            carry = known.get(name)
            begin = begun[name] if carry else self.start[name]
            if branch.unchanged(value, begin):
                continue
            self._note(name, carry, begin, value, name.startswith(branch.TRUSTED))
        for key, (cell, old) in scope.cells.items():
            if key in self.cells:
                carry = next(c for c in carries if c.cell is self.cells[key])
                self._note(key, carry, old, cell.get(), trusted=False)
            else:
                self.cells[key] = cell
                spec = merge.spec_of(merge.node_of(old), general=True)
                self.hints[key] = spec
        return self.hints == before

    def _note(
        self, key: Any, carry: Carry | None, begin: Any, value: Any, trusted: bool
    ) -> None:
        final = merge.spec_of(merge.node_of(value), general=True)
        if carry is not None:
            spec = merge.join(carry.spec, final, trusted)
            if spec != carry.spec or key in self.hints:
                self.hints[key] = merge.join(self.hints.get(key, spec), spec, trusted)
            return
        if final == merge.spec_of(merge.node_of(begin), general=True) and (
            isinstance(final, merge.Plain | merge.Undef | merge.Bad)
        ):
            return
        first = merge.type_of(begin)
        self.hints[key] = merge.join(first, final, trusted)

    def collect(self, carries: Sequence[Carry], leafs: Leafs) -> None:
        """The values of the carries at the end of the body."""
        values = self.body.values()
        leafs.finals = []
        for carry in carries:
            value = values[carry.name] if carry.cell is None else carry.cell.get()
            node = merge.node_of(value)
            leafs.finals += merge.conform(self.builder, node, carry.spec)

    def check_extents(
        self, carries: Sequence[Carry], leafs: Leafs, params: Sequence[Value]
    ) -> bool:
        """Whether arrays that should keep their extents do; else note which not."""
        kept: list[bool] = []
        builder = self.builder
        for param, final, spec in zip(params, leafs.finals, leafs.specs, strict=True):
            same = True
            if isinstance(spec, merge.Arr) and spec.kept:
                mine = builder.extents(param), builder.extents(final.atom)
                same = all(
                    builder.facts.affine(a).same(builder.facts.affine(b))
                    for a, b in zip(*mine, strict=True)
                )
            kept.append(same)
        if all(kept):
            return True
        flags = iter(kept)
        for carry in carries:
            spec = merge.unsettled(carry.spec, flags)
            if spec != carry.spec:
                self.hints[carry.key] = spec
        return False

    def check_memory(self, leafs: Leafs, params: Sequence[Value], scope: Scope) -> bool:
        """Whether arrays are what was assumed of their memory; else note which not."""
        assert scope.frame is not None
        if not self.sharing.holds(leafs.entries(), scope.start):
            return False
        read = set(uses(Block((), tuple(scope.frame.eqns), ())))
        self.check_read(scope.adopted, read)
        entries = [
            (f, n.buffer)
            for f, n, p in zip(leafs.fresh, leafs.finals, params, strict=True)
            if f is not None and (p in read or f.writes)
        ]
        for k, (fresh, final) in enumerate(entries):
            for other, last in entries[:k]:
                one = final is last and final is not None and fresh is not other
                if one and (fresh.writes or other.writes):
                    self._refuse_memory("two names are the same array")
            outer = scope.adopted.get(final) if final is not None else None
            if final is None or outer is None:
                continue
            if fresh.writes or final.version is not outer.param:
                self._refuse_memory("a name is part of another array")
        return True

    def check_read(self, adopted: dict[Buffer, Adopted], read: Collection[Any]) -> None:
        """What an iteration reads is not what the one before may have written."""
        for buffer, inside in adopted.items():
            if buffer.stale and inside.param in read:
                self._refuse_memory("two names are the same array")

    def _refuse_memory(self, what: str) -> None:
        raise UnsupportedError(
            f"{what} in some iterations of this loop and not in others, and the array "
            "is written into",
            self.body.site,
            "Make a copy where one name is assigned to the other.",
        )

    def read_flags(self) -> None:
        """What `break` and `return` have set."""
        self.flags = self.body.flags()
        set_ = [control.bool_atom(f) for f in self.flags.values() if not is_clear(f)]
        self.done = None
        for atom in set_:
            self.done = (
                atom
                if self.done is None
                else self.builder.emit1("logical_or", self.done, atom)
            )


def is_clear(flag: Any) -> bool:
    """Whether a flag is False for sure."""
    return not isinstance(flag, Sym) and not flag


def _counts(name: str, value: Any) -> bool:
    """Whether a name is carried from the first attempt on."""
    if name.startswith(branch.TRUSTED):
        return False
    if isinstance(value, Handle):
        return False
    return isinstance(value, Sym) or is_number(value)
