"""Matrix products in compiled code, straight from the BLAS that SciPy brings.

`matmul(a, b)` is `a @ b`, `matmul(a, b, out=c)` writes it into `c`, and
`add_matmul(c, a, b)` is `c += a @ b` without a temporary. Operands are matrices and
vectors with any strides: rows or columns that lie side by side are what BLAS takes, as
they are or transposed, so a slice or a `.T` is no copy. Other strides, extents beyond
BLAS's 32 bits and products of few terms are left to plain loops.

Numba's `np.dot` compiles Python functions for each combination of layouts (0.4 s for
the first one). Here each product is one call of a function that is written down once in
a module, and calls `dgemm` or `sgemm` by a symbol that this module defines; so the code
can be cached on disk.

Emitted files import this module as `la`. Called from plain Python the functions are
NumPy's.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradjit.memory import allocate, new_result

# Neither llvmlite nor Numba has types.
binding: Any = importlib.import_module("llvmlite.binding")
ir: Any = importlib.import_module("llvmlite.ir")
types: Any = importlib.import_module("numba.core.types")
extending: Any = importlib.import_module("numba.extending")
cgutils: Any = importlib.import_module("numba.core.cgutils")

# Up to so many multiplications a loop takes less time than a call.
FEW = 32

_WORD: Any = ir.IntType(64)
_INT: Any = ir.IntType(32)
_CHAR: Any = ir.IntType(8)
_ONE: Any = _WORD(1)
_LARGEST: Any = _WORD(2**31 - 1)

for _name in ("sgemm", "dgemm", "sgemv", "dgemv"):
    _address = extending.get_cython_function_address("scipy.linalg.cython_blas", _name)
    binding.add_symbol(f"gradjit_{_name}", _address)


# ------------------------------------------------------------------- for plain Python


def matmul(a: Any, b: Any, out: Any = None) -> Any:
    """`a @ b` for matrices and vectors, not both vectors.

    Args:
        a: A matrix or a vector.
        b: A matrix or a vector of the same dtype.
        out: Where the product goes, if not into a new array; it must not overlap with
            the operands.
    """
    return np.matmul(a, b, out=out)


def add_matmul(out: Any, a: Any, b: Any) -> None:
    """`out += a @ b` for matrices and vectors, not both vectors.

    Args:
        out: What is added to; it must not overlap with the operands.
        a: A matrix or a vector.
        b: A matrix or a vector of the same dtype.
    """
    out += np.matmul(a, b)


# ------------------------------------------------------------------- for compiled code


class _Matrix(NamedTuple):
    """An operand as a matrix: a pointer, extents and strides, counted in elements."""

    data: Any
    rows: Any
    columns: Any
    down: Any
    right: Any

    @property
    def turned(self) -> _Matrix:
        """The transpose."""
        return _Matrix(self.data, self.columns, self.rows, self.right, self.down)


def _matrix(context: Any, builder: Any, kind: Any, value: Any, column: bool) -> _Matrix:
    """An array as a matrix; a vector as a column or as a row."""
    array = context.make_array(kind)(context, builder, value)
    size = _WORD(kind.dtype.bitwidth // 8)
    extents = cgutils.unpack_tuple(builder, array.shape, count=kind.ndim)
    strides = [
        builder.sdiv(s, size)
        for s in cgutils.unpack_tuple(builder, array.strides, count=kind.ndim)
    ]
    if kind.ndim == 2:
        return _Matrix(array.data, *extents, *strides)
    row = _Matrix(array.data, _ONE, extents[0], _ONE, strides[0])
    return row.turned if column else row


def _multiply(
    context: Any, builder: Any, kinds: Sequence[Any], values: Sequence[Any], keep: bool
) -> None:
    """Instructions for `out = a @ b`, or for `out += a @ b` with `keep`."""
    (a, b, out), (x, y, z) = kinds, values
    left = _matrix(context, builder, a, x, column=False)
    right = _matrix(context, builder, b, y, column=True)
    result = _matrix(context, builder, out, z, column=b.ndim == 1)
    wrong = builder.icmp_signed("!=", left.columns, right.rows)
    for have, want in ((result.rows, left.rows), (result.columns, right.columns)):
        wrong = builder.or_(wrong, builder.icmp_signed("!=", have, want))
    with builder.if_then(wrong, likely=False):
        message = "extents of the operands of a matrix product differ"
        context.call_conv.return_user_exc(builder, ValueError, (message,))
    single = out.dtype == types.float32
    element = ir.FloatType() if single else ir.DoubleType()
    function = _product(builder.module, element, "s" if single else "d")
    extents = (left.rows, right.columns, left.columns)
    operands = (
        part for m in (left, right, result) for part in (m.data, m.down, m.right)
    )
    builder.call(function, [*extents, *operands, element(1.0 if keep else 0.0)])


def _product(module: Any, element: Any, letter: str) -> Any:
    """The module's function for products of this element type.

    Its arguments: rows, columns and summed extent; for both operands and the result a
    pointer and two strides; what the old result is multiplied with, 0 or 1.
    """
    name = f"gradjit_product_{letter}"
    if name in module.globals:
        return module.globals[name]
    pointer = element.as_pointer()
    operand = [pointer, _WORD, _WORD]
    kind = ir.FunctionType(ir.VoidType(), [*[_WORD] * 3, *operand * 3, element])
    function = ir.Function(module, kind, name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    m, n, k, a, a0, a1, b, b0, b1, c, c0, c1, beta = function.args
    left, right = _Matrix(a, m, k, a0, a1), _Matrix(b, k, n, b0, b1)
    result = _Matrix(c, m, n, c0, c1)
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    words = ("some", "vector", "matrix", "loops")
    some, vector, matrix, loops = map(function.append_basic_block, words)
    gemm = _Gemm(builder, left, right, result)
    builder.cbranch(gemm.fits, some, loops)
    builder.position_at_end(some)
    gemv = _Gemv(builder, left, right, result)
    builder.cbranch(gemv.fits, vector, matrix)
    builder.position_at_end(vector)
    gemv.call(element, letter, beta)
    builder.ret_void()
    builder.position_at_end(matrix)
    gemm.call(element, letter, beta)
    builder.ret_void()
    builder.position_at_end(loops)
    _loops(builder, left, right, result, beta)
    builder.ret_void()
    return function


class _Blas:
    """How BLAS is told of matrices: it knows columns only."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def has_rows(self, x: _Matrix) -> Any:
        """Whether elements of a row lie side by side, and rows one after the other."""
        builder = self.builder
        near = builder.or_(
            builder.icmp_signed("==", x.right, _ONE),
            builder.icmp_signed("<=", x.columns, _ONE),
        )
        apart = builder.and_(
            builder.icmp_signed(">=", x.down, x.columns),
            builder.icmp_signed(">=", x.down, _ONE),
        )
        single = builder.icmp_signed("<=", x.rows, _ONE)
        return builder.and_(near, builder.or_(single, apart))

    def step(self, x: _Matrix) -> Any:
        """The distance of rows; of a single row, what BLAS wants to see."""
        builder = self.builder
        some = builder.icmp_signed(">", x.columns, _ONE)
        least = builder.select(some, x.columns, _ONE)
        single = builder.icmp_signed("<=", x.rows, _ONE)
        return builder.select(single, least, x.down)

    def at(self, value: Any) -> Any:
        """The address of a number: Fortran's way of passing it."""
        return cgutils.alloca_once_value(self.builder, value)


