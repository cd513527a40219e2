"""Printing a program for a GPU: its kernels, and the host's function around them.

The module is imported like any other. Its kernels are compiled by Numba's CUDA target
when they are first launched; the host's function is plain Python over handles of arrays
of the device, and works with `gradjit.cuda.device`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from gradjit.codegen.emit import (
    Printer,
    assembled,
    dtype_text,
    exception,
    helpers,
    located,
)
from gradjit.codegen.expr import ATOM, Dialect, Text, Writer, tuple_text
from gradjit.codegen.lines import Lines
from gradjit.ir.graph import Const, Eqn
from gradjit.ir.named import Named
from gradjit.ir.types import BOOL

# How many values a thread keeps for the way back through a loop of unknown length.
STACK = 120

_POSITIONS: Mapping[str, str] = {
    "item": "cuda.grid(1)",
    "items": "cuda.gridsize(1)",
    "x": "cuda.grid(2)[0]",
    "width": "cuda.gridsize(2)[0]",
    "y": "cuda.grid(2)[1]",
    "height": "cuda.gridsize(2)[1]",
    "block": "cuda.blockIdx.x",
    "blocks": "cuda.gridDim.x",
    "thread": "cuda.threadIdx.x",
    "threads": "cuda.blockDim.x",
}


def emit_device(
    host: Named,
    kernels: Sequence[Named],
    checks: Sequence[Eqn],
    title: str = "",
    notes: Sequence[str] = (),
    fastmath: bool = False,
) -> str:
    """The source of a module with kernels and the function that launches them.

    Args:
        host: The host's function.
        kernels: What it launches.
        checks: What kernels find wrong, by its code.
        title: First line of the module's docstring.
        notes: More lines of it.
        fastmath: Whether kernels may take NaN and infinity as absent.
    """
    jit = "@cuda.jit(fastmath=True)" if fastmath else "@cuda.jit"
    inside = "@cuda.jit(device=True)"
    found = dict.fromkeys(h for k in kernels for h in helpers(k, inside, "cuda"))
    parts = [_errors(checks)] if checks else []
    parts += found
    parts += [KernelPrinter(k).function(jit) for k in kernels]
    parts.append(HostPrinter(host).function())
    return assembled(parts, title, notes)


def _errors(checks: Sequence[Eqn]) -> str:
    """The table of what kernels may find wrong."""
    out = Lines()
    with ExitStack() as nested:
        for head in ("ERRORS = dev.register(", "("):
            out.add(head)
            nested.enter_context(out.indented())
        for eqn in checks:
            kind, text = _message(eqn)
            out.add("(")
            with out.indented():
                out.add(f'"{kind}",')
                out.add_text("(", text, "),")
            out.add("),")
    out.add("    )")
    out.add(")")
    return out.text().rstrip()


def _message(eqn: Eqn) -> tuple[str, str]:
    if eqn.op.name == "push":
        text = (
            f"a loop of unknown length ran more than {STACK} times, and saves that many"
            " values on a device"
        )
        return "MemoryError", located(text, eqn.loc)
    return exception(eqn), located(eqn.params["message"], eqn.loc)


class KernelWriter(Writer):
    """Expressions of kernels."""

    def __init__(self, named: Named) -> None:
        super().__init__(named, runtime=False, dialect="cuda")
        self._special["position"] = lambda e: Text(_POSITIONS[e.params["what"]])


class KernelPrinter(Printer):
    """Prints a kernel."""

    def __init__(self, named: Named) -> None:
        super().__init__(named, runtime=False, dialect="cuda")
        more: dict[str, Callable[[Eqn], None]] = {
            "add_at": self._added,
            "empty": self._local,
            "barrier": lambda e: self.out.add("cuda.syncthreads()"),
            "block_reduce": lambda e: self.assign(e, self._collective("block", e)),
            "grid_reduce": lambda e: self.out.add(self._collective("grid", e)),
            "fail": self._fail,
            "halt": self._halt,
            "stack_new": self._stack,
            "push": self._pushed,
            "pop": self._popped,
        }
        self._statements.update(more)

    def writer(self, named: Named, runtime: bool, dialect: Dialect) -> Writer:
        return KernelWriter(named)

    def _added(self, eqn: Eqn) -> None:
        if not eqn.params.get("atomic"):
            self._store(eqn, "+=")
            return
        array, value, *at = eqn.args
        index = tuple_text([self.expr.atom(i) for i in at])
        text = f"{self.expr.atom(array, ATOM)}, {index}, {self.expr.atom(value)}"
        self.out.add(f"cuda.atomic.add({text})")

    def _local(self, eqn: Eqn) -> None:
        shape = tuple_text([self.expr.atom(e) for e in eqn.args])
        dtype = dtype_text(eqn.out.type.dtype)
        self.assign(eqn, f"cuda.local.array({shape}, {dtype})")

    def _collective(self, scope: str, eqn: Eqn) -> str:
        how: str = eqn.params["how"]
        name = f"co.{scope}_{how}"
        dtype = eqn.args[0].type.dtype
        if dtype != BOOL:
            name += f"_{dtype.name}"
        return f"{name}({', '.join(map(self.expr.atom, eqn.args))})"

    def _fail(self, eqn: Eqn) -> None:
        test, status, code = eqn.args
        with self.out.block(f"if {self.expr.negated(test).text}:"):
            self._leave(self.expr.atom(status), code)

    def _leave(self, status: str, code: object) -> None:
        assert isinstance(code, Const)
        self.out.add(f"{status}[0] = ERRORS + {code.value}")
        self.out.add("return")

    def _halt(self, eqn: Eqn) -> None:
        with self.out.block(f"if {self.expr.atom(eqn.args[0])}[0] != 0:"):
            self.out.add("return")

    def _stack(self, eqn: Eqn) -> None:
        name = self.name(eqn.out)
        dtype = eqn.params["item"].dtype
        kind = "np.int8" if dtype == BOOL else dtype_text(dtype)
        self.out.add(f"{name} = cuda.local.array({STACK + 1}, {kind})")
        self.out.add(f"{name}[0] = 0")

    def _pushed(self, eqn: Eqn) -> None:
        stack, value, status, code = eqn.args
        text = f"co.push({self.expr.atom(stack)}, {self.expr.atom(value)})"
        with self.out.block(f"if not {text}:"):
            self._leave(self.expr.atom(status), code)

    def _popped(self, eqn: Eqn) -> None:
        call = f"co.pop({self.expr.atom(eqn.args[0])})"
        value = eqn.outs[1]
        call += " != 0" if value.type.dtype == BOOL else ""
        self.out.add(f"{self.name(value)} = {call}" if value in self.read else call)


class HostWriter(Writer):
    """Expressions of the host's function."""

    products = "dev"

    def __init__(self, named: Named) -> None:
        super().__init__(named)
        self.arrays = "dev"

    def copied(self, array: str) -> str:
        return f"dev.copy({array})"

    def turned(self, array: str) -> str:
        return f"dev.transpose({array})"

    def _transpose(self, eqn: Eqn) -> Text:
        perm = eqn.params["perm"]
        array = self.atom(eqn.args[0])
        if perm == tuple(range(len(perm)))[::-1]:
            return Text(f"dev.transpose({array})")
        return Text(f"dev.transpose({array}, {perm})")

    def _reshape(self, eqn: Eqn) -> Text:
        extents = tuple_text([self.atom(a) for a in eqn.args[1:]])
        return Text(f"dev.reshape({self.atom(eqn.args[0])}, {extents})")


