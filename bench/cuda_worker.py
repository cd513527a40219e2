"""The rows of `python -m bench cuda`, measured in a process that may die of them.

An error on the device, such as an address out of bounds, leaves a process without a
GPU; a kernel may run for ever. So the rows are measured in a child process, which adds
a line of JSON to a file whenever it knows more, and is ended if a step takes too long.
"""

from __future__ import annotations

import dataclasses
import faulthandler
import gc
import importlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from bench import cuda_device
from bench.cuda_case import AbsentError, Program, Row, cast, each
from bench.cuda_device import Gpu, Way
from bench.measure import difference

STEP = 150  # seconds that preparing, checking and timing one way may take
BROKEN = 3  # the exit status of a process whose GPU is gone

PEERS: dict[str, tuple[str, dict[str, bool]]] = {
    "torch": ("bench.cuda_torch", {"compiled": False}),
    "torch.compile": ("bench.cuda_torch", {"compiled": True}),
    "jax": ("bench.cuda_jax", {"items": False}),
    "jax vmap": ("bench.cuda_jax", {"items": True}),
    "warp": ("bench.cuda_warp", {}),
}
SLOW = {"torch.compile"}  # to compile: in double precision only if they are asked for

Write = Callable[[Row], None]


def peer_module(name: str, device: str) -> Any:
    """The module of a peer that runs on the device, or AbsentError with the reason."""
    try:
        module = importlib.import_module(PEERS[name][0])
    except ImportError as exc:
        raise AbsentError(f"not installed ({exc})") from exc
    module.version(device)
    return module


def peer_way(name: str, program: Program, args: Any, device: str = "cuda") -> Way:
    module = peer_module(name, device)
    return module.prepare(program.key, args, device, **PEERS[name][1])


def our_way(program: Program, args: Any, gpu: Gpu) -> Way:
    """A call on arrays of the device; waiting for it raises what its kernels found."""
    from gradjit.cuda import synchronize

    transformed = program.ours("cuda")
    inputs = each(args, gpu.put)
    return Way(
        lambda: transformed(*inputs),
        lambda result: each(result, gpu.host),
        lambda result: synchronize(),
    )


@dataclasses.dataclass(slots=True)
class Runner:
    """Measures rows on a GPU.

    Attributes:
        gpu: The device.
        quick: Small arguments, few repeats.
        wanted: The peers that were asked for; None: all.
        until: No peer is started after that time (`time.time()`).
        write: What is called with a row when more is known of it.
    """

    gpu: Gpu
    quick: bool
    wanted: Sequence[str] | None
    until: float
    write: Write

    def row(self, program: Program, dtype: str) -> None:
        row = Row(
            program.name,
            dtype,
            "small" if self.quick else program.note,
            program.wanted,
        )
        args = cast(program.small() if self.quick else program.full(), dtype)
        expected = self.gradjit(program, row, args)
        if expected is None:
            return
        for name in PEERS:
            self.peer(name, program, row, args, expected)
        row.running = ""
        self.write(row)

    def gradjit(self, program: Program, row: Row, args: Any) -> Any:
        """Measure ours; the result that a peer has to have, None if it is wrong."""
        separate = program.check is not None and not self.quick
        checked = cast(program.check(), row.dtype) if separate else args
        self.begin(row, "gradjit")
        try:
            expected = program.ours("cpu")(*cast(checked, "float64"))
            way = our_way(program, args, self.gpu)
            result = self.timed(row, "gradjit", way)
            if separate:
                own = our_way(program, checked, self.gpu)
                row.error["gradjit"] = difference(own.host(own.call()), expected)
                expected = result
            else:
                row.error["gradjit"] = difference(result, expected)
            row.moved = program.moved(args, result)
        except Exception as exc:
            self.fail(row, "gradjit", exc)
            return None
        right = row.error["gradjit"] <= program.most(row.dtype)
        if not right:
            row.failed["gradjit"] = f"differs by {row.error['gradjit']:.1e}"
            del row.seconds["gradjit"]
            row.running = ""
        self.write(row)
        return expected if right else None

    def peer(
        self, name: str, program: Program, row: Row, args: Any, expected: Any
    ) -> None:
        reason = self.skipped(name, row.dtype)
        if reason:
            row.missing[name] = reason
            return
        self.begin(row, name)
        try:
            way = peer_way(name, program, args)
            result = self.timed(row, name, way)
            row.error[name] = difference(result, expected)
        except AbsentError as exc:
            row.missing[name] = str(exc)
            return
        except Exception as exc:
            self.fail(row, name, exc)
            return
        finally:
            self.free(name)
        if not row.error[name] <= program.most(row.dtype):
            row.failed[name] = f"differs by {row.error[name]:.1e}"
            row.seconds.pop(name, None)

    def skipped(self, name: str, dtype: str) -> str:
        """Why a peer is not started."""
        if self.wanted is not None:
            return "" if name in self.wanted else "not asked for"
        if name in SLOW and dtype != "float32":
            return f"only float32, to save time (--peer {name} measures all)"
        return "no time is left (--seconds)" if time.time() > self.until else ""

    def timed(self, row: Row, name: str, way: Way) -> Any:
        """Enter the times of a way; its result, on the host."""
        effort = cuda_device.QUICK if self.quick else cuda_device.FULL
        result, first = cuda_device.first(way, self.gpu)
        host = way.host(result)
        del result
        found = cuda_device.sampled(way, self.gpu, effort)
        row.quartiles[name], row.seconds[name] = found, found[1]
        row.compile[name] = max(0.0, first - found[1])
        return host

    def begin(self, row: Row, name: str) -> None:
        faulthandler.dump_traceback_later(STEP, exit=True)
        row.running = name
        self.write(row)

    def fail(self, row: Row, name: str, error: Exception) -> None:
        """Note an error; end the process if the GPU does not answer any more."""
        text = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        row.failed[name] = text[:300]
        row.seconds.pop(name, None)
        try:
            self.gpu.synchronize()
        except Exception:
            self.write(row)
            sys.exit(BROKEN)
        row.running = ""
        self.write(row)

    def free(self, name: str) -> None:
        gc.collect()
        self.gpu.free()
        module = sys.modules.get(PEERS[name][0])
        if hasattr(module, "free"):
            module.free()


def versions(device: str) -> tuple[dict[str, str], dict[str, str]]:
    """Of the peers that are there, and why the others are not."""
    found: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for name in PEERS:
        try:
            found[name] = peer_module(name, device).version(device)
        except AbsentError as exc:
            reasons[name] = str(exc)
    return found, reasons


def run(
    path: Path,
    rows: Iterable[tuple[Program, str]],
    quick: bool,
    wanted: Sequence[str] | None,
    until: float,
) -> None:
    """Measure rows, and add what comes out to the file at once."""
    with path.open("a") as file:

        def line(content: dict[str, Any]) -> None:
            file.write(json.dumps(content) + "\n")
            file.flush()

        def write(row: Row) -> None:
            line({"row": dataclasses.asdict(row)})

        faulthandler.dump_traceback_later(STEP, exit=True)
        gpu = cuda_device.open_gpu()
        there, absent = versions("cuda")
        copy = gpu.copy_rate(quick)
        line({"gpu": gpu.describe(), "copy": copy, "peers": there, "absent": absent})
        runner = Runner(gpu, quick, wanted, until, write)
        for program, dtype in rows:
            print(f"{program.name}, {dtype}", file=sys.stderr, flush=True)
            faulthandler.dump_traceback_later(STEP, exit=True)
            runner.row(program, dtype)
            gc.collect()
            gpu.free()
        faulthandler.cancel_dump_traceback_later()
