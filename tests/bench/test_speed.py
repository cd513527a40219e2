"""The rows of `python -m bench speed`: the ways agree, and the tables say what was."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bench import __main__ as command
from bench import projection, roofline, speed, speed_case, speed_report, speed_start
from bench.measure import QUICK, Times, difference, timed
from bench.peers import leaves
from bench.speed_case import TIE, Case, Row, Target
from bench.speed_programs import SHARED, places
from gradjit import config

ROOT = Path(__file__).parents[2]
BY_NAME = {case.name: case for case in speed.CASES}
OURS = [name for name in BY_NAME if name not in SHARED]  # SHARED: in test_loops.py
BY_HAND = [n for n in OURS if "handwritten" in BY_NAME[n].peers]
has_jax = importlib.util.find_spec("jax") is not None
has_torch = importlib.util.find_spec("torch") is not None


def gradient(case):
    """By the emitted Python, without Numba, which has tests of its own."""
    with config.override(jit=False):
        return case.ours()(*case.small())


def cast(tree, add=lambda x: 0.0):
    """The same nest with all floats in double precision, and something added."""
    if isinstance(tree, list | tuple):
        return type(tree)(cast(branch, add) for branch in tree)
    if np.asarray(tree).dtype.kind != "f":
        return tree
    return np.asarray(tree, dtype=np.float64) + add(tree)


def slope(case, step):
    """Central differences along random directions, and the directions."""
    rng = np.random.default_rng(0)
    args = cast(case.small())
    wrt = leaves([args[i] for i in case.argnums])
    directions = [rng.normal(size=np.shape(x)) for x in wrt]

    def value(h):
        left = iter(directions)
        moved = [
            cast(x, lambda _: h * next(left)) if i in case.argnums else x
            for i, x in enumerate(args)
        ]
        return case.function(*moved)

    return directions, (value(step) - value(-step)) / (2.0 * step)


@pytest.mark.parametrize("name", [n for n in OURS if n != "ba, Jacobian"])
def test_gradients_are_the_limit_of_differences(name):
    case = BY_NAME[name]
    value, grads = gradient(case)
    single = "float32" in {str(np.asarray(g).dtype) for g in leaves(grads)}
    close = 1e-4 if single else 1e-6
    np.testing.assert_allclose(
        value, case.function(*cast(case.small())), rtol=1e-5 if single else 1e-12
    )
    directions, expected = slope(case, 1e-6)
    terms = [
        float(np.sum(g * d)) for g, d in zip(leaves(grads), directions, strict=True)
    ]
    assert sum(terms) == pytest.approx(expected, abs=close * sum(map(abs, terms)))


def test_blocks_of_the_jacobian_are_the_limits_of_differences():
    case = BY_NAME["ba, Jacobian"]
    args = case.small()
    off, blocks = gradient(case)
    for i in range(len(off)):
        *wrt, feature = (x[i] for x in args)
        np.testing.assert_allclose(
            off[i], projection.residual(*wrt, feature), rtol=1e-13
        )
        for k, x in enumerate(wrt):
            for at in np.ndindex(np.shape(x)):
                ends = []
                for h in (1e-6, -1e-6):
                    moved = [np.array(y) for y in wrt]
                    moved[k][at] += h
                    ends.append(projection.residual(*moved, feature))
                expected = (ends[0] - ends[1]) / 2e-6
                np.testing.assert_allclose(
                    blocks[k][i][(slice(None), *at)], expected, rtol=1e-6, atol=1e-8
                )


@pytest.mark.parametrize("name", BY_HAND)
def test_gradients_are_those_by_hand(name):
    case = BY_NAME[name]
    by_hand = case.peers["handwritten"](case.small())()
    single = "float32" in name or "float32" in case.note
    assert difference(gradient(case), by_hand) < (1e-5 if single else 1e-12)


@pytest.mark.parametrize(
    "name", ["gmm", "ba", "cross-entropy, float64", "ba, Jacobian"]
)
@pytest.mark.skipif(not has_jax, reason="jax is in the bench extra")
def test_ports_to_jax_compute_the_same(name):
    case = BY_NAME[name]
    assert difference(case.peers["jax"](case.small())(), gradient(case)) < 1e-12


@pytest.mark.parametrize("name", ["MLP 4-16-2", "layer-norm, GELU, linear"])
@pytest.mark.skipif(not has_torch, reason="torch is in the bench extra")
def test_versions_for_torch_compute_the_same(name):
    case = BY_NAME[name]
    assert difference(case.peers["torch"](case.small())(), gradient(case)) < 1e-5


def test_arrays_and_loops_are_the_same_functions():
    pairs = [(n, n.removesuffix(", arrays")) for n in BY_NAME if n.endswith(", arrays")]
    assert len(pairs) == 6
    for arrays, loops in pairs:
        values = [BY_NAME[n].function(*BY_NAME[n].small()) for n in (arrays, loops)]
        np.testing.assert_allclose(*values, rtol=1e-13)


def test_places_are_by_columns():
    expected = [[0, 0, 0], [1, 0, 0], [2, 3, 0]]
    np.testing.assert_array_equal(places(3), expected)


# -------------------------------------------------------------------- rows and targets


def fake(peers, targets=(), tolerance=1e-9):
    """A case of half the squares of (3, 3); gradjit's part is done by hand."""
    return Case(
        "square",
        "calls",
        "two",
        lambda x: np.sum(x**2) / 2.0,
        (0,),
        lambda: (np.full(2, 3.0),),
        lambda: (np.full(2, 3.0),),
        peers,
        targets,
        lambda x: 1e9,
        tolerance,
        lambda function, argnums, parallel: lambda x: (9.0, [np.full(2, 3.0)]),
    )


