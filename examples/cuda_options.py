"""A million European options with all their greeks, each in a thread of a GPU.

The price of Black and Scholes is a function of a few numbers, and one gradient of it is
delta, vega, rho and theta together. `vmap` makes that a function of arrays of options,
and `target="cuda"` a kernel. The greeks are compared with their closed forms.

Without a GPU this runs itself again on Numba's simulator, with a few options: slow, and
the same numbers.

    python examples/cuda_options.py [--options N]
"""

import argparse
import os
import subprocess
import sys
import time

import numpy as np
from scipy.special import erfc
from scipy.stats import norm

import gradjit
import gradjit.cuda

MANY = 1_000_000
FEW = 64  # on the simulator


def normal(x):
    """The distribution function of the standard normal distribution."""
    return 0.5 * erfc(-0.7071067811865476 * x)


def price(spot, strike, vol, rate, expiry):
    """What the right to buy at `strike`, in `expiry` years, is worth today."""
    width = vol * np.sqrt(expiry)
    near = (np.log(spot / strike) + (rate + 0.5 * vol**2) * expiry) / width
    discount = np.exp(-rate * expiry)
    return spot * normal(near) - strike * discount * normal(near - width)


@gradjit.jit(target="cuda")
def greeks(spot, strike, vol, rate, expiry):
    """Prices, and their derivatives by spot, volatility, rate and time to expiry."""
    slopes = gradjit.value_and_grad(price, argnums=(0, 2, 3, 4))
    return gradjit.vmap(slopes)(spot, strike, vol, rate, expiry)


def closed_form(spot, strike, vol, rate, expiry):
    """The same, as the textbooks have them."""
    width = vol * np.sqrt(expiry)
    near = (np.log(spot / strike) + (rate + 0.5 * vol**2) * expiry) / width
    far = near - width
    due = strike * np.exp(-rate * expiry)
    prices = spot * norm.cdf(near) - due * norm.cdf(far)
    delta = norm.cdf(near)
    vega = spot * norm.pdf(near) * np.sqrt(expiry)
    rho = expiry * due * norm.cdf(far)
    theta = rate * due * norm.cdf(far) + 0.5 * spot * norm.pdf(near) * vol / np.sqrt(
        expiry
    )
    return prices, (delta, vega, rho, theta)


def market(count):
    """Options around the money, from one month to three years."""
    rng = np.random.default_rng(0)
    ranges = (80.0, 120.0), (80.0, 120.0), (0.1, 0.5), (0.0, 0.05), (1.0 / 12.0, 3.0)
    return [rng.uniform(*ends, size=count) for ends in ranges]


def has_gpu():
    from numba import cuda

    return cuda.is_available()  # the simulator says yes


def on_simulator():
    """The same program, where Numba runs kernels as Python threads."""
    print(f"no GPU was found: {FEW} options on Numba's simulator", flush=True)
    words = [sys.executable, __file__, "--options", str(FEW)]
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    return subprocess.run(words, env=environment, check=False).returncode


def main(count):
    options = market(count)
    on_device = [gradjit.cuda.to_device(x) for x in options]
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        prices, slopes = greeks(*on_device)
        gradjit.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    found = [x.copy_to_host() for x in (prices, *slopes)]

    value, expected = closed_form(*options)
    names = "price", "delta", "vega", "rho", "theta"
    print(f"{'':6} {'of the first option':>22} {'closed form':>22} {'difference':>11}")
    for name, ours, theirs in zip(names, found, (value, *expected), strict=True):
        gap = np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs))
        print(f"{name:6} {ours[0]:22.16g} {theirs[0]:22.16g} {gap:11.1e}")
        assert gap < 1e-12, f"{name} is not that of the closed form"
    print("(the largest difference of all options; theta is by time to expiry)")
    if os.environ.get("NUMBA_ENABLE_CUDASIM") != "1":
        first, again = seconds
        print(
            f"{count} options: {first:.2f} s with compiling, then {1e3 * again:.2f} ms"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--options", type=int, default=MANY, metavar="N")
    arguments = parser.parse_args()
    if has_gpu():
        main(arguments.options)
    else:
        sys.exit(on_simulator())
