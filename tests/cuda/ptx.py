"""PTX of kernels without a device: how tests get it, and whether it can be had."""

from __future__ import annotations

import functools
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gradjit.cuda import shim

CAPABILITIES = ((8, 0), (9, 0))


@functools.cache
def reason() -> str:
    """Why no PTX can be made here; empty if it can."""
    if shim.SIMULATED:
        return "the simulator makes no PTX"

    def nothing() -> None:
        pass

    try:
        shim.ptx(nothing, (), CAPABILITIES[0])
    except Exception as error:  # what a missing toolkit raises differs by flavour
        first = str(error).strip().splitlines()[:1]
        return f"no PTX: {type(error).__name__}: {' '.join(first)}"
    return ""


def compile_kernel(function: Any, types: Any, cc: tuple[int, int]) -> str:
    """The PTX of a kernel, as text.

    Args:
        function: A Python function or what `cuda.jit` made of it.
        types: Types of its arguments, as `cuda.jit` takes them.
        cc: The compute capability, as (9, 0).
    """
    if why := reason():
        pytest.skip(why)
    text = shim.ptx(function, types, cc)
    assert f".target sm_{cc[0]}{cc[1]}" in text
    return text


def code(text: str) -> str:
    """The instructions alone: names of functions, which name types, are left out.

    >>> code(".visible .entry f64(.param .u64 a)\\n{\\n\\tret;\\n}\\n")
    'ret;'
    """
    bodies = re.findall(r"^\{$(.*?)^\}$", text, re.MULTILINE | re.DOTALL)
    lines = [line.strip() for body in bodies for line in body.splitlines()]
    return "\n".join(line for line in lines if line and not line.startswith("//"))


class Usage(NamedTuple):
    """What a kernel takes of a multiprocessor.

    Attributes:
        registers: Registers of a thread, 255 at most.
        spilled: Bytes of registers that go through memory.
        shared: Bytes of shared memory of a block.
    """

    registers: int
    spilled: int
    shared: int


def usage(text: str, cc: tuple[int, int]) -> Usage:
    """What NVIDIA's assembler, which a driver has too, says of a kernel's PTX."""
    assembler = ptxas()
    if assembler is None:
        pytest.skip("no ptxas: pip install nvidia-cuda-nvcc")
    options = ["-v", "-arch", f"sm_{cc[0]}{cc[1]}", "-o", "/dev/null", "-"]
    run = subprocess.run(
        [assembler, *options], input=text, capture_output=True, text=True
    )
    if "Unsupported .version" in run.stderr:
        pytest.skip("ptxas is older than NVVM")
    assert run.returncode == 0, run.stderr
    found = {
        what: sum(map(int, re.findall(rf"(\d+) {what}", run.stderr)))
        for what in ("registers", "bytes spill stores", "bytes smem")
    }
    return Usage(*found.values())


@functools.cache
def ptxas() -> str | None:
    """The assembler of NVIDIA's wheels, or of a toolkit."""
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in sorted(Path(folder).glob("*/bin/ptxas"), reverse=True):
            return str(path)
    return shutil.which("ptxas")
