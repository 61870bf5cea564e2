"""The native kernels that iterate: eigenvalues of symmetric matrices, and singular values.

Vectors are worked on as rows, which are contiguous, and written out as columns at the end. The sign of a vector is
free; both here and in the reference, its first element that is not small is positive (:data:`SMALL`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.ops.factor_kernels import (
    copy_scaled,
    dot,
    fill,
    fill_row,
    identity,
    largest,
    multiply,
    power_of_two,
    reflect,
    reflector,
    scale,
    subtract,
)

SMALL = 0.3  # relative to the largest element; one that is equal to it up to rounding must not decide
TURNS = 60  # steps for one eigenvalue: two or three are usual
BEGIN = 24  # from this many columns on, singular values begin with eigenvectors
SWEEPS = 40  # over all pairs of columns: six to ten are usual


def finite_scale(k: Any, a: Any) -> tuple[Any, Any]:
    """The power of two that brings the elements of a matrix to about 1, and whether all of them are finite."""
    top = largest(k, a)
    return power_of_two(k, top), k.lt(top, k.const(np.inf, a.dtype))


def sign_of(k: Any, row: Any) -> Any:
    """1 or -1: what makes the first element of a vector that is not small positive."""
    n, dtype = row.shape[0], row.dtype
    zero = k.const(0, dtype)
    with k.loop(0, n, 1, [zero]) as over:
        over.next([k.max(over.carry[0], k.abs(k.read(row, over.index)))])
    limit = k.mul(over.carry[0], k.const(SMALL, dtype))
    with k.loop(0, n, 1, [zero]) as over:
        x, found = k.read(row, over.index), over.carry[0]
        takes = k.and_(k.eq(found, zero), k.ge(k.abs(x), limit))
        over.next([k.select(takes, x, found)])
    return k.copysign(k.const(1, dtype), over.carry[0])


def rotate(k: Any, x: Any, y: Any, c: Any, s: Any) -> None:
    """Two rows turned: x, y = c·x - s·y, s·x + c·y."""
    def stretch(j: Any, lanes: int) -> None:
        a, b = k.read(x, j, lanes=lanes), k.read(y, j, lanes=lanes)
        cs, sn = k.splat(c, lanes), k.splat(s, lanes)
        k.write(k.sub(k.mul(cs, a), k.mul(sn, b)), x, j)
        k.write(k.add(k.mul(sn, a), k.mul(cs, b)), y, j)
    k.along(0, x.shape[0], x.dtype, stretch)


def sort_rows(k: Any, values: Any, rows: list[Any], before: Callable[[Any, Any], Any]) -> None:
    """Values in order (``before(x, y)``: x belongs in front of y), and rows along with them."""
    n = values.shape[0]
    with k.each(0, n) as i:
        with k.loop(i, n, 1, [k.read(values, i), i]) as search:
            x = k.read(values, search.index)
            better = before(x, search.carry[0])
            search.next([k.select(better, x, search.carry[0]), k.select(better, search.index, search.carry[1])])
        value, chosen = search.carry
        with k.when(k.ne(chosen, i)):
            k.write(k.read(values, i), values, chosen)
            k.write(value, values, i)
            for matrix in rows:
                k.swap(k.part(matrix, i), k.part(matrix, chosen))


# ---------------------------------------------------------------- symmetric eigenvalues


def eigh(k: Any, source: Any, values: Any, vectors: Any) -> None:
    """Eigenvalues in ascending order and eigenvectors as columns, from the lower triangle.

    Householder reflections make the matrix tridiagonal; implicit QL steps with Wilkinson's shift make it diagonal.
    Source: Golub and Van Loan, "Matrix Computations", 4th edition, section 8.3; Bowdler, Martin, Reinsch and Wilkinson,
    "The QR and QL algorithms for symmetric matrices", Numerische Mathematik 11 (1968).
    """
    n, dtype = source.shape[-1], source.dtype
    work, rows = k.work((n, n), dtype), k.work((n, n), dtype)
    with k.batch([source, values, vectors], [2, 1, 2]) as (a, d, out):
        with k.each(0, n) as i, k.each(0, k.plus(i, 1)) as j:
            x = k.read(a, i, j)
            k.write(x, work, i, j)
            k.write(x, work, j, i)
        size, finite = finite_scale(k, work)
        with k.when(k.not_(finite)):
            fill_row(k, d, k.const(np.nan, dtype))
            fill(k, out, k.const(np.nan, dtype))
        with k.when(finite):
            copy_scaled(k, work, work, k.div(k.const(1, dtype), size))
            _spectrum(k, work, d, rows, out)
            sort_rows(k, d, [rows], k.lt)
            scale(k, d, size)
            with k.each(0, n) as i:
                sign = sign_of(k, k.part(rows, i))
                with k.each(0, n) as j:
                    k.write(k.mul(sign, k.read(rows, i, j)), out, j, i)


def _spectrum(k: Any, a: Any, d: Any, rows: Any, q: Any) -> None:
    """Eigenvalues of ``a`` (both triangles; destroyed) in ``d``, the vectors in ``rows``; ``q`` is working memory."""
    n, dtype = a.shape[0], a.dtype
    scales, beside, product = (k.work((n,), dtype) for _ in range(3))
    _tridiagonalize(k, a, scales, product, q)
    with k.each(0, n) as i:
        k.write(k.read(a, i, i), d, i)
        with k.each(0, n) as j:
            k.write(k.read(q, j, i), rows, i, j)
    with k.each(0, n - 1) as i:
        k.write(k.read(a, i, k.plus(i, 1)), beside, i)
    _diagonalize(k, d, beside, rows)


def _tridiagonalize(k: Any, a: Any, scales: Any, product: Any, q: Any) -> None:
    """A = Q·T·Qᵀ with T tridiagonal: its diagonals are left in those of ``a``, which holds both triangles."""
    n, dtype = a.shape[0], a.dtype
    half = k.const(0.5, dtype)
    with k.each(0, n - 2) as p:
        first = k.plus(p, 1)
        reflector(k, n, lambda i: (a, p, i), first, k.part(scales, p))
        beside, scale = k.read(a, p, first), k.read(scales, p)
        k.write(k.const(1, dtype), a, p, first)  # v, whole, is row p from here on

        def times(j: Any, lanes: int) -> None:  # τ·A·v
            with k.loop(first, n, 1, [k.const(0, dtype, lanes)]) as over:
                term = k.mul(k.splat(k.read(a, p, over.index), lanes), k.read(a, over.index, j, lanes=lanes))
                over.next([k.add(over.carry[0], term)])
            k.write(k.mul(over.carry[0], k.splat(scale, lanes)), product, j)
        k.along(first, n, dtype, times, most=n)
        inner, = k.totals(first, n, dtype, lambda j, lanes: [k.mul(k.read(a, p, j, lanes=lanes),
                                                                   k.read(product, j, lanes=lanes))], 1, n)
        share = k.mul(k.mul(half, scale), inner)
        k.along(first, n, dtype, lambda j, lanes: k.write(k.sub(k.read(product, j, lanes=lanes), k.mul(
            k.splat(share, lanes), k.read(a, p, j, lanes=lanes))), product, j), most=n)
        with k.each(first, n) as i:  # A - v·wᵀ - w·vᵀ
            v, w = k.read(a, p, i), k.read(product, i)

            def update(j: Any, lanes: int) -> None:
                x = k.sub(k.read(a, i, j, lanes=lanes), k.mul(k.splat(v, lanes), k.read(product, j, lanes=lanes)))
                k.write(k.sub(x, k.mul(k.splat(w, lanes), k.read(a, p, j, lanes=lanes))), a, i, j)
            k.along(first, n, dtype, update, most=n)
        k.write(beside, a, p, first)
    identity(k, q)
    with k.down(0, n - 2) as p:
        first = k.plus(p, 1)
        reflect(k, q, first, first, n, lambda i: k.read(a, p, i), k.read(scales, p))


def _diagonalize(k: Any, d: Any, e: Any, rows: Any) -> None:
    """Eigenvalues of the tridiagonal matrix (d, e) in ``d``; ``rows`` are turned along."""
    n, dtype = d.shape[0], d.dtype
    one, zero, two = (k.const(x, dtype) for x in (1, 0, 2))
    info = np.finfo(dtype)
    end = k.work((), np.dtype(np.int64))
    with k.each(0, n - 1) as first, k.turns(TURNS) as turn:
        k.write(first, end)
        with k.turns(n) as search:  # the block that begins here ends before the next negligible element
            m = k.read(end)
            search.leave(k.ge(m, k.index(n - 1)))
            around = k.add(k.abs(k.read(d, m)), k.abs(k.read(d, k.plus(m, 1))))
            limit = k.add(k.mul(k.const(info.eps, dtype), around), k.const(info.tiny, dtype))
            search.leave(k.le(k.abs(k.read(e, m)), limit))
            k.write(k.position(k.plus(m, 1)), end)
        m = k.read(end)
        turn.leave(k.eq(m, first))
        d0, e0 = k.read(d, first), k.read(e, first)
        g = k.div(k.sub(k.read(d, k.plus(first, 1)), d0), k.mul(two, e0))
        root = k.sqrt(k.add(k.mul(g, g), one))
        shifted = k.add(k.sub(k.read(d, m), d0), k.div(e0, k.add(g, k.copysign(root, g))))
        with k.loop(0, k.minus(m, first), 1, [shifted, one, one, zero, k.read(d, m)]) as over:
            g, c, s, p, following = over.carry
            i = k.minus(k.minus(m, 1), over.index)
            f, b = k.mul(s, k.read(e, i)), k.mul(c, k.read(e, i))
            r = k.sqrt(k.add(k.mul(f, f), k.mul(g, g)))
            k.write(r, e, k.plus(i, 1))
            still = k.eq(r, zero)
            inverse = k.div(one, k.select(still, one, r))
            s = k.select(still, zero, k.mul(f, inverse))
            c = k.select(still, one, k.mul(g, inverse))
            here = k.read(d, i)
            g = k.sub(following, p)
            r = k.add(k.mul(k.sub(here, g), s), k.mul(k.mul(two, c), b))
            p = k.mul(s, r)
            k.write(k.add(g, p), d, k.plus(i, 1))
            rotate(k, k.part(rows, i), k.part(rows, k.plus(i, 1)), c, s)
            over.next([k.sub(k.mul(c, r), b), c, s, p, here])
        g, _, _, p, _ = over.carry
        k.write(k.sub(k.read(d, first), p), d, first)
        k.write(zero, e, m)
        k.write(g, e, first)


# ---------------------------------------------------------------- singular values


def svd(k: Any, source: Any, u: Any, values: Any, vh: Any, full: bool) -> None:
    """Singular values in descending order with both sets of vectors, by rotating pairs of columns (or rows).

    One-sided Jacobi: columns are turned in pairs until all are orthogonal; their lengths are the singular values.
    Larger matrices begin with the eigenvectors of Aᵀ·A, which leaves two or three rounds for accuracy instead of ten.
    Source: Hestenes, "Inversion of matrices by biorthogonalization and related results", Journal of SIAM 6 (1958);
    Demmel and Veselić, "Jacobi's method is more accurate than QR", SIAM Journal on Matrix Analysis 13 (1992).
    """
    m, n = source.shape[-2:]
    few, many, dtype = min(m, n), max(m, n), source.dtype
    turned, basis = k.work((few, few), dtype), k.work((many if full else few, many), dtype)
    begun = k.work((few, many), dtype) if few >= BEGIN else basis
    gram, spare = (k.work((few, few), dtype) for _ in range(2)) if few >= BEGIN else (turned, turned)
    with k.batch([source, u, values, vh], [2, 2, 1, 2]) as (a, left, s, right):
        size, finite = finite_scale(k, a)
        with k.when(k.not_(finite)):
            fill_row(k, s, k.const(np.nan, dtype))
            fill(k, left, k.const(np.nan, dtype))
            fill(k, right, k.const(np.nan, dtype))
        with k.when(finite):
            inverse = k.div(k.const(1, dtype), size)
            with k.each(0, few) as i, k.each(0, many) as j:
                k.write(k.mul(k.read(a, *((j, i) if m >= n else (i, j))), inverse), begun, i, j)
            if few >= BEGIN:
                with k.each(0, few) as i, k.each(0, k.plus(i, 1)) as j:
                    product = dot(k, k.part(begun, i), k.part(begun, j))
                    k.write(product, gram, i, j)
                    k.write(product, gram, j, i)
                _spectrum(k, gram, s, turned, spare)
                multiply(k, turned, begun, basis)
            else:
                identity(k, turned)
            _orthogonalize(k, basis, turned)
            _lengths(k, basis, s)
            sort_rows(k, s, [basis, turned], k.gt)
            _complete(k, basis, s)
            scale(k, s, size)
            columns, others = (basis, turned) if m >= n else (turned, basis)
            _columns(k, columns, left)
            with k.each(0, right.shape[0]) as i:
                k.along(0, n, dtype, lambda j, lanes: k.write(k.read(others, i, j, lanes=lanes), right, i, j))
            _settle(k, columns, left, right)


def _orthogonalize(k: Any, g: Any, turned: Any) -> None:
    """The rows of ``g`` turned in pairs until they are orthogonal; ``turned`` is turned along."""
    (few, _), many, dtype = turned.shape, g.shape[1], g.dtype
    one, two, info = k.const(1, dtype), k.const(2, dtype), np.finfo(dtype)
    tolerance = k.const(float(info.eps) * max(many, 1) ** 0.5, dtype)
    changed = k.work((), np.dtype(np.bool_))
    no, yes = k.const(False, np.dtype(np.bool_)), k.const(True, np.dtype(np.bool_))
    with k.turns(SWEEPS) as sweep:
        k.write(no, changed)
        with k.each(0, few - 1) as i, k.each(k.plus(i, 1), few) as j:
            x, y = k.part(g, i), k.part(g, j)

            def products(at: Any, lanes: int) -> list[Any]:
                v, w = k.read(x, at, lanes=lanes), k.read(y, at, lanes=lanes)
                return [k.mul(v, v), k.mul(w, w), k.mul(v, w)]
            a, b, c = k.totals(0, many, dtype, products, 3)
            limit = k.add(k.mul(tolerance, k.mul(k.sqrt(a), k.sqrt(b))), k.const(info.tiny, dtype))
            with k.when(k.gt(k.abs(c), limit)):
                k.write(yes, changed)
                zeta = k.div(k.sub(b, a), k.mul(two, c))
                length = k.abs(zeta)
                far = k.gt(length, k.const(1 / float(info.eps), dtype))  # the square could overflow
                root = k.sqrt(k.add(one, k.mul(k.select(far, one, zeta), k.select(far, one, zeta))))
                t = k.copysign(k.div(one, k.add(length, k.select(far, length, root))), zeta)
                cosine = k.div(one, k.sqrt(k.add(one, k.mul(t, t))))
                sine = k.mul(cosine, t)
                rotate(k, x, y, cosine, sine)
                rotate(k, k.part(turned, i), k.part(turned, j), cosine, sine)
        sweep.leave(k.not_(k.read(changed)))


def _lengths(k: Any, g: Any, s: Any) -> None:
    """The rows divided by their lengths, which are the singular values; a row of no length is left to be completed."""
    dtype = g.dtype
    one, zero, info = k.const(1, dtype), k.const(0, dtype), np.finfo(dtype)
    with k.each(0, s.shape[0]) as i:
        row = k.part(g, i)
        square = dot(k, row, row)
        lost = k.lt(square, k.const(float(info.tiny) / float(info.eps), dtype))
        length = k.select(lost, zero, k.sqrt(square))
        k.write(length, s, i)
        scale(k, row, k.div(one, k.select(lost, one, length)))


def _complete(k: Any, basis: Any, s: Any) -> None:
    """Rows of no length, and those beyond the singular values, made an orthonormal basis together with the others.

    Each begins as the axis that is farthest from the rows before it, and what it has of them is taken away, twice.
    """
    (count, many), dtype = basis.shape, basis.dtype
    few, one, zero = s.shape[0], k.const(1, dtype), k.const(0, dtype)
    with k.loop(0, few, 1, [k.index(0)]) as over:
        full = k.gt(k.read(s, over.index), zero)
        over.next([k.add(over.carry[0], k.select(full, k.index(1), k.index(0)))])
    inside = k.work((many,), dtype)
    with k.each(over.carry[0], count) as i:
        row = k.part(basis, i)

        def covered(j: Any, lanes: int) -> None:
            with k.loop(0, i, 1, [k.const(0, dtype, lanes)]) as rows:
                x = k.read(basis, rows.index, j, lanes=lanes)
                rows.next([k.add(rows.carry[0], k.mul(x, x))])
            k.write(rows.carry[0], inside, j)
        k.along(0, many, dtype, covered)
        with k.loop(0, many, 1, [k.const(np.inf, dtype), k.index(0)]) as search:
            x = k.read(inside, search.index)
            less = k.lt(x, search.carry[0])
            search.next([k.select(less, x, search.carry[0]), k.select(less, search.index, search.carry[1])])
        fill_row(k, row, zero)
        k.write(one, row, search.carry[1])
        for _ in range(2):
            with k.each(0, i) as other:
                fixed = k.part(basis, other)
                subtract(k, row, dot(k, row, fixed), fixed)
        scale(k, row, k.div(one, k.sqrt(dot(k, row, row))))


def _columns(k: Any, rows: Any, target: Any) -> None:
    with k.each(0, target.shape[1]) as i, k.each(0, target.shape[0]) as j:
        k.write(k.read(rows, i, j), target, j, i)


def _settle(k: Any, columns: Any, left: Any, right: Any) -> None:
    """The signs: each left vector by its elements, the right one of the same singular value with it."""
    shared = min(left.shape[0], right.shape[1])
    for low, high in ((0, shared), (shared, max(left.shape[1], right.shape[0]))):
        if low == high:
            continue
        with k.each(low, high) as i:
            own = left.shape[1] > low
            sign = sign_of(k, k.part(columns, i) if own else k.part(right, i))
            if own:
                with k.each(0, left.shape[0]) as j:
                    k.write(k.mul(sign, k.read(left, j, i)), left, j, i)
            if right.shape[0] > low:
                scale(k, k.part(right, i), sign)
