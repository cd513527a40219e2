"""The runs of `python -m bench cuda`: the clock, rows, children, tables, all faked."""

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bench import cuda, cuda_device, cuda_report, cuda_worker
from bench.cuda_case import DTYPES, AbsentError, Program, Row
from bench.cuda_device import QUICK, Gpu, Way
from bench.cuda_worker import Runner

ROOT = Path(__file__).parents[2]


# -------------------------------------------------------------------- measuring, faked


class Event:
    """Events of a device whose every call takes 2 ms; milliseconds, as in CUDA."""

    calls = 0

    def record(self):
        self.at = Event.calls * 2.0

    def synchronize(self):
        assert self.at >= 0.0


class Cuda:
    """Numba's module, as far as the clock needs it."""

    broken = False

    def event(self, timing):
        assert timing
        return Event()

    def event_elapsed_time(self, start, end):
        return end.at - start.at

    def to_device(self, array):
        return array

    def synchronize(self):
        if self.broken:
            raise RuntimeError("an illegal memory access was encountered")


def test_the_clock_is_the_sum_of_times_between_events(monkeypatch):
    monkeypatch.setattr(Event, "calls", 0)
    gpu = Gpu(Cuda())

    def call():
        Event.calls += 1
        return Event.calls

    waited = []
    way = Way(call, lambda x: x, waited.append)
    assert cuda_device.block(way, 5, gpu) == pytest.approx(2e-3)
    assert waited == [5]
    assert gpu.seconds == pytest.approx(1e-2)
    assert cuda_device.sampled(way, gpu, QUICK) == pytest.approx((2e-3,) * 3)


def test_results_come_to_the_host_by_the_way_of_their_kind():
    gpu = Gpu(Cuda())

    class Numbas:
        def copy_to_host(self):
            return "of Numba"

    class CuPys:
        def get(self):
            return "of CuPy"

    shown = [gpu.host(x) for x in (Numbas(), CuPys(), 1.5)]
    assert shown == ["of Numba", "of CuPy", 1.5]
    assert gpu.put(1.5) == 1.5


def square(x):
    return np.sum(x**2)


class Fake:
    """A program whose gradient on the device is by hand."""

    name, note, wanted, key, check = "square", "two", 0.8, "square", None

    def __init__(self, factor=2.0):
        self.factor = factor

    def small(self):
        return (np.array([1.0, 2.0]),)

    def ours(self, target):
        def call(x):
            Event.calls += 1
            if self.factor is None:
                raise ValueError("no\nmore")
            return np.sum(x**2), [(2.0 if target == "cpu" else self.factor) * x]

        return call

    moved = Program.moved
    traffic = None

    def most(self, dtype):
        return 1e-6


def run_faked(monkeypatch, program, peer=None, wanted=None, until=None):
    """The last row that a runner writes, where all peers are one function."""

    def way(name, program, args):
        if peer is None:
            raise AbsentError("no version of it")
        return Way(lambda: peer(*args), lambda x: x)

    monkeypatch.setattr(Event, "calls", 0)
    monkeypatch.setattr(cuda_worker, "peer_way", way)
    monkeypatch.setattr(cuda_worker, "STEP", 10**6)
    rows = []

    def write(row):
        rows.append(json.loads(json.dumps(row.error)))
        run_faked.last = row

    until = time.time() + 1000.0 if until is None else until
    try:
        Runner(Gpu(Cuda()), True, wanted, until, write).row(program, "float32")
    finally:
        cuda_worker.faulthandler.cancel_dump_traceback_later()
    return run_faked.last


def test_a_right_row_has_times_and_peers_are_checked(monkeypatch):
    def peer(x):
        Event.calls += 3
        return np.sum(x**2), [2.0 * x]

    row = run_faked(monkeypatch, Fake(), peer)
    assert row.seconds["gradjit"] == pytest.approx(2e-3)
    assert row.seconds["torch"] == pytest.approx(6e-3)
    assert row.failed == {}
    assert (row.running, row.moved, row.size) == ("", 20.0, "small")
    assert set(row.seconds) == {"gradjit", *cuda_worker.PEERS}
    assert set(row.compile) == set(row.seconds)
    assert row.share(1e5) == pytest.approx(0.1)


