"""What is missing, in words; and that importing gradjit does not import numba.cuda."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from gradjit.cuda import shim
from gradjit.errors import GradjitError


def missing(monkeypatch: pytest.MonkeyPatch, error: Any) -> str:
    module = SimpleNamespace(is_available=lambda: False, cuda_error=lambda: error)
    monkeypatch.setattr(shim, "cuda", module)
    monkeypatch.setattr(shim, "SIMULATED", False)
    with pytest.raises(GradjitError) as caught:
        shim.require()
    return str(caught.value)


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    error = "\nCUDA driver library cannot be found.\nEnsure that a compatible NVIDIA"
    assert missing(monkeypatch, error) == (
        'target="cuda" needs an NVIDIA GPU with its driver: CUDA driver library cannot '
        "be found.\n  On a machine that has them: pip install gradjit[cuda]"
    )


def test_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    error = "Call to cuInit results in CUDA_ERROR_NO_DEVICE (100)"
    assert missing(monkeypatch, error) == (
        'target="cuda" needs an NVIDIA GPU with its driver: Call to cuInit results in '
        "CUDA_ERROR_NO_DEVICE (100)\n"
        "  On a machine that has them: pip install gradjit[cuda]"
    )


def test_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing(monkeypatch, None) == (
        'target="cuda" needs the CUDA compiler NVVM, which is not found\n'
        "  pip install gradjit[cuda]"
    )


def test_no_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba.cuda", None)
    import numba

    monkeypatch.delattr(numba, "cuda", raising=False)
    found = shim._import()
    monkeypatch.setattr(shim, "cuda", found)
    monkeypatch.setattr(shim, "IMPORTED", False)
    with pytest.raises(GradjitError) as caught:
        shim.require()
    first, hint = str(caught.value).splitlines()
    assert first.startswith(
        'target="cuda" needs numba.cuda, which cannot be imported: '
    )
    assert hint == "  pip install gradjit[cuda]"
    with pytest.raises(GradjitError, match="cannot be imported"):
        _ = found.jit


def test_device_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(is_available=lambda: True)
    monkeypatch.setattr(shim, "cuda", module)
    monkeypatch.setattr(shim, "SIMULATED", False)
    shim.require()


def test_no_warning_of_small_grids(monkeypatch: pytest.MonkeyPatch) -> None:
    if shim.SIMULATED:
        pytest.skip("the simulator warns of nothing")
    options = shim._options()
    monkeypatch.setattr(options, "CUDA_LOW_OCCUPANCY_WARNINGS", 1)
    with shim.quiet():
        assert options.CUDA_LOW_OCCUPANCY_WARNINGS == 0
        with shim.quiet():
            pass
        assert options.CUDA_LOW_OCCUPANCY_WARNINGS == 0
    assert options.CUDA_LOW_OCCUPANCY_WARNINGS == 1


@pytest.mark.parametrize("module", ["gradjit", "gradjit.cuda"])
def test_importing_does_not_import_numba_cuda(module: str) -> None:
    program = f"import sys, {module}; print('numba.cuda' in sys.modules)"
    command = [sys.executable, "-c", program]
    child = subprocess.run(command, capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "False"


def test_names_of_the_package() -> None:
    import gradjit.cuda

    assert gradjit.cuda.pool.size_class(1) == 512
    assert {"pool", "require", "synchronize", "to_device"} <= set(dir(gradjit.cuda))
    with pytest.raises(
        AttributeError, match=r"^module 'gradjit.cuda' has no attribute"
    ):
        _ = gradjit.cuda.nothing
