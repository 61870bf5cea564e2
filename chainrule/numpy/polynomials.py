"""Polynomials as vectors of coefficients, the highest power first.

NumPy drops leading zeros of some results; here the length follows from the lengths of the arguments.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.errors import ArgumentError, ShapeError
from chainrule.numpy.assembly import concatenate, joined
from chainrule.numpy.common import array, filled, records, reshaped, sliced
from chainrule.numpy.matrices import lstsq
from chainrule.numpy.reductions import sum_
from chainrule.numpy.sequences import convolve, vector
from chainrule.ops import elementwise as ew
from chainrule.ops import structure
from chainrule.ops.declare import Op, common_dtype, convert


@records(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    """The polynomial with coefficients ``p``, the highest power first, at ``x`` (Horner's scheme)."""
    p, x = vector(p, "the coefficients"), array(x)
    x = convert(x, common_dtype((p, np.zeros((), x.dtype))))  # a number is an array of its own dtype, as in NumPy
    total = ew.mul(x, np.zeros((), x.dtype))
    for i in range(p.shape[0]):
        total = ew.add(ew.mul(total, x), p[i])
    return total


@records(np.vander)
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:  # noqa: N803 (NumPy's name)
    """The powers of each element as the rows of a matrix, the highest first unless ``increasing``."""
    x = vector(x, "x")
    n = x.shape[0] if N is None else N
    dtype = common_dtype((x, np.int64(0)))
    power, columns = filled(x, x.shape, 1, dtype), []
    for i in range(n):
        columns.append(reshaped(power, (x.shape[0], 1)))
        power = ew.mul(power, x) if i < n - 1 else power
    if not columns:
        return filled(x, (x.shape[0], 0), 0, dtype)
    return concatenate(columns if increasing else columns[::-1], axis=1)


def _coefficients(p: Any) -> Any:
    return vector(np.atleast_1d(p), "the coefficients")


def _aligned(op: Op, a1: Any, a2: Any) -> Any:
    """``op`` of the coefficients of equal powers."""
    a, b = _coefficients(a1), _coefficients(a2)
    n = max(a.shape[0], b.shape[0])
    return op(*(structure.pad(x, shape=(n,), start=(n - x.shape[0],), step=(1,)) for x in (a, b)))


@records(np.polyadd)
def polyadd(a1: Any, a2: Any) -> Any:
    """The sum of two polynomials."""
    return _aligned(ew.add, a1, a2)


@records(np.polysub)
def polysub(a1: Any, a2: Any) -> Any:
    """The difference of two polynomials."""
    return _aligned(ew.sub, a1, a2)


@records(np.polymul)
def polymul(a1: Any, a2: Any) -> Any:
    """The product of two polynomials."""
    return convolve(_coefficients(a1), _coefficients(a2))


@records(np.polyder)
def polyder(p: Any, m: int = 1) -> Any:
    """The coefficients of the m-th derivative."""
    if m < 0:
        raise ArgumentError.of(f"the derivative of order {m}", "0 or more", "np.polyint(p)")
    p = _coefficients(p)
    for _ in range(m):
        n = p.shape[0] - 1
        p = ew.mul(sliced(p, 0, 0, max(n, 0)), np.arange(n, 0, -1))
    return p


@records(np.polyint)
def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """The coefficients of the m-th integral, with the constants ``k`` (one for all, or one for each integration)."""
    if m < 0:
        raise ArgumentError.of(f"the integral of order {m}", "0 or more", "np.polyder(p)")
    p = _coefficients(p)
    constants = vector(np.atleast_1d(0 if k is None else k), "the constants")
    if 1 < constants.shape[0] < m:
        raise ShapeError.of(f"{constants.shape[0]} constants for {m} integrations", "one, or as many",
                            "np.polyint(p, 2, [0, 1])")
    for i in range(m):
        i = min(i, constants.shape[0] - 1)
        p = joined([ew.div(p, np.arange(p.shape[0], 0, -1)), sliced(constants, 0, i, i + 1)], 0)
    return p


@records(np.polyfit)
def polyfit(x: Any, y: Any, deg: int, rcond: float | None = None, full: bool = False, w: Any = None,
            cov: bool | str = False) -> Any:
    """The polynomial of degree ``deg`` of the least (weighted) sum of squares of the distances from the points."""
    if full or cov:
        raise ArgumentError.of("np.polyfit with full or cov", "the coefficients alone", "np.polyfit(x, y, 1)")
    x = vector(x, "x")
    y = array(y)
    if deg < 0 or x.shape[0] == 0 or len(y.shape) not in (1, 2) or y.shape[0] != x.shape[0]:
        raise ShapeError.of(f"np.polyfit of degree {deg} to points of shapes {x.shape} and {y.shape}",
                            "as many y as x, one or more, and a degree of 0 or more", "np.polyfit(x, y, 1)")
    dtype = dtypes.floating(common_dtype((x, y, np.float64(0))))
    x, y = convert(x, dtype), convert(y, dtype)
    powers = vander(x, deg + 1)
    if w is not None:
        w = convert(vector(w, "w"), dtype)
        powers = ew.mul(powers, reshaped(w, (w.shape[0], 1)))
        y = ew.mul(y, reshaped(w, (w.shape[0], *(1,) * (len(y.shape) - 1))))
    scale = ew.sqrt(sum_(ew.mul(powers, powers), 0))
    found = lstsq(ew.div(powers, scale), y, x.shape[0] * float(np.finfo(dtype).eps) if rcond is None else rcond)[0]
    return ew.div(found, reshaped(scale, (deg + 1, *(1,) * (len(found.shape) - 1))))
