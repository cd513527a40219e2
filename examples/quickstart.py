"""A tour of gradjit: gradients of plain Python and NumPy, and the code behind them.

python examples/quickstart.py
"""

import math

import numpy as np

import gradjit


# 1. A scalar function with named stages. The gradient is a Python function to read.
@gradjit.grad(argnums=(0, 1))
def circuit(x, y):
    sigy = 1.0 / (1 + math.exp(-y))
    num = x + sigy
    sigx = 1.0 / (1 + math.exp(-x))
    xpy = x + y
    xpysqr = xpy**2
    den = sigx + xpysqr
    invden = 1.0 / den
    return num * invden


# 2. Array expressions: forward and backward in one loop, without temporary arrays.
def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


# 3. Loops, branches and stores stay what they are.
def diffuse(u, steps):
    u = u.copy()
    for _ in range(steps):
        for i in range(1, len(u) - 1):
            u[i] = 0.25 * u[i - 1] + 0.5 * u[i] + 0.25 * u[i + 1]
            if u[i] > 1.0:
                u[i] = 1.0
    return np.sum(u**2)


# 4. Parameters in containers: the gradient comes back in the same container.
def line(params, x, y):
    return np.mean((params["slope"] * x + params["offset"] - y) ** 2)


def main():
    d_x, d_y = circuit(3.0, -4.0)
    print(f"circuit at (3, -4): d_x = {d_x}, d_y = {d_y}\n")
    print(circuit.source)

    x = np.linspace(-1.0, 1.0, 10)
    value, d_x = gradjit.value_and_grad(rosenbrock)(x)
    print(f"rosenbrock: {value:.4f}, gradient {d_x[:3].round(3)} ...")

    v = np.ones(10)
    product = gradjit.hvp(rosenbrock)(x, v)
    hessian = gradjit.hessian(rosenbrock)(x)
    gap = np.max(np.abs(hessian @ v - product))
    print(f"Hessian {hessian.shape}; times a vector, two ways: {gap:.1e} apart")

    gradjit.check_grads(diffuse, (np.linspace(0.0, 2.0, 8), 3))
    print("diffuse: the gradient agrees with finite differences")

    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    y = 3.0 * x - 1.0 + 0.01 * rng.normal(size=200)
    params = {"slope": 0.0, "offset": 0.0}
    slope = gradjit.grad(line)
    for _ in range(200):
        d_params = slope(params, x, y)
        params = {name: params[name] - 0.1 * d_params[name] for name in params}
    print(f"line: slope {params['slope']:.2f}, offset {params['offset']:.2f}")

    third = gradjit.grad(gradjit.grad(gradjit.grad(lambda x: math.sin(x))))
    print(f"third derivative of sin at 0: {third(0.0)}")

    try:
        gradjit.grad(lambda x: np.linalg.svd(x)[1].sum())(np.eye(3))
    except gradjit.GradjitError as error:
        print(f"\nWhat cannot be done is refused, with its line:\n{error}")


if __name__ == "__main__":
    main()
