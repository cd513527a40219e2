"""value_and_grad of chain (golden_on_device.py:11).

Written by gradjit 0.1.0; target: cuda.
"""

import numpy as np

from gradjit.cuda import collective as co
from gradjit.cuda import device as dev
from gradjit.cuda import elementary as el
from gradjit.cuda.shim import cuda


@cuda.jit
def value_and_grad_chain_1(n, d_x, x, out, parts, counters):
    t = 0.0
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        # line 12: return np.sum(np.tanh(x) * np.exp(-x * x))
        x_i = x[i]
        t2 = np.tanh(x_i)
        t3 = el.exp(-(x_i * x_i))
        t4 = t2 * t3
        d_x2 = -(t4 * (2.0 * x_i))
        t += t4
        d_x[i] = d_x2 + t3 * (1.0 - t2 * t2)
    co.grid_sum_float64(t, parts, counters, 0, out)


def value_and_grad_chain(x):
    parts = dev.parts()
    counters = dev.counters()
    n = x.shape[0]
    # line 12: return np.sum(np.tanh(x) * np.exp(-x * x))
    d_x = dev.empty(n)
    work = dev.empty(())
    value_and_grad_chain_1[dev.elements(n)](n, d_x, x, work, parts, counters)
    return work, d_x
