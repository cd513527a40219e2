"""Loops and branches that are given as functions: `fori_loop`, `scan`, `cond`, ...

They become the regions that `for`, `while` and `if` become: the body of the loop is a
call of the user's function, and its state is one name, the carry.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

from gradjit.errors import DtypeError, Loc, ShapeError
from gradjit.ir.build import current
from gradjit.ir.tree import Tree, difference, flatten
from gradjit.ops.sym import Sym, elementwise, lift, require_equal
from gradjit.trace import control, loops
from gradjit.trace.branch import truth
from gradjit.trace.builder import TraceBuilder, is_array, is_number
from gradjit.trace.call import call
from gradjit.trace.iterate import Lazy, Traversal
from gradjit.trace.merge import MaybeValue, Poison
from gradjit.trace.outside import whole
from gradjit.trace.region import Body
from gradjit.trace.stacked import Stacked

Fn = Callable[..., Any]


def is_leaf(x: Any) -> bool:
    """Whether something is a number or an array, traced or not."""
    return isinstance(x, Sym | Poison | MaybeValue) or is_number(x) or is_array(x)


def fori_loop(lower: Any, upper: Any, body_fun: Fn, init_val: Any) -> Any:
    """`for i in range(lower, upper): val = body_fun(i, val)`; the last `val`."""
    b = tracing()
    state = _State(b, "fori_loop", init_val, parameter(body_fun, 1))
    box = _Box()

    def run() -> None:
        state.step(call(b, body_fun, (box.item, state.value), {}))

    loops.for_(b, counted(lower, upper), box.fill, state.body(run))
    return state.value


def while_loop(cond_fun: Fn, body_fun: Fn, init_val: Any) -> Any:
    """`while cond_fun(val): val = body_fun(val)`; the last `val`."""
    b = tracing()
    state = _State(b, "while_loop", init_val, parameter(body_fun, 0))

    def test() -> Any:
        return call(b, cond_fun, (state.value,), {})

    def run() -> None:
        state.step(call(b, body_fun, (state.value,), {}))

    loops.while_(b, test, state.body(run))
    return state.value


def scan(f: Fn, init: Any, xs: Any, length: Any, reverse: bool) -> tuple[Any, Any]:
    """`for x in xs: carry, y = f(carry, x)`; the last carry, and all y as arrays."""
    b = tracing()
    state = _State(b, "scan", init, parameter(f, 0))
    leaves, tree = flatten(whole(b, xs), is_leaf)
    arrays = [symbol(b, x) for x in leaves]
    count = _length(b, arrays, tree, length)
    out = Stacked(b, "scan", state.site)
    box = _Box()

    def run() -> None:
        items = tree.unflatten(x[box.item] for x in arrays)
        state.step(out.part(call(b, f, (state.value, items), {}), box.item))

    way = Traversal(0, count, 1, lambda i: i)
    way = Traversal(count - 1, -1, -1, way.item) if reverse else way
    ys = out.run(way, count, box.fill, state.body(run))
    return state.value, ys


def cond(pred: Any, true_fun: Fn, false_fun: Fn, operands: Sequence[Any]) -> Any:
    """`true_fun(*operands) if pred else false_fun(*operands)`."""
    b = tracing()
    args = [whole(b, x) for x in operands]
    sides = _Sides("cond", b.loc)
    then, orelse = (sides.side(b, f, args) for f in (true_fun, false_fun))
    return control.choose(b, truth(b, pred), then, orelse)


def switch(index: Any, branches: Sequence[Fn], operands: Sequence[Any]) -> Any:
    """`branches[index](*operands)`, the index clipped to what there is."""
    b = tracing()
    if not isinstance(index, Sym):
        place = min(max(operator.index(index), 0), len(branches) - 1)
        return call(b, branches[place], tuple(operands), {})
    if index.ndim or index.dtype.kind not in "iu":
        raise DtypeError(f"switch: the index is {index.type}, not an integer", b.loc)
    args = [whole(b, x) for x in operands]
    sides = _Sides("switch", b.loc)
    *first, last = [sides.side(b, f, args) for f in branches]
    choice = last
    for k, branch in reversed(list(enumerate(first, 1))):
        choice = _chosen(b, index, k, branch, choice)
    return choice()


def _chosen(
    b: TraceBuilder,
    index: Sym,
    k: int,
    branch: Callable[[], Any],
    rest: Callable[[], Any],
) -> Callable[[], Any]:
    """`branch() if index < k else rest()`."""
    loc = b.loc

    def run() -> Any:
        b.loc = loc
        return control.choose(b, truth(b, elementwise("lt", index, k)), branch, rest)

    return run


# ------------------------------------------------------------------------- their parts


class _Box:
    """What a loop is at."""

    item: Any = None

    def fill(self, item: Any) -> None:
        self.item = item


class _State:
    """The carry of a loop: one name, in the form that it starts with."""

    def __init__(self, b: TraceBuilder, what: str, init: Any, name: str) -> None:
        self.what = what
        self.name = name
        self.value = whole(b, init)
        leaves, self.tree = flatten(self.value, is_leaf)
        self.ranks = [rank_of(x) for x in leaves]
        self.site = b.loc or Loc("", 0, "")

    def body(self, run: Callable[[], None]) -> Body:
        """The loop's body, with the carry as its state."""
        return Body(run, self._get, self._put, (self.name,), (), self.site)

    def step(self, value: Any) -> None:
        """The carry that an iteration leaves."""
        leaves, tree = flatten(value, is_leaf)
        require_alike(self.what, self.tree, tree, "the carry", "init", self.site)
        for path, before, leaf in zip(
            tree.paths("the carry"), self.ranks, leaves, strict=True
        ):
            if rank_of(leaf) != before:
                raise ShapeError(
                    f"{self.what}: {path} has {before} axes in init, and "
                    f"{rank_of(leaf)} in what the function returns",
                    self.site,
                )
        self.value = value

    def _get(self) -> tuple[Any, ...]:
        return (self.value,)

    def _put(self, values: tuple[Any, ...]) -> None:
        (self.value,) = values


