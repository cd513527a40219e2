"""Printing a program as a device function: what a thread calls inside of a kernel.

One thread runs it, and nothing is allocated: arrays of known extents are the thread's
own (`cuda.local.array`). A check that fails raises, which ends the thread; Numba says
so in kernels with `debug=True`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from gradjit.codegen.device import KernelPrinter
from gradjit.codegen.emit import assembled, dtype_text, helpers
from gradjit.codegen.expr import tuple_text
from gradjit.errors import InternalError
from gradjit.ir.build import index
from gradjit.ir.graph import Atom, Block, Eqn, Value
from gradjit.ir.named import Named
from gradjit.ir.types import DType, dims


def emit_inside(
    named: Named, title: str, notes: Sequence[str] = (), fastmath: bool = False
) -> str:
    """The source of a module with one device function and what it calls.

    Args:
        named: The program.
        title: First line of the module's docstring.
        notes: More lines of it.
        fastmath: Whether NaN and infinity may be taken as absent.
    """
    options = "device=True, fastmath=True" if fastmath else "device=True"
    decorator = f"@cuda.jit({options})"
    body = InsidePrinter(named).function(decorator)
    return assembled([*helpers(named, decorator, "cuda"), body], title, notes)


class InsidePrinter(KernelPrinter):
    """Prints a device function."""

    def __init__(self, named: Named) -> None:
        super().__init__(named)
        self._statements["copy"] = self._copied

    def block(self, block: Block) -> None:
        if block is self.named.graph.block:
            for param in block.params:
                self._extents(param)
        super().block(block)

    def _extents(self, param: Value) -> None:
        """Numba's types have no extents: those that the code knows are looked at."""
        name, known = self.name(param), dims(param.type)
        tests = [f"{name}.shape[{k}] != {n}" for k, n in enumerate(known) if n]
        if tests:
            shape = ", ".join(":" if n is None else str(n) for n in known)
            with self.out.block(f"if {' or '.join(tests)}:"):
                self.out.add_text("raise ValueError(", f"{name} is not [{shape}]", ")")

    def allocation(
        self, how: str, extents: Sequence[Atom], dtype: DType, fill: str = ""
    ) -> str:
        if how != "empty":
            raise InternalError("a thread's own array is not made with values")
        shape = tuple_text([self.expr.atom(e) for e in extents])
        return f"cuda.local.array({shape}, {dtype_text(dtype)})"

    def _full(self, eqn: Eqn) -> None:
        value, *extents = eqn.args
        self.assign(eqn, self.allocation("empty", extents, eqn.out.type.dtype))
        text = self.expr.atom(value)
        self._filled(eqn, [self.expr.atom(e) for e in extents], lambda at: text)

    def _copied(self, eqn: Eqn) -> None:
        extents = [index(n or 0) for n in dims(eqn.out.type)]
        self.assign(eqn, self.allocation("empty", extents, eqn.out.type.dtype))
        base = self._base(eqn)
        counts = [self.expr.atom(e) for e in extents]
        self._filled(eqn, counts, lambda at: f"{base}[{at}]")

    def _filled(
        self, eqn: Eqn, extents: Sequence[str], element: Callable[[str], str]
    ) -> None:
        """Loops that set all elements of a new array."""
        taken = set(self.named.names.values())
        free = (f"{i}{tail}" for tail in ("", "_") for i in "ijklmnpq")
        at = [i for i in free if i not in taken][: len(extents)]
        with ExitStack() as nest:
            for i, extent in zip(at, extents, strict=True):
                nest.enter_context(self.out.block(f"for {i} in range({extent}):"))
            place = ", ".join(at)
            self.out.add(f"{self.name(eqn.out)}[{place}] = {element(place)}")
