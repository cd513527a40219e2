"""Programs over small vectors and matrices, as their users would write them."""

from __future__ import annotations

from typing import Any

import numpy as np


def bodies(pos: Any, vel: Any, steps: int) -> Any:
    """Three bodies in space, pulled by each other."""
    pos, vel = pos.copy(), vel.copy()
    for _ in range(steps):
        acc = np.zeros((3, 3))
        for i in range(3):
            for j in range(3):
                if i != j:
                    d = pos[j] - pos[i]
                    acc[i] += d / (np.sum(d * d) + 0.1) ** 1.5
        vel += 0.01 * acc
        pos += 0.01 * vel
    return np.sum(pos * pos) + np.sum(vel)


def turned(q: Any, v: Any) -> Any:
    """A vector turned by a quaternion, twice: by a matrix and by cross products."""
    w, x, y, z = q
    matrix = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    t = 2.0 * np.cross(q[1:], v)
    other = v + w * t + np.cross(q[1:], t)
    return np.sum(matrix @ v * np.array([1.0, 2.0, 3.0])) + other[0] * other[2]


def kalman(z: Any, q: float, r: float) -> Any:
    """Minus the logarithm of a likelihood, by a filter of three states."""
    step = np.array([[1.0, 0.1, 0.005], [0.0, 1.0, 0.1], [0.0, 0.0, 1.0]])
    x, p = np.zeros(3), np.eye(3)
    total = 0.0
    for k in range(len(z)):
        x = step @ x
        p = step @ p @ step.T + q * np.eye(3)
        s = p[0, 0] + r
        gain = p[:, 0] / s
        e = z[k] - x[0]
        x = x + gain * e
        p = p - np.outer(gain, p[0])
        total += np.log(s) + e * e / s
    return 0.5 * total


def arm(theta: Any, target: Any) -> Any:
    """How far the hand of a robot is from where it should be."""
    t = np.eye(4)
    for k in range(len(theta)):
        c, s = np.cos(theta[k]), np.sin(theta[k])
        link = np.zeros((4, 4))
        link[:2, :2] = np.array([[c, -s], [s, c]])
        link[0, 3], link[1, 3] = 0.5 * c, 0.5 * s
        link[2, 2] = link[3, 3] = 1.0
        link[2, 3] = 0.1 * theta[k]
        t = t @ link
    d = t[:3, 3] - target
    return np.sum(d * d)


def rays(origin: Any, direction: Any, centres: Any, radius: float) -> Any:
    """Light from the spheres that a ray meets."""
    total = 0.0
    for centre in centres:
        out = origin - centre
        b = np.dot(out, direction)
        inside = b * b - np.dot(out, out) + radius * radius
        if inside > 0.0:
            hit = origin + (-b - np.sqrt(inside)) * direction
            normal = (hit - centre) / radius
            total += np.dot(normal, np.array([0.0, 0.6, -0.8])) ** 2
    return total


def newton(c: Any) -> Any:
    """A root of two equations, by Newton's iteration."""
    x = np.array([1.0, 1.0])
    for _ in range(6):
        f = np.array([x[0] ** 2 + x[1] - c[0], x[0] - x[1] ** 2 + c[1]])
        a, b, d, e = 2.0 * x[0], 1.0, 1.0, -2.0 * x[1]
        det = a * e - b * d
        x = x - np.array([e * f[0] - b * f[1], a * f[1] - d * f[0]]) / det
    return x[0] * x[1]


def settled(v: Any) -> Any:
    """A vector that is halved until it is short; a loop with no known end."""
    x, n = v.copy(), 0
    while np.dot(x, x) > 0.5:
        x = 0.5 * x + 0.1 * np.array([x[1], x[2], x[0]])
        n += 1
    return np.sum(x**3) + n


def one_side(v: Any) -> Any:
    """Writes in a branch, through a view and under a second name."""
    x = v.copy()
    y = x
    if v[0] > 0.0:
        y[1] = v[0] * v[2]
        part = x[1:]
        part[1] = x[1] * 2.0
    else:
        y[0] = -1.0
    return np.sum(x * np.array([1.0, 2.0, 3.0])) + y[-1] * y[-2]


def extremes(v: Any, w: Any) -> Any:
    """Reductions along axes, comparisons and choices."""
    m = np.outer(v, w)
    high = np.max(m, axis=0) - np.min(m, axis=1)
    mask = m > 0.0
    some = np.where(np.any(mask, axis=1), high, v)
    return np.prod(some + 3.0) + np.sum(m[::-1, 1:] * m[:, :-1]) + np.sum(mask)


def table(v: Any, k: int) -> Any:
    """An element that only the call knows."""
    x = np.zeros(3)
    x[0] = v[0] ** 2
    x[1] = v[1] * v[2]
    for i in range(3):
        x[(i + k) % 3] += v[i]
    return x[k] * x[0] + np.sum(x)
