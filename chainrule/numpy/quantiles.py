"""Medians and quantiles, of all elements or of those that are not NaN.

Sort, find the (fractional) position of the quantile in the sorted row, interpolate between its neighbours.
Source: Hyndman and Fan, "Sample quantiles in statistical packages", The American Statistician 50 (1996).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.errors import ArgumentError, ShapeError, unknown_name
from chainrule.numpy.common import array, axes_of, filled, kept, records, reshaped, sliced, traced, transposed
from chainrule.ops import elementwise as ew
from chainrule.ops import reduce
from chainrule.ops.declare import common_dtype, convert, expand, is_weak
from chainrule.ops.sort import sort, take_rows
from chainrule.trace import no_out

_CONTINUOUS = {  # Hyndman and Fan's parameters: where in a row of n the quantile q is, n·q + α + q·(1 - α - β) - 1
    "interpolated_inverted_cdf": (0.0, 1.0), "hazen": (0.5, 0.5), "weibull": (0.0, 0.0), "linear": (1.0, 1.0),
    "median_unbiased": (1 / 3, 1 / 3), "normal_unbiased": (3 / 8, 3 / 8)}


def _from_zero(x: Any) -> tuple[Any, Any]:
    whole = ew.floor(x)
    return whole, ew.sub(x, whole)


def _position(method: str, n: Any, q: Any) -> tuple[Any, Any]:
    """The position below the quantile, and the weight of its right neighbour."""
    if method in _CONTINUOUS:
        a, b = _CONTINUOUS[method]
        if method == "linear":
            return _from_zero(ew.mul(ew.sub(n, 1.0), q))
        return _from_zero(ew.sub(ew.add(ew.add(ew.mul(n, q), a), ew.mul(q, 1 - a - b)), 1.0))
    return _DISCRETE[method](n, q)


def _at(whole: Any) -> tuple[Any, Any]:
    return whole, ew.mul(whole, 0.0)


def _midpoint(n: Any, q: Any) -> tuple[Any, Any]:
    whole, part = _from_zero(ew.mul(ew.sub(n, 1.0), q))
    return whole, ew.select(ew.gt(part, 0.0), 0.5, part)


def _averaged(n: Any, q: Any) -> tuple[Any, Any]:
    whole, part = _from_zero(ew.sub(ew.mul(n, q), 1.0))
    return whole, ew.select(ew.gt(part, 0.0), 1.0, 0.5)


def _closest(n: Any, q: Any) -> tuple[Any, Any]:
    # a position right between two numbers goes to the even one, counted from 1
    whole, part = _from_zero(ew.sub(ew.mul(n, q), 1.5))
    odd = ew.eq(ew.remainder(whole, 2.0), 1.0)
    return _at(ew.add(whole, ew.select(ew.bit_and(ew.eq(part, 0.0), odd), 0.0, 1.0)))


_DISCRETE: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {
    "lower": lambda n, q: _at(ew.floor(ew.mul(ew.sub(n, 1.0), q))),
    "higher": lambda n, q: _at(ew.ceil(ew.mul(ew.sub(n, 1.0), q))),
    "nearest": lambda n, q: _at(ew.rint(ew.mul(ew.sub(n, 1.0), q))),
    "midpoint": _midpoint,
    "inverted_cdf": lambda n, q: _at(ew.sub(ew.ceil(ew.mul(n, q)), 1.0)),
    "averaged_inverted_cdf": _averaged,
    "closest_observation": _closest}
_OF_THE_ARRAY = ("lower", "higher", "nearest", "inverted_cdf", "closest_observation")  # they pick one of its elements
METHODS = (*_CONTINUOUS, *_DISCRETE)


def _result(a: Any) -> np.dtype:
    """The dtype of a quantile of ``a``."""
    return a.dtype if dtypes.is_float(a.dtype) else dtypes.FLOAT64


def _rows(a: Any, axis: Any) -> tuple[Any, tuple[int, ...]]:
    """The elements along ``axis`` as the last axis, in a floating dtype. Half types are computed in float32."""
    a = array(a)
    a = convert(a, dtypes.widened(_result(a)))
    axes = axes_of(axis, len(a.shape))
    rest = [i for i in range(len(a.shape)) if i not in axes]
    shape = tuple(a.shape[i] for i in rest)
    return reshaped(transposed(a, [*rest, *axes]), (*shape, math.prod(a.shape[i] for i in axes))), axes


def _quantile(a: Any, q: Any, axis: Any, method: str, keepdims: bool, ignore_nan: bool) -> Any:
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    a = array(a)
    whole_shape, dtype = a.shape, _result(a)
    if not is_weak(q):  # as for all functions, a Python number gives way to the array's dtype
        dtype = common_dtype((np.zeros((), a.dtype), array(q), 1.0))
    rows, axes = _rows(a, axis)
    n = rows.shape[-1]
    rows = convert(rows, dtypes.widened(dtype))
    if not traced(q) and not ((np.asarray(q) >= 0) & (np.asarray(q) <= 1)).all():
        raise ArgumentError.of(f"the quantiles {q}", "shares from 0 to 1, or percentages from 0 to 100",
                               "np.quantile(x, 0.5)   # or np.percentile(x, 50)")
    q = convert(q, rows.dtype)
    shape_of_q, lead = q.shape, rows.shape[:-1]
    wanted = expand(reshaped(q, (math.prod(shape_of_q),)), (*lead, math.prod(shape_of_q)))
    if n == 0:
        raise ShapeError.of(f"the quantile of no elements (shape {whole_shape}, axis {axis})", "one element or more")
    nan = ew.ne(rows, rows)
    one = np.ones((), rows.dtype)
    if ignore_nan:
        there = reduce.sum_(ew.select(nan, one * 0, one), axes=(len(lead),))
        many = expand(reshaped(there, (*lead, 1)), wanted.shape)
    else:
        many = np.full(wanted.shape, n, rows.dtype)
    ordered = sort(rows, descending=False)
    low, weight = _position(method, many, wanted)
    top = ew.maximum(ew.sub(many, 1.0), 0.0)
    left, right = (ew.minimum(ew.maximum(x, 0.0), top) for x in (low, ew.add(low, 1.0)))
    x, y = (take_rows(ordered, ew.cast(i, dtype=dtypes.INT64)) for i in (left, right))
    gap = ew.sub(y, x)
    # the two forms are exact at either end; equal neighbours (also infinite ones) are the quantile
    below, above = ew.add(x, ew.mul(gap, weight)), ew.sub(y, ew.mul(gap, ew.sub(1.0, weight)))
    between = ew.select(ew.ge(weight, 0.5), above, below)
    exact = ew.bit_or(ew.eq(weight, 0.0), ew.eq(x, y))
    result = ew.select(exact, x, ew.select(ew.eq(weight, 1.0), y, between))
    if not ignore_nan:
        any_nan = reshaped(reduce.any_(nan, axes=(len(lead),)), (*lead, 1))
        result = ew.select(any_nan, np.nan, result)
    result = convert(result, a.dtype if method in _OF_THE_ARRAY else dtype)
    if keepdims:
        result = reshaped(result, (*(1 if i in axes else k for i, k in enumerate(whole_shape)), result.shape[-1]))
    result = transposed(result, [len(result.shape) - 1, *range(len(result.shape) - 1)])
    return reshaped(result, (*shape_of_q, *result.shape[1:]))


def _share(percent: Any) -> Any:
    if is_weak(percent):
        return percent / 100
    percent = array(percent)
    percent = convert(percent, percent.dtype if dtypes.is_float(percent.dtype) else dtypes.FLOAT64)
    return ew.div(percent, 100.0)


@records(np.quantile)
def quantile(a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear",
             keepdims: bool = False) -> Any:
    """What a share ``q`` of the elements along axes lies below; ``q`` may be traced. NaN if one element is NaN."""
    no_out("np.quantile", out)
    return _quantile(a, q, axis, method, keepdims, False)


@records(np.percentile)
def percentile(a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False,
               method: str = "linear", keepdims: bool = False) -> Any:
    """What ``q`` percent of the elements along axes lie below."""
    no_out("np.percentile", out)
    return _quantile(a, _share(q), axis, method, keepdims, False)


@records(np.nanquantile)
def nanquantile(a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False,
                method: str = "linear", keepdims: bool = False) -> Any:
    """What a share ``q`` of the elements that are not NaN lies below; NaN where all are."""
    no_out("np.nanquantile", out)
    return _quantile(a, q, axis, method, keepdims, True)


@records(np.nanpercentile)
def nanpercentile(a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False,
                  method: str = "linear", keepdims: bool = False) -> Any:
    """What ``q`` percent of the elements that are not NaN lie below; NaN where all are."""
    no_out("np.nanpercentile", out)
    return _quantile(a, _share(q), axis, method, keepdims, True)


@records(np.median)
def median(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    """The middle element along axes, or the mean of the two middle ones. NaN if one element is NaN."""
    no_out("np.median", out)
    a = array(a)
    shape, dtype = a.shape, _result(a)
    rows, axes = _rows(a, axis)
    n = rows.shape[-1]
    end = len(rows.shape) - 1
    if n == 0:
        return kept(filled(rows, rows.shape[:-1], np.nan, dtype), axes, shape, keepdims)
    ordered = sort(rows, descending=False)
    middle = [reshaped(sliced(ordered, end, i, i + 1), rows.shape[:-1]) for i in ((n - 1) // 2, n // 2)]
    result = middle[0] if n % 2 else ew.mul(ew.add(*middle), 0.5)
    result = ew.select(reduce.any_(ew.ne(rows, rows), axes=(end,)), np.nan, result)
    return kept(convert(result, dtype), axes, shape, keepdims)


@records(np.nanmedian)
def nanmedian(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    """The median of the elements that are not NaN; NaN where all are."""
    no_out("np.nanmedian", out)
    a = array(a)
    shape, dtype = a.shape, _result(a)
    rows, axes = _rows(a, axis)
    lead, n = rows.shape[:-1], rows.shape[-1]
    if n == 0:
        return kept(filled(rows, lead, np.nan, dtype), axes, shape, keepdims)
    there = ew.cast(ew.eq(rows, rows), dtype=dtypes.INT64)
    many = reshaped(reduce.sum_(there, axes=(len(lead),)), (*lead, 1))
    ordered = sort(rows, descending=False)  # NaN is behind the numbers
    low, high = (ew.maximum(ew.shift_right(ew.sub(many, k), 1), 0) for k in (1, 0))
    x, y = (reshaped(take_rows(ordered, i), lead) for i in (low, high))
    result = ew.select(reshaped(ew.eq(low, high), lead), x, ew.mul(ew.add(x, y), 0.5))
    return kept(convert(result, dtype), axes, shape, keepdims)