class _Gemv(_Blas):
    """A product with a vector: a matrix times a column, or a row times a matrix.

    Attributes:
        fits: Whether it is one, of what `_Gemm` can do.
    """

    def __init__(self, builder: Any, a: _Matrix, b: _Matrix, c: _Matrix) -> None:
        super().__init__(builder)
        right = builder.icmp_signed("==", b.columns, _ONE)
        pairs = zip(a, b.turned, strict=True)
        self.matrix = _Matrix(*(builder.select(right, p, q) for p, q in pairs))
        self.vector = builder.select(right, b.data, a.data)
        self.result = c.data
        self.steps = [
            builder.select(right, b.down, a.right),
            builder.select(right, c.down, c.right),
        ]
        self.plain = self.has_rows(self.matrix)
        fits = builder.or_(right, builder.icmp_signed("==", a.rows, _ONE))
        for step in self.steps:
            fits = builder.and_(fits, builder.icmp_signed(">=", step, _ONE))
            fits = builder.and_(fits, builder.icmp_signed("<=", step, _LARGEST))
        self.fits = fits

    def call(self, element: Any, letter: str, beta: Any) -> None:
        """result = matrix @ vector + beta * result."""
        builder, x = self.builder, self.matrix
        pointer, number = element.as_pointer(), _INT.as_pointer()
        takes = [_CHAR.as_pointer(), number, number, pointer, pointer, number]
        takes += [pointer, number, pointer, pointer, number]
        kind = ir.FunctionType(ir.VoidType(), takes)
        gemv = cgutils.get_or_insert_function(
            builder.module, kind, f"gradjit_{letter}gemv"
        )
        flag = builder.select(self.plain, _CHAR(ord("T")), _CHAR(ord("N")))
        m = builder.select(self.plain, x.columns, x.rows)
        n = builder.select(self.plain, x.rows, x.columns)
        step = builder.select(self.plain, self.step(x), self.step(x.turned))
        m, n, step, *steps = (
            self.at(builder.trunc(v, _INT)) for v in (m, n, step, *self.steps)
        )
        head = (self.at(flag), m, n, self.at(element(1.0)), x.data, step)
        tail = (self.vector, steps[0], self.at(beta), self.result, steps[1])
        builder.call(gemv, [*head, *tail])


