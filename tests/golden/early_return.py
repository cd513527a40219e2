"""value_and_grad of early_return (golden_programs.py:106).

Written by gradjit 0.1.0.
"""

import numpy as np


def value_and_grad_early_return(x, y):
    # line 107: r = x * x + y * y
    r = x * x + y * y
    # line 108: if r < 1.0:
    test = r < 1.0
    if test:
        t = 0.0
    else:
        # line 110: return math.sqrt(r) + x
        t = np.sqrt(r)
        r = t + x
    # line 108: if r < 1.0:
    if test:
        d_r = 1.0
        d_x = 0.0
    else:
        # line 110: return math.sqrt(r) + x
        d_r = 0.5 / t
        d_x = 1.0
    # line 107: r = x * x + y * y
    d_y = d_r * (2.0 * y)
    d_x += d_r * (2.0 * x)
    return r, d_x, d_y