def test_a_wrong_peer_is_named_and_has_no_time(monkeypatch):
    row = run_faked(monkeypatch, Fake(), lambda x: (np.sum(x**2), [2.1 * x]))
    assert set(row.seconds) == {"gradjit"}
    assert row.failed["jax"] == "differs by 5.0e-02"


def test_a_wrong_gradient_of_ours_ends_its_row(monkeypatch):
    row = run_faked(monkeypatch, Fake(2.5), lambda x: (np.sum(x**2), [2.0 * x]))
    assert row.failed == {"gradjit": "differs by 2.5e-01"}
    assert (row.seconds, row.running) == ({}, "")


def test_an_error_is_a_line_and_a_dead_gpu_ends_the_process(monkeypatch):
    row = run_faked(monkeypatch, Fake(None))
    assert row.failed == {"gradjit": "ValueError: no"}
    monkeypatch.setattr(Cuda, "broken", True)
    with pytest.raises(SystemExit) as ended:
        run_faked(monkeypatch, Fake(None))
    assert ended.value.code == cuda_worker.BROKEN
    assert run_faked.last.running == "gradjit"


def test_peers_are_left_out_for_reasons(monkeypatch):
    right = square, lambda x: (np.sum(x**2), [2.0 * x])
    row = run_faked(monkeypatch, Fake(), right[1], wanted=["jax"])
    assert set(row.seconds) == {"gradjit", "jax"}
    assert row.missing["torch"] == "not asked for"
    row = run_faked(monkeypatch, Fake(), right[1], until=0.0)
    assert row.missing["jax"] == "no time is left (--seconds)"
    runner = Runner(Gpu(Cuda()), True, None, math.inf, print)
    assert runner.skipped("torch.compile", "float64").startswith("only float32")
    assert runner.skipped("torch.compile", "float32") == ""


def test_rows_go_on_in_another_process_when_one_has_died(monkeypatch, tmp_path):
    """The first child dies of a peer, the second one of gradjit."""
    options = cuda.parse(["--json", str(tmp_path / "cuda.json")])
    rows = cuda.work(["chain", "gmm"])
    names = [f"{program.name}, {dtype}" for program, dtype in rows]
    assert names == [
        *("chain, float32", "gmm, float32", "chain, float64", "gmm, float64")
    ]
    started = []

    def line(log, content):
        with log.open("a") as file:
            file.write(json.dumps(content) + "\n")

    def put(log, name, running="", seconds=1.0):
        row = Row(*name.split(", "), "n", running=running, seconds={"gradjit": seconds})
        line(log, {"row": cuda.dataclasses.asdict(row)})

    def child(left, options, log, folder, until):
        started.append(list(left))
        line(log, {"gpu": {"gpu": "fake"}, "copy": 1e12})
        if len(started) == 1:
            put(log, left[0])
            put(log, left[1], "jax")
            return -11
        put(log, left[0], "gradjit")
        if len(started) == 2:
            return 1
        return 0

    monkeypatch.setattr(cuda, "child", child)
    found, head = cuda.children(rows, options, tmp_path / "log", tmp_path)
    assert started == [names, names[2:], names[3:]]
    assert [row.name for row in found] == names
    assert found[1].failed == {"jax": "the process ended with -11"}
    assert found[1].seconds == {"gradjit": 1.0}
    assert found[2].failed == {"gradjit": "the process ended with 1"}
    assert found[2].seconds == {}
    assert head["copy"] == 1e12
    monkeypatch.setattr(cuda, "child", lambda *args: 1)
    with pytest.raises(SystemExit, match="before any row"):
        cuda.children(rows, options, tmp_path / "other", tmp_path)


