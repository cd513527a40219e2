"""The one place that imports numba.cuda: NVIDIA's, Numba's own, or the simulator.

`numba.cuda` is one name for three things. NVIDIA's package numba-cuda puts itself in
its place; without it there is the copy that Numba ships; and with
NUMBA_ENABLE_CUDASIM=1 both give a simulator, which runs kernels as Python threads. What
differs is here.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from gradjit.cuda.simulator import Simulator
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
if SIMULATED:
    cuda = Simulator(cuda)


def _link_once() -> None:
    """Have each device function linked into a kernel once.

    One that a kernel reaches by two ways, a reduction over the block that it calls and
    one over the grid that it calls too, is listed twice. NVVM merges such functions,
    but not the shared memory that belongs to them, and refuses the kernel.
    """
    from numba.cuda import codegen  # pyright: ignore

    library: Any = codegen.CUDACodeLibrary  # pyright: ignore
    listed = library.modules.fget

    def modules(self: Any) -> list[Any]:
        return list({id(module): module for module in listed(self)}.values())

    library.modules = property(modules)


if IMPORTED and not SIMULATED:
    _link_once()


def require() -> None:
    """Returns if kernels can run in this process.

    Raises:
        GradjitError: Something is missing. Says what, and how to get it.
    """
    if not IMPORTED:
        _ = cuda.jit  # raises
    if SIMULATED or cuda.is_available():
        return
    error = cuda.cuda_error()
    if error is None:
        what = 'target="cuda" needs the CUDA compiler NVVM, which is not found'
        raise GradjitError(what, hint=_HINT)
    reason = next(iter(str(error).strip().splitlines()), "no reason given")
    what = f'target="cuda" needs an NVIDIA GPU with its driver: {reason}'
    raise GradjitError(what, hint=f"On a machine that has them: {_HINT}")


@functools.cache
def device_array_class() -> Any:
    """The class of device arrays, `DeviceNDArray`."""
    from numba.cuda.cudadrv import devicearray  # pyright: ignore

    found: Any = devicearray
    return found.DeviceNDArray


@functools.cache
def pointer_class() -> Any:
    """The class of addresses, as `MemoryPointer` takes them."""
    module = _driver()
    if FLAVOUR == "numba" and not module.USE_NV_BINDING:
        return module.drvapi.cu_device_ptr
    return module.binding.CUdeviceptr


class _Quiet:
    """Numba's warning of grids with few blocks, which the user did not choose: off.

    The warning is an option of the process. It is off while any call of ours runs, and
    then what it was.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = 0
        self._before = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._calls == 0:
                options = _options()
                self._before = options.CUDA_LOW_OCCUPANCY_WARNINGS
                options.CUDA_LOW_OCCUPANCY_WARNINGS = 0
            self._calls += 1

    def __exit__(self, *raised: object) -> None:
        with self._lock:
            self._calls -= 1
            if self._calls == 0:
                _options().CUDA_LOW_OCCUPANCY_WARNINGS = self._before


_quiet = _Quiet()


def device_memset(a: Any, byte: int, nbytes: int, stream: Any) -> None:
    """Sets the first bytes of a device array; does not wait."""
    _driver().device_memset(a, byte, nbytes, stream=stream)


def device_to_device(to: Any, a: Any, nbytes: int, stream: Any) -> None:
    """Copies the first bytes of a device array; does not wait."""
    _driver().device_to_device(to, a, nbytes, stream=stream)


@functools.cache
def _driver() -> Any:
    from numba.cuda.cudadrv import driver  # pyright: ignore

    module: Any = driver
    return module


def quiet() -> AbstractContextManager[None]:
    """While it is entered, Numba does not warn of small grids."""
    return nullcontext() if SIMULATED else _quiet


def _options() -> Any:
    from numba.cuda import dispatcher  # pyright: ignore

    module: Any = dispatcher
    return module.config


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
