"""Factorizations, systems of equations and what follows from them: ``np.linalg`` on traced matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.dtypes import FLOAT32, FLOAT64, INT64
from chainrule.errors import ArgumentError, ChainruleTypeError, ShapeError
from chainrule.numpy.common import array, filled, records, reshaped, transposed
from chainrule.numpy.products import matmul
from chainrule.numpy.reductions import max_, sum_
from chainrule.ops import elementwise as ew
from chainrule.ops import linalg, reduce
from chainrule.ops.declare import broadcast_shapes, common_dtype, convert, expand

# NumPy's own kinds of result: tuples whose parts have names
EighResult = type(np.linalg.eigh(np.eye(1)))
QRResult = type(np.linalg.qr(np.eye(1)))
SlogdetResult = type(np.linalg.slogdet(np.eye(1)))
SVDResult = type(np.linalg.svd(np.eye(1)))


def matrices(name: str, *arrays: Any, square: bool = False) -> list[Any]:
    """Arguments as arrays of the floating dtype that NumPy computes in; the first are matrices in the last two axes."""
    given = [array(x) for x in arrays]
    dtype = common_dtype(given)
    if dtype not in (FLOAT32, FLOAT64):
        if dtype.kind not in "iub":
            raise ChainruleTypeError.of(f"in np.linalg.{name}: an array of dtype {dtype}", "float32 or float64",
                                        "x.astype(np.float32)")
        dtype = FLOAT64
    shape = given[0].shape
    if len(shape) < 2:
        raise ShapeError.of(f"in np.linalg.{name}: an array of shape {shape}",
                            "matrices: two axes, or more for a stack of them", f"np.linalg.{name}(x[None, :])")
    if square and shape[-1] != shape[-2]:
        raise ShapeError.of(f"in np.linalg.{name}: matrices of shape {shape[-2:]}", "square matrices", "")
    return [convert(x, dtype) for x in given]


def _triangle(a: Any, lower: bool) -> Any:
    """The triangle that stands for a symmetric matrix, as the lower one."""
    used = ew.stop_gradient(a)
    return linalg.symmetric_of(used if lower else linalg.flipped(used), a)


def _lower(uplo: str) -> bool:
    if str(uplo).upper() not in ("L", "U"):
        raise ArgumentError.of(f"got UPLO={uplo!r}", "'L' for the lower triangle, 'U' for the upper",
                               "np.linalg.eigh(a)")
    return str(uplo).upper() == "L"


def eye_like(a: Any) -> Any:
    """Identity matrices in the place of square matrices."""
    return linalg.where_places(a, ew.eq, np.ones((), a.dtype), np.zeros((), a.dtype))


# ---------------------------------------------------------------- factorizations


@records(np.linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """L with L·Lᵀ = A (U with Uᵀ·U = A if ``upper``); only that triangle of the matrix is read."""
    a, = matrices("cholesky", a, square=True)
    factor = linalg.cholesky(_triangle(a, not upper))
    return linalg.flipped(factor) if upper else factor


@records(np.linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    """Q with orthonormal columns and R upper triangular; mode 'reduced', 'complete' or 'r' (R alone)."""
    a, = matrices("qr", a)
    if mode not in ("reduced", "complete", "r"):
        raise ArgumentError.of(f"in np.linalg.qr with mode={mode!r}", "'reduced', 'complete' or 'r'", "np.linalg.qr(a)")
    q, r = linalg.parts(linalg.qr(a, complete=mode == "complete"))
    return r if mode == "r" else QRResult(q, r)


@records(np.linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> Any:  # noqa: N803 (NumPy's name)
    """Eigenvalues, ascending, and eigenvectors as columns, of symmetric matrices given by one triangle."""
    a, = matrices("eigh", a, square=True)
    return EighResult(*linalg.parts(linalg.eigh(_triangle(a, _lower(UPLO)))))


@records(np.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:  # noqa: N803 (NumPy's name)
    """The eigenvalues of symmetric matrices, ascending."""
    return eigh(a, UPLO)[0]


@records(np.linalg.svd)
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """U, the singular values in descending order, and Vᵀ; the values alone without ``compute_uv``."""
    a, = matrices("svd", a)
    if hermitian:
        a = linalg.lower_symmetric(a)
    found = linalg.parts(linalg.svd(a, full=bool(full_matrices and compute_uv)))
    return SVDResult(*found) if compute_uv else found[1]


@records(np.linalg.svdvals)
def svdvals(x: Any, /) -> Any:
    """The singular values in descending order."""
    return svd(x, compute_uv=False)


# ---------------------------------------------------------------- systems of equations


def solved(a: Any, b: Any) -> Any:
    """X with A·X = B, for matrices under equal leading axes."""
    plain = ew.stop_gradient(a)
    packed, pivots = linalg.parts(linalg.lu(plain))
    return linalg.lu_solve(a, packed, pivots, b, transposed=False)


@records(np.linalg.solve)
def solve(a: Any, b: Any) -> Any:
    """X with A·x = b; b is a vector if it has one axis, else matrices."""
    a, b = matrices("solve", a, b, square=True)
    vector = len(b.shape) == 1
    if vector:
        b = reshaped(b, (*b.shape, 1))
    if len(b.shape) < 2 or a.shape[-1] != b.shape[-2]:
        given = b.shape[:-1] if vector else b.shape
        raise ShapeError.of(f"in np.linalg.solve: matrices of shape {a.shape} and right-hand sides of shape {given}",
                            f"{a.shape[-1]} rows in the second", "np.linalg.solve(a, b[..., None])")
    lead = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = expand(a, (*lead, *a.shape[-2:])), expand(b, (*lead, *b.shape[-2:]))
    x = solved(a, b)
    return reshaped(x, x.shape[:-1]) if vector else x


@records(np.linalg.inv)
def inv(a: Any) -> Any:
    """The inverse."""
    a, = matrices("inv", a, square=True)
    return solved(a, eye_like(a))


@records(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    """The sign of the determinant and the logarithm of its size."""
    a, = matrices("slogdet", a, square=True)
    packed, pivots = linalg.parts(linalg.lu(ew.stop_gradient(a)))
    return SlogdetResult(*linalg.parts(linalg.lu_slogdet(a, packed, pivots)))


@records(np.linalg.det)
def det(a: Any) -> Any:
    """The determinant; from 4 × 4 on it has no derivative where it is 0 (NaN)."""
    a, = matrices("det", a, square=True)
    n = a.shape[-1]
    if n == 0:
        return filled(a, a.shape[:-2], 1, a.dtype)
    if n > 3:
        sign, logabs = slogdet(a)
        return ew.mul(sign, ew.exp(logabs))
    x = [[a[..., i, j] for j in range(n)] for i in range(n)]
    if n == 1:
        return x[0][0]
    if n == 2:
        return ew.sub(ew.mul(x[0][0], x[1][1]), ew.mul(x[0][1], x[1][0]))
    minors = [ew.sub(ew.mul(x[1][j], x[2][k]), ew.mul(x[1][k], x[2][j])) for j, k in ((1, 2), (0, 2), (0, 1))]
    first, second, third = (ew.mul(x[0][j], minor) for j, minor in enumerate(minors))
    return ew.add(ew.sub(first, second), third)


@records(np.linalg.matrix_power)
def matrix_power(a: Any, n: int) -> Any:
    """Square matrices multiplied by themselves; by their inverses for negative n."""
    a = array(a)
    if len(a.shape) < 2 or a.shape[-1] != a.shape[-2]:
        raise ShapeError.of(f"in np.linalg.matrix_power: an array of shape {a.shape}", "square matrices", "")
    if not isinstance(n, int | np.integer):
        raise TypeError("the exponent of np.linalg.matrix_power must be an integer")
    if n < 0:
        return matrix_power(inv(a), -n)
    if n == 0:
        return ew.add(filled(a, a.shape, 0, a.dtype), np.eye(a.shape[-1], dtype=a.dtype))
    if n < 4:
        return a if n == 1 else matmul(a, a) if n == 2 else matmul(matmul(a, a), a)
    half = matrix_power(a, n // 2)
    square = matmul(half, half)
    return matmul(square, a) if n % 2 else square


@records(np.linalg.tensorsolve)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """X with tensordot(a, x, x.ndim) = b."""
    a, b = array(a), array(b)
    if axes is not None:
        moved = [int(k) % len(a.shape) for k in axes]
        a = transposed(a, [k for k in range(len(a.shape)) if k not in moved] + moved)
    shape = a.shape[len(b.shape):]
    n = math.prod(shape)
    if n * n != math.prod(a.shape):
        raise ShapeError.of(f"in np.linalg.tensorsolve: an array of shape {a.shape} and one of shape {b.shape}",
                            "as many equations as unknowns", "")
    return reshaped(solve(reshaped(a, (n, n)), reshaped(b, (n,))), shape)


@records(np.linalg.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Any:
    """The inverse of tensordot(a, ·, ind)."""
    a = array(a)
    first, rest = a.shape[:ind], a.shape[ind:]
    if ind < 1 or math.prod(first) != math.prod(rest):
        raise ShapeError.of(f"in np.linalg.tensorinv with ind={ind}: an array of shape {a.shape}",
                            "as many elements in the first ind axes as in the others", "")
    n = math.prod(first)
    return reshaped(inv(reshaped(a, (n, n))), (*rest, *first))


# ---------------------------------------------------------------- by singular values


def _kept(s: Any, relative: Any) -> Any:
    """Which singular values are more than ``relative`` times the largest."""
    top = max_(s, -1, keepdims=True) if s.shape[-1] else s
    relative = convert(array(relative), s.dtype)
    return ew.gt(s, ew.mul(top, relative[..., None] if relative.shape else relative))


def _precision(a: Any) -> float:
    return max(a.shape[-2:]) * float(np.finfo(a.dtype).eps)


@records(np.linalg.pinv)
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = np._NoValue) -> Any:
    """The pseudoinverse; singular values of at most ``rcond`` times the largest count as 0.

    Its derivative is that for changes that keep the rank.
    """
    a, = matrices("pinv", a)
    if rcond is None:
        rcond = 1e-15 if rtol is np._NoValue else _precision(a) if rtol is None else rtol
    u, s, vh = svd(ew.stop_gradient(a), full_matrices=False, hermitian=hermitian)
    kept = _kept(s, rcond)
    inverse = ew.select(kept, ew.div(1.0, ew.select(kept, s, 1.0)), 0.0)
    scaled = ew.mul(linalg.flipped(u), linalg.by_rows(inverse, linalg.flipped(u).shape))
    return linalg.pinv_of(matmul(linalg.flipped(vh), scaled), a)


@records(np.linalg.matrix_rank)
def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:  # noqa: N803
    """The number of singular values above a tolerance."""
    a = array(A)
    if len(a.shape) < 2:
        return convert(ew.ne(max_(ew.abs_(a)), 0), INT64)
    a, = matrices("matrix_rank", a)
    s = svd(a, compute_uv=False, hermitian=hermitian)
    if tol is None:
        kept = _kept(s, _precision(a) if rtol is None else rtol)
    else:
        tol = convert(array(tol), s.dtype)
        kept = ew.gt(s, tol[..., None] if tol.shape else tol)
    return sum_(kept, -1)


@records(np.linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """X of least |A·x - b| (of these, the shortest), the sums of squares left, the rank, the singular values.

    The sums of squares are those of matrices of full rank.
    """
    a, b = matrices("lstsq", a, b)
    (m, n), vector = a.shape[-2:], len(b.shape) == 1
    if vector:
        b = reshaped(b, (*b.shape, 1))
    if len(a.shape) != 2 or len(b.shape) != 2 or b.shape[0] != m:
        raise ShapeError.of(f"in np.linalg.lstsq: arrays of shapes {a.shape} and {b.shape}",
                            "a matrix, and as many rows in the second", "np.linalg.lstsq(a, b)")
    limit = _precision(a) if rcond is None else np.finfo(a.dtype).eps if rcond == -1 else rcond
    x = matmul(pinv(a, limit), b)
    s = svdvals(a)
    rank = convert(sum_(_kept(s, limit), -1), np.dtype(np.int32))
    rest = ew.sub(b, matmul(a, x))
    left = sum_(ew.mul(rest, rest), 0) if m > n else filled(a, (0,), 0, a.dtype)
    return reshaped(x, (n,)) if vector else x, left, rank, s


@records(np.linalg.cond)
def cond(x: Any, p: Any = None) -> Any:
    """The condition number: |A|·|A⁻¹|, by singular values for ``p`` None, 2 or -2."""
    a, = matrices("cond", x, square=p not in (None, 2, -2))
    if 0 in a.shape[-2:]:
        raise ShapeError.of(f"in np.linalg.cond: an array of shape {a.shape}", "at least one element", "")
    if p in (None, 2, -2):
        s = svdvals(a)
        ends = (s[..., 0], s[..., -1])
        out = ew.div(*(ends if p != -2 else ends[::-1]))
    else:
        # the norm of the inverse of a singular matrix is NaN: its condition is infinite
        size, inverse = (np.linalg.norm(m, p, axis=(-2, -1)) for m in (a, inv(a)))
        out = ew.mul(size, inverse)
    n = len(a.shape)
    known = reduce.all_(ew.eq(a, a), axes=(n - 2, n - 1))
    return ew.select(known, ew.select(ew.ne(out, out), np.inf, out), out)


def singular_norm(x: Any, order: Any, axes: Sequence[int]) -> Any:
    """The matrix norm by singular values: the largest (2), the smallest (-2) or their sum ('nuc')."""
    rest = [i for i in range(len(x.shape)) if i not in axes]
    s = svdvals(transposed(x, [*rest, *axes]))
    if order == "nuc":
        return sum_(s, -1)
    if not s.shape[-1]:
        raise ShapeError.of(f"in np.linalg.norm with ord={order!r}: an array of shape {x.shape}",
                            "at least one element", "")
    return s[..., 0 if order == 2 else -1]
