"""What the backward code can compute again, from what it has anyway.

It has the indices of loops, what is saved, and what arrays still hold when the loops
are done. From these it computes cheap things, integers above all, and counters: values
that each iteration adds the same to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gradjit.ir.build import Builder, index, look
from gradjit.ir.graph import Atom, Block, Const, Eqn, Value
from gradjit.ir.types import INDEX, ScalarType
from gradjit.passes.chains import Chains
from gradjit.passes.remains import Remains
from gradjit.passes.saved import Region, Save
from gradjit.passes.small import extents

WHOLE = ScalarType(INDEX.dtype)
_FUEL = 40  # equations that are recomputed for one value, at most


class Recompute:
    """Values of the forward code, computed again.

    Args:
        b: The builder of the backward code.
        home: The region of each value that is inside of one.
        regions: The records of regions by their blocks.
        saves: What is saved, as far as it is decided.
        everything: Whether all arithmetic may be computed again, whatever it costs.
    """

    def __init__(
        self,
        b: Builder,
        home: Mapping[Value, Region],
        regions: Mapping[Block, Region],
        saves: Mapping[Value, Save],
        everything: bool = False,
    ) -> None:
        self.b = b
        self.home = home
        self.saves = saves
        self.everything = everything
        self.remains = Remains(Chains(home, regions, b.facts))
        self.ticks: dict[Block, Value] = {}

    def available(self, atom: Atom, top: bool = False) -> bool:
        """Whether the backward code has the atom or can compute it again.

        With `top`, whether it can be computed before the outermost loop.
        """
        return self._available(atom, [_FUEL], top)

    def _available(self, atom: Atom, fuel: list[int], top: bool) -> bool:
        if isinstance(atom, Const) or atom not in self.home:
            return True
        if not top and (atom in self.saves or self.is_index(atom)):
            return True
        fuel[0] -= 1
        if fuel[0] < 0:
            return False
        counter = None if top else self._counter(atom)
        if counter is not None:
            return all(self._available(a, fuel, top) for a in counter)
        eqn = self.cheap(atom, top)
        if eqn is None:
            return False
        return all(self._available(a, fuel, top) for a in eqn.args)

    def cheap(self, value: Value, top: bool = False) -> Eqn | None:
        """The equation that computes a value again, if that costs little.

        With `top`, before the outermost loop, which has left nothing behind yet.
        """
        eqn = self.b.facts.defs.get(value)
        if not top and value in self.home:
            eqn = self.remains.load(value) or eqn
        return eqn if eqn is not None and self.is_cheap(eqn) else None

    def is_cheap(self, eqn: Eqn) -> bool:
        """Whether an equation may be computed again.

        Arithmetic of integers may, and so may stores into small arrays of known shape,
        which are going to live in scalars.
        """
        if eqn.regions or len(eqn.outs) != 1:
            return False
        if eqn.op.name in ("empty", "store"):
            return extents(eqn.out.type) is not None
        if eqn.op.cheap or eqn.op.kind != "elementwise":
            return eqn.op.cheap
        return self.everything or eqn.out.type.dtype.kind in "ib"

    def _counter(self, value: Value) -> tuple[Atom, Atom] | None:
        """First value and step of an integer that each iteration adds the same to."""
        region = self.home[value]
        body, owner = region.block, region.owner
        if not region.is_loop or value.type not in (INDEX, WHOLE):
            return None
        skip = len(body.params) - len(body.results)
        if value not in body.params[skip:]:
            return None
        k = body.params.index(value) - skip
        after = body.results[k]
        made = self.cheap(after) if isinstance(after, Value) else None
        if made is None or made.op.name not in ("add", "sub") or made.args[0] != value:
            return None
        step = made.args[1]
        if isinstance(step, Value) and self.home.get(step) not in region.outer():
            return None
        if made.op.name == "sub":
            step = self.b.emit1("neg", step)
        return owner.args[len(owner.args) - len(body.results) + k], step

    def is_index(self, value: Value) -> bool:
        region = self.home[value]
        return region.owner.op.name == "for_" and value is region.block.params[0]

    def again(self, atom: Atom, env: dict[Value, Atom], top: bool = False) -> Atom:
        """The atom computed again from what is there; `top` as for `available`."""
        if isinstance(atom, Const) or atom not in self.home:
            return atom
        if atom in env:
            return env[atom]
        counter = None if top else self._counter(atom)
        if counter is not None:
            env[atom] = self._counted(atom, counter, env)
            return env[atom]
        eqn = self.cheap(atom, top)
        assert eqn is not None
        args = [self.again(a, env, top) for a in eqn.args]
        with self.b.at(eqn.loc):
            if eqn.op.name == "dim":
                env[atom] = self.b.extent(args[0], eqn.params["axis"])
                return env[atom]
            params = {**eqn.params}
            if "checked" in params:
                params["checked"] = False  # the forward code has checked it
            out = self.b.emit1(eqn.op, *args, name=atom.name, **params)
        env[atom] = out
        return out

    def _counted(
        self, value: Value, counter: tuple[Atom, Atom], env: dict[Value, Atom]
    ) -> Atom:
        """A counter, from the number of iterations before this one."""
        b, region = self.b, self.home[value]
        first, step = (self.again(a, env) for a in counter)
        if region.owner.op.name == "while_":
            steps = env[self.tick(region.block)]
        else:
            steps = self.offset(region, lambda a: look(a, env))
        out = b.emit1("add", first, b.emit1("mul", steps, step))
        if out.type == value.type:
            return out
        return b.emit1("cast", out, dtype=INDEX.dtype, weak=value.type == INDEX)

    def tick(self, body: Block) -> Value:
        """The number of iterations of a `while_` before this one."""
        return self.ticks.setdefault(body, Value(INDEX))

    def offset(self, loop: Region, env: Callable[[Atom], Atom]) -> Atom:
        """The number of iterations of a `for_` before this one."""
        start, _, step = loop.owner.args[:3]
        offset = self.b.emit1("sub", env(loop.block.params[0]), env(start))
        if not (isinstance(step, Const) and step.value == 1):
            offset = self.b.emit1("floordiv", offset, env(step))
        return offset

    def place(self, region: Region, env: Callable[[Atom], Atom]) -> list[Atom]:
        """The index of the current iteration in an array of saved values."""
        return [self.offset(loop, env) for loop in region.loops()]


def trip_count(b: Builder, start: Atom, stop: Atom, step: Atom) -> Atom:
    """How often range(start, stop, step) iterates."""
    span = b.emit1("sub", stop, start)
    if not (isinstance(step, Const) and step.value == 1):
        # Ceiling division, right for either sign.
        down = b.emit1("floordiv", b.emit1("neg", span), step)
        span = b.emit1("neg", down)
    return b.emit1("maximum", span, index(0))
