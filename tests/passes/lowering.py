"""From the source of a function to its stages, for the tests of passes."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

import gradjit
from gradjit.ir.graph import Eqn, Graph, walk


def stages(f: Callable[..., Any], *args: Any) -> Mapping[str, Graph]:
    """The stages of a function as it stands."""
    return gradjit.jit(f).lower(*args).stages


def grad_stages(
    f: Callable[..., Any], *args: Any, argnums: Any = 0
) -> Mapping[str, Graph]:
    """The stages of a function's value and gradient."""
    return gradjit.value_and_grad(f, argnums=argnums).lower(*args).stages


def load(text: str, folder: Path, name: str = "program") -> FunctionType:
    """The function of that name in a module with this source."""
    path = folder / f"{name}.py"
    path.write_text("import numpy as np\n\n\n" + text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def eqns(graph: Graph, name: str) -> list[Eqn]:
    """The equations of an op, those in regions too."""
    return [e for e in walk(graph.block) if e.op.name == name]


def kinds(graph: Graph) -> list[str]:
    """What the maps write, map by map."""
    return [" ".join(w.kind for w in e.params["writers"]) for e in eqns(graph, "map_")]


def in_loops(graph: Graph, name: str) -> int:
    """How many equations of an op are inside of loops."""
    loops = [*eqns(graph, "for_"), *eqns(graph, "while_")]
    found = {id(e) for x in loops for r in x.regions for e in walk(r)}
    return sum(id(e) in found for e in eqns(graph, name))


def copies(args: list[Any]) -> list[Any]:
    """Arguments that may be written into."""
    return [np.copy(a) if isinstance(a, np.ndarray) else a for a in args]


def agree(want: list[Any], got: list[Any]) -> None:
    """Results are the same up to the order of sums."""
    assert len(want) == len(got)
    for a, b in zip(want, got, strict=True):
        assert np.shape(a) == np.shape(b)
        np.testing.assert_allclose(b, a, rtol=1e-8, atol=1e-10)
