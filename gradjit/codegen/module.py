"""From source text to a function: a file in the cache folder, an import, Numba.

The file is named after the hash of its text, and of the runtime modules that it imports
and that are compiled into it, so the same text is the same file in every process, and
Numba's disk cache, which goes by file, finds what it compiled before. A
file that is there already is used only if its bytes are the text; anything else is
replaced, never executed. Bytecode files are neither read nor written.
"""

from __future__ import annotations

import atexit
import gc
import hashlib
import importlib
import importlib.util
import os
import shutil
import stat
import sys
import tempfile
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from gradjit.codegen.cached import load_cached
from gradjit.codegen.variant import variant
from gradjit.config import settings
from gradjit.errors import CompileError, InternalError
from gradjit.ir.types import ArrayType, ScalarType, StackType, Type

# Only what is written as prange runs in parallel, and nothing is rewritten for it.
PRANGE: Mapping[str, bool] = {
    "prange": True,
    **dict.fromkeys(("comprehension", "reduction", "inplace_binop", "setitem"), False),
    **dict.fromkeys(("numpy", "stencil", "fusion"), False),
}

Compiled = Callable[..., Any]

# Sums may be taken in another order, so that they vectorise (8 times faster). Without
# "nsz" LLVM does not reassociate what is not a reduction: compensated summation and
# error-free transformations keep their meaning. No "contract": `b * b - 4 * a * c` must
# not become negative where both products are equal.
_REORDER = frozenset({"reassoc"})

# Numba's name of an option, with what gradjit always asks for.
_FIXED: Mapping[str, object] = {
    "error_model": "numpy",
    "boundscheck": False,
    "nogil": True,
}


# ------------------------------------------------------------------------- the folder


def cache_folder() -> Path:
    """The folder of emitted files, made if need be.

    `GRADJIT_CACHE_DIR`, else the platform's cache folder of the user. Where that cannot
    be used, a temporary folder of this process, with one warning.
    """
    wanted = settings().cache_dir
    return _usable_folder(wanted or str(_platform_folder()))


def _platform_folder() -> Path:
    home = Path.home()
    if sys.platform == "win32":
        return (
            Path(os.environ.get("LOCALAPPDATA") or home / "AppData/Local") / "gradjit"
        )
    if sys.platform == "darwin":
        return home / "Library/Caches/gradjit"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "gradjit"


@cache
def _usable_folder(wanted: str) -> Path:
    folder = Path(wanted).expanduser().absolute()
    problem = _problem(folder)
    if not problem:
        return folder
    warnings.warn(
        f"gradjit cannot keep compiled functions in {folder} ({problem}); they go to a "
        "temporary folder. Set GRADJIT_CACHE_DIR to a folder of your own.",
        RuntimeWarning,
        stacklevel=2,
    )
    return _temporary_folder()


def _problem(folder: Path) -> str:
    """Why a folder cannot be used; empty if it can."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return error.strerror or str(error)
    if hasattr(os, "getuid"):
        if status.st_uid != os.getuid():
            return "it belongs to someone else"
        if status.st_mode & stat.S_IWOTH:
            return "everyone can write into it"
    return ""


@cache
def _temporary_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="gradjit-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


# --------------------------------------------------------------------------- the file


def load(text: str, name: str) -> ModuleType:
    """The module with this source, from a file in the cache folder.

    Args:
        text: The source.
        name: What the file is called, before the hash.
    """
    runtime = _runtime() if "from gradjit" in text else b""
    digest = hashlib.sha256(text.encode() + runtime).hexdigest()[:16]
    module_name = f"{name}_{digest}"
    path = cache_folder() / f"{module_name}.py"
    found = sys.modules.get(module_name)
    if found is not None and found.__file__ == str(path) and _holds(path, text):
        return found
    if not _holds(path, text):
        write(text, path)
    return _import(path, module_name)


@cache
def _runtime() -> bytes:
    """The modules that emitted code has compiled into it: another one is other code."""
    folder = Path(__file__).parents[1]
    paths = [folder / "blas.py", folder / "memory.py"]
    paths += sorted((folder / "vectormath").glob("*.py"))
    try:
        return b"".join(path.read_bytes() for path in paths)
    except OSError:  # in an archive: the version in the text has to do
        return b""


def _holds(path: Path, text: str) -> bool:
    """Whether a file's bytes are this text."""
    try:
        return path.read_bytes() == text.encode()
    except OSError:
        return False


