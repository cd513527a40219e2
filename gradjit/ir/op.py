"""What an op is: one record, with everything that gradjit knows about it.

The records themselves stand in `gradjit/ops`. Region ops (`for_`, `while_`, `if_`,
`map_`) are records too; what the transforms do with their regions is in the transforms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from gradjit.ir.types import Type

Params = Mapping[str, Any]
Kind = Literal["elementwise", "array", "reduce", "stack", "region", "effect", "device"]

# infer(types of the arguments, params) -> types of the results
Infer = Callable[[Sequence[Type], Params], tuple[Type, ...]]
# extents(argument atoms, params, extent(atom, axis)) -> one int atom per axis of out
Extents = Callable[[Sequence[Any], Params, Callable[[Any, int], Any]], Sequence[Any]]
# partial(out, *args) -> the partial derivative, or None where it is zero
Partial = Callable[..., Any]
# vjp(g, out, args, params) -> one contribution per argument (None: no derivative)
Vjp = Callable[[Any, Any, Sequence[Any], Params], Sequence[Any]]
# jvp(tangents, out, args, params) -> tangent of out, or None
Jvp = Callable[[Sequence[Any], Any, Sequence[Any], Params], Any]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Op:
    """One op.

    Exactly one of these says how it is differentiated: `partials` (elementwise: one
    function per argument, serves vjp and jvp), `vjp` with `linear` (the op is jointly
    linear in the arguments at these positions, so its jvp is itself), `vjp` with `jvp`,
    or `why_not` (a clause that says why there is no derivative; with `flat` the
    derivative is zero almost everywhere and nothing is refused). With `partials` there
    may be a `vjp` too, where the cotangents share work.

    Attributes:
        name: Unique name, also in printed graphs.
        kind: How transforms treat it.
        doc: One line.
        infer: Type rule.
        evaluate: Reference meaning on NumPy values, `evaluate(*args, **params)`.
        extents: Shape rule; not needed for elementwise ops and scalar results.
        text: Emitted scalar expression with {0}, {1}, ... for the arguments, for
            elementwise ops.
        precedence: Of that expression, as in `codegen.expr` (20: an atom or a call).
        helper: Source of a Python function that the text calls, if any.
        imports: Import line that the text needs, beyond math and NumPy.
        cuda: The text inside CUDA kernels, where it differs: by the dtype of the
            operands ("f4"), else by their kind ("i"), else "".
        cuda_helper: Source of the functions that this text calls, if any.
        cheap: Whether to recompute rather than to save it for the backward pass.
        commutes: Whether the two arguments can be exchanged.
        dtypes: How elementwise operands are brought together: "promote" to NumPy's
            result type, "float" the same but at least a float, "keep" as they are.
        domain: For tests, an interval of sample values per argument.
        samples: For tests of other kinds: calls `(arguments, params)`.
    """

    name: str
    kind: Kind
    doc: str
    infer: Infer
    evaluate: Callable[..., Any] | None = None
    extents: Extents | None = None
    partials: tuple[Partial | None, ...] | None = None
    vjp: Vjp | None = None
    jvp: Jvp | None = None
    linear: tuple[int, ...] = ()
    why_not: str = ""
    flat: bool = False
    text: str = ""
    text32: str = ""
    precedence: int = 20
    helper: str = ""
    imports: str = ""
    cuda: Mapping[str, str] = field(default_factory=dict[str, str])
    cuda_helper: str = ""
    cheap: bool = False
    commutes: bool = False
    dtypes: Literal["promote", "float", "keep"] = "keep"
    domain: tuple[tuple[float, float], ...] = ()
    samples: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...] = ()

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    @property
    def pure(self) -> bool:
        """Whether an unused result means that the equation can go."""
        return self.kind != "effect"


@dataclass(frozen=True, slots=True)
class Update:
    """A cotangent contribution that touches a part of its array.

    The walk applies `acc = op(acc, value, *index; **params)` to the accumulator, so
    that reading `x[i]` in a loop costs O(1) a step and not O(n).
    """

    op: Op
    value: Any
    index: tuple[Any, ...]
    params: Params


_REGISTRY: dict[str, Op] = {}


def register(op: Op) -> Op:
    """Add a record to the registry. Names are unique."""
    if op.name in _REGISTRY:
        raise ValueError(f"op {op.name!r} is registered twice")
    _REGISTRY[op.name] = op
    return op


def lookup(name: str) -> Op:
    """The op of that name."""
    return _REGISTRY[name]


def all_ops() -> tuple[Op, ...]:
    """All ops, in the order in which they were registered."""
    return tuple(_REGISTRY.values())
