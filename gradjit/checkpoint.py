"""`gradjit.checkpoint`: run a function again on the way back, instead of saving."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

Fn = Callable[..., Any]


def checkpoint(f: Fn) -> Fn:
    """The same function, whose derivative saves only what it is called with.

    What `f` computes on the way is computed again on the way back. A loop over calls
    of a checkpointed function keeps the state of each iteration and nothing else;
    `grad(memory=...)` does this for whole loops, and chooses how much of it.

    Args:
        f: A function, to be called inside of one that is differentiated.

    Returns:
        A function with the same arguments and results, with the same derivatives.

    Example:
        >>> import gradjit
        >>> import numpy as np
        >>> @gradjit.checkpoint
        ... def layer(x):
        ...     return np.tanh(np.sin(x) * x)
        >>> gradjit.grad(lambda x: np.sum(layer(layer(x))))(np.zeros(2))
        array([0., 0.])

    Source:
        Griewank and Walther, "Evaluating Derivatives", 2nd ed. (2008), chapter 12.
    """

    @functools.wraps(f)
    def run(*args: Any, **kwargs: Any) -> Any:
        from gradjit.inline import tracing
        from gradjit.trace.checkpoint import once
        from gradjit.trace.trace import is_tracing

        if is_tracing():
            return once(tracing(), f, args, kwargs)
        return f(*args, **kwargs)

    run.__dict__["__gradjit_inline__"] = run
    return run
