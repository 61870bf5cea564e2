"""Functions that combine elements along axes, and running sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.errors import ArgumentError
from chainrule.numpy.common import (
    array,
    axes_of,
    axis_of,
    count,
    filled,
    kept,
    positions,
    records,
    reshaped,
    sliced,
)
from chainrule.ops import elementwise as ew
from chainrule.ops import reduce
from chainrule.ops.declare import Op, convert, expand
from chainrule.ops.running import cumsum as cumsum_op
from chainrule.ops.running import running_product
from chainrule.ops.structure import concatenate
from chainrule.trace import no_out

_INDEX = np.dtype(np.int32)


def reduced(op: Op, a: Any, axis: Any, keepdims: bool) -> Any:
    """``op`` along ``axis``."""
    axes = axes_of(axis, len(a.shape))
    return kept(op(a, axes=axes) if axes else a, axes, a.shape, keepdims)


def chosen(a: Any, where: Any, neutral: Any) -> Any:
    """The elements where a mask holds, elsewhere one that does not change what is computed of them."""
    if where is True:
        return a
    return ew.select(expand(truth(array(where)), a.shape), a, convert(neutral, a.dtype))


def _accumulator(dtype: np.dtype, given: Any) -> np.dtype:
    """NumPy adds and multiplies small integers and bools in 64 bits."""
    if given is not None:
        return np.dtype(given)
    if dtype.kind in "ib":
        return dtypes.INT64
    return np.dtype(np.uint64) if dtype.kind == "u" else dtype


@records(np.sum, (np.add, "reduce"))
def sum_(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False,
         initial: Any = None, where: Any = True) -> Any:
    """The sum of the elements along axes, or of those where a mask holds."""
    no_out("np.sum", out)
    a = array(a)
    total = reduced(reduce.sum_, chosen(convert(a, _accumulator(a.dtype, dtype)), where, 0), axis, keepdims)
    return total if initial is None else ew.add(total, initial)


@records(np.prod, (np.multiply, "reduce"))
def prod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False,
         initial: Any = None, where: Any = True) -> Any:
    """The product of the elements along axes, or of those where a mask holds."""
    no_out("np.prod", out)
    a = array(a)
    total = reduced(reduce.prod, chosen(convert(a, _accumulator(a.dtype, dtype)), where, 1), axis, keepdims)
    return total if initial is None else ew.mul(total, initial)


def _extreme(op: Op, pair: Op, a: Any, axis: Any, keepdims: bool, initial: Any, where: Any) -> Any:
    axes = axes_of(axis, len(a.shape))
    if initial is None:
        if where is not True:
            raise ArgumentError.of(f"the {op.name} of elements under a mask, without initial=",
                                   "its value where there are none", "np.max(x, where=mask, initial=-np.inf)")
        return reduced(op, a, axes, keepdims)
    initial = convert(initial, a.dtype)
    a = chosen(a, where, initial)
    if count(a.shape, axes) == 0:
        shape = tuple(n for i, n in enumerate(a.shape) if i not in axes)
        return kept(filled(a, shape, initial, a.dtype), axes, a.shape, keepdims)
    return pair(reduced(op, a, axes, keepdims), initial)


@records(np.max, np.amax, (np.maximum, "reduce"))
def max_(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, initial: Any = None,
         where: Any = True) -> Any:
    """The largest element along axes."""
    no_out("np.max", out)
    return _extreme(reduce.max_, ew.maximum, array(a), axis, keepdims, initial, where)


@records(np.min, np.amin, (np.minimum, "reduce"))
def min_(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, initial: Any = None,
         where: Any = True) -> Any:
    """The smallest element along axes."""
    no_out("np.min", out)
    return _extreme(reduce.min_, ew.minimum, array(a), axis, keepdims, initial, where)


@records(np.ptp)
def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    """The largest element less the smallest."""
    no_out("np.ptp", out)
    return ew.sub(max_(a, axis, None, keepdims), min_(a, axis, None, keepdims))


@records(np.all, (np.logical_and, "reduce"))
def all_(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, *, where: Any = True) -> Any:
    """Whether all elements along axes are true."""
    no_out("np.all", out)
    return reduced(reduce.all_, chosen(truth(array(a)), where, True), axis, keepdims)


@records(np.any, (np.logical_or, "reduce"))
def any_(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, *, where: Any = True) -> Any:
    """Whether any element along axes is true."""
    no_out("np.any", out)
    return reduced(reduce.any_, chosen(truth(array(a)), where, False), axis, keepdims)


def truth(a: Any) -> Any:
    """Each element as a bool."""
    return a if a.dtype == dtypes.BOOL else ew.ne(a, 0)


@records(np.count_nonzero)
def count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """How many elements along axes are not 0."""
    return sum_(truth(array(a)), axis, keepdims=keepdims)


# ---------------------------------------------------------------- averages


@records(np.mean)
def mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, *,
         where: Any = True) -> Any:
    """The average of the elements along axes, or of those where a mask holds."""
    no_out("np.mean", out)
    a = floats(array(a), dtype)
    n = _many(a, axis, keepdims, where)
    return convert(ew.div(reduced(reduce.sum_, chosen(_wide(a), where, 0), axis, keepdims), n), a.dtype)


def _many(a: Any, axis: Any, keepdims: bool, where: Any) -> Any:
    """How many elements are combined: a number, or an array of the shape of the result where a mask decides."""
    if where is True:
        return float(count(a.shape, axes_of(axis, len(a.shape))))
    there = expand(truth(array(where)), a.shape)
    return convert(sum_(there, axis, keepdims=keepdims), dtypes.widened(a.dtype))


def floats(a: Any, dtype: Any) -> Any:
    """An array in the dtype in which its average is, which may be given."""
    own = a.dtype if dtypes.is_inexact(a.dtype) else dtypes.FLOAT64
    return convert(a, own if dtype is None else np.dtype(dtype))


def _wide(a: Any) -> Any:
    """An array as averages are computed: of half types in float32, whose sums do not overflow."""
    return convert(a, dtypes.widened(a.dtype))


@records(np.var)
def var(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: bool = False, *,
        where: Any = True, mean: Any = None, correction: float | None = None) -> Any:
    """The average square distance from the mean, of all elements along axes or of those where a mask holds."""
    no_out("np.var", out)
    a = floats(array(a), dtype)
    result, a = a.dtype, chosen(_wide(a), where, 0)
    axes = axes_of(axis, len(a.shape))
    if mean is None:
        mean = ew.div(reduced(reduce.sum_, a, axes, True), _many(a, axes, True, where))
    distance = chosen(ew.sub(a, mean), where, 0)
    many, less = _many(a, axes, keepdims, where), float(ddof if correction is None else correction)
    free = max(many - less, 0.0) if where is True else ew.maximum(ew.sub(many, less), 0.0)
    return convert(ew.div(reduced(reduce.sum_, ew.mul(distance, distance), axes, keepdims), free), result)


@records(np.std)
def std(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: bool = False, *,
        where: Any = True, mean: Any = None, correction: float | None = None) -> Any:
    """The square root of the variance."""
    return root(var(a, axis, dtype, out, ddof, keepdims, where=where, mean=mean, correction=correction))


def root(total: Any, order: float = 2) -> Any:
    """The root of a sum of powers: of its subgradients at 0 the least, 0."""
    zero = ew.eq(total, 0.0)
    inside = ew.select(zero, 1.0, total)
    return ew.select(zero, 0.0, ew.sqrt(inside) if order == 2 else ew.pow_(inside, 1 / order))


@records(np.average)
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False) -> Any:
    """The average, weighted if ``weights`` (of the shape of the array, or of its one axis) are given."""
    a = array(a)
    axes = axes_of(axis, len(a.shape))
    if weights is None:
        result = mean(a, axes, keepdims=keepdims)
        total = filled(a, result.shape, float(count(a.shape, axes)), result.dtype)
    else:
        weights = array(weights)
        if weights.shape != a.shape:
            weights = expand(reshaped(weights, tuple(n if i in axes else 1 for i, n in enumerate(a.shape))),
                             a.shape)
        total = sum_(weights, axes, keepdims=keepdims)
        result = ew.div(sum_(ew.mul(a, weights), axes, keepdims=keepdims), total)
    return (result, total) if returned else result


@records(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """The integral along an axis by the trapezoidal rule."""
    y = array(y)
    axis = axis_of(axis, len(y.shape))
    n = y.shape[axis]
    pairs = ew.add(sliced(y, axis, 1, n), sliced(y, axis, 0, n - 1))
    if x is not None:
        x = array(x)
        along = axis if len(x.shape) == len(y.shape) else 0
        dx = ew.sub(sliced(x, along, 1, n), sliced(x, along, 0, n - 1))
        if len(x.shape) == 1:
            dx = reshaped(dx, tuple(n - 1 if i == axis else 1 for i in range(len(y.shape))))
    return sum_(ew.mul(ew.mul(pairs, dx), 0.5), axis)


# ---------------------------------------------------------------- positions


def _position(op: Op, a: Any, axis: Any, keepdims: bool) -> Any:
    """Where ``op``'s element is: the smallest position of those that hold it. NaN counts as the extreme."""
    a = array(a)
    shape = a.shape
    if axis is None:
        a, axes = reshaped(a, (count(shape, range(len(shape))),)), (0,)
    else:
        axes = (axis_of(axis, len(shape)),)
    n = a.shape[axes[0]]
    best = op(a, axes=axes)
    hit = ew.eq(a, reduce.spread(best, axes, a.shape))
    if dtypes.is_float(a.dtype):
        hit = ew.bit_or(hit, ew.is_nan(a))
    first = reduce.min_(ew.select(hit, positions(a, a.shape, axes[0], _INDEX), np.asarray(n, _INDEX)), axes=axes)
    return kept(ew.cast(first, dtype=dtypes.INT64), axes if axis is not None else tuple(range(len(shape))), shape,
                keepdims)


