"""The gradient through a `while` loop: Newton's iteration for a root of a cubic.

The number of steps depends on the values; gradjit runs the same steps backwards. The
implicit function theorem gives the derivative in closed form, to compare with.

    python examples/newton.py
"""

import gradjit


def root(a, b):
    """The real x with x**3 + a * x = b, for a > 0."""
    x = 1.0
    step = 1.0
    while abs(step) > 1e-12:
        step = (x**3 + a * x - b) / (3.0 * x**2 + a)
        x -= step
    return x


def closed_form(a, b):
    """d_a, d_b by differentiating the equation: (3 x**2 + a) dx = db - x da."""
    x = root(a, b)
    return -x / (3.0 * x**2 + a), 1.0 / (3.0 * x**2 + a)


def main():
    gradient = gradjit.grad(root, argnums=(0, 1))
    worst = 0.0
    print(f"{'a':>5} {'b':>5} {'root':>18} {'d_a':>19} {'d_b':>19}   difference")
    for a, b in ((1.0, 2.0), (0.5, 10.0), (3.0, -7.0), (20.0, 0.1)):
        d_a, d_b = gradient(a, b)
        by_a, by_b = closed_form(a, b)
        gap = max(abs(d_a - by_a), abs(d_b - by_b))
        worst = max(worst, gap)
        print(f"{a:5} {b:5} {root(a, b):18.15f} {d_a:19.15f} {d_b:19.15f}   {gap:.1e}")
    assert worst < 1e-12, "the gradient of the loop is not that of the root"

    second = gradjit.grad(gradjit.grad(root, argnums=1), argnums=1)(1.0, 2.0)
    x = root(1.0, 2.0)
    print(
        f"second derivative by b: {second}, closed form {-6 * x / (3 * x**2 + 1) ** 3}"
    )
    print(f"\n{gradient.source}")


if __name__ == "__main__":
    main()
