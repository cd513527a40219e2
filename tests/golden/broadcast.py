"""value_and_grad of broadcast (golden_programs.py:68).

Written by gradjit 0.1.0.
"""

from gradjit import memory as mem


def value_and_grad_broadcast(x, w):
    n = x.shape[0]
    m = x.shape[1]
    # line 70: return np.sum(centred * centred * w)
    if m != w.shape[0]:
        raise ValueError(
            "golden_programs.py:70: return np.sum(centred * centred * w): extents of "
            "the operands of mul differ"
        )
    # line 69: centred = x - np.mean(x, axis=0)
    total = mem.zeros(m)
    for i in range(n):
        for j in range(m):
            total[j] += x[i, j]
    for i in range(m):
        total[i] /= n
    # line 70: return np.sum(centred * centred * w)
    total2 = 0.0
    d_w = mem.zeros(m)
    total3 = mem.zeros(m)
    for i in range(n):
        for j in range(m):
            # line 69: centred = x - np.mean(x, axis=0)
            centred = x[i, j] - total[j]
            # line 70: return np.sum(centred * centred * w)
            t = centred * centred
            d_centred = w[j] * (2.0 * centred)
            total2 += t * w[j]
            d_w[j] += t
            total3[j] -= d_centred
    # line 69: centred = x - np.mean(x, axis=0)
    for i in range(m):
        total3[i] /= n
    d_x = mem.empty((n, m))
    for i in range(n):
        for j in range(m):
            centred = x[i, j] - total[j]
            # line 70: return np.sum(centred * centred * w)
            d_centred = w[j] * (2.0 * centred)
            d_x[i, j] = d_centred + total3[j]
    return total2, d_x, d_w
