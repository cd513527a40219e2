"""What is to be compiled, and for which leaves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gradjit.ir.tree import Tree
from gradjit.leaf import Spec
from gradjit.options import Options
from gradjit.transform import Grad

if TYPE_CHECKING:
    from gradjit.primal import Transform


@dataclass(frozen=True, slots=True)
class Function:
    """What is to be compiled.

    Attributes:
        fn: The user's function.
        transform: What is computed from it.
        options: How.
        label: The name of the emitted function.
        signature: Of `fn`, if it has one.
    """

    fn: Callable[..., Any]
    transform: Transform
    options: Options
    label: str
    signature: inspect.Signature | None

    @property
    def takes_out(self) -> bool:
        """Whether calls may bring arrays for the gradient, as `out=`.

        Not if the function has such a parameter itself.
        """
        if self.signature is None or not isinstance(self.transform, Grad):
            return False
        params = self.signature.parameters.values()
        return not any(p.name == "out" or p.kind is p.VAR_KEYWORD for p in params)

    @property
    def name(self) -> str:
        """The name of the user's function."""
        return getattr(self.fn, "__name__", type(self.fn).__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """The leaves of a call, in the form that compiled code takes.

    Attributes:
        tree: The structure of (args, kwargs, extras).
        specs: What each leaf is.
        values: The leaves.
        given: The leaves as the caller has them.
        out: The container of arrays for the gradient, if the caller has given one.
    """

    tree: Tree
    specs: tuple[Spec, ...]
    values: tuple[Any, ...]
    given: tuple[Any, ...]
    out: Any = None

    @property
    def canonical(self) -> bool:
        """Whether all leaves are fit for compiled code as they are."""
        return all(map(_same, self.values, self.given))


def _same(a: Any, b: Any) -> bool:
    return a is b


def leaf_paths(
    signature: inspect.Signature | None, tree: Tree, extra: str = "v"
) -> list[str]:
    """How each leaf is reached from the parameters, as Python would write it.

    Args:
        signature: Of the function.
        tree: The structure of (args, kwargs, extras).
        extra: What the transform's own argument is called; several get a number.
    """
    args, kwargs, extras = tree.children
    paths: list[str] = []
    for name, child in zip(
        _names(signature, len(args.children)), args.children, strict=True
    ):
        paths += child.paths(name)
    for name, child in zip(kwargs.names, kwargs.children, strict=True):
        paths += child.paths(str(name))
    for k, child in enumerate(extras.children):
        paths += child.paths(f"{extra}{k}" if len(extras.children) > 1 else extra)
    return paths


def _names(signature: inspect.Signature | None, count: int) -> list[str]:
    """Names of positional arguments; those of a star get a number."""
    names: list[str] = []
    kinds = inspect.Parameter
    for p in signature.parameters.values() if signature is not None else ():
        if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD):
            names.append(p.name)
        elif p.kind is kinds.VAR_POSITIONAL:
            names += [f"{p.name}[{i}]" for i in range(count - len(names))]
    names += [f"args[{i}]" for i in range(len(names), count)]
    return names[:count]


def identifier(path: str) -> str:
    """A name for a leaf: `params['w'][0]` is w_0, `weights[2]` is weights_2."""
    words = re.findall(r"[A-Za-z_][A-Za-z_0-9]*|\d+", path)
    named = [w for w in words[1:] if not w.isdigit()]
    return "_".join(words[1:] if named else words) or "x"
