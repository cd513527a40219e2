"""The peers agree on every workload, and the command line works."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import measure, report
from bench.peers import PEERS, Peer, leaves, row_maps
from bench.workloads import WORKLOADS

ROOT = Path(__file__).parents[2]
HERE = ("gradjit", "tape", "autograd")


def _peer(name):
    if name == "autograd" and importlib.util.find_spec("autograd") is None:
        pytest.skip("autograd is in the bench extra")
    return PEERS[name]()


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w.name)
@pytest.mark.parametrize("name", HERE)
def test_gradients_are_those_by_hand(name, workload):
    args = workload.small()
    got = _peer(name).prepare(workload, args)()
    expected = _peer("handwritten").prepare(workload, args)()
    assert measure.difference(got, expected) < 1e-12


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w.name)
def test_values_by_hand_are_those_of_the_function(workload):
    args = workload.small()
    value, _ = _peer("handwritten").prepare(workload, args)()
    np.testing.assert_allclose(value, workload.function(*args), rtol=1e-13)


def test_a_row_of_the_stencil_is_a_linear_map():
    rng = np.random.default_rng(0)
    above, row, below = rng.uniform(size=(3, 6))
    p, q = row_maps(6)
    new = row.copy()
    for j in range(1, 5):
        new[j] = 0.2 * (new[j] + above[j] + below[j] + new[j - 1] + new[j + 1])
    np.testing.assert_allclose(p @ row + q @ (above + below), new, rtol=1e-14)


def test_a_peer_that_is_wrong_or_fails_is_named_and_not_timed():
    workload = WORKLOADS[0]
    args = workload.small()

    def fails(workload, args):
        raise ValueError("no")

    peers = [
        _peer("handwritten"),
        Peer("wrong", "1", lambda workload, args: lambda: (0.0, [1.0, 2.0])),
        Peer("failing", "1", fails),
    ]
    row = measure.measure(workload, peers, args, measure.Effort(1, 1e-4, 1.0))
    assert set(row.seconds) == {"handwritten"}
    assert row.failed["failing"] == "ValueError: no"
    assert row.failed["wrong"].startswith("differs by 1.0e+00 from handwritten")


def test_difference_sees_shapes_and_nan():
    assert measure.difference((1.0, [np.ones(2)]), (1.0, [np.ones(2)])) == 0.0
    assert measure.difference((1.0, [np.ones(3)]), (1.0, [np.ones(2)])) == np.inf
    assert measure.difference((1.0, []), (1.0, [np.ones(2)])) == np.inf
    assert measure.difference((np.nan,), (1.0,)) == np.inf


def test_leaves_are_in_order():
    assert leaves({"b": [1.0, (2.0,)], "a": 3.0}) == [1.0, 2.0, 3.0]


def test_table_shows_multiples_of_gradjit():
    rows = [
        measure.Row("one", "", {"gradjit": 2e-6, "handwritten": 1e-6, "tape": 3e-4}),
        measure.Row("two", "", {"tape": 1.5}),
    ]
    text = report.table(rows, ["gradjit", "handwritten", "tape"])
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines()]
    assert len({len(line) for line in text.splitlines()}) == 1
    assert cells[0] == [
        *("workload", "gradjit", "handwritten", "tape", "gradjit / handwritten")
    ]
    assert cells[2] == [
        *("one", "2.00 us", "1.00 us (0.500x)", "300 us (150x)", "2.00")
    ]
    assert cells[3] == ["two", "-", "-", "1.50 s", "-"]


def test_three_digits():
    numbers = (0.01234, 0.9996, 1.234, 45.67, 150.4, 2543.0)
    shown = [report.three_digits(x) for x in numbers]
    assert shown == ["0.0123", "1.000", "1.23", "45.7", "150", "2540"]


def test_tables_go_between_the_marks_of_a_page(tmp_path):
    page = tmp_path / "new" / "page.md"
    report.write_markdown(page, "python -m bench speed", "one")
    assert page.read_text() == "one\n"
    before, after = (
        "# Title\n\n<!-- python -m bench speed --x y -->\n",
        "<!-- end -->\nz\n",
    )
    page.write_text(before + "old\n" + after)
    for text in ("two", "three"):
        report.write_markdown(page, "python -m bench speed", text)
        assert page.read_text() == f"{before}\n{text}\n\n{after}"


def test_chart(tmp_path):
    pytest.importorskip("matplotlib")
    times = {"gradjit": 1.0, "handwritten": 0.9, "tape": 50.0}
    path = tmp_path / "new" / "chart.png"
    rows = [measure.Row("one", "", times), measure.Row("two", "", {"tape": 1.0})]
    assert report.write_png(path, rows, list(times))
    assert path.read_bytes().startswith(b"\x89PNG")


def test_command_line_writes_json(tmp_path):
    out = tmp_path / "bench.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bench", "--quick", "--peer", "tape"),
            *(
                "--only",
                "circuit",
                "--json",
                str(out),
                "--png",
                str(tmp_path / "x.png"),
            ),
        ],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads(out.read_text())
    (row,) = content["rows"]
    assert set(row["seconds"]) == {"gradjit", "handwritten", "tape"}
    assert content["versions"]["handwritten"].startswith("numba")
