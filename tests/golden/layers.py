"""value_and_grad of layers (golden_programs.py:76).

Written by gradjit 0.1.0.
"""

import numpy as np

from gradjit import blas as la
from gradjit import memory as mem


def value_and_grad_layers(weights_0, weights_1, x):
    n = weights_0.shape[1]
    m = weights_1.shape[0]
    p = weights_1.shape[1]
    # line 79: h = f(w @ h)
    if n != x.shape[0]:
        raise ValueError(
            "golden_programs.py:79: h = f(w @ h): extents of the operands of @ differ"
        )
    product = la.matmul(weights_0, x)
    if p != weights_0.shape[0]:
        raise ValueError(
            "golden_programs.py:79: h = f(w @ h): extents of the operands of @ differ"
        )
    h = mem.empty(p)
    for i in range(p):
        h[i] = np.tanh(product[i])
    product2 = la.matmul(weights_1, h)
    h2 = mem.empty(m)
    d_weights_1 = mem.empty((m, p))
    t = 0.0
    for i in range(m):
        h3 = np.exp(product2[i])
        h2[i] = h3
        t += h3
        for j in range(p):
            d_weights_1[i, j] = h3 * h[j]
    d_h = la.matmul(h2, weights_1)
    d_weights_0 = mem.empty((p, n))
    for i in range(p):
        t2 = d_h[i] * (1.0 - h[i] * h[i])
        for j in range(n):
            d_weights_0[i, j] = t2 * x[j]
    return t, d_weights_0, d_weights_1
