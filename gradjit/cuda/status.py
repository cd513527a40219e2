"""Errors that kernels find: codes on the device, exceptions on the host.

A kernel that finds an error writes its code in `status()[0]` and goes on or returns.
The host looks at the status when it waits for the device in any case, and raises then.
"""

from __future__ import annotations

import builtins
import threading
import zlib
from collections.abc import Sequence

import numpy as np

from gradjit import errors
from gradjit.cuda.place import Place, every

_FOLD = 256  # codes of one number of a block
_Block = tuple[tuple[str, str], ...]
_blocks: dict[
    int, tuple[int, _Block]
] = {}  # by number: the block's first, its messages
_lock = threading.Lock()


def register(messages: Sequence[tuple[str, str]]) -> int:
    """The code of the first of some messages; the others follow it.

    The same messages have the same code in every process (but for collisions of a
    checksum), since a kernel may come from Numba's cache of another process.

    Args:
        messages: Pairs of the name of an exception, built-in or gradjit's, and its
            text.
    """
    block = tuple((kind, text) for kind, text in messages)
    size = max(1, -(-len(block) // _FOLD))
    least, most = 1, 2**23 - size
    number = least + zlib.crc32(repr(block).encode()) % (most - least)
    with _lock:
        while not _is_free(number, size, block):
            number = number + 1 if number < most else least
        for k in range(size):
            _blocks[number + k] = (number, block)
    return number * _FOLD


def _is_free(number: int, size: int, block: _Block) -> bool:
    taken = (number, block)
    return all(_blocks.get(number + k, taken) == taken for k in range(size))


def error_of(code: int) -> Exception:
    """The exception that a code stands for."""
    number, block = _blocks.get(code // _FOLD, (0, ()))
    at = code - number * _FOLD
    if at >= len(block):
        return errors.InternalError(f"a kernel left the unknown status {code}")
    name, text = block[at]
    kind = getattr(builtins, name, None) or getattr(errors, name)
    return kind(text)


def check(place: Place) -> None:
    """Waits for a place, and raises what a kernel found there."""
    found = place.status.copy_to_host(stream=place.stream)
    place.synchronize()
    code = int(found[0])
    if code:
        reset(place)
        raise error_of(code)


def synchronize() -> None:
    """Waits for all that was launched, and raises what a kernel found.

    Raises:
        Exception: What the kernel's code stands for: an `IndexError`, say.
    """
    for place in every():
        check(place)


def reset(place: Place) -> None:
    """No error; and no counter that an interrupted kernel left."""
    for array in (place.status, place.counters):
        array.copy_to_device(np.zeros(array.shape, array.dtype), stream=place.stream)
    place.synchronize()
