"""Small arrays of known shape become scalars, one for each element.

Scalar replacement of aggregates, on values: the program is rebuilt, and an array of a
group that `small.Groups` lets go is a tuple of atoms on the way. A store puts another
atom in its place, a load looks one up, a branch or a loop hands on the elements, and
loops over the elements are written out. Where an array is needed as one (as a result,
or by a matrix product), it is made on the spot from its elements: arrays are values
here, so that is right wherever it happens.

A subscript that is still not known when all loops are written out asks for memory: its
group stays there, and the program is rebuilt once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gradjit.ir.build import index
from gradjit.ir.graph import Atom, Block, Const, Eqn, Graph, Value
from gradjit.ir.types import ScalarType, dims
from gradjit.passes.aggregates import Item, nothing
from gradjit.passes.carried import is_weak
from gradjit.passes.small import Groups, Small, extents, indices, inside, integers
from gradjit.passes.written_maps import WrittenMaps
from gradjit.passes.written_out import (
    NEST,
    PROGRAM,
    is_counted,
    points,
    touches,
    trips,
    weight,
)


def scalarise(graph: Graph) -> Graph:
    """The program with small arrays of known shape in scalars.

    Args:
        graph: A valid graph of the `program` stage, before `place`.
    """
    groups = Groups(graph)
    while groups.some():
        out = _Rewriter(groups).program(graph)
        if not groups.settle():
            return out
    return graph


class _Rewriter(WrittenMaps):
    """Rebuilds the program.

    Attributes:
        spent: How many statements loops have become.
        left: In a loop that is written out, how many more inner loops may become.
    """

    def __init__(self, groups: Groups) -> None:
        super().__init__(groups)
        self.spent = 0
        self.left: int | None = None

    def run(self, block: Block) -> None:
        for eqn in block.eqns:
            with self.b.at(eqn.loc or self.b.loc):
                rule = _RULES.get(eqn.op.name)
                if rule is not None:
                    rule(self, eqn)
                elif eqn.op.kind == "elementwise":
                    self.elementwise(eqn)
                else:
                    self.kept(eqn)

    def kept(self, eqn: Eqn) -> None:
        """An equation that stays, on arrays in memory."""
        args = tuple(map(self.memory, eqn.args))
        outs = tuple(Value(o.type, o.name) for o in eqn.outs)
        self.b.append(eqn.with_(args=args, outs=outs, loc=self.b.loc))
        self.env.update(zip(eqn.outs, outs, strict=True))

    def check(self, eqn: Eqn) -> None:
        cond = self.scalar(eqn.args[0])
        if not (isinstance(cond, Const) and cond.value):
            self.kept(eqn)

    # ----------------------------------------------------------------- scalars

    def elementwise(self, eqn: Eqn) -> None:
        """Scalar code, at the dtype that it had."""
        b = self.b
        args = [
            self.wide(self.scalar(a), a, eqn) if not is_weak(a) else self.scalar(a)
            for a in eqn.args
        ]
        found = b.emit1(eqn.op, *args, name=eqn.out.name, **eqn.params)
        if found.type.dtype != eqn.out.type.dtype:
            found = b.emit1("cast", found, dtype=eqn.out.type.dtype, weak=False)
        self.env[eqn.out] = found

    def wide(self, atom: Atom, old: Atom, eqn: Eqn) -> Atom:
        """What stands for an element, which has a width that a Python number has not.

        A number that was stored into the array is there in place of it.
        """
        if not is_weak(atom):
            return atom
        if isinstance(atom, Const):
            return Const(atom.value, ScalarType(atom.type.dtype))
        if all(a.type.dtype == old.type.dtype for a in eqn.args):
            return atom
        return self.b.emit1("cast", atom, dtype=atom.type.dtype, weak=False)

    def dim(self, eqn: Eqn) -> None:
        axis: int = eqn.params["axis"]
        known = dims(eqn.args[0].type)[axis]
        if known is not None:
            self.env[eqn.out] = index(known)
            return
        array, name = self.memory(eqn.args[0]), eqn.out.name
        self.env[eqn.out] = self.b.emit1("dim", array, axis=axis, name=name)

    # ------------------------------------------------------------------ arrays

    def full(self, eqn: Eqn) -> None:
        shape = extents(eqn.out.type)
        if shape is None or not self.groups.dissolves(eqn.out):
            self.kept(eqn)
            return
        value: Atom = nothing(eqn.out.type.dtype)
        if eqn.op.name == "full":
            value = self.fitted(self.scalar(eqn.args[0]), eqn.out.type.dtype)
        self.env[eqn.out] = Small(shape, (value,) * len(indices(shape)))

    def copy(self, eqn: Eqn) -> None:
        self.env[eqn.out] = self.look(eqn.args[0])

    def index(self, eqn: Eqn) -> None:
        base, at = eqn.args[0], [self.scalar(a) for a in eqn.args[1:]]
        found, spec, ints = self.look(base), eqn.params["spec"], integers(at)
        shape = found.dims if isinstance(found, Small) else dims(base.type)
        known = ints is not None and inside(spec, ints, shape)
        if isinstance(found, Small):
            if known and ints is not None:
                self.view(eqn, found.part(spec, ints))
                return
            self.groups.lose(base)
        array = self.memory(base)
        if "again" in eqn.params:
            self.kept(eqn)
        elif array in self.free and known and ints is not None and set(spec) == {"i"}:
            self.env[eqn.out] = self.load(array, ints)
        else:
            name = eqn.out.name
            self.env[eqn.out] = self.b.emit1(
                eqn.op, array, *at, name=name, **eqn.params
            )

    def transpose(self, eqn: Eqn) -> None:
        found = self.look(eqn.args[0])
        if isinstance(found, Small):
            self.view(eqn, found.transposed(eqn.params["perm"]))
        else:
            self.kept(eqn)

    def reshape(self, eqn: Eqn) -> None:
        found, shape = self.look(eqn.args[0]), dims(eqn.out.type)
        known = tuple(n for n in shape if n is not None)
        if isinstance(found, Small) and len(known) == len(shape):
            self.view(eqn, found.reshaped(known))
        else:
            self.kept(eqn)

    def view(self, eqn: Eqn, part: Item) -> None:
        """A part of a small array: scalars, or made of them."""
        if isinstance(part, Small) and not self.groups.dissolves(eqn.out):
            part = self.made(part, eqn.out.type.dtype, eqn.out.name)
        self.env[eqn.out] = part

    def store(self, eqn: Eqn) -> None:
        base, value, *at = eqn.args
        shape = extents(eqn.out.type)
        if shape is None or not self.groups.dissolves(eqn.out):
            self.kept(eqn)
            return
        ints, spec = integers([self.scalar(a) for a in at]), eqn.params["spec"]
        if ints is None or set(spec) != {"i"} or not inside(spec, ints, shape):
            self.groups.lose(eqn.out)
            self.kept(eqn)
            return
        adds = eqn.op.name == "add_at"
        array = self.exploded(self.look(base), shape)
        value = self.scalar(value)
        self.env[eqn.out] = self.written(array, value, ints, eqn.out, adds)

    # ------------------------------------------------------------------- loops

    def map_or_points(self, eqn: Eqn) -> None:
        bounds = [self.scalar(a) for a in eqn.args[: eqn.params["ndim"]]]
        shape = points(eqn, bounds)
        if shape is None or not self.pays(eqn, len(indices(shape))):
            self.map(eqn)
            return
        self.write_out(lambda: self.write_map(eqn, shape))

    def loop_or_trips(self, eqn: Eqn) -> None:
        counted = eqn.op.name == "for_"
        found = trips(eqn, [self.scalar(a) for a in eqn.args[:3]]) if counted else None
        if found is None or not self.pays(eqn, len(found)):
            self.loop(eqn)
            return
        self.write_out(lambda: self.write_loop(eqn, found))

    def pays(self, eqn: Eqn, times: int) -> bool:
        """Whether a loop is worth writing out, and not too long for it."""
        if not touches(eqn, self.groups):
            return False
        size = weight(eqn.regions[0])
        if self.left is None:
            cost = times * size
            if cost > NEST or self.spent + cost > PROGRAM:
                return False
            self.spent += cost
            return True
        # What is inside was counted with the loop around, if its length was known.
        more = 0 if is_counted(eqn) else (times - 1) * size
        if more > self.left:
            return False
        self.left -= more
        return True

    def write_out(self, write: Callable[[], None]) -> None:
        outermost = self.left is None
        if outermost:
            self.left = NEST
        write()
        if outermost:
            self.left = None

    def write_loop(self, eqn: Eqn, iterations: Sequence[int]) -> None:
        """The iterations of a `for_` one after another."""
        (body,) = eqn.regions
        pairs = zip(eqn.outs, eqn.args[3:], strict=True)
        carries = [self.handed(out, a) for out, a in pairs]
        for i in iterations:
            self.env.update(zip(body.params, (index(i), *carries), strict=True))
            self.run(body)
            pairs = zip(eqn.outs, body.results, strict=True)
            carries = [self.handed(out, a) for out, a in pairs]
        self.env.update(zip(eqn.outs, carries, strict=True))


_RULES: dict[str, Callable[[_Rewriter, Eqn], None]] = {
    "check": _Rewriter.check,
    "dim": _Rewriter.dim,
    "full": _Rewriter.full,
    "empty": _Rewriter.full,
    "copy": _Rewriter.copy,
    "index": _Rewriter.index,
    "transpose": _Rewriter.transpose,
    "reshape": _Rewriter.reshape,
    "store": _Rewriter.store,
    "add_at": _Rewriter.store,
    "map_": _Rewriter.map_or_points,
    "for_": _Rewriter.loop_or_trips,
    "while_": _Rewriter.loop_or_trips,
    "if_": _Rewriter.branch,
}
