"""Functions of corresponding elements that are no operation of their own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.errors import ChainruleTypeError
from chainrule.numpy.common import array, records
from chainrule.numpy.reductions import all_, truth
from chainrule.ops import elementwise as ew
from chainrule.ops.arithmetic import power
from chainrule.ops.declare import Op, Traced, common_dtype, convert, unify
from chainrule.trace import no_out

# ---------------------------------------------------------------- arithmetic


@records(np.square)
def square(x: Any) -> Any:
    """x²; of a bool it is an int8."""
    x = _counted(x)
    return ew.mul(x, x)


@records(np.reciprocal)
def reciprocal(x: Any) -> Any:
    """1/x; of a bool it is an int8."""
    x = _counted(x)
    return ew.div(1.0, x) if dtypes.is_float(array(x).dtype) else ew.select(ew.eq(ew.abs_(x), 1), x, 0)


def _counted(x: Any) -> Any:
    """Bools as int8, for NumPy has no squares of them."""
    return ew.cast(x, dtype=np.dtype(np.int8)) if array(x).dtype == dtypes.BOOL else x


@records(np.positive)
def positive(x: Any) -> Any:
    """The array itself."""
    if array(x).dtype == dtypes.BOOL:
        raise ChainruleTypeError.of("np.positive got an array of dtype bool", "numbers", "np.asarray(x, int)")
    return x


@records(np.float_power)
def float_power(x: Any, y: Any) -> Any:
    """X to the power of y in 64 bits."""
    return power(*(float(v) if isinstance(v, bool | int | float) else convert(array(v), dtypes.FLOAT64) for v in (x,
                                                                                                                  y)))


@records(np.divmod)
def divmod_(x: Any, y: Any) -> tuple[Any, Any]:
    """The quotient rounded down, and the remainder."""
    return ew.floor_divide(x, y), ew.remainder(x, y)


@records(np.modf)
def modf(x: Any) -> tuple[Any, Any]:
    """The fractional and the integer part."""
    whole = ew.trunc(x)
    return ew.select(ew.is_inf(x), 0.0, ew.sub(x, whole)), whole


@records(np.copysign)
def copysign(x: Any, y: Any) -> Any:
    """The size of x with the sign of y."""
    x, y = unify(x, y, floats=True)
    size = ew.abs_(x)
    return ew.select(ew.signbit(y), ew.neg(size), size)


@records(np.heaviside)
def heaviside(x: Any, at_zero: Any) -> Any:
    """0 below zero, 1 above, and ``at_zero`` there."""
    x, at_zero = unify(x, at_zero, floats=True)
    step = ew.select(ew.eq(x, 0.0), at_zero, convert(ew.gt(x, 0.0), x.dtype))
    return ew.select(ew.is_nan(x), x, step)


@records(np.ldexp)
def ldexp(x: Any, n: Any) -> Any:
    """X · 2ⁿ."""
    (x,) = unify(x, floats=True)
    if array(n).dtype.kind not in "biu":
        raise ChainruleTypeError.of(f"np.ldexp got an exponent of dtype {array(n).dtype}", "integers",
                                    "np.ldexp(x, n.astype(int))")
    return ew.mul(x, ew.exp2(convert(array(n), x.dtype)))


# ---------------------------------------------------------------- rounding

def _rounding(op: Op) -> Callable[..., Any]:
    def rule(x: Any) -> Any:
        return op(x) if dtypes.is_float(array(x).dtype) else x  # whole numbers are round
    return rule


records(np.floor)(_rounding(ew.floor))
records(np.ceil)(_rounding(ew.ceil))
records(np.trunc)(_rounding(ew.trunc))
records(np.fix)(_rounding(ew.trunc))


@records(np.round, np.around)
def round_(a: Any, decimals: int = 0, out: Any = None) -> Any:
    """The nearest number of so many decimals, ties to even."""
    no_out("np.round", out)
    a = array(a)
    if not dtypes.is_float(a.dtype):
        if decimals < 0 and a.dtype.kind != "b":
            return convert(round_(convert(a, dtypes.FLOAT64), decimals), a.dtype)
        return a
    if decimals == 0:
        return ew.rint(a)
    scale = 10.0 ** abs(decimals)
    return ew.div(ew.rint(ew.mul(a, scale)), scale) if decimals > 0 else ew.mul(ew.rint(ew.div(a, scale)), scale)


# ---------------------------------------------------------------- exponentials and angles


@records(np.logaddexp)
def logaddexp(x: Any, y: Any) -> Any:
    """log(exp(x) + exp(y)), without overflow."""
    x, y = unify(x, y, floats=True)
    both = ew.bit_and(ew.eq(x, y), ew.is_inf(x))  # twice the same infinity: each has half of the derivative
    gap = ew.select(both, 0.0, ew.sub(x, y))
    # each branch is the whole function, and smooth; the one is accurate where the other is not
    finite = ew.select(ew.gt(gap, 0.0), ew.add(x, ew.softplus(ew.neg(gap))), ew.add(y, ew.softplus(gap)))
    return ew.select(both, ew.mul(ew.add(x, y), 0.5), finite)


@records(np.logaddexp2)
def logaddexp2(x: Any, y: Any) -> Any:
    """log2(2^x + 2^y), without overflow."""
    x, y = unify(x, y, floats=True)
    return ew.div(logaddexp(ew.mul(x, _LN2), ew.mul(y, _LN2)), _LN2)


@records(np.deg2rad, np.radians)
def radians(x: Any) -> Any:
    """Degrees as radians."""
    return ew.mul(*unify(x, floats=True), np.pi / 180)


@records(np.rad2deg, np.degrees)
def degrees(x: Any) -> Any:
    """Radians as degrees."""
    return ew.mul(*unify(x, floats=True), 180 / np.pi)


_LN2 = math.log(2.0)  # a Python number, so that float32 stays float32
_SERIES_BELOW = 0.02  # there the sine's series is exact to rounding, and it has derivatives of all orders at 0


@records(np.sinc)
def sinc(x: Any) -> Any:
    """sin(πx) / (πx), 1 at 0."""
    angle = ew.mul(x, np.pi)
    small = ew.lt(ew.abs_(angle), _SERIES_BELOW)
    y = square(angle)
    series = ew.sub(1.0, ew.mul(y, ew.sub(1 / 6, ew.mul(y, ew.sub(1 / 120, ew.mul(y, 1 / 5040))))))
    safe = ew.select(small, 1.0, angle)
    return ew.select(small, series, ew.div(ew.sin(safe), safe))


# ---------------------------------------------------------------- logic and comparison


@records(np.logical_not)
def logical_not(x: Any) -> Any:
    """Whether each element is false."""
    return ew.bit_not(truth(array(x)))


def _logical(op: Op) -> Callable[..., Any]:
    def rule(x: Any, y: Any) -> Any:
        return op(truth(array(x)), truth(array(y)))
    return rule


records(np.logical_and)(_logical(ew.bit_and))
records(np.logical_or)(_logical(ew.bit_or))
records(np.logical_xor)(_logical(ew.bit_xor))


@records(np.isclose)
def isclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Whether |a - b| ≤ atol + rtol |b| for each element."""
    dtype = common_dtype((a, b, 1.0))
    a, b = convert(a, dtype), convert(b, dtype)
    close = ew.le(ew.abs_(ew.sub(a, b)), ew.add(ew.mul(ew.abs_(b), rtol), atol))
    close = ew.bit_or(ew.bit_and(close, ew.is_finite(b)), ew.eq(a, b))
    return ew.bit_or(close, ew.bit_and(ew.is_nan(a), ew.is_nan(b))) if equal_nan else close


