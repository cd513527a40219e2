"""`gradjit.stop_gradient`."""

from __future__ import annotations

from typing import Any

from gradjit.ops.surface import function, stop


def stop_gradient(x: Any) -> Any:
    """The value itself, which derivatives take as a constant.

    Args:
        x: A number or an array.

    Returns:
        `x`. Inside a differentiated function its derivative is zero.

    Example:
        >>> import gradjit
        >>> gradjit.grad(lambda x: x * gradjit.stop_gradient(x))(3.0)
        3.0
    """
    return x


function(stop_gradient, name="gradjit.stop_gradient")(stop)
