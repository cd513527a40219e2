"""Loops, branches and stacks of the host's code.

A carry, or the result of a branch, that is a number of the device is an array without
axes; which ones are is known beforehand (`device_numbers`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradjit.errors import UnsupportedError
from gradjit.ir.build import index
from gradjit.ir.graph import Atom, Block, Eqn, Value, walk
from gradjit.ir.op import lookup
from gradjit.ir.types import INDEX, ArrayType, ScalarType, StackType, Type
from gradjit.ops.region import MAP, Writer
from gradjit.passes.device_numbers import is_brief, is_simple
from gradjit.passes.grids import launch_nest
from gradjit.passes.independent import Verdict, judge
from gradjit.passes.loop_kernels import launch_items
from gradjit.passes.row_kernel import has_rows, launch_rows

if TYPE_CHECKING:
    from gradjit.passes.host_code import Offload

_ARRAYS = frozenset({"map_", "contract"})


def verdict(host: Offload, eqn: Eqn) -> Verdict:
    """Whether a counted loop can be a kernel."""
    found = host.verdicts.get(eqn)
    if found is None:
        found = host.verdicts[eqn] = judge(eqn, host.facts, may_raise=True)
    return found


def for_loop(host: Offload, eqn: Eqn) -> None:
    """A kernel if the iterations are independent, else a loop of the host."""
    if is_brief(eqn) and verdict(host, eqn).reason:
        alone(host, eqn)
        return
    host.flush()
    judged = verdict(host, eqn)
    arrays = _has_arrays(host, eqn)
    if not judged.reason and _launched(host, eqn, judged, arrays):
        return
    if not arrays:
        _refuse(eqn, judged.reason)
    bounds = tuple(map(host.number, eqn.args[:3]))
    _loop(host, eqn, bounds)


def _launched(host: Offload, eqn: Eqn, judged: Verdict, arrays: bool) -> bool:
    """Whether a loop of independent iterations could be made a kernel.

    If it could not, and there are arrays in it, the host runs it.
    """
    if any(e.op.name == "contract" for e in walk(eqn.regions[0])):
        host.demote(eqn)
        return False
    launch = launch_rows if has_rows(eqn) else launch_items
    undo = host.mark()
    try:
        launch(host, eqn, judged.kinds)
    except UnsupportedError:
        if not arrays:
            raise
        undo()
        host.demote(eqn)
        return False
    return True


def alone(host: Offload, eqn: Eqn) -> None:
    """A short loop over numbers, by one thread, between what others do."""
    host.queue.append(eqn)
    host.sequential.append(eqn)
    first = len(eqn.args) - len(eqn.outs)
    for k, out in enumerate(eqn.outs):
        if isinstance(out.type, ArrayType):
            host.env[out] = host.look(eqn.args[first + k])


_OPEN = "how often it runs is not known"


def why_alone(host: Offload, eqn: Eqn) -> str:
    """Why the iterations of a loop are not spread over threads."""
    return _OPEN if eqn.op.name == "while_" else verdict(host, eqn).reason


def while_loop(host: Offload, eqn: Eqn) -> None:
    if is_brief(eqn):
        alone(host, eqn)
        return
    host.flush()
    if not _has_arrays(host, eqn):
        _refuse(eqn, _OPEN)
    _loop(host, eqn, ())


def _has_arrays(host: Offload, eqn: Eqn) -> bool:
    """Whether there is something to launch in a loop."""
    inside = [e for r in eqn.regions for e in walk(r)]
    return any(e.op.name in _ARRAYS for e in inside) or any(
        e.op.name == "for_" and not verdict(host, e).reason for e in inside
    )


def _refuse(eqn: Eqn, reason: str) -> None:
    raise sequential_error(eqn, reason)


def sequential_error(eqn: Eqn, reason: str) -> UnsupportedError:
    """Of a loop that would keep one thread busy and leave the others idle."""
    return UnsupportedError(
        'target="cuda" cannot run this loop: it computes numbers, one iteration after'
        f" the other ({reason})",
        eqn.loc,
        "Run it on the CPU; or map it over many inputs, with gradjit.vmap or a loop"
        " over numba.prange, so that each is a thread.",
    )


def _loop(host: Offload, eqn: Eqn, bounds: tuple[Atom, ...]) -> None:
    inits = eqn.args[len(bounds) :]
    args = [_brought(host, a, o) for a, o in zip(inits, eqn.outs, strict=True)]
    regions: list[Block] = []
    for k, region in enumerate(eqn.regions):
        condition = k < len(eqn.regions) - 1
        regions.append(_region(host, eqn, region, args, condition))
    outs = _bound(host, eqn.outs, args)
    params = {k: v for k, v in eqn.params.items() if k != "parallel"}
    host.b.append(Eqn(eqn.op, (*bounds, *args), outs, params, tuple(regions), eqn.loc))


def _brought(host: Offload, old: Atom, like: Value) -> Atom:
    """An initial value, or the result of a body, as what carries it."""
    if isinstance(like.type, ScalarType) and like in host.device:
        return host.cell(old)
    return host.number(old) if isinstance(old.type, ScalarType) else host.look(old)


def _bound(
    host: Offload, old: Sequence[Value], like: Sequence[Atom]
) -> tuple[Value, ...]:
    """New values of the host for these of the program."""
    new: list[Value] = []
    for value, atom in zip(old, like, strict=True):
        made = Value(_carried_type(value, atom), value.name)
        if isinstance(value.type, ScalarType) and value in host.device:
            host.cells[value] = made
        else:
            host.env[value] = made
        new.append(made)
    return tuple(new)


def _carried_type(value: Value, atom: Atom) -> Type:
    if isinstance(value.type, StackType):
        return value.type
    if isinstance(value.type, ScalarType) and isinstance(atom.type, ArrayType):
        return atom.type
    return value.type


def _region(
    host: Offload, eqn: Eqn, region: Block, args: Sequence[Atom], condition: bool
) -> Block:
    """A region of a loop of the host."""
    saved = host.state
    host.state = saved.copy()
    counters = region.params[: len(region.params) - len(args)]
    heads = tuple(Value(p.type, p.name) for p in counters)
    host.env.update(zip(counters, heads, strict=True))
    params = _bound(host, region.params[len(heads) :], args)
    host.b.open((*heads, *params))
    host.block(region)
    if condition:
        results = [host.number(r) for r in region.results]
    else:
        pairs = zip(region.results, eqn.outs, strict=True)
        results = [_brought(host, r, o) for r, o in pairs]
    host.flush()
    host.state = saved
    return host.b.close(results)


def branch(host: Offload, eqn: Eqn) -> None:
    """A branch of the host; one that only computes numbers of the device, there."""
    if not host.is_host(eqn.args[0]) and is_simple(eqn):
        host.queue.append(eqn)
        return
    host.flush()
    test = host.number(eqn.args[0])
    regions: list[Block] = []
    for region in eqn.regions:
        saved = host.state
        host.state = saved.copy()
        host.b.open(())
        host.block(region)
        pairs = zip(region.results, eqn.outs, strict=True)
        results = [_brought(host, r, o) for r, o in pairs]
        regions.append(host.b.close(results))
        host.state = saved
    outs = _bound(host, eqn.outs, regions[0].results)
    host.b.append(Eqn(eqn.op, (test,), outs, eqn.params, tuple(regions), eqn.loc))


def push(host: Offload, eqn: Eqn) -> None:
    """A value on a stack of the host; numbers of the device as cells."""
    host.flush()
    stack, value = eqn.args
    item: Atom
    if isinstance(value.type, ArrayType):
        item = host.look(value)
    elif value.type.dtype.kind == "f" or value in host.device:
        item = host.cell(value)
    else:
        item = host.number(value)
    out = Value(eqn.out.type, eqn.out.name)
    host.env[eqn.out] = out
    host.b.append(Eqn(eqn.op, (host.look(stack), item), (out,), {}, (), eqn.loc))


def pop(host: Offload, eqn: Eqn) -> None:
    host.flush()
    stack, value = eqn.outs
    new = Value(stack.type, stack.name)
    host.env[stack] = new
    type_ = value.type
    if isinstance(type_, ScalarType) and value in host.device:
        made = host.cells[value] = Value(ArrayType(type_.dtype, ()), value.name)
    else:
        host.env[value] = made = Value(type_, value.name)
    args = (host.look(eqn.args[0]),)
    host.b.append(Eqn(eqn.op, args, (new, made), {}, (), eqn.loc))


# ------------------------------------------------------------------- parts of arrays


def part(host: Offload, eqn: Eqn) -> None:
    """A part of an array that is stored or added to at once."""
    base, value, *at = eqn.args
    spec: str = eqn.params["spec"]
    made = host.b.frames[-1].eqns[-1:]
    source = host.look(value) if isinstance(value.type, ArrayType) else None
    if made and made[0].op.name == "contract" and source in made[0].outs:
        host.copied(eqn)  # a product that goes where it belongs
        return
    axes = [Value(INDEX) for c in spec if c != "i"]
    sizes = _part_extents(host, eqn, source)
    inside: list[Eqn] = []
    element: Atom = value
    if source is not None:
        element = Value(ScalarType(value.type.dtype))
        params = {"spec": "i" * len(axes), "dims": (), "checked": False}
        args = (value, *axes)
        inside.append(Eqn(lookup("index"), args, (element,), params))
    results = _places(spec, list(at), axes, inside)
    extents = [_known(host, size) for size in sizes]
    body = Block(tuple(axes), tuple(inside), (element, *results))
    kind = "add" if eqn.op.name == "add_at" else "store"
    writers = (Writer(kind, 0),)
    _map(host, eqn, (*extents, base), writers, body)


def _part_extents(host: Offload, eqn: Eqn, source: Atom | None) -> list[Atom]:
    """The extents of a part: of what is stored there, or of the part itself."""
    base, _, *at = eqn.args
    if isinstance(source, Value):
        return list(host.b.extents(source))
    out: list[Atom] = []
    axis = 0
    for char in eqn.params["spec"]:
        if char == "s":
            out.append(host.number(at[1]))
        elif char == ":":
            out.append(host.b.extent(host.look(base), axis))
        del at[: {"i": 1, "s": 3}.get(char, 0)]
        axis += char != "n"
    return out


def _places(
    spec: str, at: list[Atom], axes: Sequence[Value], inside: list[Eqn]
) -> list[Atom]:
    """The index of each axis of the base, for an element of the part."""
    rest = list(axes)
    out: list[Atom] = []

    def emit(op: str, a: Atom, b: Atom) -> Value:
        made = Value(INDEX)
        inside.append(Eqn(lookup(op), (a, b), (made,)))
        return made

    for char in spec:
        if char == "i":
            out.append(at.pop(0))
        elif char == "s":
            start, _, step = at.pop(0), at.pop(0), at.pop(0)
            out.append(emit("add", start, emit("mul", rest.pop(0), step)))
        elif char == ":":
            out.append(rest.pop(0))
        else:
            rest.pop(0)
    out += rest
    return out


def _known(host: Offload, atom: Atom) -> Atom:
    """Something of the host as a value of the program."""
    if not isinstance(atom, Value):
        return atom
    made = Value(atom.type, atom.name)
    host.env[made] = atom
    return made


def spread(
    host: Offload, eqn: Eqn, array: Value, value: Atom, extents: Sequence[Atom]
) -> None:
    """A kernel that stores a number everywhere in a new array."""
    axes = tuple(Value(INDEX) for _ in extents)
    body = Block(axes, (), (value, *axes))
    sizes = [_known(host, e) for e in extents]
    dest = _known(host, array)
    _map(host, eqn, (*sizes, dest), (Writer("store", 0),), body)


def _map(
    host: Offload,
    eqn: Eqn,
    args: tuple[Atom, ...],
    writers: tuple[Writer, ...],
    body: Block,
) -> None:
    params = {"ndim": len(body.params), "writers": writers, "parallel": True}
    nest = Eqn(MAP, args, eqn.outs, params, (body,), eqn.loc)
    if not body.params:
        nest = nest.with_(args=(index(1), *args), params={**params, "ndim": 1})
        one = (Value(INDEX),)
        nest = nest.with_(regions=(Block(one, body.eqns, body.results),))
    launch_nest(host, nest)
