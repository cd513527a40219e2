"""value_and_grad of first_over (golden_programs.py:97).

Written by gradjit 0.1.0.
"""

from gradjit import memory as mem


def value_and_grad_first_over(x, limit):
    n = x.shape[0]
    s = 0.0
    count = 0
    # line 99: for i in range(len(x)):
    for i in range(n):
        # line 100: s += x[i] * x[i]
        s += x[i] * x[i]
        count += 1
        if s > limit:
            break
    # line 99: for i in range(len(x)):
    d_x = mem.zeros(n)
    for i in range(count):
        # line 100: s += x[i] * x[i]
        d_x[i] += 2.0 * x[i]
    return s, d_x