@records(np.allclose)
def allclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Whether all elements are close."""
    return all_(isclose(a, b, rtol, atol, equal_nan))


@records(np.array_equal)
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    """Whether two arrays have one shape and equal elements; on request NaN equals NaN."""
    a1, a2 = array(a1), array(a2)
    if a1.shape != a2.shape:
        return False
    equal = ew.eq(a1, a2)
    return all_(ew.bit_or(equal, ew.bit_and(ew.ne(a1, a1), ew.ne(a2, a2))) if equal_nan else equal)


@records(np.isposinf)
def isposinf(x: Any) -> Any:
    """Whether each element is +∞."""
    return ew.eq(x, np.inf)


@records(np.isneginf)
def isneginf(x: Any) -> Any:
    """Whether each element is -∞."""
    return ew.eq(x, -np.inf)


# ---------------------------------------------------------------- maxima, limits, NaN


@records(np.fmax)
def fmax(x: Any, y: Any) -> Any:
    """The larger of two; where one is NaN, the other."""
    return _without_nan(ew.maximum, x, y)


@records(np.fmin)
def fmin(x: Any, y: Any) -> Any:
    """The smaller of two; where one is NaN, the other."""
    return _without_nan(ew.minimum, x, y)


def _without_nan(op: Op, x: Any, y: Any) -> Any:
    return ew.select(ew.is_nan(x), y, ew.select(ew.is_nan(y), x, op(x, y)))


@records(np.clip)
def clip(a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, *, min: Any = None, max: Any = None) -> Any:
    """Each element brought into [a_min, a_max]; None for no limit. The bounds belong to the interval: derivative 1."""
    no_out("np.clip", out)
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    a = array(a)
    if low is not None:
        a = _limited(a, low, ew.lt)
    return a if high is None else _limited(a, high, ew.gt)


def _limited(a: Any, limit: Any, beyond: Op) -> Any:
    """``limit`` where ``a`` is beyond it, else ``a`` with its whole derivative, also at a tie. NaN in either stays."""
    ordered = not isinstance(limit, Traced) and not np.any(np.not_equal(limit, limit))
    a, limit = unify(a, limit)
    take_limit = beyond(a, limit) if ordered else ew.bit_or(beyond(a, limit), ew.ne(limit, limit))
    return ew.select(take_limit, limit, a)


@records(np.nan_to_num)
def nan_to_num(x: Any, copy: bool = True, nan: float = 0.0, posinf: float | None = None,
               neginf: float | None = None) -> Any:
    """NaN, ∞ and -∞ replaced by finite numbers."""
    x = array(x)
    if not dtypes.is_float(x.dtype):
        return x
    limit = dtypes.finfo(x.dtype).max
    high = limit if posinf is None else posinf
    low = -limit if neginf is None else neginf
    x = ew.select(ew.is_nan(x), nan, x)
    return ew.select(ew.eq(x, np.inf), high, ew.select(ew.eq(x, -np.inf), low, x))


@records(np.fabs)
def fabs(x: Any) -> Any:
    """The absolute value as a float."""
    return ew.abs_(*unify(x, floats=True))


records(np.cbrt)(ew.cbrt)
records(np.hypot)(ew.hypot)
records(np.fmod)(lambda x, y: ew.fmod(_counted(x) if array(y).dtype == dtypes.BOOL else x, y))
