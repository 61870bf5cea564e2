"""The native kernels of the factorizations that take a fixed number of steps: Cholesky, LU, QR, and substitution.

Each takes the kernel emitter ``k`` and its operands (``llvm/kernel.py``): matrices in the last two axes, any axes
before them. Inner loops run along rows, and keep what they sum in registers.
Source of the algorithms: Golub and Van Loan, "Matrix Computations", 4th edition, chapters 3 to 5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

WIDE = 4  # registers that sum side by side: an addition takes four times as long as the next may wait


def power_of_two(k: Any, x: Any) -> Any:
    """The power of two at or below a positive ``x``; 1 for 0."""
    bits = np.dtype(np.int64 if x.dtype.itemsize == 8 else np.int32)
    exponent = 0x7FF << 52 if x.dtype.itemsize == 8 else 0xFF << 23
    found = k.bitcast(k.and_(k.bitcast(x, bits), k.const(exponent, bits)), x.dtype)
    return k.select(k.gt(found, k.like(x, 0)), found, k.like(x, 1))


def largest(k: Any, a: Any) -> Any:
    """The largest size of the elements of a matrix; NaN if one is NaN."""
    cell = k.work((), a.dtype)
    k.write(k.const(0, a.dtype), cell)

    def body(i: Any) -> Callable[[Any, int], None]:
        def stretch(j: Any, lanes: int) -> None:
            top = k.reduce(k.max, k.abs(k.read(a, i, j, lanes=lanes)))
            k.write(k.max(k.read(cell), top), cell)
        return stretch
    with k.each(0, a.shape[0]) as i:
        k.along(0, a.shape[1], a.dtype, body(i))
    return k.read(cell)


def dot(k: Any, x: Any, y: Any) -> Any:
    """The inner product of two rows."""
    return k.totals(0, x.shape[0], x.dtype, lambda j, lanes: [k.mul(k.read(x, j, lanes=lanes),
                                                                    k.read(y, j, lanes=lanes))], 1)[0]


def scale(k: Any, row: Any, factor: Any) -> None:
    """Row = factor · row."""
    k.along(0, row.shape[0], row.dtype, lambda j, lanes: k.write(
        k.mul(k.read(row, j, lanes=lanes), k.splat(factor, lanes)), row, j))


def subtract(k: Any, row: Any, factor: Any, other: Any) -> None:
    """Row = row - factor · other."""
    k.along(0, row.shape[0], row.dtype, lambda j, lanes: k.write(k.sub(k.read(row, j, lanes=lanes), k.mul(
        k.splat(factor, lanes), k.read(other, j, lanes=lanes))), row, j))


def fill_row(k: Any, row: Any, value: Any) -> None:
    """Set all elements of a row to a value."""
    k.along(0, row.shape[0], row.dtype, lambda j, lanes: k.write(k.splat(value, lanes), row, j))


def fill(k: Any, array: Any, value: Any) -> None:
    """Set all elements of a matrix to a value."""
    with k.each(0, array.shape[0]) as i:
        fill_row(k, k.part(array, i), value)


def copy_scaled(k: Any, source: Any, target: Any, factor: Any) -> None:
    """Target = factor · source, for matrices."""
    with k.each(0, source.shape[0]) as i:
        k.along(0, source.shape[1], source.dtype, lambda j, lanes: k.write(
            k.mul(k.read(source, i, j, lanes=lanes), k.splat(factor, lanes)), target, i, j))


def identity(k: Any, target: Any) -> None:
    """Ones on the diagonal, zeros elsewhere."""
    fill(k, target, k.const(0, target.dtype))
    with k.each(0, min(target.shape)) as i:
        k.write(k.const(1, target.dtype), target, i, i)


def multiply(k: Any, a: Any, b: Any, target: Any) -> None:
    """The product of two matrices, into the first rows of ``target``."""
    with k.each(0, a.shape[0]) as i:
        def row(j: Any, lanes: int) -> None:
            with k.loop(0, b.shape[0], 1, [k.const(0, b.dtype, lanes)]) as over:
                term = k.mul(k.splat(k.read(a, i, over.index), lanes), k.read(b, over.index, j, lanes=lanes))
                over.next([k.add(over.carry[0], term)])
            k.write(over.carry[0], target, i, j)
        k.along(0, b.shape[1], b.dtype, row, wide=WIDE)


# ---------------------------------------------------------------- Cholesky


def cholesky(k: Any, source: Any, target: Any) -> None:
    """L with L·Lᵀ = A from the lower triangle of A; all NaN if A is not positive definite.

    The rows of U = Lᵀ one by one, U[i, j] = (A[j, i] - Σ_p U[p, i]·U[p, j]) / U[i, i], then transposed in place.
    """
    n, dtype = target.shape[-1], target.dtype
    nan, zero = k.const(np.nan, dtype), k.const(0, dtype)
    with k.batch([source, target], [2, 2]) as (a, u):
        with k.each(0, n) as i, k.each(i, n) as j:
            k.write(k.read(a, j, i), u, i, j)
        with k.each(0, n) as i:
            def row(j: Any, lanes: int) -> None:
                with k.loop(0, i, 1, [k.read(u, i, j, lanes=lanes)]) as over:
                    product = k.mul(k.splat(k.read(u, over.index, i), lanes), k.read(u, over.index, j, lanes=lanes))
                    over.next([k.sub(over.carry[0], product)])
                k.write(over.carry[0], u, i, j)
            k.along(i, n, dtype, row, most=n)
            pivot = k.read(u, i, i)
            root = k.select(k.gt(pivot, zero), k.sqrt(pivot), nan)
            inverse = k.div(k.const(1, dtype), root)
            k.along(i, n, dtype, lambda j, lanes: k.write(
                k.mul(k.read(u, i, j, lanes=lanes), k.splat(inverse, lanes)), u, i, j), most=n)
            k.write(root, u, i, i)
        if n:
            last = k.read(u, n - 1, n - 1)  # NaN from the step that failed on
            failed = k.isnan(last)
            with k.each(0, n) as i:
                with k.each(0, i) as j:
                    k.write(k.select(failed, nan, k.read(u, j, i)), u, i, j)
                    k.write(k.select(failed, nan, zero), u, j, i)
                k.write(k.select(failed, nan, k.read(u, i, i)), u, i, i)


# ---------------------------------------------------------------- LU


def lu(k: Any, source: Any, target: Any, pivots: Any) -> None:
    """L (unit) and U of P·A in one matrix; step p exchanged the rows p and ``pivots[p]``, the largest in its column."""
    n, dtype = target.shape[-1], target.dtype
    zero = k.const(0, dtype)
    with k.batch([source, target, pivots], [2, 2, 1]) as (a, m, order):
        copy_scaled(k, a, m, k.const(1, dtype))
        with k.each(0, n) as p:
            with k.loop(p, n, 1, [k.const(-1, dtype), p]) as search:
                size = k.abs(k.read(m, search.index, p))
                larger = k.gt(size, search.carry[0])
                search.next([k.select(larger, size, search.carry[0]), k.select(larger, search.index, search.carry[1])])
            chosen = search.carry[1]
            k.write(chosen, order, p)
            with k.when(k.ne(chosen, p)):
                k.swap(k.part(m, p), k.part(m, chosen))
            pivot = k.read(m, p, p)
            inverse = k.select(k.eq(pivot, zero), zero, k.div(k.const(1, dtype), pivot))
            first = k.plus(p, 1)
            with k.each(first, n) as i:
                factor = k.mul(k.read(m, i, p), inverse)
                k.write(factor, m, i, p)

                def eliminate(j: Any, lanes: int) -> None:
                    product = k.mul(k.splat(factor, lanes), k.read(m, p, j, lanes=lanes))
                    k.write(k.sub(k.read(m, i, j, lanes=lanes), product), m, i, j)
                k.along(first, n, dtype, eliminate, most=n)


def substitute(k: Any, t: Any, x: Any, lower: bool, transposed: bool, unit: bool) -> None:
    """Solve T·X = B in place (Tᵀ·X = B if ``transposed``); only the triangle of T is read."""
    (n, m), dtype = x.shape, x.dtype
    forward = lower != transposed
    with (k.each(0, n) if forward else k.down(0, n)) as i:
        low, high = (0, i) if forward else (k.plus(i, 1), n)  # the unknowns that are known by now

        def factor(c: Any, lanes: int) -> Any:
            return k.splat(k.read(t, c, i) if transposed else k.read(t, i, c), lanes)
        inverse = None if unit else k.div(k.const(1, dtype), k.read(t, i, i))

        def row(j: Any, lanes: int) -> None:
            with k.loop(low, high, 1, [k.read(x, i, j, lanes=lanes)]) as over:
                product = k.mul(factor(over.index, lanes), k.read(x, over.index, j, lanes=lanes))
                over.next([k.sub(over.carry[0], product)])
            total = over.carry[0]
            k.write(total if inverse is None else k.mul(total, k.splat(inverse, lanes)), x, i, j)
        if m == 1:
            _one_unknown(k, t, x, i, low, high, transposed, inverse)
        else:
            k.along(0, m, dtype, row, wide=WIDE)


def _one_unknown(k: Any, t: Any, x: Any, i: Any, low: Any, high: Any, transposed: bool, inverse: Any) -> None:
    """A step with one right-hand side: along the row of T, whichever way it is used."""
    n, dtype = x.shape[0], x.dtype
    column = k.reshaped(x, (n,))
    if not transposed:
        total, = k.totals(low, high, dtype, lambda c, lanes: [k.mul(k.read(t, i, c, lanes=lanes),
                                                                    k.read(column, c, lanes=lanes))], 1, n)
        value = k.sub(k.read(column, i), total)
        k.write(value if inverse is None else k.mul(value, inverse), column, i)
        return
    value = k.read(column, i) if inverse is None else k.mul(k.read(column, i), inverse)
    k.write(value, column, i)
    # what is still to come is what the row has on the other side
    low, high = (k.plus(i, 1), n) if low == 0 else (0, i)
    k.along(low, high, dtype, lambda c, lanes: k.write(k.sub(k.read(column, c, lanes=lanes), k.mul(
        k.splat(value, lanes), k.read(t, i, c, lanes=lanes))), column, c), most=n)


def triangular_solve(k: Any, triangle: Any, right: Any, target: Any, lower: bool, transposed: bool,
                     unit: bool) -> None:
    """X with T·X = B, or Tᵀ·X = B."""
    with k.batch([triangle, right, target], [2, 2, 2]) as (t, b, x):
        copy_scaled(k, b, x, k.const(1, x.dtype))
        substitute(k, t, x, lower, transposed, unit)


def lu_solve(k: Any, matrix: Any, factors: Any, pivots: Any, right: Any, target: Any, transposed: bool) -> None:
    """X with A·X = B, or Aᵀ·X = B, from the factors of A; all NaN if A is singular."""
    n, dtype = factors.shape[-1], factors.dtype
    zero = k.const(0, dtype)
    with k.batch([factors, pivots, right, target], [2, 1, 2, 2]) as (m, order, b, x):
        with k.loop(0, n, 1, [k.const(1, dtype)]) as check:
            singular = k.eq(k.read(m, check.index, check.index), zero)
            check.next([k.select(singular, k.const(np.nan, dtype), check.carry[0])])
        copy_scaled(k, b, x, check.carry[0])
        if not transposed:
            _exchange(k, x, order, k.each(0, n))
            substitute(k, m, x, True, False, True)
            substitute(k, m, x, False, False, False)
        else:
            substitute(k, m, x, False, True, False)
            substitute(k, m, x, True, True, True)
            _exchange(k, x, order, k.down(0, n))


def _exchange(k: Any, x: Any, order: Any, steps: Any) -> None:
    with steps as p:
        other = k.read(order, p)
        with k.when(k.ne(other, p)):
            k.swap(k.part(x, p), k.part(x, other))


def lu_slogdet(k: Any, matrix: Any, factors: Any, pivots: Any, sign: Any, logabs: Any) -> None:
    """The sign of the determinant, and the logarithm of its size, from the factors."""
    n, dtype = factors.shape[-1], factors.dtype
    one, zero = k.const(1, dtype), k.const(0, dtype)
    with k.batch([factors, pivots, sign, logabs], [2, 1, 0, 0]) as (m, order, s, total):
        with k.loop(0, n, 1, [one, zero]) as over:
            pivot = k.read(m, over.index, over.index)
            exchanged = k.ne(k.read(order, over.index), over.index)
            turned = k.ne(k.lt(pivot, zero), exchanged)
            signed = k.select(turned, k.neg(over.carry[0]), over.carry[0])
            signed = k.select(k.eq(pivot, zero), zero, k.select(k.isnan(pivot), pivot, signed))
            over.next([signed, k.add(over.carry[1], k.math("log", k.abs(pivot)))])
        k.write(over.carry[0], s)
        k.write(over.carry[1], total)


# ---------------------------------------------------------------- QR


def qr(k: Any, source: Any, q: Any, r: Any) -> None:
    """Q with orthonormal columns, R upper triangular; the sign of each diagonal element of R is Householder's."""
    (rows, columns), dtype = source.shape[-2:], source.dtype
    steps = min(rows, columns)
    work, scales = k.work((rows, columns), dtype), k.work((steps,), dtype)
    with k.batch([source, q, r], [2, 2, 2]) as (a, out, upper):
        size = power_of_two(k, largest(k, a))
        copy_scaled(k, a, work, k.div(k.const(1, dtype), size))
        with k.each(0, steps) as p:
            reflector(k, rows, lambda i: (work, i, p), p, k.part(scales, p))
            below = k.plus(p, 1)
            reflect(k, work, p, below, columns, lambda i: k.read(work, i, p), k.read(scales, p))
        with k.each(0, upper.shape[0]) as i, k.each(0, columns) as j:
            k.write(k.select(k.le(i, j), k.mul(k.read(work, i, j), size), k.const(0, dtype)), upper, i, j)
        identity(k, out)
        with k.down(0, steps) as p:
            reflect(k, out, p, p, out.shape[1], lambda i: k.read(work, i, p), k.read(scales, p))


