"""Machine code from Numba's disk cache, without what only a compilation needs.

Numba readies itself to compile before it looks into its cache: it imports and registers
its implementations of NumPy (with them `scipy.linalg`), which takes 0.3 s of a fresh
process. Code that is in the cache needs none of that, but for Numba's own allocator and
what the file of the code names. So the cache is read here first; where that fails, for
whatever reason, the ordinary way is open as before.
"""

from __future__ import annotations

import importlib
from typing import Any


def load_cached(dispatcher: Any, signature: tuple[Any, ...]) -> bool:
    """Give a dispatcher its code for a signature from the disk cache.

    What is called here is what `Dispatcher.compile` calls for code that is in the
    cache; only `target_context.refresh()` is left out. Not for functions that run in
    parallel, whose code starts threads when it is loaded.

    Args:
        dispatcher: Of a function with `cache=True`, for which nothing is compiled yet.
        signature: Numba's types of the arguments.

    Returns:
        Whether the code was there.
    """
    try:
        lock = importlib.import_module("numba.core.compiler_lock").global_compiler_lock
        allocator = importlib.import_module("numba.core.runtime").rtsys
        with lock:
            context = dispatcher.targetctx
            allocator.initialize(context)
            code = dispatcher._cache._load_overload(signature, context)
            if code is None or code.objectmode or code.reload_init:
                return False
            library = [code.library]
            context.insert_user_function(code.entry_point, code.fndesc, library)
            dispatcher.add_overload(code)
            dispatcher._cache_hits[signature] += 1
    except Exception:
        # A damaged file, or a Numba that does this in another way.
        return False
    return True
