"""value_and_grad of triangular (golden_programs.py:88).

Written by gradjit 0.1.0.
"""

from gradjit import memory as mem


def value_and_grad_triangular(a):
    n = a.shape[0]
    m = a.shape[1]
    s = 0.0
    # line 91: for i in range(n):
    for i in range(n):
        # line 93: s += a[i, j] * a[j, i]
        if i > m:
            raise IndexError(
                "golden_programs.py:93: s += a[i, j] * a[j, i]: index out of bounds "
                "for axis 1"
            )
        if i > 0 and i >= m:
            raise IndexError(
                "golden_programs.py:93: s += a[i, j] * a[j, i]: index out of bounds "
                "for axis 1"
            )
        # line 92: for j in range(i):
        for j in range(i):
            # line 93: s += a[i, j] * a[j, i]
            s += a[i, j] * a[j, i]
    # line 91: for i in range(n):
    d_a = mem.zeros((n, m))
    for i in range(n - 1, -1, -1):
        # line 92: for j in range(i):
        for j in range(i - 1, -1, -1):
            # line 93: s += a[i, j] * a[j, i]
            d_a[j, i] += a[i, j]
            d_a[i, j] += a[j, i]
    return s, d_a
