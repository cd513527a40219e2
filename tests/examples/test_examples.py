"""The examples run, and print what they promise."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMES = {"price", "delta", "vega ", "rho  ", "theta"}


def _run(name, *options):
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_quickstart_prints_the_emitted_gradient():
    out = _run("quickstart.py")
    assert "d_x = 2.0595697955721652, d_y = 1.5922327514838093" in out
    assert "invden = 1.0 / den" in out
    assert "slope 3.00, offset -1.00" in out


def test_quickstart_is_a_short_tour():
    assert len((ROOT / "examples/quickstart.py").read_text().splitlines()) < 100


def test_newton_agrees_with_the_closed_form():
    assert "while" in _run("newton.py")


def test_backprop_by_hand_agrees():
    assert "dl/dW_5" in _run("backprop_by_hand.py")


def test_greeks_of_options_are_those_of_the_closed_form():
    out = _run("cuda_options.py", "--options", "100")
    assert "on Numba's simulator" in out or "100 options: " in out
    gaps = [float(line.split()[-1]) for line in out.splitlines() if line[:5] in NAMES]
    assert len(gaps) == 5
    assert max(gaps) < 1e-12


def test_digits_learns_and_saves_its_loss_curve(tmp_path):
    curve = tmp_path / "loss.png"
    out = _run("digits.py", "--epochs", "3", "--plot", str(curve))
    accuracy = float(out.partition("test accuracy: ")[2].split()[0])
    assert accuracy > 85.0
    assert curve.read_bytes().startswith(b"\x89PNG")
