"""A `map_` as a nest of loops, in the order in which arrays lie in memory.

A reduction over the last axes has a scalar accumulator, started outside of the loops
over those axes; one over other axes is an array that is filled first and updated in
the innermost loop. NaN is the largest and the smallest element, as in NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from gradjit.codegen.expr import lowest, number
from gradjit.ir.graph import Atom, Const, Eqn, Value
from gradjit.ir.types import BOOL, ArrayType, ScalarType, rank, scalar_of
from gradjit.ops.region import Writer

if TYPE_CHECKING:
    from gradjit.codegen.emit import Printer

_SIGN = {"sum": "+=", "prod": "*="}
_COMPARE = {"max": ">", "argmax": ">", "min": "<", "argmin": "<"}
_CALLS = {"maximum": "vm.maximum", "minimum": "vm.minimum"}
_UPDATES = ("new", "store", "add")


class Row(NamedTuple):
    """A writer with the value that it takes and where the result goes."""

    writer: Writer
    value: Atom
    at: tuple[Atom, ...]
    out: Value


class Nest:
    """Prints one `map_`."""

    def __init__(self, printer: Printer, eqn: Eqn) -> None:
        self.printer = printer
        self.eqn = eqn
        self.ndim: int = eqn.params["ndim"]
        self.extents = eqn.args[: self.ndim]
        self.params = eqn.regions[0].params
        self.rows = _rows(eqn)

    def run(self) -> None:
        """Print allocations, loops and what follows them."""
        for row in self.rows:
            self._prepare(row)
        self._loops(0)

    def _prepare(self, row: Row) -> None:
        """Allocate or start what stands before the loops."""
        if row.writer.kind in ("store", "add"):
            return
        name = self.printer.name(row.out)
        level = self._level(row)
        dtype = row.out.type.dtype
        kept = [e for k, e in enumerate(self.extents) if k not in row.writer.axes]
        if row.writer.kind == "new" or (level is not None and kept):
            self.printer.out.add(
                f"{name} = {self.printer.allocation('empty', kept, dtype)}"
            )
        elif level is None:
            self._prepare_array(row, name, kept)
        if level == 0 and not kept:
            self._start(row)

    def _prepare_array(self, row: Row, name: str, kept: Sequence[Atom]) -> None:
        """A reduction over leading axes: its array, filled."""
        add = self.printer.out.add
        if row.writer.kind in ("argmax", "argmin"):
            add(
                f"{name} = {self.printer.allocation('zeros', kept, row.out.type.dtype)}"
            )
            name = self.printer.named.scratch[row.out]
        start = _start_text(row)
        element = _element(row)
        if start in ("0.0", "0", "False", "np.float32(0.0)"):
            add(f"{name} = {self.printer.allocation('zeros', kept, element.dtype)}")
            return
        text = self.printer.allocation("full", kept, element.dtype, start)
        add(f"{name} = {text}")

    def _loops(self, axis: int) -> None:
        if axis == self.ndim:
            self.printer.block(self.eqn.regions[0])
            for row in self.rows:
                self._write(row)
            return
        inner = [r for r in self.rows if axis > 0 and self._level(r) == axis]
        for row in inner:
            self._start(row)
        extent = self.printer.expr.atom(self.extents[axis])
        head = f"for {self.printer.name(self.params[axis])} in range({extent}):"
        with self.printer.out.block(head):
            self._loops(axis + 1)
        for row in inner:
            self._finish(row)

    def _level(self, row: Row) -> int | None:
        """The first loop of a reduction over the last axes; None for other writers."""
        if row.writer.kind in _UPDATES:
            return None
        if self.ndim and not row.writer.axes:
            return None  # a sum over an axis of extent one, which has no loop
        first = self.ndim - len(row.writer.axes)
        last = tuple(range(first, self.ndim))
        return first if tuple(sorted(row.writer.axes)) == last else None

    def _start(self, row: Row) -> None:
        """Start a scalar accumulator."""
        add = self.printer.out.add
        if row.writer.kind in ("argmax", "argmin"):
            add(f"{self._place(row)} = 0")
            add(f"{self.printer.named.scratch[row.out]} = {_start_text(row)}")
        else:
            add(f"{self._accumulator(row)} = {_start_text(row)}")

    def _finish(self, row: Row) -> None:
        if row.writer.kind not in ("argmax", "argmin"):
            self.printer.out.add(f"{self._place(row)} = {self._accumulator(row)}")

    def _accumulator(self, row: Row) -> str:
        """Where a reduction gathers: a scalar, or an element of the result."""
        level = self._level(row)
        if level is None or level == 0:
            return self._place(row)
        return self.printer.named.scratch[row.out]

    def _place(self, row: Row, name: str = "") -> str:
        """The result, or its element at the loops that are not reduced."""
        name = name or self.printer.name(row.out)
        kept = [
            self.printer.name(p)
            for k, p in enumerate(self.params)
            if k not in row.writer.axes
        ]
        return f"{name}[{', '.join(kept)}]" if kept else name

    def _write(self, row: Row) -> None:
        kind = row.writer.kind
        printer = self.printer
        if kind == "new":
            printer.write(self._place(row), row.value)
        elif kind in ("store", "add"):
            inside = ", ".join(printer.expr.atom(i) for i in row.at)
            target = f"{printer.name(row.out)}[{inside}]"
            printer.write(target, row.value, "+=" if kind == "add" else "=")
        elif kind in _SIGN:
            target, sign = self._accumulator(row), _SIGN[kind]
            printer.add_to(target, sign, row.value)
        elif kind in ("and", "or"):
            self._write_truth(row)
        elif kind in _CALLS:
            best = self._accumulator(row)
            value = printer.expr.atom(row.value)
            printer.out.add(f"{best} = {_CALLS[kind]}({best}, {value})")
        else:
            self._write_extreme(row)

    def _write_truth(self, row: Row) -> None:
        expr = self.printer.expr
        holds = row.writer.kind == "or"
        test = expr.atom(row.value) if holds else expr.negated(row.value).text
        with self.printer.out.block(f"if {test}:"):
            self.printer.out.add(f"{self._accumulator(row)} = {holds}")

    def _write_extreme(self, row: Row) -> None:
        """Keep a new largest or smallest element; once NaN, it stays."""
        value = self.printer.expr.atom(row.value)
        searches = row.writer.kind.startswith("arg")
        best = self._best(row) if searches else self._accumulator(row)
        test = f"{value} {_COMPARE[row.writer.kind]} {best}"
        if row.value.type.dtype.kind == "f":
            nan = f"{value} != {value}"
            test += f" or ({nan} and {best} == {best})" if searches else f" or {nan}"
        with self.printer.out.block(f"if {test}:"):
            self.printer.out.add(f"{best} = {value}")
            if searches:
                (axis,) = row.writer.axes
                index = self.printer.name(self.params[axis])
                self.printer.out.add(f"{self._place(row)} = {index}")

    def _best(self, row: Row) -> str:
        name = self.printer.named.scratch[row.out]
        return self._place(row, name) if self._level(row) is None else name


def print_map(printer: Printer, eqn: Eqn) -> None:
    """The loops of a `map_`."""
    Nest(printer, eqn).run()


def _rows(eqn: Eqn) -> list[Row]:
    """The writers with their columns of the body's results."""
    results = eqn.regions[0].results
    dests = eqn.args[eqn.params["ndim"] :]
    rows: list[Row] = []
    at = 0
    writers: tuple[Writer, ...] = eqn.params["writers"]
    for writer, out in zip(writers, eqn.outs, strict=True):
        width = rank(dests[writer.dest].type) if writer.kind in ("store", "add") else 0
        rows.append(Row(writer, results[at], results[at + 1 : at + 1 + width], out))
        at += 1 + width
    return rows


def _element(row: Row) -> ScalarType:
    """The type that a reduction computes in."""
    if row.writer.kind in ("argmax", "argmin"):
        return scalar_of(row.value.type)
    type_ = row.out.type
    return ScalarType(type_.dtype) if isinstance(type_, ArrayType) else scalar_of(type_)


def _start_text(row: Row) -> str:
    kind, element = row.writer.kind, _element(row)
    if kind in _CALLS:
        return lowest(element.dtype, -1 if kind == "maximum" else 1).text
    if kind in _COMPARE:
        return lowest(element.dtype, -1 if _COMPARE[kind] == ">" else 1).text
    if kind in ("and", "or"):
        return number(Const(kind == "and", ScalarType(BOOL))).text
    return number(Const(0 if kind == "sum" else 1, element)).text