class HostPrinter(Printer):
    """Prints the host's function."""

    def __init__(self, named: Named) -> None:
        super().__init__(named)
        more: dict[str, Callable[[Eqn], None]] = {
            "launch": self._launch,
            "item": self._item,
            "scratch": lambda e: self.assign(e, f"dev.{e.params['what']}()"),
            "geometry": self._geometry,
        }
        self._statements.update(more)

    def writer(self, named: Named, runtime: bool, dialect: Dialect) -> Writer:
        return HostWriter(named)

    def _launch(self, eqn: Eqn) -> None:
        count: int = eqn.params["sizes"]
        texts = list(map(self.expr.atom, eqn.args))
        config = f"dev.{eqn.params['config']}({', '.join(texts[:count])})"
        head = f"{eqn.params['kernel']}[{config}]("
        self.out.add_list(head, texts[count:], ")")

    def _item(self, eqn: Eqn) -> None:
        self.assign(eqn, f"dev.item({self.expr.atom(eqn.args[0])})")

    def _geometry(self, eqn: Eqn) -> None:
        sizes = ", ".join(map(self.expr.atom, eqn.args))
        self.assign(eqn, f"dev.{eqn.params['what']}({sizes})")

    def _stack_new(self, eqn: Eqn) -> None:
        self.out.add(f"{self.name(eqn.out)} = []")

    def _nonzero(self, eqn: Eqn) -> None:
        call = f"dev.nonzero({self.expr.atom(eqn.args[0])})"
        names = [self.name(o) if o in self.read else "_" for o in eqn.outs]
        if len(names) == 1:
            call += "[0]"
        self.out.add(f"{', '.join(names)} = {call}")
