"""Compiled `while` loops look for signals; nothing else changes."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

import gradjit
from gradjit.codegen.module import load
from gradjit.codegen.variant import variant
from gradjit.config import override

WHILE = """\
def f(x):
    n = 0
    while x < 10.0:
        x = x * 1.5
        while n < 3:
            n += 1
    return x + n
"""
FOR = """\
def f(x):
    for _ in range(3):
        x = x * 1.5
    return x
"""


def test_only_functions_with_while_are_changed(tmp_path: Path) -> None:
    with override(cache_dir=str(tmp_path)):
        plain, looped = (load(text, "f").f for text in (FOR, WHILE))
    assert variant(plain, ())[0] is plain
    changed, _ = variant(looped, ())
    assert changed is not looped
    assert changed(1.0) == looped(1.0)
    assert changed.__code__.co_filename == looped.__code__.co_filename
    assert Path(changed.__code__.co_filename).read_text() == WHILE


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind on Windows")
def test_a_compiled_loop_is_interrupted_and_runs_again() -> None:
    @gradjit.grad
    def steps(x: float, n: int) -> float:
        k = 0
        while k < n:
            x = x * 0.5 + 0.25
            k += 1
        return x

    assert steps(1.0, 3) == 0.125
    alarm = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    alarm.start()
    with pytest.raises(KeyboardInterrupt):
        steps(1.0, 2**62)
    assert steps(1.0, 3) == 0.125
