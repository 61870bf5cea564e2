"""Functions that combine the elements along axes that are not NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.numpy.common import array, axes_of, records, reshaped
from chainrule.numpy.reductions import (
    all_,
    argmax,
    argmin,
    chosen,
    cumprod,
    cumsum,
    floats,
    max_,
    min_,
    prod,
    reduced,
    sum_,
)
from chainrule.ops import elementwise as ew
from chainrule.ops import reduce
from chainrule.ops.declare import convert
from chainrule.trace import no_out


def _nan_ignored(a: Any, instead: float) -> Any:
    a = array(a)
    return ew.select(ew.is_nan(a), instead, a) if dtypes.is_float(a.dtype) else a


@records(np.nansum)
def nansum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, initial: Any = None,
           where: Any = True) -> Any:
    """The sum of the elements that are not NaN."""
    return sum_(_nan_ignored(a, 0.0), axis, dtype, out, keepdims, initial, where)


@records(np.nanprod)
def nanprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, initial: Any = None,
            where: Any = True) -> Any:
    """The product of the elements that are not NaN."""
    return prod(_nan_ignored(a, 1.0), axis, dtype, out, keepdims, initial, where)


@records(np.nancumsum)
def nancumsum(a: Any, axis: int | None = None, dtype: Any = None, out: Any = None) -> Any:
    """Running sums along an axis, NaN counting as 0."""
    return cumsum(_nan_ignored(a, 0.0), axis, dtype, out)


@records(np.nancumprod)
def nancumprod(a: Any, axis: int | None = None, dtype: Any = None, out: Any = None) -> Any:
    """Running products along an axis, NaN counting as 1."""
    return cumprod(_nan_ignored(a, 1.0), axis, dtype, out)


@records(np.nanmean)
def nanmean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, *,
            where: Any = True) -> Any:
    """The average of the elements that are not NaN."""
    a = floats(array(a), dtype)
    many = sum_(convert(chosen(ew.eq(a, a), where, False), a.dtype), axis, keepdims=keepdims)
    return ew.div(nansum(a, axis, dtype, out, keepdims, where=where), many)


@records(np.nanvar)
def nanvar(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: bool = False, *,
           where: Any = True, mean: Any = None, correction: float | None = None) -> Any:
    """The average square distance from the mean, of the elements that are not NaN."""
    no_out("np.nanvar", out)
    a = floats(array(a), dtype)
    there = chosen(ew.eq(a, a), where, False)
    n = sum_(convert(there, a.dtype), axis, keepdims=True)
    if mean is None:
        mean = ew.div(nansum(a, axis, keepdims=True, where=where), n)
    distance = ew.select(there, ew.sub(ew.select(there, a, 0.0), mean), 0.0)
    axes = axes_of(axis, len(a.shape))
    free = ew.sub(n, float(ddof if correction is None else correction))
    total = reduced(reduce.sum_, ew.mul(distance, distance), axes, True)
    result = ew.select(ew.gt(free, 0.0), ew.div(total, free), np.nan)
    return result if keepdims else reshaped(result, tuple(n for i, n in enumerate(a.shape) if i not in axes))


@records(np.nanstd)
def nanstd(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: bool = False, *,
           where: Any = True, mean: Any = None, correction: float | None = None) -> Any:
    """The square root of the variance of the elements that are not NaN."""
    return ew.sqrt(nanvar(a, axis, dtype, out, ddof, keepdims, where=where, mean=mean, correction=correction))


@records(np.nanmax)
def nanmax(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, initial: Any = None,
           where: Any = True) -> Any:
    """The largest element that is not NaN."""
    return _nan_extreme(a, axis, out, keepdims, initial, where, max_, -np.inf)


@records(np.nanmin)
def nanmin(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, initial: Any = None,
           where: Any = True) -> Any:
    """The smallest element that is not NaN."""
    return _nan_extreme(a, axis, out, keepdims, initial, where, min_, np.inf)


def _nan_extreme(a: Any, axis: Any, out: Any, keepdims: bool, initial: Any, where: Any, extreme: Callable[..., Any],
                 instead: float) -> Any:
    a = array(a)
    result = extreme(_nan_ignored(a, instead), axis, out, keepdims, initial, where)
    if not dtypes.is_float(a.dtype):
        return result
    return ew.select(all_(ew.ne(a, a), axis, keepdims=keepdims), np.nan, result)


@records(np.nanargmax)
def nanargmax(a: Any, axis: int | None = None, out: Any = None, *, keepdims: bool = False) -> Any:
    """The position of the first largest element that is not NaN; 0 where all are (NumPy raises an error)."""
    return argmax(_nan_ignored(a, -np.inf), axis, out, keepdims=keepdims)


@records(np.nanargmin)
def nanargmin(a: Any, axis: int | None = None, out: Any = None, *, keepdims: bool = False) -> Any:
    """The position of the first smallest element that is not NaN; 0 where all are (NumPy raises an error)."""
    return argmin(_nan_ignored(a, np.inf), axis, out, keepdims=keepdims)