def write(text: str, path: Path) -> None:
    """Write a file at once: a reader sees the old one or all of the new one."""
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(scratch, path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


class _Loader(SourceFileLoader):
    """Compiles the source each time: a bytecode file could be someone else's."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _import(path: Path, module_name: str) -> ModuleType:
    loader = _Loader(module_name, str(path))
    spec = importlib.util.spec_from_file_location(module_name, path, loader=loader)
    if spec is None:
        raise InternalError(f"no import spec for {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    loader.exec_module(module)
    return module


# -------------------------------------------------------------------------- compiling


def compile_function(
    function: FunctionType,
    types: Sequence[Type],
    fastmath: object = False,
    parallel: bool = False,
) -> Compiled:
    """A Numba dispatcher for these argument types, from the disk cache if it is there.

    See `compile_variant`, with no results as arguments.
    """
    return compile_variant(function, types, {}, fastmath, parallel)[0]


def compile_variant(
    function: FunctionType,
    types: Sequence[Type],
    results: Mapping[int, Type],
    fastmath: object = False,
    parallel: bool = False,
) -> tuple[Compiled, dict[int, str]]:
    """A Numba dispatcher that takes arrays for its results, where it can.

    Arrays are C-contiguous. With `GRADJIT_JIT=0` the function itself.

    Args:
        function: A function of a module that `load` made.
        types: The types of its arguments.
        results: Positions and types of results that may become arguments.
        fastmath: As Numba's option: a bool or a set of flags.
        parallel: Whether there are loops over `numba.prange` in it.

    Returns:
        The dispatcher, and the results that it takes: for each, in order, its position
        and the function of NumPy that makes the array.
    """
    if not settings().jit:
        return function, {}
    options = {**_FIXED, "fastmath": fastmath or set(_REORDER)}
    if parallel:
        options["parallel"] = dict(PRANGE)
    _compile_helpers(function, options)
    function, given = variant(function, tuple(results))
    signature = tuple(map(numba_type, (*types, *(results[k] for k in given))))
    try:
        return _compiled(function, signature, options), given
    except _numba().core.errors.NumbaError as error:
        raise _failure(function, error) from error
    except Exception:
        # Whatever else goes wrong is a damaged file of Numba's disk cache.
        _forget(function)
    try:
        return _compiled(function, signature, options), given
    except Exception as error:
        raise _failure(function, error) from error


def _compiled(
    function: FunctionType,
    signature: tuple[Any, ...],
    options: Mapping[str, object],
) -> Compiled:
    with warnings.catch_warnings(), _without_collector():
        warnings.simplefilter("ignore")
        dispatcher: Any = _numba().njit(cache=True, **options)(function)
        if "parallel" in options or not load_cached(dispatcher, signature):
            dispatcher.compile(signature)
        dispatcher.disable_compile()
    return dispatcher


@contextmanager
def _without_collector() -> Generator[None]:
    """No search for garbage: a compilation makes a million objects that it keeps.

    A fifth of the compile time; the cycles are collected later.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def entry_point(kernel: Compiled, types: Sequence[Type]) -> Compiled:
    """What a call can go to directly: 0.1 us less where there are only numbers.

    The caller tests that the numbers are Python's own, so nothing is left for Numba's
    dispatch to find out. For arrays it is: only the dispatcher looks at dtype, axes and
    layout, without which the machine code would read wrong memory.

    Args:
        kernel: What `compile_function` gave.
        types: The types of its arguments.
    """
    overloads = getattr(kernel, "overloads", None)
    if not overloads or not all(isinstance(t, ScalarType) for t in types):
        return kernel
    (result,) = overloads.values()
    return getattr(result, "entry_point", None) or kernel


def _compile_helpers(function: FunctionType, options: Mapping[str, object]) -> None:
    """Jit the other functions of the module, which this one calls."""
    space = function.__globals__
    for name, value in list(space.items()):
        if isinstance(value, FunctionType) and value is not function:
            space[name] = _numba().njit(**options)(value)


def _failure(function: FunctionType, error: Exception) -> CompileError:
    file = function.__code__.co_filename
    return CompileError(
        f"Numba could not compile the emitted function {function.__name__} "
        f"({file}): {type(error).__name__}: {error}",
        hint="Run with GRADJIT_JIT=0 to debug it as plain Python.",
    )


def _forget(function: FunctionType) -> None:
    """Remove Numba's files for a function."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dispatcher: Any = _numba().njit(cache=True)(function)
    folder = dispatcher.stats.cache_path
    stem = Path(function.__code__.co_filename).stem
    for file in Path(folder).glob(f"{stem}.*"):
        if file.suffix in (".nbi", ".nbc"):
            file.unlink(missing_ok=True)


def _numba() -> Any:
    """Numba, imported only when something is compiled; it has no types."""
    return importlib.import_module("numba")


def numba_type(type_: Type) -> Any:
    """Numba's type of an argument."""
    if isinstance(type_, StackType):
        raise InternalError("a stack is not an argument")
    scalar = _numba().from_dtype(type_.dtype)
    if isinstance(type_, ArrayType):
        return _numba().types.Array(scalar, type_.rank, "C")
    return scalar
