"""The sparse Jacobian of bundle adjustment: two rows pulled back for each observation.

The loop is `gradjit.jit`, and the transform stands inside of it: what one gradient of a
whole loss cannot give, one block for each residual.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import gradjit


def cross(a, b):
    return np.array(
        [
            a[1] * b[2] - a[2] * b[1],
            a[2] * b[0] - a[0] * b[2],
            a[0] * b[1] - a[1] * b[0],
        ]
    )


def residual(camera, point, weight, feature):
    """A camera: axis of rotation, centre, focal length, centre of the image, bends."""
    axis = camera[:3]
    place = point - camera[3:6]
    angle = np.sqrt(axis @ axis)
    unit = axis / angle
    cos, sin = np.cos(angle), np.sin(angle)
    along = (1.0 - cos) * (unit @ place)
    seen = cos * place + sin * cross(unit, place) + along * unit
    uv = seen[:2] / seen[2]
    radius = uv @ uv
    zoom = camera[6] * (1.0 + radius * (camera[9] + radius * camera[10]))
    return weight * (zoom * uv + camera[7:9] - feature)


def jacobian(cameras, points, weights, features):
    """Residuals, and their blocks by camera, point and weight."""
    n = len(weights)
    out = np.empty((n, 2))
    by_camera = np.empty((n, 2, 11))
    by_point = np.empty((n, 2, 3))
    by_weight = np.empty((n, 2))
    for i in range(n):
        off, pull = gradjit.vjp(
            residual, cameras[i], points[i], weights[i], features[i]
        )
        out[i] = off
        for k, seed in enumerate((np.array([1.0, 0.0]), np.array([0.0, 1.0]))):
            by_camera[i, k], by_point[i, k], by_weight[i, k], _ = pull(seed)
    return out, (by_camera, by_point, by_weight)


def transform(function: Any, argnums: Any, parallel: bool) -> Any:
    """What the function differentiates stands in it.

    The rows' extents are 11, 3 and 2 whatever comes, so they are compiled for.
    """
    exact = {"cameras": -1, "points": -1, "features": -1}
    return gradjit.jit(function, static=exact, parallel=parallel)
