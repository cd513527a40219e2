"""value_and_grad of newton (golden_programs.py:36).

Written by gradjit 0.1.0.
"""


def value_and_grad_newton(a):
    y_tape = [0.0]
    y_tape.pop()
    tape = [0.0]
    tape.pop()
    y = 1.0
    count = 0
    # line 38: while abs(y * y - a) > 1e-12:
    while abs(y * y - a) > 1e-12:
        y_tape.append(y)
        # line 39: y = 0.5 * (y + a / y)
        t = a / y
        tape.append(t)
        y = 0.5 * (y + t)
        count += 1
    d_y = 1.0
    d_a = 0.0
    # line 38: while abs(y * y - a) > 1e-12:
    for i in range(count - 1, -1, -1):
        y2 = y_tape.pop()
        t2 = tape.pop()
        # line 39: y = 0.5 * (y + a / y)
        d_y *= 0.5
        t3 = d_y / y2
        d_a += t3
        d_y -= t3 * t2
    return y, d_a
