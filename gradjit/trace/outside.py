"""Values from outside of the function, as the program sees them.

An array from outside may have other elements at the next call, so it is a parameter and
never a constant: wherever the program could compute with one it gets a handle, and for
a container of arrays a copy with handles in it.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from gradjit.ir.types import DTYPES
from gradjit.trace.classes import class_of

if TYPE_CHECKING:
    from gradjit.trace.builder import TraceBuilder

_DICTS = (dict, OrderedDict, defaultdict)


def whole(builder: TraceBuilder, value: Any) -> Any:
    """A value of which all that is inside may be read.

    Args:
        builder: Its guards take note of what is inside of a container from outside.
        value: Anything.

    Returns:
        The value, with handles in place of arrays from outside.
    """
    if isinstance(value, np.ndarray):
        array = cast("np.ndarray[Any, Any]", value)
        native = array.dtype.newbyteorder("=")
        return builder.outside(array) if native in DTYPES else array
    if not builder.guards.is_outside(value):
        return value
    builder.guards.whole(value)
    return _with_handles(builder, value)


def _with_handles(builder: TraceBuilder, container: Any) -> Any:
    """A copy of a container that holds arrays; any other one as it is."""
    found = builder.guards.copies.get(id(container))
    if found is not None:
        return found
    new = _rebuilt(container, lambda item: whole(builder, item))
    if new is not container:
        builder.guards.adopt(container, new)
    return new


def _rebuilt(container: Any, change: Callable[[Any], Any]) -> Any:
    """The container with changed items; itself if none is another."""
    kind = class_of(container)
    if kind in _DICTS:
        old: list[Any] = list(cast("dict[Any, Any]", container).values())
    elif kind is list or issubclass(kind, tuple):
        old = list(cast("list[Any]", container))
    else:
        return container
    new = [change(item) for item in old]
    if all(a is b for a, b in zip(old, new, strict=True)):
        return container
    if kind in _DICTS:
        made = copy(container)
        made.update(zip(container, new, strict=True))
        return made
    build: Any = class_of(container)
    return build(*new) if hasattr(build, "_fields") else build(new)
