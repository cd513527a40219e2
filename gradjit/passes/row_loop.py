"""The loop over rows that several nests share: how `rows` writes it.

What a nest leaves for later nests of the same row is a number, or a buffer of one row.
What leaves the loop is carried: arrays, and sums over the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from gradjit.ir.build import Builder, index, look, zero
from gradjit.ir.graph import Atom, Block, Const, Eqn, Value, eqn_uses, values
from gradjit.ir.op import lookup
from gradjit.ir.types import INDEX, ArrayType, ScalarType, rank
from gradjit.ops.region import Writer
from gradjit.passes.alias import is_array
from gradjit.passes.columns import columns

_COMBINE = {"sum": "add", "and": "logical_and", "or": "logical_or"}


def row_loop(
    nests: Sequence[Eqn], stop: Atom, used: set[Value], parallel: bool
) -> list[Eqn]:
    """The equations of a loop over rows, with what it fills in front of it.

    Args:
        nests: The nests and loops, in order.
        stop: How many rows there are.
        used: What is used behind them; what is not lives for a row.
        parallel: Whether threads may share the loop: they share no buffers.
    """
    loop = _Loop(nests, used, parallel)
    loop.b.open(())
    return loop.run(stop)


@dataclass(slots=True)
class _Carry:
    """An array or a number that goes from row to row."""

    init: Atom
    param: Value
    now: Atom
    out: Value


@dataclass(slots=True)
class _Inner:
    """The part of a nest inside a row: its destinations and writers."""

    dests: list[Atom] = field(default_factory=list[Atom])
    writers: list[Writer] = field(default_factory=list[Writer])
    results: list[Atom] = field(default_factory=list[Atom])
    outs: list[Value] = field(default_factory=list[Value])
    # What follows from each result: it notes where the new version is.
    then: list[Callable[[Value], None]] = field(
        default_factory=list[Callable[[Value], None]]
    )

    def add(
        self, writer: Writer, column: Sequence[Atom], then: Callable[[Value], None]
    ) -> None:
        """A writer with what it takes; `then` is told the result."""
        self.writers.append(writer)
        self.results += column
        self.then.append(then)


class _Loop:
    """Builds the loop.

    Attributes:
        homes: For each array of the program that the loop writes, what carries it.
        rows: For each array that lives for a row, its row: a number or a buffer.
    """

    def __init__(self, nests: Sequence[Eqn], used: set[Value], parallel: bool) -> None:
        self.nests = nests
        # What is written into is an array, however briefly; so is what a loop reads.
        self.used = set(used)
        for eqn in nests:
            whole = eqn.op.name == "for_"
            self.used.update(
                eqn_uses(eqn) if whole else values(eqn.args[eqn.params["ndim"] :])
            )
        self.parallel = parallel
        self.b = Builder(checks=False)
        self.row = Value(INDEX, nests[0].regions[0].params[0].name)
        self.carries: list[_Carry] = []
        self.homes: dict[Value, _Carry] = {}
        self.rows: dict[Value, Atom] = {}
        self.setup: list[Eqn] = []

    def run(self, stop: Atom) -> list[Eqn]:
        b, first = self.b, self.nests[0]
        b.open((self.row,))
        b.facts.index_range(self.row, index(0), stop, index(1))
        self._enter()
        for eqn in self.nests:
            with b.at(eqn.loc):
                if eqn.op.name == "for_":
                    self._loop(eqn)
                else:
                    self._nest(eqn)
        body = b.close([c.now for c in self.carries])
        body = Block(
            (self.row, *(c.param for c in self.carries)), body.eqns, body.results
        )
        params: dict[str, object] = {"exits": False}
        if self.parallel and all(e.params.get("parallel") for e in self.nests):
            params["parallel"] = "derived"
        inits = tuple(c.init for c in self.carries)
        args = (index(0), stop, index(1), *inits)
        outs = tuple(c.out for c in self.carries)
        loop = Eqn(lookup("for_"), args, outs, params, (body,), first.loc)
        return [*self.setup, loop]

    def _enter(self) -> None:
        """Carry the arrays from outside that the nests write into."""
        made = {o for e in self.nests for o in e.outs}
        for eqn in self.nests:
            for dest, out in _written(eqn):
                if dest not in made and dest not in self.homes:
                    self.homes[dest] = self._carry(dest, out)

    # ------------------------------------------------------------------- loops

    def _loop(self, eqn: Eqn) -> None:
        """An iteration of a loop of the program."""
        (body,) = eqn.regions
        mapping: dict[Value, Atom] = {v: home.now for v, home in self.homes.items()}
        mapping[body.params[0]] = self.row
        homes: list[_Carry] = []
        for init, param, out in zip(
            eqn.args[3:], body.params[1:], eqn.outs, strict=True
        ):
            home = self.homes.get(init) if isinstance(init, Value) else None
            home = home or self._carry(init, out)
            homes.append(home)
            mapping[param] = home.now
        for inner in body.eqns:
            self.b.copy(inner, mapping)
        for home, out, result in zip(homes, eqn.outs, body.results, strict=True):
            home.now = look(result, mapping)
            home.out = out
            if is_array(out):
                self.homes[out] = home

    # ------------------------------------------------------------------- nests

    def _nest(self, eqn: Eqn) -> None:
        """The part of a nest inside a row."""
        ndim: int = eqn.params["ndim"]
        (body,) = eqn.regions
        axes = [Value(p.type, p.name) for p in body.params[1:]]
        mapping: dict[Value, Atom] = dict(
            zip(body.params, (self.row, *axes), strict=True)
        )
        if axes:
            self._row_loads(body, mapping)
            self.b.open(axes)
        for inner in body.eqns:
            if inner.outs[0] not in mapping:
                self._copy(inner, mapping)
        nest = _Inner()
        for k, column in enumerate(columns(eqn)):
            atoms = [mapping.get(a, a) if isinstance(a, Value) else a for a in column]
            self._writer(nest, eqn, k, atoms, axes)
        if not axes:
            return
        region = self.b.close(nest.results)
        params = {
            "ndim": ndim - 1,
            "writers": tuple(nest.writers),
            "parallel": eqn.params["parallel"],
        }
        args = (*eqn.args[1:ndim], *nest.dests)
        op = lookup("map_")
        types = op.infer([a.type for a in args], {**params, "regions": (region,)})
        outs = tuple(Value(t, o.name) for t, o in zip(types, eqn.outs, strict=True))
        self.b.append(Eqn(op, args, outs, params, (region,), eqn.loc))
        for out, then in zip(outs, nest.then, strict=True):
            then(out)

    def _row_loads(self, body: Block, mapping: dict[Value, Atom]) -> None:
        """Numbers of the row, loaded in front of the loops over its elements."""
        for inner in body.eqns:
            if inner.op.name == "index" and inner.args[1:] == body.params[:1]:
                self._copy(inner, mapping)

    def _copy(self, eqn: Eqn, mapping: dict[Value, Atom]) -> None:
        """A copy of a scalar equation; loads are from where the array is now."""
        array = eqn.args[0] if eqn.args else None
        if eqn.op.name == "index" and isinstance(array, Value):
            at = [
                mapping.get(a, a) if isinstance(a, Value) else a for a in eqn.args[1:]
            ]
            mapping[eqn.out] = self._loaded(array, at, eqn)
        else:
            self.b.copy(eqn, mapping)

    def _loaded(self, array: Value, at: list[Atom], eqn: Eqn) -> Atom:
        row = self.rows.get(array)
        if row is not None:
            at = at[1:]
            if not at:
                return row
        else:
            home = self.homes.get(array)
            row = array if home is None else home.now
        with self.b.at(eqn.loc):
            return self.b.emit1(
                "index",
                row,
                *at,
                name=eqn.out.name,
                **{**eqn.params, "spec": "i" * len(at)},
            )

    # ----------------------------------------------------------------- writers

    def _writer(
        self, nest: _Inner, eqn: Eqn, k: int, column: list[Atom], axes: list[Value]
    ) -> None:
        """What a writer of a nest does in a row."""
        writer: Writer = eqn.params["writers"][k]
        out = eqn.outs[k]
        if writer.dest >= 0:
            ndim: int = eqn.params["ndim"]
            dest = eqn.args[ndim + writer.dest]
            assert isinstance(dest, Value)
            home = self.homes[out] = self.homes[dest]
            home.out = out
            self._store(nest, home, writer.kind, column, axes)
        elif 0 in writer.axes:
            self._total(nest, eqn, writer, column[0], out, axes)
        elif writer.kind == "new" and out in self.used:
            home = self._array(eqn, out, eqn.args[: rank(out.type)])
            self._store(nest, home, "store", [column[0], self.row, *axes], axes)
        else:
            self._row(nest, eqn, writer, column[0], out, axes)

    def _carry(self, init: Atom, out: Value) -> _Carry:
        param = Value(init.type, out.name)
        self.carries.append(_Carry(init, param, param, out))
        return self.carries[-1]

    def _array(self, eqn: Eqn, out: Value, extents: Sequence[Atom]) -> _Carry:
        """An array that the loop fills."""
        home = self.homes[out] = self._carry(
            self._empty(out.type, extents, out.name), out
        )
        return home

    def _empty(self, type_: object, extents: Sequence[Atom], name: str) -> Value:
        """Memory that is taken in front of the loop."""
        assert isinstance(type_, ArrayType)
        out = Value(type_, name)
        params = {"dtype": type_.dtype, "dims": type_.dims}
        self.setup.append(Eqn(lookup("empty"), tuple(extents), (out,), params))
        return out

    def _store(
        self,
        nest: _Inner,
        home: _Carry,
        kind: str,
        column: list[Atom],
        axes: list[Value],
    ) -> None:
        """Write into what the loop carries, in the row or in a nest inside of it."""
        value, *at = column
        if not axes:
            op = "add_at" if kind == "add" else "store"
            spec = "i" * len(at)
            home.now = self.b.emit1(
                op, home.now, value, *at, spec=spec, checked=False, name=home.out.name
            )
            return
        self._into(nest, home, Writer("add" if kind == "add" else "store"), column)

    def _into(
        self, nest: _Inner, home: _Carry, writer: Writer, column: Sequence[Atom]
    ) -> None:
        """A writer of a nest inside a row, into a carried array."""
        if home.now not in nest.dests:
            nest.dests.append(home.now)
        place = nest.dests.index(home.now)

        def then(out: Value) -> None:
            home.now = out

        nest.add(Writer(writer.kind, place), column, then)

    def _row(
        self,
        nest: _Inner,
        eqn: Eqn,
        writer: Writer,
        value: Atom,
        out: Value,
        axes: list[Value],
    ) -> None:
        """What a nest leaves of a row: a number or a buffer."""
        if not axes:
            self._keep(out, value)
            return
        type_ = writer.type
        assert isinstance(type_, ArrayType)
        rest = type_.dims[1:]
        if writer.kind == "new" and not self.parallel:
            made = ArrayType(type_.dtype, rest)
            extents = eqn.args[1 : eqn.params["ndim"]]
            carry = self._carry(
                self._empty(made, extents, out.name), Value(made, out.name)
            )

            def then(new: Value) -> None:
                carry.now = new
                self.rows[out] = new

            nest.dests.append(carry.now)
            nest.add(Writer("store", len(nest.dests) - 1), [value, *axes], then)
            return
        inner = ArrayType(type_.dtype, rest) if rest else ScalarType(type_.dtype)
        shifted = tuple(k - 1 for k in writer.axes)
        nest.add(
            Writer(writer.kind, -1, shifted, inner),
            [value],
            lambda new: self._keep(out, new, eqn),
        )

    def _keep(self, out: Value, row: Atom, eqn: Eqn | None = None) -> None:
        """Note the row of an array, and store it if the array leaves the loop."""
        self.rows[out] = row
        if out not in self.used:
            return
        assert isinstance(out.type, ArrayType)
        source = eqn or self._maker(out)
        writer: Writer = source.params["writers"][source.outs.index(out)]
        ndim: int = source.params["ndim"]
        extents = [e for k, e in enumerate(source.args[:ndim]) if k not in writer.axes]
        home = self._array(source, out, extents)
        if not is_array(row):
            self._store(_Inner(), home, "store", [row, self.row], [])
            return
        self._copied(home, row, extents[1:])

    def _copied(self, home: _Carry, row: Atom, extents: Sequence[Atom]) -> None:
        """Store the elements of a row into an array."""
        axes = [Value(INDEX, name) for name, _ in zip("jklmn", extents, strict=False)]
        self.b.open(axes)
        spec = "i" * len(axes)
        value = self.b.emit1("index", row, *axes, spec=spec, dims=(), checked=False)
        region = self.b.close([value, self.row, *axes])
        writers = (Writer("store", 0),)
        params = {"ndim": len(axes), "writers": writers, "parallel": True}
        out = Value(home.now.type, home.out.name)
        args = (*extents, home.now)
        self.b.append(Eqn(lookup("map_"), args, (out,), params, (region,)))
        home.now = out

    def _maker(self, out: Value) -> Eqn:
        return next(e for e in self.nests if out in e.outs)

    def _total(
        self,
        nest: _Inner,
        eqn: Eqn,
        writer: Writer,
        value: Atom,
        out: Value,
        axes: list[Value],
    ) -> None:
        """A reduction over the rows: what is carried takes the part of the row."""
        if isinstance(out.type, ArrayType):
            extents = eqn.args[1 : eqn.params["ndim"]]
            home = self._carry(self._zeros(out, extents), out)
            self._into(nest, home, Writer("add"), [value, *axes])
            return
        start = _neutral(writer.kind, out)
        home = self._carry(start, out)

        def then(part: Atom) -> None:
            home.now = self.b.emit1(_COMBINE[writer.kind], home.now, part)

        if axes:
            shifted = tuple(k - 1 for k in writer.axes if k)
            nest.add(Writer(writer.kind, -1, shifted, writer.type), [value], then)
        else:
            then(_typed(self.b, value, out))

    def _zeros(self, out: Value, extents: Sequence[Atom]) -> Value:
        assert isinstance(out.type, ArrayType)
        made = Value(out.type, out.name)
        params = {"dtype": out.type.dtype, "dims": out.type.dims}
        args = (zero(out.type), *extents)
        self.setup.append(Eqn(lookup("full"), args, (made,), params))
        return made


def _written(eqn: Eqn) -> Iterator[tuple[Value, Value]]:
    """The arrays that a nest or a loop writes into, and its results."""
    if eqn.op.name == "for_":
        pairs = zip(eqn.args[3:], eqn.outs, strict=True)
        yield from ((a, o) for a, o in pairs if isinstance(a, Value) and is_array(a))
        return
    dests = eqn.args[eqn.params["ndim"] :]
    writers: Sequence[Writer] = eqn.params["writers"]
    for writer, out in zip(writers, eqn.outs, strict=True):
        dest = dests[writer.dest] if writer.dest >= 0 else None
        if isinstance(dest, Value):
            yield dest, out


def _neutral(kind: str, out: Value) -> Const:
    """What a reduction to a number starts from."""
    type_ = ScalarType(out.type.dtype)
    return zero(type_) if kind == "sum" else Const(kind == "and", type_)


def _typed(b: Builder, value: Atom, out: Value) -> Atom:
    """A term at the dtype of its sum: a sum of booleans counts."""
    if value.type.dtype == out.type.dtype:
        return value
    return b.emit1("cast", value, dtype=out.type.dtype, weak=False)
