"""CuPy as far as the runtime calls it, on the memory of `faked`.

Each function does by NumPy what CuPy's documentation says, and asserts what CuPy
asserts: `cublas.gemv` takes contiguous vectors of one dtype, `gemm` no result with
other strides.
"""

from __future__ import annotations

import ctypes
import weakref
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np


class UnownedMemory:
    def __init__(self, ptr: int, size: int, owner: Any, device_id: int) -> None:
        assert device_id == 0
        self.ptr, self.size, self.owner = ptr, size, owner


class MemoryPointer:
    def __init__(self, mem: Any, offset: int) -> None:
        assert 0 <= offset <= mem.size
        self.mem, self.ptr = mem, mem.ptr + offset


class ndarray:
    """An array at an address, which a NumPy array shows."""

    def __init__(
        self, shape: Any, dtype: Any, memptr: MemoryPointer, strides: Any = None
    ) -> None:
        self.shape, self.dtype, self.memptr = tuple(shape), np.dtype(dtype), memptr
        mem = memptr.mem
        buffer = (ctypes.c_char * mem.size).from_address(mem.ptr)
        offset = memptr.ptr - mem.ptr
        self.seen = np.ndarray(self.shape, self.dtype, buffer, offset, strides)
        self.strides, self.ndim, self.size = (
            self.seen.strides,
            self.seen.ndim,
            self.seen.size,
        )

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.memptr.ptr, False),
            "strides": None if self.seen.flags.c_contiguous else self.strides,
            "stream": 1,
            "version": 3,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)


ndarray.__module__ = "cupy"


class Stream:
    def __init__(self, ptr: int) -> None:
        self.ptr = ptr


class Cupy:
    """The module.

    Attributes:
        log: What was called, with the current stream.
        current: The current stream, as the caller of gradjit left it.
    """

    ndarray = ndarray

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.log: list[Any] = []
        self.current = 0
        self.cuda = SimpleNamespace(
            is_available=lambda: True,
            UnownedMemory=UnownedMemory,
            MemoryPointer=MemoryPointer,
            Stream=SimpleNamespace(null=self.entered(0)),
            ExternalStream=self.entered,
            get_current_stream=lambda device: Stream(self.current),
            alloc=self.alloc,
            using_allocator=self.using_allocator,
        )
        self.allocator = self.alloc
        self.cublas = SimpleNamespace(gemm=self.gemm, gemv=self.gemv)

    def entered(self, ptr: int) -> Any:
        @contextmanager
        def manager() -> Any:
            before, self.current = self.current, ptr
            try:
                yield
            finally:
                self.current = before

        class Entered(Stream):
            def __enter__(self) -> None:
                self.manager = manager()
                self.manager.__enter__()

            def __exit__(self, *raised: Any) -> None:
                self.manager.__exit__(*raised)

        return Entered(ptr)

    def alloc(self, size: int) -> MemoryPointer:
        self.log.append(("alloc", self.current))
        buffer = (ctypes.c_char * size)()
        address = ctypes.addressof(buffer)
        mem = UnownedMemory(address, size, None, 0)
        self.driver.memory[address] = buffer
        weakref.finalize(mem, self.driver.memory.pop, address)
        return MemoryPointer(mem, 0)

    @contextmanager
    def using_allocator(self, allocator: Any) -> Any:
        before, self.allocator = self.allocator, allocator
        try:
            yield
        finally:
            self.allocator = before

    def empty(self, shape: Any, dtype: Any) -> ndarray:
        size = max(1, int(np.prod(shape)) * np.dtype(dtype).itemsize)
        return ndarray(shape, dtype, self.allocator(size))

    def gemm(
        self,
        transa: str,
        transb: str,
        a: Any,
        b: Any,
        out: Any,
        alpha: float,
        beta: float,
    ) -> None:
        self.log.append(("gemm", self.current))
        assert (transa, transb, alpha) == ("N", "N", 1.0)
        assert a.dtype == b.dtype == out.dtype
        assert a.dtype.char in "fd"
        for x in (a, b, out):
            assert x.ndim == 2
            assert x.seen.flags.c_contiguous or x.seen.flags.f_contiguous
        kept = beta * out.seen if beta else 0.0
        out.seen[...] = a.seen @ b.seen + kept

    def gemv(
        self, transa: str, alpha: float, a: Any, x: Any, beta: float, y: Any
    ) -> None:
        self.log.append(("gemv", self.current))
        assert alpha == 1.0
        assert a.dtype == x.dtype == y.dtype
        assert a.ndim == 2
        assert x.ndim == y.ndim == 1
        assert x.seen.flags.c_contiguous
        assert y.seen.flags.c_contiguous
        matrix = a.seen if transa == "N" else a.seen.T
        kept = beta * y.seen if beta else 0.0
        y.seen[...] = matrix @ x.seen + kept

    def matmul(self, a: Any, b: Any, out: Any) -> None:
        self.log.append(("matmul", self.current))
        np.matmul(a.seen, b.seen, out=out.seen)

    def nonzero(self, mask: Any) -> tuple[ndarray, ...]:
        self.log.append(("nonzero", self.current))
        found = np.nonzero(mask.seen)
        arrays = [self.empty(k.shape, np.int64) for k in found]
        for array, k in zip(arrays, found, strict=True):
            array.seen[...] = k
        return tuple(arrays)
