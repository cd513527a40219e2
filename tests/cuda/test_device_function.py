"""Derivatives as device functions: compiled for a GPU, printed, and refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba.core import types

import gradjit
from gradjit.cuda import shim
from gradjit.cuda.shim import cuda
from gradjit.errors import DtypeError, GradjitError, ShapeError, UnsupportedError
from tests.cuda import inside_programs as p
from tests.cuda.ptx import CAPABILITIES, code, compile_kernel, reason

needs_ptx = pytest.mark.skipif(bool(reason()), reason=reason() or "PTX can be made")


def array(rank: int, dtype: Any = types.float64) -> Any:
    return types.Array(dtype, rank, "C")


@needs_ptx
@pytest.mark.parametrize("cc", CAPABILITIES)
def test_kernels_compile(cc: tuple[int, int]) -> None:
    compile_kernel(p.numbers, (array(2), array(2)), cc)
    compile_kernel(p.arrays, (array(2), array(2), array(3), array(3), array(2)), cc)


@needs_ptx
def test_single_precision_computes_in_single_precision() -> None:
    slope = gradjit.device(p.price, argnums=(0, 2), value=True)
    force, root = gradjit.device(p.energy), gradjit.device(p.root)
    rows, small = gradjit.device(p.rosenbrock), gradjit.device(p.written, "float32[4]")

    @cuda.jit
    def kernel(x: Any, out: Any) -> None:
        out[0], out[1], out[2] = slope(x[0], x[1], x[2])
        out[3] = force(x[0])
        out[4] = root(x[1])
        rows(x, out[5:])
        small(x, out[9:])

    single = array(1, types.float32)
    assert ".f64" not in code(compile_kernel(kernel, (single, single), (8, 0)))


@needs_ptx
def test_made_for_the_types_of_the_call() -> None:
    slope = gradjit.device(p.rosenbrock)

    @cuda.jit
    def kernel(x: Any, d_x: Any, y: Any, d_y: Any) -> None:
        slope(x, d_x)
        slope(y, d_y)

    single, double = array(1, types.float32), array(1)
    compile_kernel(kernel, (single, single, double, double), (8, 0))
    assert "def grad_rosenbrock(x, d_x):" in slope.source


# ------------------------------------------------------------------------- the text


def test_source() -> None:
    head, _, body = gradjit.device(p.root, "float64", value=True).source.partition(
        "@cuda"
    )
    assert '"""value_and_grad of root (inside_programs.py:' in head
    code = [line for line in body.splitlines() if "# line" not in line]
    assert "\n".join(code) == ROOT.strip()


# Forwards: the way back would keep what nobody knows the length of.
ROOT = """
.jit(device=True)
def value_and_grad_root(a):
    x = a
    t_x = 1.0
    while abs(x * x - a) > 1e-12:
        t = a / x
        t2 = 1.0 / x
        t3 = t / x
        x = 0.5 * (x + t)
        t_x = (t_x + (t2 - t_x * t3)) * 0.5
    return x, t_x
"""


def test_values_of_a_loop_are_computed_again() -> None:
    source = gradjit.device(p.branches, "float64[:]").source
    assert "local.array" not in source
    assert source.count("exp(x_i)") == 1


def test_arrays_of_known_extents_are_the_threads_own() -> None:
    source = gradjit.device(p.recurrent, "float64[100]").source
    assert "cuda.local.array(" in source
    with pytest.raises(UnsupportedError, match="8000000 bytes"):
        gradjit.device(p.recurrent, "float64[1000000]")


# ------------------------------------------------------------------------ refusals


def product(x: Any, a: Any) -> Any:
    return np.sum(np.tanh(a @ x))


def stacked(x: Any) -> Any:
    y = x[0]
    while y < 10.0:
        y = y * y + x[1]
    return y


def picked(x: Any, k: Any) -> Any:
    return [x, 2.0 * x][k]


TABLE = np.arange(5.0)


def looked_up(x: Any, i: Any) -> Any:
    return x * TABLE[i]


def raised(f: Any, signature: str, **options: Any) -> tuple[type, str]:
    with pytest.raises(GradjitError) as caught:
        gradjit.device(f, signature, **options)
    lines = str(caught.value).splitlines()
    first = lines[0].rpartition("/")[2] if ".py:" in lines[0] else lines[0]
    return type(caught.value), "\n".join([first, *lines[1:]])


def line_of(f: Any, offset: int = 1) -> int:
    return f.__code__.co_firstlineno + offset


def test_arrays_of_any_size() -> None:
    assert raised(p.recurrent, "float64[:]") == (
        UnsupportedError,
        f"inside_programs.py:{line_of(p.recurrent, 2)}: for i in range(x.shape[0]):\n"
        "  grad_recurrent cannot be a device function: kernels allocate nothing, and it"
        " needs an array of any size\n"
        '  Give a signature with the extents, as in "float64[3]".',
    )


def test_products_of_any_size() -> None:
    assert raised(product, "float64[:], float64[:, :]") == (
        UnsupportedError,
        f"test_device_function.py:{line_of(product)}: return np.sum(np.tanh(a @ x))\n"
        "  grad_product cannot be a device function: it needs a product of matrices of"
        " any size\n"
        '  Give a signature with the extents, as in "float64[3]".',
    )


def test_stacks() -> None:
    assert raised(stacked, "float64[2]") == (
        UnsupportedError,
        f"test_device_function.py:{line_of(stacked, 2)}: while y < 10.0:\n"
        "  grad_stacked cannot be a device function: values of a loop are saved for the"
        " way back, and nobody knows how many\n"
        "  Differentiate by numbers alone, which goes forwards, or take the gradient"
        ' outside of the kernel, with target="cuda".',
    )


def test_values_that_are_part_of_the_program() -> None:
    with pytest.raises(GradjitError) as caught:
        gradjit.device(picked, "float64, int64")
    assert str(caught.value) == (
        "picked cannot be a device function for any k: its value or its extents are"
        f" part of the program ({__file__}:{line_of(picked)}: return [x, 2.0 * x][k])\n"
        "  Give a signature with the extents, or let the function read the number from"
        " outside."
    )


def test_arrays_from_outside() -> None:
    assert raised(looked_up, "float64, int64") == (
        UnsupportedError,
        "looked_up reads an array from outside, which a device function cannot\n"
        "  Make the array an argument.",
    )


def test_results_that_are_arrays() -> None:
    f = gradjit.jit(lambda x: 2.0 * x)
    assert raised(f, "float64[3]") == (
        UnsupportedError,
        "<lambda> returns an array, which a device function cannot\n  Return numbers.",
    )


def test_other_transforms() -> None:
    with pytest.raises(UnsupportedError, match="Use grad, value_and_grad, hvp or jit"):
        gradjit.device(gradjit.jacobian(p.energy))


def test_options_belong_to_the_gradient() -> None:
    with pytest.raises(GradjitError, match="Give the options to grad"):
        gradjit.device(gradjit.grad(p.energy), value=True)


def test_extents_that_static_names_are_in_the_signature() -> None:
    with pytest.raises(GradjitError, match="static names extents"):
        gradjit.device(gradjit.grad(p.rosenbrock, static="x"))


def test_on_the_host() -> None:
    with pytest.raises(GradjitError) as caught:
        p.d_energy(1.0)
    assert str(caught.value) == (
        "grad_energy is a device function, which kernels call\n"
        "  On the host, call what device was given: gradjit.grad(f)."
    )


# --------------------------------------------------------- calls that do not fit


def refused(call: Any, *given: Any) -> Exception:
    with pytest.raises(GradjitError) as caught:
        shim.ptx(cuda.jit(call), given, (8, 0))
    return caught.value


@needs_ptx
def test_arrays_for_gradients_are_counted() -> None:
    def kernel(x: Any) -> None:
        p.d_rosenbrock(x)

    assert str(refused(kernel, array(1))) == (
        "value_and_grad_rosenbrock was called with (float64[:])\n"
        "  After the function's arguments comes an array for each gradient by an array."
    )


@needs_ptx
def test_arrays_for_gradients_have_the_dtype() -> None:
    def kernel(x: Any, d_x: Any) -> None:
        p.d_rosenbrock(x, d_x)

    error = refused(kernel, array(1), array(1, types.float32))
    assert isinstance(error, DtypeError)
    assert str(error) == (
        "value_and_grad_rosenbrock: an array for a gradient is float32[:], and should"
        " be float64[:]"
    )


@needs_ptx
def test_calls_are_as_the_signature_says() -> None:
    def kernel(x: Any, d_x: Any) -> None:
        p.d_written(x, d_x)

    error = refused(kernel, array(2), array(2))
    assert isinstance(error, ShapeError)
    assert str(error) == (
        "grad_written was made for (float64[4]) and called with (float64[:, :])"
    )


@needs_ptx
def test_integers_have_no_gradient() -> None:
    def cube(x: Any) -> Any:
        return x * x * x

    slope = gradjit.device(cube)

    def kernel(out: Any) -> None:
        out[0] = slope(2)

    assert str(refused(kernel, array(1))) == (
        "grad of cube with respect to x, which is int64: only floats have a"
        " derivative\n"
        "  Pass a float (x as 1.0 and not 1), or leave it out of argnums."
    )
