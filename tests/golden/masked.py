"""value_and_grad of masked (golden_programs.py:62).

Written by gradjit 0.1.0.
"""

from gradjit import memory as mem


def value_and_grad_masked(x):
    n = x.shape[0]
    # line 65: return np.sum(y * x)
    total = 0.0
    d_x = mem.empty(n)
    for i in range(n):
        # line 64: y[x < 0.0] = 0.5
        x_i = x[i]
        test = x_i < 0.0
        y = 0.5 if test else x_i
        total += y * x_i
        d_x[i] = y + (0.0 if test else x_i)
    return total, d_x