def reflector(k: Any, n: int, place: Callable[[Any], tuple[Any, ...]], first: Any, scale: Any) -> None:
    """The reflection I - τ·v·vᵀ that takes x[first:] to a multiple of the first axis.

    ``place(i)`` is where x[i] is read and written; v[first] = 1 is not stored, x[first] becomes the multiple, and τ
    goes to ``scale``.
    """
    dtype = scale.dtype
    one, zero = k.const(1, dtype), k.const(0, dtype)
    below = k.plus(first, 1)
    with k.loop(below, n, 1, [zero]) as over:
        x = k.read(*place(over.index))
        over.next([k.add(over.carry[0], k.mul(x, x))])
    rest = over.carry[0]
    head = k.read(*place(first))
    length = k.sqrt(k.add(k.mul(head, head), rest))
    multiple = k.copysign(length, k.neg(head))
    nothing = k.eq(rest, zero)
    k.write(k.select(nothing, zero, k.div(k.sub(multiple, head), multiple)), scale)
    inverse = k.div(one, k.select(nothing, one, k.sub(head, multiple)))
    with k.each(below, n) as i:
        k.write(k.mul(k.read(*place(i)), inverse), *place(i))
    k.write(k.select(nothing, head, multiple), *place(first))


def reflect(k: Any, target: Any, first: Any, low: Any, high: Any, v: Callable[[Any], Any], scale: Any) -> None:
    """Rows ``first`` on, columns ``low`` … ``high`` - 1 of ``target`` reflected by (v, τ); v[first] counts as 1."""
    rows, dtype = target.shape[0], target.dtype
    below = k.plus(first, 1)

    def stretch(j: Any, lanes: int) -> None:
        with k.loop(below, rows, 1, [k.read(target, first, j, lanes=lanes)]) as over:
            product = k.mul(k.splat(v(over.index), lanes), k.read(target, over.index, j, lanes=lanes))
            over.next([k.add(over.carry[0], product)])
        along = k.mul(over.carry[0], k.splat(scale, lanes))
        k.write(k.sub(k.read(target, first, j, lanes=lanes), along), target, first, j)
        with k.each(below, rows) as i:
            changed = k.sub(k.read(target, i, j, lanes=lanes), k.mul(k.splat(v(i), lanes), along))
            k.write(changed, target, i, j)
    k.along(low, high, dtype, stretch, most=target.shape[1])
