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
    h2 = la.matmul(weights_1, h)
    total = 0.0
    for i in range(m):
        h3 = np.exp(h2[i])
        h2[i] = h3
        total += h3
    d_h = la.matmul(h2, weights_1)
    d_weights_1 = mem.empty((m, p))
    for i in range(m):
        for j in range(p):
            d_weights_1[i, j] = h2[i] * h[j]
    for i in range(p):
        h[i] = d_h[i] * (1.0 - h[i] * h[i])
    d_weights_0 = mem.empty((p, n))
    for i in range(p):
        for j in range(n):
            d_weights_0[i, j] = h[i] * x[j]
    return total, d_weights_0, d_weights_1
