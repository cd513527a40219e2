"""The Jacobian of bundle adjustment by hand, and its primal: one pass, all in scalars.

An observation's residuals are those of `bench/projection.py`. With p = R(axis) s, where
s is the point as seen from the camera's centre, both rows go back through the same
projection; the adjoint of R is its transpose, and the slope along the axis is that of
Rodrigues' formula, by the angle and by the unit vector.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

_plain = njit(cache=True, error_model="numpy", fastmath={"contract", "nsz"})


@_plain
def _pull(
    g0: float, g1: float, g2: float, s: Any, unit: Any, turn: Any, out: Any, point: Any
) -> None:
    """What a cotangent of p gives to the axis, to the centre and to the point."""
    s0, s1, s2 = s
    a0, a1, a2 = unit
    cos, sin, angle = turn
    k = 1.0 - cos
    along_s = a0 * s0 + a1 * s1 + a2 * s2
    along_g = a0 * g0 + a1 * g1 + a2 * g2
    # (a x s) . g = a . (s x g)
    c0, c1, c2 = s1 * g2 - s2 * g1, s2 * g0 - s0 * g2, s0 * g1 - s1 * g0
    turned = a0 * c0 + a1 * c1 + a2 * c2
    plain = s0 * g0 + s1 * g1 + s2 * g2
    by_angle = cos * turned + sin * (along_s * along_g - plain)
    radial = sin * turned + 2.0 * k * along_s * along_g
    m0 = sin * c0 + k * (g0 * along_s + along_g * s0)
    m1 = sin * c1 + k * (g1 * along_s + along_g * s1)
    m2 = sin * c2 + k * (g2 * along_s + along_g * s2)
    out[0] = by_angle * a0 + (m0 - a0 * radial) / angle
    out[1] = by_angle * a1 + (m1 - a1 * radial) / angle
    out[2] = by_angle * a2 + (m2 - a2 * radial) / angle
    point[0] = cos * g0 - sin * (a1 * g2 - a2 * g1) + k * along_g * a0
    point[1] = cos * g1 - sin * (a2 * g0 - a0 * g2) + k * along_g * a1
    point[2] = cos * g2 - sin * (a0 * g1 - a1 * g0) + k * along_g * a2
    out[3] = -point[0]
    out[4] = -point[1]
    out[5] = -point[2]


@_plain
def _turned(s: Any, unit: Any, turn: Any) -> Any:
    s0, s1, s2 = s
    a0, a1, a2 = unit
    cos, sin, _ = turn
    along = (1.0 - cos) * (a0 * s0 + a1 * s1 + a2 * s2)
    return (
        cos * s0 + sin * (a1 * s2 - a2 * s1) + along * a0,
        cos * s1 + sin * (a2 * s0 - a0 * s2) + along * a1,
        cos * s2 + sin * (a0 * s1 - a1 * s0) + along * a2,
    )


@_plain
def _rodrigues(camera: Any) -> Any:
    squared = camera[0] ** 2 + camera[1] ** 2 + camera[2] ** 2
    angle = math.sqrt(squared)
    unit = camera[0] / angle, camera[1] / angle, camera[2] / angle
    return unit, (math.cos(angle), math.sin(angle), angle)


@_plain
def residuals(cameras: Any, points: Any, weights: Any, features: Any) -> Any:
    """The primal."""
    out = np.empty((cameras.shape[0], 2))
    for i in range(cameras.shape[0]):
        camera, x = cameras[i], points[i]
        s = x[0] - camera[3], x[1] - camera[4], x[2] - camera[5]
        unit, turn = _rodrigues(camera)
        p0, p1, p2 = _turned(s, unit, turn)
        u, v = p0 / p2, p1 / p2
        q = u * u + v * v
        zoom = camera[6] * (1.0 + q * (camera[9] + q * camera[10]))
        out[i, 0] = weights[i] * (zoom * u + camera[7] - features[i, 0])
        out[i, 1] = weights[i] * (zoom * v + camera[8] - features[i, 1])
    return out


@_plain
def jacobian(cameras: Any, points: Any, weights: Any, features: Any) -> Any:
    """Residuals, and their blocks by camera, point and weight."""
    n = cameras.shape[0]
    out = np.empty((n, 2))
    d_camera, d_point = np.zeros((n, 2, 11)), np.empty((n, 2, 3))
    d_weight = np.empty((n, 2))
    for i in range(n):
        camera, x, w = cameras[i], points[i], weights[i]
        s = x[0] - camera[3], x[1] - camera[4], x[2] - camera[5]
        unit, turn = _rodrigues(camera)
        p0, p1, p2 = _turned(s, unit, turn)
        inverse = 1.0 / p2
        u, v = p0 * inverse, p1 * inverse
        q = u * u + v * v
        bend = 1.0 + q * (camera[9] + q * camera[10])
        slope = 2.0 * (camera[9] + 2.0 * camera[10] * q)
        focal = camera[6] * w
        off_u = camera[6] * bend * u + camera[7] - features[i, 0]
        off_v = camera[6] * bend * v + camera[8] - features[i, 1]
        for row in range(2):
            own = u if row == 0 else v
            off = off_u if row == 0 else off_v
            to_u = focal * own * u * slope
            to_v = focal * own * v * slope
            if row == 0:
                to_u += focal * bend
            else:
                to_v += focal * bend
            g0, g1 = to_u * inverse, to_v * inverse
            g2 = -(g0 * u + g1 * v)
            block = d_camera[i, row]
            _pull(g0, g1, g2, s, unit, turn, block, d_point[i, row])
            block[6] = w * bend * own
            block[7 + row] = w
            block[9] = focal * own * q
            block[10] = focal * own * q * q
            d_weight[i, row] = off
            out[i, row] = w * off
    return out, (d_camera, d_point, d_weight)