@records(np.argmax)
def argmax(a: Any, axis: int | None = None, out: Any = None, *, keepdims: bool = False) -> Any:
    """The position of the first largest element."""
    no_out("np.argmax", out)
    return _position(reduce.max_, a, axis, keepdims)


@records(np.argmin)
def argmin(a: Any, axis: int | None = None, out: Any = None, *, keepdims: bool = False) -> Any:
    """The position of the first smallest element."""
    no_out("np.argmin", out)
    return _position(reduce.min_, a, axis, keepdims)


# ---------------------------------------------------------------- running sums


def _running(pair: Op, neutral: float, a: Any, axis: int) -> Any:
    """Combine each element with all before it: log2(n) rounds, each reaching twice as far back.

    Source: Hillis and Steele, "Data parallel algorithms", Communications of the ACM 29 (1986).
    """
    axis = axis_of(axis, len(a.shape))
    n, reach = a.shape[axis], 1
    while reach < n:
        head = filled(a, tuple(reach if i == axis else extent for i, extent in enumerate(a.shape)), neutral, a.dtype)
        a = pair(a, concatenate(head, sliced(a, axis, 0, n - reach), axis=axis))
        reach *= 2
    return a


def _along(a: Any, axis: int | None, dtype: Any) -> tuple[Any, int]:
    """The array in the dtype to accumulate in, and the axis; None is that of all elements as one row."""
    a = array(a)
    a = convert(a, _accumulator(a.dtype, dtype))
    if axis is None:
        return reshaped(a, (count(a.shape, range(len(a.shape))),)), 0
    return a, axis_of(axis, len(a.shape))


