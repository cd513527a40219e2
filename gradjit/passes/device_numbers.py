"""Which numbers of a program are on the device, if it has one.

What is read from an array or reduced from one is, and so is what is computed from that.
Carries, results of branches and what is taken from stacks are if any number that comes
to be there is: a fixed point.
"""

from __future__ import annotations

from collections.abc import Callable

from gradjit.ir.graph import Atom, Block, Eqn, Value, walk
from gradjit.ir.types import ArrayType, ScalarType
from gradjit.passes.alias import is_home
from gradjit.passes.independent import Verdict


def device_numbers(block: Block, verdict: Callable[[Eqn], Verdict]) -> set[Value]:
    """The numbers that the device has and the host has not.

    Args:
        block: Of a placed program.
        verdict: Of a counted loop, whether its iterations are independent: then it is
            a kernel, and what it leaves is on the device.
    """
    look = _Look(verdict)
    while True:
        before = len(look.found)
        look.block(block)
        if len(look.found) == before:
            return look.found


class _Look:
    def __init__(self, verdict: Callable[[Eqn], Verdict]) -> None:
        self.verdict = verdict
        self.found: set[Value] = set()
        self.stacked: set[str] = set()

    def has(self, atom: Atom) -> bool:
        return isinstance(atom, Value) and atom in self.found

    def add(self, value: Value) -> None:
        if isinstance(value.type, ScalarType):
            self.found.add(value)

    def block(self, block: Block) -> None:
        for eqn in block.eqns:
            self.eqn(eqn)

    def eqn(self, eqn: Eqn) -> None:
        name = eqn.op.name
        if name in ("index", "map_", "contract") or self.is_kernel(eqn):
            for out in eqn.outs:
                self.add(out)
        elif name in ("for_", "while_"):
            self.loop(eqn)
        elif name == "if_":
            self.branch(eqn)
        elif name == "push":
            value = eqn.args[1]
            if self.has(value) or value.type.dtype.kind == "f":
                self.stacked.add(value.type.dtype.kind)
        elif name == "pop":
            value = eqn.outs[1]
            if value.type.dtype.kind in self.stacked or value.type.dtype.kind == "f":
                self.add(value)
        elif eqn.op.kind == "elementwise" and any(map(self.has, eqn.args)):
            self.add(eqn.out)

    def is_kernel(self, eqn: Eqn) -> bool:
        """Whether a loop runs on the device as a whole."""
        if eqn.op.name not in ("for_", "while_"):
            return False
        counted = eqn.op.name == "for_"
        return is_brief(eqn) or (counted and not self.verdict(eqn).reason)

    def loop(self, eqn: Eqn) -> None:
        for region in eqn.regions:
            self.block(region)
        first = len(eqn.args) - len(eqn.outs)
        body = eqn.regions[-1]
        for k, out in enumerate(eqn.outs):
            if not k and eqn.params.get("exits"):
                continue  # the host has to know whether the loop ends
            params = [r.params[len(r.params) - len(eqn.outs) + k] for r in eqn.regions]
            everything = (eqn.args[first + k], body.results[k], out)
            if any(map(self.has, everything)):
                for value in (out, *params):
                    self.add(value)

    def branch(self, eqn: Eqn) -> None:
        for region in eqn.regions:
            self.block(region)
        waits = self.has(eqn.args[0]) and is_simple(eqn)
        for k, out in enumerate(eqn.outs):
            if waits or any(self.has(r.results[k]) for r in eqn.regions):
                self.add(out)


def is_simple(eqn: Eqn) -> bool:
    """Whether a branch only computes numbers, from numbers and elements of arrays."""
    inside = [e for r in eqn.regions for e in walk(r)]
    kinds = all(
        e.op.name in ("index", "dim", "if_") or e.op.kind == "elementwise"
        for e in inside
    )
    outs = (o for e in (eqn, *inside) for o in e.outs)
    return kinds and all(isinstance(o.type, ScalarType) for o in outs)


_NUMBERS = frozenset({"index", "dim", "if_", "check"})


def is_brief(eqn: Eqn) -> bool:
    """Whether one thread may run a loop over numbers: one with no loops inside.

    The arrays that it writes into stay where they are.
    """
    body = eqn.regions[-1]
    params = body.params[len(body.params) - len(eqn.outs) :]
    for param, result in zip(params, body.results, strict=True):
        stays = isinstance(param.type, ArrayType) and is_home(body, result, param)
        if not isinstance(param.type, ScalarType) and not stays:
            return False
    return all(_is_single(e) for r in eqn.regions for e in walk(r))


def _is_single(eqn: Eqn) -> bool:
    """Whether an equation is about numbers and single elements."""
    if eqn.op.name in ("store", "add_at"):
        return set(eqn.params["spec"]) == {"i"}
    if eqn.op.name == "if_":
        return True
    numbers = all(isinstance(o.type, ScalarType) for o in eqn.outs)
    return numbers and (eqn.op.name in _NUMBERS or eqn.op.kind == "elementwise")
