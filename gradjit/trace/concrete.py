"""Where Python itself needs a number.

A list index, `[None] * k` or the condition of a comprehension needs a Python number.
Its origin is followed back through the graph: to integer arguments, which are pinned
to their values; to extents of arguments, whose shapes are pinned; to loops, which are
unrolled. The trace is then repeated. A number that depends on floats or on elements of
arrays cannot be had, and is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from gradjit.errors import Loc, UnsupportedError
from gradjit.ir.graph import Atom, Const, Eqn, Value

if TYPE_CHECKING:
    from gradjit.trace.builder import TraceBuilder


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a parameter comes from: an input of the function, or a loop."""

    kind: Literal["input", "loop"]
    input: int = -1
    site: Loc | None = None


@dataclass(slots=True)
class Hints:
    """What attempts to trace have found.

    Attributes:
        pins: Inputs whose value or shape is part of the program, with the reason.
        unroll: Loops that have to be unrolled, with the reason.
        carries: Types of the carries of loops, by the path to the loop.
    """

    pins: dict[int, str] = field(default_factory=dict[int, str])
    unroll: dict[Loc, str] = field(default_factory=dict[Loc, str])
    carries: dict[Any, Any] = field(default_factory=dict[Any, Any])


class Restart(BaseException):
    """The trace has to be repeated, with the hints that have been added.

    Not an Exception: the user's `except Exception` must not catch it.
    """


_NEEDS = {
    "int": "a Python int",
    "bool": "a Python bool",
    "float": "a Python float",
}


def number(builder: TraceBuilder, sym: Any, kind: str) -> Any:
    """The Python number of a symbol, or a restart that makes it one, or a refusal."""
    atom = sym.atom
    if isinstance(atom, Const):
        return {"int": int, "bool": bool, "float": float}[kind](atom.value)
    if not _scalar(atom):
        raise UnsupportedError(
            f"an array of type {atom.type} is used as {_NEEDS[kind]}",
            builder.loc,
            "Reduce it to a number first: with any, all, sum, or by an index.",
        )
    if kind == "int" and atom.type.dtype.kind == "f":
        raise _refusal(builder, kind, "it is a float")
    require(builder, atom, kind)
    raise Restart


def _scalar(atom: Atom) -> bool:
    return not getattr(atom.type, "dims", ())


def require(builder: TraceBuilder, atom: Atom, kind: str) -> None:
    """Add the hints that make an atom a Python number, or refuse."""
    hints = builder.hints
    before = len(hints.pins) + len(hints.unroll)
    reason = str(builder.loc) if builder.loc else ""
    for origin in _origins(builder, atom, kind):
        if origin.kind == "input":
            hints.pins.setdefault(origin.input, reason)
        elif origin.site is not None:
            hints.unroll.setdefault(origin.site, reason)
    if len(hints.pins) + len(hints.unroll) == before:
        raise _refusal(builder, kind, "its value is only known at run time")


def unroll(builder: TraceBuilder, site: Loc, what: str) -> BaseException:
    """A restart with a loop unrolled, or the refusal if that has been tried."""
    if site in builder.hints.unroll:
        return UnsupportedError(
            f"{what} in a loop that cannot be unrolled",
            builder.loc,
            "Make an array of the final length before the loop and store into it.",
        )
    builder.hints.unroll[site] = str(builder.loc)
    return Restart()


def _origins(builder: TraceBuilder, atom: Atom, kind: str) -> list[Origin]:
    out: list[Origin] = []
    seen: set[Value] = set()

    def visit(a: Atom) -> None:
        if isinstance(a, Const) or a in seen:
            return
        seen.add(a)
        if a in builder.aliases:
            visit(builder.aliases[a])
            return
        origin = builder.origins.get(a)
        if origin is not None:
            if origin.kind == "input" and a.type.dtype.kind == "f":
                raise _refusal(builder, kind, f"it depends on the float {a.name!r}")
            out.append(origin)
            return
        eqn = builder.facts.defs.get(a)
        if eqn is None:
            raise _refusal(builder, kind, "its value is only known at run time")
        _visit_eqn(eqn, a)

    def _visit_eqn(eqn: Eqn, out_: Value) -> None:
        name = eqn.op.name
        if name == "dim":
            base = eqn.args[0]
            while isinstance(base, Value) and base in builder.aliases:
                base = builder.aliases[base]
            origin = builder.origins.get(base) if isinstance(base, Value) else None
            if origin is None or origin.kind != "input":
                raise _refusal(builder, kind, "it is the extent of a computed array")
            out.append(origin)
        elif name == "if_":
            visit(eqn.args[0])
            k = eqn.outs.index(out_)
            for region in eqn.regions:
                visit(region.results[k])
        elif name in ("for_", "while_"):
            out.append(Origin("loop", site=eqn.loc))
        elif eqn.op.kind == "elementwise":
            for arg in eqn.args:
                visit(arg)
        else:
            raise _refusal(builder, kind, "it depends on the elements of an array")

    visit(atom)
    return out


def _refusal(builder: TraceBuilder, kind: str, why: str) -> UnsupportedError:
    hint = {
        "int": "Use it in arithmetic or as an index of an array; a Python list needs "
        "an int that is known while tracing.",
        "bool": "Use an if statement, np.where or a mask: comprehension conditions, "
        "`in` and sorting need a bool that is known while tracing.",
        "float": "Use the value as it is, or float(x) from the builtins.",
    }[kind]
    return UnsupportedError(
        f"a traced value is used as {_NEEDS[kind]}, but {why}", builder.loc, hint
    )
