"""The memory of arrays that a call has freed is kept for the next call."""

from __future__ import annotations

from contextlib import suppress
from functools import cache

import numpy as np

# Just below the largest block that glibc learns from, 32 MB.
_LARGE = 2**25 - 2**13


@cache
def keep_freed_memory() -> None:
    """Let the C library keep up to 64 MB of what is freed (glibc; once in a process).

    A gradient makes arrays and frees them. By default glibc gives arrays of more than
    128 KB back to the system at once, and the next call gets new pages, each with a
    page fault: three quarters of the time of a kernel over grids of 2 MB. But glibc
    adapts: once a larger block was freed, blocks of that size come from memory that
    it keeps (`M_MMAP_THRESHOLD` in mallopt(3)). So one is made and freed; it is not
    touched, and takes no memory. Where limits are set, by `MALLOC_TRIM_THRESHOLD_` for
    one, they stand.
    """
    with suppress(MemoryError):
        np.empty(_LARGE, np.uint8)
