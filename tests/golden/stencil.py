"""value_and_grad of stencil (golden_programs.py:43).

Written by gradjit 0.1.0.
"""

from gradjit import memory as mem


def value_and_grad_stencil(u, steps):
    n = u.shape[0]
    a = mem.copy(u)
    # line 46: for _ in range(steps):
    for _ in range(steps):
        # line 47: for i in range(1, n - 1):
        a_last = a[0] if n > 2 else 0.0
        for i in range(1, n - 1):
            # line 48: a[i] = (a[i - 1] + a[i] + a[i + 1]) / 3.0
            a_last = (a_last + a[i] + a[i + 1]) / 3.0
            a[i] = a_last
    # line 49: return np.sum(a * a)
    total = 0.0
    d_a = mem.empty(n)
    for i in range(n):
        a_i = a[i]
        total += a_i * a_i
        d_a[i] = 2.0 * a_i
    # line 46: for _ in range(steps):
    for _ in range(steps - 1, -1, -1):
        # line 47: for i in range(1, n - 1):
        if n > 2:
            d_a_last = d_a[n - 2]
            d_a_last2 = d_a[n - 1]
        else:
            d_a_last = 0.0
            d_a_last2 = 0.0
        for i in range(n - 2, 0, -1):
            # line 48: a[i] = (a[i - 1] + a[i] + a[i + 1]) / 3.0
            t = d_a_last * 0.3333333333333333
            d_a[i + 1] = d_a_last2 + t
            d_a_last = d_a[i - 1] + t
            d_a_last2 = t
        # line 47: for i in range(1, n - 1):
        if n > 2:
            # line 48: a[i] = (a[i - 1] + a[i] + a[i + 1]) / 3.0
            d_a[0] = d_a_last
            d_a[1] = d_a_last2
    return total, d_a