def gives(value, slope):
    return lambda args: lambda: (value, [np.full(2, slope)])


def absent(args):
    raise ImportError("no")


def breaks(args):
    raise ValueError("no\nmore")


def test_a_way_that_is_wrong_fails_or_is_not_there_is_named_and_not_timed():
    peers = {
        "handwritten": gives(9.0, 3.0),
        "jax": gives(9.0, 3.05),
        "torch": absent,
        "autograd": breaks,
        "primal": lambda args: lambda: 8.0,
    }
    row = speed_case.measure(fake(peers), None, True, 1, QUICK)
    assert set(row.seconds) == {"gradjit", "handwritten"}
    assert row.missing == ["torch"]
    assert row.failed["autograd"] == "ValueError: no"
    assert row.failed["jax"] == "differs by 1.7e-02"
    assert row.failed["primal"] == "differs by 1.1e-01"
    assert row.moved == 40.0
    assert set(row.relative) == {"handwritten", "calibration"}
    named = speed_report.failures([row])
    assert "failed: square with jax: differs by 1.7e-02" in named


def test_gradjit_is_at_fault_where_it_differs_from_another():
    row = speed_case.measure(fake({"jax": gives(9.0, 7.0)}), None, True, 1, QUICK)
    assert set(row.seconds) == {"jax"}
    assert row.reached is False
    assert speed_report.verdict(row) == "FAILED"


def test_a_gradient_that_nobody_else_computes_is_compared_with_differences():
    primal = {"primal": lambda args: lambda: float(np.sum(args[0] ** 2)) / 2.0}
    right = speed_case.measure(fake(primal), None, True, 1, QUICK)
    assert right.failed == {}
    wrong = speed_case.measure(
        fake({"primal": lambda args: lambda: 9.0 + 5.0 * float(np.sum(args[0] - 3.0))}),
        None,
        True,
        1,
        QUICK,
    )
    assert wrong.failed["gradjit"].startswith("slope differs by ")
    assert set(wrong.seconds) == {"primal"}


def test_targets_are_multiples_of_the_fastest():
    times = {"gradjit": [1.0], "jax": [3.0], "torch": [1.9], "handwritten": [0.8]}
    seconds = Times(times).relative()
    half = Target(("jax", "torch"), 0.5)
    assert str(half) == "2 x faster than jax or torch"
    assert half.multiple(seconds) == pytest.approx(1.0 / 1.9)
    assert half.reached(seconds) is False
    near = Target(("handwritten",), 1.3)
    assert (str(near), near.reached(seconds)) == ("1.3 x handwritten", True)
    assert str(Target(("jax",), TIE)) == "not slower than jax"
    assert str(Target(("primal",), 0.45)) == "0.45 x primal"
    assert Target(("primal",), 1.0).reached(seconds) is None

    row = Row(fake({}, (half, near)), False, relative=seconds)
    assert row.reached is False
    assert speed_report.verdict(row) == "NO: 2 x faster than jax or torch"
    times["gradjit"] = [0.9]
    row.relative = Times(times).relative()
    assert speed_report.verdict(row) == "yes"


