"""Emitted source as a file of one's own: to read, to review, to ship on its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gradjit.errors import UnsupportedError
from gradjit.transformed import Transformed
from gradjit.version import VERSION

_OPTIONS = 'error_model="numpy", fastmath={"reassoc"}'


def export(f: Any, args: Sequence[Any], path: str | Path) -> Path:
    """Write what gradjit emits for a signature to a file that needs only Numba.

    The function in the file takes the arrays and numbers of the arguments, flat and
    C-contiguous, in their order (then arrays that the program closes over), and
    returns its results flat. Elementary functions, matrix products and allocation are
    NumPy's there, not those of gradjit's runtime.

    Args:
        f: A transformed function: `grad(f)`, `value_and_grad(f)`, `jit(f)`, ...
        args: Arguments that say what the signature is; nothing is computed with them.
        path: The file to write; an existing one is replaced.

    Returns:
        The path.

    Raises:
        UnsupportedError: `f` is not a function that gradjit has transformed, or is
            compiled for a device.

    Example:
        >>> import tempfile
        >>> import gradjit
        >>> def square(x):
        ...     return x * x
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = export(gradjit.grad(square), (3.0,), f"{folder}/d_square.py")
        ...     "@numba.njit" in file.read_text()
        True
    """
    from gradjit.codegen.emit import emit
    from gradjit.codegen.module import PRANGE
    from gradjit.passes import pipeline
    from gradjit.passes.parallel import is_parallel

    if not isinstance(f, Transformed):
        raise UnsupportedError(
            "export takes a function that gradjit has transformed",
            hint="Export gradjit.grad(f) or gradjit.jit(f), not f itself.",
        )
    lowered = f.lower(*args).lowering
    if lowered.function.options.target != "cpu":
        raise UnsupportedError(
            "export writes code for the CPU: kernels need gradjit.cuda at run time",
            hint="Vendor f.source with gradjit installed, or export the function"
            ' without target="cuda".',
        )
    program = pipeline.lower(
        lowered.stages.graphs["eliminate"],
        pipeline.Stages(),
        runtime=False,
        parallel=lowered.function.options.parallel,
    )
    title = lowered.source.split('"""')[1].splitlines()[0]
    notes = [f"Written by gradjit {VERSION}."]
    options = _OPTIONS
    if is_parallel(program.graph):
        options += f", parallel={dict(PRANGE)}"
    decorator = f"@numba.njit({options})"
    text = emit(program, title, notes, decorator, ["import numba"], runtime=False)
    target = Path(path)
    target.write_text(text)
    return target
