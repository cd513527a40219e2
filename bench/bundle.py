"""The Jacobian of bundle adjustment, a 2 x 15 block for each observation.

    python -m bench.bundle [COUNT]

A camera is rotation vector (3), centre (3), focal length, principal point (2) and two
coefficients of radial distortion; the residual is the weighted difference between the
image of a point and where it was seen. Three programs give the same blocks:

    gradjit      a loop that takes the two pullbacks of the residual, on small vectors
    handwritten  Numba by hand: one forward sweep and two reverse ones, in scalars
    primal       the residuals alone, in scalars, by Numba

Times are medians of interleaved rounds in one process.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

import gradjit

ROUNDS = 40

# ------------------------------------------------------------------ what users write


def rotated(r, p):
    """The vector p turned about r by the length of r."""
    squares = np.dot(r, r)
    if squares == 0.0:
        return p + np.cross(r, p)
    angle = np.sqrt(squares)
    axis = r / angle
    along = np.dot(axis, p) * (1.0 - np.cos(angle))
    return p * np.cos(angle) + np.cross(axis, p) * np.sin(angle) + axis * along


def residual(camera, point, weight, feature):
    x, y, z = rotated(camera[0:3], point - camera[3:6])
    u, v = x / z, y / z
    squares = u * u + v * v
    bend = 1.0 + camera[9] * squares + camera[10] * squares * squares
    image = camera[6] * bend * np.array([u, v]) + camera[7:9]
    return weight * (image - feature)


@gradjit.jit(static={"cameras": -1, "points": -1, "features": -1})
def jacobian(cameras, points, weights, features, which):
    count = len(which)
    blocks = np.empty((count, 2, 15))
    first, second = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    for k in range(count):
        camera, point = cameras[which[k, 0]], points[which[k, 1]]
        _, pullback = gradjit.vjp(residual, camera, point, weights[k], features[k])
        d_camera, d_point, d_weight, _ = pullback(first)
        blocks[k, 0, 0:11] = d_camera
        blocks[k, 0, 11:14] = d_point
        blocks[k, 0, 14] = d_weight
        d_camera, d_point, d_weight, _ = pullback(second)
        blocks[k, 1, 0:11] = d_camera
        blocks[k, 1, 11:14] = d_point
        blocks[k, 1, 14] = d_weight
    return blocks


# ------------------------------------------------------------------------- by hand


@numba.njit(error_model="numpy", cache=True)
def primal(cameras, points, weights, features, which):
    count = which.shape[0]
    out = np.empty((count, 2))
    for k in range(count):
        i, j = which[k, 0], which[k, 1]
        r0, r1, r2 = cameras[i, 0], cameras[i, 1], cameras[i, 2]
        p0 = points[j, 0] - cameras[i, 3]
        p1 = points[j, 1] - cameras[i, 4]
        p2 = points[j, 2] - cameras[i, 5]
        squares = r0 * r0 + r1 * r1 + r2 * r2
        if squares == 0.0:
            x = p0 + r1 * p2 - r2 * p1
            y = p1 + r2 * p0 - r0 * p2
            z = p2 + r0 * p1 - r1 * p0
        else:
            angle = np.sqrt(squares)
            c, s = np.cos(angle), np.sin(angle)
            a0, a1, a2 = r0 / angle, r1 / angle, r2 / angle
            along = (a0 * p0 + a1 * p1 + a2 * p2) * (1.0 - c)
            x = p0 * c + (a1 * p2 - a2 * p1) * s + a0 * along
            y = p1 * c + (a2 * p0 - a0 * p2) * s + a1 * along
            z = p2 * c + (a0 * p1 - a1 * p0) * s + a2 * along
        u, v = x / z, y / z
        d = u * u + v * v
        bend = 1.0 + cameras[i, 9] * d + cameras[i, 10] * d * d
        scale = cameras[i, 6] * bend
        out[k, 0] = weights[k] * (scale * u + cameras[i, 7] - features[k, 0])
        out[k, 1] = weights[k] * (scale * v + cameras[i, 8] - features[k, 1])
    return out


@numba.njit(error_model="numpy", cache=True)
def handwritten(cameras, points, weights, features, which):
    count = which.shape[0]
    blocks = np.empty((count, 2, 15))
    for k in range(count):
        i, j = which[k, 0], which[k, 1]
        r0, r1, r2 = cameras[i, 0], cameras[i, 1], cameras[i, 2]
        p0 = points[j, 0] - cameras[i, 3]
        p1 = points[j, 1] - cameras[i, 4]
        p2 = points[j, 2] - cameras[i, 5]
        squares = r0 * r0 + r1 * r1 + r2 * r2
        turned = squares != 0.0
        angle, c, s, part = 1.0, 1.0, 0.0, 0.0
        a0, a1, a2 = 0.0, 0.0, 0.0
        x0, x1, x2 = r1 * p2 - r2 * p1, r2 * p0 - r0 * p2, r0 * p1 - r1 * p0
        if turned:
            angle = np.sqrt(squares)
            c, s = np.cos(angle), np.sin(angle)
            a0, a1, a2 = r0 / angle, r1 / angle, r2 / angle
            x0, x1, x2 = a1 * p2 - a2 * p1, a2 * p0 - a0 * p2, a0 * p1 - a1 * p0
            part = a0 * p0 + a1 * p1 + a2 * p2
            along = part * (1.0 - c)
            x = p0 * c + x0 * s + a0 * along
            y = p1 * c + x1 * s + a1 * along
            z = p2 * c + x2 * s + a2 * along
        else:
            x, y, z = p0 + x0, p1 + x1, p2 + x2
        u, v = x / z, y / z
        d = u * u + v * v
        focus, k1, k2 = cameras[i, 6], cameras[i, 9], cameras[i, 10]
        bend = 1.0 + k1 * d + k2 * d * d
        scale = focus * bend
        w = weights[k]
        errors = (
            scale * u + cameras[i, 7] - features[k, 0],
            scale * v + cameras[i, 8] - features[k, 1],
        )
        for row in range(2):
            # Back from one of the two components.
            own = u if row == 0 else v
            d_bend = w * focus * own
            d_d = d_bend * (k1 + 2.0 * k2 * d)
            d_u = 2.0 * u * d_d
            d_v = 2.0 * v * d_d
            if row == 0:
                d_u += w * scale
            else:
                d_v += w * scale
            d_x, d_y = d_u / z, d_v / z
            d_z = -(d_x * u + d_y * v)
            if turned:
                along = part * (1.0 - c)
                d_c = d_x * p0 + d_y * p1 + d_z * p2
                d_s = d_x * x0 + d_y * x1 + d_z * x2
                d_along = d_x * a0 + d_y * a1 + d_z * a2
                d_part = d_along * (1.0 - c)
                d_c -= d_along * part
                g0, g1, g2 = d_x * s, d_y * s, d_z * s
                d_a0 = d_x * along + d_part * p0 + p1 * g2 - p2 * g1
                d_a1 = d_y * along + d_part * p1 + p2 * g0 - p0 * g2
                d_a2 = d_z * along + d_part * p2 + p0 * g1 - p1 * g0
                d_p0 = d_x * c + d_part * a0 + g1 * a2 - g2 * a1
                d_p1 = d_y * c + d_part * a1 + g2 * a0 - g0 * a2
                d_p2 = d_z * c + d_part * a2 + g0 * a1 - g1 * a0
                d_angle = d_s * c - d_c * s
                d_angle -= (d_a0 * a0 + d_a1 * a1 + d_a2 * a2) / angle
                d_r0 = d_a0 / angle + d_angle * a0
                d_r1 = d_a1 / angle + d_angle * a1
                d_r2 = d_a2 / angle + d_angle * a2
            else:
                d_r0 = p1 * d_z - p2 * d_y
                d_r1 = p2 * d_x - p0 * d_z
                d_r2 = p0 * d_y - p1 * d_x
                d_p0 = d_x + d_y * r2 - d_z * r1
                d_p1 = d_y + d_z * r0 - d_x * r2
                d_p2 = d_z + d_x * r1 - d_y * r0
            block = blocks[k, row]
            block[0], block[1], block[2] = d_r0, d_r1, d_r2
            block[3], block[4], block[5] = -d_p0, -d_p1, -d_p2
            block[6] = w * bend * own
            block[7] = w if row == 0 else 0.0
            block[8] = w if row == 1 else 0.0
            block[9] = d_bend * d
            block[10] = d_bend * d * d
            block[11], block[12], block[13] = d_p0, d_p1, d_p2
            block[14] = errors[row]
    return blocks


# ----------------------------------------------------------------------- measuring


def arguments(count: int, seed: int = 0) -> tuple[Any, ...]:
    """Observations of points in front of cameras that are turned a little.

    The first camera is not turned at all.
    """
    rng = np.random.default_rng(seed)
    views, seen = max(count // 500, 3), max(count // 20, 5)
    cameras = np.empty((views, 11))
    cameras[:, 0:3] = rng.uniform(-0.3, 0.3, size=(views, 3))
    cameras[0, 0:3] = 0.0
    cameras[:, 3:6] = rng.uniform(-0.5, 0.5, size=(views, 3))
    cameras[:, 6] = rng.uniform(0.8, 1.2, size=views)
    cameras[:, 7:11] = rng.uniform(-0.1, 0.1, size=(views, 4))
    points = rng.uniform(-1.0, 1.0, size=(seen, 3)) + np.array([0.0, 0.0, 4.0])
    weights = rng.uniform(0.5, 1.5, count)
    features = rng.normal(size=(count, 2))
    which = rng.integers(0, [views, seen], size=(count, 2))
    return cameras, points, weights, features, which


def differences(count: int = 20, step: float = 1e-6) -> float:
    """How far blocks are from central differences of the residual."""
    cameras, points, weights, features, which = args = arguments(count)
    worst = 0.0
    for k, block in enumerate(jacobian(*args)):
        i, j = which[k]
        at = np.concatenate([cameras[i], points[j], weights[k : k + 1]])
        for column, unit in enumerate(step * np.eye(15)):
            ends = [
                residual(x[0:11], x[11:14], x[14], features[k])
                for x in (at + unit, at - unit)
            ]
            slope = (ends[0] - ends[1]) / (2.0 * step)
            worst = max(worst, float(np.max(np.abs(slope - block[:, column]))))
    return worst


def measured(calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Median seconds of each call, interleaved."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(row) for name, row in times.items()}


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    args = arguments(count)
    error = float(np.max(np.abs(jacobian(*args) - handwritten(*args))))
    print(f"largest difference: {error:.1e} from the handwritten Jacobian,")
    print(f"                    {differences():.1e} from central differences")
    seconds = measured(
        {
            "gradjit": lambda: jacobian(*args),
            "handwritten": lambda: handwritten(*args),
            "primal": lambda: primal(*args),
        }
    )
    for name, value in seconds.items():
        ratio = value / seconds["handwritten"]
        print(f"{name:12} {1e3 * value:8.3f} ms   {ratio:5.2f} of handwritten")
    print(f"gradjit takes {seconds['gradjit'] / seconds['primal']:.2f} primals")
    return 0 if error < 1e-9 else 1


if __name__ == "__main__":
    sys.exit(main())