class _Gemm(_Blas):
    """A product of matrices: BLAS multiplies the transposes.

    Attributes:
        fits: Whether it can be called: strides that it can express, extents and strides
            below 2**31, and enough to do.
    """

    def __init__(self, builder: Any, a: _Matrix, b: _Matrix, c: _Matrix) -> None:
        super().__init__(builder)
        self.a, self.b, self.c = a, b, c
        self.plain = [self.has_rows(a), self.has_rows(b)]
        turned = [self.has_rows(a.turned), self.has_rows(b.turned)]
        self.steps = [
            builder.select(straight, self.step(x), self.step(x.turned))
            for x, straight in zip((a, b), self.plain, strict=True)
        ]
        self.steps.append(self.step(c))
        size = builder.mul(builder.mul(a.rows, b.columns), a.columns)
        fits = builder.icmp_signed(">", size, _WORD(FEW))
        for straight, other in zip(self.plain, turned, strict=True):
            fits = builder.and_(fits, builder.or_(straight, other))
        fits = builder.and_(fits, self.has_rows(c))
        for number in (a.rows, b.columns, a.columns, *self.steps):
            fits = builder.and_(fits, builder.icmp_signed("<=", number, _LARGEST))
        self.fits = fits

    def call(self, element: Any, letter: str, beta: Any) -> None:
        """result = left @ right + beta * result."""
        builder = self.builder
        pointer, number = element.as_pointer(), _INT.as_pointer()
        flag = _CHAR.as_pointer()
        takes = [flag, flag, number, number, number, pointer]
        takes += [pointer, number, pointer, number, pointer, pointer, number]
        kind = ir.FunctionType(ir.VoidType(), takes)
        gemm = cgutils.get_or_insert_function(
            builder.module, kind, f"gradjit_{letter}gemm"
        )
        as_is, turned = _CHAR(ord("N")), _CHAR(ord("T"))
        flags = [self.at(builder.select(p, as_is, turned)) for p in self.plain]
        extents = (self.b.columns, self.a.rows, self.a.columns)
        n, m, k, *steps = (
            self.at(builder.trunc(value, _INT)) for value in (*extents, *self.steps)
        )
        left, right = (self.a.data, steps[0]), (self.b.data, steps[1])
        head = (flags[1], flags[0], n, m, k, self.at(element(1.0)))
        tail = (self.at(beta), self.c.data, steps[2])
        builder.call(gemm, [*head, *right, *left, *tail])


