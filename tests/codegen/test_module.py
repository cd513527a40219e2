"""The cache folder, and what may go wrong with the files in it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradjit.codegen import module
from gradjit.codegen.module import cache_folder, compile_function, load
from gradjit.config import override
from gradjit.errors import CompileError
from gradjit.ir.types import FLOAT, FLOAT32, ArrayType, ScalarType

TEXT = '''"""A file of gradjit."""

import math


def f(x):
    return helper(x) + 1.0


def helper(x):
    return math.exp(x)
'''


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Any:
    module._usable_folder.cache_clear()
    with override(cache_dir=str(tmp_path / "cache")):
        yield tmp_path / "cache"
    module._usable_folder.cache_clear()
    for key in [k for k in sys.modules if k.startswith("f_")]:
        del sys.modules[key]


def fresh(text: str = TEXT) -> Any:
    """As in another process."""
    for key in [k for k in sys.modules if k.startswith("f_")]:
        del sys.modules[key]
    return load(text, "f")


def test_a_file_named_after_its_text(folder: Path) -> None:
    loaded = load(TEXT, "f")
    path = Path(loaded.__file__ or "")
    assert path.parent == folder
    assert path.name == f"{loaded.__name__}.py"
    assert path.read_text() == TEXT
    assert load(TEXT, "f") is loaded
    assert load(TEXT + "\n", "f").__name__ != loaded.__name__
    assert not [p for p in folder.iterdir() if p.suffix != ".py"]


@pytest.mark.skipif(sys.platform == "win32", reason="no such rights there")
def test_another_runtime_is_another_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machine code in the disk cache has the runtime's functions inlined."""
    text = "from gradjit import memory as mem\n\n\ndef f(n):\n    return mem.empty(n)\n"
    before = load(text, "f").__name__
    plain = load(TEXT, "f").__name__
    assert b"def matmul" in module._runtime()
    monkeypatch.setattr(module, "_runtime", lambda: b"changed")
    assert load(text, "f").__name__ != before
    assert load(TEXT, "f").__name__ == plain


def test_owner_only_rights(folder: Path) -> None:
    load(TEXT, "f")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "content", [TEXT[:30], "", TEXT.replace("1.0", "9.9"), "raise SystemExit"]
)
def test_other_content_is_replaced_not_executed(content: str) -> None:
    path = Path(load(TEXT, "f").__file__ or "")
    path.write_text(content)
    again = fresh()
    assert path.read_text() == TEXT
    assert again.f(0.0) == 2.0


def test_a_changed_file_is_noticed_in_the_same_process() -> None:
    path = Path(load(TEXT, "f").__file__ or "")
    path.write_text("raise SystemExit")
    assert load(TEXT, "f").f(0.0) == 2.0
    assert path.read_text() == TEXT


def test_bytecode_files_are_not_trusted(folder: Path) -> None:
    loaded = load(TEXT, "f")
    path = Path(loaded.__file__ or "")
    bad = path.with_name("bad.py")
    bad.write_text(TEXT.replace("1.0", "9.0"))
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(bad)], check=True)
    (compiled,) = (folder / "__pycache__").glob("bad.*.pyc")
    data = bytearray(compiled.read_bytes())
    status = path.stat()
    data[8:12] = int(status.st_mtime).to_bytes(4, "little")
    data[12:16] = status.st_size.to_bytes(4, "little")
    compiled.with_name(compiled.name.replace("bad", path.stem)).write_bytes(data)
    assert fresh().f(0.0) == 2.0


def test_an_unwritable_folder_falls_back_with_one_warning(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with override(cache_dir=str(blocked / "cache")):
        with pytest.warns(RuntimeWarning, match="temporary folder. Set GRADJIT_CACHE"):
            first = cache_folder()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert cache_folder() == first
            assert load(TEXT, "f").f(0.0) == 2.0
    assert first.is_dir()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no such rights there")
def test_a_folder_that_everyone_can_write_to_is_not_used(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.warns(RuntimeWarning, match="everyone can write into it"):
        assert cache_folder() != folder


def test_compiled_functions_come_from_the_disk_cache() -> None:
    first = compile_function(load(TEXT, "f").f, [FLOAT])
    again = compile_function(fresh().f, [FLOAT])
    assert first(1.0) == again(1.0) == np.e + 1.0
    assert sum(first.stats.cache_misses.values()) == 1  # type: ignore[attr-defined]
    assert sum(again.stats.cache_hits.values()) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("content", [b"", b"\x80\x04rubbish", None])
def test_damaged_files_of_numba(suffix: str, content: Any) -> None:
    module = load(TEXT, "f")
    kernel = compile_function(module.f, [FLOAT])
    cached = Path(kernel.stats.cache_path)  # type: ignore[attr-defined]
    files = list(cached.glob(f"{Path(module.__file__ or '').stem}.*.{suffix}"))
    assert files
    for file in files:
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert compile_function(fresh().f, [FLOAT])(0.0) == 2.0
    again = compile_function(fresh().f, [FLOAT])
    assert sum(again.stats.cache_hits.values()) == 1  # type: ignore[attr-defined]


def test_without_numba() -> None:
    with override(jit=False):
        function = load(TEXT, "f").f
        assert compile_function(function, [FLOAT]) is function


def test_signatures_are_fixed() -> None:
    text = "def f(x, k):\n    return x[0] * k\n"
    types = [ArrayType(FLOAT32, (None,)), ScalarType(FLOAT32)]
    compiled = compile_function(load(text, "f").f, types)
    assert compiled(np.ones(2, np.float32), 2.0) == 2.0
    with pytest.raises(TypeError):
        compiled(np.ones(2), 2.0)


def test_what_numba_refuses_is_a_compile_error() -> None:
    text = "def f(x):\n    return x.nothing\n"
    with pytest.raises(CompileError, match="could not compile the emitted function f"):
        compile_function(load(text, "f").f, [FLOAT])


def test_two_processes_at_once(folder: Path) -> None:
    code = (
        "from gradjit.codegen.module import load, compile_function\n"
        "from gradjit.ir.types import FLOAT\n"
        f"print(compile_function(load({TEXT!r}, 'f').f, [FLOAT])(0.0))\n"
    )
    environment = {**os.environ, "GRADJIT_CACHE_DIR": str(folder)}
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    assert [p.communicate()[0] for p in running] == ["2.0\n"] * 2
