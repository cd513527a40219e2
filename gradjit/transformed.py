"""What a transform gives: a function that compiles itself for each signature.

A call goes to the function written for the last signature (`fastcall`). What does not
fit there goes the slow way: flatten the arguments, bring the leaves to canonical form,
look for code that fits, compile if there is none, run it, and leave its fast function
for the next call.
"""

from __future__ import annotations

import inspect
import keyword
import re
import sys
import threading
import time
import types
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gradjit.config import settings
from gradjit.errors import (
    DtypeError,
    GradjitError,
    ShapeError,
    UnsupportedError,
)
from gradjit.ir.tree import IsLeaf, Tree, flatten, is_number
from gradjit.leaf import Axes, Spec, prepare
from gradjit.options import Options
from gradjit.signature import Call, Function, leaf_paths

# The compiler is imported when something is compiled; methods import what they need.
if TYPE_CHECKING:
    from gradjit.compiled import Compiled
    from gradjit.ir.graph import Graph
    from gradjit.lowered import Lowered
    from gradjit.primal import Transform

_OVER = object()  # in place of a result: more is saved than there is memory for
_LEVELS = 6  # five more forward passes, at most
_LOCK = threading.RLock()
Key = tuple[Tree, tuple[Spec, ...]]


class Transformed:
    """A transformed function.

    Call it like the function. After a call, or after `lower(*args)`, the emitted
    source can be read.

    Args:
        fn: The user's function.
        transform: What is computed from it.
        options: How it is compiled.

    Example:
        >>> import gradjit
        >>> square = gradjit.grad(lambda x: x * x)
        >>> square(3.0)
        6.0
    """

    # `__call__` is a slot of the instance: a call goes straight to the function that is
    # in it, without a Python frame in between.
    __slots__ = (
        "__call__",
        "__dict__",
        "__weakref__",
        "_compiled",
        "_label",
        "_last",
        "_options",
        "_transform",
    )

    __call__: Callable[..., Any]

    def __init__(
        self, fn: Callable[..., Any], transform: Transform, options: Options
    ) -> None:
        if not callable(fn):
            raise DtypeError(f"{transform.name} takes a function, not {fn!r}")
        self.__wrapped__ = fn
        for name in ("__module__", "__name__", "__qualname__", "__doc__"):
            if hasattr(fn, name):
                setattr(self, name, getattr(fn, name))
        self._transform = transform
        self._options = options
        self._label = _label(transform, fn)
        self._compiled: dict[Key, list[Compiled]] = {}
        self._last: Lowered | None = None
        self.__call__ = self._general

    @cached_property
    def _function(self) -> Function:
        fn = self.__wrapped__
        signature = _signature(fn)
        return Function(fn, self._transform, self._options, self._label, signature)

    # -------------------------------------------------- as a function among others

    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __reduce__(self) -> Any:
        return Transformed, (self.__wrapped__, self._transform, self._options)

    def __repr__(self) -> str:
        return f"<gradjit.{self._transform.name} of {self._function.name}>"

    @property
    def __signature__(self) -> inspect.Signature | None:
        return self._function.signature

    def with_options(self, **changes: Any) -> Transformed:
        """The same of the same function, with some options changed."""
        options = replace(self._options, **changes)
        return Transformed(self.__wrapped__, self._transform, options)

    def lowered_for(self, *args: Any) -> Lowered:
        """What it is lowered to for arguments; nothing is kept, no lock is taken."""
        from gradjit.lowered import lower

        return lower(self._function, self._prepare(args, {}))

    @property
    def transform(self) -> Transform:
        """What is computed from the function."""
        return self._transform

    @property
    def options(self) -> Options:
        """How it is compiled."""
        return self._options

    # ------------------------------------------------------------ what was emitted

    @property
    def label(self) -> str:
        """The name of the emitted function."""
        return self._label

    @property
    def source(self) -> str:
        """The emitted Python of the last signature."""
        return self._lowered().source

    @property
    def source_path(self) -> str:
        """The file of the emitted Python."""
        from gradjit.codegen.module import load

        lowered = self._lowered()
        return str(load(lowered.source, lowered.function.label).__file__)

    @property
    def graph(self) -> Graph:
        """The graph that was made into the program."""
        return self.stages["simplify"]

    @property
    def stages(self) -> dict[str, Graph]:
        """The graph after each pass, by the pass's name."""
        return dict(self._lowered().stages.graphs)

    def explain(self) -> str:
        """Tables of what is saved for the way back, of loops and of buffers."""
        from gradjit.explain import explain

        return explain(self._lowered())

    def lower(self, *args: Any, **kwargs: Any) -> Transformed:
        """Trace and print for these arguments, without compiling or running.

        Args:
            args: As in a call.
            kwargs: As in a call.

        Returns:
            Itself, so that `f.lower(x).source` reads well.
        """
        from gradjit.lowered import lower

        call = self._prepare(args, kwargs)
        with _LOCK:
            self._last = lower(self._function, call)
        return self

    def compile(self, *args: Any, **kwargs: Any) -> Transformed:
        """Compile for these arguments, to the disk cache as well, without running.

        Args:
            args: As in a call.
            kwargs: As in a call.

        Returns:
            Itself.
        """
        self._last = self._compile(self._prepare(args, kwargs)).lowered
        return self

    @property
    def lowering(self) -> Lowered:
        """What the last call, or `lower`, was lowered to."""
        return self._lowered()

    def _lowered(self) -> Lowered:
        if self._last is None:
            raise GradjitError(
                f"{self!r} has not been compiled yet",
                hint="Call it, or call its lower(*args), first.",
            )
        return self._last

    # ---------------------------------------------------------------- the slow way

    def _general(self, /, *args: Any, **kwargs: Any) -> Any:
        from gradjit.trace.builder import is_traced

        if is_traced((args, kwargs)):
            return self.__gradjit_inline__(*args, **kwargs)
        call = self._prepare(args, kwargs)
        compiled = self._find(call)
        if compiled is None:
            compiled = self._compile(call)
        return self._run(compiled, call)

    def __gradjit_inline__(self, /, *args: Any, **kwargs: Any) -> Any:
        """The transform inside of a function that is being traced."""
        from gradjit.inline import inline

        own, named, extras = self._bind(args, kwargs)
        if extras and self._transform.layout == "own":
            raise UnsupportedError(
                "out= is not supported in a function that is traced",
                hint="Use what the gradient returns.",
            )
        return inline(self._function, own, named, extras)

    def _bind(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any], tuple[Any, ...]]:
        """The function's arguments with defaults, and the transform's own."""
        args, kwargs, extras = self._transform.split(args, kwargs)
        signature = self._function.signature
        if "out" in kwargs and self._function.takes_out:
            kwargs = dict(kwargs)
            out = kwargs.pop("out")
            extras = () if out is None else (out,)
        if signature is not None:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            args, kwargs = bound.args, bound.kwargs
        return args, kwargs, extras

    def _prepare(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        bound = self._bind(args, kwargs)
        is_leaf, made = self._leaves()
        leaves, tree = flatten(bound, is_leaf)
        static = self._static_leaves(tree)
        prepared = [made(x, static.get(k, ())) for k, x in enumerate(leaves)]
        specs = tuple(spec for spec, _ in prepared)
        values = tuple(value for _, value in prepared)
        own = self._transform.layout == "own" and bound[2]
        return Call(tree, specs, values, tuple(leaves), bound[2][0] if own else None)

    def _leaves(self) -> tuple[IsLeaf, Callable[[Any, Axes], tuple[Spec, Any]]]:
        """What a leaf is, and what makes its spec."""
        target = self._options.target
        if target == "cpu":
            return is_number, prepare
        from gradjit.devicecall import prepare_leaf

        return leaf_test(target), prepare_leaf

    def _static_leaves(self, tree: Tree) -> dict[int, Axes]:
        """Leaves of parameters that are compiled for their extents, and the axes."""
        named = dict(self._options.static)
        if not named:
            return {}
        paths = leaf_paths(self._function.signature, tree)
        roots = [re.split(r"[\[.]", path)[0] for path in paths]
        self._refuse_unknown(named)
        return {k: named[root] for k, root in enumerate(roots) if root in named}

    def _refuse_unknown(self, named: Iterable[str]) -> None:
        """Refuse a name in `static` that no parameter has."""
        signature = self._function.signature
        if signature is None:
            return
        known = signature.parameters
        if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values()):
            return
        wrong = [name for name in named if name not in known]
        if wrong:
            raise GradjitError(
                f"static names {wrong[0]}, which is no parameter of"
                f" {self._function.name}({', '.join(known)})"
            )

    def _find(self, call: Call) -> Compiled | None:
        """Code that fits; that which knows most about extents first."""
        known = self._compiled.get(_key(call), ())
        fitting = [c for c in known if c.fits(call)]
        return max(fitting, key=_knowledge, default=None)

    def _compile(self, call: Call) -> Compiled:
        from gradjit.lowered import lower

        with _LOCK:
            again = self._find(call)
            if again is not None and again.lowered.call.specs == call.specs:
                return again
            start = time.perf_counter()
            lowered = lower(self._function, call)
            compiled = self._made(lowered)
            self._compiled.setdefault(_key(call), []).append(compiled)
            self._report(compiled, time.perf_counter() - start)
            return compiled

    def _made(self, lowered: Lowered) -> Compiled:
        """The code of a lowered function, ready to be called."""
        if self._options.target == "cuda":
            from gradjit.devicecall import OnDevice

            return OnDevice(lowered)
        from gradjit.compiled import compile_lowered

        return compile_lowered(lowered, self._slow)

    def _slow(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._general(*args, **kwargs)

    def _run(self, compiled: Compiled, call: Call) -> Any:
        self._last = compiled.lowered
        fit = compiled.refresh()
        try:
            out = compiled(call)
        except ShapeError:
            raise
        except MemoryError:
            if not self._can_save_less(compiled):
                raise
            out = _OVER
        except ValueError as error:
            if compiled.lowered.call.specs == call.specs:
                raise ShapeError(str(error)) from None
            # An extent of 1 that the code was not told of may be one that broadcasts.
            return self._run(self._compile(call), call)
        if out is _OVER:
            return self._run(self._smaller(compiled, call), call)
        if fit and call.canonical and compiled.fast is not None:
            self.__call__ = compiled.fast
        return out

    def _can_save_less(self, compiled: Compiled) -> bool:
        memory = compiled.lowered.function.options.memory
        return memory is not None and memory.levels < _LEVELS

    def _smaller(self, compiled: Compiled, call: Call) -> Compiled:
        """Code that saves less: loops are cut into one more level from now on."""
        options = compiled.lowered.function.options
        with _LOCK:
            if self._function.options == options:
                smaller = options.more_levels()
                self._function = replace(self._function, options=smaller)
                self._compiled.clear()
                self.__call__ = self._general
        return self._compile(call)

    def _report(self, compiled: Compiled, seconds: float) -> None:
        """What GRADJIT_DEBUG asks for."""
        if settings().debug < 1:
            return
        lowered = compiled.lowered
        specs = ", ".join(map(str, lowered.call.specs))
        lines = [f"gradjit: compiled {self!r} for ({specs}) in {seconds:.2f} s"]
        lines += [f"  because {why}" for why in self._reasons(compiled)]
        pins = {**lowered.traced.pinned, **lowered.traced.shaped}
        lines += [
            f"  {lowered.paths[k]} = {value} is part of the program: {reason}"
            for k, (value, reason) in pins.items()
        ]
        if settings().debug >= 2:
            lines.append(lowered.source)
        print("\n".join(lines), file=sys.stderr)

    def _reasons(self, compiled: Compiled) -> list[str]:
        """Why the code that was there did not do: against the code most like it."""
        others = [c for cs in self._compiled.values() for c in cs if c is not compiled]
        found = [c.differences(compiled.lowered.call) for c in others]
        return min(found, key=len) if found else []


def leaf_test(target: str) -> IsLeaf:
    """What tells leaves of containers: on a device, arrays of other libraries too."""
    if target == "cpu":
        return is_number
    from gradjit.cuda.array import on_device

    return lambda x: is_number(x) or on_device(x)


def _key(call: Call) -> Key:
    return call.tree, tuple(s.loose() for s in call.specs)


def _knowledge(compiled: Compiled) -> int:
    return sum(n is not None for s in compiled.lowered.call.specs for n in s.dims)


def _signature(fn: Callable[..., Any]) -> inspect.Signature | None:
    from gradjit.ops.surface import lookup_function

    if lookup_function(fn) is not None:
        return None  # that of NumPy has parameters which programs cannot give
    try:
        return inspect.signature(fn)
    except (TypeError, ValueError):
        return None


def _label(transform: Transform, fn: Callable[..., Any]) -> str:
    """The name of the emitted function: `grad_loss`; of `jit`, the function's own."""
    name = getattr(fn, "label", "")
    if not isinstance(fn, Transformed):
        name = re.sub(r"\W+", "_", getattr(fn, "__name__", type(fn).__name__))
    name = name.strip("_") or "f"
    if transform.name != "jit":
        return f"{transform.name}_{name}"
    return f"{name}_" if keyword.iskeyword(name) else name
