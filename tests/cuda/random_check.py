"""One random program on the simulated device, against the CPU and plain Python.

NUMBA_ENABLE_CUDASIM=1 python -m tests.cuda.random_check FIRST LAST [float32]
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradjit
from gradjit import config
from tests.cuda.races import watched
from tests.cuda.random_programs import arguments, program

FLOATS = (0, 1, 2)


def load(seed: int, folder: Path) -> Any:
    """The program as a function of a module, so that its source can be found."""
    path = folder / f"device_program_{seed}.py"
    path.write_text("import numba\nimport numpy as np\n\n\n" + program(seed))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.program


def check(seed: int, dtype: Any, folder: Path) -> str:
    """Value, gradients, arguments, and races; raises what is wrong."""
    function = load(seed, folder)
    args, kept = arguments(seed, dtype), arguments(seed, dtype)
    try:
        with config.override(jit=False):
            want = gradjit.value_and_grad(function, FLOATS)(*args)
    except gradjit.UnsupportedError:
        return "refused by the CPU"
    except (IndexError, ValueError) as error:
        return _same_error(function, args, error)
    try:
        with watched() as found:
            got = gradjit.value_and_grad(function, FLOATS, target="cuda")(*args)
    except gradjit.UnsupportedError:
        return "refused"
    assert not found, f"{found}"
    _same([got[0], *got[1]], [want[0], *want[1]], dtype)
    for given, before in zip(args, kept, strict=True):
        np.testing.assert_array_equal(given, before, err_msg="an argument")
    if seed % 3 == 0:
        _effects(function, seed, dtype)
    return "ok"


def _same_error(function: Any, args: Any, error: Exception) -> str:
    """A program that fails on the CPU fails as well on a device."""
    try:
        with pytest.raises(type(error)) as found:
            gradjit.value_and_grad(function, FLOATS, target="cuda")(*args)
    except gradjit.UnsupportedError:
        return "refused"
    assert str(found.value) == str(error)
    return "same error"


def _same(got: list[Any], want: list[Any], dtype: Any) -> None:
    eps = float(np.finfo(dtype).eps)
    for a, b in zip(got, want, strict=True):
        assert type(a) is type(b), f"{type(a)} and {type(b)}"
        assert np.shape(a) == np.shape(b)
        assert getattr(a, "dtype", None) == getattr(b, "dtype", None)
        scale = max(1.0, float(np.max(np.abs(b), initial=0.0)))
        np.testing.assert_allclose(a, b, rtol=0, atol=1e4 * eps * scale)


def _effects(function: Any, seed: int, dtype: Any) -> None:
    """`jit` on a device does to the arguments what the function does."""

    def writes(x: Any, y: Any, z: Any, k: int, p: Any, q: Any) -> Any:
        t = function(x, y, z, k, p, q)
        x *= 0.5
        y[::2] += t * 0.01
        return t

    plain, ours = arguments(seed, dtype), arguments(seed, dtype)
    with config.override(jit=False):
        want = gradjit.jit(writes)(*plain)
    with watched() as found:
        got = gradjit.jit(writes, target="cuda")(*ours)
    assert not found, f"jit: {found}"
    _same([got, *ours[:3]], [want, *plain[:3]], dtype)


def main() -> int:
    """Run the programs with these seeds."""
    sys.setswitchinterval(1e-4)
    first, last = (int(a) for a in sys.argv[1:3])
    dtype = np.float32 if "float32" in sys.argv else np.float64
    counts: Counter[str] = Counter()
    start = time.perf_counter()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(first, last):
            try:
                counts[check(seed, dtype, Path(folder))] += 1
            except Exception as exc:
                counts["wrong"] += 1
                text = " ".join(str(exc).split())[:300]
                print(f"wrong {seed}: {type(exc).__name__}: {text}", flush=True)
    listed = ", ".join(f"{n} {kind}" for kind, n in counts.most_common())
    print(f"{first} to {last}: {listed} in {time.perf_counter() - start:.0f} s")
    return 1 if counts["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
