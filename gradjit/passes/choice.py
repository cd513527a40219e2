"""Which forward values to save: the minimum cut, in bytes, of what computes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from gradjit.ir.graph import Const, Eqn, Value
from gradjit.ir.types import ArrayType
from gradjit.passes.cut import minimum_cut
from gradjit.passes.saved import Region

_MANY = 100.0  # what an extent or a trip count is taken for that is not known
_MUCH = 1e12  # more than anything, and still a number
_WIDEST = 2000  # values; beyond, each is decided by itself


def choose(
    needed: Iterable[Value],
    home: Mapping[Value, Region],
    again: Callable[[Value], Eqn | None],
    there: Callable[[Value], bool],
    covered: Callable[[Value], bool],
) -> list[Value]:
    """The values to save, so that all needed ones can be computed again.

    Args:
        needed: Values of the forward code that the backward code reads.
        home: The region of each value inside of one.
        again: The cheap equation that computes a value again, if there is one.
        there: Whether the backward code has a value, or all that computes it.
        covered: Whether inner loops run over all elements of an array. Where they may
            read a few of many, an array is not saved for the sake of these.
    """
    wanted = [v for v in needed if not there(v)]
    args: dict[Value, list[Value]] = {}
    weights: dict[Value, float] = {}
    work = list(wanted)
    while work:
        value = work.pop()
        if value in weights:
            continue
        weights[value] = weight(value, home)
        if isinstance(value.type, ArrayType) and not covered(value):
            weights[value] *= _MUCH
        eqn = again(value)
        if eqn is None:
            continue
        inner = [a for a in eqn.args if isinstance(a, Value) and a in home]
        args[value] = [a for a in inner if not there(a)]
        work += args[value]
        if len(weights) > _WIDEST:
            return []
    return minimum_cut(wanted, args, weights)


def weight(value: Value, home: Mapping[Value, Region]) -> float:
    """About how many bytes saving a value takes."""
    size = float(value.type.dtype.itemsize)
    if isinstance(value.type, ArrayType):
        for extent in value.type.dims:
            size *= _MANY if extent is None else max(extent, 1)
    for region in home[value].loops():
        size *= _trips(region.owner)
    return size


def _trips(eqn: Eqn) -> float:
    if eqn.op.name == "for_":
        bounds = [int(a.value) for a in eqn.args[:3] if isinstance(a, Const)]
        if len(bounds) == 3 and bounds[2]:
            return float(max(len(range(*bounds)), 1))
    return _MANY
