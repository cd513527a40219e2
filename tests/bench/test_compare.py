"""Comparisons of made-up runs."""

import json

import pytest

from bench import compare


def run(**rows):
    """A run whose rows have medians, by unit, that hardly vary."""
    return {
        "benchmark": "speed",
        "quick": False,
        "machine": {"threads": 1},
        "rows": [
            {
                "workload": name,
                "relative": {
                    unit: [0.995 * x, x, 1.005 * x] for unit, x in units.items()
                },
            }
            for name, units in rows.items()
        ],
    }


def names(found):
    return [one.name for one in found if one.slower]


def test_a_row_that_is_slower_in_all_units_is_named():
    old = run(a={"handwritten": 1.0, "calibration": 0.5}, b={"primal": 2.0})
    new = run(a={"handwritten": 1.3, "calibration": 0.65}, b={"primal": 2.05})
    found = compare.changes(old, new)
    assert names(found) == ["a"]
    assert found[0].ratio == pytest.approx(1.3)
    assert not any(one.faster for one in found)


def test_a_unit_that_changed_by_itself_is_no_regression():
    old = run(a={"handwritten": 1.0, "calibration": 0.5})
    new = run(a={"handwritten": 2.0, "calibration": 0.5})
    (one,) = compare.changes(old, new)
    assert not one.slower
    assert one.unit == "calibration"


def test_quartiles_that_overlap_are_noise():
    old = run(a={"calibration": 1.0})
    new = run(a={"calibration": 1.3})
    (one,) = compare.changes(old, new)
    assert (one.ratio, one.least, one.most) == pytest.approx(
        (1.3, 1.2935 / 1.005, 1.3065 / 0.995)
    )
    assert one.slower
    new["rows"][0]["relative"]["calibration"] = [1.0, 1.3, 1.6]
    assert names(compare.changes(old, new)) == []
    faster = run(a={"calibration": 0.7})
    assert compare.changes(old, faster)[0].faster
    faster["rows"][0]["relative"]["calibration"] = [0.5, 0.7, 1.0]
    assert not compare.changes(old, faster)[0].faster


def test_less_than_a_tenth_is_no_change_and_more_may_be_faster():
    old = run(a={"calibration": 1.0}, b={"calibration": 1.0})
    new = run(a={"calibration": 1.09}, b={"calibration": 0.5})
    first, second = compare.changes(old, new)
    assert not first.slower
    assert second.faster


def test_only_rows_and_units_of_both_are_compared(capsys):
    old = run(a={"handwritten": 1.0}, gone={"primal": 1.0}, c={"jax": 1.0})
    new = run(a={"primal": 1.0}, new={"primal": 9.0}, c={"jax": 9.0})
    assert compare.changes(old, new) == []
    assert not compare.report(old, new)
    shown = capsys.readouterr().out
    assert "0 of 0 rows did not change beyond noise" in shown
    assert "only in the earlier run: gone" in shown


def test_the_report_says_what_is_slower(capsys):
    old = run(a={"primal": 1.0}, b={"primal": 1.0})
    assert compare.report(old, run(a={"primal": 1.5}, b={"primal": 1.0}))
    shown = capsys.readouterr().out
    row = next(line for line in shown.splitlines() if "SLOWER" in line)
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells == ["a", "1.50", "1.49 and 1.52", "primal", "SLOWER"]
    assert "1 of 2 rows did not change beyond noise" in shown


def test_programs_of_loops_are_rows_too():
    old, new = ({"rows": run(a={"primal": x})["rows"]} for x in (1.0, 2.0))
    for content in (old, new):
        (row,) = content["rows"]
        row["program"] = row.pop("workload")
    assert names(compare.changes(old, new)) == ["a"]


def test_runs_of_another_kind_are_not_compared(tmp_path):
    path = tmp_path / "old.json"
    path.write_text(json.dumps(run(a={"primal": 1.0})))
    assert compare.read(path, "speed", False, 1)["quick"] is False
    assert compare.read(None, "speed", False, 1) is None
    for kind in (("loops", False, 1), ("speed", True, 1), ("speed", False, 2)):
        with pytest.raises(compare.DifferentRunsError, match=r"was .*, and is"):
            compare.read(path, *kind)
