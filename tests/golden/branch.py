"""value_and_grad of branch (golden_programs.py:52).

Written by gradjit 0.1.0.
"""

import numpy as np

from gradjit import memory as mem


def value_and_grad_branch(x):
    n = x.shape[0]
    s = 0.0
    # line 54: for i in range(len(x)):
    for i in range(n):
        # line 55: if x[i] > 0.0:
        x_i = x[i]
        if x_i > 0.0:
            # line 56: s += x[i] ** 2
            s += x_i * x_i
        else:
            # line 58: s -= math.sin(x[i])
            s -= np.sin(x_i)
    # line 54: for i in range(len(x)):
    d_x = mem.zeros(n)
    for i in range(n):
        # line 55: if x[i] > 0.0:
        x_i = x[i]
        d_x[i] += 2.0 * x_i if x_i > 0.0 else -np.cos(x_i)
    return s, d_x
