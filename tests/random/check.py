"""All that is checked of one random program."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType
from typing import Any, Literal

import numpy as np

import gradjit
from gradjit.ops.evaluate import evaluate
from tests.random.oracle import complex_step
from tests.random.programs import SIZE, arguments, program

Outcome = Literal["ok", "refused", "unclear"]

# Some programs run once more with so little memory that loops are cut, and others with
# arrays of known shape, most of which then live in scalars.
LIMITED = {"memory": 4000}
EXACT = {"static": ("x", "w", "p")}


@dataclass(frozen=True, slots=True)
class Case:
    """One program with arguments.

    Attributes:
        seed: Of the program and of the arguments.
        dtype: Of the float arrays among the arguments.
    """

    seed: int
    dtype: Any = np.float64

    @property
    def eps(self) -> float:
        return float(np.finfo(self.dtype).eps)

    def arguments(self) -> tuple[Any, ...]:
        return arguments(self.seed, self.dtype)

    def __str__(self) -> str:
        return f"program {self.seed} in {np.dtype(self.dtype).name}"


@dataclass(slots=True)
class Expected:
    """What the plain function does.

    Attributes:
        value: What it returns.
        written: Its arguments afterwards.
        slopes: The derivatives by x, w and s, from complex steps.
        near: The value of the complex run, which has other roundings.
        noise: How far slopes move if arguments are rounded, once it was asked for.
    """

    value: Any
    written: tuple[Any, ...]
    slopes: list[Any]
    near: float
    noise: list[Any] = field(default_factory=list[Any])


def load(seed: int, folder: Path) -> FunctionType:
    """The program as a function of a module, so that its source can be found."""
    path = folder / f"program_{seed}.py"
    path.write_text("import numpy as np\n\n\n" + program(seed))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.program


def expect(case: Case, function: FunctionType) -> Expected:
    """Run the plain function."""
    written = case.arguments()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = function(*written)
        near, slopes = complex_step(program(case.seed), case.arguments())
    return Expected(value, written, slopes, float(near))


def check(case: Case, folder: Path, limit: bool = True) -> Outcome:
    """Value, gradients, dtypes and effects of one program; raises what is wrong.

    Without `limit`, no program runs once more with little memory, which takes six
    compilations.
    """
    function = load(case.seed, folder)
    want = expect(case, function)
    try:
        _gradients(case, function, want, {})
        if limit and case.seed % 16 == 0:
            with suppress(MemoryError):  # this program cannot do with so little
                _gradients(case, function, want, LIMITED)
        if case.seed % 4 == 2:
            _gradients(case, _of_known_length(function), want, EXACT)
        if case.seed % 4 == 0:
            _effects(case, function, want)
        if case.seed % 16 == 1:
            _delivered(case, function)
    except gradjit.UnsupportedError as error:
        if "same array" in str(error) or "same memory" in str(error):
            return "refused"
        if "part of another array" in str(error):
            return "refused"
        raise
    return "ok" if _is_clear(case, want) else "unclear"


def _of_known_length(function: FunctionType) -> Any:
    """The program with `n` as a part of it."""

    def program(x: Any, w: Any, s: Any, p: Any, n: int) -> Any:
        return function(x, w, s, p, SIZE)

    return program


def _is_clear(case: Case, want: Expected) -> bool:
    """Whether complex numbers took the same way, as far as the value shows."""
    return abs(want.value - want.near) <= 1e3 * case.eps * (1.0 + abs(want.near))


def _gradients(
    case: Case, function: FunctionType, want: Expected, options: dict[str, Any]
) -> None:
    args = case.arguments()
    derived = gradjit.value_and_grad(function, argnums=(0, 1, 2), **options)
    with np.errstate(all="ignore"):
        value, grads = derived(*args)
    _same_value(case, value, want)
    for before, after in zip(case.arguments(), args, strict=True):
        np.testing.assert_array_equal(before, after, err_msg=f"{case}: an argument")
    for got, arg in zip(grads, args, strict=False):
        assert np.shape(got) == np.shape(arg), str(case)
        assert np.asarray(got).dtype == np.asarray(arg).dtype, str(case)
    _same_as_unoptimised(case, derived, [value, *grads])
    if _is_clear(case, want):
        _same_slopes(case, grads, want)


def _same_value(case: Case, got: Any, expected: Expected) -> None:
    """The numbers agree, and none has lost precision.

    In float32 the dtype can depend on the path taken: `np.cos(0.5 if c else x[0])` is a
    float64 if `c` holds. There a Python float counts as one of any width. And of a
    program that amplifies roundings little is left in float32.
    """
    want = expected.value
    if isinstance(want, np.generic):
        least = min(want.dtype.itemsize, np.dtype(case.dtype).itemsize)
        assert got.dtype.itemsize >= least, f"{case}: {got.dtype}"
    if case.eps > 1e-10 and not _is_clear(case, expected):
        return
    scale = 1e4 * case.eps
    np.testing.assert_allclose(got, want, rtol=scale, atol=scale, err_msg=str(case))


def _effects(case: Case, function: FunctionType, want: Expected) -> None:
    """`jit` does to the arguments what the function does."""
    args = case.arguments()
    with np.errstate(all="ignore"):
        value = gradjit.jit(function)(*args)
    _same_value(case, value, want)
    for got, after in zip(args, want.written, strict=True):
        scale = 1e4 * case.eps
        np.testing.assert_allclose(got, after, rtol=scale, atol=scale)


def _delivered(case: Case, function: FunctionType) -> None:
    """Gradients written into arrays of the caller have the bits of fresh ones."""
    derived = gradjit.grad(function, argnums=(0, 1))
    with np.errstate(all="ignore"):
        want = derived(*case.arguments())
        out = tuple(np.full_like(g, 7.0) for g in want)
        args = case.arguments()
        assert derived(*args, out=out) is out, str(case)
    for got, fresh in zip(out, want, strict=True):
        np.testing.assert_array_equal(got, fresh, err_msg=f"{case}: out")
    for before, after in zip(case.arguments(), args, strict=True):
        np.testing.assert_array_equal(before, after, err_msg=f"{case}: an argument")


def _same_as_unoptimised(case: Case, derived: Any, results: list[Any]) -> None:
    """The graph before all passes, read by the interpreter, gives the same numbers."""
    lowered = derived.lowering
    leaves = case.arguments()
    captures = [c.array for c in lowered.traced.captures]
    given = [leaves[k] if k >= 0 else captures[-1 - k] for k in lowered.params]
    plain = evaluate(derived.stages["value_and_grad"], given)
    for got, want in zip(results, plain[: len(results)], strict=True):
        bound = 1e5 * case.eps * max(1.0, float(np.max(np.abs(want), initial=0.0)))
        np.testing.assert_allclose(
            got, want, rtol=0.0, atol=bound, err_msg=f"{case}: unoptimised"
        )


def _same_slopes(case: Case, grads: Any, want: Expected) -> None:
    """Gradients are the slopes, but for what rounding the arguments would change."""
    if all(close(case, g, s) for g, s in zip(grads, want.slopes, strict=True)):
        return
    want.noise = want.noise or _noise(case, want.slopes)
    for got, slope, slack in zip(grads, want.slopes, want.noise, strict=True):
        assert close(case, got, slope, 20.0 * slack), f"{case}: {got} and {slope}"


def close(case: Case, got: Any, want: Any, slack: Any = 0.0) -> bool:
    """Equal to nine digits, or to eleven of the largest entry; in float32 to three."""
    rtol, atol = (1e-9, 1e-11) if case.eps < 1e-10 else (1e-3, 1e-4)
    scale = max(1.0, float(np.max(np.abs(want), initial=0.0)))
    return bool(
        np.all(np.abs(got - want) <= rtol * np.abs(want) + atol * scale + slack)
    )


def _noise(case: Case, slopes: list[Any]) -> list[Any]:
    """How the slopes of an ill-conditioned program move if arguments are rounded.

    About one program in five hundred has slopes of 1e8 and more.
    """
    x, w, s, p, n = case.arguments()
    noise = [np.zeros(np.shape(slope)) for slope in slopes]
    for ulps in (-3, -1, 2, 5):
        nudge = x.dtype.type(1.0 + ulps * case.eps)
        moved = (x * nudge, w * nudge, s * float(nudge), p, n)
        _, there = complex_step(program(case.seed), moved)
        noise = list(_larger(noise, there, slopes))
    return noise


def _larger(noise: list[Any], there: list[Any], here: list[Any]) -> Iterator[Any]:
    for k, m, g in zip(noise, there, here, strict=True):
        yield np.maximum(k, abs(m - g))