class _Sides:
    """The branches of a choice, which return the same structure."""

    def __init__(self, what: str, loc: Loc | None) -> None:
        self.what = what
        self.loc = loc
        self.tree: Tree | None = None

    def side(self, b: TraceBuilder, f: Fn, args: Sequence[Any]) -> Callable[[], Any]:
        """A branch, to be run."""

        def run() -> Any:
            b.loc = self.loc
            value = call(b, f, tuple(args), {})
            tree = flatten(value, is_leaf)[1]
            first = self.tree = self.tree or tree
            names = "the result", "the first branch"
            require_alike(self.what, first, tree, *names, self.loc)
            return value

        return run


def require_alike(
    what: str, want: Tree, got: Tree, name: str, where: str, loc: Loc | None
) -> None:
    """Refuse a result of another structure."""
    found = difference(want, got, name)
    if found:
        raise ShapeError(
            f"{what}: {found}: the first is that of {where}, the second what the "
            "function returns",
            loc,
            "Return the same nesting of tuples, lists and dicts each time.",
        )


def rank_of(x: Any) -> int:
    """The number of axes of a leaf."""
    return x.ndim if isinstance(x, Sym) or is_array(x) else 0


def counted(lower: Any, upper: Any) -> Any:
    """range(lower, upper), with traced bounds too."""
    for bound in (lower, upper):
        if isinstance(bound, Sym):
            fine = not bound.ndim and bound.dtype.kind in "iu"
        else:
            fine = hasattr(bound, "__index__")
        if not fine:
            kind = bound.type if isinstance(bound, Sym) else type(bound).__name__
            raise DtypeError(f"a loop bound is {kind}, not an integer")
    if isinstance(lower, Sym) or isinstance(upper, Sym):
        return Lazy(Traversal(lower, upper, 1, lambda i: i))
    return range(lower, upper)


def symbol(b: TraceBuilder, x: Any) -> Any:
    """A leaf as a symbol."""
    if isinstance(x, Sym):
        return x
    return b.outside(x) if is_array(x) else b.wrap(lift(x))


def _length(b: TraceBuilder, arrays: Sequence[Any], tree: Tree, length: Any) -> Any:
    """The number of steps: that of `length` and of all leading axes."""
    counts: list[tuple[str, Any]] = []
    if length is not None:
        counts.append(("length", length))
    for path, x in zip(tree.paths("xs"), arrays, strict=True):
        if not rank_of(x):
            raise ShapeError(f"scan: {path} is a number: it has no items", b.loc)
        counts.append((f"len({path})", x.shape[0]))
    if not counts:
        raise ShapeError("scan needs xs with arrays in it, or a length", b.loc)
    return common(b, "scan", counts)


def common(b: TraceBuilder, what: str, counts: Sequence[tuple[str, Any]]) -> Any:
    """One number of several that have to be equal; a known one if there is one."""
    known = [(p, n) for p, n in counts if not isinstance(n, Sym)]
    name, chosen = (known or list(counts))[0]
    for path, n in counts:
        both = f"{what}: {name} and {path} differ"
        if not isinstance(n, Sym) and not isinstance(chosen, Sym) and n != chosen:
            raise ShapeError(f"{both}: {chosen} and {n}", b.loc)
        require_equal(b, lift(chosen), lift(n), both)
    return chosen if isinstance(chosen, Sym) else int(chosen)


def parameter(f: Any, position: int) -> str:
    """What a function calls a parameter: a name for the values that go there."""
    f = getattr(f, "py_func", f)
    code = getattr(f, "__code__", None)
    if not isinstance(f, FunctionType) or code is None:
        return "carry"
    names = code.co_varnames[: code.co_argcount]
    name = names[position] if position < len(names) else "carry"
    return "carry" if name.startswith("_") else name


def tracing() -> TraceBuilder:
    """The builder of the trace that is going on."""
    builder = current()
    assert isinstance(builder, TraceBuilder)
    return builder
