"""A kernel on its way: a copy of a part of the program, run by threads.

What the part uses from outside becomes parameters: arrays and numbers of the host as
they are, numbers of the device as arrays without axes, which are loaded first. In a
kernel an error is noted and the thread leaves; arrays that an iteration makes are local
if their extents are known, and otherwise an iteration has a part of a scratch array.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from gradjit.errors import Loc, UnsupportedError
from gradjit.ir.build import Builder, index
from gradjit.ir.graph import Atom, Block, Const, Eqn, Graph, Value
from gradjit.ir.op import lookup
from gradjit.ir.types import INDEX, ArrayType, ScalarType, StackType
from gradjit.ops.device import FAIL, HALT, POSITION, Where
from gradjit.ops.region import FOR
from gradjit.passes.alias import is_array, is_view, origin

if TYPE_CHECKING:
    from gradjit.passes.host_code import Offload

# The most elements of an array that each thread has of its own.
LOCAL = 1024

Bounds = tuple[Atom, Atom, Atom]
Element = Callable[[Sequence[Atom]], Atom]


class Kernel:
    """A kernel with its parameters, which are found as its body is made.

    Attributes:
        host: Where it is launched.
        b: Of its body.
        mapping: What values of the program are in the kernel.
        actuals: What it is launched with, parameter by parameter.
        written: Parameters that it writes into, with their last versions.
        shared: Arrays that several threads add to.
        extents: Of the arrays that it makes, as the program has them.
        loc: The line of the user that it stands for.
        single_thread: Whether what comes is an element of a nest.
    """

    def __init__(self, host: Offload, loc: Loc | None) -> None:
        self.host = host
        self.b = Builder(checks=False)
        self.b.open(())
        self.mapping: dict[Value, Atom] = {}
        self.params: list[Value] = []
        self.actuals: list[Atom] = []
        self.written: dict[Value, Atom] = {}
        self.shared: set[Atom] = set()
        self.extents: dict[Atom, tuple[Atom, ...]] = {}
        self.loc = loc
        self.single_thread = False
        self._imported: dict[Atom, Value] = {}
        if host.raises:
            self.append(HALT, (self.status(),), ())

    # ---------------------------------------------------------------- parameters

    def given(self, actual: Atom, name: str = "") -> Value:
        """The parameter for something of the host."""
        found = self._imported.get(actual)
        if found is None:
            hint = name or (actual.name if isinstance(actual, Value) else "")
            assert isinstance(actual, Value)
            found = self._imported[actual] = Value(actual.type, hint)
            self.params.append(found)
            self.actuals.append(actual)
        return found

    def status(self) -> Value:
        """Where errors are noted."""
        return self.given(self.host.scratch("status"))

    def atom(self, old: Atom) -> Atom:
        """What an atom of the program is in the kernel."""
        if not isinstance(old, Value):
            return old
        found = self.mapping.get(old)
        if found is None:
            found = self.mapping[old] = self._import(old)
        return found

    def _import(self, old: Value) -> Atom:
        cell = self.host.cells.get(old)
        if cell is not None:
            param = self.given(cell, old.name)
            with self.outermost():
                return self.load(param, (), old.name)
        late = self.host.late.get(old)
        if late is not None:
            with self.outermost():
                self.take(late)
            return self.mapping[old]
        outside = self.host.look(old)
        return outside if isinstance(outside, Const) else self.given(outside)

    @contextmanager
    def outermost(self) -> Generator[None]:
        """Append in front of all loops."""
        rest = self.b.frames[1:]
        del self.b.frames[1:]
        yield
        self.b.frames.extend(rest)

    # ------------------------------------------------------------------ equations

    def append(
        self,
        op: Any,
        args: Sequence[Atom],
        outs: Sequence[Value],
        regions: Sequence[Block] = (),
        **params: Any,
    ) -> None:
        op = lookup(op) if isinstance(op, str) else op
        eqn = Eqn(op, tuple(args), tuple(outs), params, tuple(regions), self.b.loc)
        self.b.append(eqn)

    def emit(self, op: str, *args: Atom, name: str = "", **params: Any) -> Atom:
        return self.b.emit1(op, *args, name=name, **params)

    def load(self, array: Atom, at: Sequence[Atom], name: str = "") -> Atom:
        """An element."""
        out = Value(ScalarType(array.type.dtype), name)
        spec = "i" * len(at)
        args = (array, *at)
        self.append("index", args, (out,), spec=spec, dims=(), checked=False)
        return out

    def store(
        self, array: Atom, value: Atom, at: Sequence[Atom], add: bool = False
    ) -> Atom:
        """The array with another element, or with something added to it."""
        assert isinstance(array, Value)
        out = Value(array.type, array.name)
        params: dict[str, Any] = {"spec": "i" * len(at), "checked": False}
        if add and array in self.shared:
            params["atomic"] = True
            self.shared.add(out)
        op = "add_at" if add else "store"
        self.append(op, (array, value, *at), (out,), **params)
        return out

    def position(self, what: Where) -> Atom:
        """Where the thread is."""
        return self.b.emit1(POSITION, what=what)

    def loop(
        self,
        bounds: Bounds,
        inits: Sequence[Atom],
        body: Callable[[Value, Sequence[Atom]], Sequence[Atom]],
        name: str = "",
    ) -> tuple[Value, ...]:
        """`for i in range(*bounds): carries = body(i, carries)`; the last carries."""
        names = [a.name if isinstance(a, Value) else "" for a in inits]
        params = [Value(a.type, n) for a, n in zip(inits, names, strict=True)]
        self._share(inits, params)
        at = Value(INDEX, name)
        self.b.open((at, *params))
        results = body(at, params)
        block = self.b.close(results)
        outs = tuple(Value(p.type, p.name) for p in params)
        self._share(inits, outs)
        self.append(FOR, (*bounds, *inits), outs, (block,), exits=False)
        return outs

    def _share(self, inits: Sequence[Atom], values: Sequence[Value]) -> None:
        self.shared.update(
            v for a, v in zip(inits, values, strict=True) if a in self.shared
        )

    def fail_unless(self, eqn: Eqn) -> None:
        """A check: the error is noted, and the thread leaves."""
        code = self.host.code(eqn)
        test = self.atom(eqn.args[0])
        self.append(FAIL, (test, self.status(), code), ())

    # ---------------------------------------------------------- copying a program

    def take(self, eqn: Eqn) -> None:
        """Append what an equation of the program becomes."""
        with self.b.at(eqn.loc or self.b.loc):
            special = _TAKEN.get(eqn.op.name)
            if special is not None:
                special(self, eqn)
            else:
                self.copied(eqn)

    def take_all(self, block: Block) -> None:
        for eqn in block.eqns:
            self.take(eqn)

    def copied(self, eqn: Eqn) -> None:
        """The equation as it is."""
        args = tuple(map(self.atom, eqn.args))
        outs = tuple(Value(o.type, o.name) for o in eqn.outs)
        if eqn.op.name in ("for_", "while_") and carries_new(eqn):
            self.refuse(eqn, "an array that an inner loop makes anew and carries on")
        if eqn.regions:
            first = len(eqn.args) - len(eqn.outs)
            carries = args[first:] if eqn.op.name != "if_" else ()
            regions = tuple(self.region(r, carries) for r in eqn.regions)
            self._share(carries, outs if carries else ())
            if eqn.op.name == "if_":
                self.shared.update(
                    o
                    for k, o in enumerate(outs)
                    if any(r.results[k] in self.shared for r in regions)
                )
        else:
            regions = ()
        self.mapping.update(zip(eqn.outs, outs, strict=True))
        self.append(eqn.op, args, outs, regions, **eqn.params)

    def region(self, block: Block, carries: Sequence[Atom]) -> Block:
        """A region of an equation."""
        params = [Value(p.type, p.name) for p in block.params]
        self.mapping.update(zip(block.params, params, strict=True))
        if carries:
            self._share(carries, params[len(params) - len(carries) :])
        self.b.open(params)
        self.take_all(block)
        self.leave(block)
        return self.b.close([self.atom(r) for r in block.results])

    def leave(self, block: Block) -> None:
        """What threads do at the end of a region."""

    @contextmanager
    def alone(self) -> Generator[None]:
        """Take equations that a thread runs for itself, an element of a nest."""
        before, self.single_thread = self.single_thread, True
        yield
        self.single_thread = before

    def added(self, eqn: Eqn) -> None:
        """`a[i] += v`."""
        array, value, *at = map(self.atom, eqn.args)
        if isinstance(value.type, ArrayType) or set(eqn.params["spec"]) != {"i"}:
            self.refuse(eqn, "an update of a part of an array")
        self.mapping[eqn.out] = self.store(array, value, at, add=True)

    # ---------------------------------------------------------------------- nests

    def nest(self, eqn: Eqn) -> None:
        """A nest over elements, by this thread alone."""
        from gradjit.passes.kernel_nest import KernelNest, each_axis

        KernelNest(self, eqn).run(each_axis(self, eqn))

    def new_array(self, eqn: Eqn, out: Value, extents: Sequence[Atom]) -> Atom:
        """An array that an iteration makes for itself.

        Args:
            eqn: Which makes it.
            out: Its value in the program.
            extents: Of the program.
        """
        assert isinstance(out.type, ArrayType)
        inside = [self.atom(e) for e in extents]
        sizes = [e.value if isinstance(e, Const) else None for e in inside]
        known = [int(n) for n in sizes if n is not None]
        if len(known) < len(sizes) or int(np.prod(known)) > LOCAL:
            return self.big_array(eqn, out, extents)
        type_ = ArrayType(out.type.dtype, tuple(known))
        made = Value(type_, out.name)
        params: dict[str, Any] = {"dtype": out.type.dtype, "dims": type_.dims}
        self.append("empty", inside, (made,), **params)
        return made

    def big_array(self, eqn: Eqn, out: Value, extents: Sequence[Atom]) -> Atom:
        """An array that is too big for the memory of a thread."""
        self.refuse(eqn, "an array whose extents are known only when it runs")
        raise AssertionError

    def emptied(self, eqn: Eqn) -> None:
        self.mapping[eqn.out] = self.own_array(eqn, eqn.args)

    def filled(self, eqn: Eqn) -> None:
        value, *extents = eqn.args
        array = self.own_array(eqn, extents)
        number = self.atom(value)
        self.mapping[eqn.out] = self.fill(array, extents, lambda at: number)

    def own_array(self, eqn: Eqn, extents: Sequence[Atom]) -> Atom:
        """A new array whose extents are remembered."""
        self.extents[self.host.memory.root(eqn.out)] = tuple(extents)
        return self.new_array(eqn, eqn.out, extents)

    def copied_array(self, eqn: Eqn) -> None:
        """A copy of an array that has been made here."""
        extents = self.extents.get(self.host.memory.root(eqn.args[0]))
        if extents is None:
            self.refuse(eqn, "a copy of an array")
        source = self.atom(eqn.args[0])
        array = self.own_array(eqn, extents)
        self.mapping[eqn.out] = self.fill(
            array, extents, lambda at: self.load(source, at)
        )

    def fill(self, array: Atom, extents: Sequence[Atom], value: Element) -> Atom:
        """An array with a number at each place."""

        def level(k: int, at: tuple[Atom, ...], now: Atom) -> Atom:
            if k == len(extents):
                return self.store(now, value(at), at)
            (end,) = self.loop(
                (index(0), self.atom(extents[k]), index(1)),
                (now,),
                lambda i, carries: (level(k + 1, (*at, i), carries[0]),),
            )
            return end

        return level(0, (), array)

    def no_stack_of_arrays(self, eqn: Eqn) -> None:
        item = eqn.params["item"]
        if isinstance(item, ArrayType):
            self.refuse(eqn, "a loop of unknown length that saves arrays")
        out = Value(StackType(item), eqn.out.name)
        self.mapping[eqn.out] = out
        self.append(eqn.op, (), (out,), **eqn.params)

    def pushed(self, eqn: Eqn) -> None:
        stack, value = map(self.atom, eqn.args)
        assert isinstance(stack, Value)
        out = Value(stack.type, stack.name)
        code = self.host.full_code(eqn)
        self.mapping[eqn.out] = out
        self.append(eqn.op, (stack, value, self.status(), code), (out,))

    def refused(self, eqn: Eqn) -> None:
        self.refuse(eqn, _WORDS.get(eqn.op.name, f"the operation {eqn.op.name}"))

    def refuse(self, eqn: Eqn, what: str) -> NoReturn:
        raise UnsupportedError(
            f'{what} is not supported inside of a loop that target="cuda" runs with a'
            " thread for each iteration",
            eqn.loc or self.loc,
            "Take it out of the loop, write it with loops over elements, or use the"
            " CPU.",
        )

    # --------------------------------------------------------------------- launch

    def finish(self, name: str) -> Graph:
        """The kernel as a graph."""
        results = tuple(self.written.values())
        places = {p: k for k, p in enumerate(self.params)}
        mutated = {places[p]: k for k, p in enumerate(self.written)}
        block = self.b.close(results)
        return Graph(name, Block(tuple(self.params), block.eqns, results), mutated)


def carries_new(eqn: Eqn) -> bool:
    """Whether an iteration leaves an array that it has made to the next one.

    In a kernel an array that is made in a loop is in the same memory each time.
    """
    body = eqn.regions[-1]
    made = {out: e for e in body.eqns for out in e.outs}
    return any(
        is_array(result) and _home(body, made, result) in made
        for result in body.results
    )


def _home(body: Block, made: dict[Value, Eqn], array: Atom) -> Atom:
    """Where an array comes from, views and updates aside."""
    while True:
        array = origin(body, array)
        eqn = made.get(array) if isinstance(array, Value) else None
        if eqn is None or not is_view(eqn):
            return array
        array = eqn.args[0]


def _drop(kernel: Kernel, eqn: Eqn) -> None:
    """A limit of the host's memory says nothing of a stack of fixed size."""


_WORDS = {
    "contract": "a matrix product",
    "nonzero": "np.nonzero, or a mask as an index,",
    "reshape": "reshaping an array",
}
_TAKEN: dict[str, Callable[[Kernel, Eqn], None]] = {
    "check": lambda k, e: k.fail_unless(e),
    "limit": _drop,
    "map_": lambda k, e: k.nest(e),
    "add_at": lambda k, e: k.added(e),
    "empty": lambda k, e: k.emptied(e),
    "full": lambda k, e: k.filled(e),
    "stack_new": lambda k, e: k.no_stack_of_arrays(e),
    "push": lambda k, e: k.pushed(e),
    "contract": lambda k, e: k.refused(e),
    "nonzero": lambda k, e: k.refused(e),
    "copy": lambda k, e: k.copied_array(e),
    "reshape": lambda k, e: k.refused(e),
}
