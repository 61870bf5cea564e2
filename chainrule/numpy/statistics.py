"""Counting and comparing: bins, histograms, covariance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.errors import ArgumentError, ShapeError
from chainrule.numpy.assembly import concatenate, diff
from chainrule.numpy.common import array, depends_on_values, filled, records, reshaped, sliced, traced, transposed
from chainrule.numpy.creation import linspace
from chainrule.numpy.products import matmul
from chainrule.numpy.reductions import average, max_, min_, sum_
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Traced, common_dtype, convert, expand
from chainrule.ops.index import scatter_add
from chainrule.ops.sort import search

_INT = np.dtype(np.int64)


@records(np.bincount)
def bincount(x: Any, /, weights: Any = None, minlength: int = 0, *, length: int | None = None) -> Any:
    """How often each whole number is in a vector, or the sum of the weights at it.

    Args:
        x: a vector of whole numbers, 0 or more.
        weights: as many numbers, summed instead of counted.
        minlength: the least length of the result.
        length: the length of the result; needed while ``x`` is recorded. Numbers beyond it are not counted.

    Example:
        >>> import chainrule as cr
        >>> from chainrule import numpy as cnp
        >>> cr.jit(lambda x: cnp.bincount(x, length=4))(cnp.asarray([1, 1, 3, 9]))
        array([0, 2, 0, 1])
    """
    if length is None:
        if traced(x):
            raise depends_on_values("np.bincount(x)", "chainrule.numpy.bincount(x, length=n)")
        if not traced(weights):
            return np.bincount(x, weights, minlength)
        length = max(int(np.max(x)) + 1 if np.size(x) else 0, minlength)
    x = array(x)
    if len(x.shape) != 1 or x.dtype.kind not in "iub":
        raise ArgumentError.of(f"np.bincount of an array of shape {x.shape} and dtype {x.dtype}",
                               "a vector of whole numbers", "np.bincount(np.ravel(x).astype(int))")
    if weights is None:
        values = filled(x, x.shape, 1, _INT)
    else:
        values = convert(weights, dtypes.FLOAT64)
        if values.shape != x.shape:
            raise ShapeError.of(f"{values.shape} weights for {x.shape} numbers", "as many", "")
    x = convert(x, _INT)
    # what is outside goes to one more place, which is cut off
    place = ew.select(ew.bit_and(ew.ge(x, 0), ew.lt(x, length)), x, length)
    return sliced(scatter_add(values, place, axis=0, extent=length + 1), 0, 0, length)


# ---------------------------------------------------------------- histograms


@records(np.histogram_bin_edges)
def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    """The edges of the bins of :func:`histogram`."""
    if isinstance(bins, str):
        raise ArgumentError.of(f"bins={bins!r} would make the number of bins depend on traced values",
                               "a number of bins, or their edges", "np.histogram(x, bins=20)")
    edges = array(bins)
    if edges.shape:
        if len(edges.shape) != 1:
            raise ShapeError.of(f"edges of shape {edges.shape}", "a vector", "")
        if not isinstance(edges, Traced) and (edges[1:] < edges[:-1]).any():
            raise ArgumentError.of("edges that do not ascend", "ascending edges", "np.histogram(x, np.sort(bins))")
        return edges
    if int(bins) < 1:
        raise ArgumentError.of(f"{bins} bins", "one or more", "np.histogram(x, bins=10)")
    a = array(a)
    if range is None:
        wide = dtypes.widened(a.dtype)
        low, high = (0.0, 1.0) if math.prod(a.shape) == 0 else (convert(m, wide) for m in (min_(a), max_(a)))
    else:
        low, high = range
    if traced(low, high):
        even = ew.eq(low, high)
        low, high = ew.select(even, ew.sub(low, 0.5), low), ew.select(even, ew.add(high, 0.5), high)
    elif low == high:
        low, high = low - 0.5, high + 0.5
    elif low > high:
        raise ArgumentError.of(f"range=({low}, {high})", "the smaller number first", f"range=({high}, {low})")
    return convert(linspace(low, high, int(bins) + 1), a.dtype if dtypes.is_float(a.dtype) else dtypes.FLOAT64)


@records(np.histogram)
def histogram(a: Any, bins: Any = 10, range: Any = None, density: bool | None = None, weights: Any = None) -> Any:
    """How many elements are in each bin (the last one with its right edge), or their weights; and the edges.

    The counts have no derivative; sums of weights have one by the weights.
    """
    a = array(a)
    edges = histogram_bin_edges(a, bins, range)
    many = edges.shape[0] - 1
    flat = reshaped(a, (math.prod(a.shape),))
    dtype = common_dtype((flat, edges))
    flat, bounds = convert(flat, dtype), convert(edges, dtype)
    place = ew.sub(search(bounds, flat, right=True), 1)
    place = ew.select(ew.eq(flat, expand(bounds[many], flat.shape)), many - 1, place)
    place = ew.select(ew.bit_or(ew.lt(place, 0), ew.ne(flat, flat)), many, place)
    if weights is None:
        values = filled(flat, flat.shape, 1, _INT)
    else:
        values = array(weights)
        if values.shape != a.shape:
            raise ShapeError.of(f"weights of shape {values.shape} for an array of shape {a.shape}", "one shape", "")
        values = reshaped(values, flat.shape)
    counts = sliced(scatter_add(values, place, axis=0, extent=many + 1), 0, 0, many)
    if density:
        counts = ew.div(ew.div(convert(counts, dtypes.floating(edges.dtype)), diff(edges)), sum_(counts))
    return counts, edges


# ---------------------------------------------------------------- covariance


def _observations(x: Any, rowvar: bool) -> Any:
    x = array(x)
    if len(x.shape) > 2:
        raise ShapeError.of(f"the covariance of an array of shape {x.shape}", "one or two axes", "")
    if len(x.shape) < 2:
        return reshaped(x, (1, math.prod(x.shape)))
    return x if rowvar or x.shape[0] == 1 else transposed(x, (1, 0))


@records(np.cov)
def cov(m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: int | None = None, fweights: Any = None,
        aweights: Any = None, *, dtype: Any = None) -> Any:
    """The covariances of variables, which are rows (or columns) of observations."""
    if dtype is None:
        dtype = common_dtype([array(m), np.float64(0)] + ([] if y is None else [array(y)]))
    x = convert(_observations(m, rowvar), np.dtype(dtype))
    if y is not None:
        x = concatenate([x, convert(_observations(y, rowvar), np.dtype(dtype))], axis=0)
    ddof = (0 if bias else 1) if ddof is None else ddof
    weights = None
    for given in (fweights, aweights):
        if given is not None:
            one = convert(given, x.dtype)
            weights = one if weights is None else ew.mul(weights, one)
    if weights is None:
        total: Any = float(x.shape[1])
        free: Any = max(total - ddof, 0.0)
        means = average(x, axis=1, keepdims=True)
    else:
        total = sum_(weights)
        free = ew.sub(total, float(ddof)) if aweights is None else ew.sub(total, ew.div(ew.mul(
            sum_(ew.mul(weights, convert(aweights, x.dtype))), float(ddof)), total))
        means = average(x, axis=1, weights=weights, keepdims=True)
    distance = ew.sub(x, means)
    weighted = distance if weights is None else ew.mul(distance, weights)
    result = ew.div(matmul(weighted, transposed(distance, (1, 0))), free)
    return reshaped(result, ()) if x.shape[0] == 1 else result


@records(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    """The correlation coefficients of variables, which are rows (or columns) of observations."""
    c = cov(x, y, rowvar, dtype=dtype)
    if not c.shape:
        return ew.div(c, c)
    n = c.shape[0]
    spread = ew.sqrt(c[np.arange(n), np.arange(n)])
    scaled = ew.div(ew.div(c, reshaped(spread, (n, 1))), reshaped(spread, (1, n)))
    return ew.minimum(ew.maximum(scaled, -1.0), 1.0)
