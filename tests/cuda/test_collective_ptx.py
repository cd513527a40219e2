"""The collectives as PTX: what a device would run, without one."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from gradjit.cuda import collective
from gradjit.cuda.shim import cuda
from tests.cuda import ptx

DTYPES = ("float64", "float32", "int64")
PLAIN = ("sum", "prod", "max", "min")
PLACES = ("argmax", "argmin")
WORDS = {"float64": 2, "float32": 1, "int64": 2}  # of 32 bits, as shuffles take them
STEPS = 6  # shuffles of a block's reduction: 5 halves, and one to all lanes


def block_kernel(name: str) -> Callable[..., None]:
    reduce = getattr(collective, name)
    if "arg" in name:

        def kernel(x, out):
            i = cuda.grid(1)
            out[i] = reduce(x[i], i)

    else:

        def kernel(x, out):
            i = cuda.grid(1)
            out[i] = reduce(x[i])

    return kernel


def grid_kernel(name: str) -> Callable[..., None]:
    reduce = getattr(collective, name)
    if "arg" in name:

        def kernel(x, out, parts, counters):
            i = cuda.grid(1)
            reduce(x[i], i, parts, counters, 3, out)

    else:

        def kernel(x, out, parts, counters):
            reduce(x[cuda.grid(1)], parts, counters, 3, out)

    return kernel


def code_of(name: str, dtype: str, cc: tuple[int, int]) -> str:
    """The instructions of a kernel that reduces an array of a dtype."""
    return ptx.code(text_of(name, dtype, cc))


def text_of(name: str, dtype: str, cc: tuple[int, int]) -> str:
    result = "int64" if "arg" in name else dtype
    if name.startswith("block"):
        types = f"({dtype}[::1], {result}[::1])"
        return ptx.compile_kernel(block_kernel(name), types, cc)
    scalar = f"Array({result}, 0, 'C')"
    types = f"({dtype}[::1], {scalar}, float64[::1], int32[::1])"
    return ptx.compile_kernel(grid_kernel(name), types, cc)


@pytest.mark.parametrize("cc", ptx.CAPABILITIES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", PLAIN + PLACES)
def test_block(op: str, dtype: str, cc: tuple[int, int]) -> None:
    code = code_of(f"block_{op}_{dtype}", dtype, cc)
    words = WORDS[dtype] + (WORDS["int64"] if op in PLACES else 0)
    assert len(re.findall(r"shfl\.sync\.(?:down|idx)\.b32", code)) == STEPS * words
    assert len(re.findall(r"bar\.sync\s+0;", code)) == 2
    assert "st.shared" in code
    assert ".local" not in code  # nothing is spilled, and no call
    assert "call" not in code
    if dtype != "float64":
        assert ".f64" not in code
    if dtype == "int64":
        assert ".f32" not in code


@pytest.mark.parametrize("cc", ptx.CAPABILITIES[1:], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", PLAIN + PLACES)
def test_grid(op: str, dtype: str, cc: tuple[int, int]) -> None:
    code = code_of(f"grid_{op}_{dtype}", dtype, cc)
    counted(code)
    arithmetic = re.findall(r"(?:add|mul|fma)\S*\.f64", code)
    wide = dtype == "float64" or (dtype == "float32" and op in ("sum", "prod"))
    assert bool(arithmetic) == (wide and op in ("sum", "prod"))
    if dtype == "float32" and wide:  # values of threads and warps are not widened
        assert re.search(r"(?:add|mul)\S*\.f32", code)
    compared = re.search(r"setp\.\w+\.f64", code) is not None
    assert compared == (dtype == "float64" and op not in ("sum", "prod"))


@pytest.mark.parametrize("cc", ptx.CAPABILITIES, ids=str)
@pytest.mark.parametrize("op", ["and", "or"])
def test_booleans(op: str, cc: tuple[int, int]) -> None:
    code = code_of(f"block_{op}", "boolean", cc)
    assert f"bar.red.{op}.pred" in code
    assert "shfl" not in code
    code = code_of(f"grid_{op}", "boolean", cc)
    counted(code)
    assert f"bar.red.{op}.pred" in code


def counted(code: str) -> None:
    """A fence, the count, a fence, and a barrier that says which block is the last."""
    (atomic,) = re.finditer(r"atom\S*\.add\.u32", code)
    fences = [found.start() for found in re.finditer(r"membar\.gl|fence\.", code)]
    assert len(fences) == 2
    assert fences[0] < atomic.start() < fences[1]
    store = code.rindex("st.global", 0, atomic.start())
    assert store < fences[0]
    assert "bar.red.or.pred" in code[fences[1] :]
    # Parts that other blocks wrote do not come through the cache for constants.
    assert ".nc" not in code
    assert "call" not in code


@pytest.mark.parametrize("cc", ptx.CAPABILITIES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_additions_are_single_instructions(dtype: str, cc: tuple[int, int]) -> None:
    add = getattr(collective, f"add_{dtype}")

    def kernel(x, one, two):
        i = cuda.grid(1)
        add(one, (i % 5,), x[i])
        add(two, (i % 2, cuda.threadIdx.x), x[i])
        add(two, (1, i % 3), 1)

    types = f"({dtype}[::1], {dtype}[::1], {dtype}[:, ::1])"
    code = ptx.code(ptx.compile_kernel(kernel, types, cc))
    unit = {"float64": "f64", "float32": "f32", "int64": "u64"}[dtype]
    assert len(re.findall(rf"(?:atom|red)\.global\.add\.{unit}", code)) == 3
    assert ".cas" not in code
    # With other strides, numba-cuda's addresses may be of any memory.
    types = f"({dtype}[:], {dtype}[:], {dtype}[:, :])"
    code = ptx.code(ptx.compile_kernel(kernel, types, cc))
    assert len(re.findall(rf"(?:atom|red)(?:\.global)?\.add\.{unit}", code)) == 3


def test_several_reductions_of_a_kernel_compile_together() -> None:
    """As attributes of the module, which is how emitted kernels name them."""

    def kernel(x, out, parts, counters):
        high = 0.0
        for row in range(x.shape[0]):
            high += collective.block_max_float64(x[row, cuda.threadIdx.x])
        if collective.block_and(high > 0.0):
            collective.grid_sum_float32(high, parts, counters, 0, out)

    types = "(float64[:, ::1], Array(float32, 0, 'C'), float64[::1], int32[::1])"
    for cc in ptx.CAPABILITIES:
        assert "cvt.rn.f32.f64" in ptx.code(ptx.compile_kernel(kernel, types, cc))


@pytest.mark.parametrize("cc", ptx.CAPABILITIES, ids=str)
@pytest.mark.parametrize("name", ["block_sum_float32", "grid_argmax_int64"])
def test_few_registers(name: str, cc: tuple[int, int]) -> None:
    """A reduction must not be what keeps warps from a multiprocessor."""
    dtype = name.rpartition("_")[2]
    registers, spilled, shared = ptx.usage(text_of(name, dtype, cc), cc)
    assert registers <= 64
    assert spilled == 0
    # A result for each of 32 warps: a value, or values and places.
    assert shared == (128 if dtype == "float32" else 512)
