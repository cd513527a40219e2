"""value_and_grad of recurrence (golden_programs.py:29).

Written by gradjit 0.1.0.
"""

import numpy as np

from gradjit import memory as mem


def value_and_grad_recurrence(x, w, n):
    m = x.shape[0]
    h_tape = mem.empty(np.maximum(n, 0) + 1)
    # line 31: for i in range(n):
    h_tape[0] = 0.0
    # line 32: h = math.tanh(w * h + x[i])
    if n > m:
        raise IndexError(
            "golden_programs.py:32: h = math.tanh(w * h + x[i]): index out of bounds "
            "for axis 0"
        )
    h = 0.0
    # line 31: for i in range(n):
    for i in range(n):
        # line 32: h = math.tanh(w * h + x[i])
        h = np.tanh(w * h + x[i])
        h_tape[i + 1] = h
    # line 31: for i in range(n):
    d_x = mem.zeros(m)
    d_h = 1.0
    d_w = 0.0
    for i in range(n - 1, -1, -1):
        # line 32: h = math.tanh(w * h + x[i])
        t = d_h * (1.0 - h_tape[i + 1] * h_tape[i + 1])
        d_x[i] += t
        d_w += t * h_tape[i]
        d_h = t * w
    return h, d_x, d_w
