"""Functions of NumPy, SciPy and math on the device, with their pullbacks.

The first sample call of each. Some are refused by name; nothing may be wrong.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest

from gradjit.codegen.device import emit_device
from gradjit.codegen.module import load
from gradjit.cuda import array
from gradjit.errors import UnsupportedError
from gradjit.ir.graph import Block, Graph
from gradjit.ir.types import is_float
from gradjit.ops.evaluate import evaluate
from gradjit.ops.surface import Function, surface_functions
from gradjit.passes import pipeline
from gradjit.passes.ad import vjp
from tests.ops.tracing import Traced, weights

CALLS = [
    pytest.param(f, *f.samples[0], id=f.name) for f in surface_functions() if f.samples
]
# One thread would run these, and nothing else.
SCANS = {"np.cumsum", "np.cumprod"}


def on_device(block: Block, inputs: list[Any]) -> list[Any]:
    """The results of a block of array ops."""
    stages = pipeline.Stages()
    graph = pipeline.optimise(Graph("f", block), stages)
    program = pipeline.lower_device(graph, stages)
    text = emit_device(program.host, program.kernels, program.checks, "f.")
    host = vars(load(text, "f"))["f"]
    args = [array.enter(x) if isinstance(x, np.ndarray) else x for x in inputs]
    found = host(*args)
    results = found if isinstance(found, tuple) else (found,)
    return array.leave_all(list(results), array.Kind.NUMPY)


@pytest.mark.parametrize(("function", "args", "kwargs"), CALLS)
def test_value_and_pullback(function: Function, args: Any, kwargs: Any) -> None:
    traced = Traced(function, args, kwargs)
    block = traced.block
    wrt = [k for k, p in enumerate(block.params) if is_float(p.type)]
    floats = [k for k, r in enumerate(block.results) if is_float(r.type)]
    inputs = list(traced.inputs)
    if wrt and floats:
        block = vjp(block, wrt)
        inputs += [weights(traced()[k]) for k in floats]
    wanted = evaluate(block, inputs)
    if function.name in SCANS:
        with pytest.raises(UnsupportedError, match="one iteration after the other"):
            on_device(block, inputs)
        return
    alone = not any(isinstance(x, np.ndarray) and x.ndim for x in inputs)
    # Numbers alone are refused, if there is nothing to run in parallel.
    with contextlib.suppress(*([UnsupportedError] if alone else [])):
        for value, want in zip(on_device(block, inputs), wanted, strict=True):
            assert np.shape(value) == np.shape(want)
            np.testing.assert_allclose(value, want, rtol=1e-12, atol=1e-12)
