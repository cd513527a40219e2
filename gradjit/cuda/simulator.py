"""`cuda` as kernels see it in Numba's simulator.

The simulator puts a stand-in for `numba.cuda` into a function's globals while the
function runs, and takes it out after it. Its threads are Python threads: with a device
function in another module than the kernel, one thread takes the stand-in out while
another needs it (Numba's own simulator), or the globals change while a thread goes
through them (both). This object needs no such change: it asks which kernel runs. So
device functions can be what they are, Python functions, and calls of them are cheap.
"""

from __future__ import annotations

import importlib
from typing import Any


class Simulator:
    """What `numba.cuda` has, and inside a kernel what the simulator's stand-in has."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._kernel: Any = importlib.import_module("numba.cuda.simulator.kernel")

    @property
    def running(self) -> bool:
        """Whether this thread runs a kernel."""
        return self._kernel._get_kernel_context() is not None

    def jit(self, *args: Any, device: bool = False, **options: Any) -> Any:
        """As `numba.cuda.jit`; a device function stays a Python function."""
        if not device:
            return self._module.jit(*args, **options)
        if args and callable(args[0]):
            return args[0]
        return _unchanged

    def __getattr__(self, name: str) -> Any:
        running = self._kernel._get_kernel_context()
        if running is not None:
            try:
                return getattr(running, name)
            except AttributeError:
                pass  # what the host asks for while a kernel runs
        return getattr(self._module, name)


def _unchanged(function: Any) -> Any:
    return function
