"""The loop programs: adjoints by hand, ports to JAX, and the command line."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gradjit
from bench import loops, loops_cold, loops_memory, loops_report
from bench.loops_programs import PROGRAMS
from bench.measure import difference

ROOT = Path(__file__).parents[2]
BY_NAME = {program.name: program for program in PROGRAMS}
has_jax = importlib.util.find_spec("jax") is not None


def _gradient(program):
    args = program.small()
    return gradjit.value_and_grad(program.function, program.argnums)(*args)


@pytest.mark.parametrize("name", BY_NAME)
def test_gradients_are_the_limit_of_differences(name):
    program = BY_NAME[name]
    args = program.small()
    result = _gradient(program)
    np.testing.assert_allclose(result[0], program.function(*args), rtol=1e-12)
    loops.check_slope(program, args, result)


@pytest.mark.parametrize(
    "name", [p.name for p in PROGRAMS if p.against == "handwritten"]
)
def test_gradients_are_those_by_hand(name):
    program = BY_NAME[name]
    by_hand = loops.handwritten(program)(*program.small())
    assert difference(_gradient(program), by_hand) < 1e-12


@pytest.mark.skipif(not has_jax, reason="jax is in the bench extra")
@pytest.mark.parametrize("name", ["seidel_2d", "edit", "cholesky"])
def test_ports_to_jax_compute_the_same(name):
    from bench import loops_jax

    program = BY_NAME[name]
    port = loops_jax.prepare(loops_jax.BEST[name], program, program.small())
    assert difference(port(), _gradient(program)) < 1e-12


def test_a_wrong_result_is_an_error_before_anything_is_timed():
    program = BY_NAME["trisolv"]
    args = program.small()
    value, grads = _gradient(program)
    right = {"gradjit": lambda: (value, grads)}
    assert loops.check(program, right, args) == 0.0
    wrong = {"gradjit": lambda: (value, (grads[0] * 1.01, grads[1]))}
    with pytest.raises(loops.WrongResultError, match="trisolv: slope"):
        loops.check(program, wrong, args)
    with pytest.raises(loops.WrongResultError, match="primal differs"):
        loops.check(program, right | {"primal": lambda: value + 1.0}, args)


def test_a_row_says_whether_it_reached_its_target():
    program = BY_NAME["trisolv"]
    row = loops.Row(program, "", "", {"gradjit": 3.0, "primal": 1.0})
    assert row.ratio("primal") == 3.0
    assert row.ratio("handwritten") is None
    assert row.reached
    assert loops.Row(program, "", "", {"gradjit": 5.0, "primal": 1.0}).reached is False
    assert loops.Row(program, "", "", {"gradjit": 5.0}).reached is None


def test_memory_is_reported_or_its_absence():
    memory = loops_memory.Memory("a size", "64MB", 1.0, 900.0, 60.0, 1.0, 2.5)
    assert memory.reached
    assert "2.50 times" in loops_report.memory_text(memory)
    assert "skipped, why" in loops_report.memory_text("why")


def test_a_share_of_a_compilation():
    assert loops_cold.Cold("f", 0.1, 0.9).reached
    assert not loops_cold.Cold("f", 0.3, 0.7).reached
    assert not loops_cold.Cold("f", 0.6, 9.4).reached


def test_command_line_writes_json(tmp_path):
    out = tmp_path / "loops.json"
    names = ("jacobi_1d", "logistic_map")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bench", "loops", "--quick", "--json", str(out)),
            *(word for name in names for word in ("--only", name)),
            *("--peer", "handwritten", "--peer", "primal"),
        ],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads(out.read_text())
    first, second = content["rows"]
    assert set(first["seconds"]) == {"gradjit", "handwritten", "primal"}
    assert set(second["seconds"]) == {"gradjit", "primal"}
    assert len(content["cold"]) == 4