@records(np.cumsum, (np.add, "accumulate"))
def cumsum(a: Any, axis: int | None = None, dtype: Any = None, out: Any = None) -> Any:
    """Running sums along an axis."""
    no_out("np.cumsum", out)
    a, axis = _along(a, axis, dtype)
    return cumsum_op(a, axis=axis, reverse=False)


@records(np.cumprod, (np.multiply, "accumulate"))
def cumprod(a: Any, axis: int | None = None, dtype: Any = None, out: Any = None) -> Any:
    """Running products along an axis."""
    no_out("np.cumprod", out)
    return running_product(*_along(a, axis, dtype))


def _cumulative(running: Any, neutral: float, x: Any, axis: int | None, dtype: Any, include_initial: bool) -> Any:
    x = array(x)
    if axis is None and len(x.shape) > 1:
        raise ArgumentError.of(f"an array of {len(x.shape)} axes needs axis=", f"0 to {len(x.shape) - 1}", "axis=0")
    result = running(x, axis, dtype)
    if not include_initial:
        return result
    axis = axis_of(0 if axis is None else axis, len(x.shape))
    head = filled(x, tuple(1 if i == axis else n for i, n in enumerate(x.shape)), neutral, result.dtype)
    return concatenate(head, result, axis=axis)


@records(np.cumulative_sum)
def cumulative_sum(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Any:
    """Running sums along an axis, on request from 0 on."""
    return _cumulative(cumsum, 0, x, axis, dtype, include_initial)


@records(np.cumulative_prod)
def cumulative_prod(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Any:
    """Running products along an axis, on request from 1 on."""
    return _cumulative(cumprod, 1, x, axis, dtype, include_initial)


@records((np.maximum, "accumulate"))
def running_maximum(a: Any, axis: int = 0) -> Any:
    """The largest element so far along an axis."""
    return _running(ew.maximum, _lowest(array(a).dtype), array(a), axis)


@records((np.minimum, "accumulate"))
def running_minimum(a: Any, axis: int = 0) -> Any:
    """The smallest element so far along an axis."""
    return _running(ew.minimum, _highest(array(a).dtype), array(a), axis)


def _lowest(dtype: np.dtype) -> Any:
    return -np.inf if dtypes.is_float(dtype) else np.iinfo(dtype).min if dtype.kind in "iu" else False


def _highest(dtype: np.dtype) -> Any:
    return np.inf if dtypes.is_float(dtype) else np.iinfo(dtype).max if dtype.kind in "iu" else True


# ---------------------------------------------------------------- log-sum-exp


@records((np.logaddexp, "reduce"))
def logsumexp(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Log Σ exp(a) along axes, without overflow.

    The largest element m is taken out first: m + log Σ exp(a - m).

    Example:
        >>> from chainrule import numpy as cnp
        >>> float(cnp.logsumexp([1000.0, 1000.0]))
        1000.6931471805599
    """
    a = floats(array(a), None)
    axes = axes_of(axis, len(a.shape))
    top = ew.stop_gradient(max_(a, axes, initial=-np.inf if count(a.shape, axes) == 0 else None))
    top = ew.select(ew.is_finite(top), top, 0.0)
    total = reduce.sum_(ew.exp(ew.sub(a, reduce.spread(top, axes, a.shape))), axes=axes)
    nothing = ew.eq(total, 0.0)  # all are -inf, or there are none: the derivative is 0, as that of exp(a)
    out = ew.select(nothing, -np.inf, ew.add(ew.log(ew.select(nothing, 1.0, total)), top))
    return kept(out, axes, a.shape, keepdims)
