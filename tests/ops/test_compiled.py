"""Every sample call through the whole pipeline: emitted Python, and Numba.

Numba is slow to start, so its calls come in groups, a function for each.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit import config
from gradjit.ir.types import is_float
from gradjit.ops.evaluate import evaluate
from gradjit.ops.surface import Function, surface_functions
from gradjit.passes.ad import vjp
from tests.ops.test_surface import CALLS, reference
from tests.ops.tracing import Traced, fill, flat, is_sample, leaves, weights

GROUP = 25
# A cotangent of single precision is rounded: 1e-7 is all that there is.
SINGLE = ("ndarray.astype", "np.float32")


def invoke(function: Function, args: Any, kwargs: Any) -> Any:
    """The call as a user writes it."""
    if function.targets:
        return function.targets[0](*args, **kwargs)
    return getattr(args[0], function.method)(*args[1:], **kwargs)


def agree(got: Any, want: Any) -> None:
    for x, y in zip(flat(got), want, strict=True):
        assert np.asarray(x).dtype == np.asarray(y).dtype
        assert np.shape(x) == np.shape(y)
        assert isinstance(x, np.ndarray) == isinstance(y, np.ndarray)
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("function", "args", "kwargs"), CALLS)
def test_emitted_python(function: Function, args: Any, kwargs: Any) -> None:
    call = (args, kwargs)

    def program(*values: Any) -> Any:
        new_args, new_kwargs = fill(call, is_sample, list(values))
        return invoke(function, new_args, new_kwargs)

    with config.override(jit=False):
        got = gradjit.jit(program)(*leaves(call, is_sample))
    agree(got, reference(function, args, kwargs))


@pytest.mark.parametrize(("function", "args", "kwargs"), CALLS)
def test_emitted_gradient(function: Function, args: Any, kwargs: Any) -> None:
    call = (args, kwargs)
    traced = Traced(function, args, kwargs)
    wrt = [k for k, p in enumerate(traced.block.params) if is_float(p.type)]
    places = [k for k, r in enumerate(traced.block.results) if is_float(r.type)]
    if not wrt or not places or (function.name, str(args[:1])) in _TRIGAMMA:
        return
    outs = traced()
    seeds = [weights(outs[k]) for k in places]
    want = evaluate(vjp(traced.block, wrt), [*traced.inputs, *seeds])[len(outs) :]

    def program(*values: Any) -> Any:
        new_args, new_kwargs = fill(call, is_sample, list(values))
        result = invoke(function, new_args, new_kwargs)
        found = result if isinstance(result, list | tuple) else [result]
        total = 0.0
        for k, seed in zip(places, seeds, strict=True):
            total = total + np.sum(found[k] * seed)
        return total

    with config.override(jit=False):
        got = gradjit.grad(program, argnums=tuple(wrt))(*leaves(call, is_sample))
    rtol = 1e-6 if function.name in SINGLE else 1e-11
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(g, w, rtol=rtol, atol=1e-12)


_TRIGAMMA = {("scipy.special.polygamma", "(1,)")}


def _groups() -> list[Any]:
    """Samples of a module, some at a time."""
    modules: dict[str, list[Any]] = defaultdict(list)
    for function in surface_functions():
        name = function.impl.__module__.split(".")[-1]
        modules[name] += [(function, *sample) for sample in function.samples]
    return [
        pytest.param(samples[start : start + GROUP], id=f"{name}-{start}")
        for name, samples in modules.items()
        for start in range(0, len(samples), GROUP)
    ]


@pytest.mark.parametrize("group", _groups())
def test_compiled(group: list[Any]) -> None:
    inputs: list[Any] = []
    spans: list[tuple[int, int]] = []
    for _, args, kwargs in group:
        found = leaves((args, kwargs), is_sample)
        spans.append((len(inputs), len(inputs) + len(found)))
        inputs += found

    def program(*values: Any) -> Any:
        outs = []
        for (function, args, kwargs), (i, j) in zip(group, spans, strict=True):
            call = fill((args, kwargs), is_sample, list(values[i:j]))
            outs.append(invoke(function, *call))
        return outs

    for got, (function, args, kwargs) in zip(
        gradjit.jit(program)(*inputs), group, strict=True
    ):
        agree(got, reference(function, args, kwargs))
