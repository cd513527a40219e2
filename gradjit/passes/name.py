"""Python names for a placed program, in the user's words.

Values that share a name are found by `share`; a class of values asks for the name that
the user (or a transform, `d_x`) gave to one of them. What has none gets a short one:
`i` for an index, `n` for an extent, `x_i` for a load `x[i]`, else `t`. Two classes with
the same wish share it if they are never alive together. Results of a loop's body that
could not take the carried name are printed in the assignment at its end
(`a, b = b, a + b`).
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable, Iterator

from gradjit.ir.graph import Atom, Block, Const, Eqn, Graph, Value, walk
from gradjit.ir.named import Named
from gradjit.ir.types import ArrayType, ScalarType, StackType, dims
from gradjit.passes.ending import inline_results, with_breaks
from gradjit.passes.inline import Inlining, inline
from gradjit.passes.share import Sharing, same_kind
from gradjit.passes.shorten import shorten

RESERVED = frozenset({*keyword.kwlist, *dir(builtins), "math", "np", "numba"})
# Modules of the runtime, as emitted files call them.
RUNTIME = frozenset({"la", "mem", "vm", "co", "cuda", "dev", "el", "ERRORS"})
_INDICES = ("i", "j", "k", "l")
_EXTENTS = ("n", "m", "p", "q")
_RESULTS = {
    "sum": "total",
    "prod": "product",
    "max": "largest",
    "min": "smallest",
    "maximum": "largest",
    "minimum": "smallest",
    "argmax": "at",
    "argmin": "at",
    "and": "test",
    "or": "test",
}
_SCRATCH = dict.fromkeys(
    ("max", "min", "maximum", "minimum", "argmax", "argmin"), "best"
)


def name(graph: Graph) -> Named:
    """Names and inlining for a placed program."""
    inlining = inline(graph)
    shorten(graph, inlining)
    sharing = Sharing(graph, inlining)
    if inline_results(graph.block, inlining, sharing):
        sharing = Sharing(graph, inlining)
    namer = _Namer(graph, inlining, sharing)
    namer.run()
    named = Named(
        graph,
        namer.names,
        dict(inlining.inlined),
        frozenset(inlining.choices),
        namer.scratch,
    )
    return with_breaks(named)


# -------------------------------------------------------------------- names


class _Namer:
    def __init__(self, graph: Graph, inlining: Inlining, sharing: Sharing) -> None:
        self.graph = graph
        self.inlining = inlining
        self.sharing = sharing
        self.names: dict[Value, str] = {}
        self.scratch: dict[Value, str] = {}
        self._by_class: dict[int, str] = {}
        self._owners: dict[str, list[Value]] = {}
        self._last: dict[str, int] = {}
        self._defs = {o: e for e in walk(graph.block) for o in e.outs}
        self._indices = set(_loop_indices(graph.block))
        self._taken = {graph.name, *RESERVED, *RUNTIME, *_helper_names(graph)}

    def run(self) -> None:
        for param in self.graph.block.params:
            self._claim(param, self._unique(_clean(param.name) or _parameter(param)))
        everything = [v for v in _defined(self.graph.block) if self._printed(v)]
        for value in everything:
            if self.sharing.hint(value):
                self._hinted(value)
        for value in everything:
            if self.sharing.root(value) not in self._by_class:
                self._unnamed(value)
        for value in (*self.graph.block.params, *everything):
            self.names[value] = self._by_class[self.sharing.root(value)]
        self._name_scratch(self.graph.block)

    def _printed(self, value: Value) -> bool:
        return value not in self.inlining.inlined

    def _hinted(self, value: Value) -> None:
        if self.sharing.root(value) in self._by_class:
            return
        wish = _clean(self.sharing.hint(value))
        self._claim(value, wish if self._can_share(value, wish) else self._unique(wish))

    def _can_share(self, value: Value, wish: str) -> bool:
        if wish in self._taken:
            return False
        root = self.sharing.root(value)
        return all(
            same_kind(value, other)
            and not self.sharing.clash(root, self.sharing.root(other))
            for other in self._owners.get(wish, ())
        )

    def _claim(self, value: Value, chosen: str) -> None:
        self._by_class[self.sharing.root(value)] = chosen
        self._owners.setdefault(chosen, []).append(value)

    def _unique(self, wish: str) -> str:
        if self._is_free(wish):
            return wish
        joint = "_" if wish[-1].isdigit() else ""
        k = self._last.get(wish, 1) + 1
        while not self._is_free(f"{wish}{joint}{k}"):
            k += 1
        self._last[wish] = k
        return f"{wish}{joint}{k}"

    def _is_free(self, word: str) -> bool:
        return word not in self._taken and word not in self._owners

    def _unnamed(self, value: Value) -> None:
        eqn = self._defs.get(value)
        if value in self._indices:
            self._claim(value, self._index_name(value))
            return
        if eqn is not None and eqn.op.name == "dim":
            free = filter(self._is_free, _EXTENTS)
            self._claim(value, next(free, None) or self._unique("n"))
            return
        wish = self._wish(value, eqn)
        load = eqn is not None and eqn.op.name == "index"
        shared = load and self._can_share(value, wish)
        self._claim(value, wish if shared else self._unique(wish))

    def _index_name(self, value: Value) -> str:
        for wish in _INDICES:
            if self._can_share(value, wish):
                return wish
        return self._unique("i")

    def _wish(self, value: Value, eqn: Eqn | None) -> str:
        if eqn is not None and eqn.op.name == "index":
            parts = [self._short(a) for a in eqn.args]
            if all(parts) and isinstance(value.type, ScalarType):
                return "_".join(p for p in parts if p)
        if eqn is not None and eqn.op.name == "map_":
            kind = eqn.params["writers"][eqn.outs.index(value)].kind
            return _RESULTS.get(kind, "work")
        if eqn is not None and eqn.op.name == "contract":
            return "product"
        if isinstance(value.type, ArrayType):
            return "work"
        if isinstance(value.type, StackType):
            return "saved"
        return {"b": "test", "i": "at", "u": "at"}.get(value.type.dtype.kind, "t")

    def _short(self, atom: Atom) -> str | None:
        if isinstance(atom, Const):
            return str(atom.value) if int(atom.value) >= 0 else None
        root = self.sharing.root(atom) if self._printed(atom) else None
        found = self._by_class.get(root) if root is not None else None
        return found if found is not None and len(found) <= 8 else None

    def _name_scratch(self, block: Block) -> None:
        for eqn in walk(block):
            if eqn.op.name != "map_":
                continue
            for writer, out in zip(eqn.params["writers"], eqn.outs, strict=True):
                if writer.kind in ("new", "store", "add"):
                    continue
                wish = _SCRATCH.get(writer.kind, "acc")
                self.scratch[out] = self._unique(wish)
                self._owners.setdefault(self.scratch[out], [])


def _parameter(param: Value) -> str:
    """The name of a parameter that nobody has named: those of kernels."""
    if isinstance(param.type, ScalarType):
        return "n" if param.type.dtype.kind == "i" else "t"
    return "out" if param.type.dtype.kind != "b" and not dims(param.type) else "work"


def _defined(block: Block) -> Iterator[Value]:
    """All values in the order in which they are printed."""
    for eqn in block.eqns:
        if eqn.op.name == "map_":
            yield from eqn.outs
        for region in eqn.regions:
            yield from region.params
            yield from _defined(region)
        if eqn.op.name != "map_":
            yield from eqn.outs


def _loop_indices(block: Block) -> Iterator[Value]:
    for eqn in walk(block):
        if eqn.op.name == "for_":
            yield eqn.regions[0].params[0]
        elif eqn.op.name == "map_":
            yield from eqn.regions[0].params


def _clean(hint: str) -> str:
    word = re.sub(r"\W", "_", hint)
    return f"_{word}" if word[:1].isdigit() else word


def _helper_names(graph: Graph) -> Iterable[str]:
    """Functions that the records of the graph's ops bring along."""
    for eqn in walk(graph.block):
        yield from re.findall(r"^def (\w+)", eqn.op.helper, re.MULTILINE)
