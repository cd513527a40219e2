"""Code for a device with what a call of it needs.

Arrays go in as they are, if they are on the device, and results come out as the
caller's kind of array; NumPy's arrays are moved there and back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradjit.calltext import Result
from gradjit.codegen.module import load
from gradjit.cuda.shim import require
from gradjit.leaf import Axes, Spec, array_spec, prepare
from gradjit.lowered import Lowered
from gradjit.signature import Call


def is_device_array(x: Any) -> bool:
    """Whether a leaf is an array of a device, of whatever library."""
    return hasattr(type(x), "__cuda_array_interface__")


def prepare_leaf(leaf: Any, static: Axes = ()) -> tuple[Spec, Any]:
    """The spec of a leaf, and the leaf; arrays stay where they are."""
    if not is_device_array(leaf):
        return prepare(leaf, static)
    return array_spec(leaf, static), leaf
