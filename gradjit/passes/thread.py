"""Regions built again with the saved values threaded through them.

Forward regions carry the arrays and stacks that values are saved in; reversed regions
carry the stacks, and start with what they load or compute again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradjit.ir.build import Builder, index, look
from gradjit.ir.graph import Atom, Block, Eqn, Value, walk
from gradjit.ir.types import dims
from gradjit.passes.saved import Region, Save

if TYPE_CHECKING:
    from gradjit.passes.residual import Residuals


class Rebuild:
    """Appends regions again, with states threaded through them."""

    def __init__(self, residuals: Residuals) -> None:
        self.r = residuals
        self.b = residuals.b

    def place(self, home: Region, env: dict[Value, Atom] | None = None) -> list[Atom]:
        """The index of the current iteration in an array of saved values."""
        known = env or {}
        return self.r.recompute.place(home, lambda a: look(a, known))

    def inside(self, eqn: Eqn, states: dict[Save, Atom]) -> list[Save]:
        raise NotImplementedError

    def enter(
        self, block: Block, env: dict[Value, Atom], states: dict[Save, Atom]
    ) -> None:
        raise NotImplementedError

    def before(
        self, eqn: Eqn, env: dict[Value, Atom], states: dict[Save, Atom]
    ) -> None:
        """What comes in front of an equation."""

    def after(self, eqn: Eqn, states: dict[Save, Atom]) -> None:
        raise NotImplementedError

    def leave(self, block: Block, states: dict[Save, Atom]) -> None:
        raise NotImplementedError

    def equations(
        self,
        eqns: Sequence[Eqn],
        env: dict[Value, Atom],
        states: dict[Save, Atom],
        top: bool = False,
    ) -> None:
        for eqn in eqns:
            with self.b.at(eqn.loc):
                self.before(eqn, env, states)
                if eqn.regions:
                    self.region_eqn(eqn, env, states, top)
                else:
                    args = tuple(look(a, env) for a in eqn.args)
                    self.b.append(eqn.with_(args=args))
                self.after(eqn, states)

    def region_eqn(
        self, eqn: Eqn, env: dict[Value, Atom], states: dict[Save, Atom], top: bool
    ) -> None:
        carried = self.inside(eqn, states)
        count = self.r.counts.get(eqn)
        if count is not None:
            carried.append(count)
        inner = dict(states) if count is None else {**states, count: index(0)}
        loop = eqn.op.name != "if_"
        regions: list[Block] = []
        for k, region in enumerate(eqn.regions):
            is_cond = eqn.op.name == "while_" and k == 0
            regions.append(self.region(region, env, inner, carried, loop, is_cond))
        finals = tuple(
            s.final if top or s is count else Value(s.type, s.final.name)
            for s in carried
        )
        args = [look(a, env) for a in eqn.args]
        if loop:
            args += [inner[s] for s in carried]
        # What saves values is not run again by a derivative of the derivative.
        params = {k: v for k, v in eqn.params.items() if k != "checkpoint"}
        outs = (*eqn.outs, *finals)
        self.b.append(Eqn(eqn.op, tuple(args), outs, params, tuple(regions), eqn.loc))
        for s, out in zip(carried, finals, strict=True):
            if s is not count:
                states[s] = out

    def region(
        self,
        region: Block,
        env: dict[Value, Atom],
        states: dict[Save, Atom],
        carried: list[Save],
        loop: bool,
        is_cond: bool,
    ) -> Block:
        b = self.b
        extra = tuple(Value(s.type, s.final.name) for s in carried) if loop else ()
        params = (*region.params, *extra)
        b.open(params)
        inner_env, inner = dict(env), dict(states)
        if loop:
            inner.update(zip(carried, extra, strict=True))
        if not is_cond:
            self.enter(region, inner_env, inner)
        self.equations(region.eqns, inner_env, inner)
        results = tuple(look(a, inner_env) for a in region.results)
        if is_cond:
            return b.close(results)
        self.leave(region, inner)
        return b.close((*results, *(inner[s] for s in carried)))


class Forward(Rebuild):
    """Forward regions: values are saved where they are defined."""

    def inside(self, eqn: Eqn, states: dict[Save, Atom]) -> list[Save]:
        return [s for s in self.r.saved_inside(eqn) if s in states]

    def enter(
        self, block: Block, env: dict[Value, Atom], states: dict[Save, Atom]
    ) -> None:
        for value in block.params:
            self._keep_all(value, states)

    def before(
        self, eqn: Eqn, env: dict[Value, Atom], states: dict[Save, Atom]
    ) -> None:
        """The initial values of carries that are saved with their next values."""
        for save in self.inside(eqn, states):
            if save.next is not None and save.home.owner is eqn:
                k = save.home.block.params.index(save.value) - 1
                outer = save.home.parent
                at = [] if outer is None else self.place(outer)
                self._store(save, eqn.args[3 + k], [*at, index(0)], states)

    def after(self, eqn: Eqn, states: dict[Save, Atom]) -> None:
        for out in eqn.outs:
            self._keep_all(out, states)
        count = self.r.counts.get(eqn)
        if count is not None:
            self._keep(count.final, states)

    def _keep_all(self, value: Value, states: dict[Save, Atom]) -> None:
        """Save a value, or extents of it."""
        self._keep(value, states)
        for eqn in self.r.dims.get(value, ()):
            if eqn.out in self.r.saves:
                self.b.append(eqn)
                self._keep(eqn.out, states)

    def leave(self, block: Block, states: dict[Save, Atom]) -> None:
        for save in list(states):
            if save.kind == "count" and save.home.block is block:
                states[save] = self.b.emit1("add", states[save], index(1))

    def _keep(self, value: Value, states: dict[Save, Atom]) -> None:
        save = self.r.saves.get(value)
        if save is None or save not in states:
            return
        state, b = states[save], self.b
        if save.kind == "slot":
            states[save] = value
        elif save.kind == "stack":
            self.r.budget.limit_stack(save, state)
            states[save] = b.emit1("push", state, value, name=save.final.name)
        elif save.next is None or value is save.next:
            at = self.place(save.home)
            self._store(save, value, shifted(self.b, save, value, at), states)

    def _store(
        self, save: Save, value: Atom, at: Sequence[Atom], states: dict[Save, Atom]
    ) -> None:
        spec = "i" * len(at) + ":" * len(dims(value.type))
        states[save] = self.b.emit1(
            "store", states[save], value, *at, spec=spec, checked=False
        )


def shifted(b: Builder, save: Save, value: Value, at: list[Atom]) -> list[Atom]:
    """The place of a value: that of a next value is one further."""
    if value is save.next:
        return [*at[:-1], b.emit1("add", at[-1], index(1))]
    return at


class Backward(Rebuild):
    """Reversed regions: values come from where they were saved."""

    def inside(self, eqn: Eqn, states: dict[Save, Atom]) -> list[Save]:
        blocks = {
            self.r.mirror[r]
            for e in walk(Block((), (eqn,), ()))
            for r in e.regions
            if r in self.r.mirror
        }
        return [s for s in states if s.kind == "stack" and s.home.block in blocks]

    def enter(
        self, block: Block, env: dict[Value, Atom], states: dict[Save, Atom]
    ) -> None:
        forward = self.r.mirror.get(block)
        if forward is None:
            return
        home = [v for v, region in self.r.home.items() if region.block is forward]
        owner = self.r.regions[forward].owner.op.name
        if owner == "for_":
            env[forward.params[0]] = block.params[0]
        elif owner == "while_":
            env[self.r.recompute.tick(forward)] = block.params[0]
        wanted = [v for v in home if v in self.r.saves or v in self.r.recomputed]
        for value in sorted(wanted, key=self.r.rank):
            save = self.r.saves.get(value)
            if save is not None:
                env[value] = self._load(save, value, env, states)
            elif value not in env:
                self.r.recompute.again(value, env)

    def after(self, eqn: Eqn, states: dict[Save, Atom]) -> None:
        pass

    def leave(self, block: Block, states: dict[Save, Atom]) -> None:
        pass

    def _load(
        self,
        save: Save,
        value: Value,
        env: dict[Value, Atom],
        states: dict[Save, Atom],
    ) -> Atom:
        b = self.b
        if save.kind == "slot":
            return save.final
        if save.kind == "stack":
            stack, item = b.emit("pop", states[save], names=("", value.name))
            states[save] = stack
            return item
        at = shifted(b, save, value, self.place(save.home, env))
        inner = dims(value.type)
        spec = "i" * len(at) + ":" * len(inner)
        return b.emit1(
            "index",
            save.final,
            *at,
            spec=spec,
            dims=inner,
            checked=False,
            name=value.name,
        )
