"""The normal form of a graph before it is fused.

Rebuilds the graph so that the passes after it need not ask: every extent of every array
is an atom that stands in the graph, indices are guarded by explicit checks and counted
from the front where that is known, reductions of nothing are checked, and a matrix
product is one that BLAS has, or a loop of such, or a product and a sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradjit.ir.bounds import Affine, Facts
from gradjit.ir.build import Builder, Frame, index, look
from gradjit.ir.graph import Atom, Block, Const, Eqn, Graph, Value
from gradjit.ir.types import ArrayType, dims, scalar_of
from gradjit.passes.contraction import contracted
from gradjit.passes.element import REDUCTIONS, VIEWS, is_array
from gradjit.passes.guard import Guard, Pair, axes_of

Env = dict[Value, Atom]
Row = tuple[Atom, ...]


@dataclass(frozen=True, slots=True)
class Normal:
    """A graph in normal form, and what is known of it.

    Attributes:
        extents: The extents of each array.
        equal: For bodies of loops, what checks in front of them make equal.
    """

    graph: Graph
    facts: Facts
    extents: dict[Value, Row]
    equal: dict[Block, tuple[Pair, ...]]


def normalise(graph: Graph) -> Normal:
    """The normal form of a graph."""
    rewriter = _Rewriter()
    block = rewriter.block(graph.block, {})
    out = Graph(graph.name, block, graph.mutated)
    rewriter.b.facts.forget({})
    return Normal(out, rewriter.b.facts, rewriter.extents, rewriter.equal)


class _Rewriter:
    def __init__(self) -> None:
        self.b = Builder(checks=False)
        self.guard = Guard(self.b)
        self.extents: dict[Value, Row] = {}
        self.equal: dict[Block, tuple[Pair, ...]] = {}
        self.variant: dict[Eqn, set[int]] = {}  # carries whose extents change
        self.learnt: dict[Value, Affine] = {}  # equalities at the end of a region

    def block(
        self,
        block: Block,
        env: Env,
        given: Sequence[Row | None] = (),
        loop: Eqn | None = None,
    ) -> Block:
        """A block rebuilt; `given` are the extents of parameters, where known."""
        params = tuple(Value(p.type, p.name) for p in block.params)
        env.update(zip(block.params, params, strict=True))
        self.b.open(params)
        if loop is not None:
            self.b.facts.enter_for(loop, params[0])
            self.guard.scopes[-1].index = params[0]
        for param, row in zip(params, given, strict=False):
            if row is not None:
                self.b.set_extents(param, row)
        for param in params:
            self.note(param)
        for eqn in block.eqns:
            with self.b.at(eqn.loc):
                self.eqn(eqn, env)
        return self.b.close([look(r, env) for r in block.results])

    def note(self, *atoms: Atom) -> None:
        """Have the extents of arrays at hand from here on."""
        for atom in atoms:
            if isinstance(atom, Value) and isinstance(atom.type, ArrayType):
                self.extents[atom] = self.b.extents(atom)

    def eqn(self, eqn: Eqn, env: Env) -> None:
        name = eqn.op.name
        if name in ("for_", "while_"):
            return self.loop(eqn, env)
        if name == "if_":
            return self.branch(eqn, env)
        if name in ("stop_gradient", "copy"):
            env[eqn.out] = look(eqn.args[0], env)
            return None
        args = tuple(look(a, env) for a in eqn.args)
        before = len(self.b.frames[-1].eqns)
        changed = self.rewritten(eqn, args)
        if changed is not None:
            env[eqn.out] = changed
        elif name == "check":
            self.check(eqn, args[0])
        else:
            self.b.copy(_inside(eqn.with_(args=self.guarded(eqn, args))), env)
        for new in self.b.frames[-1].eqns[before:]:
            self.note_all(new)
        return None

    def note_all(self, eqn: Eqn) -> None:
        """Note what an equation and its regions define."""
        for region in eqn.regions:
            self.note(*region.params)
            for inner in region.eqns:
                self.note_all(inner)
        self.note(*eqn.outs)

    # --------------------------------------------------------- single equations

    def rewritten(self, eqn: Eqn, args: Row) -> Atom | None:
        """What an equation is replaced by, if by something else."""
        name, b = eqn.op.name, self.b
        if name == "dim":
            return b.extent(args[0], eqn.params["axis"])
        spec = set(eqn.params.get("spec", "i"))
        if spec == {":"} and name == "index" and "again" not in eqn.params:
            return args[0]
        if spec <= {":", "n"} and name in ("store", "add_at"):
            return self.overwritten(eqn, args)
        if name == "contract":
            params = eqn.params
            letters = params["a"], params["b"], params["out"]
            return contracted(b, args[0], args[1], *letters, name=eqn.out.name)
        if name in REDUCTIONS:
            return self.reduced(eqn, args)
        return None

    def overwritten(self, eqn: Eqn, args: Row) -> Atom | None:
        """An update of all elements of an array that need never be: an expression."""
        b, (base, value) = self.b, args
        made = b.facts.defs.get(base) if isinstance(base, Value) else None
        spec, shape = eqn.params["spec"], dims(base.type)
        adds = eqn.op.name == "add_at"
        empty = made is not None and made.op.name == "empty"
        if not (self.in_pieces(base) or empty) or (adds and empty):
            return None
        if len(dims(value.type)) > len(spec):
            return None
        value = self.without_new_axes(value, spec)
        if value.type.dtype != base.type.dtype:
            value = b.emit1("cast", value, dtype=base.type.dtype, weak=False)
        name = eqn.out.name
        if adds and not _is_zero(made):
            return b.emit1("add", base, value, name=name)
        extents = b.extents(base)
        if not dims(value.type):
            dtype = base.type.dtype
            return b.emit1("full", value, *extents, dtype=dtype, dims=shape)
        return b.emit1("broadcast", value, *extents, dims=shape, name=name)

    def without_new_axes(self, value: Atom, spec: str) -> Atom:
        """What is written, without the axes that the subscript adds."""
        width = len(dims(value.type))
        own = spec[len(spec) - width :]
        if "n" not in own:
            return value
        shape = tuple(d for d, c in zip(dims(value.type), own, strict=True) if c == ":")
        zeros = [index(0)] * own.count("n")
        picked = own.replace("n", "i")
        return self.b.emit1(
            "index", value, *zeros, spec=picked, dims=shape, checked=False
        )

    def reduced(self, eqn: Eqn, args: Row) -> Atom | None:
        """Check what has no identity; a reduction of single elements is a reshape."""
        b, (x,) = self.b, args
        name = eqn.op.name
        one = name in ("argmax", "argmin")
        params = eqn.params
        axes: tuple[int, ...] = (params["axis"],) if one else params["axes"]
        extents = b.extents(x)
        if name in ("reduce_max", "reduce_min", "argmax", "argmin"):
            for axis in axes:
                self.not_empty(extents[axis], name)
        if not all(_is_one(extents[k]) for k in axes):
            return None
        kept = [k for k in range(len(extents)) if k not in axes]
        out = eqn.out.type
        if one:
            rest = [extents[k] for k in kept]
            first = Const(0, scalar_of(out))
            if not rest:
                return first
            return b.emit1("full", first, *rest, dtype=out.dtype, dims=dims(out))
        flat = b.emit1("reshape", x, *(extents[k] for k in kept), dims=dims(out))
        if flat.type.dtype != out.dtype:
            flat = b.emit1("cast", flat, dtype=out.dtype, weak=False)
        return flat

    def not_empty(self, extent: Atom, name: str) -> None:
        what = {"reduce_max": "maximum", "reduce_min": "minimum"}.get(name)
        message = (
            f"zero-size array to reduction operation {what} which has no identity"
            if what
            else f"attempt to get {name} of an empty sequence"
        )
        where = f"{self.b.loc}: " if self.b.loc else ""
        self.guard.require_some(extent, f"{where}{message}")

    def guarded(self, eqn: Eqn, args: Row) -> Row:
        """The arguments with integers of a subscript checked and brought in order."""
        name = eqn.op.name
        if name not in ("index", "store", "add_at"):
            return args
        first = 1 if name == "index" else 2
        base, out = args[0], list(args)
        surely = name == "index" and self.in_pieces(base)
        for axis, at in axes_of(eqn.params["spec"], args[first:]):
            i = args[first + at]
            n = self.b.extent(base, axis)
            if eqn.params["checked"]:
                self.guard.require(i, n, axis, eqn.loc)
            out[first + at] = self.guard.from_front(i, n, surely)
        return tuple(out)

    def in_pieces(self, base: Atom) -> bool:
        """Whether an array may never stand in memory as it is."""
        made = self.b.facts.defs.get(base) if isinstance(base, Value) else None
        if made is None:
            return False
        return made.op.kind == "elementwise" or made.op.name in VIEWS | {"gather"}

    def check(self, eqn: Eqn, cond: Atom) -> None:
        """A check; what an equality of extents makes sure of is known after it."""
        made = self.b.facts.defs.get(cond) if isinstance(cond, Value) else None
        if made is None or made.op.name != "eq" or eqn.params["kind"] != "shape":
            self.b.append(eqn.with_(args=(cond,), loc=self.b.loc))
            return
        left, right = made.args
        self.guard.require_equal(left, right, eqn.params["message"])
        self.b.facts.equate(left, right)

    # ----------------------------------------------------------------- regions

    def loop(self, eqn: Eqn, env: Env) -> None:
        """A loop; carries keep their extents unless the body shows otherwise."""
        b = self.b
        args = tuple(look(a, env) for a in eqn.args)
        inits = args[3:] if eqn.op.name == "for_" else args
        variant = self.variant.setdefault(eqn, set())
        while True:
            rows = [
                self.row(a) if is_array(a) and k not in variant else None
                for k, a in enumerate(inits)
            ]
            saved, checked = _Saved.take(b), self.guard.state()
            regions = self.bodies(eqn, args, rows, env)
            found = self.changing(regions[-1], rows)
            if not found:
                break
            saved.restore(b)
            self.guard.go_back(checked)
            variant |= found
        outs = tuple(Value(o.type, o.name) for o in eqn.outs)
        b.append(eqn.with_(args=args, outs=outs, regions=regions))
        for out, row in zip(outs, rows, strict=True):
            if row is not None:
                b.set_extents(out, row)
        self.note(*outs)
        env.update(zip(eqn.outs, outs, strict=True))

    def bodies(
        self, eqn: Eqn, args: Row, rows: list[Row | None], env: Env
    ) -> tuple[Block, ...]:
        counted = eqn.op.name == "for_"
        given = [None, *rows] if counted else rows
        loop = eqn.with_(args=args) if counted else None
        return tuple(self.region(r, env, given, loop) for r in eqn.regions)

    def region(
        self,
        block: Block,
        env: Env,
        given: Sequence[Row | None] = (),
        loop: Eqn | None = None,
    ) -> Block:
        """A region: what is learnt inside holds inside."""
        equal = dict(self.b.facts.equal)
        with self.guard.block(loop):
            out = self.block(block, env, given, loop)
            self.equal[out] = tuple(self.guard.scopes[-1].equal)
        self.learnt = self.b.facts.forget(equal)
        return out

    def changing(self, body: Block, rows: list[Row | None]) -> set[int]:
        """Carries whose result does not have the extents of the initial value.

        What checks in the body made sure of holds at its end.
        """
        facts = self.b.facts
        equal = facts.forget(self.learnt)
        out = {
            k
            for k, (result, row) in enumerate(zip(body.results, rows, strict=True))
            if row is not None and not _same(facts, self.row(result), row)
        }
        facts.forget(equal)
        return out

    def branch(self, eqn: Eqn, env: Env) -> None:
        """A branch; results have extents that both sides agree on."""
        b = self.b
        args = tuple(look(a, env) for a in eqn.args)
        regions = tuple(self.region(r, env) for r in eqn.regions)
        outs = tuple(Value(o.type, o.name) for o in eqn.outs)
        b.append(eqn.with_(args=args, outs=outs, regions=regions))
        visible = {v for frame in b.frames for v in frame.values}
        for k, out in enumerate(outs):
            if not isinstance(out.type, ArrayType):
                continue
            then, other = (self.row(r.results[k]) for r in regions)
            if _same(b.facts, then, other) and all(
                isinstance(e, Const) or e in visible for e in then
            ):
                b.set_extents(out, then)
        self.note(*outs)
        env.update(zip(eqn.outs, outs, strict=True))

    def row(self, atom: Atom) -> Row:
        assert isinstance(atom, Value)
        return self.extents[atom]


@dataclass(slots=True)
class _Saved:
    """The state of a builder, to go back to."""

    frames: list[tuple[Frame, int, dict[object, tuple[Value, ...]], set[Value]]]
    equal: dict[Value, Affine]

    @classmethod
    def take(cls, b: Builder) -> _Saved:
        frames = [(f, len(f.eqns), dict(f.seen), set(f.values)) for f in b.frames]
        return cls(frames, dict(b.facts.equal))

    def restore(self, b: Builder) -> None:
        for frame, count, seen, values in self.frames:
            del frame.eqns[count:]
            frame.seen, frame.values = seen, values
        b.facts.forget(self.equal)


def _same(facts: Facts, a: Row, b: Row) -> bool:
    return all(facts.affine(x).same(facts.affine(y)) for x, y in zip(a, b, strict=True))


def _is_zero(made: Eqn | None) -> bool:
    value = made.args[0] if made is not None and made.op.name == "full" else None
    return isinstance(value, Const) and value.value == 0


def _is_one(atom: Atom) -> bool:
    return isinstance(atom, Const) and atom.value == 1


def _inside(eqn: Eqn) -> Eqn:
    """A subscript whose integers have been checked."""
    if eqn.op.name not in ("index", "store", "add_at"):
        return eqn
    return eqn.with_(params={**eqn.params, "checked": False})