# ------------------------------------------------------------------------------- tables


def cells(text):
    return [[c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines()]


def rows_of_tables():
    seconds = {"gradjit": 1e-3, "jax": 2.5e-3}
    good = Row("chain", "float32", "10^8", 0.8, 2.7e9, seconds, compile=dict(seconds))
    bad = Row("gmm", "float64", "n", failed={"gradjit": "differs by 1.0e-01"})
    bad.failed["warp"] = "differs by 1.9e-01"
    bad.missing = {"torch": "no time is left (--seconds)", "jax": "no version of it"}
    return [good, bad]


def test_tables():
    good, bad = rows_of_tables()
    lines = cells(cuda_report.times([good, bad], 3e12))
    assert lines[0] == ["workload", "type", "size", "gradjit", "of copy", "jax", "warp"]
    assert lines[2] == [
        *("chain", "float32", "10^8", "1.00 ms", "90 % (80 % reached)"),
        *("2.50 ms (2.50x)", "-"),
    ]
    assert lines[3] == ["gmm", "float64", "n", "FAILED", "-", "-", "FAILED"]
    assert "70 % (80 % NOT reached)" in cuda_report.times([good], 27e11 / 0.7)
    first = cells(cuda_report.first_calls([good, bad]))
    assert first[2] == ["chain", "float32", "0.00 s", "0.00 s", "-"]
    text = cuda_report.tables([good, bad], 3e12)
    assert "moves 3000 GB/s" in text
    assert cuda_report.failures([bad])[0] == (
        "failed: gmm, float64 with gradjit: differs by 1.0e-01"
    )
    assert cuda_report.skips([good, bad], {"warp": "not installed"}) == [
        "skipped: torch, float64: no time is left (--seconds)",
        "skipped: warp: not installed",
    ]


def test_a_share_without_a_time_or_a_copy_is_none():
    good, bad = rows_of_tables()
    assert bad.share(1e12) is None
    assert good.share(0.0) is None


# --------------------------------------------------------------------- the command line


def run(*words):
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_ENABLE_CUDASIM"}
    return subprocess.run(
        [sys.executable, "-m", "bench", "cuda", *words],
        cwd=ROOT,
        env=environment | {"GRADJIT_JIT": "0", "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_gpu_nothing_is_measured_and_results_are_compared(tmp_path):
    out = tmp_path / "cuda.json"
    words = ["--quick", "--target", "cpu", "--only", "chain", "--only", "k-means"]
    done = run(*words, "--json", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("no GPU: nothing measured")
    rows = json.loads(out.read_text())["rows"]
    names = {(row["workload"], row["dtype"]) for row in rows}
    assert names == {
        (name, dtype)
        for name in ("chain", "k-means", "k-means, loops")
        for dtype in DTYPES
    }
    assert all(row["seconds"] == {} for row in rows)


def test_without_a_gpu_a_full_run_says_so_and_fails():
    done = run()
    assert done.returncode == 1
    assert "no GPU: nothing measured" in done.stdout
    assert "--quick" in done.stdout


def test_a_wrong_result_is_a_failure_without_a_gpu_too(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(cuda, "work", lambda names: [(Fake(2.5), "float64")])
    words = ["--quick", "--target", "cuda", "--json", str(tmp_path / "cuda.json")]
    monkeypatch.setattr(cuda_device, "missing_gpu", lambda: "none here")
    assert cuda.main(words) == 1
    printed = capsys.readouterr().out
    assert "no GPU: nothing measured (none here)" in printed
    assert "failed: square, float64 with gradjit: differs by 2.5e-01" in printed


def test_names_of_rows_that_do_not_exist_are_an_error(capsys):
    assert cuda.main(["--only", "nothing"]) == 1
    assert "no such rows; there are chain, cross-entropy" in capsys.readouterr().out
