"""Linear algebra: factorizations and what is solved with them, of matrices in the last two axes.

Any axes before them are a stack. What NumPy refuses with ``LinAlgError`` is all NaN here, matrix by matrix: compiled
code cannot raise, and in a stack the others count. Derivatives are those of Giles, "Collected matrix derivative
results for forward and reverse mode algorithmic differentiation" (2008), where no other source is named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.dtypes import FLOAT32, FLOAT64, INT64
from chainrule.errors import ArgumentError, ChainruleTypeError, ShapeError
from chainrule.ops import elementwise as ew
from chainrule.ops import factor_kernels, spectral_kernels
from chainrule.ops.contract import contract
from chainrule.ops.declare import Op, Traced, batch_leading, make
from chainrule.ops.index import iota
from chainrule.ops.reduce import sum_
from chainrule.ops.scan import project
from chainrule.ops.structure import broadcast, slice_, transpose

# ---------------------------------------------------------------- matrices in the last two axes


def matmul(a: Any, b: Any) -> Any:
    """The products of matrices under equal leading axes."""
    lead = tuple(range(3, len(a.shape) + 1))
    return contract(a, b, a_axes=(*lead, 0, 1), b_axes=(*lead, 1, 2), out_axes=(*lead, 0, 2))


def flipped(x: Any) -> Any:
    """The transposed matrices."""
    n = len(x.shape)
    return transpose(x, axes=(*range(n - 2), n - 1, n - 2))


def where_places(x: Any, compare: Op, chosen: Any, otherwise: Any) -> Any:
    """``chosen`` where ``compare(row, column)`` holds, of matrices shaped like ``x``."""
    rows, columns = (_places(x, len(x.shape) - k) for k in (2, 1))
    return ew.select(compare(rows, columns), chosen, otherwise)


def _places(x: Any, axis: int) -> Any:
    params = {"shape": tuple(x.shape), "dtype": INT64, "axis": axis}
    return type(x)(make(iota, (), params)) if isinstance(x, Traced) else iota.reference(**params)


def lower_symmetric(x: Any) -> Any:
    """The symmetric matrices with the lower triangles of ``x``."""
    return where_places(x, ew.ge, x, flipped(x))


def diagonal(x: Any) -> Any:
    """The diagonals of square matrices."""
    return sum_(where_places(x, ew.eq, x, 0.0), axes=(len(x.shape) - 1,))


def by_rows(v: Any, shape: Sequence[int]) -> Any:
    """Vectors as matrices in which row i is v[i] throughout."""
    return broadcast(v, shape=tuple(shape), dims=tuple(range(len(shape) - 1)))


def by_columns(v: Any, shape: Sequence[int]) -> Any:
    """Vectors as matrices in which column j is v[j] throughout."""
    n = len(shape)
    return broadcast(v, shape=tuple(shape), dims=(*range(n - 2), n - 1))


# ---------------------------------------------------------------- what the declarations share


def parts(out: Any) -> list[Any]:
    """The results of an operation that has several."""
    return [project(out, index=k) for k in range(len(out.node.shape))] if isinstance(out, Traced) else list(out)


def _batch(op: Callable[[], Op]) -> Callable[..., Any]:
    """The batch rule: one more leading axis."""
    def batch(args: Sequence[Any], batched: Sequence[bool], size: int, **params: Any) -> Any:
        out = batch_leading(op())(args, batched, size, **params)
        return out if isinstance(getattr(out, "dtype", None), np.dtype) else parts(out)
    return batch


def _square(name: str, x: Any) -> Any:
    shape, dtype = _matrix(name, x)
    if shape[-1] != shape[-2]:
        raise ShapeError.of(f"{name} got matrices of shape {shape[-2:]}", "square matrices in the last two axes",
                            "np.linalg.lstsq(a, b)   # or np.linalg.pinv(a), of matrices that are not square")
    return shape, dtype


def _matrix(name: str, x: Any) -> Any:
    shape, dtype = x
    if len(shape) < 2:
        raise ShapeError.of(f"{name} got an array of shape {shape}", "matrices in the last two axes", "x[None, :]")
    if dtype not in (FLOAT32, FLOAT64):
        raise ChainruleTypeError.of(f"{name} got an array of dtype {dtype}", "float32 or float64",
                                    "x.astype(np.float64)")
    return x


def _right_side(name: str, a: Any, b: Any) -> Any:
    (shape, dtype), (other, _) = _square(name, a), b
    if len(other) != len(shape) or other[:-1] != shape[:-1]:
        raise ShapeError.of(f"{name} got matrices of shape {shape} and right-hand sides of shape {other}",
                            f"shape {(*shape[:-1], 'any')} for the second", "np.linalg.solve(a, b[..., None])")
    return other, dtype


def _or_nan(function: Callable[..., Any], infer: Callable[..., Any], cores: Sequence[int]) -> Callable[..., Any]:
    """``function``, matrix by matrix and NaN for those that raise ``LinAlgError``, where it raises for the whole."""
    def run(*arrays: Any, **params: Any) -> Any:
        with np.errstate(all="ignore"):
            try:
                return function(*arrays, **params)
            except np.linalg.LinAlgError:
                pass
            shapes, types = infer(*((a.shape, a.dtype) for a in arrays), **params)
            several = isinstance(types, tuple)
            out = [np.full(s, np.nan, d) for s, d in zip(*((shapes, types) if several else ([shapes], [types])),
                                                         strict=True)]
            for i in np.ndindex(arrays[0].shape[:arrays[0].ndim - cores[0]]):
                try:
                    found = function(*(a[i] for a in arrays), **params)
                except np.linalg.LinAlgError:
                    continue
                for whole, one in zip(out, found if several else [found], strict=True):
                    whole[i] = one
            return tuple(out) if several else out[0]
    return run


def _settled(vectors: Any) -> Any:
    """1 or -1 for each column: what makes its first element that is not small positive."""
    if not vectors.size:
        return np.ones((*vectors.shape[:-2], 1, vectors.shape[-1]), vectors.dtype)
    size = np.abs(vectors)
    first = np.argmax(size >= spectral_kernels.SMALL * np.max(size, axis=-2, keepdims=True), axis=-2, keepdims=True)
    return np.copysign(vectors.dtype.type(1), np.take_along_axis(vectors, first, axis=-2))


# ---------------------------------------------------------------- Cholesky


def _cholesky_jvp(t: Sequence[Any], x: Sequence[Any], out: Any) -> Any:
    """DL = L·Φ(L⁻¹·dA·L⁻ᵀ), Φ the lower triangle with half of the diagonal."""
    inner = flipped(triangular_solve(out, lower_symmetric(t[0])))
    inner = triangular_solve(out, inner)
    half = where_places(inner, ew.gt, inner, where_places(inner, ew.eq, ew.mul(inner, 0.5), 0.0))
    return matmul(out, half)


cholesky: Op = Op(
    "cholesky", "L, lower triangular, with L·Lᵀ the symmetric matrix whose lower triangle is given; NaN if it is not "
    "positive definite.", "custom", infer=lambda a: _square("cholesky", a),
    reference=_or_nan(np.linalg.cholesky, lambda a: a, [2]), lower=factor_kernels.cholesky, jvp=_cholesky_jvp,
    batch=_batch(lambda: cholesky), kinds=("f",))

# ---------------------------------------------------------------- triangles


def _triangular_reference(t: Any, b: Any, lower: bool = True, transposed: bool = False, unit: bool = False) -> Any:
    t = np.swapaxes(t, -1, -2) if transposed else t
    x, n, forward = b.copy(), t.shape[-1], lower != transposed
    with np.errstate(all="ignore"):
        for i in range(n) if forward else range(n - 1, -1, -1):
            known = slice(0, i) if forward else slice(i + 1, n)
            x[..., i, :] -= (t[..., i:i + 1, known] @ x[..., known, :])[..., 0, :]
            if not unit:
                x[..., i, :] /= t[..., i, i, None]
    return x


def _triangular_jvp(t: Sequence[Any], x: Sequence[Any], out: Any, lower: bool = True, transposed: bool = False,
                    unit: bool = False) -> Any:
    right = t[1]
    if t[0] is not None:
        compare = (ew.gt if unit else ew.ge) if lower else (ew.lt if unit else ew.le)
        moved = where_places(t[0], compare, t[0], 0.0)
        moved = matmul(flipped(moved) if transposed else moved, out)
        right = ew.neg(moved) if right is None else ew.sub(right, moved)
    return triangular_solve(x[0], right, lower=lower, transposed=transposed, unit=unit)


class _TriangularSolve(Op):
    def __call__(self, *args: Any, lower: bool = True, transposed: bool = False, unit: bool = False) -> Any:
        return super().__call__(*args, lower=lower, transposed=transposed, unit=unit)


triangular_solve: Op = _TriangularSolve(
    "triangular_solve", "X with T·X = B (Tᵀ·X = B if ``transposed``), T lower or upper triangular; its other triangle, "
    "and with ``unit`` its diagonal, does not count.", "custom", arity=2,
    infer=lambda t, b, lower, transposed, unit: _right_side("triangular_solve", t, b),
    reference=_triangular_reference, lower=factor_kernels.triangular_solve, jvp=_triangular_jvp,
    transpose=lambda ct, x, lower, transposed, unit: [None, triangular_solve(
        x[0], ct, lower=lower, transposed=not transposed, unit=unit)],
    batch=_batch(lambda: triangular_solve), kinds=("f",))

# ---------------------------------------------------------------- LU


def _lu_reference(a: Any) -> Any:
    packed, pivots = a.copy(), np.zeros(a.shape[:-1], INT64)
    n = a.shape[-1]
    with np.errstate(all="ignore"):
        for i in np.ndindex(a.shape[:-2]):
            m = packed[i]
            for p in range(n):
                chosen = pivots[(*i, p)] = p + int(np.argmax(np.abs(m[p:, p])))
                m[[p, chosen]] = m[[chosen, p]]
                if m[p, p]:
                    m[p + 1:, p] /= m[p, p]
                m[p + 1:, p + 1:] -= m[p + 1:, p, None] * m[p, p + 1:]
    return packed, pivots


lu: Op = Op(
    "lu", "The factors of P·A = L·U in one matrix (L without its unit diagonal), and the pivots: step p of the "
    "elimination exchanged the rows p and ``pivots[p]``. What is computed from them takes its derivative from A.",
    "custom", infer=lambda a: ((_square("lu", a)[0], a[0][:-1]), (a[1], INT64)), reference=_lu_reference,
    lower=factor_kernels.lu, jvp=lambda t, x, out: None,
    batch=_batch(lambda: lu), kinds=("f",))


def _lu_solve_infer(a: Any, packed: Any, pivots: Any, b: Any, transposed: bool) -> Any:
    return _right_side("solve", a, b)


def _lu_solve_jvp(t: Sequence[Any], x: Sequence[Any], out: Any, transposed: bool) -> Any:
    right = t[3]
    if t[0] is not None:
        moved = matmul(flipped(t[0]) if transposed else t[0], out)
        right = ew.neg(moved) if right is None else ew.sub(right, moved)
    return None if right is None else lu_solve(*x[:3], right, transposed=transposed)


lu_solve: Op = Op(
    "lu_solve", "X with A·X = B (Aᵀ·X = B if ``transposed``), from A, its factors and pivots, and B; NaN if A is "
    "singular.", "custom", arity=4, infer=_lu_solve_infer, lower=factor_kernels.lu_solve,
    reference=_or_nan(lambda a, packed, pivots, b, transposed: np.linalg.solve(
        np.swapaxes(a, -1, -2) if transposed else a, b), _lu_solve_infer, [2]),
    jvp=_lu_solve_jvp, kinds=("f",), transpose=lambda ct, x, transposed: [None, None, None, lu_solve(
        *x[:3], ct, transposed=not transposed)],
    batch=_batch(lambda: lu_solve))


def _slogdet_jvp(t: Sequence[Any], x: Sequence[Any], out: Any) -> Any:
    """D log|det A| = tr(A⁻¹·dA)."""
    if t[0] is None:
        return None
    a = x[0]
    inverse = lu_solve(*x, where_places(a, ew.eq, np.ones((), a.dtype), np.zeros((), a.dtype)), transposed=True)
    n = len(a.shape)
    return [None, sum_(ew.mul(inverse, t[0]), axes=(n - 2, n - 1))]


lu_slogdet: Op = Op(
    "lu_slogdet", "The sign of the determinant and the logarithm of its size, from a matrix, its factors and pivots.",
    "custom", arity=3, infer=lambda a, packed, pivots: ((a[0][:-2],) * 2, (a[1],) * 2),
    reference=lambda a, packed, pivots: tuple(np.asarray(x) for x in np.linalg.slogdet(a)),
    lower=factor_kernels.lu_slogdet, jvp=_slogdet_jvp, kinds=("f",),
    batch=_batch(lambda: lu_slogdet))

# ---------------------------------------------------------------- QR


def _qr_infer(a: Any, complete: bool) -> Any:
    (*lead, m, n), dtype = _matrix("qr", a)
    inner = m if complete else min(m, n)
    return ((*lead, m, inner), (*lead, inner, n)), (dtype, dtype)


def _qr_jvp(t: Sequence[Any], x: Sequence[Any], out: Any, complete: bool) -> Any:
    """DQ = Q·(Ω - QᵀX) + X with X = dA·R⁻¹ and Ω skew, the lower triangle that of QᵀX; dR = Qᵀ·(dA - dQ·R)."""
    m, n = x[0].shape[-2:]
    if complete and m > n:
        raise ArgumentError.of(f"the complete QR factorization of matrices of shape {(m, n)} has no derivative",
                               "mode='reduced': the further columns of Q are free", "np.linalg.qr(a)")
    q, r = parts(out)
    square, moved = (_first(r, m), _first(t[0], m)) if m < n else (r, t[0])
    side = flipped(triangular_solve(square, flipped(moved), lower=False, transposed=True))
    inner = matmul(flipped(q), side)
    low = where_places(inner, ew.gt, inner, 0.0)
    skew = ew.sub(low, flipped(low))
    dq = ew.add(matmul(q, ew.sub(skew, inner)), side)
    return [dq, where_places(r, ew.le, matmul(flipped(q), ew.sub(t[0], matmul(dq, r))), 0.0)]


def _first(x: Any, columns: int) -> Any:
    n = len(x.shape)
    return slice_(x, start=(0,) * n, stop=(*x.shape[:-1], columns), step=(1,) * n)


qr: Op = Op(
    "qr", "Q with orthonormal columns and R upper triangular, A = Q·R; ``complete``: Q is square.", "custom",
    infer=_qr_infer, reference=lambda a, complete: tuple(np.linalg.qr(a, "complete" if complete else "reduced")),
    lower=lambda k, a, q, r, complete: factor_kernels.qr(k, a, q, r), jvp=_qr_jvp, kinds=("f",),
    batch=_batch(lambda: qr))

# ---------------------------------------------------------------- eigenvalues and singular values


def _eigh_infer(a: Any) -> Any:
    shape, dtype = _square("eigh", a)
    return (shape[:-1], shape), (dtype, dtype)


def _eigh_reference(a: Any) -> Any:
    values, vectors = np.linalg.eigh(a)
    return values, vectors * _settled(vectors)


def _differences(v: Any) -> Any:
    """1 / (v[j] - v[i]), and 0 on the diagonal."""
    shape = (*v.shape, v.shape[-1])
    apart = ew.sub(by_columns(v, shape), by_rows(v, shape))
    return where_places(apart, ew.eq, 0.0, ew.div(1.0, where_places(apart, ew.eq, 1.0, apart)))


def _eigh_jvp(t: Sequence[Any], x: Sequence[Any], out: Any) -> Any:
    values, vectors = parts(out)
    inner = matmul(flipped(vectors), matmul(lower_symmetric(t[0]), vectors))
    return [diagonal(inner), matmul(vectors, ew.mul(_differences(values), inner))]


eigh: Op = Op(
    "eigh", "Eigenvalues in ascending order and eigenvectors as columns, of the symmetric matrix whose lower triangle "
    "is given. The vectors of equal eigenvalues have no derivative (NaN).", "custom", infer=_eigh_infer,
    reference=_or_nan(_eigh_reference, _eigh_infer, [2]), lower=spectral_kernels.eigh, jvp=_eigh_jvp, kinds=("f",),
    batch=_batch(lambda: eigh))


def _svd_infer(a: Any, full: bool) -> Any:
    (*lead, m, n), dtype = _matrix("svd", a)
    few = min(m, n)
    return ((*lead, m, m if full else few), (*lead, few), (*lead, n if full else few, n)), (dtype,) * 3


def _svd_reference(a: Any, full: bool) -> Any:
    u, s, vh = np.linalg.svd(a, full)
    m, n = a.shape[-2:]
    left, right = _settled(u), np.swapaxes(_settled(np.swapaxes(vh, -1, -2)), -1, -2)
    few = min(m, n)
    right[..., :few, :] = np.swapaxes(left, -1, -2)[..., :few, :]
    return u * left, s, vh * right


def _svd_jvp(t: Sequence[Any], x: Sequence[Any], out: Any, full: bool) -> Any:
    m, n = x[0].shape[-2:]
    if full and m != n:
        raise ArgumentError.of(f"the full singular vectors of matrices of shape {(m, n)} have no derivative",
                               "full_matrices=False: the further vectors are free",
                               "np.linalg.svd(a, full_matrices=False)")
    u, s, vh = parts(out)
    v = flipped(vh)
    inner = matmul(flipped(u), matmul(t[0], v))
    squares = _differences(ew.mul(s, s))
    rows, columns = by_rows(s, inner.shape), by_columns(s, inner.shape)
    du = matmul(u, ew.mul(squares, ew.add(ew.mul(inner, columns), ew.mul(rows, flipped(inner)))))
    dv = matmul(v, ew.mul(squares, ew.add(ew.mul(rows, inner), ew.mul(flipped(inner), columns))))
    if m > n:
        du = ew.add(du, _outside(u, matmul(t[0], v), s))
    elif n > m:
        dv = ew.add(dv, _outside(v, matmul(flipped(t[0]), u), s))
    return [du, diagonal(inner), flipped(dv)]


def _outside(u: Any, moved: Any, s: Any) -> Any:
    """What leaves the space of the columns of ``u``: (I - U·Uᵀ)·X / s."""
    rest = ew.sub(moved, matmul(u, matmul(flipped(u), moved)))
    return ew.div(rest, by_columns(s, rest.shape))


svd: Op = Op(
    "svd", "U, the singular values in descending order, and Vᵀ, with A = U·diag(s)·Vᵀ; ``full``: U and V are square. "
    "The vectors of equal singular values have no derivative (NaN).", "custom", infer=_svd_infer,
    reference=_or_nan(_svd_reference, _svd_infer, [2]), lower=spectral_kernels.svd, jvp=_svd_jvp, kinds=("f",),
    batch=_batch(lambda: svd))

# ---------------------------------------------------------------- values whose derivative is another's


def _valued(name: str, doc: str, jvp: Callable[..., Any]) -> Op:
    """The first array; ``jvp(dA, A, out)`` is its tangent by the second, from which it was computed."""
    op = Op(name, doc, "view", infer=lambda value, a: value, reference=lambda value, a: value, kinds=("f",), arity=2,
            jvp=lambda t, x, out: None if t[1] is None else jvp(t[1], x[1], out),
            view=lambda index, shape: list(index),
            batch=_batch(lambda: op))
    return op


def _pinv_jvp(t: Any, a: Any, out: Any) -> Any:
    """-A⁺·dA·A⁺ + A⁺·A⁺ᵀ·dAᵀ·(I - A·A⁺) + (I - A⁺·A)·dAᵀ·A⁺ᵀ·A⁺."""
    tangent = ew.neg(matmul(out, matmul(t, out)))
    left = matmul(matmul(out, flipped(out)), flipped(t))
    tangent = ew.add(tangent, ew.sub(left, matmul(matmul(left, a), out)))
    right = matmul(flipped(t), matmul(flipped(out), out))
    return ew.add(tangent, ew.sub(right, matmul(out, matmul(a, right))))


pinv_of: Op = _valued(
    "pinv_of", "The first array, which is the pseudoinverse of the second and takes its derivative from it: that for "
    "changes that keep the rank (Golub and Pereyra, SIAM Journal on Numerical Analysis 10, 1973).", _pinv_jvp)

symmetric_of: Op = _valued(
    "symmetric_of", "The first array, a triangle of the second, which stands for the whole: its derivative is that of "
    "the symmetric part, so that a symmetric matrix has a symmetric gradient.",
    lambda t, a, out: ew.mul(ew.add(t, flipped(t)), 0.5))
