"""value_and_grad of weighted (golden_programs.py:113).

Written by gradjit 0.1.0.
"""

from gradjit import memory as mem


def value_and_grad_weighted(x, y, w):
    n = x.shape[0]
    # line 114: return np.sum((x - y) ** 2 * w)
    if n != y.shape[0]:
        raise ValueError(
            "golden_programs.py:114: return np.sum((x - y) ** 2 * w): extents of the "
            "operands of sub differ"
        )
    if n != w.shape[0]:
        raise ValueError(
            "golden_programs.py:114: return np.sum((x - y) ** 2 * w): extents of the "
            "operands of mul differ"
        )
    d_w = mem.empty(n)
    total = 0.0
    d_x = mem.empty(n)
    for i in range(n):
        t = x[i] - y[i]
        d_w2 = t * t
        d_w[i] = d_w2
        total += d_w2 * w[i]
        d_x[i] = w[i] * (2.0 * t)
    return total, d_x, d_w
