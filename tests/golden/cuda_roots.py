"""value_and_grad of roots (golden_on_device.py:21).

Written by gradjit 0.1.0; target: cuda.
"""

import numpy as np

from gradjit.cuda import collective as co
from gradjit.cuda import device as dev
from gradjit.cuda.shim import cuda


ERRORS = dev.register(
    (
        (
            "MemoryError",
            (
                "golden_on_device.py:25: while abs(y * y - a[i]) > 1e-12: a loop of "
                "unknown length ran more than 120 times, and saves that many values on "
                "a device"
            ),
        ),
        (
            "MemoryError",
            (
                "golden_on_device.py:26: y = 0.5 * (y + a[i] / y): a loop of unknown "
                "length ran more than 120 times, and saves that many values on a device"
            ),
        ),
    )
)


@cuda.jit
def value_and_grad_roots_1(status, d_a, count, a, out, parts, counters):
    if status[0] != 0:
        return
    t = 0.0
    for i in range(cuda.grid(1), count, cuda.gridsize(1)):
        y = 1.0
        # line 25: while abs(y * y - a[i]) > 1e-12:
        while abs(y * y - a[i]) > 1e-12:
            # line 26: y = 0.5 * (y + a[i] / y)
            y = 0.5 * (y + a[i] / y)
        # line 28: return np.sum(out**3)
        d_out = 3.0 * (y * y)
        t += y**3
        # line 23: for i in numba.prange(len(a)):
        y_tape = cuda.local.array(121, np.float64)
        y_tape[0] = 0
        tape = cuda.local.array(121, np.float64)
        tape[0] = 0
        y = 1.0
        count = 0
        # line 25: while abs(y * y - a[i]) > 1e-12:
        while abs(y * y - a[i]) > 1e-12:
            if not co.push(y_tape, y):
                status[0] = ERRORS + 0
                return
            # line 26: y = 0.5 * (y + a[i] / y)
            t2 = a[i] / y
            if not co.push(tape, t2):
                status[0] = ERRORS + 1
                return
            y = 0.5 * (y + t2)
            count += 1
        d_y = d_out
        # line 25: while abs(y * y - a[i]) > 1e-12:
        for j in range(count - 1, -1, -1):
            y = co.pop(y_tape)
            t3 = co.pop(tape)
            # line 26: y = 0.5 * (y + a[i] / y)
            d_y *= 0.5
            t4 = d_y / y
            d_y -= t4 * t3
            d_a[i] += t4
    co.grid_sum_float64(t, parts, counters, 0, out)


def value_and_grad_roots(a):
    parts = dev.parts()
    counters = dev.counters()
    status = dev.status()
    n = a.shape[0]
    # line 23: for i in numba.prange(len(a)):
    d_a = dev.zeros(n)
    work = dev.empty(())
    value_and_grad_roots_1[dev.items(n)](status, d_a, n, a, work, parts, counters)
    return work, d_a
