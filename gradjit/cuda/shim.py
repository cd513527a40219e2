"""The one place that imports numba.cuda: NVIDIA's package, Numba's own, or the simulator.

`numba.cuda` is one name for three things. NVIDIA's package numba-cuda puts itself in its
place; without it there is the copy that Numba ships; and with NUMBA_ENABLE_CUDASIM=1 both
give a simulator, which runs kernels as Python threads. What differs is here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from gradjit.errors import GradjitError

_HINT = "pip install gradjit[cuda]"


class _Missing:
    """Stands for numba.cuda where it cannot be imported."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __getattr__(self, name: str) -> Any:
        raise _no_numba_cuda(self._reason)


def _no_numba_cuda(reason: str) -> GradjitError:
    what = f'target="cuda" needs numba.cuda, which cannot be imported: {reason}'
    return GradjitError(what, hint=_HINT)


def _import() -> Any:
    try:
        from numba import cuda  # pyright: ignore[reportMissingTypeStubs]
    except Exception as error:  # what a half-installed toolkit raises is not one class
        return _Missing(f"{type(error).__name__}: {error}")
    return cuda


cuda: Any = _import()
IMPORTED = not isinstance(cuda, _Missing)
SIMULATED: bool = IMPORTED and "simulator" in cuda.jit.__module__
FLAVOUR: str = (
    "numba-cuda" if getattr(cuda, "implementation", "") == "NVIDIA" else "numba"
)


def require() -> None:
    """Returns if kernels can run in this process.

    Raises:
        GradjitError: Something is missing. Says what, and how to get it.
    """
    if not IMPORTED:
        _ = cuda.jit  # raises
    if SIMULATED or cuda.is_available():
        return
    what = f'target="cuda" finds no CUDA device: {cuda.cuda_error()}'
    raise GradjitError(what, hint=_HINT)


_ptx_lock = threading.Lock()


class _Device:
    """A device that is not there: what the compiler wants to know of it."""

    def __init__(self, cc: tuple[int, int]) -> None:
        self.compute_capability = cc


def ptx(function: Any, signature: Any, cc: tuple[int, int]) -> str:
    """The PTX of a kernel for a compute capability; no device is needed.

    Args:
        function: A kernel (what `cuda.jit` made) or a Python function.
        signature: Its argument types, as `cuda.jit` takes them.
        cc: The compute capability, as (9, 0).
    """
    from numba.cuda import dispatcher  # pyright: ignore

    module: Any = dispatcher
    compile_ptx: Callable[..., tuple[str, Any]] = cuda.compile_ptx
    plain = getattr(function, "py_func", function)
    options = getattr(function, "targetoptions", {})
    kept = {name: options[name] for name in ("fastmath", "opt") if name in options}
    with _ptx_lock:
        # A device function is compiled for the current device, whatever `cc` says.
        current = module.get_current_device
        module.get_current_device = lambda: _Device(cc)
        try:
            text, _ = compile_ptx(plain, signature, cc=cc, **kept)
        finally:
            module.get_current_device = current
    return text
