"""value_and_grad of network (golden_programs.py:23).

Written by gradjit 0.1.0.
"""

import numpy as np

from gradjit import blas as la
from gradjit import memory as mem


def value_and_grad_network(w1, b1, w2, b2, x, target):
    n = w1.shape[1]
    m = w2.shape[1]
    p = x.shape[0]
    # line 24: hidden = np.maximum(x @ w1 + b1, 0.0)
    if x.shape[1] != w1.shape[0]:
        raise ValueError(
            "golden_programs.py:24: hidden = np.maximum(x @ w1 + b1, 0.0): extents of "
            "the operands of @ differ"
        )
    product = la.matmul(x, w1)
    if n != b1.shape[0]:
        raise ValueError(
            "golden_programs.py:24: hidden = np.maximum(x @ w1 + b1, 0.0): extents of "
            "the operands of add differ"
        )
    # line 25: out = hidden @ w2 + b2
    if n != w2.shape[0]:
        raise ValueError(
            "golden_programs.py:25: out = hidden @ w2 + b2: extents of the operands of "
            "@ differ"
        )
    if m != b2.shape[0]:
        raise ValueError(
            "golden_programs.py:25: out = hidden @ w2 + b2: extents of the operands of "
            "add differ"
        )
    # line 26: return np.sum((out - target) ** 2)
    if p != target.shape[0]:
        raise ValueError(
            "golden_programs.py:26: return np.sum((out - target) ** 2): extents of the "
            "operands of sub differ"
        )
    if m != target.shape[1]:
        raise ValueError(
            "golden_programs.py:26: return np.sum((out - target) ** 2): extents of the "
            "operands of sub differ"
        )
    # line 24: hidden = np.maximum(x @ w1 + b1, 0.0)
    hidden = mem.empty((p, n))
    for i in range(p):
        for j in range(n):
            hidden[i, j] = np.maximum(product[i, j] + b1[j], 0.0)
    # line 25: out = hidden @ w2 + b2
    d_out = la.matmul(hidden, w2)
    # line 26: return np.sum((out - target) ** 2)
    total = 0.0
    d_b2 = mem.zeros(m)
    for i in range(p):
        for j in range(m):
            # line 25: out = hidden @ w2 + b2
            out = d_out[i, j] + b2[j]
            # line 26: return np.sum((out - target) ** 2)
            t = out - target[i, j]
            d_out2 = 2.0 * t
            total += t * t
            d_out[i, j] = d_out2
            d_b2[j] += d_out2
    # line 25: out = hidden @ w2 + b2
    d_hidden = la.matmul(d_out, w2.T)
    d_w2 = la.matmul(hidden.T, d_out)
    # line 24: hidden = np.maximum(x @ w1 + b1, 0.0)
    d_b1 = mem.zeros(n)
    for i in range(p):
        for j in range(n):
            t2 = product[i, j] + b1[j]
            t3 = 1.0 if t2 > 0.0 else (0.5 if t2 == 0.0 else 0.0)
            t4 = d_hidden[i, j] * t3
            product[i, j] = t4
            d_b1[j] += t4
    d_w1 = la.matmul(x.T, product)
    return total, d_w1, d_b1, d_w2, d_b2
