"""What NVIDIA's Warp is given for `python -m bench cuda`: kernels, a thread an item.

`newton` is here to be checked: Warp does not keep what a `while` overwrites, so that
its derivatives differ, and the row says so.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import warp as wp

from bench.cuda_case import AbsentError
from bench.cuda_device import Way

wp.config.quiet = True

Arrays = tuple[Any, ...]


def _chain(kind: Any) -> Any:
    @wp.kernel(module="unique")
    def chain(x: wp.array(dtype=kind), out: wp.array(dtype=kind)):
        t = x[wp.tid()]
        partial = wp.tile_sum(wp.tile(t * wp.exp(-t * t) + wp.tanh(t)))
        wp.tile_atomic_add(out, partial)

    return chain


def _newton(kind: Any) -> Any:
    @wp.kernel(module="unique")
    def newton(
        a: wp.array(dtype=kind), b: wp.array(dtype=kind), out: wp.array(dtype=kind)
    ):
        i = wp.tid()
        x = b[i] / a[i]
        change = x
        while wp.abs(change) > kind(1e-6) * wp.abs(x):
            change = (x * x * x + a[i] * x - b[i]) / (kind(3.0) * x * x + a[i])
            x -= change
        out[i] = x

    return newton


def _greeks(kind: Any) -> Any:
    half = kind(0.5)
    root = kind(np.sqrt(0.5))

    @wp.func
    def normal(x: kind):
        return half * wp.erfc(-root * x)

    @wp.kernel(module="unique")
    def price(
        spot: wp.array(dtype=kind),
        strike: wp.array(dtype=kind),
        vol: wp.array(dtype=kind),
        rate: wp.array(dtype=kind),
        time: wp.array(dtype=kind),
        out: wp.array(dtype=kind),
    ):
        i = wp.tid()
        v, t = vol[i], time[i]
        width = v * wp.sqrt(t)
        near = (wp.log(spot[i] / strike[i]) + (rate[i] + half * v * v) * t) / width
        later = strike[i] * wp.exp(-rate[i] * t)
        out[i] = spot[i] * normal(near) - later * normal(near - width)

    return price


KERNELS: dict[str, tuple[Callable[[Any], Any], bool]] = {
    "chain": (_chain, True),
    "newton": (_newton, False),
    "greeks": (_greeks, False),
}


def version(device: str) -> str:
    if device == "cuda" and not wp.is_cuda_available():
        raise AbsentError(f"warp {wp.__version__} finds no GPU")
    return wp.__version__


def prepare(key: str, args: Arrays, device: str) -> Way:
    """A tape over one launch, forwards and backwards."""
    if key not in KERNELS:
        raise AbsentError("no version of it")
    build, total = KERNELS[key]
    kind = wp.dtype_from_numpy(args[0].dtype)
    kernel = build(kind)
    inputs = [wp.array(x, requires_grad=True, device=device) for x in args]
    count = len(args[0])
    out = wp.zeros(1 if total else count, dtype=kind, requires_grad=True, device=device)
    ones = wp.ones(len(out), dtype=kind, device=device)

    def call() -> Any:
        out.zero_()
        tape = wp.Tape()
        with tape:
            wp.launch(
                kernel,
                dim=count,
                inputs=inputs,
                outputs=[out],
                # A sum over a block wants all of its threads.
                block_dim=math.gcd(count, 256),
                device=device,
            )
        for x in inputs:
            x.grad.zero_()
        tape.backward(grads={out: ones})
        return out, [x.grad for x in inputs]

    def host(result: Any) -> Any:
        value, grads = result
        value = value.numpy()
        return value[0] if total else value, [x.numpy() for x in grads]

    def wait(result: Any) -> None:
        wp.synchronize_device(device)

    return Way(call, host, wait)
