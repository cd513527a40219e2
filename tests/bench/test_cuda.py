"""The programs of `python -m bench cuda`, and those of its peers, on the CPU."""

import importlib.util

import numpy as np
import pytest
from scipy import stats

from bench import cuda_worker, projection
from bench.cuda_case import DTYPES, AbsentError, cast, each
from bench.cuda_programs import PROGRAMS
from bench.measure import difference
from bench.peers import leaves
from gradjit import config

BY_NAME = {program.name: program for program in PROGRAMS}
LOSSES = [name for name, program in BY_NAME.items() if program.argnums is not None]
has_jax = importlib.util.find_spec("jax") is not None
has_torch = importlib.util.find_spec("torch") is not None


def small(name, dtype="float64"):
    return cast(BY_NAME[name].small(), dtype)


def result(name, dtype="float64"):
    """By the emitted Python, without Numba."""
    with config.override(jit=False):
        return BY_NAME[name].ours("cpu")(*small(name, dtype))


# ---------------------------------------------------------------------------- programs


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_the_limit_of_differences(name):
    program, args, rng = BY_NAME[name], small(name), np.random.default_rng(0)
    ways = {i: rng.normal(size=args[i].shape) for i in program.argnums}

    def value(h):
        moved = [x + h * ways[i] if i in ways else x for i, x in enumerate(args)]
        return program.function(*moved)

    got, grads = result(name)
    np.testing.assert_allclose(got, value(0.0), rtol=1e-12)
    terms = [np.sum(g * d) for g, d in zip(grads, ways.values(), strict=True)]
    expected = (value(1e-6) - value(-1e-6)) / 2e-6
    assert sum(terms) == pytest.approx(expected, abs=1e-7 * sum(map(abs, terms)))


@pytest.mark.parametrize("name", ["Black-Scholes", "Black-Scholes, loop"])
def test_greeks_are_those_of_the_closed_form(name):
    spot, strike, vol, rate, time = args = small(name)
    width = vol * np.sqrt(time)
    near = (np.log(spot / strike) + (rate + 0.5 * vol**2) * time) / width
    far = near - width
    due = strike * np.exp(-rate * time)
    cdf, pdf = stats.norm.cdf, stats.norm.pdf
    theta = rate * due * cdf(far) + spot * pdf(near) * vol / (2.0 * np.sqrt(time))
    greeks = (
        cdf(near),
        -np.exp(-rate * time) * cdf(far),
        spot * pdf(near) * np.sqrt(time),
        time * due * cdf(far),
        theta,
    )
    value, grads = result(name)
    assert len(grads) == len(args)
    prices = spot * cdf(near) - due * cdf(far)
    np.testing.assert_allclose(np.sum(value), np.sum(prices), rtol=1e-12)
    if np.ndim(value):
        np.testing.assert_allclose(value, prices, rtol=1e-10)
    for got, expected in zip(grads, greeks, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-10)


@pytest.mark.parametrize("name", ["Newton", "Newton, forward"])
def test_roots_have_the_derivatives_of_implicit_functions(name):
    a, b = small(name)
    x, (d_a, d_b) = result(name)
    expected = [np.roots([1.0, 0.0, p, -q]) for p, q in zip(a, b, strict=True)]
    real = [roots[np.argmin(abs(roots.imag))].real for roots in expected]
    np.testing.assert_allclose(x, real, rtol=1e-11)
    # The last step but one is below 1e-3: its product with the last is what is left.
    np.testing.assert_allclose(d_a, -x / (3.0 * x**2 + a), rtol=1e-7)
    np.testing.assert_allclose(d_b, 1.0 / (3.0 * x**2 + a), rtol=1e-7)


def test_items_take_different_numbers_of_steps():
    def steps(a, b):
        x = change = b / a
        count = 0
        while abs(change) > 1e-6 * abs(x):
            change = (x**3 + a * x - b) / (3.0 * x**2 + a)
            x, count = x - change, count + 1
        return count

    counts = {steps(a, b) for a, b in zip(*small("Newton"), strict=True)}
    assert len(counts) > 3


