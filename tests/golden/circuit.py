"""value_and_grad of circuit (golden_programs.py:12).

Written by gradjit 0.1.0.
"""

import numpy as np


def value_and_grad_circuit(x, y):
    # line 13: sigy = 1.0 / (1 + math.exp(-y))
    t = np.exp(-y)
    t2 = 1.0 + t
    sigy = 1.0 / t2
    # line 14: num = x + sigy
    num = x + sigy
    # line 15: sigx = 1.0 / (1 + math.exp(-x))
    t3 = np.exp(-x)
    t4 = 1.0 + t3
    sigx = 1.0 / t4
    # line 16: xpy = x + y
    xpy = x + y
    # line 17: xpysqr = xpy**2
    xpysqr = xpy * xpy
    # line 18: den = sigx + xpysqr
    den = sigx + xpysqr
    # line 19: invden = 1.0 / den
    invden = 1.0 / den
    d_den = -(num / den * invden)
    # line 17: xpysqr = xpy**2
    d_xpy = d_den * (2.0 * xpy)
    # line 15: sigx = 1.0 / (1 + math.exp(-x))
    d_x = d_xpy + d_den / t4 * sigx * t3
    # line 14: num = x + sigy
    d_x += invden
    # line 13: sigy = 1.0 / (1 + math.exp(-y))
    d_y = d_xpy + invden / t2 * sigy * t
    return num * invden, d_x, d_y
