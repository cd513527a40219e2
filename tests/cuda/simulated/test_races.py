"""That races and missed barriers are found, and nothing else is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradjit.cuda.shim import cuda
from tests.cuda.races import watched


@cuda.jit
def passed_on(x, y):
    k = cuda.threadIdx.x
    x[k] = k
    y[k] = x[(k + 1) % x.shape[0]]


@cuda.jit
def passed_on_behind_a_barrier(x, y):
    k = cuda.threadIdx.x
    x[k] = k
    cuda.syncthreads()
    y[k] = x[(k + 1) % x.shape[0]]


@cuda.jit
def met_in_two_places(x, y):
    if cuda.threadIdx.x == 0:
        x[0] = 1.0
        cuda.syncthreads()
    else:
        cuda.syncthreads()


@cuda.jit
def added(x, y):
    cuda.atomic.add(x, 0, 1.0)


@cuda.jit
def added_at_once(x, y):
    x[0] += 1.0


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        (passed_on, "threads of a block race"),
        (passed_on_behind_a_barrier, ""),
        (met_in_two_places, "different barriers"),
        (added, ""),
        (added_at_once, "threads of a block race"),
    ],
)
def test_what_is_found(kernel: Any, words: str) -> None:
    x, y = np.zeros(4), np.zeros(4)
    with watched() as found:
        kernel[1, 4](x, y)
    assert all(words in text for text in found)
    assert bool(found) == bool(words)


def test_blocks_race() -> None:
    x, y = np.zeros(4), np.zeros(4)
    with watched() as found:
        added_at_once[2, 1](x, y)
        added[2, 1](x, y)
    assert found == ["added_at_once: blocks race"]