def test_blocks_of_the_jacobian_are_the_limits_of_differences():
    args = small("ba, Jacobian")
    off, blocks = result("ba, Jacobian")
    for i in (0, len(off) - 1):
        *wrt, feature = (x[i] for x in args)
        np.testing.assert_allclose(off[i], projection.residual(*wrt, feature))
        for k, x in enumerate(wrt):
            for at in np.ndindex(np.shape(x)):
                ends = []
                for h in (1e-6, -1e-6):
                    moved = [np.array(y) for y in wrt]
                    moved[k][at] += h
                    ends.append(projection.residual(*moved, feature))
                expected = (ends[0] - ends[1]) / 2e-6
                got = blocks[k][i][(slice(None), *at)]
                np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-8)


def test_a_step_moves_the_layers_against_the_slope():
    from bench.networks import perceptron

    layers, inputs, labels, rate = args = small("MLP step, batch 256")
    value, moved = result("MLP step, batch 256")
    np.testing.assert_allclose(value, perceptron(*args[:3]))
    down = [(x - y) / rate for x, y in zip(leaves(layers), leaves(moved), strict=True)]

    def along(h):
        way = iter(down)
        return perceptron(each(layers, lambda x: x + h * next(way)), inputs, labels)

    slope = (along(1e-6) - along(-1e-6)) / 2e-6
    assert slope == pytest.approx(sum(np.sum(d * d) for d in down), rel=1e-6)


@pytest.mark.parametrize("name", BY_NAME)
def test_single_precision_stays_single_and_near(name):
    single = result(name, "float32")
    kinds = {np.asarray(leaf).dtype for leaf in leaves(single)}
    assert kinds == {np.dtype(np.float32)}
    with config.override(jit=False):
        double = BY_NAME[name].ours("cpu")(*cast(small(name, "float32"), "float64"))
    assert difference(single, double) < 1e-5


def test_traffic_is_that_of_arguments_and_results_or_of_a_formula():
    x = np.zeros(100, dtype=np.float32)
    value = np.float32(0.0)
    assert BY_NAME["chain"].moved((x,), (value, [x])) == 804.0
    plate = np.zeros((5, 6))
    assert BY_NAME["heat"].moved((plate, 7, plate), (0.0, [plate])) == 4 * 7 * 30 * 8


# ------------------------------------------------------------------------------- peers


def agrees(peer, program, dtype="float64"):
    args = cast(program.small(), dtype)
    way = cuda_worker.peer_way(peer, program, args, "cpu")
    out = way.call()
    way.wait(out)
    with config.override(jit=False):
        expected = program.ours("cpu")(*cast(args, "float64"))
    return difference(way.host(out), expected) < (1e-9 if dtype == "float64" else 2e-5)


@pytest.mark.skipif(not has_torch, reason="torch is in the bench extra")
@pytest.mark.parametrize("dtype", DTYPES)
def test_versions_for_torch_compute_the_same(dtype):
    from bench.cuda_torch import BUILDS

    chosen = [program for program in PROGRAMS if program.key in BUILDS]
    assert {program.key for program in chosen} == set(BUILDS)
    for program in chosen:
        assert agrees("torch", program, dtype), program.name


@pytest.mark.skipif(not has_jax, reason="jax is in the bench extra")
@pytest.mark.parametrize("peer", ["jax", "jax vmap"])
def test_versions_for_jax_compute_the_same(peer):
    from bench.cuda_jax import ARRAYS, ITEMS

    keys = set(ARRAYS if peer == "jax" else ITEMS)
    chosen = [program for program in PROGRAMS if program.key in keys]
    assert {program.key for program in chosen} == keys
    for program in chosen:
        assert agrees(peer, program, "float32"), program.name


@pytest.mark.skipif(not has_torch, reason="torch is in the bench extra")
def test_a_peer_without_a_version_or_a_gpu_says_so(monkeypatch):
    with pytest.raises(AbsentError, match="no version of it"):
        cuda_worker.peer_way("torch", BY_NAME["k-means, loops"], (), "cpu")
    monkeypatch.setitem(cuda_worker.PEERS, "warp", ("bench.no_such_peer", {}))
    with pytest.raises(AbsentError, match=r"not installed .*no_such_peer"):
        cuda_worker.peer_module("warp", "cpu")
