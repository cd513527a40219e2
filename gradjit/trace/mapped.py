"""`vmap`: a loop whose iterations call a function on the items of arrays.

Each item runs the function on its own, so that a branch or a `while` in it goes its own
way; nothing is computed for the whole batch at once and then selected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from gradjit.errors import GradjitError, Loc, ShapeError, UnsupportedError
from gradjit.ir.tree import Tree, flatten
from gradjit.trace import source
from gradjit.trace.call import call
from gradjit.trace.functional import common, is_leaf, rank_of, symbol, tracing
from gradjit.trace.handle import Handle
from gradjit.trace.iterate import Traversal
from gradjit.trace.outside import whole
from gradjit.trace.region import Body
from gradjit.trace.stacked import Stacked


def mapped(
    f: Callable[..., Any],
    in_axes: Any,
    out_axes: Any,
    names: Sequence[str],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """f of each item, the results stacked along `out_axes`."""
    b = tracing()
    site = b.loc = b.loc or definition(f)
    leaves, tree = flatten(whole(b, (args, kwargs)), is_leaf)
    axes = leaf_axes(in_axes, tree, names)
    paths = _paths(tree, names)
    values = [symbol(b, x) for x in leaves]
    places = [
        _place(a, x, path) for a, x, path in zip(axes, values, paths, strict=True)
    ]
    counts = [
        (f"{path}.shape[{a}]", x.shape[a])
        for a, x, path in zip(places, values, paths, strict=True)
        if a is not None
    ]
    if not counts:
        raise ShapeError("vmap: in_axes maps no array", site)
    count = common(b, "vmap", counts)

    def axes_of(tree: Tree, ranks: Sequence[int]) -> list[int | None]:
        found = spread(out_axes, tree, "out_axes", "the result")
        return [_out_place(a, r, site) for a, r in zip(found, ranks, strict=True)]

    out = Stacked(b, "vmap", site, axes_of)
    at: list[Any] = [None]

    def bind(i: Any) -> None:
        at[0] = i

    def run() -> None:
        pairs = zip(values, leaves, places, strict=True)
        items = [
            leaf if a is None else x[(*[slice(None)] * a, at[0])]
            for x, leaf, a in pairs
        ]
        own, named = tree.unflatten(items)
        out.store(call(b, f, own, named), at[0])

    body = Body(run, tuple, lambda _: None, (), (), site)
    shared = [x for x, a in zip(values, places, strict=True) if a is None]
    before = [_version(x) for x in shared]
    result = out.run(Traversal(0, count, 1, lambda i: i, True), count, bind, body)
    if [_version(x) for x in shared] != before:
        raise UnsupportedError(
            "vmap: the function writes into an array that all items share",
            site,
            "Write into a copy, or give its axis in in_axes.",
        )
    return result


def _version(x: Any) -> Any:
    """What is in an array now, to see whether it is written into."""
    return x.buffer.version if isinstance(x, Handle) else None


def definition(f: Any) -> Loc:
    """Where a function is defined."""
    while hasattr(f, "__wrapped__"):
        f = f.__wrapped__
    code = getattr(getattr(f, "py_func", f), "__code__", None)
    if code is None:
        return Loc("", 0, "")
    try:
        return source.find(getattr(f, "py_func", f)).source.loc(code.co_firstlineno)
    except UnsupportedError:
        return Loc(code.co_filename, code.co_firstlineno, "")


def leaf_axes(in_axes: Any, tree: Tree, names: Sequence[str]) -> list[int | None]:
    """The axis of each leaf of (args, kwargs); keyword arguments have axis 0."""
    args, kwargs = tree.children
    if isinstance(in_axes, tuple | list):
        given = cast("Sequence[Any]", in_axes)
        if len(given) != len(args.children):
            raise ShapeError(
                f"vmap: in_axes has {len(given)} entries, and the function was called "
                f"with {len(args.children)} positional arguments"
            )
        axes = [
            axis
            for entry, child, name in zip(given, args.children, names, strict=False)
            for axis in spread(entry, child, f"in_axes for {name}", name)
        ]
    else:
        axes = spread(in_axes, args, "in_axes", "the arguments")
    return [*axes, *[0] * kwargs.size]


def spread(axes: Any, tree: Tree, what: str, path: str) -> list[int | None]:
    """An axis for each leaf; one that stands for a container holds for all inside."""
    if axes is None or (hasattr(axes, "__index__") and not isinstance(axes, bool)):
        return [None if axes is None else axes.__index__()] * tree.size
    entries = _entries(axes, tree)
    if entries is None:
        raise ShapeError(
            f"vmap: {what} is {axes!r}, which is no axis (an int or None), nor a "
            f"container of axes like {path}"
        )
    pairs = zip(entries, tree.children, tree.steps(), strict=True)
    return [k for a, c, s in pairs for k in spread(a, c, what, path + s)]


def _entries(axes: Any, tree: Tree) -> list[Any] | None:
    """The axes of the children of a container."""
    if tree.kind == "dict" and isinstance(axes, dict):
        found = cast("dict[Any, Any]", axes)
        same = set(found) == set(tree.names)
        return [found[name] for name in tree.names] if same else None
    if tree.kind == "dataclass" and type(axes) is tree.type:
        return [getattr(axes, name) for name in tree.names]
    if tree.kind in ("tuple", "list", "namedtuple") and isinstance(axes, tuple | list):
        items = list(cast("Sequence[Any]", axes))
        return items if len(items) == len(tree.children) else None
    return None


def _place(axis: int | None, x: Any, path: str) -> int | None:
    """The axis of an argument that is mapped, counted from the front."""
    rank = rank_of(x)
    if axis is None:
        return None
    if not rank:
        raise ShapeError(
            f"vmap: {path} is mapped along axis {axis}, and is a number",
            hint="Give None for it in in_axes.",
        )
    if not -rank <= axis < rank:
        raise ShapeError(f"vmap: {path} is mapped along axis {axis} of {rank}")
    return axis % rank


def _out_place(axis: int | None, rank: int, site: Loc) -> int | None:
    if axis is None:
        return None
    if not -rank - 1 <= axis <= rank:
        raise ShapeError(f"vmap: out_axes has {axis} for a result of {rank} axes", site)
    return axis % (rank + 1)


def _paths(tree: Tree, names: Sequence[str]) -> list[str]:
    """How each leaf of (args, kwargs) is written."""
    args, kwargs = tree.children
    pairs = zip(args.children, names, strict=False)
    out = [path for child, name in pairs for path in child.paths(name)]
    for child, name in zip(kwargs.children, kwargs.names, strict=True):
        out += child.paths(str(name))
    return out


def check_axes(axes: Any, what: str) -> None:
    """Refuse what cannot be a specification of axes."""
    if axes is None or (hasattr(axes, "__index__") and not isinstance(axes, bool)):
        return
    leaves, _ = flatten(axes, lambda x: x is None or isinstance(x, int))
    if not leaves or any(isinstance(k, bool) for k in leaves):
        raise GradjitError(f"vmap: {what} takes ints and None, not {axes!r}")
