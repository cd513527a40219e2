"""Calls from many threads: the same bits as from one, and one compilation."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

import gradjit

COUNT = 8


def series(x, w):
    s = 0.0
    total = 0.0
    for i in range(len(x)):
        s = np.tanh(w * s + x[i])
        if s > 0.5:
            total += s * s
    return total + np.sum(np.exp(-(x**2)))


def together(work: Callable[[int], Any]) -> list[Any]:
    """What each of the threads computes, all starting at the same time."""
    barrier = threading.Barrier(COUNT)

    def run(number: int) -> Any:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(COUNT) as pool:
        return list(pool.map(run, range(COUNT)))


def inputs(number: int) -> list[np.ndarray]:
    rng = np.random.default_rng(number)
    return [rng.normal(size=200 + 50 * k) for k in range(10)]


def bits(result: Any) -> tuple[Any, ...]:
    value, (d_x, d_w) = result
    return value, d_x.tobytes(), d_w


def test_the_first_call_is_raced() -> None:
    f = gradjit.value_and_grad(series, argnums=(0, 1))
    got = together(lambda number: bits(f(inputs(number)[0], 0.3)))
    assert sum(map(len, f._compiled.values())) == 1
    alone = gradjit.value_and_grad(series, argnums=(0, 1))
    assert got == [bits(alone(inputs(n)[0], 0.3)) for n in range(COUNT)]


def test_many_calls_at_the_same_time() -> None:
    f = gradjit.value_and_grad(series, argnums=(0, 1))
    want = [[bits(f(x, 0.3)) for x in inputs(n)] for n in range(COUNT)]

    def work(number: int) -> bool:
        args = inputs(number)
        return all([bits(f(x, 0.3)) for x in args] == want[number] for _ in range(20))

    assert together(work) == [True] * COUNT


def test_threads_with_different_signatures() -> None:
    f = gradjit.grad(series)

    def arguments(number: int) -> list[Any]:
        dtype = np.float32 if number % 2 else np.float64
        xs = [x.astype(dtype) for x in inputs(number)]
        return [x[::2] if number % 3 == 0 else x for x in xs]

    alone = gradjit.grad(series)
    want = [[alone(x, 0.3).tobytes() for x in arguments(n)] for n in range(COUNT)]

    def work(number: int) -> bool:
        args = arguments(number)
        return all(
            [f(x, 0.3).tobytes() for x in args] == want[number] for _ in range(9)
        )

    assert together(work) == [True] * COUNT


def test_each_thread_with_an_array_of_its_own() -> None:
    f = gradjit.value_and_grad(series)
    alone = gradjit.value_and_grad(series)
    want = [[alone(x, 0.3)[1].tobytes() for x in inputs(n)] for n in range(COUNT)]

    def work(number: int) -> bool:
        args = inputs(number)
        places = [np.empty_like(x) for x in args]
        for _ in range(20):
            for x, place in zip(args, places, strict=True):
                f(x, 0.3, out=place)
            if [place.tobytes() for place in places] != want[number]:
                return False
        return True

    assert together(work) == [True] * COUNT


def test_compiled_code_does_not_hold_the_lock_of_the_interpreter() -> None:
    f = gradjit.value_and_grad(series)
    f(inputs(0)[0], 0.3)
    ((compiled,),) = f._compiled.values()
    assert compiled.kernel.targetoptions["nogil"] is True