def cells(text):
    return [[c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines()]


def test_tables():
    peers = {"handwritten": absent, "jax": absent}
    target = Target(("jax",), 0.5)
    times = Times({"gradjit": [2e-3], "jax": [5e-3]})
    case = fake(peers, (target,))
    row = Row(case, False, times.seconds, relative=times.relative())
    assert cells(speed_report.table([row])) == [
        ["workload", "size", "gradjit", "/ handwritten", "jax", "target", "reached"],
        cells(speed_report.table([row]))[1],
        [
            "square",
            "two",
            "2.00 ms",
            "-",
            "5.00 ms (2.50x)",
            str(target),
            "yes",
        ],
    ]
    start = speed_start.Start("first call: f", "n", 0.5)
    start.samples = {"gradjit": [0.7, 0.4, 0.6], "jax": [0.1]}
    start.cpu = {"gradjit": [0.3, 0.2, 0.4]}
    assert cells(speed_report.start_table([start]))[2] == [
        *("first call: f", "n", "600 ms", "-", "100 ms", "300 ms", "500 ms", "NO")
    ]


def test_the_clock_may_be_that_of_the_processor():
    assert speed_case.effort(True, True).clock is time.process_time
    assert speed_case.effort(False, False).clock is time.perf_counter
    ticks = iter([1.0, 9.0])
    assert timed(lambda: None, 4, lambda: next(ticks)) == 2.0


def test_shares_of_the_limits():
    limits = roofline.Limits(1e10, {"float64": 5e10, "float32": 1e11})
    big = Row(fake({}), False, {"gradjit": 0.1}, flops=1e9, moved=5e8, dtype="float32")
    small = Row(fake({}), False, {"gradjit": 0.1}, flops=10.0, moved=80.0)
    lines = cells(roofline.table([big, small], limits))
    assert len(lines) == 3
    assert lines[2] == ["square", "100 ms", "500 MB", "50 %", "1000 M", "10 %"]
    assert "copy 10.0 GB/s; products float64 50.0 Gflop/s" in str(limits)
    other = roofline.Limits(2e10, {"float64": 1e10, "float32": 2e11})
    best = roofline.Limits(2e10, {"float64": 5e10, "float32": 2e11})
    assert limits.or_better(other) == best


def test_limits_are_measured():
    limits = roofline.measure(True, time.perf_counter)
    assert limits.copy > 0.0
    assert set(limits.gemm) == {"float64", "float32"}


def test_relative_times_are_taken_round_by_round():
    times = Times({"gradjit": [1.0, 2.0, 4.0], "calibration": [2.0, 4.0, 8.0, 99.0]})
    assert times.relative() == {"calibration": (0.5, 0.5, 0.5)}
    assert times.quartiles == {"gradjit": (1.5, 2.0, 3.0)}


# --------------------------------------------------------------------- the command line


def test_the_process_is_bound_to_as_many_cores(monkeypatch):
    bound = []
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {5, 2, 7}, raising=False)
    monkeypatch.setattr(
        os, "sched_setaffinity", lambda pid, which: bound.append(which), raising=False
    )
    command.limit_threads(1)
    assert os.environ["OMP_NUM_THREADS"] == "1"
    command.limit_threads(2)
    assert os.environ["OMP_NUM_THREADS"] == "2"
    assert bound == [[2], [2, 5]]
    assert command.cores(["--only", "x", "--cores", "2"]) == 2
    assert command.cores(["--quick"]) == 1


def test_a_process_reports_its_first_call(tmp_path):
    report = speed_start.spawn("gradjit", "rosenbrock", str(tmp_path))
    assert 0.0 < report["call"] < report["process"]
    assert 0.0 < report["call cpu"] < report["process cpu"]
    assert list(tmp_path.iterdir())


def test_command_line_writes_json_and_tables(tmp_path):
    out, page = tmp_path / "speed.json", tmp_path / "tables.md"
    words = ["speed", "--quick", "--only", "kmeans", "--only", "circuit"]
    words += ["--peer", "primal"]

    def run(*more):
        return subprocess.run(
            [sys.executable, "-m", "bench", *words, "--json", str(out), *more],
            cwd=ROOT,
            env=dict(os.environ),
            capture_output=True,
            text=True,
            check=False,
        )

    done = run("--markdown", str(page))
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads(out.read_text())
    rows = {row["workload"]: row for row in content["rows"]}
    assert set(rows) == {"circuit", "kmeans", "kmeans, arrays"}
    assert set(rows["kmeans"]["seconds"]) == {"gradjit", "primal"}
    assert set(rows["kmeans"]["relative"]) == {"primal", "calibration"}
    assert rows["kmeans"]["targets"][0]["text"] == "1.1 x primal"
    assert page.read_text().startswith("**Calls from Python")

    content["rows"][0]["relative"] = {"calibration": [1e-9, 1e-9, 1e-9]}
    out.write_text(json.dumps(content))
    done = run("--compare", str(out))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "SLOWER" in done.stdout