def _loops(builder: Any, a: _Matrix, b: _Matrix, c: _Matrix, beta: Any) -> None:
    """The product by its definition."""
    total = cgutils.alloca_once(builder, beta.type)
    keep = builder.fcmp_unordered("!=", beta, beta.type(0.0))
    with (
        cgutils.for_range(builder, c.rows, intp=_WORD) as row,
        cgutils.for_range(builder, c.columns, intp=_WORD) as column,
    ):
        i, j = row.index, column.index
        builder.store(beta.type(0.0), total)
        with cgutils.for_range(builder, a.columns, intp=_WORD) as inner:
            x = builder.load(_place(builder, a, i, inner.index))
            y = builder.load(_place(builder, b, inner.index, j))
            builder.store(builder.fadd(builder.load(total), builder.fmul(x, y)), total)
        target, sum_ = _place(builder, c, i, j), builder.load(total)
        with builder.if_else(keep) as (added, new):
            with added:
                builder.store(builder.fadd(builder.load(target), sum_), target)
            with new:
                builder.store(sum_, target)


def _place(builder: Any, x: _Matrix, i: Any, j: Any) -> Any:
    """The address of an element."""
    step = builder.add(builder.mul(i, x.down), builder.mul(j, x.right))
    return builder.gep(x.data, [step])


# ------------------------------------------------------------------------ registration


def _is_product(a: Any, b: Any) -> bool:
    """Whether two types are those of a product that is one here."""
    if not (isinstance(a, types.Array) and isinstance(b, types.Array)):
        return False
    ranks = sorted((a.ndim, b.ndim))
    floats = a.dtype == b.dtype and a.dtype in (types.float32, types.float64)
    return floats and ranks in ([1, 2], [2, 2])


def _multiplied(context: Any) -> Callable[..., Any]:
    def type_of(a: Any, b: Any, out: Any = None) -> Any:
        if not _is_product(a, b):
            return None
        if out is None:
            return types.Array(a.dtype, a.ndim + b.ndim - 2, "C")
        return types.none if _is_result(a, b, out) else None

    return type_of


def _added(context: Any) -> Callable[..., Any]:
    def type_of(out: Any, a: Any, b: Any) -> Any:
        fits = _is_product(a, b) and _is_result(a, b, out)
        return types.none if fits else None

    return type_of


def _is_result(a: Any, b: Any, out: Any) -> bool:
    fits = isinstance(out, types.Array) and out.dtype == a.dtype
    return fits and out.ndim == a.ndim + b.ndim - 2 and out.mutable


def _new(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    kind = signature.return_type
    (a, b), (x, y) = signature.args, args
    left = _matrix(context, builder, a, x, column=False)
    right = _matrix(context, builder, b, y, column=True)
    extents = [left.rows] * (a.ndim == 2) + [right.columns] * (b.ndim == 2)
    array = allocate(context, builder, kind, extents)
    value = array._getvalue()
    _multiply(context, builder, (a, b, kind), (x, y, value), keep=False)
    return new_result(context, builder, kind, array)


def _into(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    _multiply(context, builder, signature.args, args, keep=False)
    return context.get_dummy_value()


def _onto(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    (out, *kinds), (target, *values) = signature.args, args
    _multiply(context, builder, (*kinds, out), (*values, target), keep=True)
    return context.get_dummy_value()


extending.type_callable(matmul)(_multiplied)
extending.type_callable(add_matmul)(_added)
extending.lower_builtin(matmul, types.Array, types.Array)(_new)
extending.lower_builtin(matmul, types.Array, types.Array, types.Array)(_into)
extending.lower_builtin(add_matmul, types.Array, types.Array, types.Array)(_onto)
